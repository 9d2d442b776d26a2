"""The harness itself, without Weir: what it measures later must hold for a bare origin first."""

import os
import subprocess
import sys

import pytest
from weirtest import Behaviour, RtmpClient, RtmpError, assert_same_media, flv, media as clients, poll, repo_dir
from weirtest.netns import can_hide_mounts
from weirtest.rtmp import make_aggregate


def test_ffmpeg_through_nginx_keeps_packets(lab, media):
    origin = lab.origin()
    lab.publish(media, origin.url("live/a"))
    origin.wait_stream("a")
    assert_same_media(media, lab.play(origin.url("live/a"), seconds=2))


def test_rtmpdump_keeps_packets(lab, media):
    origin = lab.origin()
    lab.publish(media, origin.url("live/a"))
    origin.wait_stream("a")
    assert_same_media(media, lab.rtmpdump(origin.url("live/a"), size=60_000))


def test_gstreamer_publishes_and_plays(lab, media):
    origin = lab.origin()
    lab.gst_publish(media, origin.url("live/g"))
    origin.wait_stream("g")
    assert_same_media(media, lab.gst_play(origin.url("live/g"), size=40_000), minimum=10)


def test_comparison_sees_a_changed_packet(lab, media):
    tags = flv.read(media)
    victim = [t for t in tags if t.packet()][40]
    victim.data = victim.data[:-1] + bytes([victim.data[-1] ^ 1])
    flv.write(lab.path("bad.flv"), tags)
    with pytest.raises(AssertionError, match="differs"):
        assert_same_media(media, lab.path("bad.flv"))


def test_comparison_sees_a_lost_packet(lab, media):
    tags = flv.read(media)
    tags.remove([t for t in tags if t.packet()][40])
    flv.write(lab.path("short.flv"), tags)
    with pytest.raises(AssertionError, match="differs"):
        assert_same_media(media, lab.path("short.flv"))


@pytest.mark.parametrize("handshake", ["simple", "digest"])
@pytest.mark.parametrize("compress", ["full", "delta", "max"])
def test_raw_client_against_nginx(lab, media, handshake, compress):
    origin = lab.origin()
    tags = flv.read(media)
    with RtmpClient(port=origin.rtmp_port, handshake=handshake) as publisher, \
            RtmpClient(port=origin.rtmp_port, handshake=handshake) as player:
        publisher.out.compress = compress
        publisher.connect("live")
        publisher.set_chunk_size(1000)
        publisher.publish("raw", fmle=True)
        player.connect("live")
        player.play("raw", wait=False)
        poll("the player", lambda: origin.players("raw") == 1)
        publisher.publish_tags(tags)
        assert_same_media(tags, player.read_media(150))


def test_extended_timestamps_through_nginx(lab, media):
    origin = lab.origin()
    with RtmpClient(port=origin.rtmp_port) as publisher, \
            RtmpClient(port=origin.rtmp_port) as player:
        publisher.connect("live")
        publisher.publish("late")
        player.connect("live")
        player.play("late", wait=False)
        poll("the player", lambda: origin.players("late") == 1)
        publisher.publish_tags(flv.read(media), base=0x1000000)
        played = player.read_media(100)
        assert_same_media(media, played)
        assert max(t.timestamp for t in played) >= 0x1000000


def test_origin_that_denies(lab):
    origin = lab.origin(deny_publish=True)
    with RtmpClient(port=origin.rtmp_port) as client:
        client.connect("live")
        client.publish("no", wait=False)
        client.wait_closed()  # nginx-rtmp may say Publish.Start before it closes
    assert origin.streams() == []


def test_notify_server_hears_queries(lab):
    notify = lab.notify()
    origin = lab.origin(notify=notify)
    with RtmpClient(port=origin.rtmp_port) as client:
        client.connect("live", tc_url=f"{origin.url('live')}?vhost=v.example&token=1")
        client.publish("s?key=2")
        call = notify.wait("publish")
    assert call["tcurl"].endswith("?vhost=v.example&token=1")
    assert (call["name"], call["key"]) == ("s", "2")


@pytest.mark.parametrize("behaviour", [
    Behaviour(), Behaviour(stream_id=5, compress="max", chunk_size=300),
    Behaviour(timestamp_base=0x1000000, chunk_size=128), Behaviour(aggregate=5),
    Behaviour(split=7, csid_offset=70, late_chunk_size=65536),
], ids=["plain", "compressed", "extended", "aggregate", "split"])
def test_raw_client_against_fake_origin(lab, media, behaviour):
    behaviour.realtime = False
    fake = lab.fake_origin(behaviour, media=flv.read(media))
    with RtmpClient(port=fake.rtmp_port, handshake="digest") as client:
        client.connect("live?x=1", fourCcList=["hvc1"])
        client.play("s?y=2")
        assert client.stream_id == behaviour.stream_id
        assert_same_media(media, client.read_media(200))
    session = fake.wait_session()
    assert session.connect_object["app"] == "live?x=1"
    assert session.connect_object["fourCcList"] == ["hvc1"]
    assert session.play_name == "s?y=2"


def test_fake_origin_records_what_is_published(lab, media):
    fake = lab.fake_origin()
    tags = [t for t in flv.read(media) if t.type != flv.SCRIPT][:100]
    with RtmpClient(port=fake.rtmp_port) as client:
        client.connect()
        client.publish("p")
        client.send(22, make_aggregate(tags[:10]), client.stream_id, csid=7,
                    timestamp=tags[0].timestamp)
        client.publish_tags(tags[10:])
        session = fake.wait_session(ready=lambda s: len(s.tags) == len(tags))
    assert session.tags == tags


def test_fake_origin_refuses(lab):
    fake = lab.fake_origin(Behaviour(reject_play="NetStream.Play.StreamNotFound"))
    with RtmpClient(port=fake.rtmp_port) as client:
        client.connect()
        with pytest.raises(RtmpError) as caught:
            client.play("none")
    assert caught.value.code == "NetStream.Play.StreamNotFound"


def test_enhanced_hevc_tags(lab):
    tags = clients.hevc_tags(seconds=1)
    assert tags[0].is_sequence_header and tags[0].data[:5] == b"\x90hvc1"
    assert tags[1].is_key and len(flv.packets(tags)) == 25
    origin = lab.origin(wait_key=False)
    with RtmpClient(port=origin.rtmp_port) as publisher, \
            RtmpClient(port=origin.rtmp_port) as player:
        publisher.connect("live", fourCcList=["hvc1"])
        publisher.publish("h")
        player.connect("live", fourCcList=["hvc1"])
        player.play("h", wait=False)
        poll("the player", lambda: origin.players("h") == 1)
        for _ in range(5):
            publisher.publish_tags(tags)
        assert_same_media(tags, player.read_media(50))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: mounts")
def test_namespaces_in_a_root_that_is_no_mount_point(lab):
    """A plain chroot, as scripts/check-chroot makes one."""
    root = lab.path("root")
    code = ("import weirtest\nfrom weirtest.netns import Link, bind_in\n"
            "with weirtest.Lab() as lab:\n"
            "    link = Link(lab)\n"
            "    assert link.far in link.run('ip', 'addr') and link.near not in link.run('ip', 'addr')\n"
            "    lab.path('a').write_text('seen'); lab.path('b').touch()\n"
            "    words = bind_in(lab, lab.path('a'), str(lab.path('b')), 'grep', 'seen', str(lab.path('b')))\n"
            "    assert lab.start(words, 'bound').wait(10) == 0\n")
    words = [sys.executable, "-c", code]
    script = """set -e
        for name in bin sbin lib lib64; do [ ! -L /$name ] || ln -s "$(readlink /$name)" "$0/$name"; done
        for folder in /*; do
          [ ! -L "$folder" ] && [ -d "$folder" ] && [ -n "$(ls -A "$folder")" ] || continue
          mkdir "$0$folder"
          mount --rbind "$folder" "$0$folder"
        done
        exec chroot "$0" "$@" """
    root.mkdir()
    if can_hide_mounts():  # else we are in such a root
        words = ["unshare", "--mount", "sh", "-c", script, root, *words]
    done = subprocess.run(words,
                          env={**os.environ, "PYTHONPATH": str(repo_dir() / "t/support")}, timeout=60,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
