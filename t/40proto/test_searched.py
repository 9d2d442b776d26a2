"""Streams that were published straight to an origin and asked for through Weir: found where they are."""

import pytest
from weirtest import HttpConnection, assert_same_media, poll
from weirtest.rtmp import RtmpClient, RtmpError


def status(weir, path):
    with HttpConnection(weir.http_port) as client:
        return client.get(path, host="127.0.0.1").status


def test_published_directly_and_played_through_weir(lab, media):
    origins = [lab.origin(name=f"o{n}", hls=True) for n in range(3)]
    names = [f"s{number}" for number in range(6)]
    for number, name in enumerate(names):
        lab.publish(media, origins[number % 3].url(f"live/{name}"))
    for number, name in enumerate(names):
        origins[number % 3].wait_stream(name)
        for kind, suffix in (("hls", "m3u8"), ("dash", "mpd")):
            file = origins[number % 3].dir / kind / f"{name}.{suffix}"
            poll(f"{file}", file.exists, 30)
    # Nothing is known here: each first request finds its stream.
    weir = lab.weir(origins=origins, http=True)
    for name in names[:3]:
        assert status(weir, f"/live/{name}.m3u8") == 200
    for name in names[3:]:
        assert status(weir, f"/live/{name}.mpd") == 200
    for name in names:
        assert status(weir, f"/live/{name}.m3u8") == 200
    assert weir.metric("weir_searches_total", result="found") == 6
    rows = {row["stream"]: int(row["origin"].partition("-")[0]) for row in weir.streams()}
    assert rows == {name: number % 3 for number, name in enumerate(names)}
    assert status(weir, "/live/nobody.m3u8") == 404


def test_rtmp_where_origins_say_no(lab, media):
    """nginx-rtmp with idle_streams off: "no such stream" is not the last word of the first one."""
    origins = [lab.origin(name=f"o{n}", extra="idle_streams off;") for n in range(3)]
    for number, origin in enumerate(origins):
        lab.publish(media, origin.url(f"live/s{number}"))
        origin.wait_stream(f"s{number}")
    weir = lab.weir(origins=origins)
    for number in range(3):
        assert_same_media(media, lab.play(weir.url(f"live/s{number}"), seconds=2))
    assert {row["stream"]: int(row["origin"].partition("-")[0]) for row in weir.streams()} == {
        f"s{number}": number for number in range(3)}
    with RtmpClient(port=weir.rtmp_port) as client, pytest.raises(RtmpError) as refused:
        client.connect()
        client.play("nobody")
    assert refused.value.code == "NetStream.Play.StreamNotFound"
