"""A network namespace beside ours, for clients whose addresses or losses matter (root only).

    link = Link(lab)                 # .near: our address on the link, .far: the namespace's
    lab.start([*link.prefix, ...])   # a process there
    with link.inside(): ...          # sockets that this thread makes are made there
    link.lose(10)                    # percent of the packets, both ways
"""

import contextlib
import ctypes
import os
import subprocess

_CLONE_NEWNET = 0x40000000


def _setns(path):
    with open(path, "rb") as file:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(file.fileno(), _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns {path}")


class Link:
    """A namespace `far` (10.98.N.2), reached from ours (10.98.N.1)."""

    def __init__(self, lab, number=1):
        self.lab = lab
        self.name = f"wt{os.getpid()}r{number}"
        self.near, self.far = f"10.98.{number}.1", f"10.98.{number}.2"
        self.device = f"wtr{os.getpid() % 100000}n{number}"
        lab.at_close(self.close)
        self.ip("netns", "add", self.name)
        self.ip("link", "add", self.device, "type", "veth", "peer", "name", "v0", "netns", self.name)
        self.ip("addr", "add", f"{self.near}/24", "dev", self.device)
        self.ip("link", "set", self.device, "up")
        for command in (("link", "set", "lo", "up"), ("addr", "add", f"{self.far}/24", "dev", "v0"),
                        ("link", "set", "v0", "up")):
            self.ip("-n", self.name, *command)

    @staticmethod
    def ip(*argv):
        subprocess.run(["ip", *argv], check=True, capture_output=True, timeout=10)

    @property
    def prefix(self):
        return ["ip", "netns", "exec", self.name]

    @contextlib.contextmanager
    def inside(self):
        """Only this thread changes, and sockets stay where they were made."""
        home = f"/proc/self/task/{ctypes.CDLL(None).gettid()}/ns/net"
        with open(home, "rb") as ours:
            _setns(f"/var/run/netns/{self.name}")
            try:
                yield
            finally:
                _setns(f"/proc/self/fd/{ours.fileno()}")

    def nft(self, *argv, rules=""):
        """What nft answers in the namespace; `rules` for ("-f", "-")."""
        return subprocess.run([*self.prefix, "nft", *argv], input=rules, check=True, text=True,
                              capture_output=True, timeout=30).stdout

    def lose(self, percent):
        """Loses that share of the packets, each for itself, both ways."""
        # What a sender has joined would be lost as a whole: our end cuts it up before it leaves.
        self.ip("link", "set", self.device, "gso_max_segs", "1")
        chain = "type filter hook {} device v0 priority 0; numgen random mod 100 < %d counter drop" % percent
        self.nft("-f", "-", rules="table netdev loss {\n"
                 f"chain in {{ {chain.format('ingress')}; }}\n"
                 f"chain out {{ {chain.format('egress')}; }}\n}}\n")

    def close(self):
        subprocess.run(["ip", "netns", "del", self.name], capture_output=True, timeout=10, check=False)
