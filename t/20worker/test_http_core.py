"""The server under all rooms of the HTTP worker: what pipelines and half-closed clients may do."""

import collections
import socket

from weirtest import HttpConnection, HttpOrigin, free_port
from weirtest.rtcorigin import RtcOrigin, RtcWeir, offer_sdp

GET = "GET %s HTTP/1.1\r\nHost: x\r\n\r\n"


class Unroutable:
    """An origin to which connect() fails at once."""

    ip = "255.255.255.255"
    rtmp_port = None

    def __init__(self):
        self.http_port = free_port()


def stack_kb(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmStk"))


def test_pipelines_cost_no_stack(lab):
    """Each answer made at once is followed by the next request: as a loop, not from below itself."""
    weir = lab.weir(origins=[Unroutable()], http=True,
                    config={"http": {"dial_attempts": 1}, "balance": {"max_fails": 1000},
                            "search": {"rate": 100000, "rate_per_address": 0}})
    pid, = weir.pids("http")
    before = stack_kb(pid)
    for path, status in (("/live/a.m4s", 502), ("/a", 404)):
        with HttpConnection(weir.http_port) as client:
            client.send(GET % path * 800)
            answers = collections.Counter(client.read_answer().status for _ in range(800))
            assert answers == {status: 800}
    assert stack_kb(pid) <= before + 64


def test_half_closed_clients_are_answered(lab):
    """What came before the FIN counts: one request, several, and one with a body."""
    origin = HttpOrigin(lab, lambda call: call.answer(200, call.path.encode()))
    weir = lab.weir(origins=[origin], http=True)
    with HttpConnection(weir.http_port) as client:
        client.send(GET % "/live/1.m4s" + GET % "/live/2.m4s" + "GET /live/part")
        client.sock.shutdown(socket.SHUT_WR)
        assert [client.read_answer().body for _ in range(2)] == [b"/live/1.m4s", b"/live/2.m4s"]
        assert client.closed() == b""
    rtc = RtcWeir(lab, [RtcOrigin(lab)])
    sdp = offer_sdp("u001", ("audio",))
    with HttpConnection(rtc.port) as client:
        client.send("POST /whep/live/cam HTTP/1.1\r\nHost: x\r\nContent-Type: application/sdp\r\n"
                    f"Content-Length: {len(sdp)}\r\n\r\n{sdp}")
        client.sock.shutdown(socket.SHUT_WR)
        assert client.read_answer().status == 201
