"""How RTMP sessions end: closes, half-closes and resets in every stage, and data in flight."""

import socket
import struct

import pytest

from rtmp_helpers import (RecordingClient, client, in_threads, noise_tags, player,
                          publisher, quiet, same_bytes, same_tags, wait_end, wait_quiet)
from weirtest import Behaviour, RtmpError, poll

STAGES = ["accept", "handshake", "connect", "createStream", "play", "publish"]


def _reach(weir, stage):
    link = client(weir, handshake=None if stage == "accept" else "simple")
    if stage in STAGES[2:]:
        link.connect("live")
    if stage in STAGES[3:]:
        link.create_stream()
    if stage == "play":
        link.play("a")
        link.read_media(5)
    if stage == "publish":
        link.publish("b")
        link.publish_tags(noise_tags(20))
    return link


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("how", ["close", "reset", "half_close"])
def test_client_leaves(lab, stage, how):
    fake = lab.fake_origin(media=noise_tags(50))
    weir = lab.weir(origins=[fake], config=quiet(rtmp={"linger_timeout": "1s"}))
    link = _reach(weir, stage)
    if how == "close":
        link.close()
    elif how == "reset":
        link.reset()
    else:
        link.sock.shutdown(socket.SHUT_WR)
        link.wait_closed(8)
    wait_end(weir, "client_closed")
    wait_quiet(weir)
    for session in fake.media_sessions():
        assert session.done.wait(5), "the origin's connection outlived its client"
    with player(weir, "after") as other:  # the worker goes on
        other.read_media(3)


@pytest.mark.parametrize("how", ["close_after", "reset"])
@pytest.mark.parametrize("role", ["player", "publisher"])
def test_origin_leaves_a_running_session(lab, how, role):
    fake = lab.fake_origin(media=noise_tags(200))
    weir = lab.weir(origins=[fake], config=quiet(rtmp={"linger_timeout": "1s"}))
    link = player(weir, "a") if role == "player" else publisher(weir, "a")
    if role == "player":
        link.read_media(5)
    session = fake.wait_session()
    if how == "reset":  # RST when the session's own thread finds its socket shut
        session.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    session.sock.shutdown(socket.SHUT_RD)
    link.wait_closed(8)
    wait_end(weir, "origin_closed")
    link.close()
    wait_quiet(weir)


def test_viewers_half_close_leaves_the_media_flowing(lab):
    """A viewer that says it will send no more still gets what the origin sends."""
    fake = lab.fake_origin(media=noise_tags(100))
    weir = lab.weir(origins=[fake], config=quiet())
    fake.behaviour = Behaviour(realtime=False)
    link = player(weir, "a")
    link.acknowledge = False
    link.sock.shutdown(socket.SHUT_WR)
    same_tags(fake.media[:30], link.read_media(30))


@pytest.mark.parametrize("delay", ["0", "20ms"])
@pytest.mark.parametrize("size", [200, 3000])
def test_all_that_was_published_before_the_close_arrives(lab, delay, size):
    fake = lab.fake_origin()
    weir = lab.weir(origins=[fake], config=quiet(rtmp={"relay_delay": delay}))
    tags = noise_tags(1000, size=size)
    link = publisher(weir, "a")
    link.publish_tags(tags)
    link.close()
    session = fake.wait_session(ready=lambda s: s.done.is_set())
    same_tags(tags, session.tags)
    wait_quiet(weir)


def test_all_that_the_origin_sent_before_its_close_arrives(lab):
    media = noise_tags(300, size=3000)
    fake = lab.fake_origin(Behaviour(realtime=False))
    weir = lab.weir(origins=[fake], config=quiet())
    link = player(weir, "a")
    session = fake.wait_session()
    session.send_tags(media, 1)
    session.sock.shutdown(socket.SHUT_WR)
    got = []
    with pytest.raises(RtmpError) as caught:
        while True:
            got += link.read_media(1)
    assert caught.value.code == "closed"
    same_tags(media, got)


def _pipelined(weir, tags, fmle=True):
    """Sends everything at once, from C0 to the last tag, and waits for nothing."""
    link = RecordingClient("127.0.0.1", weir.rtmp_port, handshake=None, timeout=20)
    link.send_raw(b"\x03" + bytes(1536) + bytes(1536))
    link.connect("live", wait=False)
    link.stream_id = 1
    if fmle:
        link.command("releaseStream", 2, None, "a")
        link.command("FCPublish", 3, None, "a")
        link._transaction = 3
    link.create_stream(wait=False)
    link.publish("a", wait=False)
    link.publish_tags(tags)
    return link


@pytest.mark.parametrize("origin", ["prompt", "slow", "renumbers"])
@pytest.mark.parametrize("count", [3, 150])
def test_pipelined_publisher(lab, count, origin):
    behaviour = {"prompt": Behaviour(), "slow": Behaviour(accept_delay=0.5),
                 "renumbers": Behaviour(stream_id=5)}[origin]
    fake = lab.fake_origin(behaviour)
    weir = lab.weir(origins=[fake], config=quiet())
    tags = noise_tags(count, size=1500)
    link = _pipelined(weir, tags)
    session = fake.wait_session(ready=lambda s: len(s.tags) >= count)
    same_tags(tags, session.tags)
    assert [c[0] for c in session.commands] == ["connect", "releaseStream", "FCPublish",
                                                "createStream", "publish"]
    if origin != "renumbers":
        same_bytes(session, link)
    weir.wait_metric(1, "weir_sessions", state="publishing")
    link.close()
    wait_quiet(weir)


@pytest.mark.parametrize("origin", ["prompt", "renumbers"])
def test_pipelined_publisher_that_closes_at_once(lab, origin):
    """Nothing that arrived before the close may be lost, once there is an origin."""
    fake = lab.fake_origin(Behaviour(stream_id=5 if origin == "renumbers" else 1))
    weir = lab.weir(origins=[fake], config=quiet(rtmp={"linger_timeout": "2s"}))
    tags = noise_tags(400, size=3000)
    link = publisher(weir, "a")
    link.publish_tags(tags)
    link.sock.shutdown(socket.SHUT_WR)
    session = fake.wait_session(ready=lambda s: s.done.is_set() or len(s.tags) == len(tags))
    same_tags(tags, session.tags)
    link.wait_closed(8)
    wait_end(weir, "client_closed")
    wait_quiet(weir)


def test_bytes_that_are_no_rtmp(lab):
    """Each ends one connection with a named reason; the worker goes on."""
    weir = lab.weir(origins=[lab.fake_origin(media=noise_tags(9))], config=quiet())
    for number, junk in enumerate([b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 200, b"\xff" * 4000,
                                   b"\x16\x03\x01\x02\x00" + bytes(4000)], 1):
        link = client(weir, handshake=None)
        link.send_raw(junk)
        link.wait_closed(5)
        link.close()
        wait_end(weir, "client_protocol", number)
    for number, body in enumerate([b"\xff" * 300, b"\x03" + b"\0" * 6 + b"\xff\xff\xff" + b"\x14" * 500],
                                  4):
        link = client(weir)
        link.send_raw(body)
        link.sock.shutdown(socket.SHUT_WR)
        link.wait_closed(5)
        link.close()
        poll("the end", lambda n=number: weir.metric("weir_session_ends_total") == n)
    with player(weir, "a") as other:
        other.read_media(3)
    link.close()
    wait_quiet(weir)


def test_many_at_once_leave_nothing_behind(lab):
    """Publishers and players that come and go in all ways at once: every gauge returns to 0."""
    fake = lab.fake_origin(media=noise_tags(30))
    weir = lab.weir(origins=[fake], workers=2, config=quiet())
    before = weir.descriptors()

    def visit(number):
        for lap in range(4):
            link = _reach(weir, STAGES[(number + lap) % len(STAGES)])
            (link.reset if (number + lap) % 2 else link.close)()

    in_threads([lambda n=n: visit(n) for n in range(24)])
    poll("96 ends", lambda: weir.metric("weir_session_ends_total") == 96)
    wait_quiet(weir)
    poll("descriptors back where they were", lambda: weir.descriptors() <= before + 8)
