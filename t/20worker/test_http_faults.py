"""What the HTTP worker does when origins fail, are slow or talk nonsense."""

import signal

from weirtest import HttpConnection, HttpOrigin, free_port, poll

PATH = "/live/a.m4s"


def ok(call):
    call.answer(200, b"fine")


def garbage(call):
    call.send(b"\x00\x01nonsense\r\n\r\n")
    call.close()


def closes(call):
    call.close()


def closes_after_first(call):
    if call.number > 1:
        call.close()
    else:
        ok(call)


def truncated(call):
    call.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")
    call.close()


def bad_chunk(call):
    call.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n")
    call.close()


def silent(call):
    call.sock.recv(1)
    call.close()


class Nowhere:
    """An endpoint where nobody listens."""

    ip = "127.0.0.1"
    rtmp_port = None

    def __init__(self):
        self.http_port = free_port()


def get(weir, path=PATH, **fields):
    with HttpConnection(weir.http_port) as client:
        return client.get(path, **fields)


def test_no_origin_is_503(lab):
    weir = lab.weir(http=True, start=False)
    weir.start(ready=False)
    poll("the port", lambda: _listens(weir))
    answer = get(weir)
    assert answer.status == 503
    assert answer.fields["retry-after"] == "2"


def test_the_next_address_of_an_origin_before_the_next_origin(lab):
    origin = HttpOrigin(lab, ok)
    weir = lab.weir(http={"dial_attempts": 1}, config={
        "balance": {"probe_interval": "0"},
        "origin two": {"ip": "127.0.0.1", "http": (free_port(), origin.http_port)}})
    assert [get(weir).status for _ in range(4)] == [200] * 4
    assert weir.metric("weir_dial_failures_total", protocol="http", reason="refused") >= 1
    assert weir.metric("weir_dial_retries_total", protocol="http") == 0


def _listens(weir):
    try:
        HttpConnection(weir.http_port).close()
        return True
    except OSError:
        return False


def test_dead_origin_gives_way_to_the_other(lab):
    good = HttpOrigin(lab, ok)
    weir = lab.weir(origins=[Nowhere(), good], http=True, config={"balance": {"max_fails": 1000}})
    for number in range(12):
        assert get(weir, f"/live/s{number}.m4s").body == b"fine"
    assert weir.metric("weir_dial_failures_total", protocol="http", reason="refused") > 0


def test_all_origins_dead_is_502(lab):
    weir = lab.weir(origins=[Nowhere(), Nowhere()], http=True,
                    config={"balance": {"max_fails": 1000}})
    with HttpConnection(weir.http_port) as client:
        for _ in range(3):
            assert client.get(PATH).status == 502
        # The answers did not disturb what is behind them.
        client.send((f"GET {PATH} HTTP/1.1\r\nHost: x\r\n\r\n") * 3)
        assert [client.read_answer().status for _ in range(3)] == [502] * 3
    assert weir.metric("weir_http_requests_total") == 6


def test_slow_origin_is_504(lab):
    weir = lab.weir(origins=[HttpOrigin(lab, silent)], http={"answer_timeout": "300ms"})
    with HttpConnection(weir.http_port) as client:
        assert client.get(PATH).status == 504
        assert client.get("/live/a.m3u8").status == 504  # and the connection goes on
    assert weir.origins()[0]["state"] == "up"


def test_body_that_stops_ends_the_answer(lab):
    def serve(call):
        call.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")
        call.sock.recv(1)
        call.close()
    weir = lab.weir(origins=[HttpOrigin(lab, serve)], http={"answer_timeout": "300ms"})
    with HttpConnection(weir.http_port) as client:
        client.send(f"GET {PATH} HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.read_head().status == 200
        assert client.closed() == b"only this"
    with HttpConnection(weir.http_port) as client:
        assert client.get("/live/a.m3u8").status == 504


def test_nonsense_is_502(lab):
    weir = lab.weir(origins=[HttpOrigin(lab, garbage)], http=True)
    with HttpConnection(weir.http_port) as client:
        assert client.get(PATH).status == 502
        assert client.get("/live/a.flv").status == 502
    assert weir.origins()[0]["state"] == "up"


def test_close_without_an_answer_tries_the_other_origin(lab):
    bad, good = HttpOrigin(lab, closes), HttpOrigin(lab, ok)
    weir = lab.weir(origins=[bad, good], http=True)
    for number in range(12):
        assert get(weir, f"/live/s{number}.m4s").body == b"fine"
    poll("the other one was asked, too", lambda: bad.requests)
    # One request that crashes a connection must not eject an origin.
    assert [o["state"] for o in weir.origins()] == ["up", "up"]


def test_close_without_an_answer_is_502_at_last(lab):
    bad = HttpOrigin(lab, closes)
    weir = lab.weir(origins=[bad], http={"dial_attempts": 2})
    assert get(weir).status == 502
    assert 1 <= len(bad.requests) <= 2


def test_truncated_answers_are_seen_as_such(lab):
    for serve, read in ((truncated, b"only this"), (bad_chunk, None)):
        weir = lab.weir(origins=[HttpOrigin(lab, serve)], http=True, name=serve.__name__)
        with HttpConnection(weir.http_port) as client:
            client.send(f"GET {PATH} HTTP/1.1\r\nHost: x\r\n\r\n")
            assert client.read_head().status == 200
            rest = client.closed()
            assert read is None or rest == read
            assert b"0\r\n\r\n" not in rest
        assert get(weir, "/live/a.m3u8").status == 502


def test_pooled_connection_that_was_closed(lab):
    origin = HttpOrigin(lab, closes_after_first)
    weir = lab.weir(origins=[origin], http=True)
    with HttpConnection(weir.http_port) as client:
        for _ in range(8):
            assert client.get(PATH).body == b"fine"
    assert weir.metric("weir_http_upstream_reused_total") == 7
    assert weir.metric("weir_dial_failures_total", protocol="http") == 0
    # Closed while it waits: noticed when it is taken.
    origin.serve = ok
    assert get(weir).status == 200
    origin.drop_connections()
    assert get(weir).body == b"fine"


def test_origin_without_http_is_left_alone(lab):
    weir = lab.weir(origins=[HttpOrigin(lab, ok)], http=True,
                    config={"origin o1": {"http": None, "rtmp": free_port()},
                            "balance": {"probe_interval": "0"}})
    assert get(weir).status == 503
    assert weir.origins()[0]["state"] == "up"


def test_bytes_out_of_turn_are_not_the_next_answer(lab):
    def serve(call):
        call.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine"
                  "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
    weir = lab.weir(origins=[HttpOrigin(lab, serve)], http=True)
    with HttpConnection(weir.http_port) as client:
        for _ in range(10):
            assert client.get(PATH).body == b"fine"


def test_stream_after_a_head_request_is_nobodys_answer(lab):
    def serve(call):
        if call.method == "HEAD":
            call.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
            assert call.sock.recv(1) == b"", "the connection was used again"
            call.close()
        else:
            ok(call)
    origin = HttpOrigin(lab, serve)
    weir = lab.weir(origins=[origin], http=True)
    with HttpConnection(weir.http_port) as client:
        assert client.get("/live/a.flv", "HEAD").status == 200
        assert client.get("/live/a.flv").body == b"fine"
        assert client.get(PATH).body == b"fine"
    assert weir.metric("weir_http_upstream_reused_total") == 0


def test_playlist_that_is_too_large(lab):
    body = b"#EXTM3U\n" + b"#x\n" * 2000
    weir = lab.weir(origins=[HttpOrigin(lab, lambda call: call.answer(200, body))],
                    http={"playlist_max": "4k"})
    assert get(weir, "/live/a.m3u8").status == 502


def test_killed_worker_ends_only_its_own(lab):
    def serve(call):
        call.send("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nstream")
        call.sock.recv(1)
        call.close()
    weir = lab.weir(origins=[HttpOrigin(lab, serve)], http=True, workers=2)
    before = set(weir.pids("http"))
    assert len(before) == 2
    clients = [HttpConnection(weir.http_port) for _ in range(40)]
    for client in clients:
        client.send("GET /live/a.flv HTTP/1.1\r\nHost: x\r\n\r\n")
        client.read_head()
    weir.wait_metric(40, "weir_sessions", protocol="http", state="playing")
    victim = min(before)
    weir.signal(signal.SIGKILL, victim)
    poll("a new worker", lambda: len(set(weir.pids("http")) - {victim}) == 2)
    weir.wait_ready()
    left = sum(_is_open(client) for client in clients)
    assert 0 < left < 40
    weir.wait_metric(left, "weir_sessions", protocol="http", state="playing")
    for client in clients:
        client.close()
    with HttpConnection(weir.http_port) as client:
        client.send("GET /live/b.flv HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.read_head().status == 200


def _is_open(client):
    client.data = b""
    client.sock.settimeout(0.05)
    try:
        while client.sock.recv(1000):
            pass
        return False
    except TimeoutError:
        return True
    except ConnectionResetError:
        return False
