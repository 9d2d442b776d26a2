"""What one SRT caller does must not harm others: conclusions that origins dislike or die of, floods from one
address, and handshakes in a row beside a silent origin."""

import random
import struct

from weirtest import poll
from weirtest.srt import REJ_GATEWAY, call, srt_weir
from weirtest.srtlistener import ListenerProcess
from weirtest.srtraw import Crowd, RawOrigin
from weirtest.srtwire import HSREQ, Raw, conclusion, extension, handshake, kind_of, with_word

TOUCHY = {"balance": {"probe_interval": 0, "max_fails": 1}}
PUBLISH = "#!::r=live/a,m=publish"
SEQUENCE, MSS, WINDOW = 8, 12, 16
ROGUE = 1004


def test_silence_to_a_conclusion_is_the_callers(lab):
    """The origin has answered the induction: it is up, and no other one gets to hear the conclusion."""
    origins = [RawOrigin(lab) for _ in range(3)]
    for origin in origins:
        origin.mode = "hold"
    weir = srt_weir(lab, origins, {**TOUCHY, "srt": {"handshake_timeout": "1s"}})
    raw = Raw(weir.srt_port)
    for caller in range(5):
        answer = raw.ask(conclusion(100 + caller, raw.cookie(100 + caller), f"live/{caller}"))
        assert kind_of(answer) - 1000 == REJ_GATEWAY
    heard = [caller for origin in origins for _, caller in origin.asked]
    assert sorted(heard) == list(range(100, 105)), "each at one origin"
    assert all(row["state"] == "up" for row in weir.origins())
    assert weir.metric("weir_dial_retries_total", protocol="srt") == 0
    # What can be known to be wrong does not go on at all.
    good = conclusion(1, raw.cookie(1), PUBLISH)
    bad = [with_word(good, WINDOW, 0), with_word(good, WINDOW, 1 << 30),
           with_word(good, SEQUENCE, 0x7FFFFFFF), with_word(good, SEQUENCE, 0xFFFFFFFF),
           with_word(good, MSS, 76), with_word(good, MSS, 0), good + extension(5, "live/secret"),
           good + extension(7, "fec,cols:1000000"), good + extension(3, bytes(400)),
           good + extension(8, bytes(16)), good[:64]]
    for number, packet in enumerate(bad):
        caller = 200 + number
        packet = with_word(with_word(packet, 24, caller), 28, raw.cookie(caller))
        assert kind_of(raw.ask(packet)) == ROGUE, number
    assert sorted(heard) == sorted(caller for origin in origins for _, caller in origin.asked)
    for detail in ("mss 76, allowed", "window 0, allowed", "initial_sequence", "client=127.0.0.1"):
        assert detail in weir.log()


def test_a_dead_origin_takes_no_other_along(lab):
    """An origin that dies of a conclusion is the only one to see it."""
    origins = [RawOrigin(lab) for _ in range(3)]
    weir = srt_weir(lab, origins, TOUCHY)

    def die(origin, packet, peer):
        if len(packet) > 64 and kind_of(packet) == 0xFFFFFFFF:
            origin.asked[peer, 0] = packet
            origin.close()
        else:
            RawOrigin.take(origin, packet, peer)

    for origin in origins:
        origin.take = lambda packet, peer, origin=origin: die(origin, packet, peer)
    raw = Raw(weir.srt_port)
    assert kind_of(raw.ask(conclusion(1, raw.cookie(1), PUBLISH), 20)) - 1000 == REJ_GATEWAY
    assert sum(len(origin.asked) for origin in origins) == 1


def mutated(rng, number):
    """A conclusion, wrong in one to three ways that a parser may stumble over."""
    words = {SEQUENCE: number + 1, MSS: 1500, WINDOW: 8192}
    sizes = (0, 1, 2, 3, 4, 8, 12, 13, 14, 15, 16, 17, 26, 27, 40, 100, 128, 129, 200)
    blocks = [HSREQ, extension(5, f"#!::r=live/{number},m=publish")]
    flags = 7
    for _ in range(rng.randint(1, 3)):
        way = rng.randrange(5)
        if way == 0:
            words[rng.choice((SEQUENCE, MSS, WINDOW, WINDOW, MSS))] = rng.choice(
                (0, 1, 2, 31, 32, 33, 75, 76, 77, 110, 150, 335, 336, 340, 1500, 9000, 65535, 1 << 18,
                 1 << 24, 0x7FFFFFFE, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF))
        elif way == 1:
            kind = rng.choice((0, 1, 2, 3, 3, 4, 5, 6, 7, 8, 8, 9, 99, 0xFFFF))
            blocks.insert(rng.randint(0, len(blocks)), struct.pack("!HH", kind, size := rng.choice(sizes))
                          + rng.randbytes(4 * size))
        elif way == 2:
            key = bytearray(rng.randbytes(rng.choice((56, 64, 72, 104, 28, 20))))
            key[:6] = b"\x12\x20\x29" + bytes([rng.choice((1, 2, 3, 0))]) + bytes(2)
            key[12:16] = bytes([0, 0, rng.choice((0, 4, 255)), rng.choice((0, 4, 6, 8, 255))])
            blocks.append(struct.pack("!HH", 3, len(key) // 4) + key)
        elif way == 3:
            blocks.append(extension(rng.choice((6, 7)), rng.choice((
                "live", "file", "x" * 16, "fec", "fec,cols:1,rows:1", "fec,cols:512,rows:32",
                "fec,cols:5,rows:-5,layout:even", "fec,cols:2,rows:-512", "fec,rows:0,cols:0",
                "fec,cols:999999999", "fec,cols:-4", "fec,,", "none,a:b", "fec,cols:10,arq:never"))))
        else:
            flags = rng.choice((0, 1, 2, 3, 5, 6, 7, 0x4A17, 0xFFFF))
    return words, flags, blocks


def test_no_conclusion_kills_a_listener(lab):
    """Two real listeners, one with a passphrase, and a thousand conclusions that were tampered with."""
    rng = random.Random(8)
    for passphrase in ("", "0123456789abcdef"):
        listener = ListenerProcess(lab, passphrase)
        weir = srt_weir(lab, [listener], TOUCHY, name=f"weir-{passphrase}")
        raw = Raw(weir.srt_port)
        for number in range(500):
            words, flags, blocks = mutated(rng, number)
            caller = 1000 + number
            packet = handshake(5, -1, caller, raw.cookie(caller), flags, b"".join(blocks))
            for at, value in words.items():
                packet = with_word(packet, at, value)
            raw.socket.send(packet)
            assert listener.alive, (words, flags, blocks)
        options = {"passphrase": passphrase} if passphrase else {}
        call(weir.srt_port, PUBLISH, **options).close()
        assert listener.alive and weir.origins()[0]["state"] == "up"


def test_one_address_leaves_room(lab):
    origin = RawOrigin(lab)
    origin.mode = "hold"
    weir = srt_weir(lab, [origin], {"srt": {"max_half_open": 40, "handshake_timeout": "60s"}})
    greedy, other = Raw(weir.srt_port), Raw(weir.srt_port, bind="127.0.0.2")
    cookies = {caller: greedy.cookie(caller) for caller in range(1, 60)}
    for caller, cookie in cookies.items():
        greedy.socket.send(conclusion(caller, cookie, "live/x"))
    poll("its share", lambda: weir.metric("weir_sessions", protocol="srt", state="handshaking") == 10)
    assert kind_of(greedy.ask(conclusion(59, cookies[59], "live/x"))) == 2402
    assert "too many handshakes of its address" in weir.log()
    other.socket.send(conclusion(7, other.cookie(7), "live/x"))
    poll("the other one's turn", lambda: any(caller == 7 for _, caller in origin.asked), 20)
    origin.mode = "ok"
    poll("all are through", lambda: weir.metric("weir_sessions", protocol="srt",
                                                state="handshaking") == 0, 20)
    assert weir.metric("weir_sessions", protocol="srt", state="relaying") == 11


def test_handshakes_in_a_row_beside_a_silent_origin(lab):
    """The silent one's caller is told, and its handshake repeated, on time: no one else puts that off."""
    quick, silent = RawOrigin(lab), RawOrigin(lab)
    weir = srt_weir(lab, [quick, silent], {"balance": {"probe_interval": 0, "max_fails": 1000}})
    crowd = Crowd(weir.srt_port)
    crowd.connect(range(1, 21), "live/{}")
    homes = {row["stream"]: row["origin_name"] for row in weir.streams()}
    crowd.shut_down()
    at_quick = next(name for name, home in homes.items() if home == "o1")
    at_silent = next(name for name, home in homes.items() if home == "o2")
    silent.mode = "mute"
    for at in range(0, 200, 50):
        crowd.connect(range(1000 + at, 1050 + at), f"live/{at_quick}")
    asked = len(silent.inductions)
    raw = Raw(weir.srt_port)
    answer = raw.ask(conclusion(7, raw.cookie(7), f"live/{at_silent}"), 8)
    assert answer is not None and kind_of(answer) == 0xFFFFFFFF, "the other origin takes it"
    assert silent.inductions[asked:].count(7) >= 3
