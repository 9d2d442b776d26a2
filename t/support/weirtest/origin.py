"""nginx-rtmp as origin, and the HTTP server that it tells about publishers and players."""

import http.server
import re
import signal
import subprocess
import threading
import urllib.parse
import urllib.request
import xml.etree.ElementTree

from .process import free_port, poll


def nginx_modules():
    """Directory of nginx's dynamic modules, as nginx itself was built."""
    text = subprocess.run(["nginx", "-V"], capture_output=True, text=True, check=True).stderr
    found = re.search(r"--modules-path=(\S+)", text)
    return found.group(1) if found else "modules"


class NotifyServer:
    """Collects nginx-rtmp's callbacks: .calls is a list of dicts (call, app, name, tcurl, args…).

    status    of its answers, or a function from the callback to one
    """

    def __init__(self, lab, status=200):
        outer = self
        self.calls = []
        self.status = status
        self.port = free_port()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
                call = dict(urllib.parse.parse_qsl(body, keep_blank_values=True))
                outer.calls.append(call)
                status = outer.status
                self.send_response(status(call) if callable(status) else status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        thread.start()
        lab.at_close(self._close)

    def _close(self):
        self.server.shutdown()
        self.server.server_close()

    def find(self, call, **fields):
        return [c for c in self.calls if c.get("call") == call
                and all(c.get(k) == v for k, v in fields.items())]

    def wait(self, call, timeout=10, **fields):
        return poll(f"callback {call} {fields}", lambda: self.find(call, **fields), timeout)[0]


class Origin:
    """One nginx with the rtmp module, its statistics and its control page on ports of its own.

    apps          names of its applications; "live" alone by default (multi-level apps: "a/b" too)
    deny_publish, deny_play   refuse these
    notify        a NotifyServer that hears of connect, publish, play, done
    wait_key      players get nothing, audio neither, before a key frame (off for audio-only streams)
    extra         lines for every application
    hls           HLS and DASH of one-second fragments under http://…/<first app>/
    app_lines     {app: lines of that application alone}; {dir} and {rtmp} are filled in
    locations     lines for the HTTP server; {dir} is filled in
    """

    def __init__(self, lab, name="o", app="live", apps=None, chunk_size=4096, deny_publish=False,
                 deny_play=False, notify=None, wait_key=True, max_message="4M", extra="",
                 listen_ip="127.0.0.1", rtmp_port=None, http_port=None, hls=False,
                 app_lines=None, locations=""):
        self.lab = lab
        self.name = name
        self.ip = listen_ip
        self.rtmp_port = rtmp_port or free_port()
        self.http_port = http_port or free_port()
        self.apps = list(apps or [app])
        self.dir = lab.path(f"origin-{name}-{self.rtmp_port}")
        (self.dir / "logs").mkdir(parents=True)
        (self.dir / "tmp").mkdir()
        state = "on" if wait_key else "off"
        lines = [f"wait_key {state}; wait_video {state};"]
        lines += ["deny publish all;"] if deny_publish else []
        lines += ["deny play all;"] if deny_play else []
        server = []
        if notify:
            base = f"http://127.0.0.1:{notify.port}"
            server = [f"on_connect {base}/connect;"]
            lines += [f"on_publish {base}/publish;", f"on_play {base}/play;", f"on_done {base}/done;"]
        lines.append(extra)
        files = ""
        if hls:
            for kind in ("hls", "dash"):
                (self.dir / kind).mkdir()
                lines.append(f"{kind} on; {kind}_path {self.dir}/{kind}; {kind}_fragment 1s; "
                             f"{kind}_playlist_length 20s;")
            files = ("types { application/vnd.apple.mpegurl m3u8; application/dash+xml mpd; "
                     "video/mp2t ts; video/mp4 m4v m4a; }\n"
                     "    location /%s { alias %s/hls; }\n"
                     "    location ~ ^/%s/(.+[.](mpd|m4v|m4a))$ { alias %s/dash/$1; }"
                     % (self.apps[0], self.dir, self.apps[0], self.dir))
        def fill(text):
            return text.replace("{dir}", str(self.dir)).replace("{rtmp}", str(self.rtmp_port))

        own = {app: fill(text) for app, text in (app_lines or {}).items()}
        files += fill(locations)
        blocks = "\n".join("    application %s { live on; record off; %s %s }"
                           % (a, " ".join(lines), own.get(a, "")) for a in self.apps)
        self.conf = self.dir / "nginx.conf"
        self.conf.write_text(f"""load_module {nginx_modules()}/ngx_rtmp_module.so;
daemon off;
master_process off;
pid {self.dir}/nginx.pid;
error_log stderr notice;
worker_rlimit_nofile 16384;
events {{ worker_connections 8192; }}
rtmp {{
  out_queue 8192;
  out_cork 8;
  access_log {self.dir}/rtmp.log;
  server {{
    listen {self.ip}:{self.rtmp_port};
    chunk_size {chunk_size};
    max_message {max_message};
    notify_method post;
    {' '.join(server)}
{blocks}
  }}
}}
http {{
  access_log off;
  client_body_temp_path {self.dir}/tmp/body;
  proxy_temp_path {self.dir}/tmp/proxy;
  fastcgi_temp_path {self.dir}/tmp/fastcgi;
  uwsgi_temp_path {self.dir}/tmp/uwsgi;
  scgi_temp_path {self.dir}/tmp/scgi;
  server {{
    listen {self.ip}:{self.http_port};
    location /stat {{ rtmp_stat all; }}
    location /control {{ rtmp_control all; }}
    {files}
  }}
}}
""")
        self.process = None
        self.start()

    def start(self):
        self.process = self.lab.start(["nginx", "-p", self.dir, "-c", self.conf, "-e", "stderr"],
                                      f"nginx-{self.name}")
        self.process.wait_port(self.http_port, host=self.ip)
        self.process.wait_port(self.rtmp_port, host=self.ip)

    @property
    def endpoint(self):
        return f"{self.ip}:{self.rtmp_port}"

    def url(self, path):
        return f"rtmp://{self.ip}:{self.rtmp_port}/{path}"

    def _get(self, path):
        with urllib.request.urlopen(f"http://{self.ip}:{self.http_port}{path}", timeout=5) as page:
            return page.read()

    def _streams(self):
        for app in xml.etree.ElementTree.fromstring(self._get("/stat")).iter("application"):
            for stream in app.iter("stream"):
                yield app.findtext("name"), stream

    def streams(self, app=None):
        """Names of the streams that are published here now."""
        return sorted(s.findtext("name") for a, s in self._streams()
                      if (app is None or a == app) and s.find("publishing") is not None)

    def clients(self, name):
        """[(is publisher, address)] of one stream."""
        return [(c.find("publishing") is not None, c.findtext("address"))
                for _, s in self._streams() if s.findtext("name") == name for c in s.iter("client")]

    def players(self, name):
        return sum(not publishing for publishing, _ in self.clients(name))

    def wait_stream(self, name, timeout=15):
        """Until `name` is published here and has had media."""
        def live():
            return any(s.findtext("name") == name and s.find("publishing") is not None
                       and s.find("meta") is not None for _, s in self._streams())
        poll(f"stream {name} at origin {self.name}", live, timeout)

    def drop(self, name, app=None, who="publisher"):
        return self._get(f"/control/drop/{who}?app={app or self.apps[0]}&name={name}").decode()

    def stop(self):
        return self.process.stop()

    def kill(self):
        self.process.kill()

    def pause(self):
        self.process.signal(signal.SIGSTOP)

    def resume(self):
        self.process.signal(signal.SIGCONT)

    def restart(self):
        self.kill()
        self.start()
