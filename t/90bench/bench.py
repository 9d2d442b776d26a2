#!/usr/bin/python3
"""Side by side: Weir, HAProxy and nginx before the same origin, for RTMP and HTTP. Most rows have the
load tool's synthetic one; those with real origins publish to nginx-rtmp, and to SRS where SRS_BIN names
a binary.

Each peer is started afresh for each run and pinned to one core; the load tool (origin and clients)
has the other. Runs of all peers alternate, so that a change of the machine's mood meets all of them.
A figure is the median of --runs runs. CPU time is user + system of all processes of a relay, over
exactly the window whose bytes are counted (rtmp_load reads both).
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys

REPO = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO / "t" / "support"))

from weirtest import Lab, Origin, free_port, poll  # noqa: E402
from weirtest.origin import nginx_modules  # noqa: E402
from weirtest.srsorigin import SrsOrigin, srs_binary  # noqa: E402
from weirtest.weir import config_text  # noqa: E402

import http_peers  # noqa: E402
from machine import family, machine, on_core, pinned, pss, raise_descriptor_limit  # noqa: E402

# ---- peers: name: (title, start(lab, build, port, origin_port) → Process)


def start_haproxy(lab, _build, port, origin, splice="splice-auto"):
    conf = lab.path(f"haproxy-{port}.cfg")
    conf.write_text(f"""global
  nbthread 1
  maxconn 6000
defaults
  mode tcp
  maxconn 6000
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  option {splice}
frontend f
  bind 127.0.0.1:{port} backlog 8192
  default_backend b
backend b
  server s 127.0.0.1:{origin}
""")
    return pinned(lab, ["haproxy", "-f", conf, "-db"], "haproxy")


def start_haproxy_response(lab, build, port, origin):
    return start_haproxy(lab, build, port, origin, "splice-response")


def start_nginx(lab, _build, port, origin):
    conf = lab.path(f"nginx-{port}.conf")
    conf.write_text(f"""load_module {nginx_modules()}/ngx_stream_module.so;
daemon off;
worker_processes 1;
pid {lab.dir}/nginx-{port}.pid;
error_log {lab.dir}/nginx-{port}.log error;
worker_rlimit_nofile 65536;
events {{ worker_connections 30000; }}
stream {{
  server {{
    listen 127.0.0.1:{port} backlog=8192;
    proxy_pass 127.0.0.1:{origin};
    proxy_timeout 1h;
  }}
}}
""")
    return pinned(lab, ["nginx", "-p", lab.dir, "-c", conf, "-e", "stderr"], "nginx")


def start_weir(lab, build, port, origin, delay="20ms"):
    conf = lab.path(f"weir-{port}.conf")
    api = free_port()
    conf.write_text(config_text({
        "pid_file": "", "session_file": "off", "worker_processes": 1, "log": {"level": "warn"}, "access_log": {"target": "off"},
        "rtmp": {"listen": f"127.0.0.1:{port}", "relay_delay": delay, "max_half_open_per_address": 0},
        "control": {"listen": f"127.0.0.1:{api}"}, "http": {"enabled": False}, "http_api": {"enabled": False},
        "origin bench": {"ip": "127.0.0.1", "rtmp": origin}}) + "\n")
    process = pinned(lab, [build / "weir", "-c", conf], "weir")
    process.wait_port(api)
    return process


def start_weir_at_once(lab, build, port, origin):
    return start_weir(lab, build, port, origin, "0")


RTMP_PEERS = {
    "weir": ("Weir, relay_delay 20ms", start_weir),
    "weir0": ("Weir, relay_delay 0", start_weir_at_once),
    "haproxy": ("HAProxy, splice-auto", start_haproxy),
    "haproxy-response": ("HAProxy, splice-response", start_haproxy_response),
    "nginx": ("nginx stream", start_nginx),
}
# By what a row measures. --peers chooses among them by name.
PEERS = {"rtmp": RTMP_PEERS, **http_peers.PEERS}


def add_before(build):
    for peers in PEERS.values():
        for name, title in (("weir", "before, relay_delay 20ms"), ("weir0", "before, relay_delay 0")):
            start = peers[name][1]
            peers[name.replace("weir", "before")] = (
                title, lambda lab, _build, port, origin, start=start: start(lab, build, port, origin))


# ---- runs

class Bench:
    def __init__(self, lab, options):
        self.lab = lab
        self.build = options.build
        self.tool = options.load_tool or self.build / "t/90bench/rtmp_load"
        self.seconds = options.seconds

    def tool_of(self, row):
        return self.tool if protocol(row) == "rtmp" else self.build / "t/90bench/http_load"

    def start_real_origin(self, row):
        """nginx-rtmp or SRS, with publishers whose frames are spread in time; on the load tool's core."""
        nginx = row["origin"] == "nginx-rtmp"
        origin = Origin(self.lab, name="bench", wait_key=False) if nginx else SrsOrigin(self.lab, "bench")
        if own := on_core(1):
            subprocess.run(["taskset", "-apc", own[2], str(origin.process.pid)], check=True,
                           stdout=subprocess.DEVNULL)
        publishers = self.lab.start(
            [*on_core(1), self.tool, "publish", "--target", f"127.0.0.1:{origin.rtmp_port}", "--players",
             row["streams"], "--streams", row["streams"], "--phases", row["streams"], "--bitrate", row["bitrate"],
             "--fps", row.get("fps", 30), "--seconds", "1800", "--limit", "1800"], "publishers")
        publishers.wait_log('"ready"', 60)
        origin.process.port = origin.rtmp_port
        return origin.process

    def start_origin(self, row):
        if "origin" in row:
            return self.start_real_origin(row)
        port = free_port()
        argv = [*on_core(1), self.tool_of(row), "origin", "--listen", f"127.0.0.1:{port}", "--limit",
                "1800", "--bitrate", row.get("bitrate", 5e6), "--fps", row.get("fps", 30),
                "--phases", row.get("streams", 1)]
        argv += ["--framing", row["framing"]] if "framing" in row else []
        process = self.lab.start(argv, "origin")
        process.wait_port(port)
        process.port = port
        return process

    def start_peer(self, row, peer, origin):
        if peer == "direct":
            return None, origin.port, []
        port = free_port()
        process = PEERS[protocol(row)][peer][1](self.lab, self.build, port, origin.port)
        process.wait_port(port)
        if protocol(row) == "rtmp":  # what is lazy is made now
            self.load(row, "setup", port, [], count=20, parallel=4, streams=4)
        else:
            self.load(row, "get", port, [], players=4, seconds=0.2, warmup=0, path="/live/s.m3u8")
        return process, port, family(process.pid)

    def load(self, row, mode, port, pids, while_ready=None, **options):
        if protocol(row) == "https":
            options["tls"] = 1
        argv = [*on_core(1), self.tool_of(row), mode, "--target", f"127.0.0.1:{port}", "--limit", "120"]
        for key, value in options.items():
            argv += [f"--{key}", str(value)]
        argv += ["--pids", ",".join(map(str, pids))] if pids else []
        out = self.lab.path("load.json")
        with open(out, "wb") as file:
            process = self.lab.start(argv, "load", stdout=file)
            if while_ready:
                poll("all sessions", lambda: '"ready"' in process.log() or not process.alive, 90)
                while_ready()
            status = process.wait(150)
        if status != 0:
            raise RuntimeError(f"{mode}: {out.read_text().strip()} {process.log()[-300:].strip()}")
        return json.loads(out.read_text())

    def run(self, row, peer, origin):
        process, port, pids = self.start_peer(row, peer, origin)
        try:
            return getattr(self, "run_" + row["kind"])(row, port, pids)
        finally:
            if process:
                process.stop(5)
                process.kill()

    def run_play(self, row, port, pids, mode="play"):
        done = self.load(row, mode, port, pids, players=row["players"], streams=row["streams"],
                         seconds=self.seconds, warmup=1, rate=row.get("rate", 500),
                         bitrate=row.get("bitrate", 5e6), fps=row.get("fps", 30),
                         phases=row["streams"])
        return {"cpu_s_per_gb": done["relay_cpu"] / (done["bytes"] / 1e9) if done["bytes"] else None,
                "core_share": done["relay_cpu"] / done["seconds"],
                "mbytes_per_s": done["bytes"] / done["seconds"] / 1e6,
                "first_ms_p50": done["first_byte_ms"]["p50"],
                "first_ms_p99": done["first_byte_ms"]["p99"],
                "frame_ms_p50": done["frame_ms"]["p50"], "frame_ms_p99": done["frame_ms"]["p99"]}

    def run_publish(self, row, port, pids):
        out = self.run_play(row, port, pids, "publish")
        sent = row["players"] * row.get("bitrate", 5e6) / 8 / 1e9  # GB/s, paced by the tool
        return {"cpu_s_per_gb": out["core_share"] / sent, "core_share": out["core_share"]}

    def run_setup(self, row, port, pids):
        done = self.load(row, "setup", port, pids, count=row["count"], parallel=row["parallel"],
                         streams=row["streams"], seconds=60)
        return {"per_cpu_s": done["sessions"] / done["relay_cpu"] if done["relay_cpu"] else None,
                "per_s": done["sessions"] / done["seconds"],
                "first_ms_p50": done["first_byte_ms"]["p50"],
                "first_ms_p99": done["first_byte_ms"]["p99"]}

    def run_get(self, row, port, pids):
        done = self.load(row, "get", port, pids, players=row["players"], streams=row["streams"],
                         seconds=self.seconds, warmup=1, path=row["path"])
        if not done["requests"] or not done["relay_cpu"]:
            raise RuntimeError("nothing was served in the counted window")
        return {"per_cpu_s": done["requests"] / done["relay_cpu"],
                "cpu_s_per_gb": done["relay_cpu"] / (done["bytes"] / 1e9),
                "per_s": done["requests"] / done["seconds"],
                "core_share": done["relay_cpu"] / done["seconds"],
                "answer_ms_p50": done["frame_ms"]["p50"], "answer_ms_p99": done["frame_ms"]["p99"]}

    def run_memory(self, row, port, pids):
        before = pss(pids)
        samples = []

        def sample():
            for _ in range(5):
                samples.append(pss(pids))
                poll("", lambda: True, 1)
        self.load(row, "play", port, pids, while_ready=sample, players=row["players"],
                  streams=row["streams"], seconds=2, warmup=0.5, rate=1000)
        return {"bytes_per_session": (statistics.median(samples) - before) / row["players"]}


ROWS = [
    {"id": "play50x1", "title": "play, 50 players of 1 stream, 5 Mbit/s", "kind": "play",
     "players": 50, "streams": 1, "main": "cpu_s_per_gb"},
    {"id": "play50x50", "title": "play, 50 players of 50 streams, frames spread, 5 Mbit/s",
     "kind": "play", "players": 50, "streams": 50, "main": "cpu_s_per_gb"},
    {"id": "play500x1", "title": "play, 500 players of 1 stream, 5 Mbit/s", "kind": "play",
     "players": 500, "streams": 1, "main": "cpu_s_per_gb"},
    {"id": "play500x50", "title": "play, 500 players of 50 streams, frames spread, 5 Mbit/s",
     "kind": "play", "players": 500, "streams": 50, "main": "cpu_s_per_gb"},
    {"id": "publish50", "title": "publish, 50 publishers, frames spread, 5 Mbit/s",
     "kind": "publish", "players": 50, "streams": 50, "main": "cpu_s_per_gb"},
    {"id": "latency", "title": "latency at half load, 400 players of 400 streams, spread, 5 Mbit/s",
     "kind": "play", "players": 400, "streams": 400, "rate": 200, "main": "frame_ms_p99",
     "direct": True},
    {"id": "setup", "title": "set-ups (connect to first media byte) per CPU second", "kind": "setup",
     "count": 4000, "parallel": 16, "streams": 50, "main": "per_cpu_s", "bitrate": 1e5, "fps": 1,
     "direct": True},
    {"id": "memory1000", "title": "memory a session (PSS growth), 1,000 players, 0.34 Mbit/s",
     "kind": "memory", "players": 1000, "streams": 50, "bitrate": 0.34e6, "fps": 10,
     "main": "bytes_per_session"},
    {"id": "memory5000", "title": "memory a session (PSS growth), 5,000 players, 0.05 Mbit/s",
     "kind": "memory", "players": 5000, "streams": 50, "bitrate": 0.05e6, "fps": 2,
     "main": "bytes_per_session"},
    {"id": "real-nginx", "title": "play from nginx-rtmp, 60 players of 20 streams, frames spread, 3 Mbit/s",
     "kind": "play", "players": 60, "streams": 20, "bitrate": 3e6, "origin": "nginx-rtmp",
     "main": "cpu_s_per_gb"},
    {"id": "real-nginx1", "title": "play from nginx-rtmp, 50 players of 1 stream, 3 Mbit/s", "kind": "play",
     "players": 50, "streams": 1, "bitrate": 3e6, "origin": "nginx-rtmp", "main": "cpu_s_per_gb"},
    {"id": "real-srs", "title": "play from SRS, 60 players of 20 streams, frames spread, 3 Mbit/s",
     "kind": "play", "players": 60, "streams": 20, "bitrate": 3e6, "origin": "srs", "main": "cpu_s_per_gb"},
    *http_peers.ROWS,
]


def protocol(row):
    """Whose peers and which load tool: rtmp, http or https."""
    return row.get("protocol", "rtmp")


COLUMNS = {
    "cpu_s_per_gb": ("CPU s/GB", "{:.2f}"), "core_share": ("of a core", "{:.0%}"),
    "mbytes_per_s": ("MB/s", "{:.0f}"), "per_cpu_s": ("per CPU s", "{:.0f}"),
    "per_s": ("per s", "{:.0f}"), "bytes_per_session": ("bytes a session", "{:.0f}"),
    "first_ms_p50": ("first byte p50 ms", "{:.2f}"), "first_ms_p99": ("p99 ms", "{:.2f}"),
    "frame_ms_p50": ("frame p50 ms", "{:.2f}"), "frame_ms_p99": ("p99 ms", "{:.2f}"),
    "answer_ms_p50": ("answer p50 ms", "{:.2f}"), "answer_ms_p99": ("p99 ms", "{:.2f}"),
    "added_first_ms_p50": ("added first p50", "{:.2f}"), "added_first_ms_p99": ("p99", "{:.2f}"),
    "added_frame_ms_p50": ("added frame p50", "{:.2f}"), "added_frame_ms_p99": ("p99", "{:.2f}"),
}


def measure(bench, row, peers, runs):
    """{peer: {"runs": […], "median": {…}} or {"error": text}}."""
    known = PEERS[protocol(row)]
    names = (["direct"] if row.get("direct") else []) + [p for p in known if not peers or p in peers]
    results = {peer: {"runs": []} for peer in names}
    origin = bench.start_origin(row)
    for _ in range(runs):
        for peer in names:
            if "error" in results[peer]:
                continue
            try:
                results[peer]["runs"].append(bench.run(row, peer, origin))
            except (AssertionError, RuntimeError, OSError, ValueError) as error:
                results[peer]["error"] = str(error).strip()[-500:] or repr(error)
    origin.stop(5)
    for result in results.values():
        if result["runs"]:
            keys = result["runs"][0].keys()
            result["median"] = {
                key: statistics.median(values) if None not in values else None
                for key in keys for values in [[run[key] for run in result["runs"]]]}
    add_ratios(results, row["main"])
    direct = results.get("direct", {}).get("median")
    for name, result in results.items():
        if direct and name != "direct" and "median" in result:
            for key in ("first_ms_p50", "first_ms_p99", "frame_ms_p50", "frame_ms_p99"):
                if key in direct:
                    result["median"]["added_" + key] = result["median"][key] - direct[key]
    return results


def add_ratios(results, main):
    """Each peer against the better of HAProxy's two settings (in this row, in this run)."""
    base = [r["median"][main] for name, r in results.items()
            if name.startswith("haproxy") and r.get("median", {}).get(main)]
    if not base:
        return
    best = max(base) if main == "per_cpu_s" else min(base)
    for name, result in results.items():
        value = result.get("median", {}).get(main)
        if value is not None and name != "direct" and not main.startswith("frame"):
            result["ratio"] = value / best


def table(row, results):
    medians = [r["median"] for r in results.values() if "median" in r]
    keys = list(medians[-1]) if medians else []
    lines = [["relay", "× HAProxy"] + [COLUMNS[k][0] for k in keys]]
    for peer, result in results.items():
        title = PEERS[protocol(row)].get(peer, ("no relay",))[0]
        if "median" not in result:
            lines.append([title, "failed: " + result.get("error", "").splitlines()[-1][-100:]] + [""] * len(keys))
            continue
        ratio = f"{result['ratio']:.2f}" if "ratio" in result else ""
        if "error" in result:
            ratio += " (a run failed)"
        values = [result["median"].get(k) for k in keys]
        lines.append([title, ratio] + [COLUMNS[k][1].format(v) if v is not None else ""
                                       for k, v in zip(keys, values)])
    return row["title"], lines


def print_table(title, lines, markdown):
    if markdown:
        print(f"\n**{title}**\n")
        for number, line in enumerate(lines):
            print("| " + " | ".join(line) + " |")
            if number == 0:
                print("|" + " --- |" * len(line))
    else:
        widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
        print(f"\n{title}")
        for line in lines:
            print("  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths)))
    sys.stdout.flush()


def route_micro(build):
    binary = build / "t/90bench/route_micro"
    if not binary.exists():
        return []
    done = subprocess.run([*on_core(0), str(binary), "--benchmark_format=json"], check=False,
                          stdout=subprocess.PIPE, timeout=180)
    if done.returncode != 0:
        raise RuntimeError(f"route_micro ended with {done.returncode}")
    return json.loads(done.stdout)["benchmarks"]


def micro_lines(rows):
    standard = {"name", "family_index", "per_family_instance_index", "run_name", "run_type",
                "repetitions", "repetition_index", "threads", "iterations", "real_time", "cpu_time",
                "time_unit", "aggregate_name", "aggregate_unit", "label"}
    lines = [["benchmark", "time", "CPU", "more"]]
    for row in rows:
        if "real_time" not in row:
            continue
        more = ", ".join(f"{k} {v:.0f}" for k, v in row.items()
                         if k not in standard and isinstance(v, (int, float)))
        lines.append([row["name"], f"{row['real_time']:.0f} {row['time_unit']}",
                      f"{row['cpu_time']:.0f} {row['time_unit']}", more])
    return lines


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=pathlib.Path, default=REPO / "build")
    parser.add_argument("--load-tool", type=pathlib.Path)
    parser.add_argument("--before", type=pathlib.Path, help="build of another commit, measured as a peer in the same run")
    parser.add_argument("--peers", default="", help="all but these are left out")
    parser.add_argument("--only", default="", help="ids of rows, by comma: "
                        + ", ".join(row["id"] for row in ROWS) + ", micro")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4, help="counted window of a run")
    parser.add_argument("--quick", action="store_true", help="one run of two seconds each")
    parser.add_argument("--markdown", action="store_true", help="tables for docs/BENCHMARKS.md")
    parser.add_argument("--json", type=pathlib.Path, help="result file (BUILD/bench.json)")
    options = parser.parse_args()
    options.build = options.build.resolve()
    if options.before:
        add_before(options.before.resolve())
    if options.quick:
        options.runs, options.seconds = 1, 2.0
    return options


def main():
    options = parse_arguments()
    raise_descriptor_limit()
    peers = set(filter(None, options.peers.split(",")))
    only = set(filter(None, options.only.split(",")))
    report = {"machine": machine(), "runs": options.runs, "seconds": options.seconds, "rows": {}}
    about = report["machine"]
    print(f"{about['cores']} cores of {about['cpu']}, kernel {about['kernel']}; median of "
          f"{options.runs} runs; relay on one core, load on another")
    failed = False
    with Lab() as lab:
        bench = Bench(lab, options)
        for row in ROWS:
            if only and row["id"] not in only:
                continue
            if row.get("origin") == "srs" and not srs_binary():
                print(f"\n{row['title']}: left out, SRS_BIN names no SRS")
                continue
            results = measure(bench, row, peers, options.runs)
            failed |= any("error" in result for result in results.values())
            report["rows"][row["id"]] = {"title": row["title"], "peers": results}
            print_table(*table(row, results), options.markdown)
    if not only or "micro" in only:
        report["micro"] = route_micro(options.build)
        if report["micro"]:
            print_table("route look-ups", micro_lines(report["micro"]), options.markdown)
    out = options.json or options.build / "bench.json"
    out.write_text(json.dumps(report, indent=1) + "\n")
    print(f"\n{'some runs failed; ' if failed else ''}all figures: {out}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
