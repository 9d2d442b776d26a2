"""SRT players of streams that nobody knows, with libsrt's own listeners: one that rejects a stream id
because it lacks the stream is not the last one."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from weirtest import free_port, poll, srt
from weirtest.srt import SrtError, SrtOrigin, call, receive, srt_weir

MEDIA = [os.urandom(srt.MTU_PAYLOAD) for _ in range(20)]


def named(name, mode="request"):
    return f"#!::r=live/{name},m={mode}"


def has(*names, reason=srt.REJ_NOT_FOUND):
    """A listener's word on stream ids: those streams play, others are rejected for `reason`."""
    return lambda stream_id: 0 if "m=publish" in stream_id or any(
        f"live/{name}," in stream_id + "," for name in names) else reason


@pytest.fixture
def three(lab):
    return [SrtOrigin(lab, MEDIA, denies=has(f"s{number}")) for number in range(3)]


def refusal(weir, name, **options):
    with pytest.raises(SrtError) as refused:
        call(weir.srt_port, named(name), **options).close()
    return refused.value.reason


def asked(origin, name):
    return sum(f"live/{name}" in stream_id for stream_id in (*origin.denied, *origin.stream_ids))


def places(weir):
    return {each["stream"]: int(each["origin"].partition("-")[0]) for each in weir.streams()}


def test_the_origin_that_has_it_is_found(lab, three):
    weir = srt_weir(lab, three)
    for number, origin in enumerate(three):
        player = call(weir.srt_port, named(f"s{number}"))
        assert receive(player, len(MEDIA)) == b"".join(MEDIA)
        poll("it is known", lambda n=number: places(weir).get(f"s{n}") == n)
        other = call(weir.srt_port, named(f"s{number}"))
        poll("both are there", lambda o=origin, n=number: asked(o, f"s{n}") == 2)
        assert all(asked(each, f"s{number}") <= 1 for each in three if each is not origin)
        player.close()
        other.close()
    assert weir.metric("weir_dial_failures_total", protocol="srt") == 0
    # An honest no of all: the caller has its word, and those of a second Weir's.
    assert refusal(weir, "nobody") == srt.REJ_NOT_FOUND
    assert [asked(each, "nobody") for each in three] == [1, 1, 1]
    assert {refusal(weir, "nobody") for _ in range(3)} == {srt.REJ_NOT_FOUND}
    assert weir.metric("weir_search_negatives_total") >= 2
    assert weir.metric("weir_searches_total", result="none") >= 1
    # What is published is there and nowhere else.
    publisher = call(weir.srt_port, named("p", "publish"))
    poll("it is known", lambda: "p" in places(weir))
    assert refusal(weir, "p") == srt.REJ_NOT_FOUND
    poll("both calls", lambda: sum(asked(each, "p") for each in three) == 2)
    assert sum("live/p," in stream_id for each in three for stream_id in each.denied) == 1
    publisher.close()
    assert weir.metric("weir_search_players") == 0


def test_what_was_found_is_told(lab):
    """Each but perhaps the first one has less to do where it is asked first."""
    three = [SrtOrigin(lab, MEDIA, denies=has(*names)) for names in (["-"], ["-"], ["z0", "z1", "z2", "z3"])]
    weir = srt_weir(lab, three)
    players = [call(weir.srt_port, named(f"z{number}")) for number in range(4)]

    def told():
        found = int(weir.metric("weir_searches_total", result="found"))
        rows = [(each["origin"].partition("-")[0], each["source"]) for each in weir.streams()]
        return found >= 2 and rows.count(("2", "searched")) == found
    poll("told", told)
    for player in players:
        player.close()


def test_other_rejections(lab):
    """Without a reason: the next one is asked, nothing is remembered. A wrong passphrase, a caller who
    may not: at once the caller's."""
    for reason, everybody in ((-1, True), (1403, True), (1401, False), (1400, False)):
        three = [SrtOrigin(lab, denies=has(reason=reason)) for _ in range(3)]
        weir = srt_weir(lab, three, name=f"weir-{reason}")
        with pytest.raises(SrtError) as direct:
            call(three[0].port, named("direct"))
        for name in ("x", "y"):
            assert refusal(weir, name) == direct.value.reason
            assert sum(asked(each, name) for each in three) == (3 if everybody else 1), reason
        assert weir.metric("weir_search_negatives_total") == 0
        weir.stop()


def test_faults_bounds_and_off(lab, three):
    class Nowhere:
        rtmp_port = 1

        def __init__(self):
            self.port = free_port(udp=True)
    weir = srt_weir(lab, [Nowhere(), *three], {"balance": {"probe_interval": "60s"}})
    for _ in range(3):
        player = call(weir.srt_port, named("s1"))
        assert receive(player, len(MEDIA)) == b"".join(MEDIA)
        player.close()
    assert refusal(weir, "nobody") in (srt.REJ_NOT_FOUND, srt.REJ_GATEWAY)
    weir.stop()
    # Many at once wait for their turn; a flood is refused.
    weir = srt_weir(lab, three, {"search": {"rate_per_address": 1, "timeout": "300ms"}}, name="bounded")
    with ThreadPoolExecutor(20) as pool:
        said = list(pool.map(lambda number: refusal(weir, f"x{number}"), range(20)))
    assert set(said) == {srt.REJ_NOT_FOUND, srt.REJ_OVERLOAD}
    refused = weir.metric("weir_search_refused_total", limit="rate_per_address")
    assert refused == said.count(srt.REJ_OVERLOAD)
    assert weir.metric("weir_search_refused_total", limit="max_waiting") == 0
    weir.stop()
    weir = srt_weir(lab, three, {"search": {"enabled": False}}, name="off")
    assert refusal(weir, "off") == srt.REJ_NOT_FOUND
    assert sum(asked(each, "off") for each in three) == 1
