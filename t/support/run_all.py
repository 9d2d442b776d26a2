#!/usr/bin/python3
"""Every test of the project, and one line of sums: "N passed, N failed" (`make check`).

Parts (--only by comma): unit, each pytest suite by the name of its folder, lint, asan, fuzz, and
20worker-asan and 60fault-asan, the same suites with the sanitizers' build of the binary (after asan).
A test that was skipped counts as failed: nothing here is meant to be skipped.

The suites mostly wait for real time, so two lanes of them run side by side; what only computes (lint
and fuzz; the build with sanitizers, before its suites) in two more at the lowest priority. Each part's
output is shown at its end.

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
# By lane, with the ports of each, from which the addresses of network namespaces follow, too.
LANES = {"10000-20000": ["40proto", "75package", "76k8s"], "20000-27000": ["10ipc", "20worker", "60fault", "50reload"]}
SANITIZED = {"27000-32000": ["20worker", "60fault"]}
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


def run_asan(options):
    status, text = run([*NICE, "make", "--silent", f"-j{options.jobs}", "asan"], 1500)
    passed, failed, _ = doctest_counts(text)
    return passed, failed or int(status != 0 or passed == 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    options.build = options.build.resolve()
    options.failed_tests = []
    lanes = [{s: lambda o, s=s, p=p: run_suite(o, o.build, s, p) for s in suites}
             for p, suites in LANES.items()]
    lanes.append({"lint": run_lint, "fuzz": run_fuzz})
    lanes.append({"unit": run_unit, "asan": run_asan})
    sanitized = ROOT / "build/asan"
    for ports, suites in SANITIZED.items():
        lanes[-1].update({f"{s}-asan": lambda o, s=s, p=ports: run_suite(o, sanitized, s, p)
                          for s in suites})
    only = set(filter(None, options.only.split(",")))
    sums = []

    def run_lane(parts):
        for name, part in parts.items():
            if only and name not in only:
                continue
            began = time.monotonic()
            print(f"==== {name}", flush=True)
            try:
                passed, failed = part(options)
            except Exception as error:  # counted: a lane that broke must not look like one that passed
                print(f"{name}: {error!r}", flush=True)
                passed, failed = 0, 1
            sums.append((name, passed, failed, time.monotonic() - began))

    threads = [threading.Thread(target=run_lane, args=(parts,)) for parts in lanes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    unstable = run_again(options)
    print("==== sums")
    for name, passed, failed, seconds in sums:
        print(f"{name:13} {passed:5} passed {failed:4} failed {seconds:6.0f} s")
    passed, failed = sum(row[1] for row in sums) + unstable, sum(row[2] for row in sums) - unstable
    if unstable:
        print(f"{unstable} unstable, see above")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
