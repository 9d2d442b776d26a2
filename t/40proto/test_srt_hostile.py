"""SRT over a link that loses packets, and under floods from addresses that are not their senders'."""

import json
import os
import random
import socket
import struct
from concurrent.futures import ThreadPoolExecutor

from weirtest import poll
from weirtest.netns import Link
from weirtest.srt import Sink, Source, SrtOrigin, call, receive, srt_weir
from weirtest.srtwire import Raw, conclusion, handshake

LATE = {"latency": 2000, "tlpktdrop": True}


def test_loss(lab):
    """10 % of the packets are lost each way; both ends get everything, as they do without Weir."""
    link = Link(lab)
    link.lose(10)
    media = [struct.pack("!I", i) + os.urandom(1312) for i in range(1500)]
    tail = 50  # libsrt never sends a lost packet again if none comes after it
    origin = SrtOrigin(lab, media, ip=link.near, **LATE)
    weir = srt_weir(lab, [origin], ip=link.near)

    def run(port):
        name = f"live/{port}"
        with link.inside():
            publisher = call(port, f"#!::r={name},m=publish", host=link.near, **LATE)
            player = call(port, name, host=link.near, **LATE)
        source = Source(publisher, 8, count=len(media))
        whole = len(media) - tail
        assert receive(player, whole, words=tail) == b"".join(media[:whole])
        source.wait()
        got = origin.received[f"#!::r={name},m=publish"]
        poll("everything published", lambda: len(got) >= whole, 30)
        assert got[:whole] == source.sent[:whole]
        ends = origin.connections[f"#!::r={name},m=publish"].stats(), player.stats()
        assert [end.receive_drops for end in ends] == [0, 0]
        publisher.close()
        player.close()
        return [end.receive_loss for end in ends]

    with ThreadPoolExecutor(2) as pool:
        direct, through = pool.map(run, (origin.port, weir.srt_port))
    # As many were missed at first: what Weir joins is not lost as a whole, nothing is lost in it.
    assert all(50 < lost < 400 for lost in direct + through), (direct, through)


class Spoofer:
    """Sends UDP packets from addresses of 10.97.0.0/16, and counts what comes and goes by address."""

    def __init__(self, link, port, addresses):
        link.ip("route", "add", "10.97.0.0/16", "via", link.far, "dev", link.device)
        self.link = link
        self.port = port
        self.to = socket.inet_aton(link.near)
        rows = ",".join(addresses)
        counters = f"{{ type ipv4_addr; counter; elements = {{ {rows} }}; }}"
        link.nft("-f", "-", rules=f"""table ip count {{
            set asked {counters}
            set told {counters}
            chain out {{
                type filter hook output priority 0;
                udp dport {port} ip saddr @asked;
            }}
            chain in {{
                type filter hook prerouting priority 0;
                ip daddr @told;
            }}
        }}""")
        with link.inside():
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)

    def send(self, address, payload, port=5000):
        size = len(payload)
        self.socket.sendto(
            struct.pack("!BBHHHBBH4s4sHHHH", 0x45, 0, 28 + size, 0, 0, 64, 17, 0,
                        socket.inet_aton(address), self.to, port, self.port, 8 + size, 0) + payload,
            (self.link.near, 0))

    def counted(self, name):
        """Bytes by address, headers included."""
        for row in json.loads(self.link.nft("-j", "list", "set", "ip", "count", name))["nftables"]:
            if "set" in row:
                return {e["elem"]["val"]: e["elem"]["counter"]["bytes"] for e in row["set"]["elem"]}
        raise AssertionError("no such set")


def control(kind, destination, content=bytes(4)):
    return struct.pack("!HHIII", 0x8000 | kind, 0, 0, 0, destination) + content


def attacks(cookie, ids):
    """{name: a function that makes one packet}. `ids` are socket ids of sessions that go on."""
    number = random.getrandbits
    whole = conclusion(77, cookie, "live/a")

    def of_a_session():
        kind = random.choice((1, 2, 3, 5, 6, 7, None))  # 5: SHUTDOWN
        content = os.urandom(random.choice((4, 28, 400)))
        if kind is None:
            return struct.pack("!IIII", number(31), 0xE0000001, 0, random.choice(ids)) + content
        return control(kind, random.choice(ids), content)

    return {"induction": lambda: handshake(4, 1, number(30)),
            "too_old": lambda: handshake(4, -1, number(30), number(32)),
            "rendezvous": lambda: handshake(5, 0, number(30)),
            "conclusion": lambda: conclusion(number(30), number(32), f"live/{number(40)}"),
            "stolen_cookie": lambda: conclusion(77, cookie, f"live/{number(40)}"),
            "noise": lambda: os.urandom(number(10)),
            "short": lambda: whole[:random.randrange(len(whole))],
            "short_induction": lambda: handshake(4, 1, number(30))[:random.randrange(64)],
            "session": of_a_session}


ANSWERED = {"induction", "rendezvous"}  # all others are met with silence


def test_floods(lab):
    """Sessions feel nothing of 90,000 hostile packets, nobody gets more than he sent, nothing grows."""
    link = Link(lab)
    content = os.urandom(1316 * 1000)
    origin = SrtOrigin(lab, [content[i:i + 1316] for i in range(0, len(content), 1316)],
                       ip=link.near, asked=False, **LATE)
    weir = srt_weir(lab, [origin], ip=link.near)
    before = weir.descriptors()
    publish = "#!::r=live/a,m=publish"
    with link.inside():
        publisher = call(weir.srt_port, publish, host=link.near, **LATE)
        player = call(weir.srt_port, "live/b", host=link.near, **LATE)
        honest = Raw(weir.srt_port, link.near)
    source = Source(publisher, 8)
    sink = Sink(player)
    ids = [publisher.number, player.number] + [end.number for end in origin.connections.values()]
    makers = attacks(honest.cookie(77), ids)
    address_of = {kind: [f"10.97.{number * 8 + n // 250}.{n % 250 + 1}" for n in range(2000)]
                  for number, kind in enumerate(makers)}
    spoofer = Spoofer(link, weir.srt_port, [a for row in address_of.values() for a in row])

    def flood(rounds):
        for at in range(rounds):
            for kind, make in makers.items():
                own = kind == "session" and at % 2  # the address is right, the port is not
                spoofer.send(link.far if own else address_of[kind][at % 2000], make())
            if at % 100 == 0:
                honest.socket.send(os.urandom(65507))
        # It comes after all of them, unless the queue is full.
        poll("an honest answer", lambda: honest.ask(handshake(4, 1, 78), 0.5), 30)

    flood(2000)
    memory = weir.memory()
    flood(4000)
    flood(4000)
    assert weir.memory() - memory < 1 << 20
    asked, told = spoofer.counted("asked"), spoofer.counted("told")
    for kind, addresses in address_of.items():
        answered = sum(told[address] > 0 for address in addresses)
        assert all(told[address] <= asked[address] for address in addresses), kind
        assert (answered > 200) if kind in ANSWERED else (answered == 0), kind
    assert weir.metric("weir_sessions", protocol="srt") == 2
    assert weir.metric("weir_sessions", protocol="srt", state="handshaking") == 0
    assert weir.log().count("SRT caller refused") < 4000
    # Both sessions have gone on, bit by bit.
    source.stop()
    got = origin.received[publish]
    poll("all that was published", lambda: len(got) == len(source.sent), 30)
    assert got == source.sent
    sink.wait_for_more()
    sink.assert_piece_of(content)
    publisher.close()
    player.close()
    poll("nothing left", lambda: weir.metric("weir_sessions", protocol="srt") == 0, 20)
    poll("no descriptor more", lambda: weir.descriptors() <= before, 20)
