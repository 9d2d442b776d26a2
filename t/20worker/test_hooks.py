"""Callbacks to the operator's own server: what it is asked and told, what its answers do, and what
happens when it is dead, slow or talks nonsense."""

import threading
import time

import pytest

from rtmp_helpers import client, in_threads, noise_tags, player, publisher, quiet, wait_end, wait_quiet
from weirtest import RtmpError, free_port, poll
from weirtest.dnsserver import DnsServer
from weirtest.hookserver import HookServer
from weirtest.httporigin import HttpConnection, HttpOrigin
from weirtest.rtcorigin import RtcOrigin, RtcWeir, offer_sdp


def _hooks(server, *actions, **options):
    return {**{name: server.url() for name in actions}, **options}


def _serve(call):
    if call.path.split("?")[0].endswith(".m3u8"):
        call.answer(200, b"#EXTM3U\n#EXTINF:1,\na-0.ts\n#EXTINF:1,\na-1.ts\n")
    elif ".flv" in call.path:
        call.answer(200, b"F" * 1000, framing="close")
    else:
        call.answer(200, b"S" * 100)


def _result(weir, result):
    return weir.metric("weir_hook_calls_total", result=result)


ALL = ("on_play", "on_publish", "on_stop", "on_unpublish")


def test_rtmp_is_asked_and_told(lab):
    fake = lab.fake_origin(media=noise_tags(20))
    hook = HookServer(lab)
    weir = lab.weir(origins=[fake], config=quiet(hooks=_hooks(hook, *ALL)))
    link = player(weir, "a?token=x&y", app="live")
    link.read_media(5)
    link.close()
    with publisher(weir, "b", app="live?key=k") as link:
        link.publish_tags(noise_tags(5))
        fake.wait_session(ready=lambda s: len(s.tags) >= 5)
    poll("all four", lambda: {b["action"] for b in hook.bodies} == set(ALL))
    [play], [stop] = hook.seen("on_play"), hook.seen("on_stop")
    assert (play["vhost"], play["app"], play["stream"]) == ("__defaultVhost__", "live", "a")
    assert play["ip"] == "127.0.0.1" and play["param"] == "?token=x&y"
    assert play["tcUrl"].startswith("rtmp://") and play["stream_url"] == "/live/a"
    assert "pageUrl" in play and stop["client_id"] == play["client_id"]
    [publish], [unpublish] = hook.seen("on_publish"), hook.seen("on_unpublish")
    assert publish["stream"] == "b" and publish["param"] == "?key=k"
    assert unpublish["client_id"] == publish["client_id"] != play["client_id"]
    assert f"session={play['client_id']}" in weir.log()
    assert hook.connections <= 2, "connections are not used again"


@pytest.mark.parametrize("answer", ["1", '{"code":7}', "", "garbage", (403, "0"), (500, "")])
def test_refused(lab, answer):
    fake = lab.fake_origin(media=noise_tags(20))
    origin = HttpOrigin(lab, _serve)
    hook = HookServer(lab, lambda body: answer)
    weir = lab.weir(origins=[fake, origin], http=True,
                    config=quiet(hooks=_hooks(hook, *ALL, fail="open")))
    for act, code in (("play", "NetStream.Play.Failed"), ("publish", "NetStream.Publish.BadName")):
        link = client(weir)
        link.connect("live")
        with pytest.raises(RtmpError) as caught:
            getattr(link, act)("a")
        assert caught.value.code == code
        link.close()
    with HttpConnection(weir.http_port) as link:
        for path in ("/live/a.flv", "/live/a.m3u8", "/live/a-0.ts?weir_of=7"):
            assert link.get(path).status == 403
    assert not origin.requests and not fake.media_sessions()
    wait_end(weir, "hook_refused", 2)
    wait_quiet(weir)
    assert not hook.seen("on_stop") and not hook.seen("on_unpublish")


@pytest.mark.parametrize("fault", ["dead", "closes", "nonsense", "silent"])
@pytest.mark.parametrize("fail", ["open", "closed"])
def test_server_without_an_answer(lab, fault, fail):
    fake = lab.fake_origin(media=noise_tags(20))
    origin = HttpOrigin(lab, _serve)
    hold = threading.Event()
    lab.at_close(hold.set)
    verdicts = {"dead": None, "closes": lambda body: None,
                "nonsense": lambda body: b"\x16\x03\x01 what\r\n\r\n" * 20,
                "silent": lambda body: hold.wait(60) and None}
    hook = HookServer(lab, verdicts[fault], start=fault != "dead")
    weir = lab.weir(origins=[fake, origin], http=True,
                    config=quiet(hooks=_hooks(hook, "on_play", fail=fail, timeout="500ms")))
    link = client(weir)
    link.connect("live")
    if fail == "open":
        link.play("a")
        link.read_media(3)
    else:
        with pytest.raises(RtmpError) as caught:
            link.play("a")
        assert caught.value.code == "NetStream.Play.Failed"
    link.close()
    with HttpConnection(weir.http_port) as link:
        assert link.get("/live/b.flv").status == (200 if fail == "open" else 403)
    assert _result(weir, "timeout" if fault == "silent" else "failed") == 2
    assert "hook failed" in weir.log()
    wait_quiet(weir)


def test_hls_viewer_costs_one_call(lab):
    origin = HttpOrigin(lab, _serve)
    hook = HookServer(lab, lambda body: "0" if body["param"] == "?token=good" else "1")
    weir = lab.weir(origins=[origin], http=True,
                    config=quiet(hooks=_hooks(hook, *ALL, cache_ttl="1h")))
    with HttpConnection(weir.http_port) as link:
        for lap in range(5):
            answer = link.get(f"/live/a.m3u8?token=good&_HLS_msn={lap}")
            assert answer.status == 200
            uris = [l for l in answer.body.decode().split("\n") if l and l[0] != "#"]
            assert len(uris) == 2 and all("token=good" in u for u in uris)
            for uri in uris:
                assert link.get(f"/live/{uri}").status == 200
        bad = uris[0].replace("good", "bad")
        assert link.get(f"/live/{bad}").status == 403
        assert link.get("/live/a-0.ts").status == 403
        assert link.get("/live/a.m3u8?token=bad").status == 403
    assert [(b["stream"], b["param"]) for b in hook.bodies] == [
        ("a", "?token=good"), ("a", "?token=bad"), ("a-0", "")]
    assert not any("weir_of" in path for path in origin.paths), "the origin sees our parameter"
    assert weir.metric("weir_hook_cache_hits_total") == 15


def test_verdicts_end_with_their_time(lab):
    origin = HttpOrigin(lab, _serve)
    allow = ["0"]
    hook = HookServer(lab, lambda body: allow[0])
    weir = lab.weir(origins=[origin], http=True,
                    config=quiet(hooks=_hooks(hook, "on_play", cache_ttl="700ms")))
    with HttpConnection(weir.http_port) as link:
        def status():
            return link.get("/live/a.m3u8").status
        assert status() == 200
        allow[0] = "1"
        poll("403 after cache_ttl", lambda: status() == 403, interval=0.1)
        allow[0] = "0"
        poll("200 after the refusal's time", lambda: status() == 200, interval=0.1)
    weir.reload(quiet(hooks=_hooks(hook, "on_play", cache_ttl=0)))
    before = len(hook.bodies)
    with HttpConnection(weir.http_port) as link:
        for _ in range(5):
            assert link.get("/live/a.m3u8").status == 200
    assert len(hook.bodies) == before + 5


def test_live_http_stream_is_told(lab):
    origin = HttpOrigin(lab, _serve)
    hook = HookServer(lab)
    weir = lab.weir(origins=[origin], http=True, config=quiet(hooks=_hooks(hook, "on_play", "on_stop")))
    with HttpConnection(weir.http_port) as link:
        assert link.get("/live/a.flv?t=1", referer="http://page/").status == 200
    [stop] = poll("on_stop", lambda: hook.seen("on_stop"))
    [play] = hook.seen("on_play")
    assert stop["client_id"] == play["client_id"] and play["pageUrl"] == "http://page/"
    assert play["param"] == "?t=1" and play["tcUrl"] == "http://weir.test/live"
    with HttpConnection(weir.http_port) as link:
        assert link.get("/live/a.flv", method="OPTIONS").status == 204
    assert len(hook.bodies) == 2


def test_client_that_leaves_while_it_is_asked_for(lab):
    fake = lab.fake_origin(media=noise_tags(9))
    go = threading.Event()
    lab.at_close(go.set)
    hook = HookServer(lab, lambda body: go.wait(30) and "0")
    weir = lab.weir(origins=[fake, HttpOrigin(lab, _serve)], http=True,
                    config=quiet(hooks=_hooks(hook, *ALL, timeout="30s")))
    link = client(weir)
    link.connect("live")
    link.play("a", wait=False)
    web = HttpConnection(weir.http_port)
    web.send("GET /live/b.flv HTTP/1.1\r\nHost: x\r\n\r\n")
    poll("both calls", lambda: len(hook.bodies) == 2)
    link.close()
    web.sock.setsockopt(1, 13, b"\x01\0\0\0\0\0\0\0")  # SO_LINGER: a reset
    web.close()
    wait_quiet(weir)
    go.set()
    poll("no open call", lambda: weir.metric("weir_hook_calls_open") == 0)
    with player(weir, "c") as other:
        other.read_media(3)
    assert not hook.seen("on_unpublish")


def test_answers_however_they_are_framed(lab):
    answers = {
        "interim": b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n0",
        "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;x\r\n0\r\n0\r\nA: b\r\n\r\n",
        "close": b"HTTP/1.0 200 OK\r\n\r\n0",
        "surplus": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n0HTTP/1.1 200 OK\r\n\r\n",
        "cut": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n0",
        "huge": b"HTTP/1.1 200 OK\r\n\r\n" + b"0" * 70_000,
        "other": b"HTTP/1.1 101 Switch\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n0",
        "endless": b"HTTP/1.1 102 Wait\r\n\r\n" * 1000,
    }
    hook = HookServer(lab, lambda body: answers[body["stream"]])
    weir = lab.weir(origins=[lab.fake_origin()], config=quiet(hooks=_hooks(hook, "on_publish")))
    for stream in answers:
        link = client(weir)
        link.connect("live")
        if stream in ("interim", "chunked", "close", "surplus"):
            link.publish(stream)
        else:
            with pytest.raises(RtmpError):
                link.publish(stream)
        link.close()
    assert _result(weir, "allowed") == 4 and _result(weir, "failed") == 4


def test_stale_connection_gets_a_new_one(lab):
    fake = lab.fake_origin(media=noise_tags(9))
    hook = HookServer(lab)
    weir = lab.weir(origins=[fake], config=quiet(hooks=_hooks(hook, "on_play", cache_ttl=0)))
    for _ in range(4):
        with player(weir, "a") as link:
            link.read_media(2)
        hook.drop_connections()
    assert _result(weir, "allowed") == 4 and _result(weir, "failed") == 0


def test_500_players_and_one_server(lab):
    """Few connections, all answered, nobody refused; the worker goes on meanwhile."""
    origin = HttpOrigin(lab, _serve)
    most = []
    now = [0]
    lock = threading.Lock()

    def slow(body):
        with lock:
            now[0] += 1
            most.append(now[0])
        time.sleep(0.02)
        with lock:
            now[0] -= 1
        return "0" if body["param"] != "?v=7" else "1"
    hook = HookServer(lab, slow)
    weir = lab.weir(origins=[origin], http=True,
                    config=quiet(hooks=_hooks(hook, "on_play", timeout="60s", connections=8)))
    statuses = {}

    def viewers(first):
        links = [HttpConnection(weir.http_port, timeout=60) for _ in range(50)]
        for number, link in enumerate(links, first):
            link.send(f"GET /live/s.flv?v={number} HTTP/1.1\r\nHost: x\r\n\r\n")
        for number, link in enumerate(links, first):
            statuses[number] = link.read_answer().status
            link.close()
    in_threads([lambda n=n: viewers(50 * n) for n in range(10)], timeout=120)
    assert statuses == {n: 403 if n == 7 else 200 for n in range(500)}
    assert len(hook.bodies) == 500 and max(most) <= 8 and hook.connections <= 8
    wait_quiet(weir)


def test_reload_changes_the_urls(lab):
    fake = lab.fake_origin(media=noise_tags(200))
    first, second = HookServer(lab), HookServer(lab)
    weir = lab.weir(origins=[fake], config=quiet(hooks=_hooks(first, "on_play", "on_stop")))
    old = player(weir, "a")
    old.read_media(2)
    weir.reload(quiet(hooks=_hooks(second, "on_play", "on_stop")))
    new = player(weir, "b")
    new.read_media(2)
    old.close()
    new.close()
    poll("on_stop of both", lambda: first.seen("on_stop") and second.seen("on_stop"))
    assert [b["stream"] for b in first.bodies] == ["a", "a"]
    assert [b["stream"] for b in second.bodies] == ["b", "b"]
    generation = weir.generation()
    weir.reload(quiet(hooks={"on_play": "https://x/"}), expect=False)
    weir.process.wait_log("begins with http://")
    assert weir.generation() == generation
    weir.reload(quiet())
    with player(weir, "c") as link:
        link.read_media(2)
    assert len(first.bodies + second.bodies) == 4


def test_stop_tells_before_it_leaves(lab):
    fake = lab.fake_origin(media=noise_tags(200))
    hook = HookServer(lab)
    weir = lab.weir(origins=[fake], config=quiet(hooks=_hooks(hook, *ALL)))
    links = [player(weir, f"s{n}") for n in range(5)]
    weir.process.signal(15)
    assert weir.process.wait(20) == 0
    assert len(hook.seen("on_stop")) == 5 and links


def test_unknown_host_fails_by_policy(lab):
    fake = lab.fake_origin(media=noise_tags(9))
    weir = lab.weir(origins=[fake], config=quiet(
        resolver={"nameservers": DnsServer(lab).address},
        hooks={"on_play": f"http://no-such-host.invalid:{free_port()}/", "fail": "open"}))
    with player(weir, "a") as link:
        link.read_media(3)
    assert "there is no such host" in weir.log() and _result(weir, "failed") == 1


def test_webrtc_begins_and_ends_are_told_once(lab):
    """Whatever ends a session, and when the origin refuses: one on_stop or on_unpublish, with the
    client_id of its beginning."""
    server = HookServer(lab)
    refusing = []
    origin = RtcOrigin(lab, hooks={
        "POST": lambda call, _body: call.answer(404, b"no") if refusing else False})
    weir = RtcWeir(lab, [origin], {
        "hooks": _hooks(server, "on_play", "on_publish", "on_stop", "on_unpublish", cache_ttl=0),
        "rtc": {"signal_timeout": "2s"}}, workers=2)

    def begin(kind, stream):
        answer = weir.post(f"/{kind}/live/{stream}?token=x", offer_sdp("cl" + stream))
        return answer.fields.get("location")

    def ended(begun, stopped, stream):
        start = [b for b in server.seen(begun) if b["stream"] == stream]
        assert len(start) == 1 and start[0]["param"] == "?token=x"
        stop = poll(f"{stopped} of {stream}",
                    lambda: [b for b in server.seen(stopped) if b["stream"] == stream], 20)
        keys = ("client_id", "ip", "vhost", "app", "stream", "stream_url", "param")
        assert [stop[0][k] for k in keys] == [start[0][k] for k in keys]

    assert weir.request("DELETE", weir.target(begin("whip", "deleted"))).status == 200
    ended("on_publish", "on_unpublish", "deleted")
    begin("whep", "kicked")
    row = poll("the session", lambda: [r for r in weir.weir.api("sessions?protocol=rtc")["sessions"]
                                       if r["stream"].endswith("kicked")])[0]
    assert weir.weir.request(f"/api/v1/sessions/{row['id']}", "DELETE")[0] == 200
    ended("on_play", "on_stop", "kicked")
    assert begin("whep", "abandoned")
    ended("on_play", "on_stop", "abandoned")
    refusing.append(True)
    assert begin("whip", "refused") is None
    ended("on_publish", "on_unpublish", "refused")
    time.sleep(0.3)
    assert len(server.bodies) == 8
