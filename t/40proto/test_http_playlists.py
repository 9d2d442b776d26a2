"""Rewritten playlists are read as their originals by ffprobe and hls.js; LL-HLS blocking reloads."""

import json
import subprocess
import threading
import time

from weirtest import HttpConnection, HttpOrigin, poll, repo_dir
from weirtest.node import node_modules

LL_HLS = """#EXTM3U
#EXT-X-TARGETDURATION:4
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.5,CAN-SKIP-UNTIL=24
#EXT-X-PART-INF:PART-TARGET=0.5
#EXT-X-VERSION:9
#EXT-X-MEDIA-SEQUENCE:266
#EXT-X-MAP:URI="init.mp4"
#EXTINF:4.0,
f266.mp4
#EXTINF:4.0,
f267.mp4?part=1
#EXT-X-PART:DURATION=0.5,URI="f268.0.mp4",INDEPENDENT=YES
#EXT-X-PART:DURATION=0.5,URI="/live/f268.1.mp4"
#EXT-X-PRELOAD-HINT:TYPE=PART,URI="f268.2.mp4"
#EXT-X-RENDITION-REPORT:URI="../1M/w.m3u8",LAST-MSN=266,LAST-PART=3
"""
# A master as SRS writes it for hls_ctx, and a media playlist with the URIs that real ones have.
SRS_MASTER = ("#EXTM3U\r\n#EXT-X-STREAM-INF:BANDWIDTH=1,AVERAGE-BANDWIDTH=1\r\n"
              "/live/media.m3u8?hls_ctx=7i2q0y1w&token=a%2Bb\r\n")
MIXED = """#EXTM3U\r
#EXT-X-TARGETDURATION:2\r
#EXT-X-MEDIA-SEQUENCE:41\r
#EXT-X-KEY:METHOD=AES-128,URI="/keys/41.key?k=1",IV=0x00000000000000000000000000000029\r
#EXTINF:2.0,a title, with a comma\r
41.ts?hls_ctx=7i2q0y1w\r
#EXTINF:2.0,\r
/live/a/42.ts\r
#EXTINF:2.0,\r
http://cdn.test/live/43.ts\r
#EXT-X-DISCONTINUITY\r
#EXTINF:2.0,\r
../live/44%20x.ts#t=1\r
"""


def long_playlist(size):
    head = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:0\n"
    line = "#EXTINF:2.000,\nsegment-%06d.ts\n"
    return head + "".join(line % n for n in range(size // len(line % 0)))


def make_presentations(lab, media, directory):
    """What ffmpeg's muxers write: names of the playlists to open."""
    (directory / "key").write_bytes(bytes(range(16)))
    info = lab.path("key_info")
    info.write_text(f"/live/key\n{directory}/key\n000102030405060708090a0b0c0d0e0f\n")
    common = ["ffmpeg", "-hide_banner", "-nostdin", "-loglevel", "error", "-i", media, "-c", "copy"]
    hls = ["-f", "hls", "-hls_time", "2", "-hls_playlist_type", "vod"]
    (directory / "var").mkdir()
    segments = ["-hls_segment_filename"]
    for arguments in (
            [*hls, directory / "mpegts.m3u8"],
            [*hls, "-hls_segment_type", "fmp4", "-hls_fmp4_init_filename", "fmp4-init.mp4",
             directory / "fmp4.m3u8"],
            [*hls, "-hls_flags", "single_file", directory / "ranges.m3u8"],
            [*hls, "-hls_key_info_file", info, directory / "keys.m3u8"],
            ["-map", "0:v", "-map", "0:a", *hls, "-master_pl_name", "master.m3u8", "-var_stream_map",
             "a:0,agroup:snd v:0,agroup:snd", *segments, directory / "var/%v-%d.ts",
             directory / "var/%v.m3u8"]):
        lab.run([*common, *arguments], name="ffmpeg-hls")
    return ["mpegts.m3u8", "fmp4.m3u8", "ranges.m3u8", "keys.m3u8", "var/master.m3u8"]


def ffprobe(url):
    """Streams with their packets counted, and the digest of every packet of the video."""
    common = ["-hide_banner", "-loglevel", "error", "-allowed_extensions", "ALL"]
    probe = subprocess.run(["ffprobe", *common, "-count_packets", "-show_entries",
                            "stream=codec_name,codec_type,nb_read_packets", "-of", "json", url],
                           capture_output=True, text=True, timeout=60, check=True)
    digests = subprocess.run(["ffmpeg", *common, "-nostdin", "-i", url, "-map", "0", "-c", "copy", "-f",
                              "streamhash", "-"], capture_output=True, text=True, timeout=60, check=True)
    return json.loads(probe.stdout)["streams"], sorted(digests.stdout.split())


def test_ffprobe_reads_what_the_origin_wrote(lab, media):
    origin = lab.origin(hls=True)
    weir = lab.weir(origins=[origin], http=True)
    for name in make_presentations(lab, media, origin.dir / "hls"):
        direct = ffprobe(f"http://127.0.0.1:{origin.http_port}/live/{name}")
        through = ffprobe(weir.http_url(f"live/{name}"))
        assert sum(int(s["nb_read_packets"]) for s in through[0]) > 300, name
        assert through == direct, name
    assert weir.metric("weir_http_hint_routes_total") > 20


def hls_js(playlists):
    """What hls.js reads from [(url, text)]."""
    done = subprocess.run(["node", repo_dir() / "t/support/node/playlists.mjs",
                           node_modules() / "hls.js/dist/hls.mjs"],
                          input=json.dumps([{"url": u, "text": t} for u, t in playlists]),
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def without_hint(uri):
    """The URI as it was, and whether it had a hint."""
    address, fragment_mark, fragment = uri.partition("#")
    path, _, query = address.partition("?")
    fields = [f for f in query.split("&") if f]
    kept = [f for f in fields if not f.startswith("weir=")]
    return path + ("?" + "&".join(kept) if kept else "") + fragment_mark + fragment, kept != fields


def test_hls_js_reads_what_the_origin_wrote(lab, media):
    directory = lab.path("corpus")
    directory.mkdir()
    names = make_presentations(lab, media, directory)
    texts = {name: (directory / name).read_text() for name in [*names, "var/0.m3u8", "var/1.m3u8"]}
    texts |= {"ll.m3u8": LL_HLS, "srs.m3u8": SRS_MASTER, "mixed.m3u8": MIXED,
              "long.m3u8": long_playlist(5_000_000)}
    origin = HttpOrigin(lab, lambda call: call.answer(
        200, texts[call.path.removeprefix("/live/")].encode(),
        {"Content-Type": "application/vnd.apple.mpegurl"}))
    weir = lab.weir(origins=[origin], http={"playlist_max": "16m"})
    pairs = []
    with HttpConnection(weir.http_port, timeout=30) as client:
        for name, text in texts.items():
            answer = client.get(f"/live/{name}", host="weir.test")
            assert answer.status == 200, name
            pairs += [(f"http://weir.test/live/{name}", t) for t in (text, answer.body.decode())]
    read = hls_js(pairs)
    for number, name in enumerate(texts):
        before, after = read[2 * number:2 * number + 2]
        assert after["error"] is None and after["uris"], (name, after["error"])
        for was, now in zip(before.pop("uris"), after.pop("uris"), strict=True):
            uri, hinted = without_hint(now)
            assert uri == was, name
            assert hinted == was.startswith("http://weir.test/"), name
        assert after == before, name


def test_blocking_reload_is_held_as_long_as_the_origin_holds_it(lab):
    release = threading.Event()
    lab.at_close(release.set)

    def serve(call):
        if "_HLS_msn=268" in call.path:
            release.wait(60)
        call.answer(200, LL_HLS.encode(), {"Content-Type": "application/vnd.apple.mpegurl"})
    origin = HttpOrigin(lab, serve)
    weir = lab.weir(origins=[origin], http=True)
    query = "token=t&_HLS_msn=268&_HLS_part=2&_HLS_skip=YES"
    with HttpConnection(weir.http_port, 30) as held, HttpConnection(weir.http_port) as other:
        held.send(f"GET /live/ll.m3u8?{query} HTTP/1.1\r\nHost: weir.test\r\n\r\n")
        poll("the origin has the request", lambda: origin.paths == [f"/live/ll.m3u8?{query}"])
        until = time.monotonic() + 4

        def others_are_served():  # the worker goes on meanwhile
            assert other.get("/live/ll.m3u8").status == 200
            return time.monotonic() > until
        poll("four seconds", others_are_served, interval=0.2)
        held.sock.settimeout(0.05)
        try:
            assert held.sock.recv(1) == b"never", "answered before the origin has"
        except TimeoutError:
            held.sock.settimeout(30)
        release.set()
        answer = held.read_answer()
    assert answer.status == 200
    text = answer.body.decode()
    # The next reload carries a new position; none of the old one may be in a URI.
    assert "_HLS_" not in text
    assert text.count("token=t") == text.count("weir=") == 7
