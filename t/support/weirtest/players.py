"""Players of HTTP streams in the background: ffmpeg, GStreamer, VLC, curl, and WebSocket-FLV.

    player = start_player(lab, "vlc", url)      # "ffmpeg", "gst-flv", "gst-hls", "gst-dash", "vlc"
    player.wait_video(media)                    # what it demuxed is a run of what was published

Each writes the video that it demuxed, as H.264 in the form of Annex B or within an MPEG-TS. Compared
are the coded slices, each as a digest: servers and demuxers add parameter sets and delimiters where
they like, but no slice may be changed, missing or repeated.
"""

import base64
import hashlib
import os
import re
import subprocess

from .httporigin import HttpConnection
from .process import poll

_SLICES = (1, 5)
_GST = {
    "gst-flv": "souphttpsrc location={url} ! flvdemux name=d d.video ! queue ! h264parse !"
               " video/x-h264,stream-format=byte-stream,alignment=au ! filesink location={out}",
    "gst-hls": "souphttpsrc location={url} ! hlsdemux ! tsdemux ! h264parse !"
               " video/x-h264,stream-format=byte-stream,alignment=au ! filesink location={out}",
    "gst-ts": "souphttpsrc location={url} ! tsdemux ! h264parse !"
              " video/x-h264,stream-format=byte-stream,alignment=au ! filesink location={out}",
    "gst-dash": "souphttpsrc location={url} ! dashdemux name=d d.video_00 ! queue ! qtdemux ! h264parse !"
                " video/x-h264,stream-format=byte-stream,alignment=au ! filesink location={out}",
}


def slices(annexb):
    """Digests of the coded slices of an H.264 elementary stream, but for the last one."""
    out = []
    for unit in re.split(b"\0\0\1", annexb)[1:]:
        if unit and unit[0] & 0x1F in _SLICES:
            out.append(hashlib.sha1(unit.rstrip(b"\0")).digest())
    return out[:-1]


def to_annexb(path):
    """The video of any file, by ffmpeg; empty if there is none yet."""
    done = subprocess.run(["ffmpeg", "-hide_banner", "-nostdin", "-loglevel", "quiet", "-i", path,
                           "-map", "0:v:0", "-c", "copy", "-bsf:v", "h264_mp4toannexb", "-f", "h264",
                           "-"], stdout=subprocess.PIPE, timeout=60, check=False)
    return done.stdout


def is_run_of(published, played):
    """Whether `played` are consecutive items of the endlessly repeated `published`."""
    starts = [i for i, item in enumerate(published) if played and item == played[0]]
    return any(all(item == published[(start + n) % len(published)] for n, item in enumerate(played))
               for start in starts)


class Player:
    def __init__(self, lab, kind, url):
        self.kind = kind
        self.output = lab.path(f"player-{len(lab.processes)}.{'ts' if kind == 'vlc' else 'h264'}")
        out = os.fspath(self.output)
        if kind == "ffmpeg":
            argv = ["ffmpeg", "-hide_banner", "-nostdin", "-loglevel", "warning", "-i", url, "-map",
                    "0:v:0", "-c", "copy", "-bsf:v", "h264_mp4toannexb", "-flush_packets", "1", "-f",
                    "h264", out]
        elif kind == "vlc":
            # VLC refuses to run as root; what it writes must be writable for nobody.
            self.output.touch()
            self.output.chmod(0o666)
            as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
            argv = [*(as_nobody if os.geteuid() == 0 else []), "env", f"HOME={lab.dir}", "cvlc", "-I",
                    "dummy", "--no-plugins-cache", "--no-sout-audio", "--network-caching=300", url, f"--sout=#std{{access=file{{append}},mux=ts,dst={out}}}"]
        else:
            argv = ["gst-launch-1.0", "-q", *_GST[kind].format(url=url, out=out).split()]
        self.process = lab.start(argv, kind)

    def video(self):
        if not self.output.exists() or not self.output.stat().st_size:
            return []
        return slices(to_annexb(self.output) if self.kind == "vlc" else self.output.read_bytes())

    def wait_video(self, media, frames=60, timeout=60):
        """Until so many frames were played; they must be a run of those of `media`."""
        published = slices(to_annexb(media))
        published.append(_last_slice(media))

        def enough():
            found = self.video()
            if len(found) < frames and not self.process.alive:
                raise AssertionError(f"{self.process.name} ended after {len(found)} frames:\n"
                                     + self.process.log()[-3000:])
            return found if len(found) >= frames else None
        found = poll(f"{frames} frames of {self.process.name}", enough, timeout, 0.5)
        if not is_run_of(published, found):
            raise AssertionError(f"{self.process.name}: {len(found)} frames differ from what was "
                                 "published")
        self.process.stop()


def _last_slice(media):
    unit = re.split(b"\0\0\1", to_annexb(media))[-1]
    return hashlib.sha1(unit.rstrip(b"\0")).digest()


class WebSocketFlv:
    """A WebSocket-FLV viewer; read(n) gives the next n or more bytes of the stream."""

    def __init__(self, port, path):
        self.client = HttpConnection(port, timeout=30)
        key = base64.b64encode(os.urandom(16)).decode()
        answer = self.client.get(path, Upgrade="websocket", Connection="Upgrade", Sec_WebSocket_Key=key,
                                 Sec_WebSocket_Version="13")
        proof = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
        assert answer.status == 101, answer.raw_head
        assert answer.fields["sec-websocket-accept"] == base64.b64encode(proof).decode()

    def read(self, size):
        out = b""
        while len(out) < size:
            first, length = self.client.take(2)
            assert length & 0x80 == 0  # servers do not mask
            if length >= 126:
                length = int.from_bytes(self.client.take(2 if length == 126 else 8), "big")
            payload = self.client.take(length)
            assert first & 0x0F in (0, 2), f"frame {first:02x}"
            out += payload
        return out

    def close(self):
        self.client.close()
