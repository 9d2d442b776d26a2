"""Two network namespaces joined by a veth pair, for tests of addresses and lossy links (root only)."""

import os
import subprocess


class Veth:
    """`near` (10.99.N.1) and `far` (10.99.N.2); run commands there with prefix(side)."""

    def __init__(self, lab, number=1):
        self.names = {"near": f"wt{os.getpid()}n{number}", "far": f"wt{os.getpid()}f{number}"}
        self.address = {"near": f"10.99.{number}.1", "far": f"10.99.{number}.2"}
        lab.at_close(self.close)
        for name in self.names.values():
            self._ip("netns", "add", name)
            self._ip("-n", name, "link", "set", "lo", "up")
        self._ip("-n", self.names["near"], "link", "add", "v0", "type", "veth", "peer", "name", "v0",
                 "netns", self.names["far"])
        for side, name in self.names.items():
            self._ip("-n", name, "addr", "add", f"{self.address[side]}/24", "dev", "v0")
            self._ip("-n", name, "link", "set", "v0", "up")

    @staticmethod
    def _ip(*argv):
        subprocess.run(["ip", *argv], check=True, capture_output=True, timeout=10)

    def prefix(self, side):
        return ["ip", "netns", "exec", self.names[side]]

    def close(self):
        for name in self.names.values():
            subprocess.run(["ip", "netns", "del", name], capture_output=True, timeout=10, check=False)
