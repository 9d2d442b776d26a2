"""What of a handshake reaches the other end, and what callers do with it: key lengths, old origins, calls that
begin anew, and the order of what follows."""

import os
import signal
import struct

from weirtest import poll
from weirtest.srt import SrtOrigin, call, srt_weir
from weirtest.srtraw import RawOrigin
from weirtest.srtwire import Raw, conclusion, handshake, kind_of, shutdown

QUIET = {"balance": {"probe_interval": 0, "max_fails": 1000}}
SECRET = "0123456789abcdef"
CONCLUSION = 0xFFFFFFFF


def advertised(weir):
    return struct.unpack_from("!H", Raw(weir.srt_port).ask(handshake(4, 1, 99)), 20)[0]


def connected(raw, caller, name, sequence=7):
    """The origin's socket id, after a whole handshake and a first packet."""
    answer = raw.ask(conclusion(caller, raw.cookie(caller), name, sequence=sequence))
    assert kind_of(answer) == CONCLUSION
    origin_id = struct.unpack_from("!I", answer, 40)[0]
    raw.socket.send(data(origin_id, sequence))
    return origin_id


def data(to, number):
    return struct.pack("!IIII", number, 0xE0000001, 0, to) + b"x" * 100


def test_key_length_of_the_origin(lab):
    """A caller makes its key as long as without Weir; where origins differ it decides for itself."""
    origin = SrtOrigin(lab, passphrase=SECRET, pbkeylen=32)
    weir = srt_weir(lab, [origin, SrtOrigin(lab, passphrase=SECRET)], QUIET)  # it has no opinion
    poll("the origin's answer is known", lambda: advertised(weir) == 4, 20)
    for port in (origin.port, weir.srt_port):
        caller = call(port, "#!::r=live/a,m=publish", passphrase=SECRET)
        assert caller.get_int("pbkeylen") == 32
        caller.close()
    other = srt_weir(lab, [origin, SrtOrigin(lab, passphrase=SECRET, pbkeylen=24)], QUIET)
    caller = call(other.srt_port, "#!::r=live/a,m=publish", passphrase=SECRET, pbkeylen=16)
    assert caller.get_int("pbkeylen") == 16
    caller.close()


def test_origin_before_1_3_1(lab):
    """It answers to socket 0."""
    origin = RawOrigin(lab)
    origin.old = True
    weir = srt_weir(lab, [origin])
    raw = Raw(weir.srt_port)
    connected(raw, 7, "live/a")
    poll("the caller's packet", lambda: origin.data, 20)
    poll("probes", lambda: weir.metric("weir_probes_total", result="ok") >= 2, 20)
    assert weir.origins()[0]["state"] == "up"


def test_a_caller_begins_anew(lab):
    """The same port and socket id with a new first sequence number is a new session at once, whatever
    the old one had come to; the origin hears of the old one's end."""
    origin = RawOrigin(lab)
    weir = srt_weir(lab, [origin], QUIET)
    raw = Raw(weir.srt_port)
    first = connected(raw, 7, "#!::r=live/a,m=publish")
    repeated = raw.ask(conclusion(7, raw.cookie(7), "#!::r=live/a,m=publish"), 1)
    assert repeated is None or struct.unpack_from("!I", repeated, 40)[0] == first
    second = connected(raw, 7, "#!::r=live/a,m=publish", sequence=5000)
    assert second != first
    poll("the old one's end", lambda: first in origin.shut_downs, 20)
    poll("the new one's packet", lambda: any(p[:4] == struct.pack("!I", 5000)
                                             for _, p in origin.data), 20)
    assert second not in origin.shut_downs
    assert weir.metric("weir_session_ends_total", protocol="srt", reason="client_restarted") == 1
    origin.mode = "hold"
    raw.socket.send(conclusion(8, raw.cookie(8), "live/b"))
    poll("the origin's turn", lambda: any(caller == 8 for _, caller in origin.asked), 20)
    origin.mode = "ok"
    assert connected(raw, 8, "live/b", sequence=900)
    poll("two sessions", lambda: weir.metric("weir_sessions", protocol="srt", state="relaying") == 2)
    assert weir.metric("weir_sessions", protocol="srt", state="handshaking") == 0
    assert len([row for row in weir.api("sessions")["sessions"]]) == 2


def test_a_caller_begins_anew_at_another_worker(lab):
    """The handshake of its session was made by a worker that is gone; the session lives on at the next
    one, or waits for it, when the caller begins anew."""
    origin = RawOrigin(lab)
    weir = srt_weir(lab, [origin], QUIET)
    raw = Raw(weir.srt_port)
    first = connected(raw, 7, "#!::r=live/a,m=publish")
    poll("a packet at the origin", lambda: origin.data, 20)
    [worker] = weir.pids("srt")
    os.kill(worker, signal.SIGKILL)
    poll("the next worker", lambda: weir.pids("srt") not in ([], [worker]), 20)
    second = connected(raw, 7, "#!::r=live/a,m=publish", sequence=5000)
    assert second != first
    poll("the old one's end", lambda: first in origin.shut_downs, 20)
    assert second not in origin.shut_downs
    assert weir.metric("weir_session_ends_total", protocol="srt", reason="client_restarted") == 1


def test_nothing_overtakes(lab):
    """Data and the SHUTDOWN behind it, read by the worker in one go, leave in that order, both ways."""
    origin = RawOrigin(lab)
    weir = srt_weir(lab, [origin], QUIET)
    [worker] = weir.pids("srt")

    def batch(send, packets):
        os.kill(worker, signal.SIGSTOP)
        try:
            for packet in packets:
                send(packet)
        finally:
            os.kill(worker, signal.SIGCONT)

    raw = Raw(weir.srt_port)
    connected(raw, 7, "live/a")
    poll("a packet at the origin", lambda: origin.data, 20)
    upstream = origin.data[0][0]
    batch(lambda packet: origin.socket.sendto(packet, upstream),
          [data(7, n) for n in range(10, 30)] + [shutdown(7)])
    raw.socket.settimeout(20)
    got = [raw.socket.recv(2000) for _ in range(21)]
    assert [struct.unpack_from("!I", packet)[0] for packet in got] == [*range(10, 30), 0x80050000]

    order = []
    take = origin.take
    origin.take = lambda packet, peer: (order.append(struct.unpack_from("!I", packet)[0]),
                                        take(packet, peer))
    raw = Raw(weir.srt_port)
    origin_id = connected(raw, 8, "live/a")
    poll("the second session", lambda: len(origin.data) == 2, 20)
    batch(raw.socket.send, [data(origin_id, n) for n in range(10, 30)] + [shutdown(origin_id)])
    poll("the end of it", lambda: origin_id in origin.shut_downs, 20)
    assert order[-21:] == [*range(10, 30), 0x80050000]
