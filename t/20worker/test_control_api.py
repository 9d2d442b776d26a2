"""The System API: registration and its abuse, listings, commands, metrics, probes."""

import http.client
import json
import os
import random
import re
import socket

from weirtest import Behaviour, RtmpClient, poll
from weirtest.weir import parse_metrics

BODY = {"ip": "127.0.0.1", "server": "s", "service": "v", "pid": "1", "rtmp": ["1935"]}
NO_PROBES = {"balance": {"probe_interval": 0}}


def bare(lab, **config):
    """A Weir without origins, so that it is healthy and never ready."""
    weir = lab.weir(start=False, config={**NO_PROBES, **config})
    weir.start(ready=False)

    def healthy():
        try:
            return weir.request("/healthz")[0] == 200
        except OSError:
            return False
    poll("/healthz", healthy)
    return weir


def register(weir, **changes):
    body = {k: v for k, v in {**BODY, **changes}.items() if v is not ...}
    return weir.post("srs/register", body)


def origins(weir):
    return {o["server"]: o for o in weir.origins()}


def test_registration(lab):
    weir = bare(lab)
    assert weir.request("/readyz")[0] == 503
    status, answer = register(weir, rtmp=["1935", "rtmp://:1936"], http=["8080"],
                              api=["http://10.0.0.2:1985"], srt=[10080], rtc=["udp://0.0.0.0:8000"],
                              device_id="dev", unknown={"deep": [[[]]]})
    assert status == 200 and answer == {"code": 0, "pid": str(weir.pid)}
    row = origins(weir)["s"]
    assert row["rtmp"] == ["127.0.0.1:1935", "rtmp://127.0.0.1:1936"]
    assert row["http"] == ["127.0.0.1:8080"] and row["api"] == ["http://10.0.0.2:1985"]
    assert row["srt"] == ["127.0.0.1:10080"] and row["rtc"] == ["udp://127.0.0.1:8000"]
    assert (row["service"], row["pid"], row["device_id"]) == ("v", "1", "dev")
    assert row["state"] == "up" and not row["static"] and not row["draining"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", row["registered"])
    poll("readiness", lambda: weir.request("/readyz")[0] == 200)
    assert json.loads(weir.request(f"/api/v1/origins/{row['id']}")[1])["origin"]["server"] == "s"
    # A heartbeat changes nothing but its time.
    register(weir, rtmp=["1935"])
    assert len(weir.origins()) == 1
    assert weir.metric("weir_api_registrations_total") == 2


def test_numbers_and_ipv6(lab):
    weir = bare(lab)
    assert register(weir, server=7, service=8, pid=1234, rtmp=[1935], ip="::1")[0] == 200
    row = origins(weir)["7"]
    assert row["pid"] == "1234" and row["rtmp"] == ["[::1]:1935"] and row["ip"] == "::1"


def test_restarted_origin_replaces_itself(lab):
    weir = bare(lab)
    register(weir)
    first = origins(weir)["s"]["id"]
    register(weir, service="new", pid="2")
    assert [o["pid"] for o in weir.origins()] == ["2"]
    assert origins(weir)["s"]["id"] != first
    assert weir.request(f"/api/v1/origins/{first}")[0] == 404


def test_any_content_type(lab):
    weir = bare(lab)
    for kind in ("text/plain", "application/x-www-form-urlencoded", "nonsense", ""):
        status, _ = weir.request("/api/v1/srs/register", "POST", json.dumps(BODY),
                                 {"Content-Type": kind})
        assert status == 200


BAD = [("ip", ...), ("ip", "host example"), ("ip", "10.0.0.256"), ("ip", "0.0.0.0"), ("ip", 5), ("server", ...),
       ("server", ""), ("server", "x" * 64), ("server", "a\0b"), ("server", "a\nb"),
       ("server", ["s"]), ("service", ...), ("service", {}), ("pid", ...), ("pid", 1.5),
       ("pid", None), ("rtmp", ...), ("rtmp", []), ("rtmp", "1935"), ("rtmp", ["0"]),
       ("rtmp", ["70000"]), ("rtmp", ["gopher://:1"]), ("rtmp", ["1"] * 5), ("rtmp", [[]]),
       ("http", "8080"), ("http", ["x"]), ("api", {}), ("srt", ["::1:1"]), ("rtc", [None]),
       ("device_id", []), ("device_id", "y" * 64)]


def test_bad_fields(lab):
    """Each is one 400 that names the field, and changes nothing."""
    weir = bare(lab)
    for field, value in BAD:
        status, answer = register(weir, **{field: value})
        assert status == 400 and answer["code"] != 0, (field, value)
        assert answer["error"].startswith(field), (field, value, answer)
    for text in (b"", b"{", b"[]", b'"x"', b"{}x", b"\xff", b'{"ip":"\xff\xfe"}', b"[" * 60000,
                 b'{"a":' * 10000):
        status, answer = weir.request("/api/v1/srs/register", "POST", text)
        assert status == 400 and json.loads(answer)["error"]
    assert weir.origins() == []
    assert weir.metric("weir_api_registrations_total") == 0
    assert weir.metric("weir_api_errors_total") >= len(BAD)


def test_fuzzed_bodies(lab):
    """Seeded mutations of a good body: 200 or 400, never anything else, and valid listings."""
    weir = bare(lab, max_origins=50)
    rng = random.Random(20261121)
    good = json.dumps({**BODY, "http": ["8080"], "device_id": "d", "x": {"y": [1, 2.5, None]}})
    link = http.client.HTTPConnection("127.0.0.1", weir.api_port, timeout=10)
    seen = set()
    for _ in range(3000):
        body = bytearray(good.encode())
        for _ in range(rng.randint(1, 6)):
            at = rng.randrange(len(body))
            kind = rng.randrange(4)
            if kind == 0:
                body[at] = rng.randrange(256)
            elif kind == 1:
                del body[at:at + rng.randint(1, 10)]
            elif kind == 2:
                body[at:at] = rng.choice([b'"', b"{", b"[", b"\\u0000", b"\\", b"\0", b"1e999", b",",
                                          b"\xf0\x9f\x98\x80", b'"ip":'])
            else:
                body[at:at] = body[:rng.randint(1, 40)]
            if not body:
                body = bytearray(b"{")
        link.request("POST", "/api/v1/srs/register", bytes(body))
        answer = link.getresponse()
        parsed = json.loads(answer.read())
        assert answer.status in (200, 400, 503), (bytes(body), parsed)
        assert (answer.status == 200) == (parsed["code"] == 0)
        seen.add(answer.status)
    assert {200, 400} <= seen
    assert len(weir.origins()) <= 50
    assert weir.request("/healthz")[0] == 200


def pipelined(weir, bodies, window=64):
    """Statuses of registrations on one connection, several under way at once."""
    with socket.create_connection(("127.0.0.1", weir.api_port), 30) as sock:
        file = sock.makefile("rb")
        statuses = []
        for at in range(0, len(bodies), window):
            batch = bodies[at:at + window]
            sock.sendall(b"".join(b"POST /api/v1/srs/register HTTP/1.1\r\nHost: w\r\n"
                                  b"Content-Length: %d\r\n\r\n%s" % (len(b), b) for b in batch))
            for _ in batch:
                statuses.append(int(file.readline().split()[1]))
                length = 0
                while (line := file.readline()) != b"\r\n":
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                file.read(length)
        return statuses


def test_a_hundred_thousand_registrations(lab):
    weir = bare(lab, max_origins=200, log={"level": "warn"})
    template = json.dumps({**BODY, "server": "@", "ip": "10.1.$"}).encode()
    bodies = [template.replace(b"@", b"srv-%d" % i)
              .replace(b"1.$", b"%d.%d.%d" % (i >> 16, i >> 8 & 255, i & 255))
              for i in range(1, 100_001)]
    statuses = pipelined(weir, bodies)
    assert statuses[:200] == [200] * 200
    assert set(statuses[200:]) == {503}
    answer = weir.api("origins?count=1")
    assert answer["total"] == 200
    assert weir.metric("weir_origins", state="up") == 200
    assert weir.metric("weir_table_slots", table="origins") == 200
    # Those who are in still beat, and one that leaves makes room.
    assert pipelined(weir, bodies[:200]) == [200] * 200
    some = weir.origins()[17]
    assert weir.request(f"/api/v1/origins/{some['id']}", "DELETE")[0] == 200
    assert register(weir, server="late", ip="10.9.0.1")[0] == 200
    assert register(weir, server="later", ip="10.9.0.2")[0] == 503
    assert len(weir.log()) < 2_000_000  # refusals are logged, but not one line each


def test_paging(lab):
    weir = bare(lab, control={"page_size_max": 10})
    for i in range(25):
        assert register(weir, server=f"s{i}", rtmp=[2000 + i])[0] == 200
    seen = []
    for start in (0, 10, 20, 30):
        answer = weir.api(f"origins?start={start}&count=100")
        assert answer["total"] == 25 and answer["start"] == start
        seen += [o["server"] for o in answer["origins"]]
    assert len(seen) == 25 and set(seen) == {f"s{i}" for i in range(25)}
    assert len(weir.api("origins?count=3")["origins"]) == 3
    for query in ("start=-1", "start=x", "count=0", "count=", "start=99999999999"):
        for path in ("origins", "streams"):
            status, answer = weir.request(f"/api/v1/{path}?{query}")
            assert status == 400 and json.loads(answer)["code"] != 0
    assert weir.api("streams")["streams"] == []


def test_drain_undrain_delete(lab):
    weir = bare(lab)
    register(weir)
    row = origins(weir)["s"]
    path = f"origins/{row['id']}"
    assert weir.post(f"{path}/drain") == (200, {"code": 0, "origin": row["id"]})
    assert origins(weir)["s"]["draining"]
    register(weir)  # a heartbeat doesn't undo it
    assert origins(weir)["s"]["draining"]
    assert weir.post(f"{path}/undrain")[0] == 200
    assert not origins(weir)["s"]["draining"]
    assert weir.request(f"/api/v1/{path}", "DELETE")[0] == 200
    assert weir.origins() == []
    for method, tail in (("DELETE", ""), ("POST", "/drain"), ("POST", "/undrain")):
        assert weir.request(f"/api/v1/{path}{tail}", method)[0] == 404


def test_static_origin_stays(lab):
    weir = lab.weir(origins=[lab.fake_origin()])
    row = weir.origins()[0]
    assert row["static"] and row["name"] == "o1"
    status, text = weir.request(f"/api/v1/origins/{row['id']}", "DELETE")
    assert status == 409 and json.loads(text)["code"] != 0
    assert weir.post(f"origins/{row['id']}/drain")[0] == 200
    assert weir.origins()[0]["draining"]


def test_workers_and_summaries(lab):
    weir = lab.weir(origins=[lab.fake_origin()], workers=2)
    poll("all ready", lambda: {w["state"] for w in weir.workers()} == {"ready"})
    answer = weir.api("workers")
    assert answer["master"]["pid"] == weir.pid
    assert sorted(w["kind"] for w in answer["workers"]) == ["control", "rtmp", "rtmp"]
    assert {w["pid"] for w in answer["workers"]} == set(weir.children())
    summary = weir.api("summaries")
    assert summary["origins"]["up"] == 1 and summary["generation"] == 1
    assert summary["counters"]["ApiRequests"] > 0 and summary["uptime_ms"] < 600_000
    versions = weir.api("versions")
    assert versions["signature"] == "Weir" and re.fullmatch(r"\d+\.\d+\.\d+.*", versions["version"])


_LINE = re.compile(r'[a-zA-Z_:][\w:]*(\{(\w+="([^"\\\n]|\\["\\n])*",?)*\})? -?[0-9.e+]+')


def test_metrics_format(lab):
    weir = bare(lab)
    assert register(weir, server='q"uo\\te')[0] == 200
    text = weir.request("/metrics")[1]
    families, current = {}, None
    for line in text.splitlines():
        if line.startswith("# HELP "):
            current = line.split()[2]
            assert current not in families, "a family stands in one place"
            families[current] = None
        elif line.startswith("# TYPE "):
            assert line.split()[2] == current
            families[current] = line.split()[3]
        else:
            assert _LINE.fullmatch(line), line
            assert re.split(r"[{ ]", line)[0] == current
    assert text.endswith("\n") and set(families.values()) <= {"counter", "gauge"}
    for name in ("weir_origins", "weir_origin_streams", "weir_origin_sessions", "weir_origin_up",
                 "weir_streams", "weir_workers", "weir_generations", "weir_generation",
                 "weir_reloads_total", "weir_worker_deaths_total", "weir_build_info",
                 "weir_table_slots", "process_start_time_seconds", "weir_dials_total",
                 "weir_dial_failures_total", "weir_route_lookups_total", "weir_sessions"):
        assert name in families, name
    assert 'origin="q\\"uo\\\\te"' in text
    samples = parse_metrics(text)
    assert len(samples) == sum(not line.startswith("#") for line in text.splitlines())
    ready = frozenset({("kind", "control"), ("state", "ready")})
    assert samples[("weir_workers", ready)] == 1


def test_streams(lab):
    """A stream's row, by page and by key, while it is published and after."""
    weir = lab.weir(origins=[lab.fake_origin()], config=NO_PROBES)
    client = RtmpClient("127.0.0.1", weir.rtmp_port)
    client.connect("live")
    client.create_stream()
    client.publish("a b")
    row = poll("the stream", lambda: next((s for s in weir.streams() if s["publishers"]), None))
    assert row["app"] == "live" and row["vhost"] == "__defaultVhost__" and row["publishers"] == 1
    assert row["stream"] == "a b" and row["players"] == 0 and row["idle_ms"] == 0
    assert row["origin_name"] == "o1" and row["origin"] == weir.origins()[0]["id"]
    key = row["key"].replace(" ", "%20")
    assert weir.api(f"streams?key={key}")["streams"][0]["key"] == row["key"]
    client.close()
    poll("the end", lambda: weir.streams()[0]["publishers"] == 0)


def test_probes(lab):
    """An origin that stops answering is ejected, and is up again when it answers."""
    healthy, fake = lab.fake_origin(), lab.fake_origin()
    weir = lab.weir(origins=[healthy, fake], config={"balance": {
        "probe_interval": "100ms", "probe_timeout": "200ms", "max_fails": 2, "eject_time": "200ms"}})

    def state(name):
        return next(o for o in weir.origins() if o["name"] == name)["state"]
    poll("probes", lambda: weir.metric("weir_probes_total", result="ok") > 3)
    assert state("o1") == state("o2") == "up"
    for bad in (Behaviour(stall="accept"), Behaviour(bad_version=True),
                Behaviour(drop_after_accept=True)):
        fake.behaviour = bad
        poll(f"ejection after {bad}", lambda: state("o2") == "ejected")
        assert state("o1") == "up"
        fake.behaviour = Behaviour()
        poll("its return", lambda: state("o2") == "up")
    assert weir.metric("weir_probes_total", result="failed") >= 6


def test_no_probes(lab):
    fake = lab.fake_origin()
    weir = lab.weir(origins=[fake], config=NO_PROBES)
    assert weir.metric("weir_probes_total") == 0


def test_dead_control_worker_comes_back(lab):
    weir = lab.weir(origins=[lab.fake_origin()])
    assert register(weir)[0] == 200
    old = weir.pids("control")[0]
    os.kill(old, 9)

    def again():
        try:
            return weir.pids("control") not in ([], [old]) and \
                register(weir, server="after", rtmp=[2])[0] == 200
        except OSError:
            return False
    poll("the next control worker", again)
    assert {"s", "after"} <= set(origins(weir))  # what was registered before is still there


def test_readyz_says_why(lab):
    weir = bare(lab)
    poll("the workers", lambda: {w["state"] for w in weir.workers()} == {"ready"})
    status, text = weir.request("/readyz")
    assert status == 503 and json.loads(text)["error"] == "no origin is up"


def test_reload_keeps_the_api(lab):
    """No request is lost over a reload, whatever generation answers it."""
    weir = lab.weir(origins=[lab.fake_origin()])
    before = weir.generation()
    weir.signal(1)
    poll("the next generation", lambda: weir.generation() > before)
    for _ in range(20):
        assert weir.request("/healthz")[0] == 200
    assert register(weir)[0] == 200
