"""What viewers use, on real origins through Weir: FLV, WebSocket-FLV, TS, HLS and DASH."""

import subprocess

import pytest
import weirtest
from weirtest import HttpConnection, poll
from weirtest.node import NodeMediaServer
from weirtest.players import Player, WebSocketFlv


@pytest.fixture(scope="module")
def studio(media):
    """nginx-rtmp and node-media-server with a stream each and a Weir each, and some recordings."""
    with weirtest.Lab() as lab:
        lab.nginx, lab.nms = lab.origin(hls=True), NodeMediaServer(lab)
        lab.files = lab.weir(origins=[lab.nginx], http=True, name="files")
        lab.live = lab.weir(origins=[lab.nms], http=True, name="live")
        for origin in (lab.nginx, lab.nms):
            lab.publish(media, origin.url("live/a"))
            origin.wait_stream("a")
        record(lab, media)
        yield lab


def record(lab, media):
    """rec.ts, rec.m3u8 (fMP4) and rec.mpd among the files of nginx."""
    hls, dash = lab.nginx.dir / "hls", lab.nginx.dir / "dash"
    ffmpeg = ["ffmpeg", "-hide_banner", "-nostdin", "-loglevel", "error", "-i", media, "-c", "copy"]
    lab.run([*ffmpeg, "-f", "mpegts", hls / "rec.ts"])
    lab.run([*ffmpeg, "-f", "hls", "-hls_time", "1", "-hls_playlist_type", "vod", "-hls_segment_type",
             "fmp4", "-hls_fmp4_init_filename", "rec-init.mp4", hls / "rec.m3u8"])
    lab.run([*ffmpeg, "-f", "dash", "-seg_duration", "1", "-init_seg_name",
             "rec-$RepresentationID$-init.m4v", "-media_seg_name", "rec-$RepresentationID$-$Number$.m4v",
             dash / "rec.mpd"])


def play_all(lab, media, kinds, url):
    players = [Player(lab, kind, url) for kind in kinds]
    for player in players:
        player.wait_video(media)


def test_flv_of_node_media_server(studio, media):
    play_all(studio, media, ["ffmpeg", "gst-flv", "vlc"], studio.live.http_url("live/a.flv"))


def start_curl(lab, url):
    output = lab.path(f"curl-{len(lab.processes)}")
    process = lab.start(["curl", "-sSN", "-o", output, url], "curl")
    process.output = output
    return process


def test_flv_bytes_are_the_origins(studio):
    """Tags with their headers and timestamps, as one that plays straight from the origin has them."""
    direct = start_curl(studio, f"http://127.0.0.1:{studio.nms.http_port}/live/a.flv")
    poll("the origin's own", direct.output.exists)
    through = start_curl(studio, studio.live.http_url("live/a.flv"))
    socket = WebSocketFlv(studio.live.http_port, "/live/a.flv")
    poll("enough of it", lambda: through.output.exists() and through.output.stat().st_size > 150_000, 30)
    taken = [through.output.read_bytes(), socket.read(150_000)]
    for data in taken:
        assert data[:4] == b"FLV\x01"
        # The start is metadata and sequence headers for each viewer anew, then all have the same.
        poll("the origin's own, as far", lambda d=data: d[-1000:] in direct.output.read_bytes(), 30)
        assert data[10_000:] in direct.output.read_bytes()
    socket.close()
    for process in (direct, through):
        process.stop()


def test_live_hls_and_dash_of_nginx_rtmp(studio, media):
    for name in ("a.m3u8", "a.mpd"):
        poll(f"{name}", lambda n=name: segments(studio.files, f"/live/{n}") >= 4, 30)
    players = [Player(studio, kind, studio.files.http_url(f"live/a.{extension}"))
               for kind, extension in (("ffmpeg", "m3u8"), ("gst-hls", "m3u8"), ("vlc", "m3u8"),
                                       ("gst-dash", "mpd"), ("vlc", "mpd"))]
    for player in players:  # ffmpeg follows nginx-rtmp's live DASH badly, without Weir too
        player.wait_video(media)


def segments(weir, path):
    with HttpConnection(weir.http_port) as client:
        answer = client.get(path, host="127.0.0.1")
    return answer.body.count(b"#EXTINF") + answer.body.count(b"<S t=") // 2


def test_recorded_ts_fmp4_and_dash(studio, media):
    players = [Player(studio, kind, studio.files.http_url(f"live/rec.{extension}"))
               for kind, extension in (("ffmpeg", "ts"), ("gst-ts", "ts"), ("vlc", "ts"),
                                       ("ffmpeg", "m3u8"), ("vlc", "m3u8"), ("ffmpeg", "mpd"))]
    for player in players:
        player.wait_video(media, frames=100)


def test_files_are_the_origins(studio):
    """curl has every file of a presentation byte by byte, whole and in part."""
    names = [path for kind in ("hls", "dash") for path in (studio.nginx.dir / kind).glob("rec*")
             if path.suffix in (".ts", ".m4s", ".mp4", ".m4v")]
    assert len(names) > 15
    for path in names:
        url = studio.files.http_url(f"live/{path.name}")
        whole = subprocess.run(["curl", "-sSf", url], capture_output=True, timeout=30, check=True).stdout
        part = subprocess.run(["curl", "-sSf", "-r", "100-299", url], capture_output=True, timeout=30,
                              check=True).stdout
        data = path.read_bytes()
        assert (whole, part) == (data, data[100:300]), path.name
