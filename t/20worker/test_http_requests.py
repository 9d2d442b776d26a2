"""The HTTP worker's requests and answers, against a scripted origin."""

import os
import socket

from weirtest import HttpConnection, HttpOrigin, poll

BODY = bytes(range(256)) * 40


def serve_body(call):
    """A segment with a tag: whole, in part, or unchanged."""
    if call.fields.get("if-none-match") == '"tag"':
        call.answer(304, fields={"ETag": '"tag"', "Content-Length": None, "Content-Type": None})
    elif "range" in call.fields:
        first, last = call.fields["range"].partition("=")[2].split("-")
        part = BODY[int(first):int(last) + 1]
        call.answer(206, part, {"Content-Range": f"bytes {first}-{last}/{len(BODY)}"})
    else:
        call.answer(200, BODY, {"ETag": '"tag"'})


def start(lab, serve, **options):
    origin = HttpOrigin(lab, serve)
    options.setdefault("http", True)
    return origin, lab.weir(origins=[origin], **options)


def test_range_conditions_and_head(lab):
    origin, weir = start(lab, serve_body)
    with HttpConnection(weir.http_port) as client:
        whole = client.get("/live/a-1.m4s")
        assert (whole.status, whole.body, whole.fields["etag"]) == (200, BODY, '"tag"')
        part = client.get("/live/a-1.m4s", Range="bytes=10-19")
        assert (part.status, part.body) == (206, BODY[10:20])
        assert part.fields["content-range"] == f"bytes 10-19/{len(BODY)}"
        same = client.get("/live/a-1.m4s", If_None_Match='"tag"')
        assert (same.status, same.fields["etag"]) == (304, '"tag"')
        head = client.get("/live/a-1.m4s", "HEAD")
        assert (head.status, head.fields["content-length"]) == (200, str(len(BODY)))
        assert client.get("/live/a-1.m4s").body == BODY  # nothing of HEAD or 304 is left over
    assert origin.connections == 1
    assert weir.metric("weir_http_requests_total") == 5
    assert weir.metric("weir_http_upstream_reused_total") == 4


def test_pipelined_requests_are_answered_in_order(lab):
    _, weir = start(lab, lambda call: call.answer(200, call.path.encode()))
    with HttpConnection(weir.http_port) as client:
        request = "GET /live/%d.m4s HTTP/1.1\r\nHost: x\r\n\r\n"
        client.send("".join(request % n for n in range(20)))
        for number in range(20):
            assert client.read_answer().body == b"/live/%d.m4s" % number
        # An answer of Weir's own between two of the origin's.
        client.send(request % 1 + "POST /live/x HTTP/1.1\r\nHost: x\r\n\r\n" + request % 2)
        assert [client.read_answer().status for _ in range(3)] == [200, 405, 200]


def test_request_in_single_bytes(lab):
    _, weir = start(lab, serve_body)
    with HttpConnection(weir.http_port) as client:
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"GET /live/a.m4s HTTP/1.1\r\nHost: x\r\nX-Long: abcdef\r\n\r\n":
            client.send(bytes([byte]))
        assert client.read_answer().body == BODY


def test_http10_clients(lab):
    def serve(call):
        call.answer(200, BODY, framing="chunked" if "chunked" in call.path else "length")
    origin, weir = start(lab, serve)
    for path in ("/live/plain.m4s", "/live/chunked.m4s", "/live/chunked.flv"):
        with HttpConnection(weir.http_port) as client:
            answer = client.get(path, version="1.0")
            assert "transfer-encoding" not in answer.fields
            assert answer.body == BODY, path
            assert client.closed() == b""
    assert origin.requests[0].line.endswith("HTTP/1.0")
    with HttpConnection(weir.http_port) as client:
        answer = client.get("/live/plain.m4s", version="1.0", Connection="keep-alive")
        assert answer.fields["connection"] == "keep-alive"
        assert client.get("/live/plain.m4s", version="1.0").body == BODY


def test_framings_of_origins(lab):
    def serve(call):
        call.answer(200, BODY, framing=call.path.split("/")[2].split(".")[0])
    _, weir = start(lab, serve)
    for framing in ("length", "chunked", "close"):
        with HttpConnection(weir.http_port) as client:
            assert client.get(f"/live/{framing}.m4s").body == BODY, framing


def test_own_methods(lab):
    origin, weir = start(lab, serve_body)
    with HttpConnection(weir.http_port) as client:
        for method in ("POST", "PUT", "DELETE", "PATCH", "TRACE", "BREW"):
            answer = client.get("/live/a.m4s", method)
            assert answer.status == 405
            assert answer.fields["allow"] == "GET, HEAD, OPTIONS"
    body = "POST /live/a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
    with HttpConnection(weir.http_port) as client:
        client.send(body + body)  # not read on: the body could be anything
        assert client.read_answer().status == 405
        assert client.closed() == b""
    assert origin.requests == []


def test_cors(lab):
    def serve(call):
        own = {"Access-Control-Allow-Origin": "https://only.test"} if "own" in call.path else {}
        call.answer(200, b"x", own)
    _, weir = start(lab, serve)
    with HttpConnection(weir.http_port) as client:
        answer = client.get("/live/a.flv", "OPTIONS", Origin="https://player.test",
                            Access_Control_Request_Method="GET",
                            Access_Control_Request_Headers="range")
        assert answer.status == 204
        assert answer.fields["access-control-allow-origin"] == "*"
        assert "GET" in answer.fields["access-control-allow-methods"]
        assert "Authorization" in answer.fields["access-control-allow-headers"]
        assert client.get("/live/a.m4s").fields["access-control-allow-origin"] == "*"
        own = client.get("/live/own.m4s")
        assert own.fields["access-control-allow-origin"] == "https://only.test"
        assert own.raw_head.lower().count("access-control-allow-origin") == 1


def test_client_identity(lab):
    for trusted, wanted in (("", "127.0.0.1"), ("loopback", "192.0.2.7")):
        options = {"trusted_networks": trusted} if trusted else True
        origin, weir = start(lab, serve_body, http=options, name="weir" + wanted)
        with HttpConnection(weir.http_port) as client:
            client.get("/live/a.m4s", X_Forwarded_For="192.0.2.7", X_Forwarded_Proto="https",
                       X_Real_IP="192.0.2.66", Forwarded="for=192.0.2.9", X_Other="kept")
        seen = origin.requests[-1]
        assert seen.fields["x-real-ip"] == wanted
        assert seen.fields["x-forwarded-for"].split(",")[0].strip() == wanted
        assert seen.fields["x-forwarded-proto"] == ("https" if trusted else "http")
        assert seen.fields["host"] == "weir.test"
        assert seen.fields["x-other"] == "kept"
        for name in ("x-real-ip", "x-forwarded-for", "forwarded", "x-forwarded-proto"):
            assert seen.head.lower().count(f"\r\n{name}:") == 1, name


def test_hop_by_hop_fields_stay_here(lab):
    def serve(call):
        call.answer(200, b"x", {"Keep-Alive": "timeout=1", "X-Secret": "1", "X-Kept": "2",
                                "Connection": "keep-alive, X-Secret"})
    origin, weir = start(lab, serve)
    with HttpConnection(weir.http_port) as client:
        answer = client.get("/live/a.m4s", Connection="keep-alive, X-Mine", X_Mine="1",
                            Keep_Alive="9", TE="trailers", Proxy_Authorization="Basic eDp5")
    assert "x-secret" not in answer.fields and "keep-alive" not in answer.fields
    assert answer.fields["x-kept"] == "2"
    for name in ("x-mine", "keep-alive", "te", "proxy-authorization"):
        assert name not in origin.requests[0].fields


def test_location_of_the_origin(lab):
    def serve(call):
        base = {"own": f"http://127.0.0.1:{origin.http_port}", "nginx":
                f"http://weir.test:{origin.http_port}", "other": "http://other.test"}
        call.answer(302, fields={"Location": base[call.path.split("/")[2]] + "/live/b.flv"})
    origin, weir = start(lab, serve)
    with HttpConnection(weir.http_port) as client:
        host = f"weir.test:{weir.http_port}"
        for path, wanted in (("own", host), ("nginx", host), ("other", "other.test")):
            answer = client.get(f"/live/{path}", host=host)
            location, _, hint = answer.fields["location"].partition("?")
            assert location == f"http://{wanted}/live/b.flv"
            assert hint.startswith("weir=") == (path != "other")


def test_websocket(lab):
    def serve(call):
        if call.path == "/live/refused.flv":
            call.answer(404, b"none")
            return
        assert call.fields["connection"].lower() == "upgrade"
        assert call.fields["sec-websocket-key"] == "abc="
        call.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                  "Connection: Upgrade\r\nSec-WebSocket-Accept: xyz=\r\n\r\nfirst")
        data = call.extra
        while len(data) < 9:
            data += call.sock.recv(100)
        call.send(b"<" + data + b">")
        assert call.sock.recv(1) == b""
        call.close()

    _, weir = start(lab, serve)
    head = ("GET %s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Key: abc=\r\nSec-WebSocket-Version: 13\r\n\r\n")
    for early in (b"", b"early", b"earlymore"):
        with HttpConnection(weir.http_port) as client:
            client.send((head % "/live/a.flv").encode() + early)
            answer = client.read_head()
            assert answer.status == 101
            assert answer.fields["upgrade"] == "websocket"
            assert answer.fields["sec-websocket-accept"] == "xyz="
            client.send(b"earlymore"[len(early):])
            assert client.take(16) == b"first<earlymore>"
    with HttpConnection(weir.http_port) as client:
        client.send(head % "/live/refused.flv")
        assert client.read_answer().status == 404


def test_no_other_upgrade(lab):
    origin, weir = start(lab, serve_body)
    with HttpConnection(weir.http_port) as client:
        answer = client.get("/live/a.m4s", Connection="Upgrade, HTTP2-Settings", Upgrade="h2c",
                            HTTP2_Settings="AAMAAABkAARAAAAAAAIAAAAA")
        assert answer.status == 200
    assert "upgrade" not in origin.requests[0].fields
    assert "http2-settings" not in origin.requests[0].fields


def test_interim_answers_are_for_us(lab):
    def serve(call):
        call.send("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
        call.answer(200, b"x")
    _, weir = start(lab, serve)
    with HttpConnection(weir.http_port) as client:
        assert client.get("/live/a.m4s").status == 200


SMUGGLING = {
    "both lengths": ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n"
                     "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "two lengths": ("GET /a HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n",
                    400),
    "folded": ("GET /a HTTP/1.1\r\nHost: x\r\nX-A: b\r\n c\r\n\r\n", 400),
    "bare LF": ("GET /a HTTP/1.1\nHost: x\n\n", 400),
    "space before colon": ("GET /a HTTP/1.1\r\nHost : x\r\n\r\n", 400),
    "two hosts": ("GET /a HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
    "no host": ("GET /a HTTP/1.1\r\n\r\n", 400),
    "nul": ("GET /a HTTP/1.1\r\nHost: x\r\nX-A: b\0c\r\n\r\n", 400),
    "unknown coding": ("GET /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
    "version": ("GET /a HTTP/2.0\r\nHost: x\r\n\r\n", 505),
    "connect": ("CONNECT x:80 HTTP/1.1\r\nHost: x:80\r\n\r\n", 501),
    "not http": ("\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
    "long target": ("GET /" + "a" * 9000 + " HTTP/1.1\r\nHost: x\r\n\r\n", 414),
    "large head": ("GET /a HTTP/1.1\r\nHost: x\r\n" + "X-A: %s\r\n" % ("b" * 1000) * 20 + "\r\n", 431),
    "many fields": ("GET /a HTTP/1.1\r\nHost: x\r\n" + "X-A: b\r\n" * 120 + "\r\n", 431),
}


def test_requests_that_are_refused(lab):
    origin, weir = start(lab, serve_body)
    for what, (request, status) in SMUGGLING.items():
        with HttpConnection(weir.http_port) as client:
            client.send(request + "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = client.read_answer()
            assert answer.status == status, what
            assert client.closed() == b"", what
    assert origin.requests == []


def test_large_request_behind_a_refusal_loses_no_answer(lab):
    _, weir = start(lab, serve_body)
    with HttpConnection(weir.http_port) as client:
        client.send("POST /live/a HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n")
        client.send(b"x" * 3_000_000)
        assert client.read_answer().status == 405


def test_absolute_form_names_the_host(lab):
    origin, weir = start(lab, serve_body)
    with HttpConnection(weir.http_port) as client:
        client.send("GET http://real.test/live/a.m4s?x=1 HTTP/1.1\r\nHost: other.test\r\n\r\n")
        assert client.read_answer().status == 200
    seen = origin.requests[0]
    assert (seen.path, seen.fields["host"]) == ("/live/a.m4s?x=1", "real.test")


def test_slow_heads_are_closed(lab):
    origin, weir = start(lab, serve_body, http={"request_timeout": "500ms",
                                                "keepalive_timeout": "1s"})
    silent, slow, idle = (HttpConnection(weir.http_port) for _ in range(3))
    with silent, slow, idle:
        slow.send("GET /live/a.m4s HTTP/1.1\r\nHost: x\r\n")
        assert idle.get("/live/a.m4s").status == 200
        idle.send("GET")  # the next request starts the clock anew
        for client in (silent, slow, idle):
            assert client.closed() == b""
    weir.wait_metric(3, "weir_session_ends_total", protocol="http", reason="request_timeout")
    assert len(origin.requests) == 1


def test_idle_connections_are_closed(lab):
    _, weir = start(lab, serve_body, http={"keepalive_timeout": "300ms"})
    with HttpConnection(weir.http_port) as client:
        assert client.get("/live/a.m4s").status == 200
        assert client.closed() == b""
    weir.wait_metric(1, "weir_session_ends_total", protocol="http", reason="done")
    weir.wait_metric(0, "weir_connections", protocol="http")


def test_connection_limit(lab):
    _, weir = start(lab, serve_body, http={"max_connections": 2})
    with HttpConnection(weir.http_port) as one, HttpConnection(weir.http_port) as two:
        assert one.get("/live/a.m4s").status == two.get("/live/a.m4s").status == 200
        with HttpConnection(weir.http_port) as three:
            assert three.closed() == b""
    assert weir.metric("weir_connections_refused_total", protocol="http",
                       limit="max_connections") == 1


def test_slow_reader_costs_little_memory(lab):
    size = 64 * 1024 * 1024

    def serve(call):
        call.send(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n")
        call.send(bytes(size))
    _, weir = start(lab, serve)
    [pid] = weir.pids("http")
    before = resident(pid)
    with HttpConnection(weir.http_port, receive_buffer=4096) as client:
        client.send("GET /live/big.m4s HTTP/1.1\r\nHost: x\r\n\r\n")
        got, reads, most = 0, 0, 0
        while got < size:
            data = client.sock.recv(2048)  # always a little behind
            assert data
            got += len(data)
            reads += 1
            if reads % 1000 == 0:
                most = max(most, resident(pid))
    assert most > 0
    assert most - before < 8 * 1024 * 1024


def resident(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_client_that_leaves_ends_the_request(lab):
    _, weir = start(lab, lambda call: call.sock.recv(1))
    client = HttpConnection(weir.http_port)
    client.send("GET /live/a.m4s HTTP/1.1\r\nHost: x\r\n\r\n")
    poll("the request", lambda: weir.metric("weir_http_requests_total") == 1)
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()
    weir.wait_metric(0, "weir_connections", protocol="http")
    weir.wait_metric(1, "weir_session_ends_total", protocol="http", reason="client_closed")
