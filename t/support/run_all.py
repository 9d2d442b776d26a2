#!/usr/bin/python3
"""Every test of the project, and one line of sums: "N passed, N failed" (`make check`).

Parts (--only by comma): unit, each pytest suite by the name of its folder, lint, fuzz, asan-build and
asan (the binary and the unit tests with sanitizers), and 20worker-asan and 60fault-asan, the same suites
with that binary. A test that was skipped counts as failed: nothing here is meant to be skipped.

The suites mostly wait for real time, so three of them run side by side: each lane of LANES takes the next
part of SUITES as soon as it is free. What only computes is done in two more, at the lowest priority, the
build that others wait for first. Each part's output is shown at its end.

Up to three failed tests of the suites are run once more when the lanes are done and the machine is
quiet. One that passes then is named as unstable in front of the sums, with the log of its failure: it
is a fault to be found, of the test or of Weir, but it does not keep a change out. More than three
failures count as they are.
"""

import argparse
import os
import pathlib
import re
import select
import signal
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Ports of each lane of suites, from which the addresses of network namespaces follow, too.
LANES = ["10000-17000", "17000-24000", "24000-31000"]
# The longest first, else the last one is waited for alone. The sanitizers' own come when their binary may
# be there: until it is, a lane takes what stands after them.
SUITES = ["40proto", "20worker", "70system", "20worker-asan", "60fault", "60fault-asan", "75package",
          "50reload", "76k8s", "10ipc"]
# What a part waits for. A suite is not run twice at once: some tests use up what the kernel has once.
NEEDS = {"20worker-asan": {"asan-build", "20worker"}, "60fault-asan": {"asan-build", "60fault"},
         "asan": {"asan-build"}, "fuzz": {"asan-build"}}
PYTHON = "/usr/bin/python3"
RETRIED = 3  # failed tests of all suites together that are given a second run
NICE = ["nice", "-n", "19"]


def run(argv, timeout, env=None):
    """(status, output); status 124 at the time limit. The output is shown at the end."""
    output = bytearray()
    process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               start_new_session=True, env={**os.environ, **(env or {})})
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        ready, _, _ = select.select([process.stdout], [], [], 0.2)
        data = os.read(process.stdout.fileno(), 65536) if ready else b""
        output += data
        if not data and process.poll() is not None:
            print(output.decode(errors="replace"), flush=True)
            return process.returncode, output.decode(errors="replace")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    print(output.decode(errors="replace"), flush=True)
    print(f"stopped after {timeout} s", flush=True)
    return 124, output.decode(errors="replace")


def doctest_counts(text):
    """(passed, failed, binaries) of all doctest summaries in the text."""
    found = re.findall(r"test cases:\s*(\d+) \|\s*(\d+) passed \|\s*(\d+) failed(?: \|\s*(\d+) skip)?",
                       text)
    passed = sum(int(p) for _, p, _, _ in found)
    return passed, sum(int(f) + int(s or 0) for _, _, f, s in found), len(found)


def run_unit(options):
    passed = failed = 0
    for binary in sorted((options.build / "t").glob("unit_*")):
        if binary.is_dir() or not os.access(binary, os.X_OK):
            continue
        print(f"== {binary.name}", flush=True)
        status, text = run([str(binary)], 300)
        good, bad, summaries = doctest_counts(text)
        passed += good
        failed += bad or int(status != 0 or summaries == 0)
    return passed, failed or int(passed == 0)


def pytest_counts(text, status):
    """(passed, failed) of the summary of a pytest run; what was skipped or not expected has failed."""
    last = next((line for line in reversed(text.splitlines()) if re.search(r" in [\d.]+s", line)), "")
    counts = {word: int(n) for n, word in re.findall(r"(\d+) (\w+)", last)}
    bad = sum(counts.get(w, 0) for w in ("failed", "error", "errors", "skipped", "xfailed", "xpassed"))
    return counts.get("passed", 0), bad or int(status != 0)


def run_tests(build, tests, ports):
    return run([PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short", *tests], 1200,
               {"WEIR_BUILD": str(build), "WEIR_TEST_PORTS": ports})


def failure_of(name, text):
    """What pytest printed about one failed test."""
    short = re.escape(name.rsplit("::", 1)[-1])
    found = re.search(rf"^_+ {short} _+$.*?(?=^_+ \S+ _+$|^=+ short test summary)", text, re.M | re.S)
    return found.group(0) if found else text[-4000:]


def run_suite(options, build, suite, ports):
    status, text = run_tests(build, [f"t/{suite}"], ports)
    if status == 5:  # no test in that folder
        return 0, 0
    passed, failed = pytest_counts(text, status)
    names = re.findall(r"^FAILED (.+?)(?: - .*)?$", text, re.M)
    if len(names) == failed:  # each of them can be run alone
        options.failed_tests.extend((build, name, ports, failure_of(name, text)) for name in names)
    return passed, failed


def run_again(options):
    """How many of the few tests that failed pass alone; each is named."""
    if len(options.failed_tests) > RETRIED:
        return 0
    unstable = 0
    for build, name, ports, failure in options.failed_tests:
        status, _ = run_tests(build, [name], ports)
        if status == 0:
            print(f"unstable: {name} passed the second time only. The first time:\n{failure}",
                  flush=True)
            unstable += 1
    return unstable


def run_fuzz(options):
    status, text = run([*NICE, "make", "--silent", f"-j{options.jobs}", "fuzz"], 1500)
    if status != 0:
        return 0, 1
    status, text = run([*NICE, "make", "--silent", "fuzz-smoke"], 900)
    passed = len(re.findall(r"^pass ", text, re.M))
    failed = len(re.findall(r"^FAIL ", text, re.M))
    return passed, failed or int(status != 0 or passed == 0)


def run_lint(options):
    build = os.path.relpath(options.build, ROOT)
    status, text = run([*NICE, "scripts/lint"], 1200, {"WEIR_BUILD": build})
    failed = len(re.findall(r"^FAIL ", text, re.M))
    return len(re.findall(r"^ok ", text, re.M)), failed or int(status != 0)


def run_asan_build(options):
    status, _ = run([*NICE, "make", "--silent", f"-j{options.jobs}", "asan-build"], 1500)
    return 0, int(status != 0)


def run_asan(options):
    status, text = run([*NICE, "make", "--silent", f"-j{options.jobs}", "asan"], 1500)
    passed, failed, _ = doctest_counts(text)
    return passed, failed or int(status != 0 or passed == 0)


class Schedule:
    """The parts of a run, each taken by one thread when what it needs is over."""

    def __init__(self, options, names):
        self.options = options
        self.changed = threading.Condition()
        self.unfinished = set(names)
        self.sums = []

    def take(self, parts):
        """The first of the parts that can begin, None at the end of them; waits for one."""
        with self.changed:
            while parts:
                ready = next((p for p in parts if not NEEDS.get(p, set()) & self.unfinished), None)
                if ready:
                    parts.remove(ready)
                    return ready
                self.changed.wait()
            return None

    def work(self, parts, function):
        while name := self.take(parts):
            began = time.monotonic()
            print(f"==== {name}", flush=True)
            try:
                passed, failed = function(name)
            except Exception as error:  # counted: a part that broke must not look like one that passed
                print(f"{name}: {error!r}", flush=True)
                passed, failed = 0, 1
            with self.changed:
                self.sums.append((name, passed, failed, time.monotonic() - began))
                self.unfinished.discard(name)
                self.changed.notify_all()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    options.build = options.build.resolve()
    options.failed_tests = []
    only = set(filter(None, options.only.split(",")))

    def wanted(names):
        return [name for name in names if not only or name in only]

    computing = {"asan-build": run_asan_build, "asan": run_asan, "lint": run_lint, "unit": run_unit,
                 "fuzz": run_fuzz}
    suites = wanted(name for name in SUITES if (ROOT / "t" / name.removesuffix("-asan")).is_dir())
    schedule = Schedule(options, {*suites, *wanted(computing)})

    def run_named_suite(ports):
        return lambda name: run_suite(options, ROOT / "build/asan" if name.endswith("-asan") else options.build,
                                      name.removesuffix("-asan"), ports)

    lanes = [(suites, run_named_suite(ports)) for ports in LANES]
    lanes += [(wanted(names), lambda name: computing[name](options))
              for names in (["asan-build", "asan", "lint"], ["unit", "fuzz"])]
    threads = [threading.Thread(target=schedule.work, args=lane) for lane in lanes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    unstable = run_again(options)
    print("==== sums")
    for name, passed, failed, seconds in schedule.sums:
        print(f"{name:13} {passed:5} passed {failed:4} failed {seconds:6.0f} s")
    passed = sum(row[1] for row in schedule.sums) + unstable
    failed = sum(row[2] for row in schedule.sums) - unstable
    if unstable:
        print(f"{unstable} unstable, see above")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
