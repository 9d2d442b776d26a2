"""SRT beside the other protocols: one stream, one origin; and links of one group at one origin."""

import struct

from rtmp_helpers import noise_tags, player, publisher
from weirtest import poll
from weirtest.srt import SrtOrigin, call, srt_weir
from weirtest.srtraw import RawOrigin, extensions_of
from weirtest.srtwire import Raw, conclusion, kind_of

GROUP = 8
QUIET = {"balance": {"probe_interval": 0, "max_fails": 1000}}


def test_one_origin_for_all_protocols(lab):
    """What is published by SRT is played by RTMP from the same of three origins, and the other way
    round; all of them count in one row."""
    by_srt = [SrtOrigin(lab) for _ in range(3)]
    by_rtmp = [lab.fake_origin(media=noise_tags(20)) for _ in range(3)]
    weir = srt_weir(lab, by_srt, {**QUIET, **{
        f"origin o{n}": {"ip": "127.0.0.1", "srt": srt.port, "rtmp": rtmp.rtmp_port}
        for n, (srt, rtmp) in enumerate(zip(by_srt, by_rtmp), 1)}})
    used = set()
    links = []
    for number in range(6):
        first, second = f"s{number}", f"r{number}"
        links.append(call(weir.srt_port, f"#!::r=live/{first},m=publish"))
        links.append(player(weir, first))
        links[-1].read_media(5)
        links.append(publisher(weir, second))
        links[-1].publish_tags(noise_tags(5))
        poll("the publisher is counted", lambda: row(weir, second)["publishers"] == 1)
        links.append(call(weir.srt_port, f"live/{second}"))
        for name, role in ((first, "play_name"), (second, "publish_name")):
            counted = poll("both are counted", lambda: row(weir, name)["players"] == 1
                           and row(weir, name)["publishers"] == 1 and row(weir, name))
            home = int(counted["origin_name"][1:]) - 1
            poll(f"{name} by SRT at its origin", lambda: any(
                f"live/{name}" in s for s in by_srt[home].stream_ids))
            assert [getattr(s, role) for s in by_rtmp[home].sessions].count(name) == 1
            used.add(home)
    assert len(used) == 3, "the test must see streams at every origin"
    for link in links:
        link.close()
    poll("nobody", lambda: all(r["publishers"] + r["players"] == 0 for r in weir.streams()), 20)


def row(weir, name):
    return next((r for r in weir.streams() if r["stream"] == name), {"publishers": 0, "players": 0})


def test_links_of_a_group(lab):
    """Both links of a bonded connection come to one origin, and their group extensions to the other
    end as they were."""
    origins = [RawOrigin(lab) for _ in range(3)]
    for origin in origins:
        origin.extensions = struct.pack("!HHII", GROUP, 2, 0x40000077, 0x01010000)
    weir = srt_weir(lab, origins, QUIET, workers=2)
    for number in range(6):
        group = struct.pack("!HHII", GROUP, 2, 0x40000000 + number, 0x01010000 + number)
        for link in range(2):
            raw = Raw(weir.srt_port)
            caller = 100 * (number + 1) + link
            request = conclusion(caller, raw.cookie(caller), f"#!::r=live/{number},m=publish")
            answer = raw.ask(request + group)
            assert kind_of(answer) == 0xFFFFFFFF
            assert extensions_of(answer)[GROUP] == struct.pack("!II", 0x40000077, 0x01010000)
            [(origin, seen)] = [(o, packet) for o in origins for (_, i), packet in o.asked.items()
                                if i == caller]
            assert seen[64:] == request[64:] + group
            homes = {o for o in origins for _, i in o.asked if i // 100 == number + 1}
            assert homes == {origin}, "the links of a group are at two origins"
    assert all(origin.asked for origin in origins)
