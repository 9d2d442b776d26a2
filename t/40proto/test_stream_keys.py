"""One table of hosts, ports and vhosts: the same stream key over RTMP, FLV, HLS and DASH."""

import types

import pytest
from weirtest import HttpConnection, HttpOrigin, RtmpClient, poll

# Authority in tcUrl and Host, query, app, key without the stream's name.
TABLE = [
    ("h.example.com", "", "live", "h.example.com/live"),
    ("h.example.com:8080", "", "live", "h.example.com/live"),
    ("H.Example.COM.:8080", "", "live", "h.example.com/live"),
    ("192.0.2.1", "", "live", "__defaultVhost__/live"),
    ("192.0.2.1:18080", "", "live", "__defaultVhost__/live"),
    ("[2001:db8::1]", "", "live", "__defaultVhost__/live"),
    ("[::1]:1935", "", "live", "__defaultVhost__/live"),
    ("localhost", "", "live", "__defaultVhost__/live"),
    ("proxy:8080", "", "live", "__defaultVhost__/live"),
    ("192.0.2.1:80", "vhost=v.example.com", "live", "v.example.com/live"),
    ("h.example.com", "token=1&vhost=v.example.com&x=2", "live", "v.example.com/live"),
    ("h.example.com:80", "domain=d.example.com", "live", "d.example.com/live"),
    ("h.example.com", "vhost=__defaultVhost__", "live", "__defaultVhost__/live"),
    ("h.example.com", "vhost=192.0.2.9", "live", "__defaultVhost__/live"),
    ("h.example.com:80", "", "a/b", "h.example.com/a/b"),
    ("h.example.com", "", "caf%C3%A9", "h.example.com/café"),
]


def body_of(path):
    """What a search takes for the stream that was asked for."""
    if ".m3u8" in path:
        return b"#EXTM3U\n"
    return b"<MPD></MPD>" if ".mpd" in path else b"none of it is looked at"


@pytest.fixture
def weir(lab):
    rtmp = lab.fake_origin()
    http = HttpOrigin(lab, lambda call: call.answer(200, body_of(call.path)))
    both = types.SimpleNamespace(ip="127.0.0.1", rtmp_port=rtmp.rtmp_port, http_port=http.http_port)
    return lab.weir(origins=[both], http=True, config={"search": {"rate_per_address": "0", "rate": "1000"}})


def play_rtmp(weir, authority, query, app, name):
    """The three places where an RTMP client may put the query."""
    tail = "?" + query if query else ""
    for place in range(3 if query else 1):
        client = RtmpClient(port=weir.rtmp_port)
        client.connect(app + (tail if place == 0 else ""),
                       f"rtmp://{authority}/{app}{tail if place == 1 else ''}")
        client.play(f"{name}.rtmp{place}" + (tail if place == 2 else ""))
        client.close()
        yield f"{name}.rtmp{place}"


def play_http(weir, authority, query, app, name):
    tail = "?" + query if query else ""
    with HttpConnection(weir.http_port) as client:
        for extension in ("flv", "ts", "m3u8", "mpd"):
            answer = client.get(f"/{app}/{name}.{extension}x.{extension}{tail}", host=authority)
            assert answer.status == 200
            yield f"{name}.{extension}x"


def test_the_key_is_the_same_over_all_protocols(weir):
    wanted = set()
    for number, (authority, query, app, key) in enumerate(TABLE):
        names = [name for play in (play_rtmp, play_http)
                 for name in play(weir, authority, query, app, f"c{number}")]
        wanted |= {f"{key}/{name}" for name in names}
    assert len(wanted) == len(TABLE) * 5 + 2 * sum(bool(query) for _, query, _, _ in TABLE)

    def keys():
        return {row["key"] for row in weir.api("streams?count=1000")["streams"]}
    poll("a row for each", lambda: len(keys()) >= len(wanted))
    assert keys() == wanted


def test_one_stream_is_one_row(weir):
    client = RtmpClient(port=weir.rtmp_port)
    client.connect("live", "rtmp://h.example.com/live")
    client.play("cam")
    with HttpConnection(weir.http_port) as http:
        for extension in ("flv", "ts", "m3u8", "mpd"):
            assert http.get(f"/live/cam.{extension}", host="h.example.com:80").status == 200
    assert [row["key"] for row in weir.streams()] == ["h.example.com/live/cam"]
    client.close()
