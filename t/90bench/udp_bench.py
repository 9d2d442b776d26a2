#!/usr/bin/python3
"""WebRTC's datagrams through Weir beside nginx stream (udp), from the same load tool (udp_load).

Every session is signalled through Weir (WHIP) and proves itself by STUN; nginx relays the same
packets blindly. Runs alternate; a figure is the median of --runs runs. CPU time is that of all
processes of a relay that touch a packet, over exactly the window that is counted, divided by the
datagrams of both directions.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys

REPO = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO / "t" / "support"))

from weirtest.lab import Lab, free_port, poll  # noqa: E402
from weirtest.origin import nginx_modules  # noqa: E402
from weirtest.rtcorigin import RtcOrigin, RtcWeir, offer_sdp, password_of  # noqa: E402

from machine import machine, raise_descriptor_limit  # noqa: E402


def children(pid):
    path = pathlib.Path(f"/proc/{pid}/task/{pid}/children")
    return [int(p) for p in path.read_text().split()]


def private_kb(pids):
    total = 0
    for pid in pids:
        for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Private_"):
                total += int(line.split()[1])
    return total


class NginxRelay:
    name = "nginx"

    def __init__(self, lab, origin_port, _sessions):
        self.port = free_port(udp=True)
        conf = lab.path(f"nginx-{self.port}.conf")
        conf.write_text(f"""load_module {nginx_modules()}/ngx_stream_module.so;
daemon off;
worker_processes 1;
worker_rlimit_nofile 65536;
pid {lab.path(f"nginx-{self.port}.pid")};
error_log stderr crit;
events {{ worker_connections 32768; multi_accept on; }}
stream {{
  server {{
    listen 127.0.0.1:{self.port} udp reuseport rcvbuf=8m sndbuf=8m;
    proxy_pass 127.0.0.1:{origin_port};
    proxy_timeout 60s;
  }}
}}
""")
        self.process = lab.start(["nginx", "-c", conf], "nginx")
        poll("nginx's worker", lambda: children(self.process.pid))
        self.pids = children(self.process.pid)
        self.credentials = None

    def stop(self):
        self.process.stop()


class WeirRelay:
    name = "weir"

    def __init__(self, lab, origin_port, sessions, workers=1):
        api = RtcOrigin(lab, media_port=origin_port)
        self.weir = RtcWeir(lab, [api], {"log": {"level": "warn"}}, workers=workers)
        self.port = self.weir.rtc_port
        self.pids = self.weir.weir.pids("rtc")
        lines = []
        for number in range(sessions):
            offered = f"bn{number:06d}"
            answer = self.weir.post(f"/whip/live/s{number}", offer_sdp(offered))
            own = answer.body.decode().split("a=ice-ufrag:")[1].split("\r\n")[0]
            lines.append(f"{own}:{offered} {password_of(own)}\n")
        self.credentials = lab.path(f"credentials-{self.port}")
        self.credentials.write_text("".join(lines))

    def stop(self):
        self.weir.weir.stop()


def run(make, options, sessions, segmented, seconds):
    with Lab() as lab:
        tool = options.build / "t/90bench/udp_load"
        port = free_port(udp=True)
        origin = subprocess.Popen([tool, "origin", "--listen", f"127.0.0.1:{port}", "--segmented",
                                   "1" if segmented else "0"], stdout=subprocess.PIPE, text=True)
        relay = make(lab, port, sessions)
        before = private_kb(relay.pids)
        command = [tool, "client", "--target", f"127.0.0.1:{relay.port}", "--sessions",
                   str(sessions), "--packets", str(options.packets), "--seconds", str(seconds),
                   "--limit", "60", "--pids", ",".join(map(str, relay.pids))]
        if relay.credentials:
            command += ["--credentials", relay.credentials]
        client = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        memory = private_kb(relay.pids) - before
        relay.stop()
        origin.terminate()
        up = json.loads(origin.communicate()[0])["up"]
        if client.returncode != 0:
            raise SystemExit(f"{relay.name}: {client.stdout}")
        down = json.loads(client.stdout)
        return {"us": down["us_per_datagram"], "lost": down["down"]["lost"] + up["lost"],
                "p50": down["down"]["p50_ms"], "p99": down["down"]["p99_ms"],
                "memory": memory / sessions}


def row(options, sessions, segmented):
    makers = {"nginx": NginxRelay, "weir": WeirRelay}
    results = {name: [] for name in makers}
    for _ in range(options.runs):
        for name, make in makers.items():
            results[name].append(run(make, options, sessions, segmented, options.seconds))
    middle = {name: {key: statistics.median(r[key] for r in rows) for key in rows[0]}
              for name, rows in results.items()}
    ratio = middle["weir"]["us"] / middle["nginx"]["us"]
    kind = "segmented" if segmented else "ordinary"
    for name, m in middle.items():
        told = f"{ratio:.2f}" if name == "weir" else ""
        print(f"| {sessions} | {kind} | {name} | {m['us']:.2f} | {told} | {m['lost']:.0f} | "
              f"{m['p50']:.2f} | {m['p99']:.2f} | {m['memory']:.1f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=pathlib.Path, default=REPO / "build")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--packets", type=int, default=17, help="of a burst, each way")
    parser.add_argument("--sessions", default="20,100")
    options = parser.parse_args()
    raise_descriptor_limit()
    print(machine())
    print("| sessions | origin | relay | CPU µs a datagram | ratio | lost | p50 ms | p99 ms | "
          "kB a session |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for sessions in map(int, options.sessions.split(",")):
        for segmented in (False, True):
            row(options, sessions, segmented)


if __name__ == "__main__":
    main()
