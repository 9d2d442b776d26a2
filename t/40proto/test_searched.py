"""Streams that were published straight to an origin, asked for by HTTP: found at once where they are."""

from weirtest import HttpConnection, poll


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
