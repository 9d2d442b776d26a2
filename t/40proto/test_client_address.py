"""The client's address and scheme through real balancers, to real origins."""

import json
import re
import ssl
import subprocess
import urllib.request

import pytest

from rtmp_helpers import QUIET
from weirtest import HttpConnection, HttpOrigin, free_port, poll

TRUST = {"proxy_protocol_networks": "127.0.0.1"}


def haproxy(lab, port, target, mode="http", options="", bind="", frontend=""):
    """HAProxy on `port` of all loopback addresses."""
    conf = lab.path(f"haproxy-{port}.cfg")
    conf.write_text(f"""defaults
  mode {mode}
  timeout connect 5s
  timeout client 30s
  timeout server 30s
listen balancer
  bind 127.0.0.1:{port} {bind}
  {frontend}
  server weir 127.0.0.1:{target} {options}
""")
    lab.start(["haproxy", "-db", "-f", conf], "haproxy").wait_port(port)
    return port


def nginx(lab, server, rtmp=""):
    """nginx with these lines in its HTTP server, and what its access log says."""
    name = f"nginx-pp-{free_port()}"
    home = lab.path(name)
    (home / "tmp").mkdir(parents=True)
    modules = ""
    if rtmp:
        from weirtest.origin import nginx_modules
        modules = f"load_module {nginx_modules()}/ngx_rtmp_module.so;"
    conf = home / "nginx.conf"
    temporary = "\n".join(f"  {kind}_temp_path {home}/tmp/{kind};" for kind in
                          ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    conf.write_text(f"""{modules}
daemon off;
master_process off;
pid {home}/nginx.pid;
error_log stderr notice;
events {{ worker_connections 256; }}
{rtmp}
http {{
  access_log off;
{temporary}
  server {{ {server} }}
}}
""")
    return lab.start(["nginx", "-p", home, "-c", conf, "-e", "stderr"], name)


class NginxOrigin:
    """An origin whose RTMP and HTTP ports take PROXY protocol and nothing else."""

    ip = "127.0.0.1"

    def __init__(self, lab):
        self.rtmp_port, self.http_port, self.stat_port = free_port(), free_port(), free_port()
        rtmp = f"""rtmp {{ server {{
          listen 127.0.0.1:{self.rtmp_port} proxy_protocol;
          application live {{ live on; wait_key off; wait_video off; }} }} }}"""
        process = nginx(lab, f"""listen 127.0.0.1:{self.http_port} proxy_protocol;
          listen 127.0.0.1:{self.stat_port};
          location /stat {{ rtmp_stat all; }}
          location /live/ {{ return 200 "$proxy_protocol_addr $connection $connection_requests"; }}
        """, rtmp)
        process.wait_port(self.stat_port)

    def clients(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.stat_port}/stat", timeout=5) as page:
            return re.findall(r"<address>([^<]*)</address>", page.read().decode())


@pytest.mark.parametrize("option", ["send-proxy", "send-proxy-v2",
                                    "send-proxy-v2 proxy-v2-options crc32c,unique-id"])
def test_haproxy_sends_it_over_http_and_rtmp(lab, media, option):
    told = HttpOrigin(lab, lambda call: call.answer(200, call.fields["x-forwarded-for"].encode()))
    told.rtmp_port = lab.origin().rtmp_port
    weir = lab.weir(origins=[told], http={"proxy_protocol": True},
                    config={**QUIET, **TRUST, "rtmp": {"proxy_protocol": True}})
    web = haproxy(lab, free_port(), weir.http_port, options=option)
    with HttpConnection(web, source="127.0.0.9") as link:
        assert link.get("/live/a.m4s").body == b"127.0.0.9"
    rtmp = haproxy(lab, free_port(), weir.rtmp_port, mode="tcp", options=option)
    publisher = lab.publish(media, f"rtmp://127.0.0.1:{rtmp}/live/a")
    weir.wait_log("publisher connected")
    out = lab.play(f"rtmp://127.0.0.1:{rtmp}/live/a", seconds=2)
    assert out.stat().st_size > 10000
    publisher.stop()


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_nginx_origin_is_told_over_http(lab, version):
    origin = NginxOrigin(lab)
    weir = lab.weir(origins=[origin], http=True, config={
        "origin o1": {"proxy_protocol": version, "rtmp": None}})
    seen = []
    for source in ("127.0.0.1", "127.0.0.9", "127.0.0.1"):
        with HttpConnection(weir.http_port, source=source) as link:
            for _ in range(2):
                body = link.get("/live/a.m4s").body.decode().split()
                assert body[0] == source
                seen.append((body[1], body[2]))
    assert len({connection for connection, _ in seen}) == 6, "a connection belongs to one client"
    assert weir.metric("weir_http_upstream_reused_total") == 0


def test_nginx_rtmp_origin_is_told_and_its_probes_succeed(lab, media):
    origin = NginxOrigin(lab)
    weir = lab.weir(origins=[origin], config={"origin o1": {"proxy_protocol": "v1"}})
    publisher = lab.publish(media, weir.url("live/a"))
    weir.wait_log("publisher connected")
    assert poll("the client at the origin", origin.clients)
    assert set(origin.clients()) == {"127.0.0.1"}
    poll("probes", lambda: weir.metric("weir_probes_total", result="ok") >= 2)
    assert weir.metric("weir_probes_total", result="failed") == 0
    publisher.stop()


def test_registered_origins_by_the_default(lab):
    origin = NginxOrigin(lab)
    weir = lab.weir(http=True, start=False, config={"origin_proxy_protocol": "v2"})
    weir.start(ready=False)

    def registered():
        try:
            return weir.post("srs/register", {
                "ip": "127.0.0.1", "server": "vid-1", "service": "s", "pid": "1",
                "rtmp": [str(origin.rtmp_port)], "http": [str(origin.http_port)]})[0] == 200
        except OSError:
            return False
    poll("registration", registered)
    weir.wait_ready()
    with HttpConnection(weir.http_port, source="127.0.0.9") as link:
        assert link.get("/live/a.m4s").body.startswith(b"127.0.0.9 ")


# ---- scheme and host

def certificate(lab):
    pem, key = lab.path("cert.pem"), lab.path("key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
                    "/CN=tv.example", "-keyout", key, "-out", pem], check=True, capture_output=True)
    both = lab.path("both.pem")
    both.write_bytes(pem.read_bytes() + key.read_bytes())
    return both


def ant_media_origin(lab):
    """Answers with absolute URLs of its own making, as servers do that look at their own socket."""
    def serve(call):
        own = f"http://{call.fields['host']}"
        if call.path.startswith("/live/moved"):
            call.answer(302, fields={"Location": f"{own}:{origin.http_port}/live/a.m3u8?token=1"})
        elif call.path.startswith("/live/direct"):
            call.answer(302, fields={"Location": f"http://127.0.0.1:{origin.http_port}/live/b.ts"})
        elif ".m3u8" in call.path:
            body = f"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:{origin.http_port}/live/a-1.ts\n" \
                   f"#EXTINF:1,\n{own}/live/a-2.ts\n#EXTINF:1,\nhttp://other.example/live/a-3.ts\n"
            call.answer(200, body.encode(), {"Content-Type": "application/vnd.apple.mpegurl"})
        else:
            call.answer(200, json.dumps(call.fields).encode())
    origin = HttpOrigin(lab, serve)
    return origin


@pytest.mark.parametrize("balancer", ["haproxy", "nginx"])
def test_ant_media_fault_cannot_happen(lab, balancer):
    """Behind a balancer that ends TLS, nothing leads an https page to http or to an inner address."""
    origin = ant_media_origin(lab)
    weir = lab.weir(origins=[origin], http={"trusted_networks": "127.0.0.1"})
    port, pem = free_port(), certificate(lab)
    if balancer == "haproxy":
        haproxy(lab, port, weir.http_port, bind=f"ssl crt {pem}", frontend="""option forwardfor
  http-request set-header X-Forwarded-Proto https
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  http-request set-header Host inner.example""")
    else:
        nginx(lab, f"""listen 127.0.0.1:{port} ssl;
          ssl_certificate {pem}; ssl_certificate_key {pem};
          location / {{ proxy_pass http://127.0.0.1:{weir.http_port}; proxy_http_version 1.1;
            proxy_redirect off;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto https; proxy_set_header X-Forwarded-Host $http_host;
            proxy_set_header Host inner.example; }}""").wait_port(port)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    def ask(path):
        link = HttpConnection(port, source="127.0.0.9")
        link.sock = context.wrap_socket(link.sock, server_hostname="tv.example")
        with link:
            return link.get(path, host="tv.example")
    moved = ask("/live/moved.m4s").fields["location"]
    assert moved.startswith("https://tv.example/live/a.m3u8?token=1&weir=")
    assert ask("/live/direct.m4s").fields["location"].startswith("https://tv.example/live/b.ts?weir=")
    lines = [line for line in ask("/live/a.m3u8").body.decode().splitlines() if "ts" in line]
    for line, name in zip(lines[:2], ("a-1.ts", "a-2.ts"), strict=True):
        assert name in line and "weir=" in line
        assert not line.startswith("http:"), line
        assert re.match(r"(https://tv\.example)?/live/", line), line
    assert lines[2].startswith("http://other.example/")
    told = json.loads(ask("/live/a.m4s").body)
    assert told["x-forwarded-proto"] == "https"
    assert told["x-forwarded-host"] == "tv.example"
    assert told["x-forwarded-for"].split(",")[0] == "127.0.0.9"
    assert "proto=https" in told["forwarded"]


def test_proxy_protocol_says_that_the_client_uses_https(lab):
    origin = ant_media_origin(lab)
    weir = lab.weir(origins=[origin], http={"proxy_protocol": True}, config=TRUST)
    pem, context = certificate(lab), ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for tls in (True, False):
        port = haproxy(lab, free_port(), weir.http_port, mode="tcp", options="send-proxy-v2-ssl",
                       bind=f"ssl crt {pem}" if tls else "")
        with HttpConnection(port, source="127.0.0.9") as link:
            if tls:
                link.sock = context.wrap_socket(link.sock, server_hostname="tv.example")
            moved = link.get("/live/direct.m4s", host="tv.example").fields["location"]
            assert moved.startswith(f"{'https' if tls else 'http'}://tv.example/live/b.ts?weir=")
            told = json.loads(link.get("/live/a.m4s", host="tv.example").body)
            assert told["x-forwarded-for"] == "127.0.0.9"


def test_forwarded_fields_of_strangers_are_ignored(lab):
    origin = ant_media_origin(lab)
    weir = lab.weir(origins=[origin], http={"trusted_networks": "192.0.2.0/24"})
    forged = {"X_Forwarded_Proto": "https", "X_Forwarded_Host": "evil.example",
              "X_Forwarded_For": "192.0.2.1", "X_Real_IP": "192.0.2.1",
              "Forwarded": "for=192.0.2.1;proto=https;host=evil.example"}
    with HttpConnection(weir.http_port) as link:
        here = f"tv.example:{weir.http_port}"
        moved = link.get("/live/direct.m4s", host=here, **forged)
        assert moved.fields["location"].startswith(f"http://{here}/live/b.ts?weir=")
        told = json.loads(link.get("/live/a.m4s", host=here, **forged).body)
        assert "evil.example" not in link.get("/live/a.m3u8", host=here, **forged).body.decode()
    assert told["x-forwarded-for"] == "127.0.0.1"
    assert told["x-forwarded-proto"] == "http"
    assert "evil.example" not in json.dumps(told)
    assert "192.0.2.1" not in json.dumps(told)
