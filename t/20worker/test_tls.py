"""TLS on the listeners: what is spoken, which certificate, tickets, renewal, faults."""

import concurrent.futures
import hashlib
import os
import re
import socket
import ssl
import subprocess
import threading

import pytest

from weirtest import HttpConnection, HttpOrigin, build_dir, free_port, poll
from weirtest.tls import Ca, TlsConnection, s_client, tls_config


@pytest.fixture
def ca(lab):
    return Ca(lab)


def hello(call):
    call.answer(200, b"hello")


def tls_weir(lab, *pairs, serve=hello, port=None, origins=None, **more):
    """Weir with HTTPS on .tls_port."""
    workers = more.pop("workers", 1)
    port = port or free_port()
    weir = lab.weir(origins=origins or [HttpOrigin(lab, serve)], http=True, workers=workers,
                    config=tls_config(port, *pairs, **more))
    weir.tls_port = port
    return weir


def test_only_what_is_configured(lab, ca):
    weir = tls_weir(lab, ca.issue("a.test"))
    port = weir.tls_port
    for version in ("-tls1_2", "-tls1_3"):
        assert s_client(port, version)[0] == 0
    weak = "ALL:@SECLEVEL=0"
    for options in (("-tls1_1", "-cipher", weak), ("-tls1", "-cipher", weak),
                    ("-tls1_2", "-cipher", "AES128-SHA:AES256-SHA:@SECLEVEL=0"),
                    ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0"),
                    ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-SHA384:@SECLEVEL=0"),
                    ("-tls1_3", "-groups", "P-521")):
        status, text = s_client(port, *options)
        assert status != 0, (options, text)
    status, text = s_client(port, "-tls1_2", send="R\n")  # renegotiation
    assert "no renegotiation" in text.lower() or status != 0
    assert weir.metric("weir_tls_handshake_failures_total", reason="protocol") == 2
    assert weir.metric("weir_tls_handshake_failures_total", reason="cipher") == 4
    assert weir.metric("weir_tls_handshakes_total", version="tls1.2") == 2
    assert weir.metric("weir_tls_handshakes_total", version="tls1.3") == 1
    weir.reload(tls_config(port, ca.issue("a.test"), tls={"min_protocol": "tls1.3"}))
    assert s_client(port, "-tls1_2")[0] != 0
    assert s_client(port, "-tls1_3")[0] == 0
    weir.reload(tls_config(port, ca.issue("a.test"),
                           tls={"max_protocol": "tls1.2",
                                "ciphers": "ECDHE-ECDSA-AES256-GCM-SHA384"}))
    assert s_client(port, "-tls1_3")[0] != 0
    assert "ECDHE-ECDSA-AES256-GCM-SHA384" in s_client(port)[1]


def subject(port, name):
    return re.search(r"subject=CN = (\S+)", s_client(port, servername=name)[1]).group(1)


def test_certificate_by_name(lab, ca):
    weir = tls_weir(lab, ca.issue("first.test"), ca.issue("second.test", "*.wild.test"),
                    ca.issue("deep.wild.test"))
    for name, expected in (("first.test", "first.test"), ("SECOND.test", "second.test"),
                           ("x.wild.test", "second.test"), ("deep.wild.test", "deep.wild.test"),
                           ("a.x.wild.test", "first.test"), ("wild.test", "first.test"),
                           ("unknown.test", "first.test"), (None, "first.test")):
        assert subject(weir.tls_port, name) == expected, name
    with TlsConnection(weir.tls_port, ca, "x.wild.test") as client:
        assert client.get("/live/a.ts", host="x.wild.test").body == b"hello"


def test_alpn(lab, ca):
    weir = tls_weir(lab, ca.issue("a.test"))
    assert "ALPN protocol: http/1.1" in s_client(weir.tls_port, "-alpn", "h2,http/1.1")[1]
    assert s_client(weir.tls_port)[0] == 0
    status, text = s_client(weir.tls_port, "-alpn", "h2,spdy/1")
    assert status != 0 and "no application protocol" in text
    assert weir.metric("weir_tls_handshake_failures_total", reason="alpn") == 1


def test_what_origins_and_clients_are_told(lab, ca):
    def serve(call):
        where = call.fields["host"] if "x" in call.path else f"127.0.0.1:{origin.http_port}"
        call.answer(302, fields={"Location": f"http://{where}/live/b.ts"})
    origin = HttpOrigin(lab, serve)
    weir = tls_weir(lab, ca.issue("a.test"), origins=[origin])
    with TlsConnection(weir.tls_port, ca, "a.test") as client:
        answer = client.get("/live/a.ts", host="a.test:8443")
        where, _, pin = answer.fields["location"].partition("?")
        assert where == "https://a.test:8443/live/b.ts" and pin.startswith("weir=")
    fields = origin.requests[0].fields
    assert fields["x-forwarded-proto"] == "https"
    assert "proto=https" in fields["forwarded"]
    with HttpConnection(weir.http_port) as client:
        client.get("/live/a.ts")
    assert origin.requests[1].fields["x-forwarded-proto"] == "http"


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_tickets_at_all_workers_and_over_reloads(lab, ca, version):
    pair = ca.issue("a.test")
    weir = tls_weir(lab, pair, workers=3)
    session = lab.path("session.pem")
    # TLS 1.3 tickets come after the handshake: a request makes s_client wait for them.
    get = "GET /live/a.ts HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n"

    def resumed(*options):
        status, text = s_client(weir.tls_port, version, "-ign_eof", *options, servername="a.test",
                                send=get)
        assert status == 0 and "hello" in text, text
        return "Reused, TLS" in text
    assert not resumed("-sess_out", session)
    for _ in range(8):
        assert resumed("-sess_in", session)
    before = weir.pids("http")
    weir.reload(tls_config(weir.tls_port, ca.issue("a.test")))
    assert not set(before) & set(weir.pids("http"))
    assert resumed("-sess_in", session)
    assert weir.metric("weir_tls_resumed_total") == 9
    weir.reload(tls_config(weir.tls_port, pair, tls={"session_tickets": False}))
    assert not resumed("-sess_in", session)


def test_a_thousand_handshakes_while_certificates_are_renewed(lab, ca):
    pairs = [ca.issue("a.test", f"n{n}.test") for n in range(6)]
    weir = tls_weir(lab, pairs[0], workers=2)
    seen, stop = set(), threading.Event()

    def shake(count):
        for _ in range(count):
            context = ca.context()  # a new one: no session to resume
            with socket.create_connection(("127.0.0.1", weir.tls_port), 30) as sock, \
                    context.wrap_socket(sock, server_hostname="a.test") as tls:
                names = tls.getpeercert()["subjectAltName"]
                seen.add(names[1][1])
                tls.sendall(b"GET /live/a.ts HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")
                data = b""
                while more := tls.recv(4096):
                    data += more
                assert data.endswith(b"hello")
        return count

    def renew():
        for pair in pairs[1:]:
            weir.reload(tls_config(weir.tls_port, pair), timeout=60)
            if stop.is_set():
                return
    renewing = threading.Thread(target=renew, daemon=True)
    renewing.start()
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        done = [pool.submit(shake, 250) for _ in range(4)]
        assert sum(task.result(300) for task in done) == 1000
    stop.set()
    renewing.join(60)
    assert len(seen) >= 3
    assert not weir.metrics().get(("weir_tls_handshake_failures_total", frozenset()))
    assert weir.metric("weir_tls_handshake_failures_total") == 0


def test_a_bad_certificate_leaves_the_old_one_in_use(lab, ca):
    good, other = ca.issue("a.test"), ca.issue("b.test")
    weir = tls_weir(lab, good)
    garbage = lab.path("garbage.pem")
    garbage.write_text("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")
    with TlsConnection(weir.tls_port, ca, "a.test") as running:
        for file, key, why in ((good.file, other.key, "the key does not belong to the certificate"),
                               (garbage, good.key, "no certificate in PEM form"),
                               (good.file, garbage, "no private key in PEM form"),
                               (lab.path("none.pem"), good.key, "No such file"),
                               (lab.dir, good.key, "not a regular file")):
            before = weir.metric("weir_reloads_total", result="failed")
            weir.reload({**tls_config(weir.tls_port), "certificate c0": {"file": file, "key": key}},
                        expect=False)
            poll("the refusal", lambda seen=before: weir.metric("weir_reloads_total",
                                                                result="failed") > seen)
            line = [text for text in weir.log().splitlines() if "configuration fault" in text][-1]
            assert why in line and str(file if file != good.file else key) in line, line
            assert subject(weir.tls_port, None) == "a.test"
            tested = subprocess.run([build_dir() / "weir", "-t", "-c", weir.conf], text=True,
                                    capture_output=True, check=False)
            assert tested.returncode == 2 and why in tested.stderr
        assert running.get("/live/a.ts").body == b"hello"
    assert weir.generation() == 1
    assert weir.metric("weir_tls_certificate_days_left") in (29, 30)  # whole days
    text = subprocess.run([build_dir() / "weir", "-T", "-c", weir.conf], text=True,
                          capture_output=True, check=False).stdout
    assert "PRIVATE" not in text


def test_ocsp_response_is_stapled(lab, ca):
    pair = ca.issue("a.test")
    weir = tls_weir(lab, **{"certificate c0": pair.block(ocsp=ca.ocsp(pair))})
    assert "OCSP Response Status: successful" in s_client(weir.tls_port, "-status")[1]
    weir.reload(tls_config(weir.tls_port, pair))
    assert "no response sent" in s_client(weir.tls_port, "-status")[1]


def test_no_handshake(lab, ca):
    weir = tls_weir(lab, ca.issue("a.test"), tls={"handshake_timeout": "500ms"})

    def failures(reason):
        return weir.metric("weir_tls_handshake_failures_total", reason=reason)
    with socket.create_connection(("127.0.0.1", weir.tls_port), 10) as silent, \
            socket.create_connection(("127.0.0.1", weir.tls_port), 10) as slow:
        slow.sendall(b"\x16\x03\x01\x02\x00\x01\x00")  # a ClientHello that never goes on
        assert silent.recv(100) == b"" and slow.recv(100) == b""
    assert failures("timeout") == 2
    with HttpConnection(weir.tls_port) as client:  # plain HTTP
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        client.closed()
    with HttpConnection(weir.tls_port) as client:
        client.send(os.urandom(8) + b"\xff" * 2000)
        client.closed()
    poll("garbage is counted", lambda: failures("not_tls") + failures("other") == 2)
    lines = [line for line in weir.log().splitlines() if "TLS handshake failed" in line]
    assert len(lines) == 4
    assert sum("reason=timeout" in line for line in lines) == 2
    with TlsConnection(weir.tls_port, ca, "a.test") as client:
        assert client.get("/live/a.ts").body == b"hello"
    weir.wait_metric(0, "weir_connections", protocol="http")


def live(data, framing):
    def serve(call):
        call.send("HTTP/1.1 200 OK\r\nContent-Type: video/x-flv\r\nConnection: close\r\n" +
                  ("Transfer-Encoding: chunked\r\n\r\n" if framing == "chunked" else "\r\n"))
        for at in range(0, len(data), 50_000):
            if framing == "chunked":
                call.chunk(data[at:at + 50_000])
            else:
                call.send(data[at:at + 50_000])
        if framing == "chunked":
            call.send(b"0\r\n\r\n")
        call.close()
    return serve


@pytest.mark.parametrize("framing", ["chunked", "close"])
def test_live_streams_are_bit_identical(lab, ca, framing):
    data = os.urandom(8_000_000)
    weir = tls_weir(lab, ca.issue("a.test"), serve=live(data, framing))

    def play(buffer):
        digest = hashlib.sha1()
        with TlsConnection(weir.tls_port, ca, "a.test", timeout=120,
                           receive_buffer=buffer) as client:
            client.send("GET /live/a.flv HTTP/1.1\r\nHost: a.test\r\n\r\n")
            head = client.read_head()
            assert head.status == 200
            if framing == "chunked":
                while part := client.read_chunk():
                    digest.update(part)
            else:
                digest.update(client.read_to_end())
        return digest.digest()
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        players = [pool.submit(play, buffer) for buffer in (None, 4096, None, 4096)]
        for player in players:
            assert player.result(240) == hashlib.sha1(data).digest()
    weir.wait_metric(0, "weir_connections", protocol="http")
    if framing == "close":  # else the client may leave first: it has seen the last chunk
        assert weir.metric("weir_session_ends_total", protocol="http", reason="origin_closed") == 4


def test_a_broken_origin_is_no_whole_stream(lab, ca):
    """Without close_notify a client sees that a stream without a length was cut."""
    def serve(call):
        call.send("HTTP/1.1 200 OK\r\nContent-Type: video/x-flv\r\n\r\n" + "x" * 1000)
        call.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # RST
        reset.wait(10)
        call.close()
    reset = threading.Event()
    weir = tls_weir(lab, ca.issue("a.test"), serve=serve)
    context = ca.context()
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    with TlsConnection(weir.tls_port, ca, "a.test", context) as client:
        client.sock.suppress_ragged_eofs = False
        client.send("GET /live/a.flv HTTP/1.1\r\nHost: a.test\r\n\r\n")
        client.read_head()
        reset.set()
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            client.read_to_end()


def test_static_files_and_api(lab, ca):
    root = lab.path("files")
    root.mkdir()
    (root / "big.bin").write_bytes(os.urandom(3_000_000))
    api_port, tls_port = free_port(), free_port()
    weir = tls_weir(lab, ca.issue("a.test"), port=tls_port)
    weir.reload({"http": {"tls_listen": f"127.0.0.1:{tls_port}", "static_files": root},
                 "http_api": {"enabled": True, "listen": f"127.0.0.1:{free_port()}",
                              "tls_listen": f"127.0.0.1:{api_port}"},
                 "certificate c0": ca.issue("a.test").block()})
    with TlsConnection(tls_port, ca, "a.test") as client:
        assert client.get("/big.bin").body == (root / "big.bin").read_bytes()
        assert client.get("/live/a.ts").body == b"hello"
    with TlsConnection(api_port, ca, "a.test") as client:
        assert b"major" in client.get("/api/v1/versions").body
