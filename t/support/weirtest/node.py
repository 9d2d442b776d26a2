"""What the tests take from npm, and node-media-server as origin (HTTP-FLV, WebSocket-FLV).

`make node-modules` installs it below the build directory, as t/support/node/package-lock.json says.
"""

import json
import os
import urllib.request

from .process import build_dir, free_port, poll, repo_dir


def node_modules():
    """Directory of the installed packages."""
    path = build_dir() / "node" / "node_modules"
    if not path.is_dir():
        raise AssertionError(f"{path} is missing: run `make node-modules`")
    return path


def run_node(lab, script, *args, **options):
    """Starts t/support/node/<script>; it finds the packages."""
    return lab.start(["node", repo_dir() / "t/support/node" / script, *args], script.removesuffix(".js"),
                     env={"NODE_PATH": os.fspath(node_modules())}, **options)


class NodeMediaServer:
    """As good as an Origin for Weir(origins=[…])."""

    def __init__(self, lab):
        self.ip = "127.0.0.1"
        self.rtmp_port = free_port()
        self.http_port = free_port()
        self.process = run_node(lab, "origin.js", self.rtmp_port, self.http_port)
        self.process.wait_port(self.http_port, 30)
        self.process.wait_port(self.rtmp_port, 30)

    def url(self, path):
        return f"rtmp://{self.ip}:{self.rtmp_port}/{path}"

    def streams(self, app="live"):
        """Names of what is published here."""
        with urllib.request.urlopen(f"http://{self.ip}:{self.http_port}/api/streams", timeout=5) as page:
            found = json.load(page).get(app, {})
        return sorted(name for name, row in found.items() if row.get("publisher"))

    def wait_stream(self, name, timeout=15):
        poll(f"stream {name} at node-media-server", lambda: name in self.streams(), timeout)
