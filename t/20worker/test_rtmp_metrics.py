"""Counters, gauges and log lines of RTMP sessions."""

import json
import re

from rtmp_helpers import (client, noise_tags, player, publisher, quiet, stream_key, stream_row,
                          wait_end, wait_quiet)
from weirtest import Behaviour, RtmpError, free_port, poll


class _Dead:
    """An origin whose port nobody listens on."""

    def __init__(self):
        self.ip = "127.0.0.1"
        self.rtmp_port = free_port()


def test_sessions_and_gauges(lab):
    fake = lab.fake_origin(media=noise_tags(9))
    weir = lab.weir(origins=[fake], config=quiet())

    def gauges():
        return {s: weir.metric("weir_sessions", protocol="rtmp", state=s)
                for s in ("handshaking", "dialing", "publishing", "playing")}

    silent = client(weir, handshake=None)
    poll("handshaking 1", lambda: gauges() == {"handshaking": 1, "dialing": 0, "publishing": 0,
                                               "playing": 0})
    source = publisher(weir, "a")
    viewers = [player(weir, "a") for _ in range(3)]
    poll("1 publishing, 3 playing", lambda: gauges() == {"handshaking": 1, "dialing": 0,
                                                         "publishing": 1, "playing": 3})
    assert weir.metric("weir_connections", protocol="rtmp") == 5
    row = stream_row(weir, stream_key("a"))
    assert (row["publishers"], row["players"]) == (1, 3)
    fake.behaviour = Behaviour(stall="connect")
    waiting = client(weir)
    waiting.connect("live")
    waiting.play("late", wait=False)
    poll("dialing 1", lambda: gauges()["dialing"] == 1)
    assert weir.metric("weir_sessions_started_total", role="publisher") == 1
    assert weir.metric("weir_sessions_started_total", role="player") == 3
    viewers[0].close()
    wait_end(weir, "client_closed")
    poll("2 playing", lambda: gauges()["playing"] == 2)
    for link in [silent, source, waiting, *viewers]:
        link.close()
    wait_quiet(weir)
    wait_end(weir, "client_closed", 6)
    assert weir.metric("weir_session_ends_total") == 6
    assert weir.metric("weir_connections_accepted_total", protocol="rtmp") == 6
    poll("nobody at the stream",
         lambda: (stream_row(weir, stream_key("a")) or {"publishers": 0})["publishers"] == 0)


def test_bytes(lab):
    fake = lab.fake_origin()
    weir = lab.weir(origins=[fake], config=quiet())
    tags = noise_tags(300, size=2000)
    link = publisher(weir, "a")
    before = weir.metric("weir_bytes_total", direction="from_client")
    link.publish_tags(tags)
    payload = sum(len(t.data) for t in tags)
    fake.wait_session(ready=lambda s: len(s.tags) == len(tags))
    poll("bytes from the client", lambda: weir.metric("weir_bytes_total", direction="from_client")
         - before >= payload)
    sent = len(link.sent)
    assert weir.metric("weir_bytes_total", direction="from_client") <= sent
    viewer = player(weir, "b")
    fake.wait_session(ready=lambda s: s.play_name == "b").send_tags(tags, 1)
    viewer.read_media(len(tags))
    poll("bytes to the client", lambda: weir.metric("weir_bytes_total", direction="to_client")
         >= payload)
    assert weir.metric("weir_bytes_total", direction="to_client") <= link.received + viewer.received
    link.close()
    viewer.close()
    wait_quiet(weir)


def test_route_hits_and_misses(lab):
    fake = lab.fake_origin(media=noise_tags(9))
    weir = lab.weir(origins=[fake], config=quiet())

    def lookups():
        return tuple(int(weir.metric("weir_route_lookups_total", result=r)) for r in ("hit", "miss"))

    assert lookups() == (0, 0)
    links = [publisher(weir, "a")]
    assert lookups() == (0, 1)
    links += [player(weir, "a") for _ in range(4)]
    assert lookups() == (4, 1)
    links.append(player(weir, "b"))
    assert lookups() == (4, 2)
    assert weir.metric("weir_route_refused_total") == 0
    for link in links:
        link.close()
    wait_quiet(weir)


def test_refused_without_origin(lab):
    weir = lab.weir(text="""
        worker_processes 1; pid_file "";
        rtmp { listen "127.0.0.1:{rtmp_port}"; }
        control { listen "127.0.0.1:{api_port}"; }
    """, start=False)
    weir.start(ready=False)
    poll("the API", lambda: _up(weir))
    for number, (role, code) in enumerate([("play", "NetStream.Play.StreamNotFound"),
                                           ("publish", "NetStream.Publish.Denied")], 1):
        link = client(weir)
        link.connect("live")
        try:
            getattr(link, role)("a")
            raise AssertionError("was served without an origin")
        except RtmpError as error:
            assert error.code == code
        link.wait_closed(5)
        link.close()
        wait_end(weir, "no_origin", number)
    assert weir.metric("weir_route_refused_total") == 2
    link.close()
    wait_quiet(weir)


def _up(weir):
    try:
        return weir.request("/healthz")[0] in (200, 503)
    except OSError:
        return False


def test_dials_and_failures_by_reason(lab):
    silent = lab.fake_origin(Behaviour(stall="accept"))
    rude = lab.fake_origin(Behaviour(drop_after_accept=True))
    weir = lab.weir(origins=[_Dead(), silent, rude],
                    config=quiet(rtmp={"dial_timeout": "300ms", "dial_attempts": 3}))
    link = client(weir)
    link.connect("live")
    try:
        link.play("a")
        raise AssertionError("was served by dead origins")
    except RtmpError as error:
        assert error.code == "NetStream.Play.StreamNotFound"
    link.close()
    wait_end(weir, "no_origin")
    assert weir.metric("weir_dials_total", protocol="rtmp") == 3
    assert weir.metric("weir_dial_retries_total", protocol="rtmp") == 2
    for reason in ("refused", "timeout", "handshake"):
        assert weir.metric("weir_dial_failures_total", reason=reason) == 1, reason
    link.close()
    wait_quiet(weir)


def _session_of(line):
    found = re.search(r"\bsession=(\w+)", line)
    return found and found.group(1)


def test_log_tells_a_session_from_connect_to_end(lab):
    good = lab.fake_origin(media=noise_tags(9))
    weir = lab.weir(origins=[_Dead(), good], config=quiet(balance={"policy": "round_robin"}))
    for number in range(4):
        link = player(weir, f"s{number}")
        link.read_media(3)
        link.close()
    wait_end(weir, "client_closed", 4)
    wait_quiet(weir)
    poll("lines of the access log", lambda: weir.log().count("reason=client_closed") == 4)
    lines = weir.log().splitlines()
    failed = [l for l in lines if "origin failed, asking for another" in l]
    assert failed, "no stream was assigned to the dead origin"
    session = _session_of(failed[0])
    assert session
    own = [l for l in lines if _session_of(l) == session]
    order = ["origin failed", "player connected", "reason=client_closed"]
    at = [next(i for i, l in enumerate(own) if text in l) for text in order]
    assert at == sorted(at)
    for line in (own[at[1]], own[at[2]]):
        assert "client=127.0.0.1:" in line and "__defaultVhost__/live/s" in line
        assert "origin=o2@" in line or 'origin="o2@' in line
    assert "reason=client_closed" in own[-1] and "method=play" in own[-1]
    assert int(re.search(r"bytes_to_client=(\d+)", own[-1]).group(1)) > 300
    ids = {_session_of(l) for l in lines if "player connected" in l}
    assert len(ids) == 4, "sessions share an id"


def test_json_log_is_json(lab):
    fake = lab.fake_origin(media=noise_tags(9))
    weir = lab.weir(origins=[fake], config=quiet(log={"format": "json", "level": "info"},
                                                 access_log={"format": "json"}))
    name = 'a"\\é\u2028{}'
    link = player(weir, name)
    link.read_media(3)
    link.close()
    wait_end(weir, "client_closed")
    wait_quiet(weir)
    poll("the line of the access log", lambda: '"client_closed"' in weir.log())
    rows = [json.loads(line) for line in weir.log().split("\n") if line.startswith("{")]
    mine = [r for r in rows if "session" in r]
    assert len({r["session"] for r in mine}) == 1
    assert any(r.get("event") == "player connected" and r["stream"] == stream_key(name) for r in mine)
    assert any(r.get("reason") == "client_closed" for r in mine)


def test_text_log_line_can_not_be_forged(lab):
    fake = lab.fake_origin(media=noise_tags(9))
    weir = lab.weir(origins=[fake], config=quiet())
    link = client(weir)
    link.connect("live")
    try:
        link.play("a\nERROR forged session=1 reason=fake")
    except RtmpError:
        pass  # such a name may be refused as well
    link.close()
    wait_quiet(weir)
    assert not any(line.startswith("ERROR forged") for line in weir.log().splitlines())
