"""Test media and the usual clients: ffmpeg, rtmpdump, GStreamer."""

import os
import pathlib
import shutil
import subprocess
import tempfile

from . import flv
from .process import poll

_cache = {}


def _cache_dir():
    if "dir" not in _cache:
        _cache["dir"] = pathlib.Path(tempfile.mkdtemp(prefix="weirtest-media-"))
    return _cache["dir"]


def clear_cache():
    if "dir" in _cache:
        shutil.rmtree(_cache.pop("dir"), ignore_errors=True)
    _cache.clear()


def _make(key, argv_of):
    if key not in _cache:
        path = _cache_dir() / ("-".join(str(k) for k in key))
        subprocess.run(["ffmpeg", "-hide_banner", "-loglevel", "error", "-nostdin", "-y",
                        *argv_of(path)], check=True, timeout=120)
        _cache[key] = path
    return _cache[key]


def make_flv(seconds=6, size="320x180", fps=25, bitrate=None, audio=True):
    """An FLV with H.264 (no B-frames, one key frame a second) and AAC; made once a session."""
    def argv(path):
        out = ["-f", "lavfi", "-i", f"testsrc=size={size}:rate={fps}:duration={seconds}"]
        if audio:
            out += ["-f", "lavfi", "-i", f"sine=frequency=440:sample_rate=44100:duration={seconds}",
                    "-c:a", "aac", "-b:a", "64k"]
        out += ["-c:v", "libx264", "-preset", "ultrafast", "-bf", "0", "-g", str(fps),
                "-keyint_min", str(fps), "-sc_threshold", "0", "-pix_fmt", "yuv420p", "-threads", "1"]
        if bitrate:
            out += ["-b:v", str(bitrate), "-minrate", str(bitrate), "-maxrate", str(bitrate),
                    "-bufsize", str(bitrate), "-x264-params", "nal-hrd=cbr"]
        return out + ["-f", "flv", path]
    return _make(("media", seconds, size.replace("x", "_"), fps, bitrate or 0, int(audio), "x.flv"),
                 argv)


def hevc_tags(seconds=3, fps=25, coded_frames_x=False):
    """Enhanced-RTMP tags of real H.265 video (Debian's ffmpeg can't write them as FLV itself)."""
    path = _make(("hevc", seconds, fps, "x.hevc"), lambda out: [
        "-f", "lavfi", "-i", f"testsrc=size=320x180:rate={fps}:duration={seconds}",
        "-c:v", "libx265", "-preset", "ultrafast",
        "-x265-params", f"bframes=0:keyint={fps}:aud=1:log-level=error:pools=1", "-f", "hevc", out])
    return flv.enhanced_hevc(path.read_bytes(), fps, coded_frames_x)


def publish(lab, path, url, loop=True, realtime=True, name="ffmpeg-publish"):
    """ffmpeg as publisher; returns the process at once."""
    argv = ["ffmpeg", "-hide_banner", "-loglevel", "warning", "-nostdin"]
    argv += ["-re"] if realtime else []
    argv += ["-stream_loop", "-1"] if loop else []
    return lab.start([*argv, "-i", path, "-c", "copy", "-f", "flv", "-flvflags",
                      "no_duration_filesize", url], name)


def start_play(lab, url, output=None, seconds=None, name="ffmpeg-play"):
    """ffmpeg as player in the background; .output is the FLV it writes."""
    output = output or lab.path(f"played-{len(lab.processes)}.flv")
    argv = ["ffmpeg", "-hide_banner", "-loglevel", "warning", "-nostdin", "-y",
            "-i", url, "-c", "copy"]
    argv += ["-t", str(seconds)] if seconds else []
    process = lab.start([*argv, "-f", "flv", output], name)
    process.output = output
    return process


def play(lab, url, seconds=3, timeout=None):
    """Plays `seconds` of media with ffmpeg and returns the path of the FLV."""
    process = start_play(lab, url, seconds=seconds)
    status = process.wait(timeout or seconds + 30)
    if status != 0:
        raise AssertionError(f"ffmpeg could not play {url}: {status}\n{process.log()[-3000:]}")
    return process.output


def _until_size(process, size, timeout):
    def grown():
        if process.output.exists() and process.output.stat().st_size >= size:
            return True
        if not process.alive:
            raise AssertionError(f"{process.name} ended with {process.popen.returncode} after "
                                 f"too few bytes:\n{process.log()[-3000:]}")
        return False
    poll(f"{size} bytes from {process.name}", grown, timeout)
    process.signal(2)
    process.stop()
    return process.output


def rtmpdump(lab, url, size=150_000, timeout=30, options=()):
    """Plays with librtmp until `size` bytes are there; path of the FLV."""
    output = lab.path(f"played-{len(lab.processes)}.flv")
    process = lab.start(["rtmpdump", "--quiet", "--live", "-r", url, "-o", output, *options],
                        "rtmpdump")
    process.output = output
    return _until_size(process, size, timeout)


def gst_publish(lab, path, url, loop=False):
    """GStreamer's rtmp2sink as publisher, in real time, once through the file."""
    del loop  # a pipeline can't; publish a longer file instead
    return lab.start(["gst-launch-1.0", "-q", "filesrc", f"location={path}", "!", "flvdemux",
                      "name=d", "flvmux", "name=m", "streamable=true", "!", "rtmp2sink",
                      f"location={url}", "sync=true", "d.video", "!", "queue", "!", "h264parse", "!",
                      "m.", "d.audio", "!", "queue", "!", "aacparse", "!", "m."], "gst-publish")


def gst_play(lab, url, size=150_000, timeout=30):
    """GStreamer's rtmp2src as player until `size` bytes are there; path of the FLV."""
    output = lab.path(f"played-{len(lab.processes)}.flv")
    process = lab.start(["gst-launch-1.0", "-q", "rtmp2src", f"location={url}", "!", "filesink",
                         f"location={os.fspath(output)}", "buffer-mode=unbuffered"], "gst-play")
    process.output = output
    return _until_size(process, size, timeout)
