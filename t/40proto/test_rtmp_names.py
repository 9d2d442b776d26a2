"""Vhost and token forms: the key that Weir makes of them, and what the origin sees of them."""

import re

import pytest

from rtmp_helpers import (DEFAULT_VHOST, RecordingClient, client, in_threads, noise_tags,
                          player, quiet, same_bytes, same_tags, stream_row, wait_quiet)
from weirtest import poll

# app, tcUrl ({h}: Weir's host and port), stream, key
FORMS = [
    ("live", "rtmp://{h}/live", "s", f"{DEFAULT_VHOST}/live/s"),
    ("live", "rtmp://{h}/live?vhost=a.example.com", "s", "a.example.com/live/s"),
    ("live", "rtmp://{h}/live?vhost=a.example.com&token=T%2F1", "s", "a.example.com/live/s"),
    ("live?vhost=a.example.com&token=x%20y", "rtmp://{h}/live?vhost=a.example.com&token=x%20y", "s",
     "a.example.com/live/s"),
    ("live?token=1", "rtmp://{h}/live?token=1", "s", f"{DEFAULT_VHOST}/live/s"),
    ("live", "rtmp://{h}/live", "s?token=abc&expire=1", f"{DEFAULT_VHOST}/live/s"),
    ("live", "rtmp://{h}/live", "s?vhost=b.example.com&token=1", "b.example.com/live/s"),
    ("live", "rtmp://{h}/live?domain=c.example.com", "s", "c.example.com/live/s"),
    ("live", "rtmp://media.example.org/live", "s", "media.example.org/live/s"),
    ("live", "rtmp://media.example.org:1935/live", "s", "media.example.org/live/s"),
    ("live", "rtmp://MEDIA.example.org/live", "s", "media.example.org/live/s"),
    ("live", "rtmp://localhost/live", "s", f"{DEFAULT_VHOST}/live/s"),
    ("live", "rtmp://[::1]:1935/live", "s", f"{DEFAULT_VHOST}/live/s"),
    ("a/b/c", "rtmp://{h}/a/b/c", "s", f"{DEFAULT_VHOST}/a/b/c/s"),
    ("a", "rtmp://{h}/a", "b/c/s", f"{DEFAULT_VHOST}/a/b/c/s"),
    ("a/b?token=1", "rtmp://{h}/a/b?token=1", "c?d=/e/f", f"{DEFAULT_VHOST}/a/b/c"),
]


@pytest.mark.parametrize("role", ["publish", "play"])
def test_forms(lab, role):
    """Each form's key is right, and the origin gets the client's very bytes."""
    fake = lab.fake_origin(media=noise_tags(4))
    weir = lab.weir(origins=[fake], config=quiet())
    for number, (app, tc_url, stream, key) in enumerate(FORMS):
        tc_url = tc_url.replace("{h}", f"127.0.0.1:{weir.rtmp_port}")
        link = client(weir)
        link.connect(app, tc_url=tc_url)
        if role == "publish":
            link.publish(stream, fmle=True)
        else:
            link.play(stream)
        row = poll(f"{key} of {app!r} {tc_url!r} {stream!r} in {[r['key'] for r in weir.streams()]}",
                   lambda k=key: (lambda r: r and r["publishers"] + r["players"] == 1 and r)
                   (stream_row(weir, k)), 3)
        assert row["origin_name"] == "o1"
        session = fake.wait_session(number)
        assert session.connect_object["app"] == app
        assert session.connect_object["tcUrl"] == tc_url
        assert (session.publish_name or session.play_name) == stream
        same_bytes(session, link)
        link.close()
        poll("the end", lambda k=key: stream_row(weir, k)["publishers"]
             + stream_row(weir, k)["players"] == 0)


def test_same_stream_in_all_its_forms_goes_to_one_origin(lab):
    fakes = [lab.fake_origin(media=noise_tags(4)) for _ in range(3)]
    weir = lab.weir(origins=fakes, config=quiet(balance={"policy": "round_robin"}))
    forms = [("live", "rtmp://{h}/live?vhost=v.example.com", "s"),
             ("live?vhost=v.example.com", "rtmp://{h}/live?vhost=v.example.com", "s?token=2"),
             ("live", "rtmp://v.example.com:1935/live", "s"), ("live", "rtmp://V.example.com/live", "s"),
             ("live", "rtmp://{h}/live", "s?vhost=v.example.com")]
    for app, tc_url, stream in forms:
        with client(weir) as link:
            link.connect(app, tc_url=tc_url.replace("{h}", f"127.0.0.1:{weir.rtmp_port}"))
            link.play(stream)
            link.read_media(2)
    assert sorted(len(f.media_sessions()) for f in fakes) == [0, 0, 5]
    assert [row["key"] for row in weir.streams()] == ["v.example.com/live/s"]


def test_vhosts_are_different_streams(lab):
    fakes = [lab.fake_origin(media=noise_tags(4)) for _ in range(2)]
    weir = lab.weir(origins=fakes, config=quiet())
    for number in range(4):
        with client(weir) as link:
            link.connect("live", tc_url=f"rtmp://v{number}.example.com/live")
            link.play("s")
            link.read_media(2)
    assert [len(f.media_sessions()) for f in fakes] == [2, 2]
    assert len(weir.streams()) == 4


def test_ipv6(lab):
    """Weir listens on [::1], so does the origin; ffmpeg publishes and plays by that host."""
    fake = lab.fake_origin(media=noise_tags(9), ip="::1")
    weir = lab.weir(start=False)
    weir.rewrite({**quiet(), "rtmp": {"listen": f"[::1]:{weir.rtmp_port}"},
                  "origin o1": {"ip": "::1", "rtmp": fake.rtmp_port}})
    weir.start()
    link = RecordingClient("::1", weir.rtmp_port)
    link.connect("live")
    link.play("s?token=1")
    same_tags(fake.media, link.read_media(9))
    session = fake.wait_session()
    assert session.connect_object["tcUrl"] == f"rtmp://[::1]:{weir.rtmp_port}/live"
    same_bytes(session, link)
    assert [row["key"] for row in weir.streams()] == [f"{DEFAULT_VHOST}/live/s"]
    assert "client=[::1]:" in weir.log() or 'client="[::1]:' in weir.log()
    link.close()
    wait_quiet(weir)


def _commands(session, port):
    """The commands that an origin got, with the port of the server masked."""
    text = repr([c for c in session.commands if c[0] in (
        "connect", "releaseStream", "FCPublish", "createStream", "publish", "play", "_checkbw",
        "getStreamLength", "FCSubscribe")])
    return re.sub(rf"\b{port}\b", "PORT", text)


REAL = [
    ("ffmpeg", "publish", "a/b/c?token=x%20y&k=/z"),
    ("ffmpeg", "publish", "live/s?vhost=v.example.com"),
    ("ffmpeg", "play", "live/s?token=1&vhost=v.example.com"),
    ("rtmpdump", "play", "live/s?token=1"),
    ("gst", "publish", "live/s?token=1"),
    ("gst", "play", "live/s?token=1&k=v"),
]


@pytest.mark.parametrize("tool, role, path", REAL)
def test_real_clients_reach_the_origin_as_if_directly(lab, media, tool, role, path):
    """Without and with Weir between, the origin hears the same commands, queries and all."""
    fake = lab.fake_origin()
    weir = lab.weir(origins=[fake], config=quiet())
    heard = []
    for port in (fake.rtmp_port, weir.rtmp_port):
        url = f"rtmp://127.0.0.1:{port}/{path}"
        if tool == "ffmpeg":
            argv = (["ffmpeg", "-nostdin", "-re", "-i", media, "-c", "copy", "-f", "flv", url]
                    if role == "publish" else ["ffmpeg", "-nostdin", "-i", url, "-f", "null", "-"])
            process = lab.start(argv, "ffmpeg")
        elif tool == "rtmpdump":
            process = lab.start(["rtmpdump", "--live", "-r", url, "-o", lab.path("out.flv")])
        elif role == "publish":
            process = lab.gst_publish(media, url)
        else:
            process = lab.start(["gst-launch-1.0", "-q", "rtmp2src", f"location={url}", "!",
                                 "fakesink"], "gst-play")
        session = fake.wait_session(len(heard), timeout=15)
        if role == "publish":
            poll("media", lambda s=session: s.tags)
        heard.append(_commands(session, port))
        process.kill()
    assert "token=" in heard[0] or "vhost=" in heard[0]
    assert heard[0] == heard[1]


def test_queries_reach_nginx(lab, media):
    notify = lab.notify()
    origin = lab.origin(notify=notify)
    weir = lab.weir(origins=[origin], config=quiet())
    lab.publish(media, weir.url("live/s?token=t1&user=u%2F1"))
    call = notify.wait("publish", name="s")
    assert (call["token"], call["user"]) == ("t1", "u/1")
    origin.wait_stream("s")
    with client(weir) as link:
        link.connect("live")
        link.play("s?token=t2")
        assert notify.wait("play", name="s")["token"] == "t2"
        link.read_media(5)


def test_many_names_at_once(lab):
    """Keys of many clients at once are never mixed up."""
    fake = lab.fake_origin(media=noise_tags(4))
    weir = lab.weir(origins=[fake], config=quiet(), workers=2)

    def visit(number):
        link = player(weir, f"s{number}?token={number}", app=f"app{number % 7}")
        link.read_media(2)
        return link
    links = in_threads([lambda n=n: visit(n) for n in range(60)])
    keys = {row["key"] for row in weir.streams()}
    assert keys == {f"{DEFAULT_VHOST}/app{n % 7}/s{n}" for n in range(60)}
    names = {(s.connect_object["app"], s.play_name) for s in fake.media_sessions()}
    assert names == {(f"app{n % 7}", f"s{n}?token={n}") for n in range(60)}
    for link in links:
        link.close()
