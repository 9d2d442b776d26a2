"""Weir under test: configuration, readiness, System API, metrics, processes."""

import json
import os
import re
import signal
import urllib.error
import urllib.request

from .process import build_dir, free_port, poll

_SAMPLE = re.compile(r'^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)')
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def config_text(config, indent=""):
    """weir.conf from a dict: {"rtmp": {"listen": "…"}, "origin o1": {…}, "user": "nobody"}.

    A list gives one line or block for each item, a tuple a line of several words; None leaves the
    key out.
    """
    lines = []
    for key, values in config.items():
        for value in values if isinstance(values, list) else [values]:
            if isinstance(value, dict):
                lines += [f"{indent}{key} {{", config_text(value, indent + "  "), indent + "}"]
            elif value is not None:
                lines.append(f"{indent}{key} {_word(value)};")
    return "\n".join(lines)


def _word(value):
    if isinstance(value, tuple):
        return " ".join(map(_word, value))
    if isinstance(value, bool):
        return "on" if value else "off"
    text = str(value)
    plain = re.fullmatch(r"[A-Za-z0-9_./:\-]+", text)
    return text if plain else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def merge(base, extra):
    out = dict(base)
    for key, value in extra.items():
        both = isinstance(value, dict) and isinstance(out.get(key), dict)
        out[key] = merge(out[key], value) if both else value
    return out


def parse_metrics(text):
    """{(name, frozenset of label pairs): value} of Prometheus text."""
    out = {}
    for line in text.splitlines():
        found = _SAMPLE.match(line)
        if found and not line.startswith("#"):
            labels = frozenset(_LABEL.findall(found.group(2) or ""))
            out[(found.group(1), labels)] = float(found.group(3))
    return out


class Weir:
    """One running build/weir.

    origins   Origin or FakeOrigin objects, written as static origins o1, o2, …
    config    dict merged over the harness's configuration (see config_text)
    text      whole configuration instead; {rtmp_port}, {api_port}, {http_port}, {dir} are filled in
    http      True: serve HTTP streams on .http_port, and name the origins' http_port as endpoint;
              a dict: the same with these options of the http section. Off by default
    env       environment variables; WEIR_LEARN is off unless given
    build     directory of its binary, if it is not the build under test
    wrapper   argv of a program that runs it, such as valgrind; must keep its pid
    start     False: only write the file
    """

    def __init__(self, lab, origins=(), config=None, text=None, env=None, start=True, workers=1,
                 name="weir", args=(), rtmp_port=None, api_port=None, http=False, build=None, wrapper=()):
        self.lab = lab
        self.build = build or build_dir()
        self.wrapper = list(wrapper)
        self.name = name
        self.args = list(args)
        self.workers_wanted = workers
        self.rtmp_port = rtmp_port or free_port()
        self.api_port = api_port or free_port()
        self.http_options = http
        self.http_port = free_port() if http else None
        self.token = None
        self.static = list(origins)
        self.dir = lab.path(f"{name}-{self.rtmp_port}")
        self.dir.mkdir()
        self.conf = self.dir / "weir.conf"
        self.control_socket = self.dir / "ctl.sock"
        # Fake origins count who asks them.
        self.env = {"WEIR_LEARN": "off", "WEIR_CTL_SOCKET": str(self.control_socket), **(env or {})}
        self.rewrite(config, text)
        self.process = None
        if start:
            self.start()

    @property
    def binary(self):
        return self.build / "weir"

    # ---- configuration

    def default_config(self):
        config = {"pid_file": "", "session_file": str(self.dir / "sessions"), "worker_processes": self.workers_wanted, "log": {"level": "debug"},
                  "rtmp": {"listen": f"127.0.0.1:{self.rtmp_port}"},
                  "control": {"listen": f"127.0.0.1:{self.api_port}"},
                  "balance": {"probe_interval": "500ms", "eject_time": "1s", "max_fails": 2}}
        for number, origin in enumerate(self.static, 1):
            config[f"origin o{number}"] = {"ip": origin.ip, "rtmp": origin.rtmp_port}
            if self.http_options and getattr(origin, "http_port", None):
                config[f"origin o{number}"]["http"] = origin.http_port
        if self.http_options:
            extra = self.http_options if isinstance(self.http_options, dict) else {}
            config["http"] = {"listen": f"127.0.0.1:{self.http_port}", **extra}
        else:
            config["http"] = {"enabled": False}
        config["http_api"] = {"enabled": False}
        config["rtc"] = {"enabled": False}
        config["srt"] = {"enabled": False}
        return config

    def rewrite(self, config=None, text=None):
        """Writes the file anew: the harness's configuration with `config` over it, or `text`."""
        if text is None:
            text = config_text(merge(self.default_config(), config or {})) + "\n"
        else:
            if not self.http_options:
                text += "\nhttp { enabled off; }\n"
            if "rtc {" not in text:
                text += "\nrtc { enabled off; }\n"
            if "srt {" not in text:
                text += "\nsrt { enabled off; }\n"
            if "http_api" not in text:
                text += "\nhttp_api { enabled off; }\n"
            if "session_file" not in text:
                text += f'\nsession_file "{self.dir}/sessions";\n'
            for key, value in (("rtmp_port", self.rtmp_port), ("api_port", self.api_port),
                               ("http_port", self.http_port), ("dir", self.dir)):
                text = text.replace("{%s}" % key, str(value))
        self.conf.write_text(text)

    def reload(self, config=None, text=None, timeout=15, expect=True):
        """SIGHUP with a new file; waits until the new generation runs (expect=False: doesn't)."""
        before = self.generation()
        if config is not None or text is not None:
            self.rewrite(config, text)
        self.signal(signal.SIGHUP)
        if expect:
            poll("the next generation", lambda: self.generation() > before, timeout)
            self.wait_ready()

    # ---- process

    def start(self, ready=True):
        self.process = self.lab.start([*self.wrapper, self.binary, "-c", self.conf, *self.args], self.name,
                                      env=self.env)
        if ready:
            self.wait_ready()
        return self

    def wait_ready(self, timeout=15):
        def ready():
            self.process._check_alive("it was ready")
            try:
                return self.request("/readyz")[0] == 200
            except OSError:
                return False
        poll("/readyz", ready, timeout)

    @property
    def pid(self):
        return self.process.pid

    def log(self):
        return self.process.log()

    def wait_log(self, text, timeout=10):
        self.process.wait_log(text, timeout)

    def signal(self, number, pid=None):
        os.kill(pid or self.pid, number)

    def upgrade(self, pid_file, timeout=30):
        """SIGUSR2: the pid of the new master, once it is in `pid_file`. It ends with the test."""
        def pid():
            try:
                found = int(pid_file.read_text() or 0)
            except FileNotFoundError:  # the old one has moved its file, the new one has none yet
                return None
            return found if found not in (0, self.pid) else None
        self.signal(signal.SIGUSR2)
        new = poll("pid of the new master", pid, timeout)
        self.lab.at_close(lambda: os.path.exists(f"/proc/{new}") and os.kill(new, signal.SIGKILL))
        return new

    def stop(self):
        return self.process.stop()

    def children(self):
        """Pids of the master's living children."""
        out = []
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                with open(f"/proc/{entry}/stat", encoding="ascii", errors="replace") as file:
                    fields = file.read().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == self.pid and fields[0] != "Z":
                out.append(int(entry))
        return sorted(out)

    def all_pids(self):
        return [self.pid, *self.children()]

    def pids(self, kind, current=True):
        """Pids of the workers of one kind ("rtmp", "control"), by /api/v1/workers."""
        rows = [w for w in self.workers() if w["kind"] == kind]
        if current and rows:
            newest = max(w["generation"] for w in rows)
            rows = [w for w in rows if w["generation"] == newest]
        return [int(w["pid"]) for w in rows]

    def descriptors(self):
        """Open descriptors of all processes together."""
        return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in self.all_pids())

    def pss(self, parts=("Pss:",)):
        """Proportional set size of all processes together, in bytes."""
        total = 0
        for pid in self.all_pids():
            with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
                total += sum(int(line.split()[1]) for line in file if line.startswith(parts))
        return total * 1024

    def memory(self):
        """pss() without code and files, which other programs on the machine have a part in."""
        return self.pss(("Pss_Anon:", "Pss_Shmem:"))

    # ---- System API

    def url(self, path):
        return f"rtmp://127.0.0.1:{self.rtmp_port}/{path}"

    def http_url(self, path):
        return f"http://127.0.0.1:{self.http_port}/{path}"

    def request(self, path, method="GET", body=None, headers=None, timeout=5):
        """(status, text); an HTTP error status is an answer, not an exception."""
        data = body.encode() if isinstance(body, str) else body
        head = {"Content-Type": "application/json", **(headers or {})}
        if self.token:
            head.setdefault("Authorization", f"Bearer {self.token}")
        request = urllib.request.Request(f"http://127.0.0.1:{self.api_port}{path}", data=data,
                                         method=method, headers=head)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def api(self, path):
        """Parsed JSON of GET /api/v1/<path>; the status must be 200."""
        status, text = self.request(f"/api/v1/{path}")
        if status != 200:
            raise AssertionError(f"GET /api/v1/{path}: {status} {text}")
        return json.loads(text)

    def post(self, path, body=None, **options):
        """(status, parsed JSON) of POST /api/v1/<path>."""
        status, text = self.request(f"/api/v1/{path}", "POST", json.dumps(body if body is not None
                                                                          else {}), **options)
        return status, json.loads(text) if text.strip().startswith("{") else text

    def register(self, origin, server, service="s1", pid="1", ip="127.0.0.1", **extra):
        """Registers an origin as SRS would; (status, answer)."""
        return self.post("srs/register", {"ip": ip, "server": server, "service": service, "pid": pid,
                                          "rtmp": [str(origin.rtmp_port)], **extra})

    def _rows(self, path, key):
        answer = self.api(path)
        if isinstance(answer, dict):
            data = answer.get("data", answer)
            answer = data if isinstance(data, list) else data.get(key, [])
        return answer

    def streams(self):
        return self._rows("streams", "streams")

    def origins(self):
        return self._rows("origins", "origins")

    def workers(self):
        return self._rows("workers", "workers")

    def generation(self):
        return int(self.api("summaries")["generation"])

    def metrics(self):
        status, text = self.request("/metrics")
        if status != 200:
            raise AssertionError(f"/metrics: {status} {text}")
        return parse_metrics(text)

    def metric(self, name, **labels):
        """Sum of the samples of `name` that carry these labels."""
        want = set(labels.items())
        return sum(v for (n, have), v in self.metrics().items() if n == name and want <= have)

    def wait_metric(self, value, name, timeout=10, **labels):
        poll(f"{name}{labels} == {value}", lambda: self.metric(name, **labels) == value, timeout)
