"""Processes, ports and the temporary directory of one test; lab.py adds what can be started by name."""

import itertools
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

# Weir's own default ports, among them those that a configuration of a test does not name.
_RESERVED = {11935, 11985, 12025, 18000, 18080, 20080}
# Below the ephemeral range; suites that run side by side are given a part each.
_FIRST, _END = map(int, os.environ.get("WEIR_TEST_PORTS", "10000-32000").split("-"))
_REPORT = re.compile(r"(ERROR|WARNING): \w+Sanitizer|\.(cc|h):\d+:\d+: runtime error:")
_ports = itertools.count((os.getpid() * 131) % (_END - _FIRST))


def repo_dir():
    return pathlib.Path(__file__).resolve().parents[3]


def build_dir():
    return pathlib.Path(os.environ.get("WEIR_BUILD", repo_dir() / "build")).resolve()


def sanitized():
    """Whether the build under test has sanitizers (make asan): its memory is not what it measures."""
    return b"__asan_init" in (build_dir() / "weir").read_bytes()


def free_port(udp=False):
    """A port that is free now and is not given out twice; of UDP: also for TCP, as name servers need."""
    for _ in range(4000):
        port = _FIRST + next(_ports) % (_END - _FIRST)
        if port not in _RESERVED and _is_free(port, socket.SOCK_STREAM) and (
                not udp or _is_free(port, socket.SOCK_DGRAM)):
            return port
    raise RuntimeError("no free port")


def _is_free(port, kind):
    with socket.socket(socket.AF_INET, kind) as probe:
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return False
    return True


def poll(what, predicate, timeout=10.0, interval=0.02):
    """Value of predicate() once it is truthy; AssertionError that names `what` at the deadline."""
    deadline = time.monotonic() + timeout
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {timeout} s: {what} (last value: {value!r})")
        time.sleep(interval)


def port_open(port, host="127.0.0.1"):
    try:
        socket.create_connection((host, port), 1).close()
        return True
    except OSError:
        return False


class Process:
    """One child in its own session; stdout and stderr go to <lab>/<name>.log."""

    def __init__(self, lab, argv, name, env=None, stdin=None, stdout=None, preexec=None):
        self.name = name
        self.argv = [str(a) for a in argv]
        self.log_path = lab.path(f"{name}.log")
        with open(self.log_path, "ab") as log:
            self.popen = subprocess.Popen(
                self.argv, stdin=stdin or subprocess.DEVNULL, stdout=stdout or log, stderr=log,
                env={**os.environ, **(env or {})}, start_new_session=True, cwd=lab.dir,
                preexec_fn=preexec)

    @property
    def pid(self):
        return self.popen.pid

    @property
    def alive(self):
        return self.popen.poll() is None

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def _check_alive(self, what):
        if not self.alive:
            raise AssertionError(f"{self.name} ended with {self.popen.returncode} before {what}:\n"
                                 + self.log()[-3000:])

    def wait_log(self, text, timeout=10.0):
        def seen():
            if text in self.log():
                return True
            self._check_alive(f"it wrote {text!r}")
            return False
        poll(f"{text!r} in the log of {self.name}", seen, timeout)

    def wait_port(self, port, timeout=10.0, host="127.0.0.1"):
        def seen():
            self._check_alive(f"port {port} was open")
            return port_open(port, host)
        poll(f"port {port} of {self.name}", seen, timeout)

    def wait(self, timeout=30.0):
        """Exit status; AssertionError at the deadline."""
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} still runs after {timeout} s:\n"
                                 + self.log()[-3000:]) from None

    def signal(self, number):
        if self.alive:
            self.popen.send_signal(number)

    def stop(self, timeout=10.0):
        """TERM, then KILL at the deadline. Exit status."""
        if self.alive:
            self.popen.send_signal(signal.SIGCONT)
            self.popen.terminate()
            try:
                self.popen.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.popen.returncode

    def kill(self):
        """KILL for the process and what it forked into its session."""
        try:
            os.killpg(self.popen.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.popen.wait(10)


class ProcessLab:
    """Owns the processes that a test starts, and ends them."""

    def __init__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="weirtest-"))
        self.dir.chmod(0o755)  # workers that dropped root read their files here
        self.processes = []
        self.closers = []
        self.failed = False
        self._names = itertools.count(1)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.failed = self.failed or kind is not None
        self.close()

    def path(self, name):
        return self.dir / name

    def start(self, argv, name=None, **options):
        """Starts a process that the lab will end."""
        name = name or pathlib.Path(str(argv[0])).name
        process = Process(self, argv, f"{name}-{next(self._names)}", **options)
        self.processes.append(process)
        return process

    def run(self, argv, timeout=60.0, name=None, check=True, **options):
        """Runs a process to its end. Returns it; its status is asserted to be 0 unless check=False."""
        process = self.start(argv, name, **options)
        status = process.wait(timeout)
        if check and status != 0:
            raise AssertionError(f"{process.name} ended with {status}:\n{process.log()[-3000:]}")
        return process

    def at_close(self, function):
        self.closers.append(function)

    def close(self):
        for process in reversed(self.processes):
            if os.environ.get("WEIRTEST_COVERAGE") == "1":
                process.stop()  # counters of lines are written by who leaves in order
            process.kill()
        for function in reversed(self.closers):
            function()
        reports = self._sanitizer_reports()
        self.failed = self.failed or bool(reports)
        if self.failed:
            for log in sorted(self.dir.glob("*.log")):
                text = log.read_text(errors="replace")
                if text.strip():
                    print(f"---- {log.name}\n{text[-4000:]}", file=sys.stderr)
        if os.environ.get("WEIRTEST_KEEP") != "1":
            shutil.rmtree(self.dir, ignore_errors=True)
        assert not reports, "a sanitizer has spoken: " + "; ".join(reports)

    def _sanitizer_reports(self):
        """What a build with sanitizers (make asan) says of a process: a worker that it ends would
        otherwise only be replaced."""
        return [f"{log.name}: {line.strip()}" for log in sorted(self.dir.glob("*.log"))
                for line in log.read_text(errors="replace").splitlines() if _REPORT.search(line)]
