"""What a request for a stream names: pins before keys, forms of other servers, one reading for all."""

import re

from weirtest import HttpConnection, HttpOrigin, poll
from weirtest.hookserver import HookServer


def numbered(lab, number, playlists):
    """An origin that says who it is, and has these playlists by path."""
    def serve(call):
        path = call.path.partition("?")[0]
        body = playlists.get(path, "").replace("ORIGIN", f"127.0.0.1:{origin.http_port}")
        call.answer(200, body.encode() if body else f"origin {number} {call.path}".encode(),
                    {"Content-Type": "text/plain"})
    origin = HttpOrigin(lab, serve)
    return origin


def uris(text):
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def absolute(uri, base):
    return uri if uri.startswith("/") else base.rpartition("/")[0] + "/" + uri


def test_a_pin_comes_before_the_key(lab):
    """D3: hls_base_url `/;`, `/live//;` and `http://origin/;` of nginx-rtmp, UTCTiming of DASH."""
    playlists = {}
    origins = [numbered(lab, n, playlists) for n in range(3)]
    weir = lab.weir(origins=origins, http=True)
    with HttpConnection(weir.http_port) as client:
        for number, base in enumerate(["/;", "/live//;", "http://ORIGIN/;",
                                       f"http://127.0.0.1:{weir.http_port}/;"]):
            path = f"/live/cam{number}.m3u8"
            playlists[path] = f"#EXTM3U\n#EXTINF:1,\n{base}cam-0.ts\n{base}cam-1.ts\n"
            bodies = set()
            for uri in uris(client.get(path, host=f"127.0.0.1:{weir.http_port}").body.decode()):
                answer = client.get(absolute(uri, path))
                assert answer.status == 200, uri
                bodies.add(answer.body.split()[1])
            assert len(bodies) == 1
        playlists["/dash/cam.mpd"] = (
            '<MPD><UTCTiming schemeIdUri="urn:mpeg:dash:utc:http-iso:2014" value="/time"/></MPD>')
        value = re.search('value="([^"]+)"', client.get("/dash/cam.mpd").body.decode()).group(1)
        assert client.get(value).body.endswith(b" /time")
        assert client.get("/time").status == 404  # nothing names an origin for it
        assert client.get("/;cam-0.ts").status == 404


def test_query_forms_and_spellings(lab):
    """D5 and D8: one stream is one key, and goes on in one spelling."""
    hook = HookServer(lab)
    origin = HttpOrigin(lab, lambda call: call.answer(200, call.path.encode(), framing="close"))
    weir = lab.weir(origins=[origin], http=True, config={"hooks": {"on_play": hook.url()}})
    rows = [("/live?app=A&stream=S", "A", "S", "/live?app=A&stream=S"),
            ("/flv/live?port=1935&app=B&stream=S", "B", "S", "/flv/live?app=B&stream=S&port=1935"),
            ("/flv/live?port=1935&app=B&stream=T", "B", "T", "/flv/live?app=B&stream=T&port=1935"),
            ("/live//cam.mp4", "live", "cam", "/live/cam.mp4"),
            ("/live/./c%61m.mp4?t=1", "live", "cam", "/live/cam.mp4?t=1"),
            ("//live/cam.flv?x&vhost=a.b", "live", "cam", "/live/cam.flv?vhost=a.b&x")]
    for path, app, stream, sent in rows:
        with HttpConnection(weir.http_port) as client:
            answer = client.get(path)
            assert (answer.status, answer.body.decode()) == (200, sent)
        assert [hook.bodies[-1][k] for k in ("app", "stream")] == [app, stream], path
    asked = len(hook.bodies)
    with HttpConnection(weir.http_port) as client:
        for path in ("/live/../secret/x.flv", "/live/%2e%2e/x.flv", "/live/a%2Fb.flv",
                     "/live/a.flv?t=1;vhost=b.c", "/live/a.flv?vhost=b.c&vhost=d.e",
                     "/live/a.flv?app=live&stream=secret", "/live?app=a&stream=b&stream=c"):
            assert client.get(path).status == 400, path
    assert len(hook.bodies) == asked and len(origin.requests) == len(rows)
    poll("a line for each", lambda: weir.log().count("request refused") == 7)
    assert {row["key"] for row in weir.streams()} >= {
        "weir.test/A/S", "weir.test/B/S", "weir.test/B/T", "weir.test/live/cam", "a.b/live/cam"}


def test_weir_before_weir(lab):
    """D6: each of two in a row finds its own hint, with and without hooks at either."""
    playlists = {}
    origins = [numbered(lab, n, playlists) for n in range(3)]
    hook = HookServer(lab)
    inner = lab.weir(origins=origins, http=True, config={"hooks": {"on_play": hook.url()}})

    class Inner:
        ip, rtmp_port, http_port = "127.0.0.1", None, inner.http_port

    for config in ({}, {"hooks": {"on_play": hook.url()}}, {"http": {"hint_secret": "outer"}}):
        outer = lab.weir(origins=[Inner], http=True, config=config)
        with HttpConnection(outer.http_port) as client:
            for stream in range(6):
                path = f"/live/cam{stream}/low.m3u8"
                playlists[f"/live/cam{stream}.m3u8"] = (
                    f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\ncam{stream}/low.m3u8\n")
                playlists[path] = "#EXTM3U\n#EXTINF:1,\n0.ts\n1.ts\n../more/2.ts\n"
                master = client.get(f"/live/cam{stream}.m3u8?token=t").body.decode()
                [low] = uris(master)
                bodies = []
                for uri in uris(client.get("/live/" + low).body.decode()):
                    assert uri.count("weir=") == 2 and uri.count("token=t") == 1
                    answer = client.get(absolute(uri, path).replace("cam%d/../" % stream, ""))
                    assert answer.status == 200, uri
                    bodies.append(answer.body.decode())
                assert len({body.split()[1] for body in bodies}) == 1
                assert not any("weir" in body for body in bodies)


def test_white_space_before_a_colon(lab):
    """D10: of an origin it is taken away, of a client it is an error."""
    origin = HttpOrigin(lab, lambda call: call.send(
        "HTTP/1.1 200 OK\r\nX-Name : y\r\nContent-Length : 4\r\n\r\nbody"))
    weir = lab.weir(origins=[origin], http=True)
    with HttpConnection(weir.http_port) as client:
        answer = client.get("/live/a.m4s")
        assert (answer.status, answer.body, answer.fields["x-name"]) == (200, b"body", "y")
        assert "X-Name: y\r\n" in answer.raw_head + "\r\n"
        client.send("GET /live/a.m4s HTTP/1.1\r\nHost : x\r\n\r\n")
        assert client.read_answer().status == 400
