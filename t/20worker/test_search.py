"""Streams that nobody knows: which origins are asked, what their answers become, and the bounds."""

import os
import socket
import struct
import threading
import time
import types
from concurrent.futures import ThreadPoolExecutor

import pytest
from weirtest import HttpConnection, HttpOrigin, free_port, poll
from weirtest.flv import VIDEO, Tag
from weirtest.load import play_once, publish_once
from weirtest.rtmp import RtmpClient

PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\ncam-0.ts\n"
FLV = b"FLV\x01\x05\x00\x00\x00\x09\x00\x00\x00\x00" + b"\x09" * 64
STALE = {"Date": "Fri, 27 Nov 2026 08:00:00 GMT", "Last-Modified": "Fri, 27 Nov 2026 07:00:00 GMT"}


class Nowhere:
    """An endpoint where nobody listens."""

    ip = "127.0.0.1"
    rtmp_port = None

    def __init__(self):
        self.http_port = free_port()


class Origin(HttpOrigin):
    """Answers by path: `says` maps one to a function of the call; what it lacks is a 404."""

    def __init__(self, lab, **options):
        self.says = {}
        super().__init__(lab, self._serve, **options)

    def _serve(self, call):
        path = call.path.partition("?")[0]
        self.says.get(path, lambda c: c.answer(404, b"not here"))(call)

    def asked_for(self, path):
        return sum(each.partition("?")[0] == path for each in self.paths)


def playlist(call):
    call.answer(200, PLAYLIST, {"Content-Type": "application/vnd.apple.mpegurl"})


def late(seconds, then=playlist):
    def answer(call):
        time.sleep(seconds)
        then(call)
    return answer


def live(call):
    call.send("HTTP/1.1 200 OK\r\nContent-Type: video/x-flv\r\nConnection: close\r\n\r\n")
    call.send(FLV)
    call.sock.recv(1)
    call.close()


def promise(call):
    """The head of FLV, as servers send it that wait for a publisher."""
    call.send("HTTP/1.1 200 OK\r\nContent-Type: video/x-flv\r\nConnection: close\r\n\r\n" + FLV[:13].decode("latin-1"))
    call.sock.recv(1)
    call.close()


def silent(call):
    call.sock.recv(1)
    call.close()


def says(status, body=b"", **fields):
    return lambda call: call.answer(status, body, {k.replace("_", "-"): v for k, v in fields.items()})


def get(weir, path, port=None, **fields):
    with HttpConnection(port or weir.http_port) as client:
        return client.get(path, **fields)


def first_of_live(weir, path, **fields):
    with HttpConnection(weir.http_port) as client:
        client.send(f"GET {path} HTTP/{fields.get('version', '1.1')}\r\nHost: weir.test\r\n\r\n")
        head = client.read_head()
        return head, client.take(13) if head.status == 200 else b""


def metric(weir, name, **labels):
    return sum(value for (found, have), value in weir.metrics().items()
               if found == name and set(labels.items()) <= have)


def places(weir):
    """{stream: number of its origin, from 0}"""
    return {each["stream"]: int(each["origin"].partition("-")[0]) for each in weir.streams()}


@pytest.fixture
def three(lab):
    return [Origin(lab) for _ in range(3)]


def test_the_origin_that_has_it_is_found_and_remembered(lab, three):
    weir = lab.weir(origins=three, http=True, config={"search": {"timeout": "1s"}})
    one, two, other = three
    for number, origin in enumerate(three):
        origin.says[f"/live/s{number}.m3u8"] = playlist
        origin.says[f"/live/s{number}.mpd"] = says(200, b"<?xml version='1.0'?>\n<MPD></MPD>")
        origin.says[f"/live/s{number}.flv"] = live
        origin.says[f"/live/s{number}-1.m4s"] = says(200, b"media")
    for number in range(3):
        # One request at the origin that has it, and one at most at each of the others.
        answer = get(weir, f"/live/s{number}.m3u8")
        assert answer.status == 200 and b"cam-0.ts?weir=" in answer.body
        assert three[number].asked_for(f"/live/s{number}.m3u8") == 1
        # Later ones, and other forms of it, go there alone.
        assert get(weir, f"/live/s{number}.m3u8").status == 200
        assert get(weir, f"/live/s{number}.mpd").status == 200
        head, media = first_of_live(weir, f"/live/s{number}.flv")
        assert head.status == 200 and media == FLV[:13]
        head, media = first_of_live(weir, f"/live/s{number}.flv", version="1.0")
        assert head.status == 200 and media == FLV[:13]
        # The others may still be about to read what the search sent them.
        assert all(each.asked_for(f"/live/s{number}.m3u8") <= 1 for each in three
                   if each is not three[number])
        assert three[number].asked_for(f"/live/s{number}.m3u8") == 2
        assert sum(each.asked_for(f"/live/s{number}.mpd") for each in three) == 1
        assert sum(each.asked_for(f"/live/s{number}.flv") for each in three) == 2
    # First asked for in other forms.
    two.says["/live/x.mpd"] = says(200, b"<MPD></MPD>")
    other.says["/live/y.flv"] = live
    one.says["/live/z.m4s"] = says(200, b"media")
    two.says["/live/h.m3u8"] = playlist
    assert get(weir, "/live/x.mpd").status == 200
    assert first_of_live(weir, "/live/y.flv")[1] == FLV[:13]
    assert get(weir, "/live/z.m4s", version="1.0").body == b"media"
    assert get(weir, "/live/h.m3u8", method="HEAD").status == 200
    assert metric(weir, "weir_searches_total", result="found") == 7
    assert metric(weir, "weir_search_players") == 0


def test_websocket(lab, three):
    def upgrade(call):
        call.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        call.send(b"\x82\x4d" + FLV)
        call.sock.recv(1)
        call.close()
    three[1].says["/live/ws.flv"] = upgrade
    weir = lab.weir(origins=three, http=True)
    with HttpConnection(weir.http_port) as client:
        client.send("GET /live/ws.flv HTTP/1.1\r\nHost: weir.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                    "Sec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\r\n")
        assert client.read_head().status == 101
        assert client.take(15) == b"\x82\x4d" + FLV[:13]


def test_what_no_origin_has(lab, three):
    weir = lab.weir(origins=three, http=True)
    answer = get(weir, "/live/none.m3u8")
    assert answer.status == 404 and answer.body == b"not here"  # an origin's own words
    assert [each.asked_for("/live/none.m3u8") for each in three] == [1, 1, 1]
    assert places(weir) == {}

    def negatives():
        return metric(weir, "weir_search_negatives_total")
    poll("a remembered no", lambda: get(weir, "/live/none.m3u8").status == 404 and negatives() > 0)
    three[2].says["/live/none.m3u8"] = playlist
    poll("the search for a stream that has come", lambda: get(weir, "/live/none.m3u8").status == 200)
    poll("what is remembered", lambda: places(weir) == {"none": 2})


def test_lies_are_not_believed(lab, three):
    true, liar, old = three
    true.says = {"/live/a.m3u8": late(0.2), "/live/b.mpd": late(0.2, says(200, b"<MPD></MPD>")),
                 "/live/c.flv": late(0.2, live), "/live/d.m3u8": late(0.2)}
    page = says(200, b"<html>welcome</html>", Content_Type="text/html")
    liar.says = {"/live/a.m3u8": page, "/live/b.mpd": says(200, b"ok"), "/live/c.flv": promise,
                 "/live/e.m3u8": says(403, b"token?"), "/live/f.m3u8": says(302, b"", Location="/else.m3u8"),
                 "/live/g.m3u8": says(200, b"not a playlist")}
    old.says = {"/live/a.m3u8": lambda call: call.answer(200, PLAYLIST, STALE),
                "/live/d.m3u8": lambda call: call.answer(200, PLAYLIST, STALE),
                "/live/c.flv": page,
                "/live/vod.m3u8": lambda call: call.answer(200, PLAYLIST, STALE)}
    weir = lab.weir(origins=three, http=True)
    for name in ("a.m3u8", "b.mpd", "d.m3u8"):
        assert get(weir, f"/live/{name}").status == 200
    assert first_of_live(weir, "/live/c.flv")[1] == FLV[:13]
    poll("what is remembered", lambda: places(weir) == dict.fromkeys("abcd", 0))
    # What nobody says better is the answer: a redirect, a refusal, whatever it is; a playlist that is old is one.
    assert get(weir, "/live/e.m3u8").status == 403
    assert get(weir, "/live/f.m3u8").status == 302
    assert get(weir, "/live/g.m3u8").body == b"not a playlist"
    assert get(weir, "/live/vod.m3u8").status == 200
    poll("what is remembered", lambda: places(weir) == {**dict.fromkeys("abcd", 0), "vod": 2})


def test_nobody_knows(lab, three):
    broken = Origin(lab)
    broken.says = {"/live/error.m3u8": says(500), "/live/close.m3u8": lambda call: call.close(),
                   "/live/found.m3u8": says(503)}
    three[0].says["/live/found.m3u8"] = playlist
    weir = lab.weir(origins=[*three, broken], http=True)
    for name in ("error", "close"):
        answer = get(weir, f"/live/{name}.m3u8")
        assert answer.status == 502 and answer.fields["retry-after"]
    assert get(weir, "/live/found.m3u8").status == 200
    # A connection that was kept and is closed just now says nothing about the stream.
    assert get(weir, "/live/none.m3u8").status == 404
    for origin in three:
        origin.drop_connections()
    three[1].says["/live/kept.m3u8"] = playlist
    assert get(weir, "/live/kept.m3u8").status == 200


def test_an_origin_that_is_gone(lab, three):
    weir = lab.weir(origins=[*three, Nowhere()], http=True, config={"balance": {"max_fails": 100}})
    answer = get(weir, "/live/none.m3u8")
    assert answer.status == 502 and answer.fields["retry-after"]
    three[1].says["/live/cam.m3u8"] = playlist
    assert get(weir, "/live/cam.m3u8").status == 200


def test_silent_origins_are_waited_for(lab, three):
    one, two, _ = three
    one.says = {"/live/cam.flv": silent, "/live/slow.m3u8": late(1.0)}
    two.says = {"/live/cam.flv": silent}
    weir = lab.weir(origins=three, http=True, config={"search": {"timeout": "400ms"}})
    # Slow is not absent: the answer comes from where it is awaited.
    assert get(weir, "/live/slow.m3u8").status == 200
    # A player that waits goes where the stream comes.
    with HttpConnection(weir.http_port) as early:
        early.send("GET /live/cam.flv HTTP/1.1\r\nHost: weir.test\r\n\r\n")
        poll("the wait", lambda: metric(weir, "weir_searches_total", result="waiting") == 2)
        poll("the players", lambda: metric(weir, "weir_search_players") == 1)
        assert places(weir)["cam"] in (0, 1)  # not where there was a no
        early.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    poll("nobody", lambda: metric(weir, "weir_search_players") == 0)


def test_who_waits_goes_where_the_publisher_comes(lab):
    """One origin holds the player; the publisher can only be taken by the other."""
    holds, other, rtmp = Origin(lab), Origin(lab), lab.fake_origin()
    holds.says["/live/cam.flv"] = silent
    both = types.SimpleNamespace(ip="127.0.0.1", rtmp_port=rtmp.rtmp_port, http_port=other.http_port)
    weir = lab.weir(origins=[holds, both], http=True, config={"search": {"timeout": "200ms"}})
    with HttpConnection(weir.http_port) as player:
        player.send("GET /live/cam.flv HTTP/1.1\r\nHost: weir\r\n\r\n")
        poll("the wait", lambda: metric(weir, "weir_searches_total", result="waiting") == 1)
        poll("its place", lambda: places(weir) == {"cam": 0})
        other.says["/live/cam.flv"] = live
        publisher = publish_once(weir.rtmp_port, "cam")
        lab.at_close(publisher.close)
        assert player.read_head().status == 200 and player.take(13) == FLV[:13]
    assert places(weir) == {"cam": 1}


def test_a_search_ends_those_who_wait_elsewhere(lab):
    """They come again, and are brought to it; who has had media stays."""
    rtmp, http = lab.fake_origin(), Origin(lab)
    http.says = {"/live/cam.m3u8": playlist, "/live/seen.m3u8": playlist}
    weir = lab.weir(origins=[rtmp, http], http=True)
    rtmp.media = [Tag(VIDEO, 40 * n, b"\x27" + bytes(5000)) for n in range(3)]
    watching = play_once(weir.rtmp_port, "seen")
    lab.at_close(watching.close)
    watching.read_media(4)  # more than answers would be
    rtmp.media = ()
    waiting = RtmpClient(port=weir.rtmp_port)
    lab.at_close(waiting.close)
    waiting.connect("live")
    waiting.play("cam")
    poll("the players", lambda: places(weir) == {"cam": 0, "seen": 0})
    for stream in ("cam", "seen"):
        assert get(weir, f"/live/{stream}.m3u8", host="weir").status == 200
    poll("the move", lambda: places(weir) == {"cam": 1, "seen": 1})
    ended = {"protocol": "rtmp", "reason": "stream_moved"}
    poll("the end", lambda: metric(weir, "weir_session_ends_total", **ended) == 1)
    watching.read_media(10)
    assert metric(weir, "weir_session_ends_total", **ended) == 1


def test_those_who_wait_make_room_for_searches(lab, three):
    for origin in three:
        origin.says = {f"/live/w{number}.flv": silent for number in range(6)}
    three[0].says["/live/cam.m3u8"] = playlist
    weir = lab.weir(origins=three, http=True, config={"search": {"timeout": "100ms", "max_waiting": 3}})
    clients = []
    for number in range(6):
        client = HttpConnection(weir.http_port)
        lab.at_close(client.close)
        client.send(f"GET /live/w{number}.flv HTTP/1.1\r\nHost: weir.test\r\n\r\n")
        clients.append(client)
        poll("the wait", lambda n=number: metric(weir, "weir_searches_total", result="waiting") == n + 1)
    # The first ones were sent away for the later ones; a search finds a place at once.
    assert [client.read_answer().status for client in clients[:3]] == [503] * 3
    assert get(weir, "/live/cam.m3u8").status == 200
    assert clients[3].read_answer().status == 503
    assert metric(weir, "weir_search_players") == 2
    assert metric(weir, "weir_search_refused_total", limit="max_waiting") == 4


def test_a_connection_that_waited_may_ask_for_something_else(lab, three):
    """Who has waited for a publisher is no longer looked at as one who does: its next request may be
    another room's (the sanitizers' build tells)."""
    root = lab.path("www")
    root.mkdir()
    (root / "large.bin").write_bytes(bytes(16 << 20))
    root.chmod(0o755)
    for origin in three:
        origin.says = {"/live/first.flv": late(0.5, says(404, b"not here")),
                       "/live/second.flv": silent}
    three[0].says["/live/cam.m3u8"] = playlist
    weir = lab.weir(origins=three, http={"static_files": root},
                    config={"search": {"timeout": "100ms", "max_waiting": 1}})
    with HttpConnection(weir.http_port) as first, HttpConnection(weir.http_port) as second:
        assert first.get("/live/first.flv").status == 404
        first.send("GET /large.bin HTTP/1.1\r\nHost: weir.test\r\n\r\n")  # and does not read
        poll("the file", lambda: first.sock.recv(1, socket.MSG_PEEK) == b"H")
        second.send("GET /live/second.flv HTTP/1.1\r\nHost: weir.test\r\n\r\n")
        poll("the wait", lambda: metric(weir, "weir_searches_total", result="waiting") == 2)
        assert get(weir, "/live/cam.m3u8").status == 200  # the one that waits makes room
        assert second.read_answer().status == 503
        assert first.read_answer().status == 200


def test_no_descriptor_is_left_behind(lab, three):
    weir = lab.weir(origins=three, http={"pool_size": 0})
    def descriptors():
        return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in weir.children())
    three[0].says = {"/live/a.m3u8": late(0.1), "/live/b.flv": silent}
    three[1].says = {"/live/b.flv": promise}
    assert get(weir, "/live/z.m3u8").status == 404
    before = descriptors()
    for number in range(10):
        assert get(weir, f"/live/n{number}.m3u8").status == 404
    assert get(weir, "/live/a.m3u8").status == 200
    with HttpConnection(weir.http_port) as client:
        client.send("GET /live/b.flv HTTP/1.1\r\nHost: weir.test\r\n\r\n")
        poll("the search", lambda: three[1].asked_for("/live/b.flv") == 1)
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    poll("all closed", lambda: descriptors() <= before)
    assert metric(weir, "weir_search_players") == 0


def test_those_who_wait_stand_in_the_bound(lab, three):
    """Nor does an origin that said no, or that a bound spared, get those who wait for a silent one."""
    one, two, _ = three
    times, paths = [], [f"/live/w{number}.flv" for number in range(12)]

    def held(call):
        times.append(time.monotonic())
        silent(call)
    one.says = dict.fromkeys(paths, held)
    weir = lab.weir(origins=[one, two], http=True, config={
        "search": {"timeout": "300ms", "rate": 8, "rate_per_address": 0}, "http": {"answer_timeout": "1s"}})
    clients = []
    for path in paths:
        client = HttpConnection(weir.http_port)
        lab.at_close(client.close)
        client.send(f"GET {path} HTTP/1.1\r\nHost: weir.test\r\n\r\n")
        clients.append(client)
    assert {client.read_answer().status for client in clients} <= {503, 504}
    seconds = int(max(times) - min(times) + 0.2) + 1
    assert len(times) <= 8 * seconds
    assert max(two.asked_for(path) for path in paths) == 1
    assert metric(weir, "weir_search_refused_total", limit="rate") > 0
    assert metric(weir, "weir_search_players") == 0


def test_a_crowd_that_waits_for_one_stream(lab, three):
    """They are one name's players, so all wait, however many a second the bound allows."""
    one, two, _ = three
    one.says = {"/live/soon.flv": silent}
    weir = lab.weir(origins=[one, two], http=True, config={
        "search": {"timeout": "1s", "rate": 4, "rate_per_address": 0}, "http": {"answer_timeout": "1s"}})
    clients = []
    for _ in range(24):
        client = HttpConnection(weir.http_port)
        lab.at_close(client.close)
        client.send("GET /live/soon.flv HTTP/1.1\r\nHost: weir.test\r\n\r\n")
        clients.append(client)
    assert {client.read_answer().status for client in clients} == {504}
    assert metric(weir, "weir_search_refused_total", limit="rate") == 0


def test_one_search_for_all(lab, three):
    weir = lab.weir(origins=three, http=True, config={"search": {"timeout": "30s"}})
    go = threading.Event()

    def when_told(then):
        def answer(call):
            go.wait(20)
            then(call)
        return answer

    def all_at_once(path):
        go.clear()
        with ThreadPoolExecutor(20) as pool:
            answers = [pool.submit(get, weir, path) for _ in range(20)]
            poll("all of them", lambda: metric(weir, "weir_search_players") == 20)
            go.set()
            return {each.result().status for each in answers}
    three[0].says["/live/cam.m3u8"] = when_told(playlist)
    assert all_at_once("/live/cam.m3u8") == {200}
    assert max(each.asked_for("/live/cam.m3u8") for each in three[1:]) == 1
    assert metric(weir, "weir_search_shared_total") == 19
    # Nor for nothing.
    for origin in three:
        origin.says["/live/none.m3u8"] = when_told(says(404))
    assert all_at_once("/live/none.m3u8") == {404}
    assert [each.asked_for("/live/none.m3u8") for each in three] == [1, 1, 1]
    # Whoever leads may leave.
    go.clear()
    three[1].says["/live/left.m3u8"] = when_told(playlist)
    with HttpConnection(weir.http_port) as leader, HttpConnection(weir.http_port) as other:
        leader.send("GET /live/left.m3u8 HTTP/1.1\r\nHost: weir.test\r\n\r\n")
        poll("the search", lambda: three[1].asked_for("/live/left.m3u8") == 1)
        other.send("GET /live/left.m3u8 HTTP/1.1\r\nHost: weir.test\r\n\r\n")
        poll("the follower", lambda: metric(weir, "weir_search_players") == 2)
        leader.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
        leader.close()
        poll("its own search", lambda: three[1].asked_for("/live/left.m3u8") == 2)
        go.set()
        assert other.read_answer().status == 200
    poll("nobody", lambda: metric(weir, "weir_search_players") == 0)


def test_known_streams_that_have_moved(lab, three):
    three[0].says["/live/cam.m3u8"] = playlist
    weir = lab.weir(origins=three, http=True)
    assert get(weir, "/live/cam.m3u8").status == 200
    three[1].says["/live/cam.m3u8"] = three[0].says.pop("/live/cam.m3u8")
    assert get(weir, "/live/cam.m3u8").status == 200
    poll("the move", lambda: places(weir) == {"cam": 1})
    # Origins may still be about to read what that search sent them: requests are counted as sent.
    before = metric(weir, "weir_search_requests_total")
    there = three[1].asked_for("/live/cam.m3u8")
    assert get(weir, "/live/cam.m3u8").status == 200
    assert metric(weir, "weir_search_requests_total") == before
    assert three[1].asked_for("/live/cam.m3u8") == there + 1
    # And that have ended: one search, then the negative is remembered.
    del three[1].says["/live/cam.m3u8"]
    assert get(weir, "/live/cam.m3u8").status == 404

    def costs():
        """Requests that one more viewer causes beside its own."""
        before = metric(weir, "weir_search_requests_total")
        assert get(weir, "/live/cam.m3u8").status == 404
        return metric(weir, "weir_search_requests_total") - before
    poll("a remembered no", lambda: costs() == 0)


def test_hints_never_search(lab, three):
    three[0].says["/live/cam.m3u8"] = playlist
    weir = lab.weir(origins=three, http=True)
    body = get(weir, "/live/cam.m3u8").body.decode()
    segment = next(line for line in body.splitlines() if line.startswith("cam-0.ts"))
    assert get(weir, f"/live/{segment}").status == 404
    assert [each.asked_for("/live/cam-0.ts") for each in three] == [1, 0, 0]


def test_off_is_as_before(lab, three):
    weir = lab.weir(origins=three, http=True, config={"search": {"enabled": False}})
    assert get(weir, "/live/none.m3u8").status == 404
    assert sum(each.asked_for("/live/none.m3u8") for each in three) == 1
    assert list(places(weir)) == ["none"]


@pytest.mark.parametrize("addresses", [1, 40])
def test_a_flood_of_names(lab, three, addresses):
    good = [f"/live/good{number}.m3u8" for number in range(30)]
    for number, path in enumerate(good):
        three[number % 3].says[path] = playlist
    weir = lab.weir(origins=three, http=True, workers=2,
                    config={"search": {"rate": 30, "rate_per_address": 20}})
    statuses = []
    for path in good:
        poll(path, lambda path=path: get(weir, path).status == 200)
    for origin in three:
        origin.requests.clear()
    stop = threading.Event()

    def flood(number):
        with HttpConnection(weir.http_port, source=f"127.0.1.{number % addresses + 1}") as client:
            for name in range(100000):
                if stop.is_set():
                    return
                statuses.append(client.get(f"/live/n{number}-{name}.m3u8").status)

    threads = [threading.Thread(target=flood, args=(number,)) for number in range(40)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    viewed = 0
    while time.monotonic() < began + 3 or viewed < 60:
        assert get(weir, good[viewed % 30]).status == 200
        viewed += 1
    stop.set()
    for thread in threads:
        thread.join()
    seconds = int(time.monotonic() - began) + 1
    assert set(statuses) == {404, 503}
    assert len(statuses) > 300
    for origin in three:
        unknown = sum(path.startswith("/live/n") for path in origin.paths)
        assert unknown <= 30 * seconds
    limit = "rate_per_address" if addresses == 1 else "rate"
    assert metric(weir, "weir_search_refused_total", limit=limit) > 0
    assert metric(weir, "weir_search_players") == 0
