"""nginx stream (udp), the peer of the UDP benchmarks."""

from weirtest import poll
from weirtest.origin import nginx_modules

from machine import family, on_core


def start_nginx_udp(lab, port, origin, idle="60s"):
    """One worker between two loopback ports, on the relay's core."""
    conf = lab.path(f"nginx-{port}.conf")
    conf.write_text(f"""load_module {nginx_modules()}/ngx_stream_module.so;
daemon off;
worker_processes 1;
worker_rlimit_nofile 65536;
pid {lab.path(f"nginx-{port}.pid")};
error_log stderr crit;
events {{ worker_connections 32768; multi_accept on; }}
stream {{
  server {{
    listen 127.0.0.1:{port} udp reuseport rcvbuf=8m sndbuf=8m;
    proxy_pass 127.0.0.1:{origin};
    proxy_timeout {idle};
  }}
}}
""")
    process = lab.start([*on_core(0), "nginx", "-c", conf], "nginx")
    poll("nginx's worker", lambda: len(family(process.pid)) == 2)
    return process
