"""The HTTP rows of the benchmarks, and what is measured in them: Weir, HAProxy in mode http, nginx.

Each peer gets the settings that suit it: kept-alive connections to the origin, HAProxy's two splice
options, nginx without buffering for live streams (its own default for files).
"""

import subprocess

from weirtest import free_port
from weirtest.weir import config_text, merge

from machine import pinned


def start_haproxy(lab, _build, port, origin, splice="splice-auto", tls=""):
    conf = lab.path(f"haproxy-{port}.cfg")
    conf.write_text(f"""global
  nbthread 1
  maxconn 7500
defaults
  mode http
  maxconn 7500
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  option http-keep-alive
  http-reuse always
  option {splice}
frontend f
  bind 127.0.0.1:{port} backlog 8192 {tls}
  option forwardfor
  default_backend b
backend b
  server s 127.0.0.1:{origin} pool-max-conn 64
""")
    return pinned(lab, ["haproxy", "-f", conf, "-db"], "haproxy")


def start_haproxy_response(lab, build, port, origin):
    return start_haproxy(lab, build, port, origin, "splice-response")


def start_nginx(lab, _build, port, origin, tls=""):
    conf = lab.path(f"nginx-{port}.conf")
    paths = "\n".join(f"  {kind}_temp_path {lab.dir}/nginx-{kind};"
                      for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    conf.write_text(f"""daemon off;
worker_processes 1;
pid {lab.dir}/nginx-{port}.pid;
error_log {lab.dir}/nginx-{port}.log error;
worker_rlimit_nofile 65536;
events {{ worker_connections 30000; }}
http {{
  access_log off;
{paths}
  keepalive_requests 100000000;
  upstream origin {{
    server 127.0.0.1:{origin};
    keepalive 64;
    keepalive_requests 100000000;
  }}
  proxy_http_version 1.1;
  proxy_set_header Connection "";
  proxy_set_header Host $host;
  proxy_set_header X-Forwarded-For $remote_addr;
  proxy_max_temp_file_size 0;
  server {{
    listen 127.0.0.1:{port} backlog=8192 {"ssl" if tls else ""};
    {tls}
    location ~ [.]flv$ {{
      proxy_pass http://origin;
      proxy_buffering off;
    }}
    location / {{ proxy_pass http://origin; }}
  }}
}}
""")
    return pinned(lab, ["nginx", "-p", lab.dir, "-c", conf, "-e", "stderr"], "nginx")


def start_weir(lab, build, port, origin, delay="20ms", tls=None):
    conf = lab.path(f"weir-{port}.conf")
    api = free_port()
    conf.write_text(config_text(merge({
        "pid_file": "", "session_file": "off", "worker_processes": 1, "log": {"level": "warn"}, "access_log": {"target": "off"},
        "rtmp": {"listen": f"127.0.0.1:{free_port()}"}, "control": {"listen": f"127.0.0.1:{api}"},
        "http": {"listen": f"127.0.0.1:{port}", "relay_delay": delay},
        "http_api": {"enabled": False}, "origin bench": {"ip": "127.0.0.1", "http": origin}},
        tls or {})) + "\n")
    process = pinned(lab, [build / "weir", "-c", conf], "weir")
    process.wait_port(api)
    return process


def start_weir_at_once(lab, build, port, origin):
    return start_weir(lab, build, port, origin, "0")


# ---- the same with TLS

def certificate(lab):
    """(file, key, file with both), made once in a run."""
    file, key, both = (lab.path(name) for name in ("bench.pem", "bench.key", "bench-both.pem"))
    if not both.exists():
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=bench.test", "-days", "2",
                        "-keyout", key, "-out", file], check=True, capture_output=True, timeout=30)
        both.write_text(file.read_text() + key.read_text())
    return file, key, both


def start_weir_tls(lab, build, port, origin, delay="20ms"):
    file, key, _ = certificate(lab)
    return start_weir(lab, build, free_port(), origin, delay,
                      {"http": {"tls_listen": f"127.0.0.1:{port}"},
                       "certificate bench": {"file": file, "key": key}})


def start_weir_tls_at_once(lab, build, port, origin):
    return start_weir_tls(lab, build, port, origin, "0")


def start_haproxy_tls(lab, build, port, origin):
    return start_haproxy(lab, build, port, origin, tls=f"ssl crt {certificate(lab)[2]}")


def start_nginx_tls(lab, build, port, origin):
    file, key, _ = certificate(lab)
    return start_nginx(lab, build, port, origin,
                       f"ssl_certificate {file}; ssl_certificate_key {key};")


PEERS = {
    "http": {
        "weir": ("Weir, relay_delay 20ms", start_weir),
        "weir0": ("Weir, relay_delay 0", start_weir_at_once),
        "haproxy": ("HAProxy, splice-auto", start_haproxy),
        "haproxy-response": ("HAProxy, splice-response", start_haproxy_response),
        "nginx": ("nginx", start_nginx),
    },
    "https": {
        "weir": ("Weir, relay_delay 20ms", start_weir_tls),
        "weir0": ("Weir, relay_delay 0", start_weir_tls_at_once),
        "haproxy": ("HAProxy", start_haproxy_tls),
        "nginx": ("nginx", start_nginx_tls),
    },
}

ROWS = [
    {"id": "flv50", "title": "HTTP-FLV, 50 viewers of 50 streams, frames spread, 5 Mbit/s",
     "protocol": "http", "kind": "play", "players": 50, "streams": 50, "main": "cpu_s_per_gb"},
    {"id": "flv500", "title": "HTTP-FLV, 500 viewers of 50 streams, frames spread, 5 Mbit/s",
     "protocol": "http", "kind": "play", "players": 500, "streams": 50, "main": "cpu_s_per_gb"},
    {"id": "flv50chunked", "title": "HTTP-FLV in chunks, 50 viewers of 50 streams, 5 Mbit/s",
     "protocol": "http", "kind": "play", "players": 50, "streams": 50, "framing": "chunked",
     "main": "cpu_s_per_gb"},
    {"id": "hls-playlist", "title": "HLS playlists, 16 connections", "protocol": "http",
     "kind": "get", "players": 16, "streams": 16, "path": "/live/s%.m3u8", "main": "per_cpu_s"},
    {"id": "hls-segment", "title": "HLS segments (fMP4) of 2 MB, 8 connections", "protocol": "http",
     "kind": "get", "players": 8, "streams": 8, "path": "/live/s%-1.m4s", "main": "cpu_s_per_gb"},
    {"id": "flvs50", "title": "HTTPS-FLV, 50 viewers of 50 streams, frames spread, 5 Mbit/s",
     "protocol": "https", "kind": "play", "players": 50, "streams": 50, "main": "cpu_s_per_gb"},
    {"id": "flvs500", "title": "HTTPS-FLV, 500 viewers of 50 streams, frames spread, 5 Mbit/s",
     "protocol": "https", "kind": "play", "players": 500, "streams": 50, "main": "cpu_s_per_gb"},
    {"id": "flvmemory5000", "title": "memory a session (PSS growth), 5,000 FLV viewers, 0.05 Mbit/s",
     "protocol": "http", "kind": "memory", "players": 5000, "streams": 50, "bitrate": 0.05e6,
     "fps": 2, "main": "bytes_per_session"},
]
