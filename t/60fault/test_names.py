"""Name servers that are silent, slow or lie: nothing of Weir waits for one, and what is known goes
on counting."""

import os
import signal

import pytest
from rtmp_helpers import noise_tags, player, publisher, quiet
from weirtest import RtmpError, free_port, poll
from weirtest.dnsserver import DnsServer
from weirtest.hookserver import HookServer
from weirtest.netns import bind_in
from weirtest.rtcorigin import RtcOrigin, RtcWeir, candidates_of, offer_sdp

MANY = [f"127.0.9.{i}" for i in range(1, 20)]  # of the loopback; nobody listens there


def resolver(dns, **options):
    return {"nameservers": dns.address, "timeout": "100ms", "ttl_min": "100ms", **options}


def hooks(server, host, *actions, **options):
    return {**{name: f"http://{host}:{server.http_port}/hook" for name in actions}, **options}


def publishes(weir, name):
    """Whether the client is let in."""
    try:
        publisher(weir, name).close()
    except RtmpError as error:
        assert error.code == "NetStream.Publish.BadName"
        return False
    return True


def known(weir, what):
    """Whether an RTMP worker has heard that of a name."""
    return any("rtmp." in line and "name is known" in line and what in line
               for line in weir.log().splitlines())


@pytest.mark.parametrize("fail", ["open", "closed"])
def test_silent_name_server(lab, fail):
    fake = lab.fake_origin(media=noise_tags(400))
    dns = DnsServer(lab)
    hook = HookServer(lab)
    dns.set("hook.test", ["127.0.0.1"], ttl=0)
    config = quiet(resolver=resolver(dns, stale="1h"),
                   hooks=hooks(hook, "hook.test", "on_publish", "on_unpublish", timeout="500ms",
                               fail=fail))
    weir = lab.weir(origins=[fake], config=config, workers=2)
    running = player(weir, "running")  # nobody asks about players
    assert publishes(weir, "asked") and hook.seen("on_publish")
    # The last answer goes on counting in those who have it; new workers have none.
    dns.mode = "silent"
    poll("the silence is noticed", lambda: weir.metric("weir_name_answers_total", result="timeout"))
    assert publishes(weir, "stale") and len(hook.seen("on_publish")) == 2
    weir.reload()
    running.read_media(5)
    assert publishes(weir, "unknown") == (fail == "open")
    [victim, other] = weir.pids("rtmp")
    os.kill(victim, signal.SIGKILL)
    poll("a new worker is there", lambda: len(set(weir.pids("rtmp")) - {victim, other}) == 1)
    for pid in (*weir.pids("control"),):
        os.kill(pid, signal.SIGKILL)
    poll("a new control worker", lambda: weir.log().count("worker died") == 2)
    weir.wait_ready()
    running.read_media(5)
    assert publishes(weir, "respawned") == (fail == "open")
    assert weir.metric("weir_hook_calls_total", result="timeout") >= 2
    assert "is hanging" not in weir.log() and len(hook.seen("on_publish")) == 2
    # A start from nothing is no different.
    second = lab.weir(origins=[fake], config=config, name="second")
    assert publishes(second, "started") == (fail == "open")
    for one in (weir, second):
        assert "its address is not known" in one.log()
    dns.mode = "ok"
    poll("they are asked again", lambda: publishes(second, "known") and
         any(body["stream"] == "known" for body in hook.seen("on_publish")), 20)
    running.read_media(5)
    running.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: port 53, and a resolv.conf of its own")
def test_system_resolver_is_silent(lab):
    """Without an option: the servers of /etc/resolv.conf, and those that a new one names."""
    fake = lab.fake_origin()
    hook = HookServer(lab)
    silent = DnsServer(lab, mode="silent", ip="127.0.53.1", port=53)
    good = DnsServer(lab, ip="127.0.53.2", port=53)
    good.set("hook.test", ["127.0.0.1"])
    resolv = lab.path("resolv.conf")
    resolv.write_text(f"nameserver {silent.ip}\n")
    weir = lab.weir(origins=[fake], start=False, config=quiet(
        hooks=hooks(hook, "hook.test", "on_publish", timeout="500ms", fail="closed")))
    weir.process = lab.start(bind_in(lab, resolv, "/etc/resolv.conf", weir.binary, "-c", weir.conf), "weir")
    weir.wait_ready(5)
    assert not publishes(weir, "a") and weir.metric("weir_hook_calls_total", result="timeout") == 1
    [victim] = weir.pids("rtmp")
    os.kill(victim, signal.SIGKILL)
    poll("a new worker", lambda: weir.pids("rtmp") not in ([], [victim]), 5)
    assert not publishes(weir, "b") and silent.asked("hook.test")
    resolv.write_text(f"nameserver {good.ip}\n")
    poll("the new server is asked", lambda: publishes(weir, "c"), 30)
    assert [body["stream"] for body in hook.bodies] == ["c"]


def test_hook_addresses(lab):
    """Many addresses, one of which answers; another address; a name that is gone; a slow answer."""
    fake = lab.fake_origin()
    dns = DnsServer(lab, mode="slow")
    dns.delay = 0.5
    port = free_port()
    first = HookServer(lab, port=port)
    second = HookServer(lab, ip="127.0.0.2", port=port)
    dns.set("hook.test", [*MANY, "127.0.0.1"], ttl=0)
    weir = lab.weir(origins=[fake], config=quiet(
        resolver=resolver(dns), hooks=hooks(first, "hook.test", "on_publish", timeout="20s")))
    assert publishes(weir, "a") and len(first.bodies) == 1, "a call waits for the address"
    dns.mode = "ok"
    dns.set("hook.test", [f"127.1.{i // 250}.{1 + i % 250}" for i in range(1000)] + ["127.0.0.2"],
            ttl=0)
    poll("a thousand addresses come over TCP", lambda: known(weir, "addresses=1001"))
    dns.set("hook.test", ["127.0.0.2"], ttl=0)
    poll("the new address", lambda: known(weir, "address=127.0.0.2"))
    assert publishes(weir, "b") and len(second.bodies) == 1 and len(first.bodies) == 1
    dns.mode = "nxdomain"
    weir.wait_log("its last addresses go on counting")
    assert publishes(weir, "c") and len(second.bodies) == 2
    assert weir.metric("weir_name_answers_total", result="absent") > 0


def test_hook_whose_name_is_not_there(lab):
    """That is an answer: hooks.fail decides at once, not after hooks.timeout."""
    fake = lab.fake_origin()
    dns = DnsServer(lab)
    hook = HookServer(lab)
    weir = lab.weir(origins=[fake], config=quiet(
        resolver=resolver(dns),
        hooks=hooks(hook, "hook.test", "on_publish", "on_play", timeout="60s")))
    assert not publishes(weir, "a")
    with pytest.raises(RtmpError):
        player(weir, "a")
    assert weir.metric("weir_hook_calls_total", result="failed") == 2
    assert "there is no such host" in weir.log()


def test_candidates_by_name(lab):
    """Unknown ones are left out; when there is no other, the client is told to come again."""
    dns = DnsServer(lab, mode="silent")
    dns.set("edge.test", ["203.0.113.7", "203.0.113.8"], ttl=0)
    origin = RtcOrigin(lab)
    weir = RtcWeir(lab, [origin], {"resolver": resolver(dns),
                                   "rtc": {"candidate": "198.51.100.1 edge.test:9000"}})
    numbers = iter(range(1000, 9999))

    def offer(query=""):
        return weir.post(f"/rtc/v1/whip/?app=live&stream=s{next(numbers)}{query}",
                         offer_sdp(f"u{next(numbers)}"))

    def addresses():
        answer = offer()
        return answer.status == 201 and list(dict.fromkeys(
            (a, p) for _, a, p in candidates_of(answer.body.decode())))
    assert addresses() == [("198.51.100.1", weir.rtc_port)]
    weir.weir.reload({**weir.sections,
                      "rtc": {**weir.sections["rtc"], "candidate": "edge.test:9000"}})
    answer = offer()
    assert answer.status == 503 and answer.fields["retry-after"]
    assert "no name of rtc.candidate is known yet" in weir.weir.log() and len(origin.offers) == 1
    assert offer("&eip=192.0.2.8").status == 201
    dns.mode = "ok"
    poll("the name is known",
         lambda: addresses() == [("203.0.113.7", 9000), ("203.0.113.8", 9000)], 20)
    dns.set("edge.test", ["203.0.113.9"], ttl=0)
    poll("its new address", lambda: addresses() == [("203.0.113.9", 9000)])
    dns.mode = "servfail"
    os.kill(weir.weir.pids("http")[0], signal.SIGKILL)
    poll("a new worker", lambda: weir.weir.log().count("worker died") == 1)
    weir.weir.wait_ready()
    assert offer().status == 503


LIES = ("silent", "nxdomain", "servfail", "refused", "truncated_only_udp", "other_question",
        "wrong_id", "garbage", "loop")


def row(weir, name):
    return next(one for one in weir.origins() if one["name"] == name)


def wait_address(weir, name, address):
    poll(f"{name} has {address}", lambda: row(weir, name)["ip"] == address, 20)


def test_origins_by_name(lab, media):
    """A real origin by name, in the configuration and by registration, beside names that nobody
    resolves; name servers that fall silent harm nothing that is known."""
    dns = DnsServer(lab)
    real = lab.origin()
    lured = lab.fake_origin(ip="127.6.6.6")  # what lies name
    origins = {"origin good": {"ip": "good.test", "rtmp": real.rtmp_port, "http": real.http_port}}
    for lie in LIES:
        name = f"{lie.replace('_', '-')}.test"
        dns.set(name, ["127.6.6.6"], mode=lie)
        origins[f"origin {lie}"] = {"ip": name, "rtmp": lured.rtmp_port}
    dns.set("good.test", [*MANY, "127.0.0.1"], ttl=0)
    dns.set("reg.test", ["127.0.0.1", "224.0.0.1", "0.0.0.0"], ttl=0)
    config = {"resolver": resolver(dns), **origins}
    weir = lab.weir(config=config)
    wait_address(weir, "good", "127.0.0.1")
    lab.publish(media, weir.url("live/a"))
    real.wait_stream("a")
    lab.play(weir.url("live/a"), seconds=1)
    watch = player(weir, "a")
    watch.read_media(20)
    for lie in LIES:
        assert row(weir, lie)["state"] == "unresolved" and not row(weir, lie)["rtmp"]
    assert weir.metric("weir_origins", state="unresolved") == len(LIES)
    assert weir.api("summaries")["origins"]["unresolved"] == len(LIES)
    assert row(weir, "good")["hosts"] == [{"name": "good.test", "address": "127.0.0.1"}]
    dns.mode = "silent"
    weir.reload()
    for kind in ("control", "rtmp"):
        [victim] = weir.pids(kind)
        os.kill(victim, signal.SIGKILL)
        poll("a new worker", lambda: victim not in weir.pids(kind) and len(weir.pids(kind)) == 1)
        weir.wait_ready()
    watch.read_media(20)
    assert row(weir, "good")["state"] == "up"
    lab.play(weir.url("live/a"), seconds=1)
    dns.mode = "ok"
    other = lab.fake_origin().rtmp_port
    for origin, status in (({"ip": "reg.test", "rtmp": [f"rtmp://reg.test:{other}"]}, 200),
                           ({"ip": "127.0.0.1", "rtmp": [f"rtmp://late.test:{other}"]}, 200),
                           ({"ip": "reg.test", "rtmp": [str(real.rtmp_port)]}, 200),
                           ({"ip": "-reg.test", "rtmp": ["1935"]}, 400),
                           ({"ip": "10.0.0.256", "rtmp": ["1935"]}, 400),
                           ({"ip": "reg.test", "rtmp": ["a/b:1935"]}, 400),
                           ({"ip": "a" * 64, "rtmp": ["1935"]}, 400),
                           ({"ip": "a.test", "rtmp": [f"{c}.test:1" for c in "bcde"]}, 400)):
        server = origin["rtmp"][0]
        answer = weir.post("srs/register", {"server": server, "service": "s", "pid": "1", **origin})
        assert answer[0] == status, answer
    wait_address(weir, f"rtmp://reg.test:{other}", "127.0.0.1")
    assert row(weir, f"rtmp://late.test:{other}")["state"] == "unresolved"
    dns.set("late.test", ["127.0.0.1"], ttl=0)
    poll("the late one", lambda: row(weir, f"rtmp://late.test:{other}")["state"] == "up", 20)
    # Its name shows that it is one of the configuration, which has its streams.
    poll("one server is one origin", lambda: row(weir, "good")["server"] == str(real.rtmp_port), 20)
    assert not [one for one in weir.origins() if one["name"] == str(real.rtmp_port)]
    assert row(weir, "good")["publishers"] == 1
    assert not lured.sessions
    watch.close()


def test_search_domain_that_fails(lab):
    """A name with a dot is found by itself where the name servers of a search domain fail; by that
    domain where they answer."""
    dns = DnsServer(lab)
    origins = {f"origin {one}": {"ip": f"{one}.media.test", "rtmp": lab.fake_origin().rtmp_port} for one in "ab"}
    for one, mode in (("a", "servfail"), ("b", "ok")):
        dns.set(f"{one}.media.test", ["127.0.0.2"], ttl=0)
        dns.set(f"{one}.media.test.corp.test", ["127.0.0.3"], ttl=0, mode=mode)
    weir = lab.weir(config={"resolver": resolver(dns), **origins},
                    env={"LOCALDOMAIN": "corp.test", "RES_OPTIONS": "ndots:5"}, start=False)
    weir.start(ready=False)
    weir.wait_log("Weir is ready")
    wait_address(weir, "a", "127.0.0.2")
    wait_address(weir, "b", "127.0.0.3")
    dns.set("b.media.test.corp.test", ["127.0.0.3"], ttl=0, mode="servfail")
    asked = dns.asked("b.media.test.corp.test")
    poll("it fails", lambda: dns.asked("b.media.test.corp.test") > asked + 3, 20)
    assert row(weir, "b")["ip"] == "127.0.0.3" and row(weir, "a")["ip"] == "127.0.0.2"


def test_address_of_an_origin_changes(lab):
    """New clients go to the new address, those that are there stay; with several it stays while it
    answers, in whatever order they come."""
    dns = DnsServer(lab)
    first = lab.fake_origin(media=noise_tags(2000))
    second = lab.fake_origin(media=noise_tags(2000), port=first.rtmp_port, ip="127.0.0.2")
    dns.set("a.test", ["127.0.0.1"], ttl=0)
    weir = lab.weir(config={"resolver": resolver(dns), "balance": {"probe_interval": "200ms"},
                            "default_backend": {"enabled": True, "ip": "a.test",
                                                "rtmp": first.rtmp_port, "api": "", "rtc": "",
                                                "srt": ""}})
    wait_address(weir, "default", "127.0.0.1")
    before = player(weir, "a")
    before.read_media(5)
    ident = row(weir, "default")["id"]
    dns.set("a.test", ["127.0.0.2", "127.0.0.1"], ttl=0)
    asked = dns.asked("a.test")
    poll("the new answer is known", lambda: dns.asked("a.test") > asked + 6)
    assert row(weir, "default")["ip"] == "127.0.0.1"
    dns.set("a.test", ["127.0.0.2"], ttl=0)
    wait_address(weir, "default", "127.0.0.2")
    after = player(weir, "a")
    after.read_media(5)
    assert len(first.media_sessions()) == len(second.media_sessions()) == 1
    before.read_media(20)
    assert row(weir, "default")["id"] == ident
    # One of two falls silent: the other one takes over.
    dns.set("a.test", ["127.0.0.2", "127.0.0.1"], ttl=0)
    second.stop()
    wait_address(weir, "default", "127.0.0.1")
    poll("it is up", lambda: row(weir, "default")["state"] == "up")
    player(weir, "b").read_media(5)
    before.read_media(20)
