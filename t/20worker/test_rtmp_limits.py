"""Limits of the RTMP worker: who is one too many is refused, and nobody else."""

import pytest

from rtmp_helpers import client, noise_tags, player, publisher, quiet, wait_end, wait_quiet
from weirtest import RtmpError, poll


def _refused(weir, limit):
    return weir.metric("weir_connections_refused_total", limit=limit)


def test_max_connections(lab):
    weir = lab.weir(origins=[lab.fake_origin(media=noise_tags(9))],
                    config=quiet(rtmp={"max_connections": 3}))
    held = [client(weir, handshake=None) for _ in range(2)] + [player(weir, "a")]
    for _ in range(3):
        late = client(weir, handshake=None)
        late.wait_closed(5)
    assert _refused(weir, "max_connections") == 3
    assert "rtmp.max_connections is reached" in weir.log()
    held[2].read_media(3)  # those who are in are not disturbed
    held[0].close()
    wait_end(weir, "client_closed")
    with player(weir, "b") as link:
        link.read_media(3)
    for link in held:
        link.close()
    wait_quiet(weir)


def test_max_connections_over_workers(lab):
    """The limit holds for all workers together; each learns of the others within a second."""
    weir = lab.weir(origins=[lab.fake_origin()], workers=2,
                    config=quiet(rtmp={"max_connections": 10}))
    held = [client(weir, handshake=None) for _ in range(10)]
    weir.wait_metric(10, "weir_connections", protocol="rtmp")

    def refused():
        link = client(weir, handshake=None)
        try:
            link.wait_closed(0.2)
        except RtmpError:
            held.append(link)
            return False
        return True
    poll("a refusal", refused, 10)
    assert _refused(weir, "max_connections") >= 1
    for link in held:
        link.close()
    wait_quiet(weir)


def test_max_half_open_per_address(lab):
    weir = lab.weir(origins=[lab.fake_origin(media=noise_tags(9))],
                    config=quiet(rtmp={"max_half_open_per_address": 4}))
    playing = player(weir, "a")  # has named its stream: doesn't count
    held = [client(weir, handshake=None) for _ in range(2)] + [client(weir) for _ in range(2)]
    late = client(weir, handshake=None)
    late.wait_closed(5)
    assert _refused(weir, "max_half_open_per_address") == 1
    with client(weir, source="127.0.0.2") as other:  # somebody else is let in
        other.connect("live")
        other.play("b")
        other.read_media(3)
    playing.read_media(3)
    held[3].connect("live")  # and a half-open one that goes on makes room
    held[3].play("c")
    held.append(client(weir))
    assert _refused(weir, "max_half_open_per_address") == 1
    for link in [*held, playing]:
        link.close()
    wait_quiet(weir)


def test_max_connections_per_address(lab):
    weir = lab.weir(origins=[lab.fake_origin(media=noise_tags(9))], workers=2,
                    config=quiet(rtmp={"max_connections_per_address": 2}))
    held = [player(weir, "a"), publisher(weir, "b")]
    weir.wait_metric(2, "weir_sessions_started_total", protocol="rtmp")
    with pytest.raises(RtmpError) as caught:
        late = player(weir, "a")
        late.read_media(100000, timeout=10)
    assert caught.value.code == "closed"
    wait_end(weir, "limit")
    assert "rtmp.max_connections_per_address" in weir.log()
    other = player(weir, "a", source="127.0.0.2")
    other.read_media(9)
    held[0].read_media(9)
    held[0].close()
    weir.wait_metric(1, "weir_sessions", state="playing")
    again = player(weir, "a")
    again.read_media(9)
    for link in [*held, other, again]:
        link.close()
    wait_quiet(weir)
    assert weir.metric("weir_session_ends_total", reason="limit") == 1


def test_max_players_per_stream(lab):
    weir = lab.weir(origins=[lab.fake_origin(media=noise_tags(9))], workers=2,
                    config=quiet(rtmp={"max_players_per_stream": 2}))
    source = publisher(weir, "a")  # a publisher is no player
    held = [player(weir, "a"), player(weir, "a")]
    weir.wait_metric(3, "weir_sessions_started_total", protocol="rtmp")
    with pytest.raises(RtmpError) as caught:
        late = player(weir, "a")
        late.read_media(100000, timeout=10)
    assert caught.value.code == "closed"
    wait_end(weir, "limit")
    assert "rtmp.max_players_per_stream" in weir.log()
    other = player(weir, "b")
    other.read_media(9)
    for link in held:
        link.read_media(9)
    held[1].close()
    weir.wait_metric(2, "weir_sessions", state="playing")
    again = player(weir, "a")
    again.read_media(9)
    for link in [source, other, again, *held]:
        link.close()
    wait_quiet(weir)


def test_no_limits_by_default(lab):
    weir = lab.weir(origins=[lab.fake_origin(media=noise_tags(9))], config=quiet())
    held = [player(weir, "a") for _ in range(40)]
    for link in held:
        link.read_media(2)
    weir.wait_metric(40, "weir_sessions", state="playing")
    for link in held:
        link.close()
    wait_quiet(weir)
    assert weir.metric("weir_session_ends_total", reason="limit") == 0
