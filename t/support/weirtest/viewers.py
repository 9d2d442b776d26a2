"""Viewers that only count: RTMP and HTTP-FLV players that read until they are told to stop.

    viewer = Viewer(rtmp_port, "live", "a")      # or HttpViewer(http_port, "/live/a.flv")
    viewer.wait_media(); ...; viewer.check()     # asserts that media still comes
"""

import socket
import threading
import time

from .process import poll
from .rtmp import AUDIO, VIDEO, RtmpClient, RtmpError


class Viewer:
    """An RTMP player in a thread; `lost` says why it has no media any more."""

    def __init__(self, port, app, name):
        self.what = f"rtmp {app}/{name}"
        self.port, self.app, self.name = port, app, name
        self.lost = None
        self.messages = 0
        self.last = time.monotonic()
        self.going = True
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        try:
            self._play()
        except (RtmpError, OSError) as error:
            if self.going:
                self.lost = str(error)

    def _play(self):
        with RtmpClient(port=self.port, timeout=20) as client:
            client.connect(self.app)
            client.play(self.name, wait=False)
            while self.going:
                if client.read_message(20).type in (AUDIO, VIDEO):
                    self._count()

    def _count(self):
        self.messages += 1
        self.last = time.monotonic()

    def wait_media(self, timeout=20):
        poll(f"media for {self.what}", lambda: self.lost or self.messages > 20, timeout)
        self.check()

    def check(self, silence=10):
        assert self.lost is None, f"{self.what}: {self.lost}"
        assert time.monotonic() - self.last < silence, f"{self.what}: no media for {silence} s"

    def stop(self):
        self.going = False


class HttpViewer(Viewer):
    """An HTTP-FLV player."""

    def __init__(self, port, path):
        self.path = path
        super().__init__(port, "http", path)

    def _play(self):
        with socket.create_connection(("127.0.0.1", self.port), 20) as sock:
            sock.sendall(f"GET {self.path} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
            while self.going:
                data = sock.recv(65536)
                if not data:
                    raise RtmpError("the stream ended")
                self._count()
