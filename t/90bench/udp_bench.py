#!/usr/bin/python3
"""WebRTC's datagrams through Weir beside nginx stream (udp), from the same load tool (udp_load).

Every session is signalled through Weir (WHIP) and proves itself by STUN; nginx relays the same
packets blindly. Runs alternate; a figure is the median of --runs runs. CPU time is that of all
processes of a relay that touch a packet, over exactly the window that is counted, divided by the
datagrams of both directions. A relay has one core, the load tool the other.

Parts: media (CPU and latency, both ways), workers (what two workers carry, as a multiple of one: 2 x
(CPU a datagram with one worker) / (CPU a datagram with two and twice the sessions), unpinned,
because two cores cannot feed two busy workers), limit (one core given more than it can move),
memory (of a session, from two sizes; the rest is fixed).
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

REPO = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO / "t" / "support"))

from weirtest import Lab, free_port  # noqa: E402
from weirtest.rtcorigin import RtcOrigin, RtcWeir, offer_sdp, password_of  # noqa: E402

from machine import cores, family, machine, on_core, raise_descriptor_limit  # noqa: E402
from udp_peers import start_nginx_udp  # noqa: E402


def private_bytes(pids):
    total = 0
    for pid in pids:
        for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Private_"):
                total += int(line.split()[1]) * 1024
    return total


class Direct:
    title = "no relay"

    def __init__(self, _lab, origin_port, _sessions):
        self.port, self.pids, self.names = origin_port, [], None


class Nginx:
    title = "nginx stream"

    def __init__(self, lab, origin_port, _sessions):
        self.port, self.names = free_port(udp=True), None
        process = start_nginx_udp(lab, self.port, origin_port)
        self.pids = [pid for pid in family(process.pid) if pid != process.pid]


class Weir:
    title = "Weir, relay_delay 4ms"
    delay, workers, build = "4ms", 1, None

    def __init__(self, lab, origin_port, sessions):
        api = RtcOrigin(lab, media_port=origin_port)
        weir = RtcWeir(lab, [api], {"log": {"level": "warn"}, "rtc": {"relay_delay": self.delay}},
                       workers=self.workers, build=self.build)
        self.port, self.pids = weir.rtc_port, weir.weir.pids("rtc")
        if self.workers == 1 and len(cores()) > 1:
            os.sched_setaffinity(self.pids[0], {cores()[0]})
        self.names = []
        for number in range(sessions):
            offered = f"bn{number:06d}"
            answer = weir.post(f"/whip/live/s{number}", offer_sdp(offered))
            own = answer.body.decode().split("a=ice-ufrag:")[1].split("\r\n")[0]
            self.names.append(f"{own}:{offered} {password_of(own)}\n")


class WeirAtOnce(Weir):
    title = "Weir, relay_delay 0"
    delay = "0"


class Before(Weir):
    """Another commit's build, by --before."""
    title = "before, relay_delay 4ms"


class WeirFree(Weir):
    title = "Weir, 1 worker"
    workers = 1


class WeirTwo(Weir):
    title = "Weir, 2 workers"
    workers = 2


class Bench:
    """One relay with an origin; load() may come several times."""

    def __init__(self, options, lab, make, sessions, pinned=True, **origin):
        self.lab, self.tool, self.used = lab, options.build / "t/90bench/udp_load", 0
        self.core = on_core(1) if pinned else []
        port = free_port(udp=True)
        words = [str(word) for pair in origin.items() for word in (f"--{pair[0]}", pair[1])]
        self.origin = subprocess.Popen(
            [*self.core, self.tool, "origin", "--listen", f"127.0.0.1:{port}", *words],
            stdout=subprocess.PIPE, text=True)
        try:
            self.relay = make(lab, port, sessions)
        except BaseException:
            self.origin.kill()
            raise
        if not pinned:
            for pid in self.relay.pids:
                os.sched_setaffinity(pid, cores())

    def load(self, sessions, **arguments):
        command = [*self.core, self.tool, "client", "--target", f"127.0.0.1:{self.relay.port}",
                   "--sessions", str(sessions), "--limit", "30", "--pids",
                   ",".join(map(str, self.relay.pids)), "--tools", str(self.origin.pid)]
        for key, value in arguments.items():
            command += [f"--{key}", str(value)]
        if self.relay.names:
            own = self.relay.names[self.used:self.used + sessions]
            path = self.lab.path(f"credentials-{self.used}")
            path.write_text("".join(own))
            command += ["--credentials", path]
        self.used += sessions
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{self.relay.title}: {done.stdout}{done.stderr}")
        return json.loads(done.stdout)

    def stop(self):
        """What the origin has received."""
        self.origin.terminate()
        return json.loads(self.origin.communicate(timeout=30)[0])["up"]


def media(options, make, sessions, packets=17, fps=30, segmented=0, pinned=True):
    with Lab() as lab:
        bench = Bench(options, lab, make, sessions, pinned=pinned, packets=packets, fps=fps,
                      segmented=segmented)
        try:
            down = bench.load(sessions, packets=packets, fps=fps, seconds=options.seconds)
        finally:
            up = bench.stop()
    moved = down["down"]["packets"] + down["sent"]
    return {"us": down["us_per_datagram"], "tool_us": down["tool_cpu"] * 1e6 / moved,
            "moved": moved, "rate": moved / down["seconds"], "core": down["relay_cpu"] / down["seconds"],
            "lost": down["down"]["lost"] + up["lost"],
            "p50": down["down"]["p50_ms"], "p99": down["down"]["p99_ms"]}


def medians(runs, makers, measure):
    """A relay that fails is told and left out."""
    results, failed = {make: [] for make in makers}, set()
    for _ in range(runs):
        for make in makers:
            if make in failed:
                continue
            try:
                results[make].append(measure(make))
            except (RuntimeError, AssertionError, OSError) as error:
                failed.add(make)
                print(f"failed: {make.title}: {str(error).strip()[-300:]}", file=sys.stderr)
    return {make: {key: statistics.median(one[key] for one in rows) for key in rows[0]}
            for make, rows in results.items() if rows}


def times(found, make, base, key):
    """`key` of one relay as a multiple of that of another, if both ran."""
    return f"{found[make][key] / found[base][key]:.2f}" if {make, base} <= found.keys() else ""


def times_without_loss(found, make, base):
    """CPU compared; what was lost cost less, so nothing is said where it is more than 1 %."""
    whole = all(found[one]["lost"] < 0.01 * found[one]["moved"] for one in (make, base) if one in found)
    return times(found, make, base, "us") if whole else "lossy"


def table(*lines):
    for line in lines:
        print("| " + " | ".join(line) + " |", flush=True)


def media_rows(options):
    print("\n**WebRTC, bursts of 1,200-byte packets both ways**\n")
    table(("sessions", "burst", "origin", "relay", "CPU µs a datagram", "× nginx", "lost", "p50 ms",
           "p99 ms", "added p50", "p99"), ("---",) * 11)
    for sessions, packets, fps, makers, runs in (
            (20, 17, 30, (Direct, Nginx, Weir, WeirAtOnce), options.runs),
            (100, 17, 30, (Direct, Nginx, Weir), options.runs),
            (2000, 2, 10, (Nginx, Weir), 1)):
        makers += (Before,) if options.before else ()
        for segmented in (0, 1) if packets > 2 else (0,):
            found = medians(runs, makers, lambda make, s=segmented, n=sessions, p=packets, f=fps:
                            media(options, make, n, p, f, s))
            for make, m in found.items():
                base = found.get(Direct)
                added = [f"{m[k] - base[k]:.2f}" for k in ("p50", "p99")] \
                    if base and make is not Direct else ["", ""]
                us = "" if make is Direct else f"{m['us']:.2f}"
                ratio = times_without_loss(found, make, Nginx) if issubclass(make, Weir) else ""
                table((str(sessions), f"{packets} at {fps}/s",
                       "segmented" if segmented else "ordinary", make.title, us, ratio,
                       f"{m['lost']:.0f}", f"{m['p50']:.2f}", f"{m['p99']:.2f}", *added))


def worker_rows(options):
    found = medians(options.runs, (WeirFree, WeirTwo), lambda make: media(
        options, make, 50 * make.workers, pinned=False))
    print("\n**WebRTC, workers; 50 sessions for each, ordinary origin**\n")
    table(("relay", "CPU µs a datagram", "datagrams/s of full cores", "× one worker", "datagrams/s",
           "load tool's µs", "lost"), ("---",) * 7)
    for make, m in found.items():
        one = found.get(WeirFree, m)["us"]
        table((make.title, f"{m['us']:.2f}", f"{make.workers * 1e6 / m['us']:.0f}",
               f"{make.workers * one / m['us']:.2f}", f"{m['rate']:.0f}", f"{m['tool_us']:.2f}",
               f"{m['lost']:.0f}"))


def limit(options, make, segmented):
    """Downwards only, which costs the load tool least."""
    with Lab() as lab:
        bench = Bench(options, lab, make, 100, packets=17, fps=options.limit_fps, segmented=segmented)
        try:
            down = bench.load(100, packets=0, seconds=options.seconds)
        finally:
            bench.stop()
    seconds, packets = down["seconds"], down["down"]["packets"]
    return {"rate": packets / seconds, "core": down["relay_cpu"] / seconds,
            "tool": down["tool_cpu"] / seconds,
            "lost": down["down"]["lost"] / max(down["down"]["lost"] + packets, 1)}


def limit_rows(options):
    print(f"\n**WebRTC, one core given {100 * 17 * options.limit_fps} datagrams/s downwards**\n")
    table(("origin", "relay", "datagrams/s delivered", "× nginx", "relay's core", "load tool's core",
           "lost"), ("---",) * 7)
    for segmented in (0, 1):
        found = medians(1, (Nginx, Weir), lambda make, s=segmented: limit(options, make, s))
        for make, m in found.items():
            table(("segmented" if segmented else "ordinary", make.title, f"{m['rate']:.0f}",
                   times(found, make, Nginx, "rate"), f"{m['core']:.0%}", f"{m['tool']:.0%}",
                   f"{m['lost']:.0%}"))


def memory(options, make, small=150, large=2000):
    with Lab() as lab:
        bench = Bench(options, lab, make, large, packets=2, fps=10)
        try:
            grown = [private_bytes(bench.relay.pids)]
            for sessions in (small, large - small):
                bench.load(sessions, packets=2, fps=10, seconds=1)
                grown.append(private_bytes(bench.relay.pids))
        finally:
            bench.stop()
    each = (grown[2] - grown[1]) / (large - small)
    return {"each": each, "fixed": grown[1] - each * small}


def memory_rows(options):
    print("\n**WebRTC, memory of the relay's process (private), from 150 to 2,000 sessions**\n")
    table(("relay", "bytes a session", "fixed, MB"), ("---",) * 3)
    for make, m in medians(1, (Nginx, Weir), lambda make: memory(options, make)).items():
        table((make.title, f"{m['each']:.0f}", f"{m['fixed'] / 1e6:.2f}"))


PARTS = {"media": media_rows, "workers": worker_rows, "limit": limit_rows, "memory": memory_rows}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=REPO / "build")
    parser.add_argument("--before", type=pathlib.Path, help="build of another commit, measured beside")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2, help="counted window of a run")
    parser.add_argument("--limit-fps", type=int, default=400)
    parser.add_argument("--only", default="", help="parts, by comma: " + ", ".join(PARTS))
    options = parser.parse_args()
    options.build = options.build.resolve()
    Before.build = options.before and options.before.resolve()
    raise_descriptor_limit()
    about = machine()
    print(f"{len(cores())} cores of {about['cpu']}, kernel {about['kernel']}, {about['nginx']}; "
          f"median of {options.runs} runs")
    for name, part in PARTS.items():
        if not options.only or name in options.only.split(","):
            part(options)


if __name__ == "__main__":
    main()
