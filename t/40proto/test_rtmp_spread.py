"""30 streams over two and three nginx-rtmp origins, by each policy: fair shares, right places."""

import collections

import pytest

from rtmp_helpers import in_threads, origin_name, player, quiet, same_tags, stream_key, wait_quiet
from weirtest import RtmpClient, assert_same_media, flv, poll

STREAMS = 30
POLICIES = ["least_streams", "round_robin", "random", "hash"]


def _publish_all(lab, media, weir, names, processes=3):
    """ffmpeg with many outputs: `names` published at once, a few processes in all."""
    for number in range(processes):
        argv = ["ffmpeg", "-hide_banner", "-loglevel", "warning", "-nostdin", "-re", "-stream_loop",
                "-1", "-i", media]
        for name in names[number::processes]:
            argv += ["-map", "0", "-c", "copy", "-f", "flv", "-flvflags", "no_duration_filesize",
                     weir.url(f"live/{name}")]
        lab.start(argv, "ffmpeg-many")


def _places(origins, names):
    """{stream: number of its origin} as the origins themselves say."""
    found = {}
    for number, origin in enumerate(origins, 1):
        for name in origin.streams():
            assert name not in found, f"{name} is published twice"
            found[name] = number
    return found if set(found) == set(names) else None


def _assert_fair(policy, count, shares):
    assert sum(shares.values()) == STREAMS
    if policy in ("least_streams", "round_robin"):
        assert set(shares.values()) == {STREAMS // count}
    else:
        # Binomial(30, 1/count): each bound is missed by chance less than once in 10,000 runs.
        low, high = {2: (5, 25), 3: (2, 20)}[count]
        assert all(low <= shares[n] <= high for n in range(1, count + 1)), shares


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("count", [2, 3])
def test_30_streams(lab, media, policy, count):
    origins = [lab.origin(name=f"o{n}") for n in range(1, count + 1)]
    weir = lab.weir(origins=origins, workers=2, config=quiet(balance={"policy": policy}))
    names = [f"s{n}" for n in range(STREAMS)]
    _publish_all(lab, media, weir, names)
    places = poll("30 published streams", lambda: _places(origins, names), 30)
    _assert_fair(policy, count, collections.Counter(places.values()))
    for name in names:
        assert origin_name(weir, stream_key(name)) == f"o{places[name]}"
    rows = {row["name"]: row for row in weir.origins()}
    for number in range(1, count + 1):
        assert rows[f"o{number}"]["streams"] == list(places.values()).count(number)
        assert rows[f"o{number}"]["publishers"] == rows[f"o{number}"]["streams"]

    # Every player lands where its stream is, and sees it.
    published = set(flv.packets(media))

    def watch(name):
        link = player(weir, name, timeout=30)
        got = flv.packets(link.read_media(40))
        assert len(got) >= 30 and set(got) <= published
        return link
    links = in_threads([lambda n=n: watch(n) for n in names])
    for number, origin in enumerate(origins, 1):
        for name in origin.streams():
            assert places[name] == number and origin.players(name) == 1
    assert weir.metric("weir_route_lookups_total", result="hit") == STREAMS
    assert weir.metric("weir_route_lookups_total", result="miss") == STREAMS
    if policy == "least_streams":
        out = lab.play(weir.url("live/s7"), seconds=2)
        assert_same_media(media, out)
    for link in links:
        link.close()


def test_hash_is_the_same_in_every_weir(lab):
    """Two Weirs with the same origins send a stream to the same one, whatever came before."""
    fakes = [lab.fake_origin() for _ in range(3)]
    weirs = [lab.weir(origins=fakes, config=quiet(balance={"policy": "hash"})) for _ in range(2)]
    names = [f"n{n}" for n in range(20)]
    for weir, order in zip(weirs, (names, names[::-1])):
        for name in order:
            player(weir, name).close()
    chosen = [[origin_name(weir, stream_key(name)) for name in names] for weir in weirs]
    assert chosen[0] == chosen[1]
    assert len(set(chosen[0])) == 3


def test_weights(lab):
    fakes = [lab.fake_origin(), lab.fake_origin()]
    weir = lab.weir(origins=fakes, config=quiet(**{
        "balance": {"policy": "round_robin"},
        "origin o2": {"ip": fakes[1].ip, "rtmp": fakes[1].rtmp_port, "weight": 3}}))
    for number in range(20):
        player(weir, f"s{number}").close()
    assert [len(f.media_sessions()) for f in fakes] == [5, 15]


def test_players_before_the_publisher_meet_it(lab):
    """Players that come first and the publisher that follows end up at one origin."""
    origins = [lab.origin(name="a"), lab.origin(name="b")]
    weir = lab.weir(origins=origins, workers=2, config=quiet())
    media = flv.read(lab.media(seconds=2))
    for number in range(4):
        early = [RtmpClient("127.0.0.1", weir.rtmp_port) for _ in range(2)]
        for link in early:
            link.connect("live")
            link.play(f"s{number}", wait=False)
        poll("the players at their origin", lambda n=number: origin_name(weir, stream_key(f"s{n}")))
        source = RtmpClient("127.0.0.1", weir.rtmp_port)
        source.connect("live")
        source.publish(f"s{number}")
        source.publish_tags(media)
        key = next(i for i, t in enumerate(media) if t.is_key and t.packet())
        body = [t for t in media[key:] if t.packet()]  # nginx begins with a key frame
        for link in early:
            got = []
            while len(got) < 20:
                got += [t for t in link.read_media(1) if t.packet()]
            assert [t.data for t in got] == [t.data for t in body[:20]]
        source.close()
        for link in early:
            link.close()
    wait_quiet(weir)


def test_same_tags_helper_notices():
    """The comparison that these tests rest on sees a change of one byte, a loss and a swap."""
    tags = [flv.Tag(9, n, bytes([0x27, 1, 0, 0, 0, n])) for n in range(5)]
    same_tags(tags, tags)
    for wrong in (tags[:4], [tags[1], tags[0], *tags[2:]],
                  [flv.Tag(9, 0, b"\x27\1\0\0\0\x09"), *tags[1:]]):
        with pytest.raises(AssertionError):
            same_tags(tags, wrong)
