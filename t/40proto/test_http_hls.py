"""HLS and DASH of real origins through Weir: rewritten playlists, hints, real players."""

import re
import xml.etree.ElementTree

from weirtest import HttpConnection, HttpOrigin, poll


def published(lab, media, origin, name):
    """A stream at that origin, with a playlist of at least two segments."""
    process = lab.publish(media, origin.url(f"live/{name}"))
    origin.wait_stream(name)
    return process


def wait_playlist(weir, path, segments=2):
    def ready():
        with HttpConnection(weir.http_port) as client:
            answer = client.get(path, host="127.0.0.1")
        found = uris(answer.body.decode()) if answer.status == 200 else []
        return found if len(found) >= segments else None
    return poll(f"a playlist at {path}", ready, 30)


def uris(text):
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def hint(uri):
    return re.search(r"[?&]weir=([\w-]{22})(&|$)", uri).group(1)


def ffmpeg_decodes(lab, url, frames=40):
    process = lab.run(["ffmpeg", "-hide_banner", "-nostdin", "-loglevel", "error", "-i", url,
                       "-map", "0:v", "-frames:v", str(frames), "-f", "framemd5", "-"], 60)
    lines = [line for line in process.log().splitlines() if line.startswith("0,")]
    assert len(lines) == frames, process.log()[-2000:]


def test_ffmpeg_plays_hls_and_dash(lab, media):
    origin = lab.origin(hls=True)
    weir = lab.weir(origins=[origin], http=True)
    published(lab, media, origin, "a")
    wait_playlist(weir, "/live/a.m3u8", 3)
    ffmpeg_decodes(lab, weir.http_url("live/a.m3u8"))
    with HttpConnection(weir.http_port) as client:
        answer = client.get("/live/a.mpd")
        assert answer.status == 200
        assert "weir=" in answer.body.decode()
        xml.etree.ElementTree.fromstring(answer.body)
    ffmpeg_decodes(lab, weir.http_url("live/a.mpd"))
    assert weir.metric("weir_http_playlists_total") > 2
    assert weir.metric("weir_http_hint_routes_total") > 2


def test_hls_of_what_was_published_through_weir(lab, media):
    origins = [lab.origin(name=f"o{n}", hls=True) for n in range(3)]
    weir = lab.weir(origins=origins, http=True)
    with HttpConnection(weir.http_port) as client:
        for name in "abc":  # asked for too early: wherever that went, it must not stick
            assert client.get(f"/live/{name}.m3u8", host="127.0.0.1").status == 404
        for name in "abc":
            lab.publish(media, weir.url(f"live/{name}"))
        for name in "abc":
            found = wait_playlist(weir, f"/live/{name}.m3u8")
            [home] = [o for o in origins if name in o.streams()]
            for uri in found:
                segment = client.get(f"/live/{uri}", host="127.0.0.1")
                assert segment.status == 200
                file = home.dir / "hls" / uri.partition("?")[0]
                assert segment.body == file.read_bytes()
    assert sum(len(o.streams()) for o in origins) == 3
    assert max(len(o.streams()) for o in origins) == 1
    assert weir.metric("weir_http_hint_routes_total") >= 6


def scripted(lab, number):
    """An origin whose segments say whose they are."""
    def serve(call):
        name = call.path.partition("?")[0]
        if name.endswith("master.m3u8"):
            body = ("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlow.m3u8\n"
                    "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"a\",URI=\"audio.m3u8?lang=en\"\n")
        elif name.endswith(".m3u8"):
            body = ("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MAP:URI=\"init.mp4\"\n"
                    "#EXTINF:1,\ns-1.ts\n#EXTINF:1,\ns-2.ts?x=1\n"
                    f"#EXTINF:1,\nhttp://127.0.0.1:{call.sock.getsockname()[1]}/live/s-3.ts\n"
                    "#EXTINF:1,\nhttp://cdn.test/s-4.ts\n")
        else:
            body = f"origin {number} {call.path}"
        call.answer(200, body.encode(), {"ETag": '"x"', "Last-Modified":
                                         "Sun, 06 Nov 1994 08:49:37 GMT"})
    return HttpOrigin(lab, serve)


def test_segments_come_from_the_playlists_origin(lab):
    origins = [scripted(lab, n) for n in range(3)]
    # All of them have all streams: a search would take whichever is first.
    weir = lab.weir(origins=origins, http=True, config={"search": {"enabled": False}})
    served = set()
    with HttpConnection(weir.http_port) as client:
        for stream in range(9):
            answer = client.get(f"/live/c{stream}.m3u8?token=t")
            assert "etag" not in answer.fields
            assert answer.fields["content-length"] == str(len(answer.body))
            found = uris(answer.body.decode())
            assert found[3] == "http://cdn.test/s-4.ts"
            mine = re.search(r'URI="([^"]+)"', answer.body.decode()).group(1)
            bodies = set()
            for uri in [*found[:3], mine]:
                assert hint(uri)
                path = uri if uri.startswith("/") else "/live/" + uri
                assert "127.0.0.1" not in path
                body = client.get(path).body.decode()
                bodies.add(body.split()[1])
                assert "weir=" not in body  # the origin does not see it
            assert len(bodies) == 1
            served |= bodies
    assert len(served) > 1, "all streams went to one origin"
    assert weir.metric("weir_http_hint_routes_total") == 36
    assert weir.metric("weir_http_upstream_reused_total") > 0


def test_master_playlist_leads_to_the_same_origin(lab):
    weir = lab.weir(origins=[scripted(lab, n) for n in range(3)], http=True)
    with HttpConnection(weir.http_port) as client:
        text = client.get("/live/master.m3u8").body.decode()
        [low] = uris(text)
        audio = re.search(r'URI="([^"]+)"', text).group(1)
        assert hint(low) == hint(audio)
        assert "lang=en" in audio
        nested = uris(client.get("/live/" + low).body.decode())
        assert hint(nested[0]) == hint(low)


def test_hint_works_in_a_weir_that_shares_nothing(lab):
    origins = [scripted(lab, n) for n in range(3)]
    secret = {"hint_secret": "0123456789abcdef0123"}
    one = lab.weir(origins=origins, http=secret)
    two = lab.weir(origins=origins[::-1], http=secret, name="two")
    with HttpConnection(one.http_port) as a, HttpConnection(two.http_port) as b:
        for stream in range(6):
            uri = "/live/" + uris(a.get(f"/live/c{stream}.m3u8").body.decode())[0]
            assert a.get(uri).body == b.get(uri).body
    assert two.metric("weir_http_hint_routes_total") == 6
    other = lab.weir(origins=origins, http={"hint_secret": "another secret 012345"}, name="other")
    with HttpConnection(other.http_port) as c:
        assert c.get(uri).status == 200
    assert other.metric("weir_http_hint_routes_total") == 0  # not signed by its secret


def test_hint_is_bound_to_its_directory(lab):
    weir = lab.weir(origins=[scripted(lab, n) for n in range(2)],
                    http={"hint_secret": "0123456789abcdef0123"})
    with HttpConnection(weir.http_port) as client:
        uri = uris(client.get("/live/c.m3u8").body.decode())[0]
        assert client.get(f"/other/s-1.ts?weir={hint(uri)}").status == 200
        assert weir.metric("weir_http_hint_routes_total") == 0
        forged = hint(uri)[:-2] + ("AA" if not uri.endswith("AA") else "BB")
        assert client.get(f"/live/s-1.ts?weir={forged}").status == 200
        assert weir.metric("weir_http_hint_routes_total") == 0


def test_hint_of_a_dead_origin_goes_elsewhere(lab):
    origins = [scripted(lab, n) for n in range(2)]
    weir = lab.weir(origins=origins, http=True)
    with HttpConnection(weir.http_port) as client:
        uri = "/live/" + uris(client.get("/live/c.m3u8").body.decode())[0]
        mine = int(client.get(uri).body.split()[1])
        origins[mine].stop()
        assert int(client.get(uri).body.split()[1]) == 1 - mine


def test_playlists_are_asked_for_whole_and_readable(lab):
    origin = scripted(lab, 1)
    weir = lab.weir(origins=[origin], http=True)
    with HttpConnection(weir.http_port) as client:
        answer = client.get("/live/c.m3u8", Accept_Encoding="gzip", Range="bytes=0-5",
                            If_None_Match='"x"')
        assert answer.status == 200
        head = client.get("/live/c.m3u8", "HEAD")
        assert "content-length" not in head.fields and "etag" not in head.fields
    for name in ("accept-encoding", "range", "if-none-match"):
        assert name not in origin.requests[0].fields


def test_what_is_no_playlist_passes_unchanged(lab):
    bodies = {"/live/a.m3u8": b"<html>not found</html>", "/live/a.mpd": b"not xml"}
    origin = HttpOrigin(lab, lambda call: call.answer(200, bodies[call.path]))
    weir = lab.weir(origins=[origin], http=True)
    with HttpConnection(weir.http_port) as client:
        assert client.get("/live/a.m3u8").body == bodies["/live/a.m3u8"]
        assert client.get("/live/a.mpd").status in (200, 502)
