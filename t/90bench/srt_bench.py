#!/usr/bin/python3
"""SRT through Weir beside nginx stream (udp), from the same load tool (srt_load).

Callers shake hands through the relay (nginx passes the packets on blindly) and publish or play a
TS stream each, in packets that leave evenly or a video frame at a time; receivers acknowledge every
10 ms. Runs alternate; a figure is the median of --runs runs. CPU time is that of all processes of
a relay, over exactly the window that is counted, divided by the datagrams of both directions.
A relay has one core, the load tool the other. Two workers are measured with twice the sessions, and
they and the one that they are compared with run on any core: what they could carry, as a multiple
of one, is 2 x (CPU a datagram with one worker) / (CPU a datagram with two).
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys

REPO = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO / "t" / "support"))

from weirtest import Lab, free_port, poll  # noqa: E402
from weirtest.weir import config_text  # noqa: E402

from machine import cores, family, machine, on_core, raise_descriptor_limit  # noqa: E402
from udp_peers import start_nginx_udp  # noqa: E402

FRAME = 16  # packets: 5 Mbit/s in 30 frames a second


def start_nginx(lab, _build, port, origin, _workers):
    return start_nginx_udp(lab, port, origin, idle="2s")


def start_weir(lab, build, port, origin, workers, delay="2ms", core=None):
    conf = lab.path(f"weir-{port}.conf")
    api = free_port()
    off = {name: {"enabled": False} for name in ("http", "http_api", "rtc")}
    conf.write_text(config_text({
        **off, "pid_file": "", "session_file": "off", "worker_processes": workers, "log": {"level": "warn"},
        "access_log": {"target": "off"}, "rtmp": {"listen": f"127.0.0.1:{free_port()}"},
        "control": {"listen": f"127.0.0.1:{api}"},
        "srt": {"enabled": True, "listen": f"127.0.0.1:{port}", "relay_delay": delay},
        "origin bench": {"ip": "127.0.0.1", "srt": origin}}) + "\n")
    core = on_core(0) if core is None else core
    process = lab.start([*core, build / "weir", "-c", conf], "weir")
    process.wait_port(api)
    poll("Weir's SRT workers", lambda: len(srt_workers(process.pid)) == workers)
    return process


def srt_workers(pid):
    return [p for p in family(pid)
            if pathlib.Path(f"/proc/{p}/cmdline").read_bytes().startswith(b"weir: srt")]


def start_weir_at_once(lab, build, port, origin, workers):
    return start_weir(lab, build, port, origin, workers, "0")


def start_weir_anywhere(lab, build, port, origin, workers):
    return start_weir(lab, build, port, origin, workers, core=[])


RELAYS = {"nginx": ("nginx stream", start_nginx, 1),
          "weir": ("Weir, relay_delay 2ms", start_weir, 1),
          "weir0": ("Weir, relay_delay 0", start_weir_at_once, 1),
          "weir1": ("Weir, 1 worker", start_weir_anywhere, 1),
          "weir2": ("Weir, 2 workers", start_weir_anywhere, 2)}

COMPARED = ["nginx", "weir", "weir0"]


def add_before(build):
    for name, title in (("weir", "before, relay_delay 2ms"), ("weir0", "before, relay_delay 0")):
        start = RELAYS[name][1]
        RELAYS[name.replace("weir", "before")] = (
            title, lambda lab, _build, *rest, start=start: start(lab, build, *rest), 1)
        COMPARED.append(name.replace("weir", "before"))


def run(options, relay, mode, **arguments):
    """The callers' report, with what the origin saw of the publishers as "up"."""
    _, start, workers = RELAYS[relay]
    tool = options.build / "t/90bench/srt_load"
    core = [] if start is start_weir_anywhere else on_core(1)
    with Lab() as lab:
        origin_port, port = free_port(udp=True), free_port(udp=True)
        burst = ["--burst", str(arguments.pop("burst", 1))]
        origin = subprocess.Popen([*core, tool, "origin", "--listen", f"127.0.0.1:{origin_port}",
                                   *burst], stdout=subprocess.PIPE, text=True)
        try:
            process = start(lab, options.build, port, origin_port, workers)
            command = [*core, tool, mode, "--target", f"127.0.0.1:{port}", *burst, "--pids",
                       ",".join(map(str, family(process.pid)))]
            for key, value in arguments.items():
                command += [f"--{key}", str(value)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        finally:
            origin.terminate()
            up = json.loads(origin.communicate()[0])
        if done.returncode != 0:
            raise SystemExit(f"{relay}: {mode} {arguments} failed\n{process.log()[-2000:]}")
        return {**json.loads(done.stdout), "up": up}


def media(options, relay, publishers, burst, sessions):
    report = run(options, relay, "media", burst=burst, sessions=sessions, publishers=publishers,
                 seconds=options.seconds)
    seen = report["up"]["media"] if publishers == sessions else report["media"]
    return {"us": report["us_per_datagram"], "rate": report["datagrams"] / report["seconds"],
            "lost": report["media"]["lost"] + report["up"]["media"]["lost"],
            "p50": seen["p50_ms"], "p99": seen["p99_ms"]}


def setup(options, relay):
    report = run(options, relay, "setup", count=options.setups)
    return {"per_cpu_s": report["setups_per_cpu_s"],
            "per_s": report["established"] / report["seconds"],
            "p50": report["setup_ms"]["p50"], "p99": report["setup_ms"]["p99"]}


def medians(options, relays, measure):
    results = {relay: [] for relay in relays}
    for _ in range(options.runs):
        for relay in relays:
            results[relay].append(measure(relay))
    return {relay: {key: statistics.median(one[key] for one in rows) for key in rows[0]}
            for relay, rows in results.items()}


def table(*lines):
    for line in lines:
        print("| " + " | ".join(line) + " |", flush=True)


def media_rows(options):
    n = options.sessions
    print(f"\n**SRT, {n} sessions of 5 Mbit/s**\n")
    table(("load", "relay", "CPU µs a datagram", "ratio", "datagrams/s", "lost", "p50 ms", "p99 ms"),
          ("---",) * 8)
    loads = {f"{verb}, {how}": (publishers, burst)
             for how, burst in (("even", 1), ("frames", FRAME))
             for verb, publishers in (("play", 0), ("publish", n))}
    for load, (publishers, burst) in loads.items():
        found = medians(options, COMPARED,
                        lambda relay: media(options, relay, publishers, burst, n))
        for relay, m in found.items():
            ratio = f"{m['us'] / found['nginx']['us']:.2f}" if relay != "nginx" else ""
            table((load, RELAYS[relay][0], f"{m['us']:.2f}", ratio, f"{m['rate']:.0f}",
                   f"{m['lost']:.0f}", f"{m['p50']:.2f}", f"{m['p99']:.2f}"))


def worker_rows(options):
    n = options.sessions
    found = medians(options, ("weir1", "weir2"), lambda relay: media(
        options, relay, n // 2 * RELAYS[relay][2], FRAME, n * RELAYS[relay][2]))
    print(f"\n**SRT, workers; {n} sessions for each, half of them publish**\n")
    table(("relay", "CPU µs a datagram", "× one worker", "datagrams/s", "lost"), ("---",) * 5)
    for relay, m in found.items():
        scale = RELAYS[relay][2] * found["weir1"]["us"] / m["us"]
        table((RELAYS[relay][0], f"{m['us']:.2f}", f"{scale:.2f}", f"{m['rate']:.0f}",
               f"{m['lost']:.0f}"))


def setup_rows(options):
    found = medians(options, COMPARED, lambda relay: setup(options, relay))
    print(f"\n**SRT set-ups, {options.setups} from induction to the listener's yes, 16 at a time**\n")
    table(("relay", "per CPU s", "× nginx", "per s", "p50 ms", "p99 ms"), ("---",) * 6)
    for relay, m in found.items():
        table((RELAYS[relay][0], f"{m['per_cpu_s']:.0f}",
               f"{m['per_cpu_s'] / found['nginx']['per_cpu_s']:.2f}", f"{m['per_s']:.0f}",
               f"{m['p50']:.2f}", f"{m['p99']:.2f}"))


PARTS = {"media": media_rows, "workers": worker_rows, "setup": setup_rows}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=REPO / "build")
    parser.add_argument("--before", type=pathlib.Path, help="build of another commit, measured beside")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2, help="counted window of a run")
    parser.add_argument("--sessions", type=int, default=50)
    parser.add_argument("--setups", type=int, default=2000)
    parser.add_argument("--only", default="", help="parts, by comma: " + ", ".join(PARTS))
    options = parser.parse_args()
    options.build = options.build.resolve()
    if options.before:
        add_before(options.before.resolve())
    raise_descriptor_limit()
    about = machine()
    print(f"{len(cores())} cores of {about['cpu']}, kernel {about['kernel']}, {about['nginx']}; "
          f"median of {options.runs} runs")
    for name, part in PARTS.items():
        if not options.only or name in options.only.split(","):
            part(options)


if __name__ == "__main__":
    main()
