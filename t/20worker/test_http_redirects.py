"""D4: redirects of an origin come back to it, and show nothing of the inner network; D9: codings."""

import gzip

import pytest

from weirtest import HttpConnection, HttpOrigin

PLAYLIST = "#EXTM3U\n#EXTINF:1,\n0.ts\n"


def start(lab, count=3):
    """Origins that redirect `/live/N.m3u8` to where `moves[N]` says, and have everything else."""
    moves, origins = [], []

    def make(number):
        def serve(call):
            path = call.path.partition("?")[0]
            name = path.rpartition("/")[2].partition(".")[0]
            if path.startswith("/live/") and name.isdigit():
                to = moves[int(name)].replace("OWN", f"127.0.0.1:{origins[number].http_port}")
                to = to.replace("PORT", str(origins[number].http_port))
                call.answer(302, fields={"Location": to, "Content-Location": to})
            else:
                call.answer(200, f"origin {number} {call.path}".encode())
        return HttpOrigin(lab, serve)
    origins += [make(number) for number in range(count)]
    return moves, origins, lab.weir(origins=origins, http=True)


def follow(client, weir, location):
    base = f"http://weir.test:{weir.http_port}"
    path = location.removeprefix(base)
    if not path.startswith("/"):
        path = "/live/" + path
    return client.get(path.replace("/live/../", "/"), host=f"weir.test:{weir.http_port}")


def test_redirects_lead_to_the_same_origin(lab):
    moves, origins, weir = start(lab)
    moves += ["/hls/cam/index.m3u8", "../hls/cam/index.m3u8?a=1", "//OWN/hls/cam/index.m3u8",
              "http://OWN/hls/cam/index.m3u8", "http://weir.test:PORT/hls/cam/index.m3u8",
              "https://weir.test/hls/cam/index.m3u8", "http://srs-0:8080/hls/cam/index.m3u8",
              "//10.1.2.3:8080/hls/cam/index.m3u8", "http://origin.svc.cluster.local/hls/x.m3u8",
              "http://[fd00::1]:80/hls/cam/index.m3u8"]
    host = f"weir.test:{weir.http_port}"
    with HttpConnection(weir.http_port) as client:
        for number in range(len(moves)):
            first = client.get(f"/live/{number}.m3u8", host=host)
            location = first.fields["location"]
            assert first.status == 302 and "weir=" in location, moves[number]
            assert location == first.fields["content-location"]
            for inner in ("127.0.0.1", "10.1.2.3", "srs-0", "cluster.local", "fd00"):
                assert inner not in location
            bodies = {follow(client, weir, location).body for _ in range(3)}
            assert len(bodies) == 1 and b" /hls/" in bodies.pop()
            asked = [n for n, o in enumerate(origins) if f"/live/{number}.m3u8" in o.paths]
            got = [n for n, o in enumerate(origins) if any("/hls/" in p for p in o.paths)]
            assert len(got) == 1 and set(got) <= set(asked), moves[number]
            for origin in origins:
                origin.requests.clear()
        # To another origin, whose address it names; and to other sites, which are none of ours.
        moves += [f"http://127.0.0.1:{origins[2].http_port}/hls/there.ts",
                  "https://cdn.example.net/live/a.m3u8?x=1", "mailto:a@b.example"]
        location = client.get(f"/live/{len(moves) - 3}.m3u8", host=host).fields["location"]
        assert follow(client, weir, location).body == b"origin 2 /hls/there.ts"
        for number in (len(moves) - 2, len(moves) - 1):
            assert client.get(f"/live/{number}.m3u8").fields["location"] == moves[number]


@pytest.mark.parametrize("coding,status", [("identity", 200), ("gzip", 502)])
def test_coded_playlists(lab, coding, status):
    body = gzip.compress(PLAYLIST.encode()) if coding == "gzip" else PLAYLIST.encode()
    origin = HttpOrigin(lab, lambda call: call.answer(200, body, {"Content-Encoding": coding}))
    weir = lab.weir(origins=[origin], http=True)
    with HttpConnection(weir.http_port) as client:
        answer = client.get("/live/cam.m3u8", Accept_Encoding="gzip")
        assert answer.status == status and "content-encoding" not in answer.fields
        assert (b"0.ts?weir=" in answer.body) == (status == 200)
        assert client.get("/live/cam.m4s").fields["content-encoding"] == coding  # passes as it is
    assert origin.requests[0].fields.get("accept-encoding", "identity") == "identity"
    assert ("which nobody asked for" in weir.log()) == (status == 502)


def test_cors_is_the_origins(lab):
    """D2: http.cors origin leaves all of it to the origin, credentials names the page's site."""
    site = {"Access-Control-Allow-Origin": "https://player.test",
            "Access-Control-Allow-Credentials": "true"}

    def serve(call):
        if call.method == "OPTIONS":
            call.answer(204, fields={**site, "Access-Control-Allow-Headers": "authorization",
                                     "Content-Length": None})
        else:
            call.answer(200, PLAYLIST.encode(), site if "own" in call.path else
                        {"Access-Control-Allow-Origin": "*"} if "star" in call.path else {})
    origin = HttpOrigin(lab, serve)
    ask = {"Origin": "https://page.test", "Access_Control_Request_Method": "GET",
           "Access_Control_Request_Headers": "authorization, x-mine"}

    def fields(weir, path, method="GET", **more):
        with HttpConnection(weir.http_port) as client:
            answer = client.get(path, method, **more)
            names = [line.partition(":")[0].lower() for line in answer.raw_head.split("\r\n")]
            assert names.count("access-control-allow-origin") <= 1
            return answer.fields

    weir = lab.weir(origins=[origin], http=True, config={"http": {"cors": "origin"}})
    for path in ("/live/a.m3u8", "/live/a.flv", "/live/a.m4s"):
        answer = fields(weir, path, "OPTIONS", **ask)
        assert answer["access-control-allow-headers"] == "authorization"
        assert answer["access-control-allow-credentials"] == "true"
        assert "access-control-allow-origin" not in fields(weir, path, Origin="https://page.test")
    assert origin.requests[0].fields["access-control-request-headers"] == "authorization, x-mine"
    assert fields(weir, "/live/own.m3u8")["access-control-allow-credentials"] == "true"
    asked = len(origin.requests)

    weir = lab.weir(origins=[origin], http=True, config={"http": {"cors": "credentials"}})
    for path in ("/live/a.m3u8", "/live/own.m4s", "/live/star.m4s", "/live/star.m3u8", "/none"):
        answer = fields(weir, path, Origin="https://page.test")
        assert answer["access-control-allow-origin"] == "https://page.test", path
        assert answer["access-control-allow-credentials"] == "true"
        assert "Origin" in answer["vary"]
        assert "access-control-allow-origin" not in fields(weir, path)
        assert "access-control-allow-origin" not in fields(weir, path, Origin="null")
    answer = fields(weir, "/live/a.m3u8", "OPTIONS", **ask)
    assert answer["access-control-allow-headers"] == "authorization, x-mine"
    assert answer["access-control-allow-origin"] == "https://page.test"

    weir = lab.weir(origins=[origin], http=True, config={"http": {"cors": "off"}})
    answer = fields(weir, "/live/a.m3u8", "OPTIONS", **ask)
    assert not any(name.startswith("access-control") for name in answer)
    assert len([c for c in origin.requests[asked:] if c.method == "OPTIONS"]) == 0
