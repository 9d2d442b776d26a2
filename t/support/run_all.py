#!/usr/bin/python3
"""Every test of the project, and one line of sums: "N passed, N failed" (`make check`).

Parts (--only by comma): unit, each pytest suite by the name of its folder, lint, asan, fuzz. A test
that was skipped counts as failed: nothing here is meant to be skipped.

The suites mostly wait for real time, so what only computes (lint, asan, fuzz) runs beside them, at
the lowest priority, and its output is shown when a part has ended.
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
SUITES = ["10ipc", "20worker", "40proto", "50reload", "60fault"]
PYTHON = "/usr/bin/python3"


def run(argv, timeout, env=None, beside=False):
    """(status, output); status 124 at the time limit. Output is shown as it comes, or, of what runs
    beside the suites, at its end."""
    output = bytearray()
    if beside:
        argv = ["nice", "-n", "19", *argv]
    process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               start_new_session=True, env={**os.environ, **(env or {})})

    def show(data):
        sys.stdout.buffer.write(data)
        sys.stdout.flush()

    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        ready, _, _ = select.select([process.stdout], [], [], 0.2)
        data = os.read(process.stdout.fileno(), 65536) if ready else b""
        output += data
        if not beside:
            show(data)
        if not data and process.poll() is not None:
            if beside:
                show(output)
            return process.returncode, output.decode(errors="replace")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    show(output if beside else b"")
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


def run_suite(options, suite):
    status, text = run([PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short",
                        f"t/{suite}"], 1200, {"WEIR_BUILD": str(options.build)})
    last = next((line for line in reversed(text.splitlines()) if re.search(r" in [\d.]+s", line)), "")
    counts = {word: int(n) for n, word in re.findall(r"(\d+) (\w+)", last)}
    passed = counts.get("passed", 0)
    bad = sum(counts.get(w, 0) for w in ("failed", "error", "errors", "skipped", "xfailed", "xpassed"))
    if status == 5:  # no test in that folder
        return 0, 0
    return passed, bad or int(status != 0)


def run_fuzz(options):
    status, text = run(["make", "--silent", f"-j{options.jobs}", "fuzz"], 1500, beside=True)
    if status != 0:
        return 0, 1
    status, text = run(["make", "--silent", "fuzz-smoke"], 900, beside=True)
    passed = len(re.findall(r"^pass ", text, re.M))
    failed = len(re.findall(r"^FAIL ", text, re.M))
    return passed, failed or int(status != 0 or passed == 0)


def run_lint(options):
    build = os.path.relpath(options.build, ROOT)
    status, text = run(["scripts/lint"], 1200, {"WEIR_BUILD": build}, beside=True)
    failed = len(re.findall(r"^FAIL ", text, re.M))
    return len(re.findall(r"^ok ", text, re.M)), failed or int(status != 0)


def run_asan(options):
    status, text = run(["make", "--silent", f"-j{options.jobs}", "asan"], 1500, beside=True)
    passed, failed, _ = doctest_counts(text)
    return passed, failed or int(status != 0 or passed == 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    options.build = options.build.resolve()
    suites = {"unit": run_unit}
    suites.update({s: lambda o, s=s: run_suite(o, s) for s in SUITES})
    computing = {"lint": run_lint, "asan": run_asan, "fuzz": run_fuzz}
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

    lanes = [threading.Thread(target=run_lane, args=(parts,)) for parts in (suites, computing)]
    for lane in lanes:
        lane.start()
    for lane in lanes:
        lane.join()
    print("==== sums")
    for name, passed, failed, seconds in sums:
        print(f"{name:10} {passed:5} passed {failed:4} failed {seconds:6.0f} s")
    failed = sum(row[2] for row in sums)
    print(f"{sum(row[1] for row in sums)} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
