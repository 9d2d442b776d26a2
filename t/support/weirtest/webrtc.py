"""Real WebRTC: aiortc as origin and as client, and the page that Chromium runs. WebRTC stacks skip
loopback, so clients live in a namespace of their own, joined to ours by a veth pair (root only).

    link = Link(lab)                       # .near: our address, .far: theirs
    origin = WebrtcOrigin(lab, link.near)  # .api_port .sessions()
    weir = RtcWeir(lab, [origin], {"rtc": {"candidate": link.near}}, address=link.near)
    with link.client("publish", url) as publisher: ...
"""

import json
import pathlib
import subprocess
import threading
import urllib.request

from . import netns
from .browser import Browser
from .lab import free_port, poll

SUPPORT = pathlib.Path(__file__).resolve().parents[1] / "webrtc"
PYTHON = "/usr/bin/python3"


class Link(netns.Link):
    def client(self, role, url):
        return WebrtcClient(self.lab, role, url, self.prefix)


class WebrtcOrigin:
    def __init__(self, lab, ip):
        self.lab = lab
        self.ip = ip
        self.api_port = free_port()
        self.media_port = None      # one a session
        self.start()

    def start(self):
        self.process = self.lab.start([PYTHON, SUPPORT / "origin.py", self.ip, self.api_port],
                                      "webrtc-origin")
        self.process.wait_port(self.api_port, 60, self.ip)

    @property
    def url(self):
        return f"http://{self.ip}:{self.api_port}"

    def sessions(self):
        with urllib.request.urlopen(self.url + "/sessions", timeout=10) as answer:
            return json.load(answer)

    def states(self, stream, kind):
        return [s["state"] for s in self.sessions() if s["stream"] == stream and s["kind"] == kind]


class WebrtcClient:
    """A running client.py; its lines in .events."""

    def __init__(self, lab, role, url, prefix=()):
        self.role = role
        self.process = lab.start([*prefix, PYTHON, SUPPORT / "client.py", role, url],
                                 f"webrtc-{role}", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.events = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.popen.stdout:
            self.events.append(json.loads(line))

    def of(self, event):
        return [e for e in list(self.events) if e["event"] == event]

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

    def leave(self):
        return self.run("return leave()")
