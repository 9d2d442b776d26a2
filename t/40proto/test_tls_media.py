"""RTMPS, HLS over HTTPS, and origins behind TLS, with real software."""

import hashlib
import os

import pytest

from weirtest import HttpConnection, HttpOrigin, assert_same_media, free_port, poll
from weirtest.tls import Ca, TlsConnection, TlsFront, tls_config


@pytest.fixture
def ca(lab):
    return Ca(lab)


def test_ffmpeg_publishes_and_plays_over_rtmps(lab, media, ca):
    origin = lab.origin()
    port = free_port()
    weir = lab.weir(origins=[origin], workers=2,
                    config=tls_config(port, ca.issue("a.test"), section="rtmp"))
    publisher = lab.publish(media, f"rtmps://127.0.0.1:{port}/live/a")
    origin.wait_stream("a")
    played = lab.play(f"rtmps://127.0.0.1:{port}/live/a", seconds=3)
    assert_same_media(media, played)
    weir.reload(tls_config(port, ca.issue("a.test"), section="rtmp"))
    played = lab.play(weir.url("live/a"), seconds=2)  # the publisher has gone on
    assert_same_media(media, played)
    assert publisher.alive
    assert weir.metric("weir_tls_handshakes_total") >= 2
    publisher.stop()
    weir.wait_metric(0, "weir_sessions", protocol="rtmp", state="publishing")
    with HttpConnection(port) as client:  # no TLS
        client.send(b"\x03" + os.urandom(1536))
        client.closed()
    poll("it is counted", lambda: weir.metric("weir_session_ends_total", protocol="rtmp",
                                              reason="tls_handshake") == 1)


def test_ffmpeg_plays_hls_over_https(lab, media, ca):
    origin = lab.origin(hls=True)
    port = free_port()
    weir = lab.weir(origins=[origin], http=True, config=tls_config(port, ca.issue("a.test")))
    lab.publish(media, origin.url("live/a"))
    origin.wait_stream("a")

    def playlist():
        with TlsConnection(port, ca, "a.test") as client:
            answer = client.get("/live/a.m3u8", host=f"127.0.0.1:{port}")
        return answer.status == 200 and answer.body.count(b"weir=") > 1
    poll("a playlist", playlist, 30)
    process = lab.run(["ffmpeg", "-hide_banner", "-nostdin", "-loglevel", "error", "-i",
                       f"https://127.0.0.1:{port}/live/a.m3u8", "-map", "0:v", "-frames:v", "30",
                       "-f", "framemd5", "-"], 60)
    assert sum(line.startswith("0,") for line in process.log().splitlines()) == 30
    assert weir.metric("weir_http_hint_routes_total") > 0


def origin_block(kind, front, **more):
    scheme = {"rtmp": "rtmps", "http": "https", "api": "https"}[kind]
    return {"ip": "127.0.0.1", kind: f"{scheme}://127.0.0.1:{front.port}", **more}


def test_rtmps_origins_are_verified(lab, media, ca):
    origin = lab.origin()
    good = TlsFront(lab, ca.issue("o.test"), origin.rtmp_port)
    address = TlsFront(lab, ca.issue("x.test", ips=["127.0.0.1"]), origin.rtmp_port)
    wrong = TlsFront(lab, ca.issue("other.test"), origin.rtmp_port)
    stranger = TlsFront(lab, Ca(lab, "ca2").issue("o.test"), origin.rtmp_port)
    lab.publish(media, origin.url("live/a"))
    origin.wait_stream("a")

    def config(front, **more):
        return {"origin o1": origin_block("rtmp", front, **more),
                "tls": {"origin_ca": ca.file}, "rtmp": {"dial_attempts": 1}}
    weir = lab.weir(config=config(good, tls_name="o.test"))
    assert_same_media(media, lab.play(weir.url("live/a"), seconds=2))
    assert "o.test" in good.names
    weir.reload(config(address))
    assert_same_media(media, lab.play(weir.url("live/a"), seconds=2))
    for front, name, why in ((wrong, "o.test", "hostname mismatch"),
                             (stranger, "o.test", "unable to get local issuer certificate"),
                             (good, None, "IP address mismatch")):
        weir.reload(config(front, tls_name=name))
        failed = weir.metric("weir_dial_failures_total", protocol="rtmp", reason="tls")
        player = lab.start(["ffmpeg", "-nostdin", "-i", weir.url("live/a"), "-f", "null", "-"], "bad")
        assert player.wait(30) != 0
        assert weir.metric("weir_dial_failures_total", protocol="rtmp", reason="tls") == failed + 1
        assert why in weir.log().lower() or why in weir.log()
    # A good origin beside a bad one: the client notices nothing.
    weir.reload({"tls": {"origin_ca": ca.file}, "rtmp": {"dial_attempts": 3},
                 "balance": {"policy": "round_robin"},
                 "origin o1": origin_block("rtmp", wrong),
                 "origin o2": origin_block("rtmp", good, tls_name="o.test")})
    for name in "abc":
        lab.publish(media, weir.url(f"live/two-{name}"))
        origin.wait_stream(f"two-{name}")
    weir.reload({"tls": {"origin_verify": False}, "origin o3": origin_block("rtmp", wrong)})
    assert_same_media(media, lab.play(weir.url("live/a"), seconds=2))


def test_proxy_header_comes_before_tls(lab, media, ca):
    origin = lab.origin()
    pair = ca.issue("o.test")
    http = HttpOrigin(lab, lambda call: call.answer(200, b"hello"))
    rtmps = TlsFront(lab, pair, origin.rtmp_port, proxy=True)
    https = TlsFront(lab, pair, http.http_port, proxy=True)
    more = {"tls_name": "o.test", "proxy_protocol": "v1"}
    weir = lab.weir(http=True, config={
        "tls": {"origin_ca": ca.file}, "balance": {"probe_interval": 0},
        "origin o1": {**origin_block("rtmp", rtmps, **more), **origin_block("http", https)}})
    with HttpConnection(weir.http_port) as client:
        assert client.get("/live/a.ts").body == b"hello"
    lab.publish(media, origin.url("live/a"))
    origin.wait_stream("a")
    assert_same_media(media, lab.play(weir.url("live/a"), seconds=2))
    for front in (rtmps, https):
        assert front.headers[0].startswith(b"PROXY TCP4 127.0.0.1 127.0.0.1 ")


def test_https_origins(lab, ca):
    data = os.urandom(4_000_000)

    def serve(call):
        if ".flv" in call.path:
            call.answer(200, data, framing="close")
        elif "/api/" in call.path:
            call.answer(200, b'{"code":0,"streams":[{"id":"1","name":"a"}]}')
        elif "moved" in call.path:
            call.answer(302, fields={"Location": f"https://127.0.0.1:{front.port}/live/b.ts"})
        else:
            call.answer(200, data)
    plain = HttpOrigin(lab, serve)
    front = TlsFront(lab, ca.issue("x.test", ips=["127.0.0.1"]), plain.http_port)
    tls_port, api_port = free_port(), free_port()
    block = {**origin_block("http", front), **origin_block("api", front)}
    weir = lab.weir(http=True, config={
        **tls_config(tls_port, ca.issue("a.test")), "tls": {"origin_ca": ca.file},
        "http_api": {"enabled": True, "listen": f"127.0.0.1:{api_port}"}, "origin o1": block})
    with HttpConnection(weir.http_port, timeout=30) as client:
        for _ in range(5):
            assert client.get("/live/a.ts").status == 200
        assert client.get("/live/b.m4s").body == data
        for n in range(5):
            assert client.get(f"/live/seg{n}.m4s").body == data
        moved = client.get("/live/moved.m4s", host="w.test").fields["location"]
        assert moved.startswith("http://w.test/live/b.ts?weir=")
    assert weir.metric("weir_http_upstream_reused_total") >= 5
    for connect in (lambda: HttpConnection(weir.http_port, timeout=30),
                    lambda: TlsConnection(tls_port, ca, "a.test", timeout=30)):
        with connect() as client:
            client.send("GET /live/a.flv HTTP/1.1\r\nHost: a.test\r\n\r\n")
            client.read_head()
            digest = hashlib.sha1(client.read_to_end()).digest()
        assert digest == hashlib.sha1(data).digest()
    with HttpConnection(api_port) as client:
        assert b'"name":"a"' in client.get("/api/v1/streams").body.replace(b" ", b"")
    bad = TlsFront(lab, ca.issue("other.test"), plain.http_port)
    weir.reload({"tls": {"origin_ca": ca.file},
                 "http_api": {"enabled": True, "listen": f"127.0.0.1:{api_port}"},
                 "origin o1": {**origin_block("http", bad), **origin_block("api", bad)}})
    with HttpConnection(weir.http_port, timeout=30) as client:
        assert client.get("/live/a.ts").status == 502
    assert weir.metric("weir_dial_failures_total", protocol="http", reason="tls") > 0
    assert "IP address mismatch" in weir.log()
    with HttpConnection(api_port) as client:
        assert b"IP address mismatch" in client.get("/api/v1/streams").body
