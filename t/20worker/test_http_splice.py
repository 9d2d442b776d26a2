"""Long bodies of known length, which go through the kernel: whole, in bits, slow, broken off."""

import os

from weirtest import HttpConnection, HttpOrigin, poll

BODY = os.urandom(5_000_000)


def start(lab, serve, **options):
    origin = HttpOrigin(lab, serve)
    return origin, lab.weir(origins=[origin], http=options or True)


def test_one_after_the_other_on_both_connections(lab):
    origin, weir = start(lab, lambda call: call.answer(200, BODY))
    with HttpConnection(weir.http_port, receive_buffer=20_000) as client:
        for _ in range(3):
            assert client.get("/live/a-1.m4s").body == BODY
        client.send("GET /live/a-1.m4s HTTP/1.1\r\nHost: x\r\n\r\n" * 2)  # pipelined
        assert [client.read_answer().body == BODY for _ in range(2)] == [True, True]
        assert client.get("/live/a-1.m4s", "HEAD").fields["content-length"] == str(len(BODY))
        assert client.get("/live/a-1.m4s").body == BODY
    assert origin.connections == 1
    assert weir.metric("weir_bytes_total", protocol="http", direction="to_client") > 6 * len(BODY)


def test_in_bits_as_the_origin_makes_it(lab):
    def serve(call):
        call.send(f"HTTP/1.1 200 OK\r\nContent-Length: {len(BODY)}\r\n\r\n")
        sizes, at = (1, 40_000, 3, 700_000, 33_000, 32_768, 32_767), 0
        while at < len(BODY):
            size = sizes[at % len(sizes)]
            call.send(BODY[at:at + size])
            at += size
    origin, weir = start(lab, serve)
    with HttpConnection(weir.http_port) as client:
        assert client.get("/live/a-1.m4s").body == BODY
        assert client.get("/live/a-1.m4s").body == BODY
    assert origin.connections == 1


def test_origin_that_breaks_off(lab):
    def serve(call):
        call.send(f"HTTP/1.1 200 OK\r\nContent-Length: {len(BODY)}\r\n\r\n")
        call.send(BODY[:1_000_000])
        call.close()
    _, weir = start(lab, serve)
    with HttpConnection(weir.http_port) as client:
        client.send("GET /live/a-1.m4s HTTP/1.1\r\nHost: x\r\n\r\n")
        client.read_head()
        assert client.closed() == BODY[:1_000_000]
    weir.wait_metric(1, "weir_session_ends_total", protocol="http", reason="origin_closed")


def test_origin_that_says_more_than_it_announced(lab):
    told = []

    def serve(call):
        call.answer(200, BODY[:100_000])
        call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong")
        told.append(call)
    _, weir = start(lab, serve)
    with HttpConnection(weir.http_port) as client:
        for number in range(3):
            assert client.get("/live/a-1.m4s").body == BODY[:100_000]
            poll("the origin's bytes came", lambda n=number: len(told) == n + 1)


def test_clients_that_leave_or_take_nothing(lab):
    _, weir = start(lab, lambda call: call.answer(200, BODY * 4), stall_timeout="1s")
    with HttpConnection(weir.http_port) as client:
        assert client.get("/live/a-1.m4s").status == 200
    weir.wait_metric(0, "weir_connections", protocol="http")
    before = weir.descriptors()
    clients = []
    for number in range(20):
        client = HttpConnection(weir.http_port, receive_buffer=20_000)
        client.send("GET /live/a-1.m4s HTTP/1.1\r\nHost: x\r\n\r\n")
        client.read_head()
        if number % 2:
            client.close()
        else:
            clients.append(client)
    weir.wait_metric(0, "weir_connections", 30, protocol="http")
    assert weir.metric("weir_session_ends_total", protocol="http", reason="stalled") >= 10
    poll("descriptors are back", lambda: weir.descriptors() <= before + 12, 20)
