"""Keeper of one Debian root (root.py): a process of its own, outside the root, that owns its namespaces.

    rootkeeper.py STAGE LOG LAYER...    STAGE: an empty directory; LAYER: directories, the uppermost first

All that the root writes lies in a tmpfs over the layers, and that in a mount namespace, so nothing is on
the disk, and nothing of it outlives the processes. Orders come on stdin, a line each, answers go to stdout:

    (start)   "ready"
    boot      "pid N": systemd runs as N here and as 1 there. After a reboot from inside another one
    (end)     "off": it has ended by a poweroff, or was killed

At the end of stdin, that is also when the test dies, everything ends; should the keeper itself be killed,
the kernel ends what it started, and the next keeper removes the empty cgroups. Works where "/" is no mount
point (a plain chroot), too. Needs root.
"""

import ctypes
import os
import pathlib
import select
import signal
import stat
import subprocess
import sys
import time

_LIBC = ctypes.CDLL(None, use_errno=True)
NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWPID, NEWNET = (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x20000000,
                                                   0x40000000)
RDONLY, NOSUID, NODEV, NOEXEC, REMOUNT, BIND, REC, PRIVATE = 1, 2, 4, 8, 32, 4096, 16384, 1 << 18
DETACH = 2  # of umount2
SET_PDEATHSIG = 1
PIVOT_ROOT = {"x86_64": 155}.get(os.uname().machine, 41)
PREFIX = "weir-root-"
DEVICES = {"null": 3, "zero": 5, "full": 7, "random": 8, "urandom": 9}
IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
ENVIRONMENT = {"container": "weirtest", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}


def _check(result, *what):
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{' '.join(map(str, what))}: {os.strerror(code)}")


def _unshare(flags):
    _check(_LIBC.unshare(flags), "unshare", hex(flags))


def _mount(source, target, kind=None, flags=0, options=None):
    words = [os.fsencode(w) if w is not None else None for w in (source, target, kind)]
    _check(_LIBC.mount(*words, ctypes.c_ulong(flags), options.encode() if options else None),
           "mount", source, target, kind, options)


class Keeper:
    def __init__(self, stage, log, layers):
        self.stage = pathlib.Path(stage)
        self.log = log
        self.tree = self.stage / "tree"
        self.cgroups = self.stage / "cgroups"
        self.cgroup = self.cgroups / f"{PREFIX}{os.getpid()}"
        self.init = None  # pid of systemd
        self.pidfd = None
        self._prepare(layers)

    def _prepare(self, layers):
        _unshare(NEWNS | NEWNET)
        try:
            _mount(None, "/", flags=REC | PRIVATE)
        except OSError:
            pass  # no mount point: STAGE is one
        _mount("weir-root", self.stage, "tmpfs", options="mode=755")
        _mount(None, self.stage, flags=PRIVATE)
        for name in ("tree", "cgroups", "upper", "work"):
            (self.stage / name).mkdir(0o755)
        lower = ":".join(str(layer) for layer in layers)
        _mount("weir-root", self.tree, "overlay",
               options=f"lowerdir={lower},upperdir={self.stage}/upper,workdir={self.stage}/work")
        _mount("weir-root", self.cgroups, "cgroup2")
        for left in self.cgroups.glob(f"{PREFIX}*"):
            if not os.path.exists(f"/proc/{left.name.removeprefix(PREFIX)}/exe"):  # a zombie has none
                self._remove_cgroup(left)
        self.cgroup.mkdir()
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True, timeout=20)

    # ---- systemd

    def boot(self):
        if self.init is not None:
            return
        # The next child is the first process of a new namespace; a later one must not land in that.
        with open("/proc/self/ns/pid", "rb") as ours:
            _unshare(NEWPID)
            self.init = os.fork()
            if self.init == 0:
                try:
                    self._become_init()
                except BaseException as error:  # pylint: disable=broad-except
                    os.write(2, f"rootkeeper: {error!r}\n".encode())
                finally:
                    os._exit(1)
            _check(_LIBC.setns(ours.fileno(), NEWPID), "setns")
        self.pidfd = os.pidfd_open(self.init)
        print(f"pid {self.init}", flush=True)

    def _become_init(self):
        _check(_LIBC.prctl(SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0), "prctl")
        os.setsid()
        for number in (signal.SIGPIPE, *IGNORED):
            signal.signal(number, signal.SIG_DFL)
        log = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.closerange(3, 1024)
        (self.cgroup / "cgroup.procs").write_text("0")
        _unshare(NEWNS | NEWCGROUP | NEWUTS | NEWIPC)
        os.chdir(self.tree)
        self._mount_system()
        self._change_root()
        os.execve("/lib/systemd/systemd", ["systemd", "--system", "--log-target=journal"], ENVIRONMENT)

    @staticmethod
    def _mount_system():
        """What a container manager gives a system: see systemd's CONTAINER_INTERFACE."""
        safe = NOSUID | NODEV | NOEXEC
        _mount("proc", "proc", "proc", safe)
        # Only the network's settings are the root's own; the others are the machine's.
        for path, access in (("proc/sys", RDONLY), ("proc/sysrq-trigger", RDONLY), ("proc/sys/net", 0)):
            if os.path.exists(path):
                _mount(path, path, flags=BIND)
                _mount(None, path, flags=BIND | REMOUNT | access | safe)
        _mount("sysfs", "sys", "sysfs", RDONLY | safe)
        _mount("cgroup2", "sys/fs/cgroup", "cgroup2", safe)
        _mount("tmpfs", "dev", "tmpfs", NOSUID, "mode=755")
        for name in ("pts", "shm"):
            os.mkdir(f"dev/{name}")
        _mount("devpts", "dev/pts", "devpts", NOSUID | NOEXEC, "newinstance,ptmxmode=666,mode=620,gid=5")
        _mount("tmpfs", "dev/shm", "tmpfs", NOSUID | NODEV, "mode=1777")
        os.umask(0)
        for name, minor in DEVICES.items():
            os.mknod(f"dev/{name}", stat.S_IFCHR | 0o666, os.makedev(1, minor))
        os.mknod("dev/tty", stat.S_IFCHR | 0o666, os.makedev(5, 0))
        os.umask(0o022)
        os.symlink("pts/ptmx", "dev/ptmx")
        os.symlink("/proc/self/fd", "dev/fd")
        for number, name in enumerate(("stdin", "stdout", "stderr")):
            os.symlink(f"/proc/self/fd/{number}", f"dev/{name}")
        _mount("tmpfs", "run", "tmpfs", NOSUID | NODEV, "mode=755")

    @staticmethod
    def _change_root():
        if _LIBC.syscall(PIVOT_ROOT, b".", b".") == 0:
            _check(_LIBC.umount2(b".", DETACH), "umount2")
            os.chdir("/")
        else:  # our own "/" is no mount point
            os.chroot(".")
            os.chdir("/")

    def _ended(self):
        _, status = os.waitpid(self.init, 0)
        os.close(self.pidfd)
        self.init = self.pidfd = None
        self._kill_cgroup()  # whoever was brought in from outside
        rebooted = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGHUP  # reboot(2), from inside
        if rebooted:
            self.boot()
        else:
            print("off", flush=True)

    # ---- the end

    def _kill_cgroup(self):
        (self.cgroup / "cgroup.kill").write_text("1")
        for _ in range(500):
            if "populated 0" in (self.cgroup / "cgroup.events").read_text():
                break
            time.sleep(0.01)
        for below in self.cgroup.iterdir():
            if below.is_dir():
                self._remove_cgroup(below)

    def _remove_cgroup(self, path):
        for below in path.iterdir():
            if below.is_dir():
                self._remove_cgroup(below)
        path.rmdir()

    def close(self):
        if self.init is not None:
            os.kill(self.init, signal.SIGKILL)
            os.waitpid(self.init, 0)
        self._kill_cgroup()
        self._remove_cgroup(self.cgroup)
        # Where it is no private mount, it can be seen outside.
        _check(_LIBC.umount2(os.fsencode(self.stage), DETACH), "umount2", self.stage)

    def serve(self):
        print("ready", flush=True)
        while True:
            ready, _, _ = select.select([0, *([self.pidfd] if self.pidfd else [])], [], [])
            if self.pidfd in ready:
                self._ended()
            elif os.read(0, 4096) == b"":
                return
            else:
                self.boot()


def main():
    # A Ctrl-C on the tests' terminal ends the tests, which close our stdin.
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    keeper = Keeper(sys.argv[1], sys.argv[2], sys.argv[3:])
    try:
        keeper.serve()
    finally:
        keeper.close()


if __name__ == "__main__":
    main()
