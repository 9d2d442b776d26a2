"""scripts/demo: comes up beside others, prints URLs that work, leaves nothing behind however it ends."""

import contextlib
import json
import os
import pathlib
import pty
import re
import signal
import socket
import subprocess
import urllib.request

from weirtest import build_dir, flv, poll, repo_dir
from weirtest.browser import Browser

STREAMS = {"one", "two", "three"}
# Weir's own ports, and those that the demo's origins would like.
TCP = [11935, 18080, 11985, 12025, 19351, 19352, 19081, 19082]
UDP = [18000, 20080]


def words(*options):
    # A test run that was started in the background ignores SIGINT, and so would the demo.
    return ["env", "--default-signal=INT", repo_dir() / "scripts/demo", *options]


def environment(lab):
    (lab.dir / "tmp").mkdir(exist_ok=True)
    return {"TMPDIR": str(lab.dir / "tmp"), "WEIR_BUILD": os.path.relpath(build_dir(), repo_dir()), "SRS": ""}


def users_of(directory):
    """Pids of processes whose command line or environment names the directory."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if str(directory).encode() in (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes():
                    found.append(int(entry.name))
    return found


def nothing_left(lab):
    poll("no process of the demo", lambda: not users_of(lab.dir / "tmp"), 20)
    assert list((lab.dir / "tmp").iterdir()) == []


def take(port, kind):
    """Holds the port as another Weir would."""
    holder = socket.socket(socket.AF_INET, kind)
    if kind == socket.SOCK_STREAM:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    with contextlib.suppress(OSError):  # somebody else has it
        holder.bind(("0.0.0.0", port))
        if kind == socket.SOCK_STREAM:
            holder.listen()
    return holder


def get(url):
    with urllib.request.urlopen(url, timeout=20) as answer:
        return answer.read()


def urls_of(process):
    process.wait_log("two: origin", 180)
    text = process.log()
    assert len(re.findall(r"ffplay (?:rtmp|http)://[^/\s]+/live/one(?:\.m3u8|\.mpd)?\n", text)) == 3, text
    return re.search(r"Open (http://\S+/)", text)[1], re.search(r"ffplay (rtmp://\S+)", text)[1]


def test_demo_beside_others(lab):
    """Every port that it would like is taken, and two start at once."""
    holders = [take(port, socket.SOCK_STREAM) for port in TCP] + [take(port, socket.SOCK_DGRAM) for port in UDP]
    process, brief = (lab.start(words(*options), "demo", env=environment(lab))
                      for options in ([], ["--seconds", "1"]))
    page, rtmp = urls_of(process)
    text = process.log()
    for port in (*TCP, *UDP):
        assert f":{port}/" not in text
    placed = re.findall(r"(\w+): (origin\d) \(\d+ players\)", text)
    assert {stream for stream, _ in placed} == STREAMS and {origin for _, origin in placed} == {"origin1", "origin2"}
    assert len(flv.packets(flv.read(lab.play(rtmp, seconds=1)))) > 10
    assert set(json.loads(get(page + "demo.json"))["streams"]) == STREAMS
    for name in STREAMS:
        poll("playlist and manifest", lambda name=name: all(
            get_or_nothing(f"{page}live/{name}.{end}") for end in ("m3u8", "mpd")), 30, 0.5)
    with Browser(lab) as browser:
        browser.open(page)
        poll("three videos that play", lambda: browser.run(
            "return [...document.querySelectorAll('video')].filter((v) => v.currentTime > 0.5).length") == 3, 60, 0.5)
    assert brief.wait(180) == 0, brief.log()
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(30) == 130
    nothing_left(lab)
    for holder in holders:
        holder.close()


def get_or_nothing(url):
    with contextlib.suppress(OSError):
        return get(url)
    return b""


def test_killed_demo_leaves_nothing(lab):
    """Also: on a terminal one line changes in its place, and nothing scrolls the URLs away."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(list(map(str, words())), stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs,
                          start_new_session=True, env={**os.environ, **environment(lab)}) as process:
        os.close(theirs)
        text = b""
        while len(re.findall(rb"\r\d\d:", text.partition(b"Ctrl-C ends")[2])) < 2:
            text += os.read(ours, 4096)
        assert users_of(lab.dir / "tmp")
        os.killpg(process.pid, signal.SIGKILL)
    os.close(ours)
    assert re.search(rb"Ctrl-C ends all of it\.\s+\r[^\n]*\Z", text), text
    nothing_left(lab)
