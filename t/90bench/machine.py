"""The machine under a benchmark: cores, process families, memory, versions."""

import os
import pathlib
import platform
import re
import resource
import subprocess


def cores():
    return sorted(os.sched_getaffinity(0))


def on_core(index):
    own = cores()
    return ["taskset", "-c", str(own[index % len(own)])] if len(own) > 1 else []


def pinned(lab, argv, name):
    return lab.start([*on_core(0), *argv], name)


def family(pid):
    """A process and all that descend from it."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                stat = pathlib.Path(f"/proc/{entry}/stat").read_text(errors="replace")
                parents[int(entry)] = int(stat.rpartition(")")[2].split()[1])
            except OSError:
                continue
    out = {pid}
    for _ in range(8):
        out |= {child for child, parent in parents.items() if parent in out}
    return sorted(out)


def pss(pids):
    total = 0
    for pid in pids:
        for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total * 1024


def machine():
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())

    def version(*argv):
        try:
            done = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=False)
            return (done.stdout + done.stderr).splitlines()[0]
        except (OSError, IndexError):
            return "absent"
    return {"cpu": model.group(1) if model else platform.machine(), "cores": len(cores()),
            "kernel": platform.release(), "haproxy": version("haproxy", "-v"),
            "nginx": version("nginx", "-v")}


def raise_descriptor_limit():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    for want in (262144, 65536, hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (want, max(want, hard)))
            return
        except (ValueError, OSError):
            continue
