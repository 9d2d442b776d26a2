"""The API port: answers of several origins in one, against scripted origins that talk like SRS."""

import json
import socket
import threading

from weirtest import HttpConnection, HttpOrigin, free_port, poll
from weirtest.tls import Ca, TlsFront


class ApiOrigin:
    """An SRS-like HTTP API. `overrides` maps a path to a function of the call."""

    def __init__(self, lab, name, streams=(), clients=(), overrides=None):
        self.name = name
        self.streams = list(streams)
        self.clients = list(clients)
        self.overrides = overrides or {}
        self.kicked = []
        self.origin = HttpOrigin(lab, self.serve)

    @property
    def paths(self):
        return self.origin.paths

    def serve(self, call):
        path, _, query = call.path.partition("?")
        if path in self.overrides:
            self.overrides[path](call)
            return
        parts = path.strip("/").split("/")[2:]
        many = {"streams": self.streams, "clients": self.clients, "vhosts": ["vid-v"]}
        answer = {"code": 0, "server": f"vid-{self.name}", "service": "s", "pid": "7"}
        if parts[0] in many and len(parts) == 1:
            assert path.endswith("/"), "SRS redirects without the slash"
            wanted = dict(p.split("=") for p in query.split("&") if p)
            first, count = int(wanted["start"]), int(wanted["count"])
            rows = many[parts[0]][first:first + count]
            answer[parts[0]] = [{"id": r, "name": f"n-{r}"} for r in rows]
        elif parts[0] in many:
            if parts[1] not in many[parts[0]]:
                answer = {"code": 2048}
            elif call.method == "DELETE":
                self.kicked.append(parts[1])
            else:
                answer[parts[0][:-1]] = {"id": parts[1], "of": self.name}
        elif parts[0] == "summaries":
            answer["data"] = {"ok": True, "self": {"mem_kbyte": 100, "version": "6.0"},
                              "system": {"conn_srs": 3}}
        elif parts[0] == "features":
            answer["features"] = {"dvr": True}
        else:
            call.answer(404, b"no")
            return
        call.answer(200, json.dumps(answer).encode(), {"Content-Type": "application/json"},
                    framing="chunked" if self.name == "o2" else "length")


class Api:
    """Weir with these origins as o1, o2, …; ports stand for origins that nobody runs,
    None for one without API."""

    def __init__(self, lab, origins, more=None, **options):
        self.port = free_port()
        config = {"http_api": {"enabled": True, "listen": f"127.0.0.1:{self.port}",
                               "timeout": "3s", **options}}
        for number, origin in enumerate(origins, 1):
            port = origin.origin.http_port if isinstance(origin, ApiOrigin) else origin  # or several
            config[f"origin o{number}"] = {"ip": "127.0.0.1", "api": port,
                                           "http": None if port else free_port()}
        self.weir = lab.weir(config={**config, **(more or {})})

    def ask(self, path, method="GET", **fields):
        """(status, JSON)"""
        with HttpConnection(self.port) as client:
            answer = client.get(path, method, **fields)
            assert answer.fields["content-type"] == "application/json"
            return answer.status, json.loads(answer.body)

    def rows(self, path, name="streams"):
        status, answer = self.ask(path)
        assert status == 200, answer
        return [(row["origin"], row["id"]) for row in answer[name]], answer


def three(lab):
    return [ApiOrigin(lab, "o1", ["a1", "a2", "a3"], ["c1", "same"]),
            ApiOrigin(lab, "o2", ["b1", "b2"], ["c2", "same"]),
            ApiOrigin(lab, "o3", ["d1"], ["c3"])]


def test_lists_of_all_origins(lab):
    api = Api(lab, three(lab))
    rows, answer = api.rows("/api/v1/streams")
    assert rows == [("o1", "a1"), ("o1", "a2"), ("o1", "a3"), ("o2", "b1"), ("o2", "b2"),
                    ("o3", "d1")]
    assert answer["code"] == 0 and answer["partial"] is False and answer["failed_origins"] == []
    assert answer["more"] is False
    ids = {row["name"]: row["id"] for row in api.weir.origins()}
    assert all(row["origin_id"] == ids[row["origin"]] for row in answer["streams"])
    assert len(api.rows("/api/v1/clients/", "clients")[0]) == 5
    assert len(api.rows("/api/v1/vhosts", "vhosts")[0]) == 3
    assert api.rows("/api/v1/streams?origin=o2")[0] == [("o2", "b1"), ("o2", "b2")]
    assert api.rows(f"/api/v1/streams?origin={ids['o3']}")[0] == [("o3", "d1")]
    assert api.ask("/api/v1/streams?origin=o9")[0] == 404


def test_pages(lab):
    api = Api(lab, three(lab))
    every, seen, start = api.rows("/api/v1/streams")[0], [], 0
    while True:
        page, answer = api.rows(f"/api/v1/streams/?start={start}&count=2")
        assert len(page) <= 2 and answer["start"] == start
        seen += page
        start += 2
        if not answer["more"]:
            break
    assert seen == every
    assert api.rows("/api/v1/streams?start=6")[0] == []
    for bad in ("start=-1", "start=x", "count=0", "count=99999999", "start=", "origin="):
        status, answer = api.ask(f"/api/v1/streams?{bad}")
        assert (status, answer["code"]) == (400, 1007)


def test_summaries_and_other_paths(lab):
    api = Api(lab, three(lab))
    status, answer = api.ask("/api/v1/summaries")
    assert status == 200
    assert [row["origin"] for row in answer["data"]] == ["o1", "o2", "o3"]
    assert all(row["self"]["mem_kbyte"] == 100 for row in answer["data"])
    assert answer["totals"] == {"origins": 3, "mem_kbyte": 300, "conn_srs": 9}
    status, answer = api.ask("/api/v1/features")
    assert status == 200 and [row["features"]["dvr"] for row in answer["data"]] == [True] * 3
    assert api.ask("/api/v1/nothing")[0] == 404


def test_versions(lab):
    api = Api(lab, [None])
    status, answer = api.ask("/api/v1/versions")
    own = api.weir.api("versions")
    assert status == 200 and answer["code"] == 0 and answer["signature"] == "Weir"
    assert answer["pid"] == str(api.weir.pid)
    data = answer["data"]
    assert own["version"] == data["version"] == answer["version"]
    assert data["version"].startswith(f"{data['major']}.{data['minor']}.{data['revision']}")
    assert api.ask("/api/v1/streams") == (503, {"code": 2006,
                                                "error": "no origin has an API endpoint"})


def test_broken_origins_spoil_nothing(lab):
    def garbage(call):
        call.answer(200, b'{"code":0,"streams":[{"id":')

    def slow(call):
        slow_ones.append(call)
        done.wait(30)

    def wrong(call):
        call.answer(200, b'{"code":0,"streams":[1,2]}')

    def huge(call):
        call.answer(200, b'{"code":0,"streams":[],"x":"' + b"x" * 5_000_000 + b'"}')

    def cut(call):
        call.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
        call.close()

    def no_http(call):
        call.send(b"\x16\x03\x01 what is this\r\n\r\n")
        call.close()

    slow_ones, done = [], threading.Event()
    bad = [ApiOrigin(lab, "x", overrides={"/api/v1/streams/": f})
           for f in (garbage, slow, wrong, huge, cut, no_http)]
    api = Api(lab, [three(lab)[0], free_port(), *bad], timeout="1s")
    before = api.weir.descriptors()
    rows, answer = api.rows("/api/v1/streams")
    assert [r[1] for r in rows] == ["a1", "a2", "a3"]
    assert answer["partial"] is True
    failed = {row["name"]: row["reason"] for row in answer["failed_origins"]}
    assert set(failed) == {f"o{n}" for n in range(2, 9)}
    assert "refused" in failed["o2"].lower()
    assert failed["o3"] == "answer is no JSON object"
    assert failed["o4"] == "no answer in time" and slow_ones
    assert failed["o5"] == "answer has no list of streams"
    assert failed["o6"] == "answer is too large"
    assert failed["o7"] == "closed without a whole answer"
    assert failed["o8"] == "answer is no HTTP"
    done.set()
    poll("the descriptors are back", lambda: api.weir.descriptors() <= before)


def test_addresses_of_an_origin_in_turn(lab):
    """One that refuses, one that says nothing, one that shows a stranger's certificate, a good one."""
    ca, other = Ca(lab), Ca(lab, "other")
    good = ApiOrigin(lab, "o1", ["a1"], ["c1"])
    stranger = TlsFront(lab, other.issue(ips=["127.0.0.1"]), good.origin.http_port)
    silent = socket.create_server(("127.0.0.1", 0), backlog=0)  # the kernel drops what comes next
    kept = [socket.socket() for _ in range(2)]
    for one in kept:
        one.setblocking(False)
        one.connect_ex(silent.getsockname())
    api = Api(lab, [(free_port(), silent.getsockname()[1], f"https://:{stranger.port}",
                     good.origin.http_port)], timeout="4s",
              more={"tls": {"origin_ca": str(ca.file)}})
    rows, answer = api.rows("/api/v1/streams")
    assert rows == [("o1", "a1")] and answer["partial"] is False
    assert api.ask("/api/v1/clients/c1", "DELETE")[0] == 200 and good.kicked == ["c1"]
    good.origin.stop()
    status, answer = api.ask("/api/v1/streams")
    assert status == 502 and "refused" in answer["failed_origins"][0]["reason"].lower()
    for one in (*kept, silent):
        one.close()


def test_all_origins_fail(lab):
    api = Api(lab, [free_port(), free_port()])
    status, answer = api.ask("/api/v1/streams")
    assert (status, answer["code"], answer["partial"]) == (502, 2007, True)
    assert [row["name"] for row in answer["failed_origins"]] == ["o1", "o2"]
    assert api.ask("/api/v1/clients/c1")[0] == 502
    assert api.ask("/api/v1/clients/c1", "DELETE")[0] == 502


def test_odd_names_are_valid_json(lab):
    def odd(call):
        call.answer(200, b'{"code":0,"streams":[{"id":"s","name":"\xff\xc3\xa9\xed\xa0\x80"}]}')
    api = Api(lab, [ApiOrigin(lab, "x", overrides={"/api/v1/streams/": odd})])
    _, answer = api.rows("/api/v1/streams")
    assert answer["streams"][0]["name"] == "\ufffd\u00e9\ufffd\ufffd\ufffd"


def test_one_stream_or_client(lab):
    origins = three(lab)
    api = Api(lab, origins)
    status, answer = api.ask("/api/v1/streams/b2")
    assert status == 200 and (answer["origin"], answer["stream"]["origin"]) == ("o2", "o2")
    assert answer["stream"]["of"] == "o2" and answer["server"] == "vid-o2"
    status, answer = api.ask("/api/v1/streams/nowhere")
    assert (status, answer["code"], answer["partial"]) == (404, 1003, False)
    # An id that two origins gave out: either, or the one that is asked for.
    assert api.ask("/api/v1/clients/same")[1]["client"]["of"] in ("o1", "o2")
    for name in ("o1", "o2"):
        assert api.ask(f"/api/v1/clients/same?origin={name}")[1]["client"]["of"] == name
    assert api.ask("/api/v1/clients/same?origin=o3")[0] == 404


def test_kick(lab):
    origins = three(lab)
    api = Api(lab, [*origins, free_port()])  # one that is down does not stand in the way
    status, answer = api.ask("/api/v1/clients/c2", "DELETE")
    assert (status, answer["code"], answer["origin"]) == (200, 0, "o2")
    assert [o.kicked for o in origins] == [[], ["c2"], []]
    status, answer = api.ask("/api/v1/clients/same", "DELETE")
    assert (status, answer["code"], answer["origins"]) == (409, 1008, ["o1", "o2"])
    assert api.ask("/api/v1/clients/same?origin=o1", "DELETE")[0] == 200
    assert [o.kicked for o in origins] == [["same"], ["c2"], []]
    status, answer = api.ask("/api/v1/clients/c9", "DELETE")
    assert (status, answer["partial"]) == (404, True)


def test_what_is_refused(lab):
    origins = three(lab)
    api = Api(lab, origins)
    with HttpConnection(api.port) as client:
        for method, path, status, code in (
                ("POST", "/api/v1/streams", 405, 1004), ("PUT", "/api/v1/clients/c1", 405, 1004),
                ("DELETE", "/api/v1/streams", 405, 1004),
                ("GET", "/api/v1/clients/c1?callback=f&method=DELETE", 400, 1007),
                ("GET", "/api/v1/clients/c1?x=1;callback=f;method=DELETE", 400, 1007),
                ("GET", "/api/v1/streams?callback=alert(1)", 400, 1007),
                ("GET", "/", 404, 1003), ("GET", "/live/a.flv", 404, 1003),
                ("GET", "/api/v1/../../etc", 404, 1003), ("GET", "/api/v2/streams", 404, 1003)):
            answer = client.get(path, method)
            assert (answer.status, json.loads(answer.body)["code"]) == (status, code), path
        answer = client.get("/api/v1/clients/c1", "OPTIONS")
        assert answer.status == 204 and "DELETE" in answer.fields["access-control-allow-methods"]
        answer = client.get("/api/v1/streams", "HEAD")
        assert answer.status == 200 and int(answer.fields["content-length"]) > 100
        client.send("POST /api/v1/streams HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nsdp")
        assert client.read_answer().status == 405
        client.closed()
    assert {p.partition("?")[0] for o in origins for p in o.paths} == {"/api/v1/streams/"}


def test_any_method_reads_and_bodies_are_ignored(lab):
    """As SRS has it: what only reads takes any method; its own tests POST to versions."""
    origins = three(lab)
    api = Api(lab, origins)
    with HttpConnection(api.port) as client:
        for method, path in (("POST", "versions"), ("PUT", "summaries"), ("DELETE", "features"),
                             ("GET", "streams")):
            client.send(f"{method} /api/v1/{path} HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\n"
                        '{"a":1')
            answer = client.read_answer()
            assert (answer.status, json.loads(answer.body)["code"]) == (200, 0), path
        client.send("POST /api/v1/versions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                    "2\r\n{}\r\n0\r\n\r\n")
        assert client.read_answer().status == 200
        client.send("POST /api/v1/versions HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\n\r\n")
        assert client.read_answer().status == 413
    with HttpConnection(api.port) as client:
        client.send("POST /api/v1/streams/a1 HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
        assert client.read_answer().status == 405
    with HttpConnection(api.port) as client:
        client.send("POST /api/v1/versions HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
        client.sock.shutdown(socket.SHUT_WR)
        assert client.read_answer().status == 200
    assert {call.method for origin in origins for call in origin.origin.requests} == {"GET"}


def test_what_is_no_request_is_answered_in_json(lab):
    """By the server core, before any room has seen it; too many lines about it are left out."""
    api = Api(lab, three(lab), more={"http": {"request_timeout": "500ms"}})
    rows = [(b"hello\r\n\r\n", 400, 1000),
            (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, 1000),
            (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 20000 + b"\r\n\r\n", 431, 1002),
            (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414, 1002),
            (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505, 1000),
            (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501, 1000),
            (b"GET /elsewhere HTTP/1.1\r\nHost: a\r\n\r\n", 404, 1003),
            (b"PATCH /api/v1/clients/c1 HTTP/1.1\r\nHost: a\r\n\r\n", 405, 1004),
            (b"GET /api/v1/versions HTTP/1.1\r\nHost: a\r\nContent-Length: 70000\r\n\r\n", 413, 1002),
            (b"GET /api/v1/versions HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n", 408, 1006),
            (b"GET /api/v1/versions HTTP/1.1\r\nHos", 408, 1006)]
    for data, status, code in rows:
        with HttpConnection(api.port) as client:
            client.send(data)
            answer = client.read_answer()
            assert answer.fields["content-type"] == "application/json", data[:60]
            error = json.loads(answer.body)
            assert (answer.status, error["code"]) == (status, code) and error["error"], data[:60]

    def say_nonsense():
        with HttpConnection(api.port) as client:
            client.send(b"hello\r\n\r\n")
            assert client.read_answer().status == 400
    for _ in range(200):
        say_nonsense()

    def told():
        return [line for line in api.weir.log().splitlines() if "request refused" in line]

    def told_of_the_rest():
        say_nonsense()
        return any("suppressed=0" not in line for line in told())
    poll("what was left out is counted", told_of_the_rest)
    assert len(told()) < 200 and all("reason=" in line and "client=127.0.0.1:" in line for line in told())


def test_jsonp(lab):
    api = Api(lab, three(lab))
    with HttpConnection(api.port) as client:
        for path, status in (("streams", 200), ("versions", 200), ("streams/none", 404)):
            answer = client.get(f"/api/v1/{path}?callback=page.on_answer")
            assert (answer.status, answer.fields["content-type"]) == (status, "text/javascript")
            assert answer.body.startswith(b"page.on_answer({") and answer.body.endswith(b"})")
            assert "code" in json.loads(answer.body[len("page.on_answer("):-1])
        rows = json.loads(client.get("/api/v1/streams?callback=f").body[2:-1])["streams"]
        assert len(rows) == 6


def test_token(lab):
    origins = three(lab)
    api = Api(lab, origins, token="s3cret")
    with HttpConnection(api.port) as client:
        answer = client.get("/api/v1/streams")
        assert answer.status == 401 and "Bearer" in answer.fields["www-authenticate"]
        assert client.get("/api/v1/versions?token=wrong!").status == 401
    assert not origins[0].paths
    assert api.ask("/api/v1/streams", Authorization="Bearer s3cret")[0] == 200
    assert api.ask("/api/v1/streams?token=s3cret")[0] == 200
    assert all("token" not in path for path in origins[0].paths)
    assert all("authorization" not in call.fields for call in origins[0].origin.requests)


def test_clients_that_leave(lab):
    """A reset ends the call; after a mere FIN the client may still read, so the call has its time."""
    waiting, done = [], threading.Event()

    def slow(call):
        waiting.append(call)
        done.wait(30)
        call.close()

    api = Api(lab, [three(lab)[0], ApiOrigin(lab, "x", overrides={"/api/v1/streams/": slow})],
              timeout="5s")
    before = api.weir.descriptors()
    for reset in (True, False):
        sockets = [socket.create_connection(("127.0.0.1", api.port)) for _ in range(10)]
        for sock in sockets:
            sock.sendall(b"GET /api/v1/streams HTTP/1.1\r\nHost: x\r\n\r\n")
        poll("all are asked", lambda: len(waiting) >= 10)
        for sock in sockets:
            if reset:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                sock.close()
            else:
                sock.shutdown(socket.SHUT_WR)
        if not reset:
            done.set()
            for sock in sockets:
                assert sock.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")
                sock.close()
        poll("the descriptors are back", lambda: api.weir.descriptors() <= before)
        waiting.clear()
    done.clear()
    # More than there may be at once.
    crowd = [HttpConnection(api.port) for _ in range(65)]
    for client in crowd:
        client.send("GET /api/v1/streams HTTP/1.1\r\nHost: x\r\n\r\n")
    poll("the others are asked", lambda: len(waiting) == 64)
    poll("one is refused", lambda: api.weir.metric("weir_http_requests_total") == 85)
    for client in crowd:
        client.close()
    done.set()
    poll("the descriptors are back", lambda: api.weir.descriptors() <= before)


def test_api_and_streams_side_by_side(lab):
    origin = HttpOrigin(lab, lambda call: call.answer(200, b"segment"))
    port = free_port()
    weir = lab.weir(origins=[origin], http=True, config={
        "http_api": {"enabled": True, "listen": f"127.0.0.1:{port}"}})
    with HttpConnection(weir.http_port) as client:
        assert client.get("/live/a.m4s").body == b"segment"
        assert client.get("/api/v1/versions").fields["content-type"] != "application/json"
    with HttpConnection(port) as client:
        assert client.get("/live/a.m4s").status == 404
        assert json.loads(client.get("/api/v1/versions").body)["code"] == 0


def test_reloads_move_the_api_port(lab):
    origin = HttpOrigin(lab, lambda call: call.answer(200, b"segment"))
    first, second = free_port(), free_port()
    weir = lab.weir(origins=[origin], http=True)

    def section(port):
        return {"http_api": {"enabled": bool(port), "listen": f"127.0.0.1:{port or first}"}}

    def serves(port):
        try:
            with HttpConnection(port) as client:
                return client.get("/api/v1/versions").status == 200
        except OSError:
            return False

    assert not serves(first)
    for config, now in ((section(first), first), (section(second), second), (section(None), None)):
        weir.reload(config)
        for port in (first, second):
            poll(f"{port} with {config}", lambda port=port, now=now: serves(port) == (port == now))
        with HttpConnection(weir.http_port) as client:
            assert client.get("/live/a.m4s").body == b"segment"
    weir.reload({**section(first), "http": {"enabled": False}})
    poll("the API alone", lambda: serves(first) and not serves(weir.http_port))
