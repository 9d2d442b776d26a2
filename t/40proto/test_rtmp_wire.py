"""What the wire format leaves open: timestamps, chunk sizes, aggregates, big streams, Enhanced RTMP."""

import hashlib
import struct
import threading
import time

import pytest

from rtmp_helpers import (client, noise_tags, player, publisher, quiet, same_bytes,
                          same_tags, wait_quiet)
from weirtest import Behaviour, Message, assert_same_media, fakeorigin, flv, media as media_module
from weirtest import poll
from weirtest.rtmp import ABORT, AGGREGATE, make_aggregate

# Just below 2^24-1, just below 2^31, and at the end of the 32-bit range, which wraps.
BASES = [0xFFFFFF - 400, 0x7FFFFFFF - 400, 0xFFFFFFFF - 400]


def _moved(tags, base):
    return [flv.Tag(t.type, base + t.timestamp & 0xFFFFFFFF, t.data) for t in tags]


# ---- timestamps

@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("compress", ["full", "max"])
def test_published_timestamps(lab, base, compress):
    fake = lab.fake_origin()
    weir = lab.weir(origins=[fake], config=quiet())
    tags = noise_tags(60, step=20)
    link = client(weir)
    link.out.compress = compress
    link.connect("live")
    link.publish("a", fmle=True)
    link.publish_tags(tags, base=base)
    session = fake.wait_session(ready=lambda s: len(s.tags) == 60)
    same_tags(_moved(tags, base), session.tags)
    same_bytes(session, link)


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("stream_id", [1, 7])
def test_played_timestamps(lab, base, stream_id):
    """Both when Weir moves bytes in the kernel and when it must rewrite stream ids for good."""
    media = noise_tags(60, step=10)
    fake = lab.fake_origin(Behaviour(timestamp_base=base, stream_id=stream_id, compress="max",
                                     chunk_size=200), media=media)
    weir = lab.weir(origins=[fake], config=quiet())
    with player(weir, "a") as link:
        same_tags(_moved(media, base), link.read_media(60))


@pytest.mark.parametrize("stream_id", [1, 7])
def test_sender_that_does_not_repeat_the_extended_timestamp(lab, stream_id):
    """Some leave it out of fmt 3 chunks. Such bytes pass as they are, and parsing is not misled."""
    fake = lab.fake_origin(Behaviour(stream_id=stream_id, read_media=False))
    weir = lab.weir(origins=[fake], config=quiet())
    tags = noise_tags(40, size=600)
    link = client(weir)
    link.out.repeat_extended = False
    link.connect("live")
    link.publish("a", fmle=True)
    before = len(link.sent)
    link.publish_tags(tags, base=0x1000000)
    sent = bytes(link.sent[before:])
    session = fake.wait_session()
    session.within(10)  # its own decoder expects the repetition, so the bytes are read here
    got = session.recv(len(sent))
    if stream_id == 1:
        assert got == sent
    else:
        # Only the ids in full headers differ: 4 bytes of each message.
        differing = sum(a != b for a, b in zip(got, sent))
        assert len(got) == len(sent) and differing == 40
    assert weir.metric("weir_sessions", state="publishing") == 1


def test_origin_that_does_not_repeat_the_extended_timestamp(lab, monkeypatch):
    sent = {}
    send_raw = fakeorigin.Session.send_raw

    def recording(self, data):
        sent.setdefault(self.number, bytearray()).extend(data)
        send_raw(self, data)
    monkeypatch.setattr(fakeorigin.Session, "send_raw", recording)
    fake = lab.fake_origin(Behaviour(repeat_extended=False, timestamp_base=0x1000000, chunk_size=128,
                                     realtime=False, stall="media"), media=noise_tags(12, size=700))
    weir = lab.weir(origins=[fake], config=quiet())
    link = client(weir)
    link.keep_raw = True
    link.connect("live")
    link.play("a")
    body = fake.media[0].data
    media_at = poll("media sent", lambda: bytes(sent.get(0, b"")).find(body[:100]) - 16)
    expected = bytes(sent[0][media_at:])

    def received():
        link.within(0.2)
        try:
            link.recv(len(link._buffer) + 1)
        except Exception:  # pylint: disable=broad-except
            pass  # nothing more came in this while
        return expected in bytes(link.raw)
    poll("the origin's bytes at the player", received, 5)


def test_ffmpeg_beyond_the_24_bits(lab, media):
    """Real media that crosses 0xFFFFFF ms (4 h 40 min) a moment after its start."""
    origin = lab.origin()
    weir = lab.weir(origins=[origin], config=quiet())
    lab.start(["ffmpeg", "-hide_banner", "-loglevel", "warning", "-nostdin", "-re", "-stream_loop",
               "-1", "-i", media, "-c", "copy", "-output_ts_offset", "16775", "-f", "flv", "-flvflags",
               "no_duration_filesize", weir.url("live/a")], "ffmpeg-late")
    origin.wait_stream("a")
    with player(weir, "a") as link:
        stamps = [t.timestamp for t in link.read_media(150, timeout=20) if t.packet()]
    assert stamps[0] > 0xFFFFFF - 10_000 and stamps[-1] > 0xFFFFFF
    assert_same_media(media, lab.play(weir.url("live/a"), seconds=2))


# ---- chunk sizes and headers

SIZES = [128, 129, 1000, 4096, 60_000, 65_536]


@pytest.mark.parametrize("stream_id", [1, 5])
def test_chunk_sizes_of_the_publisher(lab, stream_id):
    """Set before connect, between commands, before and within the media: up and down."""
    fake = lab.fake_origin(Behaviour(stream_id=stream_id))
    weir = lab.weir(origins=[fake], config=quiet())
    link = client(weir)
    link.set_chunk_size(SIZES[-1])
    link.connect("live")
    link.set_chunk_size(SIZES[0])
    link.create_stream()
    link.set_chunk_size(SIZES[3])
    link.publish("a")
    sent = []
    for size in SIZES + SIZES[::-1]:
        link.set_chunk_size(size)
        tags = noise_tags(6, size=5000, seed=size) + noise_tags(1, size=200_000, seed=size + 1)
        link.publish_tags(tags)
        sent += tags
    session = fake.wait_session(ready=lambda s: len(s.tags) == len(sent), timeout=20)
    same_tags(sent, session.tags)
    if stream_id == 1:
        same_bytes(session, link)


@pytest.mark.parametrize("late", [128, 65_536])
@pytest.mark.parametrize("size", [128, 300, 65_536])
def test_chunk_sizes_of_the_origin(lab, size, late):
    media = noise_tags(40, size=2000, step=2)
    for stream_id in (1, 5):
        fake = lab.fake_origin(Behaviour(chunk_size=size, late_chunk_size=late, stream_id=stream_id),
                               media=media)
        weir = lab.weir(origins=[fake], config=quiet(), name=f"weir{stream_id}")
        with player(weir, "a") as link:
            same_tags(media, link.read_media(40))


@pytest.mark.parametrize("csid_bytes", [2, 3])
def test_wide_chunk_stream_ids(lab, csid_bytes):
    fake = lab.fake_origin()
    weir = lab.weir(origins=[fake], config=quiet())
    link = client(weir)
    link.out.csid_bytes = csid_bytes
    link.connect("live")
    link.publish("a")
    tags = noise_tags(20)
    for number, tag in enumerate(tags):
        link.send(tag.type, tag.data, link.stream_id, csid=64 + number, timestamp=tag.timestamp)
    session = fake.wait_session(ready=lambda s: len(s.tags) == 20)
    same_tags(tags, session.tags)
    same_bytes(session, link)


def test_abort_and_interleaved_messages(lab):
    """Chunks of audio between those of a video message; an aborted message; then all goes on."""
    fake = lab.fake_origin()
    weir = lab.weir(origins=[fake], config=quiet())
    link = client(weir)
    link.connect("live")
    link.publish("a")
    video = b"\x17\x01\0\0\0" + bytes(300)
    head = bytes([6]) + b"\0\0\x05" + len(video).to_bytes(3, "big") + b"\x09"
    head += struct.pack("<I", link.stream_id)
    link.send_raw(head + video[:128])
    link.send_raw(bytes([2]) + b"\0\0\0" + b"\0\0\4" + bytes([ABORT]) + bytes(4) + b"\0\0\0\6")
    link.publish_tags(noise_tags(9))
    session = fake.wait_session()
    same_bytes(session, link)
    assert weir.metric("weir_sessions", state="publishing") == 1


# ---- aggregates

@pytest.mark.parametrize("stream_id", [1, 5])
def test_aggregate_messages(lab, stream_id):
    media = noise_tags(60, step=5)
    fake = lab.fake_origin(Behaviour(aggregate=3, stream_id=stream_id), media=media)
    weir = lab.weir(origins=[fake], config=quiet())
    with player(weir, "a") as link:
        same_tags(media, link.read_media(60))
    with publisher(weir, "b") as link:
        for at in range(0, 60, 4):
            link.send(AGGREGATE, make_aggregate(media[at:at + 4]), link.stream_id, csid=7,
                      timestamp=media[at].timestamp)
        session = fake.wait_session(ready=lambda s: len(s.tags) == 60)
        same_tags(media, session.tags)
        assert {m[0] for m in session.messages if m[1] == stream_id} >= {AGGREGATE}


# ---- 100 Mbit/s

def test_100_mbit(lab, media):
    """Five seconds of 25 frames a second, 500 kB each, through nginx: all arrive, in time."""
    origin = lab.origin(max_message="4M", chunk_size=65_536)
    weir = lab.weir(origins=[origin], config=quiet())
    head = next(t for t in flv.read(media) if t.type == flv.VIDEO and t.is_sequence_header)
    block = bytes(range(256)) * 1954
    frames, digests = [], []
    for number in range(125):
        kind = b"\x17" if number % 25 == 0 else b"\x27"
        body = kind + b"\x01\0\0\0" + struct.pack(">II", len(block) + 4, number) + block
        frames.append(flv.Tag(flv.VIDEO, 40 * number, body))
        digests.append(hashlib.sha1(body).digest())
    source = publisher(weir, "big", timeout=30)
    source.set_chunk_size(65_536)
    source.send_tag(head, source.stream_id)
    viewer = player(weir, "big", timeout=30)
    began = time.monotonic()
    thread = threading.Thread(target=source.publish_tags, args=(frames, True), daemon=True)
    thread.start()
    got = []
    while len(got) < len(frames):
        for tag in viewer.read_media(1):
            if tag.packet():
                got.append(hashlib.sha1(tag.data).digest())
    took = time.monotonic() - began
    thread.join(10)
    assert got == digests
    assert took < 15, f"5 s of media took {took:.1f} s"
    poll("bytes counted", lambda: min(
        weir.metric("weir_bytes_total", direction=d) for d in ("from_client", "to_client"))
        >= 125 * len(block))
    source.close()
    viewer.close()
    wait_quiet(weir)


# ---- Enhanced RTMP

CAPABILITIES = {
    "fourCcList": ["av01", "vp09", "hvc1", "Opus"],
    "videoFourCcInfoMap": {"*": 1.0, "hvc1": 7.0, "av01": 4.0},
    "audioFourCcInfoMap": {"Opus": 4.0, "mp4a": 2.0},
    "capsEx": 15.0,
    "videoFunction": 1.0,
    "objectEncoding": 0.0,
}


@pytest.mark.parametrize("role", ["publish", "play"])
def test_enhanced_connect_object_reaches_the_origin(lab, role):
    fake = lab.fake_origin(media=noise_tags(4))
    weir = lab.weir(origins=[fake], config=quiet())
    link = client(weir)
    answer = link.connect("live", **CAPABILITIES)
    getattr(link, role)("a")
    session = fake.wait_session()
    assert {k: session.connect_object[k] for k in CAPABILITIES} == CAPABILITIES
    same_bytes(session, link)
    # Weir can't know the origin yet, so it must not promise anything in its name.
    promised = {k for part in answer[2:] if isinstance(part, dict) for k in part}
    assert not promised & {"fourCcList", "videoFourCcInfoMap", "audioFourCcInfoMap", "capsEx"}


@pytest.mark.parametrize("coded_frames_x", [False, True])
@pytest.mark.parametrize("stream_id", [1, 5])
def test_enhanced_hevc(lab, coded_frames_x, stream_id):
    tags = media_module.hevc_tags(seconds=2, coded_frames_x=coded_frames_x)
    assert tags[0].data[:5] == b"\x90hvc1" and len(tags) == 51
    fake = lab.fake_origin(Behaviour(realtime=False, stream_id=stream_id), media=tags)
    weir = lab.weir(origins=[fake], config=quiet())
    with publisher(weir, "a") as link:
        link.publish_tags(tags)
        session = fake.wait_session(ready=lambda s: len(s.tags) == len(tags))
        same_tags(tags, session.tags)
    with player(weir, "b") as link:
        same_tags(tags, link.read_media(len(tags)))


def test_enhanced_hevc_through_nginx(lab):
    """nginx-rtmp knows nothing of Enhanced RTMP and passes it; so does Weir on both sides of it."""
    tags = media_module.hevc_tags(seconds=2)
    origin = lab.origin(wait_key=False)
    weir = lab.weir(origins=[origin], config=quiet())
    source = client(weir)
    source.connect("live", fourCcList=["hvc1"])
    source.publish("h")
    viewer = client(weir)
    viewer.connect("live", fourCcList=["hvc1"])
    viewer.play("h")
    poll("the viewer at nginx", lambda: origin.players("h") == 1)
    source.publish_tags(tags)
    got = []
    while len(got) < len(tags):
        got += [t for t in viewer.read_media(1) if t.type == flv.VIDEO]
    assert [t.data for t in got] == [t.data for t in tags]


def test_reconnect_request_reaches_the_client(lab):
    """NetConnection.Connect.ReconnectRequest of an origin passes; it is no answer to play."""
    fake = lab.fake_origin(media=noise_tags(30))
    weir = lab.weir(origins=[fake], config=quiet())
    link = client(weir)
    link.connect("live", capsEx=1.0)
    link.play("a")
    session = fake.wait_session()
    session.command("onStatus", 0, None, {
        "level": "status", "code": "NetConnection.Connect.ReconnectRequest",
        "tcUrl": "rtmp://other.example.org/live"})
    info = link.wait_status("NetConnection.Connect.ReconnectRequest")
    assert info["tcUrl"] == "rtmp://other.example.org/live"
    assert isinstance(link.read_message(), Message)
