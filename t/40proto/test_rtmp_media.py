"""Per-packet hashes through Weir and nginx-rtmp: what was published is what is played, bit by bit
and in order from the first key frame on, for ffmpeg, librtmp and GStreamer as publishers and players."""

import pytest

from rtmp_helpers import quiet, wait_quiet
from weirtest import assert_same_media, flv, poll

SIZE = 40_000


def _publish(lab, tool, path, url):
    if tool == "ffmpeg":
        return lab.publish(path, url)
    if tool == "rtmp2sink":
        return lab.gst_publish(path, url)
    # librtmp as publisher: GStreamer's older rtmpsink is built on it.
    return lab.start(["gst-launch-1.0", "-q", "filesrc", f"location={path}", "!", "flvdemux",
                      "name=d", "flvmux", "name=m", "streamable=true", "!", "rtmpsink",
                      f"location={url} live=1", "sync=true", "d.video", "!", "queue", "!",
                      "h264parse", "!", "m.", "d.audio", "!", "queue", "!", "aacparse", "!", "m."],
                     "rtmpsink")


def _play(lab, tool, url):
    if tool == "ffmpeg":
        return lab.play(url, seconds=2)
    if tool == "rtmpdump":
        return lab.rtmpdump(url, size=SIZE)
    return lab.gst_play(url, size=SIZE)


@pytest.mark.parametrize("publisher", ["ffmpeg", "librtmp", "rtmp2sink"])
def test_packets_are_the_same(lab, publisher):
    path = lab.media(seconds=20)
    origin = lab.origin()
    weir = lab.weir(origins=[origin], workers=2, config=quiet())
    source = _publish(lab, publisher, path, weir.url("live/a"))
    origin.wait_stream("a")
    for player in ("ffmpeg", "rtmpdump", "rtmp2src"):
        out = _play(lab, player, weir.url("live/a"))
        assert_same_media(path, out)
        assert source.alive, source.log()
    source.kill()
    wait_quiet(weir)
    assert weir.metric("weir_sessions_started_total", role="player") == 3
    assert weir.metric("weir_sessions_started_total", role="publisher") == 1


def test_no_delay_and_long_delay(lab, media):
    """relay_delay moves packets in time, never in order or content."""
    origin = lab.origin()
    for number, delay in enumerate(("0", "300ms")):
        weir = lab.weir(origins=[origin], config=quiet(rtmp={"relay_delay": delay}),
                        name=f"weir{number}")
        source = lab.publish(media, weir.url(f"live/a{number}"))
        origin.wait_stream(f"a{number}")
        assert_same_media(media, lab.play(weir.url(f"live/a{number}"), seconds=2))
        source.kill()


def test_republish(lab, media):
    """A publisher that comes back finds its origin again, and so do its viewers."""
    origins = [lab.origin(name="a"), lab.origin(name="b")]
    weir = lab.weir(origins=origins, config=quiet())
    places = []
    for _ in range(2):
        source = lab.publish(media, weir.url("live/a"))
        weir.wait_metric(1, "weir_sessions", state="publishing")
        home = poll("the stream at an origin",
                    lambda: next((o for o in origins if "a" in o.streams()), None))
        places.append(home.name)
        out = lab.play(weir.url("live/a"), seconds=1)
        assert_same_media(media, out, minimum=10)
        source.kill()
        wait_quiet(weir)
    assert len(set(places)) == 1


def test_comparison_notices(lab, media):
    """The comparison itself: a changed byte, a lost and a swapped packet are seen."""
    tags = flv.read(media)
    good = lab.path("good.flv")
    flv.write(good, tags)
    assert_same_media(media, good)
    video = [i for i, t in enumerate(tags) if t.packet() and t.type == flv.VIDEO]
    middle = video[len(video) // 2]
    changed = list(tags)
    changed[middle] = flv.Tag(9, tags[middle].timestamp, tags[middle].data[:-1] + b"\x5a\x5b")
    lost = tags[:middle] + tags[middle + 1:]
    swapped = list(tags)
    other = video[len(video) // 2 + 1]
    swapped[middle], swapped[other] = tags[other], tags[middle]
    for name, wrong in (("changed", changed), ("lost", lost), ("swapped", swapped)):
        path = lab.path(f"{name}.flv")
        flv.write(path, wrong)
        with pytest.raises(AssertionError):
            assert_same_media(media, path)
