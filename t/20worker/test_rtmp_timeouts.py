"""Deadlines of the RTMP worker: each with a small value, each ends one session by its name."""

import time

import pytest

import weirtest
from rtmp_helpers import (client, noise_tags, player, publisher, quiet, sessions, wait_end,
                          wait_quiet)
from weirtest import Behaviour, RtmpError, poll


def _until_closed(link, timeout=8):
    began = time.monotonic()
    link.wait_closed(timeout)
    return time.monotonic() - began


@pytest.mark.parametrize("stage", ["nothing", "half_c1", "handshake", "connect", "createStream"])
def test_handshake_timeout(lab, stage):
    weir = lab.weir(origins=[lab.fake_origin()],
                    config=quiet(rtmp={"handshake_timeout": "600ms"}))
    began = time.monotonic()
    link = client(weir, handshake=None if stage in ("nothing", "half_c1") else "simple")
    if stage == "half_c1":
        link.send_raw(b"\x03" + bytes(700))
    if stage in ("connect", "createStream"):
        link.connect("live")
    if stage == "createStream":
        link.create_stream()
    link.wait_closed(8)
    assert time.monotonic() - began >= 0.55
    wait_end(weir, "handshake_timeout")
    wait_quiet(weir)


def test_trickling_client_does_not_gain_time(lab):
    """A byte now and then is no progress: the deadline counts from accept."""
    weir = lab.weir(origins=[lab.fake_origin()],
                    config=quiet(rtmp={"handshake_timeout": "500ms"}))
    link = client(weir, handshake=None)
    link.send_raw(b"\x03")

    def ended():
        try:
            link.send_raw(b"\0")
        except RtmpError:
            return True
        return weir.metric("weir_session_ends_total", reason="handshake_timeout") == 1
    poll("the end of a trickling client", ended, 6)
    wait_quiet(weir)


def test_named_session_outlives_the_handshake_timeout(lab):
    """Once the stream is named the deadline is off: the session goes on for longer than that."""
    fake = lab.fake_origin(media=noise_tags(60, step=40))
    weir = lab.weir(origins=[fake], config=quiet(rtmp={"handshake_timeout": "300ms"}))
    with player(weir, "a") as link:
        began = time.monotonic()
        while time.monotonic() - began < 1.0:
            link.read_media(5)
        assert weir.metric("weir_sessions", state="playing") == 1
    assert weir.metric("weir_session_ends_total", reason="handshake_timeout") == 0


@pytest.mark.parametrize("role", ["player", "publisher"])
def test_answer_timeout(lab, role):
    fake = lab.fake_origin(Behaviour(stall="start"))
    weir = lab.weir(origins=[fake], config=quiet(rtmp={"answer_timeout": "500ms"}))
    link = client(weir)
    link.connect("live")
    if role == "player":
        link.play("a", wait=False)
    else:
        link.publish("a", fmle=True, wait=False)
    fake.wait_session()
    assert _until_closed(link) >= 0.3
    wait_end(weir, "answer_timeout")
    wait_quiet(weir)
    assert weir.metric("weir_sessions_started_total") == 0


@pytest.mark.parametrize("role", ["player", "publisher"])
def test_idle_timeout(lab, role):
    fake = lab.fake_origin(Behaviour(stall="media"), media=noise_tags(12, step=1))
    weir = lab.weir(origins=[fake], config=quiet(rtmp={"idle_timeout": "1s"}))
    if role == "player":
        link = player(weir, "a")
        link.read_media(10)
    else:
        link = publisher(weir, "a")
        link.publish_tags(noise_tags(10))
        session = fake.wait_session()
        poll("the media at the origin", lambda: len(session.tags) == 10)
    assert _until_closed(link) >= 0.9
    wait_end(weir, "idle_timeout")
    wait_quiet(weir)


def test_one_direction_keeps_a_session_from_being_idle(lab):
    fake = lab.fake_origin(media=noise_tags(50, step=100))
    weir = lab.weir(origins=[fake], config=quiet(rtmp={"idle_timeout": "1s"}))
    link = player(weir, "a")
    link.acknowledge = False
    began = time.monotonic()
    while time.monotonic() - began < 2.6:
        link.read_media(2)
    assert sessions(weir) == 1
    assert weir.metric("weir_session_ends_total", reason="idle_timeout") == 0


def test_slow_viewer_is_ended_and_harms_nobody(lab):
    """One viewer stops reading: another one of the same stream gets all, the slow one is ended."""
    media = noise_tags(40, size=60_000, step=5)
    fake = lab.fake_origin(Behaviour(chunk_size=65536), media=media)
    weir = lab.weir(origins=[fake], config=quiet(rtmp={"stall_timeout": "1s"}))
    slow = player(weir, "a")
    slow.read_media(2)
    fast = player(weir, "a")
    deadline = time.monotonic() + 20
    got = 0
    while weir.metric("weir_session_ends_total", reason="stalled") == 0:
        assert time.monotonic() < deadline, "the slow viewer was never ended"
        tags = fast.read_media(40)
        for tag in tags:
            assert tag.data == media[got % len(media)].data, f"message {got} differs"
            got += 1
    assert got > 40
    fast.read_media(40)
    assert weir.metric("weir_sessions", state="playing") == 1
    slow.close()
    fast.close()
    wait_quiet(weir)


def test_origin_that_does_not_read_ends_its_publisher(lab):
    fake = lab.fake_origin(Behaviour(read_media=False))
    weir = lab.weir(origins=[fake], config=quiet(rtmp={"stall_timeout": "1s"}))
    link = publisher(weir, "a")
    link.timeout = 20
    link.set_chunk_size(65536)
    tag = noise_tags(1, size=60_000)[0]
    with pytest.raises(RtmpError):
        for _ in range(2000):  # 120 MB: more than all buffers on the way
            link.send_tag(tag, link.stream_id)
    wait_end(weir, "stalled")
    wait_quiet(weir)


def test_linger_timeout(lab):
    """After one side's end the other gets linger_timeout, not for ever."""
    fake = lab.fake_origin(Behaviour(stall="media"), media=noise_tags(12, step=1))
    weir = lab.weir(origins=[fake], config=quiet(rtmp={"linger_timeout": "500ms"}))
    link = publisher(weir, "a")
    link.publish_tags(noise_tags(5))
    session = fake.wait_session(ready=lambda s: len(s.tags) == 5)
    session.sock.shutdown(1)  # the origin says no more, but goes on reading
    wait_end(weir, "origin_closed")
    link.wait_closed(5)
    wait_quiet(weir)


def test_handshake_timeout_is_that_of_the_configuration(lab):
    """The default (10 s) leaves a silent client alone for longer than a short one would."""
    weir = lab.weir(origins=[lab.fake_origin()], config=quiet())
    link = client(weir, handshake=None)
    assert weirtest.poll("the connection", lambda: sessions(weir) == 1)
    began = time.monotonic()
    while time.monotonic() - began < 1.0:
        assert sessions(weir) == 1
    link.close()
    wait_end(weir, "client_closed")
