"""Weir as a service of systemd in a booted Debian root (root.py), installed by `make install`.

    service = Service(root, origins=[origin])   # writes /etc/weir/weir.conf; .start() is systemctl's
    service.show("ActiveState")                 # a property of the unit
    service.api("streams"), service.metric(…)   # as of a Weir, but only while inside() the root
"""

import os
import pathlib
import shutil
import subprocess
import tempfile

from .process import build_dir, poll, repo_dir
from .weir import Weir, config_text, merge

UNIT = "weir.service"
_installed = []


def installed():
    """A layer for Root: what `make install` installs. Made once a run; the build under test is the program."""
    if not _installed:
        layer = pathlib.Path(tempfile.mkdtemp(prefix="weirtest-installed-"))
        layer.chmod(0o755)
        _installed.append(layer)
        # The program as it is: nothing is built anew, whatever compiler is asked for here.
        subprocess.run(["make", "-s", "-o", "build/weir", "install-built", f"DESTDIR={layer}"], cwd=repo_dir(),
                       check=True, timeout=60, stdout=subprocess.DEVNULL)
        if build_dir() != repo_dir() / "build":
            subprocess.run(["strip", "-o", layer / "usr/sbin/weir", build_dir() / "weir"], check=True, timeout=60)
    return _installed[0]


def clear_installed():
    while _installed:
        shutil.rmtree(_installed.pop())


class Service(Weir):
    """config: merged over that of the tests. Ports are fixed: they are free, in a network of their own."""

    def __init__(self, root, origins=(), config=None):
        self.root = root
        self.config = config or {}
        super().__init__(root.lab, origins, start=False, rtmp_port=1935, api_port=12025, http=False)
        self.conf = root.path("/etc/weir/weir.conf")

    def default_config(self):
        config = super().default_config()
        del config["pid_file"], config["session_file"], config["log"]
        return config

    def rewrite(self, config=None, text=None):
        if text is None:
            text = config_text(merge(merge(self.default_config(), self.config), config or {})) + "\n"
        self.root.put("/etc/weir/weir.conf", text)

    # ---- systemctl

    def systemctl(self, *argv, **options):
        return self.root.run("systemctl", *argv, UNIT, **options)

    def start(self, ready=True):
        self.systemctl("start")
        if ready:
            self.wait_ready()
        return self

    def wait_ready(self, timeout=15):
        def ready():
            try:
                return self.request("/readyz")[0] == 200
            except OSError:
                return False
        poll("/readyz", ready, timeout)

    def show(self, *names):
        """The value of a property of the unit, or a dict of several."""
        lines = self.systemctl("show", *(f"-p{name}" for name in names)).stdout.splitlines()
        found = dict(line.split("=", 1) for line in lines)
        return found if len(names) > 1 else found[names[0]]

    def wait_state(self, active, sub=None, timeout=20):
        def there():
            found = self.show("ActiveState", "SubState")
            return found["ActiveState"] == active and sub in (None, found["SubState"])
        poll(f"the unit is {active} {sub or ''}", there, timeout)

    @property
    def main_pid(self):
        """As seen in the root; 0: there is none."""
        return int(self.show("MainPID"))

    def outer(self, pid):
        """The number that a process of the root has here."""
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                numbers = _pid_numbers(entry)
                if len(numbers) > 1 and numbers[-1] == str(pid) and os.path.samefile(
                        f"/proc/{entry}/ns/pid", f"/proc/{self.root.init}/ns/pid"):
                    return int(entry)
        raise ProcessLookupError(pid)

    @property
    def pid(self):
        return self.outer(self.main_pid)

    def kill(self, pid, number):
        self.root.run("kill", f"-{int(number)}", str(pid))

    def parent(self, pid):
        return int(self.root.run("ps", "-o", "ppid=", "-p", str(pid)).stdout)

    def processes(self):
        """{pid: command line} of the unit's control group, as seen in the root."""
        group = self.show("ControlGroup")
        if not group:
            return {}
        pids = self.root.run("cat", f"/sys/fs/cgroup{group}/cgroup.procs", check=False).stdout.split()
        rows = self.root.run("ps", "-o", "pid=,args=", "-p", ",".join(pids or ["0"]), check=False).stdout
        return {int(pid): args for pid, args in (row.split(None, 1) for row in rows.splitlines())}

    def masters(self):
        return [pid for pid, args in self.processes().items() if args.startswith("/usr/sbin/weir")]

    def log(self):
        return self.root.run("journalctl", "-u", UNIT, "-o", "cat", "--no-pager").stdout


def _pid_numbers(pid):
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
            return next((line.split()[1:] for line in file if line.startswith("NSpid:")), [])
    except OSError:
        return []
