"""weirctl k8s-candidate against a fake API server over TLS: what is not there yet is waited for, what is there is written
and, with --watch, loaded by a running Weir."""

import signal

import pytest

from weirtest.kubeapi import KubeApi
from weirtest.process import build_dir, free_port, poll
from weirtest.tls import Ca

NAMES = ["--service", "weir-udp", "--namespace", "media"]


@pytest.fixture
def weirctl(lab):
    path = lab.path("weirctl")
    path.symlink_to(build_dir() / "weir")
    return path


@pytest.fixture
def api(lab):
    return KubeApi(lab)


def start(lab, weirctl, api, *words, **options):
    return lab.start([weirctl, "k8s-candidate", *NAMES, *api.options(), "--interval", "100ms", *words], "candidate", **options)


def test_waits_for_an_address(lab, weirctl, api):
    """Whatever there is instead of an address: the reason is logged, once, and the next question asked."""
    out = lab.path("candidate.conf")
    run = start(lab, weirctl, api, "--output", out, "--request-timeout", "300ms")
    run.wait_log("answers with 404")
    for answer, said in [
            ((403, b"{}"), "may not get it (RBAC)"), ((401, b""), "the token is not taken"), ((500, b"oops"), "answers with 500"),
            ((200, b"<html>"), "no JSON object"), ((200, b'{"status":'), "no JSON object"), ((200, b"[]"), "no JSON object"),
            ((200, b'{"spec":{"type":"NodePort"}}'), "of type NodePort"), ((200, b"{}"), "has no address yet"),
            ((200, b"{}", None, True), "no answer in time"), ((200, b"{}", {"Content-Length": "9000000"}), "too large"),
            ((200, b"{}", {"Content-Length": "5, 7"}), "not an HTTP answer"), ((302, b"", {"Location": "/x"}), "answers with 302")]:
        api.answer(*answer)
        run.wait_log(said)
    for status in (None, {}, {"loadBalancer": None}, {"loadBalancer": {"ingress": None}}, {"loadBalancer": {"ingress": []}},
                   {"loadBalancer": {"ingress": [None, {}, {"ip": ""}, {"ip": 4}, {"hostname": "a; b"}]}}):
        asked = len(api.requests)
        api.object({"spec": {"type": "LoadBalancer"}, "status": status})
        poll("two more questions", lambda: len(api.requests) >= asked + 2)
    assert not out.exists() and run.alive
    assert run.log().count("has no address yet") == 2, "once for each time that the reason is a new one"
    api.ingress({"ip": "203.0.113.7", "ipMode": "VIP"})
    assert run.wait(10) == 0
    assert out.read_text().splitlines()[1:] == ["rtc { candidate 203.0.113.7; }"]
    assert out.stat().st_mode & 0o777 == 0o644
    assert set(api.requests) == {("/api/v1/namespaces/media/services/weir-udp", "Bearer first-token")}
    assert "first-token" not in run.log()


def test_watch_reloads_a_running_weir(lab, weirctl, api):
    """Address, then a name, then another one: each is loaded once; what goes away or breaks changes nothing."""
    out = lab.path("conf.d")
    out.mkdir()
    weir = lab.weir(origins=[lab.fake_origin()], config={
        "include": f"{out}/*.conf",
        "rtc": {"enabled": True, "listen": f"127.0.0.1:{free_port(udp=True)}"}})
    watch = start(lab, weirctl, api, "--output", out / "candidate.conf", "--watch",
                  env={"WEIR_CTL_SOCKET": str(weir.control_socket)})
    watch.wait_log("answers with 404")
    before = weir.generation()
    for count, entry in enumerate([{"ip": "203.0.113.7"}, {"hostname": "lb.example.net"}, {"ip": "2001:db8::9"}], 1):
        api.ingress(entry)
        poll("the reload", lambda count=count: watch.log().count("Weir has the candidate") == count)
        assert weir.generation() == before + count
        assert list(entry.values())[0] in (out / "candidate.conf").read_text()
    api.token.write_text("second-token")
    for answer in ((200, b'{"status":{"loadBalancer":{}}}'), (403, b""), (200, b"x")):
        asked = len(api.requests)
        api.answer(*answer)
        poll("two more questions", lambda asked=asked: len(api.requests) >= asked + 2)
    api.ingress({"ip": "2001:db8::9"})
    asked = len(api.requests)
    poll("two more questions", lambda: len(api.requests) >= asked + 2)
    assert weir.generation() == before + 3 and "2001:db8::9" in (out / "candidate.conf").read_text()
    assert api.requests[-1][1] == "Bearer second-token"
    watch.signal(signal.SIGTERM)
    assert watch.wait(10) == 0


def test_weir_comes_later(lab, weirctl, api):
    """A sidecar that is there before Weir tells it when it has come."""
    out = lab.path("candidate.conf")
    weir = lab.weir(origins=[lab.fake_origin()], config={"include": str(out)}, start=False)
    api.ingress({"ip": "203.0.113.7"})
    watch = start(lab, weirctl, api, "--output", out, "--watch", "--port", "40000", "--tcp-port", "443",
                  env={"WEIR_CTL_SOCKET": str(weir.control_socket)})
    watch.wait_log("has not taken the candidate")
    assert "rtc { candidate 203.0.113.7:40000; tcp_candidate 203.0.113.7:443; }" in out.read_text()
    weir.start()
    watch.wait_log("Weir has the candidate")
    assert watch.log().count("no Weir answers") == 1


def test_who_is_asked(lab, weirctl, api):
    """Another authority's certificate, and a token that is not there, are waited out; --timeout ends that with 1; a node."""
    api.ingress({"ip": "203.0.113.7"})
    out = lab.path("candidate.conf")
    base = [weirctl, "k8s-candidate", *NAMES, "--output", out, "--interval", "100ms", "--timeout", "300ms"]
    wrong = lab.run([*base, *api.options(ca=Ca(lab, "other-ca").file)], check=False)
    assert wrong.wait(1) == 1 and "TLS: " in wrong.log() and not api.requests
    missing = lab.run([*base, *api.options()[:-1], lab.path("nothing")], check=False)
    assert missing.wait(1) == 1 and "nothing: " in missing.log() and "no candidate in time" in missing.log()
    nobody = lab.run([*base, *api.options()[2:], "--api", "127.0.0.1:1"], check=False)
    assert nobody.wait(1) == 1 and "127.0.0.1:1: connect" in nobody.log()
    assert not out.exists()

    api.object({"status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.4"}, {"type": "ExternalIP", "address": "203.0.113.4"}]}})
    lab.run([weirctl, "k8s-candidate", "--node", "n1.example", *api.options(), "--output", out])
    assert "candidate 203.0.113.4;" in out.read_text() and api.requests[-1][0] == "/api/v1/nodes/n1.example"

    usage = lab.run([weirctl, "k8s-candidate", "--service", "../x", *api.options()], check=False)
    assert usage.wait(1) == 2 and "--service:" in usage.log() and "usage:" in usage.log()
    api.ingress({"ip": "203.0.113.7"})
    full = lab.run([*base[:-2], *api.options(), "--output", "/dev/full/x", "--timeout", "200ms"], check=False)
    assert full.wait(1) == 1 and "cannot write /dev/full/x" in full.log()
