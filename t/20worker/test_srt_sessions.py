"""Who may call by SRT, what the operator's server is told of it, and what is known of a session."""

import os
import struct
import threading

import pytest

from weirtest import poll
from weirtest import srt
from weirtest.hookserver import HookServer
from weirtest.srt import SrtError, SrtOrigin, call, receive, send_all, srt_weir

REJ_FORBIDDEN = 1403
HOOKS = ("on_play", "on_publish", "on_stop", "on_unpublish")


def chunks(count):
    return [struct.pack("!I", i) + os.urandom(srt.MTU_PAYLOAD - 4) for i in range(count)]


def refused(weir, stream_id, **options):
    with pytest.raises(SrtError) as error:
        call(weir.srt_port, stream_id, **options).close()
    return error.value.reason


def quiet(weir):
    poll("no session", lambda: weir.metric("weir_sessions", protocol="srt") == 0, 30)
    poll("an empty table", lambda: not weir.api("sessions")["sessions"], 30)


def hooked(lab, hook, origins, config=None, **options):
    return srt_weir(lab, origins, {"hooks": {name: hook.url() for name in HOOKS}, **(config or {})},
                    **options)


def test_hooks_are_asked_and_told(lab):
    """Each session that was let in has one end, whoever ends it and whichever worker had it."""
    hook = HookServer(lab)
    origin = SrtOrigin(lab, chunks(5))
    weir = hooked(lab, hook, [origin])
    publisher = call(weir.srt_port, "#!::r=live/a,m=publish,u=me,key=k")
    player = call(weir.srt_port, "#!::h=vh.example.com,r=app/deep/b,m=request,token=t")
    receive(player, 5)
    [publish], [play] = hook.seen("on_publish"), hook.seen("on_play")
    assert (publish["vhost"], publish["app"], publish["stream"]) == ("__defaultVhost__", "live", "a")
    assert publish["param"] == "?u=me&key=k" and publish["ip"] == "127.0.0.1"
    assert publish["tcUrl"] == "srt://__defaultVhost__/live"
    assert (play["vhost"], play["app"], play["stream"]) == ("vh.example.com", "app/deep", "b")
    assert play["param"] == "?token=t" and play["stream_url"] == "vh.example.com/app/deep/b"
    assert f"session={play['client_id']}" in weir.log()
    for kind in ("srt", "control"):
        for pid in weir.pids(kind):
            os.kill(pid, 9)
        poll("another worker", lambda: weir.pids(kind) and not set(weir.pids(kind)) & {pid})
        weir.wait_ready()
    send_all(publisher, chunks(5), close=False)
    assert not hook.seen("on_stop") and not hook.seen("on_unpublish")
    publisher.close()
    [row] = poll("one session", lambda: len(weir.api("sessions")["sessions"]) == 1
                 and weir.api("sessions")["sessions"])
    assert weir.request(f"/api/v1/sessions/{row['id']}", "DELETE")[0] == 200
    assert player.recv() == b"", "a kicked player must hear of it"
    poll("both ends", lambda: hook.seen("on_stop") and hook.seen("on_unpublish"), 20)
    quiet(weir)
    [stop], [unpublish] = hook.seen("on_stop"), hook.seen("on_unpublish")
    same = ("client_id", "ip", "vhost", "app", "stream", "param", "tcUrl", "stream_url")
    assert {k: stop[k] for k in same} == {k: play[k] for k in same}
    assert {k: unpublish[k] for k in same} == {k: publish[k] for k in same}


def test_hooks_refuse(lab):
    """The server's no, and its silence with fail closed, are a code; no origin hears of them."""
    gate = threading.Event()
    lab.at_close(gate.set)

    def verdict(body):
        if body["stream"] == "slow":
            gate.wait(60)
        return "0" if body["stream"] == "good" else "1"

    hook = HookServer(lab, verdict)
    origin = SrtOrigin(lab, chunks(1))
    weir = hooked(lab, hook, [origin], {"hooks": {**{name: hook.url() for name in HOOKS},
                                                  "timeout": "500ms", "fail": "closed"}})
    assert refused(weir, "#!::r=live/bad,m=publish") == REJ_FORBIDDEN
    assert refused(weir, "live/bad") == REJ_FORBIDDEN
    assert refused(weir, "live/slow") == REJ_FORBIDDEN
    assert not origin.stream_ids and "refused by the operator's server" in weir.log()
    call(weir.srt_port, "live/good").close()
    poll("its end", lambda: hook.seen("on_stop"), 20)
    quiet(weir)
    assert [b["stream"] for b in hook.seen("on_stop")] == ["good"] and not hook.seen("on_unpublish")


def test_hooks_of_a_caller_without_origin(lab):
    """Who was let in and found no origin is told as gone, once, however many were tried."""
    hook = HookServer(lab)
    closed = [type("Closed", (), {"port": srt.free_port(udp=True)}) for _ in range(2)]
    weir = hooked(lab, hook, closed, {"balance": {"probe_interval": 0, "max_fails": 100}})
    assert refused(weir, "#!::r=live/a,m=publish,x=1") == srt.REJ_GATEWAY
    poll("its end", lambda: hook.seen("on_unpublish"), 20)
    quiet(weir)
    [publish], [unpublish] = hook.seen("on_publish"), hook.seen("on_unpublish")
    assert publish["client_id"] == unpublish["client_id"] and unpublish["param"] == "?x=1"


def test_access_and_limits(lab):
    origin = SrtOrigin(lab, chunks(1))
    denying = srt_weir(lab, [origin], {"srt": {"access": "allow 10.0.0.0/8, deny all"}})
    assert refused(denying, "live/a") == REJ_FORBIDDEN and not origin.stream_ids
    assert denying.metric("weir_access_denied_total", at="handshake") >= 1
    weir = srt_weir(lab, [origin], {"srt": {"access": "allow 127.0.0.0/8, deny all",
                                            "max_players_per_stream": 2,
                                            "max_sessions_per_address": 4}})
    players = [call(weir.srt_port, "live/a") for _ in range(2)]
    assert refused(weir, "live/a") == srt.REJ_OVERLOAD
    assert weir.metric("weir_udp_session_refusals_total", reason="stream_limit") == 1
    others = [call(weir.srt_port, "live/b"), call(weir.srt_port, "#!::r=live/a,m=publish")]
    assert refused(weir, "live/c") == srt.REJ_OVERLOAD
    assert weir.metric("weir_udp_session_refusals_total", reason="address_limit") == 1
    players.pop().close()
    poll("room again", lambda: len(weir.api("sessions")["sessions"]) == 3, 20)
    players.append(call(weir.srt_port, "live/a"))
    for each in [*players, *others]:
        each.close()
    quiet(weir)


def test_session_rows_and_kick(lab):
    """Round trip time and losses are those that the ends see; a kick reaches both of them."""
    origin = SrtOrigin(lab, name := chunks(50))
    weir = srt_weir(lab, [origin], {"access_log": {"target": "file",
                                                   "file": str(lab.path("access.log"))}})
    publisher = call(weir.srt_port, "#!::r=live/a,m=publish")
    send_all(publisher, chunks(300), close=False)
    player = call(weir.srt_port, "live/a")
    assert receive(player, 50) == b"".join(name)

    def rows():
        found = {row["role"]: row for row in weir.api("sessions")["sessions"]}
        return len(found) == 2 and all(row["rtt_us"] for row in found.values()) and found

    for row in poll("both rows with a round trip time", rows, 30).values():
        assert row["protocol"] == "srt" and row["state"] == "connected" and row["age_ms"] > 0
        assert row["stream"] == "__defaultVhost__/live/a" and row["client"].startswith("127.0.0.1:")
        assert len(row["caller_socket"]) == len(row["origin_socket"]) == 4
        assert 0 < row["rtt_us"] < 20_000_000 and row["lost_from_client"] >= 0
    assert rows()["publisher"]["packets_from_client"] >= 300
    assert weir.metric("weir_srt_rtt_reports_total") > 0
    assert weir.metric("weir_srt_rtt_microseconds_total") > 0
    stream = "#!::r=live/a,m=publish"
    there = origin.connections[stream]
    assert weir.request(f"/api/v1/sessions/{rows()['publisher']['id']}", "DELETE")[0] == 200
    poll("the publisher's end", lambda: not publisher.connected, 20)
    poll("the origin's end", lambda: not there.connected, 20)
    player.close()
    quiet(weir)
    lines = poll("two lines", lambda: len(text := lab.path("access.log").read_text().splitlines())
                 == 2 and text, 20)
    assert "reason=kicked" in lines[0] and "method=publish" in lines[0]
    assert "reason=client_closed" in lines[1] and "protocol=srt" in lines[1]
