"""The HTTP side of the System API: limits, deadlines, methods, pipelining, token."""

import json
import signal
import socket
import ssl
import time

import pytest

from weirtest import free_port, poll
from weirtest.tls import Ca, tls_config

BODY = {"ip": "127.0.0.1", "server": "s", "service": "v", "pid": "1", "rtmp": ["1935"]}


@pytest.fixture
def weir(lab):
    return lab.weir(origins=[lab.fake_origin()])


def connect(weir, timeout=10):
    return socket.create_connection(("127.0.0.1", weir.api_port), timeout)


def read_answer(file, method="GET"):
    """(status, headers, body) of one answer; None at the end of the connection."""
    line = file.readline()
    if not line:
        return None
    version, status = line.split()[:2]
    assert version == b"HTTP/1.1"
    headers = {}
    while (line := file.readline().strip()):
        name, _, value = line.partition(b":")
        headers[name.decode().lower()] = value.strip().decode()
    assert "transfer-encoding" not in headers
    length = int(headers["content-length"])
    return int(status), headers, file.read(length) if method != "HEAD" else b""


def exchange(weir, data, method="GET"):
    """One answer to raw bytes, then the rest of the connection."""
    with connect(weir) as sock:
        sock.sendall(data)
        return read_answer(sock.makefile("rb"), method)


def get(path, *headers, method="GET"):
    lines = [f"{method} {path} HTTP/1.1", "Host: weir", *headers, "", ""]
    return "\r\n".join(lines).encode()


def post(path, body, *headers):
    return get(path, f"Content-Length: {len(body)}", *headers, method="POST") + body


def is_error(answer, status):
    assert answer is not None, "no answer"
    assert answer[0] == status
    assert answer[1]["content-type"] == "application/json"
    error = json.loads(answer[2])
    assert error["code"] > 0 and error["error"]
    return error


def alive(weir):
    assert weir.request("/healthz")[0] == 200


def test_head_and_keep_alive(weir):
    with connect(weir) as sock:
        file = sock.makefile("rb")
        sock.sendall(get("/metrics", method="HEAD"))
        status, headers, _ = read_answer(file, "HEAD")
        assert status == 200 and int(headers["content-length"]) > 1000
        for _ in range(50):
            sock.sendall(get("/api/v1/versions"))
            status, headers, body = read_answer(file)
            assert status == 200 and headers["connection"] == "keep-alive"
            assert json.loads(body)["code"] == 0
        sock.sendall(get("/healthz", "Connection: close"))
        assert read_answer(file)[1]["connection"] == "close"
        assert file.read() == b""


def test_http10_closes(weir):
    with connect(weir) as sock:
        file = sock.makefile("rb")
        sock.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert read_answer(file)[0] == 200
        assert file.read() == b""


def test_pipelining(weir):
    """Answers come in the order of the requests, those of the master among them."""
    register = post("/api/v1/srs/register", json.dumps(BODY).encode())
    requests = [get("/healthz"), register, get("/nothing"), register, get("/api/v1/versions")] * 20
    with connect(weir) as sock:
        file = sock.makefile("rb")
        sock.sendall(b"".join(requests))
        sock.shutdown(socket.SHUT_WR)
        want = [200, 200, 404, 200, 200] * 20
        got = [read_answer(file) for _ in want]
        assert [a[0] for a in got] == want
        assert "status" in json.loads(got[0][2]) and "pid" in json.loads(got[1][2])
        assert file.read() == b""


def test_one_byte_at_a_time(weir):
    with connect(weir) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in post("/api/v1/srs/register", json.dumps(BODY).encode()):
            sock.sendall(bytes([byte]))
        assert read_answer(sock.makefile("rb"))[0] == 200


def test_chunked_body(weir):
    body = json.dumps(BODY).encode()
    data = get("/api/v1/srs/register", "Transfer-Encoding: chunked", method="POST")
    for at in range(0, len(body), 7):
        piece = body[at:at + 7]
        data += b"%x\r\n%s\r\n" % (len(piece), piece)
    assert exchange(weir, data + b"0\r\n\r\n")[0] == 200


def test_expect_continue(weir):
    body = json.dumps(BODY).encode()
    with connect(weir) as sock:
        file = sock.makefile("rb")
        sock.sendall(post("/api/v1/srs/register", body, "Expect: 100-continue")[:-len(body)])
        assert file.readline() == b"HTTP/1.1 100 Continue\r\n" and file.readline() == b"\r\n"
        sock.sendall(body)
        assert read_answer(file)[0] == 200


@pytest.mark.parametrize("method,path,allow", [
    ("POST", "/healthz", "GET, HEAD"), ("DELETE", "/metrics", "GET, HEAD"),
    ("PUT", "/api/v1/origins", "GET, HEAD"), ("GET", "/api/v1/srs/register", "POST"),
    ("OPTIONS", "/api/v1/srs/register", "POST"), ("BREW", "/api/v1/streams", "GET, HEAD"),
    ("POST", "/api/v1/origins/0-1", "GET, HEAD, DELETE"),
    ("GET", "/api/v1/origins/0-1/drain", "POST")])
def test_wrong_method(weir, method, path, allow):
    answer = exchange(weir, get(path, "Content-Length: 0", method=method))
    is_error(answer, 405)
    assert answer[1]["allow"] == allow


@pytest.mark.parametrize("path", ["/", "/api/v1", "/api/v1/srs", "/api/v1/origins/x",
                                  "/api/v1/origins/0-99", "/api/v1/origins/70000-1/",
                                  "/api/v1/origins/0-1/kill", "/api/v1/streams?key=no/such/stream",
                                  "/%2e%2e/etc/passwd"])
def test_not_found(weir, path):
    is_error(exchange(weir, get(path)), 404)


@pytest.mark.parametrize("data", [
    b"hello\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET\r\n\r\n",
    b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n1",
    b"GET / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
    b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
    b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"],
    ids=["words", "tls", "line", "negative", "two-lengths", "huge", "coding", "both", "chunk"])
def test_not_http(weir, data):
    is_error(exchange(weir, data), 400)
    alive(weir)


@pytest.mark.parametrize("data", [
    b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nX: " + b"a" * 20000 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"".join(b"X%d: 1\r\n" % i for i in range(1000)) + b"\r\n",
    b"GET / HTTP/1.1\r\n" + b"".join(b"X%d: %s\r\n" % (i, b"a" * 900) for i in range(30)) + b"\r\n"],
    ids=["path", "value", "count", "sum"])
def test_too_much_header(weir, data):
    is_error(exchange(weir, data), 431)


def test_ten_megabytes(weir):
    """Refused by its length alone; a client that sends first and reads then still gets the answer."""
    body = b"x" * 10_000_000
    is_error(exchange(weir, post("/api/v1/srs/register", body)), 413)
    chunk = b"%x\r\n" % len(body) + body
    head = get("/api/v1/srs/register", "Transfer-Encoding: chunked", method="POST")
    is_error(exchange(weir, head + chunk), 413)
    is_error(exchange(weir, head + b"ffffffffffffffffff\r\n" + body[:1000]), 413)
    many = b"".join(b"400\r\n" + b"x" * 1024 + b"\r\n" for _ in range(80))
    is_error(exchange(weir, head + many), 413)
    alive(weir)


def test_slow_writers(lab):
    """One deadline for a whole request: bytes now and then don't extend it."""
    weir = lab.weir(origins=[lab.fake_origin()], config={"control": {"request_timeout": "500ms"}})
    head = get("/healthz", "X-Slow: yes")
    body = post("/api/v1/srs/register", json.dumps(BODY).encode())
    socks = []
    for data in (head, body):
        sock = connect(weir)
        sock.sendall(data[:20])
        socks.append((sock, data, 20))
    started = time.monotonic()
    silent = connect(weir)
    for sock, data, at in socks:
        file = sock.makefile("rb")
        sock.settimeout(0.05)
        while time.monotonic() - started < 5:
            try:
                if sock.recv(1, socket.MSG_PEEK):
                    break
            except TimeoutError:
                sock.sendall(data[at:at + 1] if at < 40 else b"")
                at += 1
        sock.settimeout(5)
        is_error(read_answer(file), 408)
    assert time.monotonic() - started < 5
    silent.settimeout(5)
    assert silent.recv(1) == b""  # idle: closed without a word
    alive(weir)


def test_max_connections(lab):
    weir = lab.weir(origins=[lab.fake_origin()], config={"control": {"max_connections": 8}})
    def begin():
        sock = connect(weir)
        sock.sendall(get("/healthz"))
        try:
            answer = read_answer(sock.makefile("rb"))
        except ConnectionResetError:  # refused, with our request unread
            return None
        if answer[0] != 200:
            return None
        sock.sendall(b"GET /healthz HT")  # begun: not to be put out for another
        return sock
    held = [poll("room", begin) for _ in range(8)]
    silent = []

    def refusal():
        sock = connect(weir, 0.2)
        try:
            return read_answer(sock.makefile("rb"))
        except TimeoutError:
            silent.append(sock)  # there was room for it; it stays
            return None
    is_error(poll("a refusal", refusal), 503)
    assert len(silent) <= 1
    for sock in held:
        sock.sendall(b"TP/1.1\r\n\r\n")
        assert read_answer(sock.makefile("rb"))[0] == 200
    # Those who have been idle for a while make room.
    poll("room", lambda: weir.request("/healthz")[0] == 200)


def test_token(lab):
    weir = lab.weir(origins=[lab.fake_origin()], config={"control": {"token": "s3cret/+x"}})
    good = [get("/api/v1/versions", "Authorization: Bearer s3cret/+x"),
            get("/api/v1/versions?token=s3cret%2F%2Bx")]
    bad = [get("/api/v1/versions"), get("/metrics"), get("/nothing"),
           get("/api/v1/versions", "Authorization: Bearer s3cret/+y"),
           get("/api/v1/versions", "Authorization: Bearer "),
           get("/api/v1/versions", "Authorization: Basic s3cret/+x"),
           get("/api/v1/versions?token=s3cret"), get("/api/v1/versions?token="),
           post("/api/v1/srs/register", json.dumps(BODY).encode())]
    for data in good:
        assert exchange(weir, data)[0] == 200
    for data in bad:
        answer = exchange(weir, data)
        is_error(answer, 401)
        assert answer[1]["www-authenticate"].startswith("Bearer")
    for path in ("/healthz", "/readyz"):
        assert exchange(weir, get(path))[0] == 200
    weir.token = "s3cret/+x"  # the harness's requests carry it from here on
    assert [o["name"] for o in weir.origins()] == ["o1"]


def test_clients_that_vanish(weir):
    """Half requests, unread answers, resets: nothing is left behind."""
    weir.request("/healthz")
    before = weir.descriptors()
    for data in (b"", b"GET", get("/metrics")[:-2], get("/metrics") * 200,
                 post("/api/v1/srs/register", json.dumps(BODY).encode())):
        for _ in range(20):
            sock = connect(weir)
            sock.sendall(data)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            sock.close()
    poll("descriptors as before", lambda: weir.descriptors() <= before + 2)
    alive(weir)


def test_who_has_just_connected_is_answered_across_a_reload(weir):
    """The old worker has accepted them, and must not close what is about to ask."""
    waiting = [connect(weir) for _ in range(60)]
    weir.request("/healthz")
    weir.signal(signal.SIGHUP)
    for number, sock in enumerate(waiting):
        if number == 20:  # the others ask when the old worker has been told to leave
            poll("the next generation", lambda: "reload done" in weir.log())
        sock.sendall(get("/healthz"))
    for sock in waiting:
        with sock, sock.makefile("rb") as file:
            assert read_answer(file)[0] == 200
    weir.wait_ready()


def test_eight_hundred_pipelined(weir):
    """Answered in order, whatever they are, also when the client has ended its side."""
    register = post("/api/v1/srs/register", json.dumps(BODY).encode())
    requests = ([get("/healthz")] * 3 + [get("/nothing"), register]) * 160
    want = ([200] * 3 + [404, 200]) * 160
    for half_close in (False, True):
        with connect(weir, 30) as sock:
            file = sock.makefile("rb")
            sock.sendall(b"".join(requests))
            if half_close:
                sock.shutdown(socket.SHUT_WR)
            assert [read_answer(file)[0] for _ in want] == want
            assert not half_close or file.read() == b""
    # All in one segment with the end: what has come before it is still answered.
    for count in (1, 2, 3, 7) * 20:
        with connect(weir) as sock:
            file = sock.makefile("rb")
            sock.sendall(get("/healthz") * count)
            sock.shutdown(socket.SHUT_WR)
            assert [read_answer(file)[0] for _ in range(count)] == [200] * count
            assert file.read() == b""
    with connect(weir) as sock:  # half a request is none
        sock.sendall(get("/healthz") + get("/healthz")[:-2])
        sock.shutdown(socket.SHUT_WR)
        file = sock.makefile("rb")
        assert read_answer(file)[0] == 200 and file.read() == b""


def test_slow_readers_harm_nobody(weir):
    """Answers that nobody reads wait in the kernel and in one answer's room each."""
    weir.request("/metrics")
    slow = []
    for _ in range(20):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(10)
        sock.connect(("127.0.0.1", weir.api_port))
        sock.sendall(get("/metrics") * 100)
        slow.append(sock)
    for _ in range(20):
        alive(weir)
    file = slow[0].makefile("rb", 512)
    for _ in range(100):
        status, _, body = read_answer(file)
        assert status == 200 and body.endswith(b"\n")
    alive(weir)


def test_odd_requests(weir):
    """What clients and balancers send that is not quite usual, and what is one thing only."""
    with connect(weir) as sock:
        file = sock.makefile("rb")
        for data in (b"GET /healthz HTTP/1.1\r\n\r\n",  # no Host
                     b"\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
                     b"GET http://weir.test/healthz HTTP/1.1\r\nHost: x\r\n\r\n",
                     post("/healthz", b"x" * 65536).replace(b"POST", b"GET", 1)):
            sock.sendall(data)
            assert read_answer(file)[0] == 200, data
    head = get("/api/v1/srs/register", "Transfer-Encoding: chunked", method="POST")
    for data, status in ((get("/healthz", "Host: y"), 400), (get("/a b"), 400),
                         (b"GET /healthz HTTP/2.0\r\n\r\n", 400), (get("/", " folded"), 400),
                         (b"GET /healthz HTTP/1.1\nHost: x\n\n", 400),
                         (get("/", "Transfer-Encoding: gzip"), 400),
                         (get("/healthz", *(f"X{n}: 1" for n in range(64))), 431),
                         (head + b"10001\r\n", 413),  # announced, not sent
                         (post("/api/v1/srs/register", b"").replace(b": 0", b": 65537"), 413)):
        error = is_error(exchange(weir, data), status)
        assert error["code"] == {400: 1000, 413: 1002, 431: 1002}[status]
    assert exchange(weir, get("/healthz", *(f"X{n}: 1" for n in range(63))))[0] == 200
    assert weir.metric("weir_api_errors_total") >= 9


def test_a_body_that_does_not_come(lab):
    weir = lab.weir(origins=[lab.fake_origin()], config={"control": {"request_timeout": "500ms"}})
    for data in (post("/api/v1/srs/register", b"x" * 100)[:-1],
                 get("/api/v1/srs/register", "Transfer-Encoding: chunked", method="POST") + b"5\r\nab"):
        assert is_error(exchange(weir, data), 408)["code"] == 1006


def test_no_line_in_the_access_log(lab):
    log = lab.path("access.log")
    weir = lab.weir(origins=[lab.fake_origin()],
                    config={"access_log": {"target": "file", "file": log}})
    for data in (get("/healthz"), b"hello\r\n\r\n"):
        exchange(weir, data)
    weir.stop()
    assert log.read_text() == ""


@pytest.fixture
def tls(lab):
    """Weir with the System API on .tls_port, too; .ca has signed its certificate."""
    ca, port = Ca(lab), free_port()
    weir = lab.weir(origins=[lab.fake_origin()],
                    config=tls_config(port, ca.issue("a.test"), section="control",
                                      balance={"probe_interval": 0}))
    weir.ca, weir.tls_port = ca, port
    return weir


def tls_socket(weir, context=None, source=("", 0)):
    sock = socket.create_connection(("127.0.0.1", weir.tls_port), 10, source)
    return (context or weir.ca.context()).wrap_socket(sock, server_hostname="a.test")


def test_tls(tls):
    """All that the plain port has: registration, pipelining, limits, errors."""
    register = post("/api/v1/srs/register", json.dumps(BODY).encode())
    requests = [get("/healthz"), register, get("/metrics"), get("/nothing")] * 50
    with tls_socket(tls) as sock:
        file = sock.makefile("rb")
        sock.sendall(b"".join(requests))
        assert [read_answer(file)[0] for _ in requests] == [200, 200, 200, 404] * 50
        sock.sendall(get("/healthz", "Connection: close"))
        assert read_answer(file)[0] == 200 and file.read() == b""
    for data, status in ((b"hello\r\n\r\n", 400),
                         (post("/api/v1/srs/register", b"x" * 10_000_000), 413),
                         (get("/", "X: " + "a" * 20000), 431)):
        with tls_socket(tls) as sock:
            sock.sendall(data)
            is_error(read_answer(sock.makefile("rb")), status)
    assert tls.request("/healthz")[0] == 200  # the plain port stays
    assert tls.metric("weir_tls_handshakes_total") == 4
    context = tls.ca.context()
    context.set_alpn_protocols(["h2"])
    with pytest.raises(ssl.SSLError):
        tls_socket(tls, context)
    poll("the failure", lambda: tls.metric("weir_tls_handshake_failures_total", reason="alpn") == 1)
    with connect(tls) as sock:  # TLS on the plain port is no request
        sock.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        is_error(read_answer(sock.makefile("rb")), 400)
    with socket.create_connection(("127.0.0.1", tls.tls_port), 10) as sock:
        sock.sendall(get("/healthz"))
        poll("the failure", lambda: tls.metric("weir_tls_handshake_failures_total",
                                               reason="not_tls") == 1)


def test_tls_across_a_reload(lab, tls):
    """The new certificate at once; who has connected before is answered; access holds there, too."""
    before = [tls_socket(tls) for _ in range(5)]
    tls.reload(tls_config(tls.tls_port, tls.ca.issue("a.test", "b.test"), section="control"))
    for sock in before:
        with sock, sock.makefile("rb") as file:
            sock.sendall(get("/healthz"))
            assert read_answer(file)[0] == 200
    with tls_socket(tls) as sock:
        names = [name for _, name in sock.getpeercert()["subjectAltName"]]
        assert names == ["a.test", "b.test"]
    config = tls_config(tls.tls_port, tls.ca.issue("a.test"), section="control")
    config["control"]["access"] = "deny 127.0.0.2"
    tls.reload(config)
    with pytest.raises(OSError):
        tls_socket(tls, source=("127.0.0.2", 0))
    with tls_socket(tls, source=("127.0.0.3", 0)) as sock:
        sock.sendall(get("/healthz"))
        assert read_answer(sock.makefile("rb"))[0] == 200
    assert tls.metric("weir_access_denied_total", at="connection") == 1
