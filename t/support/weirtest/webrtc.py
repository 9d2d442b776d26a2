"""Real WebRTC: aiortc as origin and as client, and the page that Chromium runs. WebRTC stacks skip
loopback, so clients live in a namespace of their own, joined to ours by a veth pair (root only).

    link = Link(lab)                       # .near: our address, .far: theirs
    origin = WebrtcOrigin(lab, link.near)  # .api_port .sessions()
    weir = RtcWeir(lab, [origin], {"rtc": {"candidate": link.near}}, address=link.near)
    with link.client("publish", url) as publisher: ...
    link = RtcRoad(lab)                    # the same with a router between; see road.py
"""

import json
import pathlib
import subprocess
import threading
import urllib.request

from . import netns
from .browser import Browser
from .process import free_port, poll
from .road import Road

SUPPORT = pathlib.Path(__file__).resolve().parents[1] / "webrtc"
PYTHON = "/usr/bin/python3"


class Clients:
    """Starts clients in a namespace; `prefix` runs a command there."""

    def client(self, role, url, program="client.py", **options):
        return WebrtcClient(self.lab, role, url, self.prefix, program, **options)

    def crowd(self, urls):
        return WebrtcCrowd(self.lab, urls, self.prefix)


class RtcRoad(Clients, Road):
    pass


class Link(Clients, netns.Link):
    pass


class WebrtcOrigin:
    """`full`: one that sends where an offer says that the client is, as agents with full ICE do."""

    def __init__(self, lab, ip, full=False):
        self.lab = lab
        self.ip = ip
        self.arguments = ["full"] if full else []
        self.api_port = free_port()
        self.media_port = None      # one a session
        self.start()

    def start(self):
        self.process = self.lab.start([PYTHON, SUPPORT / "origin.py", self.ip, self.api_port,
                                       *self.arguments], "webrtc-origin")
        self.process.wait_port(self.api_port, 60, self.ip)

    @property
    def url(self):
        return f"http://{self.ip}:{self.api_port}"

    def sessions(self):
        with urllib.request.urlopen(self.url + "/sessions", timeout=10) as answer:
            return json.load(answer)

    def states(self, stream, kind):
        return [s["state"] for s in self.sessions() if s["stream"] == stream and s["kind"] == kind]


class Lines:
    """The JSON objects that a process writes."""

    def __init__(self, process):
        self.rows = []
        self.process = process
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.popen.stdout:
            self.rows.append(json.loads(line))

    def of(self, event):
        return [row for row in list(self.rows) if row["event"] == event]

    def forget(self):
        self.rows = []


class WebrtcClient:
    """A running client.py, or another program of its kind."""

    def __init__(self, lab, role, url, prefix=(), program="client.py", arguments=()):
        self.role = role
        self.process = lab.start([*prefix, PYTHON, SUPPORT / program, role, url, *arguments],
                                 f"webrtc-{role}", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.of = Lines(self.process).of

    def answer(self):
        return poll(f"an answer for the {self.role}", lambda: self.of("answer"), 60)[0]

    @property
    def states(self):
        return [e["state"] for e in self.of("state")]

    def wait_connected(self, timeout=60):
        assert self.answer()["status"] == 201, self.answer()
        poll(f"the {self.role} is connected", lambda: "connected" in self.states, timeout, 0.1)
        return self

    @property
    def media(self):
        rows = self.of("media")
        return rows[-1] if rows else {"video": 0, "audio": 0, "size": None, "loud": 0, "gap": None}

    def wait_video(self, more=5, timeout=60):
        """Waits until so many more frames were decoded."""
        goal = self.media["video"] + more
        poll(f"{more} more frames", lambda: self.media["video"] >= goal, timeout, 0.1)
        return self.media

    def leave(self):
        """Sends the DELETE and ends; its status."""
        self.process.popen.stdin.close()
        self.process.wait(60)
        return poll("the answer to DELETE", lambda: self.of("deleted"), 5)[0]["status"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()


class WebrtcCrowd:
    """A running crowd.py: sessions with a data channel each."""

    def __init__(self, lab, urls, prefix=()):
        self.urls = urls
        self.process = lab.start([*prefix, PYTHON, SUPPORT / "crowd.py", *urls], "webrtc-crowd",
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.lines = Lines(self.process)

    def wait_said(self, timeout=90):
        """What each session's origin has said since the last call, in the order of the addresses."""
        poll("an answer in each session", lambda: len(self.lines.of("session")) >= len(self.urls), timeout)
        rows = {row["url"]: row for row in self.lines.of("session")}
        self.lines.forget()
        return [rows[url] for url in self.urls]

    def ask(self):
        self.process.popen.stdin.write(b"\n")
        self.process.popen.stdin.flush()

    def leave(self):
        """The statuses of the DELETEs."""
        self.process.popen.stdin.close()
        self.process.wait(60)
        return poll("the answers to DELETE", lambda: self.lines.of("deleted"), 5)[0]["statuses"]


class WebrtcBrowser(Browser):
    """Chromium in the link's namespace with the page of webrtc/page.html, which `origin` serves."""

    def __init__(self, lab, link, origin):
        super().__init__(lab, link.prefix, link.far, [
            "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
            f"--unsafely-treat-insecure-origin-as-secure={origin.url}"])
        self.open(origin.url + "/page.html")

    def begin(self, role, url):
        self.run(f"begin({json.dumps(role)}, {json.dumps(url)}); return 1")
        return self

    def stats(self):
        return self.run("return stats()")

    def wait(self, what, condition, timeout=60):
        def good():
            now = self.stats()
            assert now["error"] is None, now["error"]
            return now if condition(now) else None
        return poll(what, good, timeout, 0.2)

    def wait_connected(self, timeout=60):
        return self.wait("the browser is connected", lambda s: "connected" in s["states"], timeout)

    def wait_video(self, more=5, timeout=60):
        goal = self.stats()["video"] + more
        return self.wait(f"{more} more frames", lambda s: s["video"] >= goal, timeout)

    def credentials(self):
        """(USERNAME, password) of its checks."""
        return self.run("return credentials()")

    def restart(self):
        """ICE restart by PATCH; the new credentials."""
        return self.run("return restart()")

    def leave(self):
        return self.run("return leave()")
