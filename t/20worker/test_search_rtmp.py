"""RTMP players of streams that nobody knows: an origin's no is not the last word. Bounds, faults."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from weirtest import Behaviour, free_port, poll
from weirtest.flv import AUDIO, VIDEO, Tag
from weirtest.load import publish_once
from weirtest.rtmp import RtmpClient, RtmpError

NOT_FOUND = "NetStream.Play.StreamNotFound"
# More than those get who wait for a publisher.
MEDIA = [Tag(VIDEO, 40 * n, b"\x17\x01\0\0\0" + bytes([n]) * 4000) for n in range(250)]


class Nowhere:
    """An endpoint where nobody listens."""

    ip = "127.0.0.1"
    http_port = None

    def __init__(self):
        self.rtmp_port = free_port()


def origin(lab, says, **more):
    return lab.fake_origin(Behaviour(plays={"": "not found", **says}, realtime=True, **more), media=MEDIA)


@pytest.fixture
def three(lab):
    """Streams s0, s1, s2 are each at one of three origins, which lack all others."""
    return [origin(lab, {f"s{n}": "media"}) for n in range(3)]


def play(weir, name, app="live", wait=True, **options):
    client = RtmpClient(port=weir.rtmp_port, **options)
    try:
        client.connect(app)
        client.play(name, wait=wait)
    except Exception:
        client.close()
        raise
    return client


def refusal(weir, name, **options):
    """The code that a player of it is refused with; "": closed without a word."""
    try:
        play(weir, name, **options).close()
    except RtmpError as error:
        return error.code or ""
    raise AssertionError(f"{name} plays")


def asked(origin, name):
    return sum(s.play_name is not None and s.play_name.partition("?")[0] == name for s in origin.sessions)


def places(weir):
    return {each["stream"]: (int(each["origin"].partition("-")[0]), each["source"]) for each in weir.streams()}


def searches(weir):
    return {result: int(weir.metric("weir_searches_total", result=result))
            for result in ("found", "none", "other", "waiting", "unknown")
            if weir.metric("weir_searches_total", result=result)}


def test_the_origin_that_has_it_is_found_and_remembered(lab, three):
    weir = lab.weir(origins=three)
    for number in range(3):
        name = f"s{number}"
        client = play(weir, name)
        assert all(tag.data[5:] == bytes([n]) * 4000 for n, tag in enumerate(client.read_media(8)))
        # The player knows of nothing that the others have said.
        assert [status["code"] for status in client.statuses] == ["NetStream.Play.Start"]
        session = next(s for s in three[number].sessions if s.play_name == name)
        assert [c[0] for c in session.commands] == ["connect", "createStream", "play"]
        # Those who come later go there at once.
        before = sum(asked(each, name) for each in three)
        play(weir, name).close()
        assert sum(asked(each, name) for each in three) == before + 1
        client.close()
    assert set(searches(weir)) <= {"found"}  # none where the first one that was asked has it
    assert {name: at for name, (at, _) in places(weir).items()} == {"s0": 0, "s1": 1, "s2": 2}
    # An honest no is no failure.
    assert weir.metric("weir_origin_dials_failed_total") == 0


def test_what_was_found_is_told(lab):
    """Each but perhaps the first one has less to do where it is asked first."""
    weir = lab.weir(origins=[origin(lab, {}), origin(lab, {}),
                             origin(lab, {f"z{number}": "media" for number in range(4)})])
    players = [play(weir, f"z{number}") for number in range(4)]
    for player in players:
        player.read_media(8)

    def told():
        found = searches(weir).get("found", 0)
        return found >= 2 and list(places(weir).values()).count((2, "searched")) == found
    poll("told", told)
    for player in players:
        player.close()


@pytest.mark.parametrize("no", ["not found", "reset", "close", "_error", "NetStream.Play.Failed", NOT_FOUND])
def test_what_is_a_no(lab, no):
    without = [lab.fake_origin(Behaviour(plays={"": no})) for _ in range(3)]
    weir = lab.weir(origins=[*without, origin(lab, {"cam": "media"})])
    for _ in range(3):
        client = play(weir, "cam")
        client.read_media(5)
        client.close()


def test_origins_differ(lab):
    """Message streams, chunk sizes, compressed headers, an SRS's own words: none of the origin before
    is left in what the player reads; what it has sent meanwhile reaches the one that serves it."""
    odd = [lab.fake_origin(Behaviour(plays={"": "not found"}, stream_id=5, compress="max", chunk_size=300)),
           lab.fake_origin(Behaviour(plays={"": "not found"}, stream_id=1, bw_done=True, answer_csid=8,
                                     chunk_size=60000))]
    good = lab.fake_origin(Behaviour(stream_id=1, chunk_size=1000, compress="max"), media=MEDIA)
    weir = lab.weir(origins=[*odd, good])
    for _ in range(3):
        client = play(weir, "cam?token=a")
        assert all(tag.data[5:] == bytes([n]) * 4000 for n, tag in enumerate(client.read_media(20)))
        client.close()
    assert all(s.play_name == "cam?token=a" for s in good.media_sessions())
    assert any(m[0] == 4 for m in good.media_sessions()[0].messages)  # SetBufferLength, behind play


def test_no_origin_has_it(lab, three):
    weir = lab.weir(origins=three)
    assert refusal(weir, "nobody") == NOT_FOUND
    assert [asked(each, "nobody") for each in three] == [1, 1, 1]
    # For a second that is remembered.
    for _ in range(5):
        assert refusal(weir, "nobody") == NOT_FOUND
    assert sum(asked(each, "nobody") for each in three) in (3, 6)  # 6: this took longer
    assert searches(weir)["none"] <= 2
    assert weir.metric("weir_search_negatives_total") >= 3
    # It is about these words; and who publishes it is let in, as are then its players.
    assert refusal(weir, "nobody?token=other") == NOT_FOUND
    publisher = publish_once(weir.rtmp_port, "nobody")
    poll("it is known", lambda: places(weir)["nobody"][1] == "published")
    for each in three:
        each.behaviour = Behaviour()
    play(weir, "nobody").close()
    publisher.close()


def test_the_last_ones_words_are_the_players(lab):
    """As with a single origin: also one that stays, and may be asked for it again."""
    three = [lab.fake_origin(Behaviour(plays={"": "NetStream.Play.Unauthorized"})) for _ in range(3)]
    weir = lab.weir(origins=three)
    client = RtmpClient(port=weir.rtmp_port)
    client.connect()
    with pytest.raises(RtmpError) as refused:
        client.play("cam")
    assert refused.value.code == "NetStream.Play.Unauthorized"
    client.command("play", 9, None, "cam", stream_id=client.stream_id, csid=8)
    with pytest.raises(RtmpError):
        client.wait_status()
    client.close()
    # What is none of "not here" is not remembered.
    assert refusal(weir, "cam") == "NetStream.Play.Unauthorized"
    assert [asked(each, "cam") for each in three] == [2, 2, 2]
    assert searches(weir) == {"other": 2}


def test_faults_are_not_the_last_word(lab):
    """An origin that is gone, breaks off, or talks nonsense: nobody knows, which is not remembered."""
    bad = [Nowhere(), lab.fake_origin(Behaviour(close_after="connect")),
           lab.fake_origin(Behaviour(half_handshake=True)), lab.fake_origin(Behaviour(garbage_after="connect")),
           lab.fake_origin(Behaviour(reject_connect="NetConnection.Connect.Rejected"))]
    weir = lab.weir(origins=[*bad, origin(lab, {"cam": "media"}), origin(lab, {})],
                    config={"balance": {"probe_interval": "60s"}})
    for _ in range(4):
        client = play(weir, "cam", timeout=20)
        client.read_media(5)
        client.close()
    assert refusal(weir, "nobody", timeout=20) is not None
    assert weir.metric("weir_search_negatives_total") == 0


def test_silence_and_promises_are_waited_for(lab):
    three = [lab.fake_origin(Behaviour(plays={"": "promise"})) for _ in range(3)]
    weir = lab.weir(origins=three, config={"search": {"timeout": "300ms"}})
    waiting = [play(weir, "later") for _ in range(3)]
    assert sorted(asked(each, "later") for each in three) == [0, 0, 3]
    for client in waiting:
        client.close()
    for each in three:
        each.behaviour = Behaviour(plays={"": "silence"})
    # Held no longer than a search takes; what the client is told then is the origin's.
    client = play(weir, "silent", wait=False)
    at = poll("asked", lambda: [each for each in three if asked(each, "silent")])
    assert len(at) == 1
    time.sleep(0.6)
    at[0].media_sessions()[-1]._status("NetStream.Play.Start")
    client.wait_status("NetStream.Play.Start")
    client.close()
    assert weir.metric("weir_search_players") == 0


def test_publishers_and_known_streams_are_not_searched(lab, three):
    weir = lab.weir(origins=three)
    publisher = publish_once(weir.rtmp_port, "cam")  # there, and nowhere else
    poll("the master knows", lambda: [row["source"] for row in weir.streams()] == ["published"])
    for _ in range(3):
        assert refusal(weir, "cam") == NOT_FOUND
    assert sorted(asked(each, "cam") for each in three) == [0, 0, 3]
    publisher.close()
    for each in three:
        each.behaviour = Behaviour(reject_publish="NetStream.Publish.BadName")
    with pytest.raises(RtmpError):
        publish_once(weir.rtmp_port, "new")
    assert sum(s.publish_name == "new" for each in three for s in each.sessions) == 1
    assert searches(weir) == {}


def test_off_is_as_before(lab, three):
    weir = lab.weir(origins=three, config={"search": {"enabled": False}})
    assert refusal(weir, "nobody") == NOT_FOUND
    assert refusal(weir, "nobody") == NOT_FOUND
    assert sorted(asked(each, "nobody") for each in three) == [0, 0, 2]


def test_a_flood_of_names(lab, three):
    rate, each_address = 10, 1000
    weir = lab.weir(origins=three,
                    config={"search": {"rate": rate, "rate_per_address": each_address, "timeout": "300ms"}})
    good = play(weir, "s1")
    began = time.monotonic()

    def ask(number):
        try:
            return refusal(weir, f"x{number}")
        except (RtmpError, OSError) as error:
            return repr(error)

    with ThreadPoolExecutor(16) as pool:
        said = set(pool.map(ask, range(300)))
    seconds = time.monotonic() - began
    assert said == {NOT_FOUND}
    for one in three:
        assert sum((s.play_name or "").startswith("x") for s in one.sessions) <= rate * (seconds + 1)
    assert weir.metric("weir_search_refused_total", limit="rate") > 0
    assert len(good.read_media(10)) == 10
    good.close()
    # By address.
    weir.stop()
    weir = lab.weir(origins=three, config={"search": {"rate_per_address": 2, "timeout": "100ms"}})
    said = [refusal(weir, f"y{number}") for number in range(10)]
    assert set(said) == {NOT_FOUND}
    assert sum(asked(each, f"y{n}") for each in three for n in range(10)) < 30
    assert weir.metric("weir_search_refused_total", limit="rate_per_address") > 0


def test_many_streams_at_once_are_no_flood(lab):
    """Who opens more than a second's share waits for its turn."""
    one = lab.fake_origin(Behaviour(), media=MEDIA)
    weir = lab.weir(origins=[one], config={"search": {"rate_per_address": 30, "rate": 40}})

    def visit(number):
        client = play(weir, f"s{number}")
        client.read_media(1)
        client.close()
    with ThreadPoolExecutor(60) as pool:
        list(pool.map(visit, range(60)))
    assert weir.metric("weir_search_refused_total") == 0
    assert weir.metric("weir_search_players") == 0
