"""A network namespace beside ours, for clients whose addresses or losses matter (root only).

    link = Link(lab)                 # .near: our address on the link, .far: the namespace's
    lab.start([*link.prefix, ...])   # a process there
    with link.inside(): ...          # sockets that this thread makes are made there
    link.lose(10)                    # percent of the packets, both ways
"""

import contextlib
import ctypes
import itertools
import os
import pathlib
import subprocess

_CLONE_NEWNET = 0x40000000
# 1 to 249, for addresses. The three lanes of run_all.py, which have ports of their own, never share one.
_LANE = int(os.environ.get("WEIR_TEST_PORTS", "10000-32000").split("-")[0]) // 7000 % 3
_numbers = (n % 83 + 83 * _LANE + 1 for n in itertools.count(os.getpid() * 7))


def _setns(path):
    with open(path, "rb") as file:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(file.fileno(), _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns {path}")


@contextlib.contextmanager
def inside(path):
    """Only this thread changes to the network namespace of that path, and sockets stay where they were made."""
    with open(f"/proc/self/task/{ctypes.CDLL(None).gettid()}/ns/net", "rb") as ours:
        _setns(path)
        try:
            yield
        finally:
            _setns(f"/proc/self/fd/{ours.fileno()}")


def ip(*argv):
    subprocess.run(["ip", *argv], check=True, capture_output=True, timeout=20)


def can_hide_mounts():
    """Whether what a child mounts can be kept from us: not where the root is no mount point (a chroot)."""
    return subprocess.run(["unshare", "--mount", "true"], capture_output=True, timeout=20,
                          check=False).returncode == 0


def bind_in(lab, source, target, *argv):
    """Words that run a command which sees the file `source` as `target`."""
    def undo():  # what was not hidden may have come to us, too
        for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
            if line.split()[3].endswith(str(source)) and line.split()[4] == target:
                subprocess.run(["umount", target], timeout=20, check=False)
    lab.at_close(undo)
    return ["unshare", "--mount", *([] if can_hide_mounts() else ["--propagation", "unchanged"]), "sh", "-c",
            'mount --bind "$0" "$1" && shift && exec "$@"', source, target, *argv]


class Namespace:
    def __init__(self, lab, name):
        self.name = name
        lab.at_close(self.close)
        ip("netns", "add", name)
        self.set_up("lo")

    @property
    def prefix(self):
        # Not `ip netns exec`: that one mounts /sys, which fails where the root is no mount point (a chroot).
        return ["nsenter", f"--net=/run/netns/{self.name}"]

    def ip_there(self, *argv):
        subprocess.run([*self.prefix, "ip", *argv], check=True, capture_output=True, timeout=20)

    def set_up(self, device, *addresses):
        """Gives the device these addresses and brings it up."""
        for address in addresses:
            self.ip_there("addr", "add", address, "dev", device, "nodad")
        self.ip_there("link", "set", device, "up")

    def inside(self):
        return inside(f"/run/netns/{self.name}")

    def run(self, *argv, text=""):
        """What the command writes; `text` is its input."""
        done = subprocess.run([*self.prefix, *argv], input=text, text=True, timeout=30, check=False,
                              capture_output=True)
        assert done.returncode == 0, (argv, done.stderr)
        return done.stdout

    def nft(self, *argv, rules=""):
        """What nft answers in the namespace; `rules` for ("-f", "-")."""
        return self.run("nft", *argv, text=rules)

    def close(self):
        subprocess.run(["ip", "netns", "del", self.name], capture_output=True, timeout=20, check=False)


def free_number(network):
    """The next one whose `network`.N.0/24 no device of ours has: some may be left of a run that was killed."""
    def is_free(number):
        shown = subprocess.run(["ip", "-o", "-4", "addr", "show", "to", f"{network}.{number}.0/24"],
                               check=True, capture_output=True, timeout=20)
        return not shown.stdout.strip()
    return next(number for number in itertools.islice(_numbers, 83) if is_free(number))


class Link(Namespace):
    """A namespace `far` (10.98.N.2), reached from ours (10.98.N.1)."""

    ip = staticmethod(ip)

    def __init__(self, lab, number=None):
        self.lab = lab
        number = number or free_number("10.98")
        super().__init__(lab, f"wt{os.getpid()}r{number}")
        self.near, self.far = f"10.98.{number}.1", f"10.98.{number}.2"
        self.device = f"wtr{os.getpid() % 100000}n{number}"
        ip("link", "add", self.device, "type", "veth", "peer", "name", "v0", "netns", self.name)
        ip("addr", "add", f"{self.near}/24", "dev", self.device)
        ip("link", "set", self.device, "up")
        self.set_up("v0", f"{self.far}/24")
        self.ip_there("route", "add", "default", "via", self.near)  # our other addresses

    def lose(self, percent):
        """Loses that share of the IP packets, each for itself, both ways."""
        # What a sender has joined would be lost as a whole: our end cuts it up before it leaves.
        self.ip("link", "set", self.device, "gso_max_segs", "1")
        chain = ("type filter hook {} device v0 priority 0; "
                 f"meta protocol ip numgen random mod 100 < {percent} counter drop")
        self.nft("-f", "-", rules="table netdev loss {\n"
                 f"chain in {{ {chain.format('ingress')}; }}\n"
                 f"chain out {{ {chain.format('egress')}; }}\n}}\n")

    def close(self):
        # Sockets that are still open there keep the namespace, and with it the link, for a while.
        subprocess.run(["ip", "link", "del", self.device], capture_output=True, timeout=20, check=False)
        super().close()
