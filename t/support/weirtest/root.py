"""A small Debian root under its own systemd, for what only a whole machine can show (root only).

    root = Root(lab)                       # a fresh one: nothing is shared with other tests but read-only files
    root.put("/etc/weir/weir.conf", text)  # before or after it is booted
    root.boot()
    root.run("systemctl", "start", "weir") # CompletedProcess, with text; check=False: whatever its status
    with root.inside(): ...                # this thread's network is the root's: sockets, and what it starts
    root.reboot(); root.poweroff()

The root has the programs of minbase, systemd, dbus, procps and the libraries that build/weir needs. Servers and
clients of the outside (lab.origin(), lab.publish(), ffmpeg, curl) run in its network, with the files of the
outside, when they are started inside(). A Root has mounts, pids, network, ipc, host name and cgroups of its own
(rootkeeper.py); close() asserts that nothing of them is left.

The base is made by scripts/make-root, if none of this week is there, in ~/.cache/weirtest-roots (half a minute);
a Root is an overlay over it in memory, and boots in half a second.
"""

import contextlib
import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import time

from . import netns
from .process import build_dir, poll, repo_dir
from .rootkeeper import ENVIRONMENT

KEEPER = pathlib.Path(__file__).with_name("rootkeeper.py")
PACKAGES = {"systemd", "dbus", "procps"}
HOST = "weir-root"
KEPT = 7 * 86400  # seconds that a base is used
# What a machine does for itself and no test looks at, and what would reach for the kernel that all share.
MASKED = ["apt-daily.timer", "apt-daily-upgrade.timer", "console-getty.service", "dev-hugepages.mount",
          "dpkg-db-backup.timer", "e2scrub_all.timer", "e2scrub_reap.service", "fstrim.timer",
          "getty.target", "getty-static.service", "modprobe@.service", "sys-fs-fuse-connections.mount",
          "sys-kernel-config.mount", "sys-kernel-debug.mount", "sys-kernel-tracing.mount",
          "systemd-binfmt.service", "systemd-firstboot.service", "systemd-modules-load.service",
          "systemd-pcrphase.service", "systemd-tmpfiles-clean.timer", "systemd-udevd.service"]


def _output(*argv):
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60).stdout


def library_packages(binary):
    """Debian's packages of the libraries that a binary loads."""
    paths = {line.split("=>")[1].split()[0] for line in _output("ldd", binary).splitlines() if "=> /" in line}
    # dpkg knows files by the names they were packed with, some of them from before /lib became /usr/lib.
    names = paths | {"/usr" + p for p in paths} | {str(pathlib.Path(p).resolve()) for p in paths}
    found = subprocess.run(["dpkg-query", "-S", *names], capture_output=True, text=True, timeout=60, check=False)
    return {line.split(":")[0] for line in found.stdout.splitlines()}


def _tidy(base):
    (base / "etc/machine-id").write_text("77656972" * 4 + "\n")  # "" would be a first boot, with all its questions
    (base / "etc/hostname").write_text(HOST + "\n")
    units = base / "etc/systemd/system"
    for name in MASKED:
        (units / name).unlink(missing_ok=True)
        (units / name).symlink_to("/dev/null")
    (units / "default.target").symlink_to("/lib/systemd/system/multi-user.target")


def base_dir():
    """The base of all roots, made if it is not there; whoever else wants it meanwhile waits."""
    packages = ",".join(sorted(PACKAGES | library_packages(build_dir() / "weir")))
    script = repo_dir() / "scripts/make-root"
    key = hashlib.sha256(repr([packages, MASKED, script.read_text()]).encode()).hexdigest()[:16]
    shelf = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "weirtest-roots"
    shelf.mkdir(parents=True, exist_ok=True)
    base = shelf / key
    with open(shelf / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for old in shelf.iterdir():  # Debian's updates are wanted, too
            if old.is_dir() and (old.stat().st_mtime < time.time() - KEPT or old.name == "new"):
                shutil.rmtree(old)
        if not base.exists():
            new = shelf / "new"
            made = subprocess.run([script, new, packages], capture_output=True,
                                  text=True, timeout=300, check=False)
            assert made.returncode == 0, made.stderr[-3000:]
            _tidy(new)
            os.utime(new)
            new.rename(base)
    return base


class Root:
    """layers: further directories, over the base and under what this root writes; the uppermost first."""

    def __init__(self, lab, layers=(), name="root"):
        self.lab = lab
        self.name = name
        self.stage = lab.path(name)
        self.stage.mkdir()
        self.log = lab.path(f"{name}.log")
        self.init = None  # pid of its systemd, as seen here
        self.keeper = subprocess.Popen(
            [sys.executable, KEEPER, self.stage, self.log, *layers, base_dir()], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=open(self.log, "ab"), text=True, start_new_session=True)
        lab.at_close(self.close)
        self._answer("ready")

    def _answer(self, word):
        line = self.keeper.stdout.readline().split()
        assert line and line[0] == word, f"{word} was expected, {line} is there:\n" + self.log.read_text()
        return line[1:]

    # ---- files

    def path(self, name):
        """Where a file of the root is seen from here. Absolute symbolic links would lead out of the root."""
        tree = f"/proc/{self.init}/root" if self.init else f"/proc/{self.keeper.pid}/root{self.stage}/tree"
        return pathlib.Path(tree) / str(name).lstrip("/")

    def put(self, name, content, mode=0o644):
        """content: text, bytes, or the Path of a file."""
        target = self.path(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, pathlib.Path):
            content = content.read_bytes()
        # In one step, as a package does it: a program that runs can't be written to.
        new = target.with_name(target.name + ".new")
        new.write_bytes(content if isinstance(content, bytes) else content.encode())
        new.chmod(mode)
        new.rename(target)

    def read(self, name):
        return self.path(name).read_text(encoding="utf-8", errors="replace")

    # ---- power

    def boot(self):
        """Returns when systemd has started all that belongs to its default target."""
        self.keeper.stdin.write("boot\n")
        self.keeper.stdin.flush()
        self._await_boot()
        return self

    def _await_boot(self):
        self.init = int(self._answer("pid")[0])
        def up():
            assert os.path.exists(f"/proc/{self.init}"), self.log.read_text()
            return self.path("run/systemd/private").exists()
        poll("systemd's socket", up)
        done = self.run("systemctl", "is-system-running", "--wait", check=False)
        assert done.stdout.strip() in ("running", "degraded"), done

    def reboot(self):
        """In order, as `reboot` does; what the root wrote outside /run stays."""
        self.run("systemctl", "--no-block", "reboot")
        self._await_boot()

    def poweroff(self):
        self.run("systemctl", "--no-block", "poweroff")
        self._answer("off")
        self.init = None

    # ---- programs

    @property
    def prefix(self):
        """For argv of a program of the root."""
        environment = [f"{name}={value}" for name, value in ENVIRONMENT.items()]
        return ["nsenter", "-t", str(self.init), "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w",
                "env", "-i", *environment, "HOME=/root", "LC_ALL=C.UTF-8"]

    def run(self, *argv, check=True, timeout=60, text=None):
        done = subprocess.run([*self.prefix, *argv], input=text, stdin=None if text else subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=timeout, check=False)
        assert not check or done.returncode == 0, f"{argv} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        return done

    def start(self, *argv, name=None):
        """A program of the root in the background, as lab.start()."""
        return self.lab.start([*self.prefix, *argv], name or argv[0])

    def inside(self):
        return netns.inside(f"/proc/{self.keeper.pid}/ns/net")

    # ---- the end

    def spaces(self):
        """The namespaces that are its own."""
        mine = namespaces(self.keeper.pid) | (namespaces(self.init) if self.init else set())
        return mine - namespaces("self")

    def close(self):
        """Ends it at once, and looks whether all of it is gone."""
        if self.lab.failed and self.init:  # shown with the logs
            journal = self.run("journalctl", "-b", "-o", "short-precise", "--no-pager", "-n", "200", check=False)
            self.lab.path(f"{self.name}-journal.log").write_text(journal.stdout, encoding="utf-8")
        spaces = self.spaces()
        with contextlib.ExitStack() as held:
            # As long as a namespace is held no other gets its number: that of another test's root, say.
            for pid in filter(None, (self.keeper.pid, self.init)):
                hold_namespaces(pid, held)
            self.keeper.stdin.close()
            self.keeper.wait(20)
            self.init = None
            assert self.keeper.returncode == 0, self.log.read_text()
            assert not (left := processes_in(spaces)), f"processes are left of {self.name}: {left}"
        assert str(self.stage) not in pathlib.Path("/proc/self/mountinfo").read_text(encoding="utf-8")


KINDS = ("mnt", "pid", "net", "ipc", "uts", "cgroup")


def hold_namespaces(pid, held):
    for kind in KINDS:
        with contextlib.suppress(OSError):
            held.callback(os.close, os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY))


def namespaces(pid):
    out = set()
    for kind in KINDS:
        with contextlib.suppress(OSError):
            out.add(os.readlink(f"/proc/{pid}/ns/{kind}"))
    return out


def processes_in(spaces):
    """Pids of those who are in one of these namespaces."""
    return [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and spaces & namespaces(pid)]
