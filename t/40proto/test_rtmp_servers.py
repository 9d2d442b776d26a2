"""RTMP as clients know it from SRS and nginx-rtmp: odd transaction ids, names and orders of commands, a
second try after a refusal, and what happens when a client goes on to another stream."""

import struct
import subprocess

import pytest

from rtmp_helpers import (DEFAULT_VHOST, client, noise_tags, player, publisher, quiet, same_tags,
                          stream_key, stream_row, wait_end, wait_quiet)
from weirtest import Behaviour, RtmpError, amf0, flv, poll
from weirtest.players import Player
from weirtest.rtmp import COMMAND, SET_CHUNK_SIZE

# Answers connect with 1 whatever it was asked, answers every command, says onBWDone.
SRS = Behaviour(chunk_size=60000, connect_transaction=1, answers_all=True, bw_done=True,
                connect_info={"data": {"srs_sig": "SRS", "srs_server": "SRS/7.0.18"}})


def _origin(lab, kind, **options):
    """A real nginx-rtmp, or a fake that answers as SRS does."""
    if kind == "nginx":
        return lab.origin(wait_key=False, **options)
    return lab.fake_origin(SRS, media=noise_tags(9))


def _publishers(weir, name):
    row = stream_row(weir, stream_key(name))
    return row["publishers"] if row else 0


def _send_all(link, *commands):
    """[name, transaction, args…] in one write, as pipelining clients do."""
    link.send_raw(b"".join(link.out.encode(3, COMMAND, 0, 0, amf0.encode(*c)) for c in commands))


# ---- what Weir says by itself (C1, C2)

def test_answer_to_connect_is_one_chunk(lab):
    weir = lab.weir(origins=[lab.fake_origin()], config=quiet())
    link = client(weir)
    link.connect("live", wait=False)
    seen = []
    while not seen or seen[-1].type != COMMAND:
        seen.append(link.read_message())
    assert SET_CHUNK_SIZE in [m.type for m in seen[:-1]]
    assert len(seen[-1].fmts) == 1 and len(seen[-1].data) > 128


@pytest.mark.parametrize("size", [128, 300, 4096, 60000])
def test_chunk_size_is_the_origins_from_its_first_message_on(lab, size):
    media = noise_tags(12, size=9000, step=2)
    fake = lab.fake_origin(Behaviour(chunk_size=size), media=media)
    weir = lab.weir(origins=[fake], config=quiet())
    with player(weir, "a") as link:
        same_tags(media, link.read_media(12))
        assert link.reader.chunk_size == size


def test_no_command_without_its_information(lab):
    """An SRS edge looks into the fourth value of every command that comes after play."""
    behaviour = Behaviour(**{**SRS.__dict__, "answer_csid": 7})
    weir = lab.weir(origins=[lab.fake_origin(behaviour, media=noise_tags(9))], config=quiet())
    link = client(weir)
    link.connect("live")
    link.create_stream()
    link.command("play", 3, None, "a", stream_id=1, csid=8)
    names, media = [], 0
    while media < 9:
        message = link.read_message()
        media += message.type in (8, 9)
        command = message.command()
        if command:
            names.append(command[0])
            assert len(command) >= 4, command
    assert any(n.startswith("onWeirSync") for n in names), "the case was not met"


@pytest.mark.parametrize("tool", ["ffmpeg", "rtmpdump", "gst", "vlc"])
def test_players_take_the_no_op(lab, media, tool):
    behaviour = Behaviour(**{**SRS.__dict__, "answer_csid": 7})
    weir = lab.weir(origins=[lab.fake_origin(behaviour, media=flv.read(media))], config=quiet())
    url, out = weir.url("live/a"), lab.path(f"{tool}.out")
    if tool == "vlc":
        Player(lab, "vlc", url)
    else:
        lab.start({"ffmpeg": ["ffmpeg", "-nostdin", "-v", "error", "-i", url, "-f", "null", "-"],
                   "rtmpdump": ["rtmpdump", "-q", "--live", "-r", url, "-o", out],
                   "gst": ["gst-launch-1.0", "-q", "rtmp2src", f"location={url}", "!", "filesink",
                           f"location={out}"]}[tool], tool)
    poll("a player that reads on", lambda: weir.metric("weir_sessions", state="playing") == 1
         and weir.metric("weir_bytes_total", direction="to_client") > 60_000, 20)


# ---- transactions (C3, C4, C5) and message streams (C9)

@pytest.mark.parametrize("kind", ["nginx", "srs"])
@pytest.mark.parametrize("transaction", [0, 1, 2, 5])
def test_connect_with_any_transaction(lab, kind, transaction):
    origin = _origin(lab, kind)
    weir = lab.weir(origins=[origin], config=quiet(rtmp={"answer_timeout": "2s"}))
    link = client(weir)
    link.command("connect", transaction, {"app": "live", "tcUrl": weir.url("live")})
    assert link.wait_command("_result", transaction=transaction)[3]["code"].endswith("Success")
    link.publish("a", fmle=True)
    poll("a publisher", lambda: _publishers(weir, "a") == 1)


# releaseStream, FCPublish, createStream
IDS = [(2, 3, 4), (2, 2, 2), (0, 0, 0), (2, 3, 2), (4, 3, 4), (3, 2, 1), (0, 0, 1), (1, 1, 1)]


@pytest.mark.parametrize("kind", ["nginx", "srs"])
def test_commands_with_equal_transactions(lab, kind):
    origin = _origin(lab, kind)
    weir = lab.weir(origins=[origin], config=quiet(rtmp={"answer_timeout": "2s"}))
    for number, (release, fc_publish, create) in enumerate(IDS):
        for pipelined in (False, True):
            name = f"a{number}{pipelined}"
            link = client(weir)
            link.connect("live")
            commands = [["releaseStream", release, None, name], ["FCPublish", fc_publish, None, name],
                        ["createStream", create, None]]
            if pipelined:
                _send_all(link, *commands)
            results = []
            for command in commands:
                if not pipelined:
                    link.command(*command)
                results.append(link.wait_command("_result", transaction=command[1]))
            assert results[2][3] == 1, results
            link.stream_id = 1
            link.publish(name)
            poll("a publisher", lambda n=name: _publishers(weir, n) == 1)
            link.close()


@pytest.mark.parametrize("ids", [(1, 1), (1, 2), (5, 9)])
def test_second_message_stream(lab, ids):
    fake = lab.fake_origin(Behaviour(stream_ids=ids, stream_id=ids[1]), media=noise_tags(9))
    weir = lab.weir(origins=[fake], config=quiet())
    for role in ("publish", "play"):
        link = client(weir)
        link.connect("live")
        link.create_stream()
        told = link.create_stream()
        getattr(link, role)(f"{role}-a")
        session = fake.wait_session()
        if role == "publish":
            link.publish_tags(noise_tags(9))
            poll("the media", lambda s=session: len(s.tags) == 9)
            assert {m[1] for m in session.messages if m[0] in (8, 9)} == {ids[1]}
        else:
            while True:
                message = link.read_message()
                if message.type in (8, 9):
                    assert message.stream_id == told
                    break
        link.close()


# ---- names (C7, C8)

NAMES = [  # app, path of tcUrl, name, key, app and name as nginx must see them
    ("live", "live", "cam/", "live/cam", "live", "cam"),
    ("live", "live", "cam?user=mike/", "live/cam", "live", "cam?user=mike/"),
    ("live", "live", "cam\n", "live/cam", "live", "cam"),
    ("live", "live", "cam\r\n", "live/cam", "live", "cam"),
    ("live", "live", "cam\0", "live/cam", "live", "cam"),
    ("live", "live", " cam\t ", "live/cam", "live", "cam"),
    ("live", "live", "cam?token=1\n", "live/cam", "live", "cam?token=1"),
    ("live/cam", "live/cam", "", "live/cam", "live", "cam"),
    ("live/cam/", "live/cam/", "", "live/cam", "live", "cam"),
    ("live/cam?t=1", "live/cam?t=1", "", "live/cam", "live?t=1", "cam"),
    ("live?vhost=a.example.com/cam", "live?vhost=a.example.com/cam", "", "a.example.com/live/cam",
     "live?vhost=a.example.com", "cam"),
    ("", "", "cam", "__defaultApp__/cam", "", "cam"),
    ("live//", "live//", "cam", "live/cam", "live", "cam"),
    ("live", "other", "cam", "live/cam", "live", "cam"),
    ("live/_definst_", "live/_definst_", "cam", "live/cam", "live", "cam"),
]


@pytest.mark.parametrize("role", ["publish", "play"])
def test_names_are_what_the_servers_make_of_them(lab, role):
    """The books, and what the origin gets, name one stream; releaseStream and FCPublish too."""
    fake = lab.fake_origin(media=noise_tags(4))
    weir = lab.weir(origins=[fake], config=quiet())
    for number, (app, path, name, key, app_sent, name_sent) in enumerate(NAMES):
        key = key if key.count("/") == 2 else f"{DEFAULT_VHOST}/{key}"
        link = client(weir)
        link.connect(app, tc_url=f"rtmp://127.0.0.1/{path}")
        if role == "publish":
            link.publish(name, fmle=True)
            link.publish_tags(noise_tags(6))
        else:
            link.play(name)
            same_tags(fake.media, link.read_media(4))
        poll(f"{key} for {app!r} {name!r}", lambda k=key: (lambda r: r and r["publishers"]
             + r["players"] == 1)(stream_row(weir, k)))
        session = fake.wait_session(number)
        names = {c[3] for c in session.commands if c[0] in ("releaseStream", "FCPublish", role)}
        assert names == {name_sent}
        assert session.connect_object["app"] == app_sent
        if role == "publish":
            poll("the media", lambda s=session: len(s.tags) == 6)
            same_tags(noise_tags(6), session.tags)
        link.close()
        poll("the end", lambda k=key: stream_row(weir, k)["publishers"]
             + stream_row(weir, k)["players"] == 0)


def test_what_srs_would_read_otherwise(lab):
    """Another name in releaseStream or FCPublish, by which SRS goes; a slash in the name's query."""
    fake = lab.fake_origin(SRS)
    weir = lab.weir(origins=[fake], config=quiet())
    link = client(weir)
    link.connect("live?x=1")
    link.command("releaseStream", 52, None, "secret")
    link.command("FCPublish", 53, None, "live/secret")
    link.publish("public?y=/secret")
    session = fake.wait_session()
    assert [c[3] for c in session.commands if c[0] in ("releaseStream", "FCPublish", "publish")] == [
        "public?y=%2Fsecret"] * 3
    poll("the publisher", lambda: _publishers(weir, "public") == 1)
    link = client(weir)
    link.connect("live")
    link.create_stream()
    link.command("FCPublish", 53, None, "secret")
    with pytest.raises(RtmpError):
        link.play("public")


# ---- again after a refusal (C6)

@pytest.mark.parametrize("same_stream", [True, False])
def test_publish_again_after_a_refusal(lab, same_stream):
    origin = lab.origin(wait_key=False)
    weir = lab.weir(origins=[origin], config=quiet(rtmp={"linger_timeout": "300ms"}))
    first, second = publisher(weir, "a"), client(weir)
    second.connect("live")
    with pytest.raises(RtmpError) as refused:
        second.publish("a", fmle=True)
    assert refused.value.code == "NetStream.Publish.BadName"
    assert _publishers(weir, "a") == 1
    first.close()
    poll("the first is gone", lambda: _publishers(weir, "a") == 0)
    if not same_stream:
        second.command("FCUnpublish", 20, None, "a")
        second.command("deleteStream", 21, None, second.stream_id)
        second.create_stream()
    second.publish("a", fmle=same_stream)
    poll("the second publishes", lambda: _publishers(weir, "a") == 1)
    tags = noise_tags(60, step=20)
    second.publish_tags(tags, realtime=True)  # for longer than linger_timeout
    second.publish_tags(tags, base=1200)
    with player(weir, "a") as viewer:
        second.publish_tags(tags, base=2400)
        viewer.read_media(3)
    second.close()
    wait_quiet(weir)


# ---- another stream on the same connection (C10)

@pytest.mark.parametrize("kind", ["nginx", "srs"])
@pytest.mark.parametrize("pipelined", [False, True])
def test_publisher_that_goes_on_to_another_stream(lab, kind, pipelined):
    origin = _origin(lab, kind)
    weir = lab.weir(origins=[origin], config=quiet())
    link = publisher(weir, "one")
    link.publish_tags(noise_tags(9))
    poll("a publisher", lambda: _publishers(weir, "one") == 1)
    link.command("FCUnpublish", 11, None, "one")
    link.command("deleteStream", 12, None, link.stream_id)
    if pipelined:
        link.stream_id = 1
        link.command("createStream", 13, None)
        link.publish("two", wait=False)
    link.wait_closed(5)
    poll("no publisher", lambda: _publishers(weir, "one") == 0)
    wait_end(weir, "client_closed")
    assert _publishers(weir, "two") == 0
    with publisher(weir, "two"):
        poll("a publisher", lambda: _publishers(weir, "two") == 1)
    wait_quiet(weir)


@pytest.mark.parametrize("kind", ["nginx", "srs"])
@pytest.mark.parametrize("command", ["closeStream", "deleteStream", "play", "play2", "publish"])
def test_player_that_goes_on_to_another_stream(lab, kind, command):
    origin = _origin(lab, kind)
    weir = lab.weir(origins=[origin], config=quiet())
    link = player(weir, "one")
    poll("a player", lambda: stream_row(weir, stream_key("one"))["players"] == 1)
    link.command(command, 0, None, *(["two"] if command.startswith("p") else []), stream_id=1, csid=8)
    link.wait_closed(5)
    poll("no player", lambda: stream_row(weir, stream_key("one"))["players"] == 0)
    wait_end(weir, "client_closed")
    if kind == "srs":
        assert [c[3] for c in origin.sessions[-1].commands if c[0] in ("play", "publish")] == ["one"]


def test_player_may_pause_seek_and_play_again(lab):
    fake = lab.fake_origin(media=noise_tags(300, step=20))
    weir = lab.weir(origins=[fake], config=quiet())
    with player(weir, "one") as link:
        link.read_media(5)
        for name, value in (("pause", True), ("pause", False), ("seek", 0), ("receiveAudio", True)):
            link.command(name, 0, None, value, stream_id=1, csid=8)
        link.command("play", 0, None, "one", stream_id=1, csid=8)
        session = fake.wait_session()
        poll("the commands", lambda: len(session.commands) >= 8)
        link.read_media(5)
        assert weir.metric("weir_sessions", state="playing") == 1


@pytest.mark.parametrize("stream_id", [1, 5])
def test_commands_in_small_pieces_between_acknowledgements(lab, stream_id):
    """The watch on a player's words reads them in any splits, renumbered sessions too."""
    fake = lab.fake_origin(Behaviour(stream_id=stream_id), media=noise_tags(300, step=20))
    weir = lab.weir(origins=[fake], config=quiet())
    link = player(weir, "one")
    link.read_media(5)
    ack = link.out.encode(2, 3, 0, 0, struct.pack(">I", 1234))
    data = ack + link.out.encode(8, COMMAND, 1, 0, amf0.encode("closeStream", 0, None))
    for at in range(0, len(data), 5):
        link.send_raw(data[at:at + 5])
    link.wait_closed(5)
    wait_end(weir, "client_closed")


# ---- nginx-rtmp on the other side of Weir

def test_nginx_pulls_and_pushes_through_weir(lab, media):
    """A relay of nginx-rtmp pulls from Weir, another one pushes into it."""
    inner = lab.origin(wait_key=False)
    weir = lab.weir(origins=[inner], config=quiet())
    lab.publish(media, weir.url("live/a"))
    poll("the stream", lambda: _publishers(weir, "a") == 1, 15)
    pulling = lab.origin(wait_key=False, extra=f"pull {weir.url('live')};")
    pushing = lab.origin(wait_key=False, extra=f"push {weir.url('live')};")
    for url in (pulling.url("live/a"),):
        seen = subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-i", url, "-frames:v", "10", "-f",
                               "null", "-"], timeout=30, capture_output=True, text=True, check=False)
        assert seen.returncode == 0, seen.stderr
    lab.publish(media, pushing.url("live/b"))
    poll("the pushed stream", lambda: _publishers(weir, "b") == 1, 15)


def test_chunk_sizes_do_not_shrink(lab):
    """A client that mirrors each size it is told (ffmpeg) would shrink its chunks and enlarge them at
    once; nginx-rtmp loses bytes over that when both come in one read."""
    origin = lab.origin()
    weir = lab.weir(origins=[origin], config=quiet())
    links = []
    for role in ("publish", "play"):
        link = client(weir)
        links.append(link)
        link.connect("live")
        sizes, read = [link.reader.chunk_size], link._read_message

        def recorded(link=link, sizes=sizes, read=read):
            message = read()
            sizes.append(link.reader.chunk_size)
            return message
        link._read_message = recorded
        getattr(link, role)("a")
        assert sizes == [4096] * len(sizes), (role, sizes)
    for link in links:
        link.close()
