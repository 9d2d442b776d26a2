"""SRT through Weir, with libsrt at both ends or packet by packet. Options and programs: test_srt_ends.py."""

import os
import signal
import socket
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from weirtest import poll
from weirtest import srt
from weirtest import free_port
from weirtest.srt import SrtError, SrtOrigin, arrived, call, receive, send_all, srt_weir
from weirtest.srtwire import Raw, conclusion, handshake, kind_of, shutdown


def chunks(seed, count=200, size=srt.MTU_PAYLOAD):
    return [bytes([seed]) * 4 + struct.pack("!I", i) + os.urandom(size - 8) for i in range(count)]


def sessions(weir):
    return weir.metric("weir_sessions", protocol="srt")


def refused(weir, stream_id, **options):
    with pytest.raises(SrtError) as error:
        call(weir.srt_port, stream_id, **options).close()
    return error.value.reason


def test_publish_and_play(lab):
    """Twenty publishers and twenty players of one UDP socket, three origins, two workers."""
    media = chunks(99)
    origins = [SrtOrigin(lab, media) for _ in range(3)]
    weir = srt_weir(lab, origins, workers=2)
    before = weir.descriptors()
    names = [f"live/s{i}" for i in range(20)]
    sent = {name: chunks(i) for i, name in enumerate(names)}
    publishers = {name: call(weir.srt_port, f"#!::r={name},m=publish") for name in names}
    threads = [threading.Thread(target=send_all, args=(publishers[n], sent[n], False))
               for n in names]
    for thread in threads:
        thread.start()
    rows = poll("twenty streams", lambda: len(weir.streams()) == 20 and weir.streams())
    assert all(row["publishers"] == 1 for row in rows), rows
    port = free_port(udp=True)
    players = {name: call(weir.srt_port, f"#!::r={name},m=request", bind=port) for name in names}
    with ThreadPoolExecutor(20) as pool:
        for got in pool.map(lambda player: receive(player, len(media)), players.values()):
            assert got == b"".join(media)
    for thread in threads:
        thread.join(30)
    for name in names:
        home = [o for o in origins if f"#!::r={name},m=publish" in o.stream_ids]
        assert len(home) == 1 and f"#!::r={name},m=request" in home[0].stream_ids, name
        got = home[0].received[f"#!::r={name},m=publish"]
        poll(f"all of {name}", lambda: arrived(got, sent[name], publishers[name]), 30)
    assert sum(1 for o in origins if o.stream_ids) > 1
    assert sessions(weir) == 40
    for each in [*players.values(), *publishers.values()]:
        each.close()
    poll("no session", lambda: sessions(weir) == 0, 20)
    poll("no descriptor more", lambda: weir.descriptors() <= before)
    assert weir.metric("weir_session_ends_total", protocol="srt", reason="client_closed") == 40
    assert all(row["publishers"] + row["players"] == 0 for row in weir.streams())


def test_stream_ids(lab):
    origin = SrtOrigin(lab, chunks(1, 20))
    weir = srt_weir(lab, [origin], {"srt": {"default_stream": "live/nobody"}})
    canonical = "#!::r=live/{},m=request"
    forms = {"#!::r=live/a,m=request": ("__defaultVhost__/live/a", None),
             "#!::h=vh.example.com,r=live/b,m=request,u=me,x=1": ("vh.example.com/live/b", None),
             "#!:{r=live/c,m=request}": ("__defaultVhost__/live/c", canonical.format("c")),
             "#!::h=vh.example.com/live/d,m=request":
                 ("vh.example.com/live/d", "#!::h=vh.example.com,r=live/d,m=request"),
             "app/e?token=a=b": ("__defaultVhost__/app/e", "#!::r=app/e,m=request,token=a=b"),
             "f": ("__defaultVhost__/live/f", canonical.format("f")),
             "read:g:me:pw": ("__defaultVhost__/live/g", canonical.format("g") + ",u=me,s=pw"),
             "": ("__defaultVhost__/live/nobody", canonical.format("nobody"))}
    for stream_id, (key, at_origin) in forms.items():
        player = call(weir.srt_port, stream_id)
        assert receive(player, 20) == b"".join(origin.media)
        assert origin.stream_ids[-1] == (at_origin or stream_id)
        player.close()
        assert f"stream={key} role=player" in weir.log(), key
    for publishing, at_origin in (("publish:h", "#!::r=live/h,m=publish"),
                                  ("uplive.host/h", "#!::h=host,r=live/h,m=publish"),
                                  ("h,mode:publish", "#!::r=live/h,m=publish")):
        call(weir.srt_port, publishing).close()
        poll("it came", lambda: origin.stream_ids[-1] == at_origin)
    for ambiguous in ("#!::r=live/public,m=publish,u=a=r=live/secret",
                      "#!::r=live/public,m=request,x=y=m=publish",
                      "#!::r=live/public,m=publish,u={a,r=live/secret}"):
        assert refused(weir, ambiguous) == srt.REJ_BAD_REQUEST
    weir.wait_log("ambiguous_stream_id")
    assert refused(weir, "#!::r=live/a,m=record") == srt.REJ_BAD_MODE
    assert refused(weir, "#!::m=request") == srt.REJ_BAD_REQUEST
    assert refused(weir, "#!nonsense") == srt.REJ_BAD_REQUEST
    weir.reload({"srt": {"enabled": True, "listen": f"127.0.0.1:{weir.srt_port}",
                         "refuse_unknown_streams": True},
                 "origin o1": {"ip": "127.0.0.1", "srt": origin.port}})
    assert refused(weir, "") == srt.REJ_BAD_REQUEST
    assert refused(weir, "live/unknown") == srt.REJ_NOT_FOUND
    publisher = call(weir.srt_port, "#!::r=live/known,m=publish")
    call(weir.srt_port, "live/known").close()
    publisher.close()
    weir.wait_log("SRT caller refused")


class Silent:
    """A bound UDP port that nobody reads."""

    def __init__(self, lab):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        lab.at_close(self.socket.close)


def test_dead_origin_stalls_nobody(lab):
    """One origin of three is silent: callers of the others don't notice, its own go elsewhere."""
    alive = [SrtOrigin(lab, chunks(1, 20)) for _ in range(2)]
    weir = srt_weir(lab, [Silent(lab), *alive],
                    {"srt": {"origin_timeout": "4s", "handshake_timeout": "20s"},
                     "balance": {"probe_interval": 0, "max_fails": 100}})
    took = {}

    def connect(name):
        begin = time.monotonic()
        player = call(weir.srt_port, name)
        took[name] = time.monotonic() - begin
        assert receive(player, 20)
        player.close()

    threads = [threading.Thread(target=connect, args=(f"live/{i}",)) for i in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(40)
    assert len(took) == 12
    print(sorted(took.values()))
    slow = [name for name, seconds in took.items() if seconds >= 4]
    failed = weir.metric("weir_dial_failures_total", protocol="srt", reason="timeout")
    assert failed == len(slow) and 0 < failed < 12, took
    poll("no session", lambda: sessions(weir) == 0, 20)


def test_no_origin_and_closed_ports(lab):
    closed = [type("Closed", (), {"port": free_port(udp=True)}) for _ in range(2)]
    weir = srt_weir(lab, closed, {"balance": {"probe_interval": 0, "max_fails": 100}})
    assert refused(weir, "live/a") == srt.REJ_GATEWAY  # both were tried
    assert weir.metric("weir_dial_failures_total", protocol="srt", reason="refused") == 2
    lonely = srt_weir(lab, [], {"origin o1": {"ip": "127.0.0.1", "rtmp": 1}})  # has no srt endpoint
    assert refused(lonely, "live/a") == srt.REJ_DOWN
    poll("nothing left", lambda: sessions(weir) == 0)


# ---- by hand, packet by packet

def test_handshakes_by_hand(lab):
    origin = SrtOrigin(lab)
    weir = srt_weir(lab, [origin], workers=2)
    raw = Raw(weir.srt_port)
    cookie = raw.cookie(77)
    assert raw.cookie(77) == cookie != raw.cookie(78)
    assert kind_of(raw.ask(conclusion(77, cookie, "live/a", version=4))) == 1008
    assert kind_of(raw.ask(handshake(5, 0, 79))) == 2501  # rendezvous
    answer_of_another = handshake(5, 1, 77, cookie, 0x4A17)
    looping = answer_of_another[:12] + struct.pack("!I", 77) + answer_of_another[16:]
    for silent in (conclusion(77, cookie ^ 1, "live/a"), conclusion(78, cookie, "live/a"),
                   looping, b"", b"\x80", b"\x80\x00", os.urandom(400), b"\0" * 1316,
                   conclusion(77, cookie, "live/a")[:-3]):
        assert raw.ask(silent, 0.2) is None
    assert sessions(weir) == 0 and not origin.stream_ids
    # The same question twice: the same answer, and one session.
    first = raw.ask(conclusion(77, cookie, "live/a"))
    again = raw.ask(conclusion(77, cookie, "live/a"))
    assert kind_of(first) == 0xFFFFFFFF and first[16:] == again[16:]
    assert struct.unpack_from("!I", first, 44)[0] == cookie
    poll("one session", lambda: weir.metric("weir_sessions", protocol="srt",
                                            state="relaying") == 1)
    assert weir.metric("weir_srt_handshakes_total", result="established") == 1
    poll("the origin's word", lambda: origin.stream_ids == ["#!::r=live/a,m=request"])
    # SHUTDOWN reaches the origin and ends the session.
    origin_id = struct.unpack_from("!I", first, 40)[0]
    raw.socket.send(shutdown(origin_id))
    poll("no session", lambda: weir.metric("weir_sessions", protocol="srt", state="relaying") == 0)
    for thread in origin.threads:
        thread.join(20)
    assert weir.metric("weir_srt_handshakes_total", result="bad_cookie") == 2


def test_repeated_conclusion_after_a_crash(lab):
    """The origin's yes was lost on the way to the caller, and its worker died: the next one says it
    again, and it is still one session."""
    origin = SrtOrigin(lab)
    weir = srt_weir(lab, [origin])
    raw = Raw(weir.srt_port)
    asked = conclusion(77, raw.cookie(77), "live/a")
    first = raw.ask(asked)
    assert kind_of(first) == 0xFFFFFFFF
    for _ in range(2):
        worker, = weir.pids("srt")
        os.kill(worker, signal.SIGKILL)
        poll("another worker", lambda w=worker: weir.pids("srt") not in ([], [w]))
        again = raw.ask(asked, 20)
        assert again is not None and again[16:64] == first[16:64]
    origin_id = struct.unpack_from("!I", first, 40)[0]
    raw.socket.send(struct.pack("!HHIII", 0x8000 + 1, 0, 0, 0, origin_id) + bytes(4))  # keep-alive
    poll("no more answers: the caller knows", lambda: raw.ask(asked, 0.3) is None)
    assert len(origin.stream_ids) == 1
    assert weir.metric("weir_sessions", protocol="srt", state="relaying") == 1


class SameId:
    """An origin that gives every connection the same socket id, and sends data back."""
    ID = 0x22222222

    def __init__(self, lab):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.destinations = set()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        lab.at_close(self.close)

    def _run(self):
        while True:
            packet, peer = self.socket.recvfrom(2000)
            if not packet:
                return
            if packet[0] & 0x80 == 0:
                self.socket.sendto(packet + struct.pack("!H", self.port), peer)
            elif packet[:2] == b"\x80\0":
                version, _, _, sequence, _, _, kind, caller = struct.unpack_from("!IHHIIIII", packet, 16)
                first = version == 4 and kind == 1
                if not first:
                    self.destinations.add(struct.unpack_from("!I", packet, 12)[0])
                answer = handshake(5, 1 if first else -1, caller if first else self.ID, 99,
                                   0x4A17 if first else 0, sequence=sequence)
                self.socket.sendto(answer[:12] + struct.pack("!I", caller) + answer[16:], peer)

    def close(self):
        self.socket.sendto(b"", ("127.0.0.1", self.port))
        self.thread.join()
        self.socket.close()


def test_origins_that_choose_the_same_id(lab):
    """Connections are told apart by the client's address as well. A conclusion may name the id of
    the induction's answer, as the document says, or 0, as libsrt does."""
    origins = [SameId(lab), SameId(lab)]
    weir = srt_weir(lab, origins)
    clients = [Raw(weir.srt_port) for _ in origins]
    for number, raw in enumerate(clients):
        asked = conclusion(7, raw.cookie(7), f"live/{number}")  # the same id, even the same caller's
        if number == 0:
            asked = asked[:12] + struct.pack("!I", 7) + asked[16:]
        answer = raw.ask(asked)
        assert kind_of(answer) == 0xFFFFFFFF
        assert struct.unpack_from("!I", answer, 40)[0] == SameId.ID
    heard = []
    for raw in clients:
        data = struct.pack("!IIII", 5, 0xC0000001, 0, SameId.ID) + b"x" * 40
        raw.socket.send(data)
        packet = raw.socket.recv(2000)
        assert packet[:-2] == data
        heard.append(struct.unpack("!H", packet[-2:])[0])
    assert sorted(heard) == sorted(origin.port for origin in origins)
    assert all(origin.destinations == {0} for origin in origins)
    assert weir.metric("weir_sessions", protocol="srt", state="relaying") == 2


def test_idle_and_overload(lab):
    """A thousand that vanish without SHUTDOWN are forgotten; handshakes under way are bounded."""
    origin = SrtOrigin(lab)
    weir = srt_weir(lab, [origin], {"srt": {"idle_timeout": "10s"}})
    before = weir.descriptors()
    raw = Raw(weir.srt_port)
    for number in range(1000):
        caller = 100 + number
        answer = raw.ask(conclusion(caller, raw.cookie(caller), f"live/{number}"))
        assert kind_of(answer) == 0xFFFFFFFF
    narrow = srt_weir(lab, [Silent(lab)], {"srt": {"max_half_open": 3, "origin_timeout": "20s",
                                                   "handshake_timeout": "20s"}})
    other = Raw(narrow.srt_port)
    for number in range(3):
        assert other.ask(conclusion(1 + number, other.cookie(1 + number), "live/x"), 0.2) is None
    poll("three", lambda: narrow.metric("weir_sessions", protocol="srt", state="handshaking") == 3)
    assert kind_of(other.ask(conclusion(9, other.cookie(9), "live/x"))) == 2402
    poll("no session", lambda: sessions(weir) == 0, 40)
    poll("no descriptor more", lambda: weir.descriptors() <= before)
    # libsrt closes a few of so many by itself.
    assert weir.metric("weir_session_ends_total", protocol="srt") == 1000
    assert weir.metric("weir_session_ends_total", protocol="srt", reason="client_silent") > 900


def test_probes_by_induction(lab):
    """An origin that has SRT alone is ejected when its port falls silent, and comes back."""
    port = free_port(udp=True)
    first = SrtOrigin(lab, port=port)
    weir = srt_weir(lab, [first])
    poll("a probe", lambda: weir.metric("weir_probes_total", result="ok") >= 2, 20)
    assert not first.stream_ids and weir.origins()[0]["state"] == "up"
    first.close()
    poll("ejected", lambda: weir.origins()[0]["state"] != "up", 30)
    SrtOrigin(lab, port=port)
    poll("back", lambda: weir.origins()[0]["state"] == "up", 30)
