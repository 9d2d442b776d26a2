"""Two hundred HLS viewers of twenty streams on three origins, through one Weir and through two."""

from weirtest import HttpConnection, poll
from weirtest.hlscrowd import HlsCrowd

STREAMS = [f"s{n}" for n in range(20)]


def ready(weir, name):
    with HttpConnection(weir.http_port) as client:
        answer = client.get(f"/live/{name}.m3u8", host="127.0.0.1")
    return answer.status == 200 and answer.body.count(b"#EXTINF") >= 3


def test_crowd_of_viewers_with_one_weir_and_with_two(lab, media):
    origins = [lab.origin(name=f"o{n}", hls=True) for n in range(3)]
    # They share nothing but the secret. Where a stream was published by way of the other, each finds
    # by the hash of its key.
    config = {"balance": {"policy": "hash", "max_fails": 100}, "log": {"level": "info"}}
    weirs = [lab.weir(origins=origins, http={"hint_secret": "0123456789abcdef0123"}, config=config,
                      name=name, workers=2) for name in ("one", "two")]
    for number, name in enumerate(STREAMS):
        lab.publish(media, weirs[number % 2].url(f"live/{name}"))
    for name in STREAMS:
        for weir in weirs:
            poll(f"playlist of {name}", lambda w=weir, n=name: ready(w, n), 60, 0.2)
    homes = [o.streams() for o in origins]
    assert sorted(sum(homes, [])) == sorted(STREAMS)
    assert all(homes), "an origin has no stream"
    directory = {name: o.dir / "hls" for o, names in zip(origins, homes) for name in names}
    had = {}

    def whole(name, body):
        if name not in had:
            had[name] = (directory[name.partition("-")[0]] / name).read_bytes()
        return body == had[name]

    for ports in ([weirs[0].http_port], [weir.http_port for weir in weirs]):
        crowd = HlsCrowd(lab, ports, STREAMS, 200, whole)
        crowd.wait_playlists(1200)
        crowd.finish()
        assert crowd.segments > 600 and crowd.dropped > 50
    for weir in weirs:
        assert weir.metric("weir_http_hint_routes_total") > 200
