"""Origins that refuse, fail, stall, renumber or compress: what the client sees of it."""

import pytest

from rtmp_helpers import (client, in_threads, noise_tags, origin_name, player, publisher,
                          quiet, same_bytes, same_tags, stream_key, wait_end, wait_quiet)
from weirtest import Behaviour, RtmpClient, RtmpError, free_port, poll


class _Dead:
    """An origin whose port nobody listens on."""

    def __init__(self):
        self.ip = "127.0.0.1"
        self.rtmp_port = free_port()


def _what_a_client_sees(port, role):
    """(code, level, description) of a refusal, "accepted", or how it ended without one."""
    with RtmpClient("127.0.0.1", port) as link:
        link.connect("live")
        link.create_stream()
        try:
            if role == "play":
                link.play("a")
            else:
                link.publish("a", fmle=True)
        except RtmpError as error:
            if error.code == "closed":
                return "closed", [s.get("code") for s in link.statuses]
            seen = error.code, error.info.get("level"), error.info.get("description")
            link.wait_closed(8)
            return seen
        try:
            link.wait_closed(1)
        except RtmpError:
            return "accepted"
        return "accepted, then closed"


# ---- refusals

@pytest.mark.parametrize("role, code", [("publish", "NetStream.Publish.BadName"),
                                        ("publish", "NetStream.Publish.Denied"),
                                        ("play", "NetStream.Play.StreamNotFound"),
                                        ("play", "NetStream.Play.Failed")])
def test_refusal_passes_in_the_origins_words(lab, role, code):
    refusal = Behaviour(**{"reject_" + role: code})
    fakes = [lab.fake_origin(refusal), lab.fake_origin(refusal)]
    weir = lab.weir(origins=fakes, config=quiet())
    direct = _what_a_client_sees(fakes[0].rtmp_port, role)
    assert direct == (code, "error", code)
    assert _what_a_client_sees(weir.rtmp_port, role) == direct
    # A player's stream that nobody knows may be at the other one.
    asked = 2 if role == "play" else 1
    assert sum(len(fake.media_sessions()) for fake in fakes) == 1 + asked
    wait_end(weir, "origin_closed")
    wait_quiet(weir)
    assert weir.metric("weir_sessions_started_total") == 0
    assert weir.metric("weir_dial_failures_total") == 0


@pytest.mark.parametrize("role", ["publish", "play"])
def test_rejected_connect_passes(lab, role):
    code = "NetConnection.Connect.Rejected"
    fake = lab.fake_origin(Behaviour(reject_connect=code))
    weir = lab.weir(origins=[fake], config=quiet())
    assert _what_a_client_sees(weir.rtmp_port, role) == (code, "error", "refused")
    wait_end(weir, "origin_closed")
    wait_quiet(weir)


@pytest.mark.parametrize("role", ["publish", "play"])
@pytest.mark.parametrize("reset", [False, True])
def test_close_without_a_word_after_publish_or_play(lab, role, reset):
    """The origin knows what is wanted and closes: so does Weir, and invents no reason. (Where others
    may have a player's stream: t/20worker/test_search_rtmp.py.)"""
    fakes = [lab.fake_origin(Behaviour(close_after="start", reset=reset)) for _ in range(2)]
    weir = lab.weir(origins=fakes, config=quiet(search={"enabled": False}))
    assert _what_a_client_sees(weir.rtmp_port, role) == ("closed", [])
    assert sum(len(f.media_sessions()) for f in fakes) == 1
    wait_end(weir, "origin_closed")
    wait_quiet(weir)


@pytest.mark.parametrize("option", ["deny_publish", "deny_play"])
def test_nginx_refusal(lab, option):
    origin = lab.origin(**{option: True})
    weir = lab.weir(origins=[origin], config=quiet())
    role = option.removeprefix("deny_")
    direct = _what_a_client_sees(origin.rtmp_port, role)
    assert direct == "accepted, then closed"  # that is nginx's way to say no
    assert _what_a_client_sees(weir.rtmp_port, role) == direct
    wait_quiet(weir)


# ---- what an origin makes of the client's own words is that client's outcome

SPOKEN = {
    "closes_after_handshake": Behaviour(close_after="handshake"),
    "resets_after_handshake": Behaviour(close_after="handshake", reset=True),
    "closes_after_connect": Behaviour(close_after="connect"),
    "closes_after_createStream": Behaviour(close_after="createStream"),
    "silent_after_connect": Behaviour(stall="connect"),
    "rejects_connect": Behaviour(reject_connect="NetConnection.Connect.Rejected"),
    "answers_nonsense": Behaviour(stream_id=0),
}


@pytest.mark.parametrize("role", ["publish", "play"])
def test_a_clients_refusal_is_not_the_origins_failure(lab, role):
    """Once an origin has shaken hands no other is asked, but for a stream that nobody knows, and
    nothing is held against it; the client gets its words, or Weir's."""
    fakes = [lab.fake_origin(), lab.fake_origin(media=noise_tags(9))]
    weir = lab.weir(origins=fakes, config=quiet(rtmp={"answer_timeout": "400ms"}, search={"enabled": False}))
    with publisher(weir, "good"):
        for name, behaviour in SPOKEN.items():
            for fake in fakes:
                fake.behaviour = behaviour
            before = sum(len(fake.sessions) for fake in fakes)
            for number in range(4):  # more than balance.max_fails
                with client(weir) as link:
                    link.connect("live")
                    with pytest.raises(RtmpError) as refused:
                        getattr(link, role)(f"{name}{number}")
                    codes = {"rejects_connect": "NetConnection.Connect.Rejected"}
                    usual = {"publish": "NetStream.Publish.Denied",
                             "play": "NetStream.Play.StreamNotFound"}[role]
                    assert refused.value.code == codes.get(name, usual), name
                    link.wait_closed(8)
            assert sum(len(fake.sessions) for fake in fakes) == before + 4, f"{name}: asked twice"
        assert weir.metric("weir_dial_failures_total") == 0
        assert weir.metric("weir_dial_retries_total") == 0
        assert {row["key"]: row["publishers"] for row in weir.streams()}[stream_key("good")] == 1
    wait_quiet(weir)


def test_a_handshake_that_stops_half_way_is_retried_but_not_held_against_the_origin(lab):
    half = lab.fake_origin(Behaviour(half_handshake=True))
    good = lab.fake_origin(media=noise_tags(9))
    weir = lab.weir(origins=[half, good], config=quiet(balance={"policy": "round_robin"}))
    for name in ("a", "b"):
        with player(weir, name) as link:
            link.read_media(3)
    assert "origin ejected" not in weir.log()
    assert weir.metric("weir_dial_retries_total") == 1


# ---- failures before the origin's word: another origin, and the client notices nothing

FAILURES = {
    "dead_port": None,
    "closes_at_once": Behaviour(drop_after_accept=True),
    "resets_at_once": Behaviour(drop_after_accept=True, reset=True),
    "silent": Behaviour(stall="accept"),
    "bad_version": Behaviour(bad_version=True),
}


@pytest.mark.parametrize("role", ["publish", "play"])
@pytest.mark.parametrize("failure", FAILURES)
def test_failed_origin_is_replaced(lab, failure, role):
    bad = lab.fake_origin(FAILURES[failure]) if FAILURES[failure] else _Dead()
    good = lab.fake_origin(media=noise_tags(9))
    weir = lab.weir(origins=[bad, good],
                    config=quiet(rtmp={"dial_timeout": "300ms"}, balance={"policy": "round_robin"}))
    for number in range(2):  # round robin: one of the two begins at the bad one
        name = f"s{number}"
        link = client(weir)
        link.keep_raw = True
        link.connect("live")
        if role == "play":
            link.play(name)
            same_tags(good.media, link.read_media(9))
        else:
            link.publish(name, fmle=True)
            link.publish_tags(noise_tags(9))
            session = good.wait_session(ready=lambda s: len(s.tags) == 9)
            same_bytes(session, link)
        assert [s["level"] for s in link.statuses] == ["status"]
        poll("the stream's origin", lambda n=name: origin_name(weir, stream_key(n)) == "o2")
        link.close()
    assert weir.metric("weir_dial_retries_total") == 1
    assert weir.metric("weir_session_ends_total", reason="no_origin") == 0
    wait_quiet(weir)


def test_dial_attempts_bound_the_search(lab):
    bad = [_Dead() for _ in range(5)]
    weir = lab.weir(origins=bad, config=quiet(rtmp={"dial_attempts": 2}))
    assert _what_a_client_sees(weir.rtmp_port, "publish")[0] == "NetStream.Publish.Denied"
    assert weir.metric("weir_dials_total") == 2
    wait_end(weir, "no_origin")


def test_player_does_not_leave_the_origin_that_has_its_stream(lab):
    """A published stream's player is not sent to an origin that can't have it."""
    fakes = [lab.fake_origin(media=noise_tags(9)), lab.fake_origin(media=noise_tags(9))]
    weir = lab.weir(origins=fakes, config=quiet(rtmp={"dial_timeout": "300ms"}))
    source = publisher(weir, "a")
    home = int(poll("home", lambda: origin_name(weir, stream_key("a")))[1]) - 1
    fakes[home].behaviour = Behaviour(stall="accept")
    assert _what_a_client_sees(weir.rtmp_port, "play")[0] == "NetStream.Play.StreamNotFound"
    assert not fakes[1 - home].media_sessions()
    fakes[home].behaviour = Behaviour()
    with player(weir, "a") as link:
        link.read_media(5)
    source.close()
    wait_quiet(weir)


def test_slow_origin_within_the_timeout_is_waited_for(lab):
    fake = lab.fake_origin(Behaviour(accept_delay=0.6), media=noise_tags(9))
    weir = lab.weir(origins=[fake], config=quiet(rtmp={"dial_timeout": "5s"}))
    with player(weir, "a") as link:
        same_tags(fake.media, link.read_media(9))
    assert weir.metric("weir_dial_failures_total") == 0


@pytest.mark.parametrize("point", ["handshake", "connect", "start"])
@pytest.mark.parametrize("role", ["publish", "play"])
def test_garbage_from_the_origin_ends_the_session_only(lab, point, role):
    fake = lab.fake_origin(Behaviour(garbage_after=point), media=noise_tags(9))
    weir = lab.weir(origins=[fake], config=quiet(rtmp={"answer_timeout": "1s", "dial_attempts": 1}))

    def visit():
        link = client(weir, timeout=3)
        try:
            link.connect("live")
            getattr(link, role)("a")
            link.read_media(1)
        except Exception as error:  # pylint: disable=broad-except
            # Whatever random bytes look like to this decoder; the point is what Weir does.
            del error
        link.close()
    in_threads([visit] * 4)
    wait_quiet(weir)
    fake.behaviour = Behaviour()
    with player(weir, "b") as link:
        same_tags(fake.media, link.read_media(9))
    assert "respawn" not in weir.log(), "the worker died of it"


# ---- stream ids and headers

@pytest.mark.parametrize("compress", ["full", "delta", "max"])
@pytest.mark.parametrize("stream_id", [1, 5, 0x01020304])
@pytest.mark.parametrize("csid_offset", [0, 70, 400])
def test_play_from_an_origin_that_renumbers_and_compresses(lab, compress, stream_id, csid_offset):
    media = noise_tags(60, step=5)
    fake = lab.fake_origin(Behaviour(stream_id=stream_id, compress=compress, chunk_size=300,
                                     csid_offset=csid_offset, late_chunk_size=700), media=media)
    weir = lab.weir(origins=[fake], config=quiet())
    link = client(weir)
    link.connect("live")
    link.play("a")
    told = link.stream_id
    got, ids = [], set()
    while len(got) < 60:
        link.within(10)
        message = link._read_message()
        if message.type in (8, 9):
            ids.add(message.stream_id)
            got.append(message)
    assert ids == {told}
    same_tags(media, got)
    link.close()
    wait_quiet(weir)


@pytest.mark.parametrize("compress", ["full", "delta", "max"])
@pytest.mark.parametrize("stream_id", [1, 5])
def test_publish_to_an_origin_that_renumbers(lab, compress, stream_id):
    fake = lab.fake_origin(Behaviour(stream_id=stream_id, compress=compress))
    weir = lab.weir(origins=[fake], config=quiet())
    link = client(weir)
    link.out.compress = compress
    link.connect("live")
    link.publish("a", fmle=True)
    tags = noise_tags(80)
    link.publish_tags(tags[:40])
    link.set_chunk_size(1000)
    link.publish_tags(tags[40:])
    session = fake.wait_session(ready=lambda s: len(s.tags) == 80)
    same_tags(tags, session.tags)
    assert {m[1] for m in session.messages if m[0] in (8, 9)} == {stream_id}
    if compress == "max":
        assert any(3 in m[4][:1] for m in session.messages), "nothing was compressed"
    link.command("FCUnpublish", 9, None, "a")
    link.command("deleteStream", 10, None, link.stream_id)
    poll("deleteStream", lambda: session.commands[-1][0] == "deleteStream")
    link.close()
    wait_quiet(weir)


@pytest.mark.parametrize("split", [1, 7, 1000])
def test_answers_in_small_pieces(lab, split):
    fake = lab.fake_origin(Behaviour(split=split, chunk_size=200, extra_messages=((6, b"\0\0\x10\0\2"),)),
                           media=noise_tags(15, size=100))
    weir = lab.weir(origins=[fake], config=quiet())
    with player(weir, "a") as link:
        same_tags(fake.media, link.read_media(15))
    with publisher(weir, "b") as link:
        link.publish_tags(fake.media)
        session = fake.wait_session(ready=lambda s: len(s.tags) == 15)
        same_tags(fake.media, session.tags)
    wait_quiet(weir)


def test_client_in_small_pieces(lab):
    fake = lab.fake_origin()
    weir = lab.weir(origins=[fake], config=quiet())
    link = client(weir, handshake=None)
    send = type(link).send_raw
    tags = noise_tags(6, size=100)

    def in_pieces(data):
        for at in range(0, len(data), 3):
            send(link, data[at:at + 3])
    link.handshake()
    link.send_raw = in_pieces
    link.connect("live")
    link.publish("a", fmle=True)
    link.publish_tags(tags)
    session = fake.wait_session(ready=lambda s: len(s.tags) == 6)
    same_tags(tags, session.tags)
    same_bytes(session, link)


@pytest.mark.parametrize("kind", ["simple", "digest"])
def test_handshakes_of_clients(lab, kind):
    """Simple and digest, both digest schemes; RtmpClient checks the server's answer."""
    fake = lab.fake_origin(media=noise_tags(9))
    weir = lab.weir(origins=[fake], config=quiet())
    with player(weir, "a", handshake=kind) as link:
        link.read_media(5)
    link = client(weir, handshake=None)
    link.handshake(kind, scheme=1)
    link.connect("live")
    link.play("a")
    link.read_media(5)
    link.close()


# ---- the client's address

@pytest.mark.parametrize("how", ["origin_block", "registered"])
def test_send_client_ip(lab, how):
    fake = lab.fake_origin(Behaviour(prefix=7), media=noise_tags(9))
    if how == "origin_block":
        weir = lab.weir(origins=[fake], config=quiet(**{"origin o1": {"ip": fake.ip, "rtmp":
                        fake.rtmp_port, "send_client_ip": True}}))
    else:
        weir = lab.weir(config=quiet(rtmp={"send_client_ip": True}),
                        start=False)
        weir.start(ready=False)
        poll("registration", lambda: _registered(weir, fake))
        weir.wait_ready()
    for source, octets in (("127.0.0.1", b"\x7f\0\0\1"), ("127.1.2.3", b"\x7f\1\2\3")):
        with player(weir, "a", source=source) as link:
            link.read_media(3)
        session = fake.wait_session()
        assert bytes(session.prefix) == b"\xf3\x00\x04" + octets
    wait_quiet(weir)


def _registered(weir, fake):
    try:
        return weir.register(fake, "vid-1")[0] == 200
    except OSError:
        return False


def test_no_client_ip_by_default(lab):
    fake = lab.fake_origin(media=noise_tags(9))
    weir = lab.weir(origins=[fake], config=quiet())
    with player(weir, "a") as link:
        link.read_media(3)
    assert fake.wait_session().raw[0] == 3
