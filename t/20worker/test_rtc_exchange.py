"""What passes between clients and origins in WebRTC signalling: what the origin is told, what becomes of
sessions that nobody can use, and the corners of WHIP and WHEP."""

import json
import re
import socket
import struct
import threading

from weirtest import HttpConnection, HttpOrigin, free_port, poll
from weirtest.rtcorigin import (FRAGMENT, SDP, RtcOrigin, RtcWeir, answer_sdp, candidates_of, offer_sdp,
                                password_of)

WHIP = "/rtc/v1/whip/?app=live&stream=a"


def test_options_bring_the_origins_ice_servers(lab):
    """RFC 9725, 4.6. Whoever can't be asked costs the client nothing: the rest Weir knows itself."""
    origin = RtcOrigin(lab)
    weir = RtcWeir(lab, [origin], {"http": {"dial_timeout": "500ms"}})
    for path in (WHIP, "/whep/live/a", "/rtc/v1/whip-play/?app=live&stream=a", "/whip/live/a"):
        answer = weir.request("OPTIONS", path, Origin="https://x", Access_Control_Request_Method="POST")
        assert answer.status == 200 and answer.fields["accept-post"] == SDP, path
        assert answer.fields["link"] == '<turn:turn.example.org>; rel="ice-server"'
        assert answer.fields["access-control-allow-origin"] == "*"
        assert "POST" in answer.fields["access-control-allow-methods"]
    assert origin.calls[0][:2] == ("OPTIONS", WHIP)
    assert weir.weir.streams() == [], "asking brings no stream into being"
    stop = threading.Event()
    for answer in (lambda call, _: call.answer(500, b"", {"Link": "<x>"}), lambda call, _: call.close(),
                   lambda call, _: stop.wait(20)):
        origin.hooks["OPTIONS"] = answer
        done = weir.request("OPTIONS", WHIP)
        assert done.status == 200 and "link" not in done.fields
        assert "POST" in done.fields["access-control-allow-methods"]
    stop.set()
    for origins in ([], [free_port()]):
        other = RtcWeir(lab, origins, {"origin o9": {"ip": "127.0.0.1", "http": free_port()}})
        assert other.request("OPTIONS", "/whip/live/a").status == 200


def test_sessions_that_nobody_can_use_are_taken_back(lab):
    """A session that the origin has made is deleted there at once when its answer can't be used, came
    too late or found no client: the stream isn't busy for the next try."""
    origin = RtcOrigin(lab)
    weir = RtcWeir(lab, [origin], {"http": {"answer_timeout": "700ms"}})
    good = answer_sdp("abcdef", origin.candidates)

    def made(sdp, path="/s/1", **more):
        return lambda call, _: call.answer(201, sdp.encode(), {
            "Content-Type": SDP, "Location": path, **more})
    cut = f"HTTP/1.1 201 Created\r\nLocation: /s/1\r\nContent-Length: 9000\r\n\r\n{good}"
    bad = [made("v=0\r\ns=-\r\n"), made("no sdp"), made("v=0" * 40000),
           made(good, **{"Content-Encoding": "br"}), made(re.sub("a=ice-pwd.*", "a=ice-pwd:short", good)),
           lambda call, _: call.send(cut)]
    for number, answer in enumerate(bad, 1):
        origin.hooks["POST"] = answer
        assert weir.post(WHIP, offer_sdp("abcd"), Authorization="Bearer t").status in (502, 503), number
        poll("the DELETE", lambda n=number: origin.deleted == ["/s/1"] * n)
        assert origin.calls[-1][2]["authorization"] == "Bearer t"
    # Later than the client waits, and after it has left.
    late = threading.Event()
    origin.hooks["POST"] = lambda call, body: late.wait(20) and made(good, "/s/late")(call, body)
    assert weir.post(WHIP, offer_sdp("abcd")).status == 504
    with HttpConnection(weir.port) as client:
        sdp = offer_sdp("abce")
        client.send(f"POST {WHIP} HTTP/1.1\r\nHost: x\r\nContent-Type: {SDP}\r\n"
                    f"Content-Length: {len(sdp)}\r\n\r\n{sdp}")
        poll("the offer", lambda: len([c for c in origin.calls if c[0] == "POST"]) == len(bad) + 2)
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    poll("it has left", lambda: weir.weir.metric("weir_connections", protocol="http") == 0)
    late.set()
    poll("both DELETEs", lambda: origin.deleted[len(bad):] == ["/s/late"] * 2)
    # One that the master refuses: its names don't fit into the table.
    del origin.hooks["POST"]
    long = {"POST": made(re.sub("abcdef", "u" * 256, re.sub("a=ice-pwd.*", "a=ice-pwd:" + "p" * 256, good)))}
    origin.hooks.update(long)
    assert weir.post("/whip/live/" + "s" * 300, offer_sdp("f" * 40)).status == 400
    poll("the DELETE", lambda: origin.deleted[-1] == "/s/1")
    assert weir.weir.api("summaries")["sessions"] == 0
    origin.hooks.clear()
    assert weir.post(WHIP, offer_sdp("abcd")).status == 201


def test_odd_locations(lab):
    """Dots, escaped slashes, spaces and letters beyond ASCII: the client gets an address that works."""
    for form, path in (("../x/./s/1?q=..", "/rtc/v1/x/s/1?q=.."), ("/s/a%2Fb", "/s/a%2Fb"),
                       ("/s/\u00e9 1", "/s/%C3%A9%201"), ("http://origin//s/../t/1", "//t/1")):
        origin = RtcOrigin(lab, location=form)
        weir = RtcWeir(lab, [origin])
        location = weir.post(WHIP, offer_sdp("abcd")).fields["location"]
        assert location.startswith("http://weir.test" + path), (form, location)
        assert weir.request("DELETE", weir.target(location)).status == 200
        assert origin.deleted == [path], form
        weir.weir.stop()
    origin = RtcOrigin(lab, location="/api/v1/x/{session}")
    weir = RtcWeir(lab, [origin])
    answer = weir.post(WHIP, offer_sdp("abcd"))
    assert answer.status == 201 and "location" not in answer.fields
    weir.weir.wait_log("origin's Location cannot be passed on")


def test_counter_offer(lab):
    """WHEP: an origin that doesn't take the offer makes one of its own (406); the client's answer goes by
    PATCH, and its checks are known from then on."""
    origin = RtcOrigin(lab)
    counter = answer_sdp("counter1", origin.candidates)
    origin.hooks["POST"] = lambda call, _: call.answer(406, counter.encode(), {
        "Content-Type": SDP, "Location": "/s/1", "ETag": '"c"'})
    origin.hooks["PATCH"] = lambda call, _: call.answer(204, b"", {"Content-Type": None,
                                                                   "Content-Length": None})
    weir = RtcWeir(lab, [origin])
    got = weir.post("/whep/live/a", offer_sdp("abcd"))
    assert got.status == 406 and got.fields["content-type"] == SDP and got.fields["etag"] == '"c"'
    assert set(candidates_of(got.body.decode())) == {("udp", "203.0.113.7", weir.rtc_port)}
    target = weir.target(got.fields["location"])
    answer = offer_sdp("answerer").replace("a=mid:0", "a=mid:0\r\na=candidate:1 1 udp 9 192.0.2.1 7000 typ host")
    done = weir.request("PATCH", target, answer, Content_Type=SDP)
    assert done.status == 204
    method, path, fields, body = origin.calls[-1]
    assert (method, path, fields["content-type"]) == ("PATCH", "/s/1", SDP)
    assert body == offer_sdp("answerer")
    assert "session has new credentials" in weir.weir.log()
    assert weir.request("PATCH", target, "v=1", Content_Type=SDP).status == 400
    assert weir.request("DELETE", target).status == 200 and origin.deleted == ["/s/1"]
    poll("the session's end", lambda: weir.weir.api("summaries")["sessions"] == 0)
    # A 406 that offers nothing is the origin's word.
    origin.hooks["POST"] = lambda call, _: call.answer(406, b"no", {})
    assert weir.post("/whep/live/a", offer_sdp("abcd")).body == b"no"


def test_offers_that_ice_does_not_allow(lab):
    """RFC 8839, 5.4: refused with the name of the field, and no origin hears of it."""
    origin = RtcOrigin(lab)
    weir = RtcWeir(lab, [origin])
    good = offer_sdp("abcd")
    for wrong, field in ((good.replace("ice-ufrag:abcd", "ice-ufrag:abc"), b"ice-ufrag"),
                         (good.replace("ice-ufrag:abcd", "ice-ufrag:" + "a" * 257), b"ice-ufrag"),
                         (good.replace("ice-ufrag:abcd", "ice-ufrag:ab:cd"), b"ice-ufrag"),
                         (re.sub("a=ice-pwd:.*\r\n", "", good), b"ice-pwd"),
                         (re.sub("a=ice-pwd:.*", "a=ice-pwd:tooshort", good), b"ice-pwd"),
                         (re.sub("a=ice-pwd:.*", "a=ice-pwd:" + "p" * 257, good), b"ice-pwd"),
                         (good.replace("m=video 9", "m=video x"), b"m= line"),
                         (good.replace("a=ice-ufrag:abcd\r\n", ""), b"credentials")):
        answer = weir.post(WHIP, wrong)
        assert answer.status == 400 and field in answer.body, (wrong, answer.body)
    assert weir.post(WHIP, good, Accept="application/json").status == 406
    assert weir.post(WHIP, good, Accept="text/html, application/*;q=0.1").status == 201
    assert len(origin.calls) == 1


def test_origin_is_not_told_where_its_client_is(lab):
    """No address of the client in offers, PATCHes and JSON: an origin with full ICE would send its checks
    and media round Weir."""
    origin = RtcOrigin(lab)
    weir = RtcWeir(lab, [origin])
    offer = offer_sdp("abcd").replace("m=audio 9", "m=audio 50000").replace(
        "c=IN IP4 0.0.0.0\r\n", "c=IN IP4 192.0.2.1\r\na=rtcp:50001 IN IP4 192.0.2.1\r\n"
        "a=candidate:1 1 udp 9 192.0.2.1 50000 typ host\r\na=candidate:2 1 udp 8 1f.local 50000 typ host\r\n"
        "a=candidate:3 1 tcp 7 2001:db8::1 9 typ host tcptype active\r\na=end-of-candidates\r\n")
    answer = weir.post(WHIP, offer)
    assert answer.status == 201
    body = {"streamurl": "webrtc://weir.test/live/b", "sdp": offer}
    assert weir.post("/rtc/v1/play/", json.dumps(body)).status == 200
    fragment = "a=ice-ufrag:abcd\r\na=ice-pwd:" + password_of("abcd") + \
        "\r\nm=audio 50000 RTP/AVP 0\r\na=mid:0\r\na=candidate:1 1 udp 9 192.0.2.1 7000 typ host\r\n" \
        "a=end-of-candidates\r\n"
    assert weir.request("PATCH", weir.target(answer.fields["location"]), fragment, Content_Type=FRAGMENT,
                        If_Match='"e1"').status == 204
    for _, sdp in (*origin.offers, *origin.patches):
        assert not re.search(r"192\.0\.2|local|2001|5000\d|7000", sdp), sdp
        assert "a=end-of-candidates\r\n" in sdp and "m=audio 9 " in sdp
    for _, sdp in origin.offers:
        # Origins that need one get one that leads nowhere.
        assert set(candidates_of(sdp)) == {("udp", "127.0.0.1", 9)}
        assert "c=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\n" in sdp
    assert not candidates_of(origin.patches[0][1])


def test_what_was_asked_about_is_what_the_origin_does(lab):
    """The operator's server and the origin read the same stream and vhost, or the request is refused."""
    asked = []

    def decide(call):
        asked.append(json.loads(call.extra))
        call.answer(200, b"0")
        call.close()
    hook = HttpOrigin(lab, decide)
    url = f"http://127.0.0.1:{hook.http_port}/"
    origin = RtcOrigin(lab)
    weir = RtcWeir(lab, [origin], {"hooks": {"on_publish": url, "on_play": url}})

    def seen():
        return asked[-1]["vhost"], asked[-1]["app"], asked[-1]["stream"], asked[-1]["action"]
    for target, sent, host in (
            ("/whip/live/public?stream=secret", "/rtc/v1/whip/?app=live&stream=public", "weir.test"),
            ("/rtc/v1/whip/?x&stream=public&app=live", "/rtc/v1/whip/?app=live&stream=public&x", "weir.test"),
            ("/rtc/v1/whip/?app=live&stream=public&vhost=other.org",
             "/rtc/v1/whip/?app=live&stream=public&vhost=other.org", "other.org")):
        assert weir.post(target, offer_sdp("abcd")).status == 201
        assert seen() == (host, "live", "public", "on_publish")
        assert origin.calls[-1][1] == sent and origin.calls[-1][2]["host"] == host
    assert weir.post("/rtc/v1/whip/?action=play&app=live&stream=public", offer_sdp("abcd")).status == 201
    assert seen()[3] == "on_play" and origin.calls[-1][1] == "/rtc/v1/whep/?app=live&stream=public"
    before = len(origin.calls), len(asked)
    for target in ("?app=live&stream=public&stream=secret", "?app=live&stream=public;stream=secret",
                   "?app=live&stream=public&a,b;stream=secret"):
        assert weir.post("/rtc/v1/whip/" + target, offer_sdp("abcd")).status == 400
    body = {"sdp": offer_sdp("abcd"), "streamurl": "webrtc://weir.test/live/public?t=1/secret&vhost=v.org"}
    assert weir.post("/rtc/v1/publish/", json.dumps(body)).status == 200
    assert seen() == ("v.org", "live", "public", "on_publish")
    assert json.loads(origin.calls[-1][3])["streamurl"] == \
        "webrtc://v.org/live/public?vhost=v.org&t=1%2Fsecret"
    twice = json.dumps(body).replace('"streamurl"', '"streamurl": "webrtc://h/live/x", "streamurl"')
    assert weir.post("/rtc/v1/publish/", twice).status == 400
    assert (len(origin.calls), len(asked)) == (before[0] + 1, before[1] + 1)


def test_origins_are_told_of_ends_that_they_cannot_see(lab):
    """A kick, and a client that never comes: the origin gets the DELETE, so that the next publisher of the
    stream does not wait for the origin's timeout. One that the client has sent is not repeated."""
    origin = RtcOrigin(lab)
    weir = RtcWeir(lab, [origin], {"rtc": {"signal_timeout": "1s"}}, workers=2)
    for bundle, role in ((True, "whip"), (False, "whep")):
        origin.bundle = bundle
        before = len(origin.deleted)
        kicked = weir.post(f"/{role}/live/a", offer_sdp("abcd"))
        own = weir.post(f"/{role}/live/b", offer_sdp("abce"))
        assert kicked.status == own.status == 201
        assert weir.request("DELETE", weir.target(own.fields["location"])).status == 200
        row = next(r for r in weir.weir.api("sessions")["sessions"] if r["stream"].endswith("live/a"))
        assert weir.weir.request(f"/api/v1/sessions/{row['id']}", "DELETE")[0] == 200
        poll("the origin is told of the kick", lambda n=before: len(origin.deleted) == n + 2)
        assert "session=" in origin.deleted[-1] and "weir" not in origin.deleted[-1]
        assert weir.post(f"/{role}/live/c", offer_sdp("abcf")).status == 201
        poll("the origin is told of the timeout", lambda n=before: len(origin.deleted) == n + 3)
    assert len(origin.deleted) == 6
    assert weir.weir.log().count("origin was told of the session's end") == 4


def test_publishers_without_an_address_are_kicked(lab):
    """SRS's JSON names no address to end a session at: a publisher that nobody can use (any more) is kicked by
    the origin's API, so that the next try is not refused as busy. Nobody else is."""
    origin = RtcOrigin(lab)
    weir = RtcWeir(lab, [origin], {"rtc": {"signal_timeout": "2s"}, "http": {"answer_timeout": "700ms"}},
                   media=False)
    others = [origin.add_client("webrtc://weir.test/live", "a", False) for _ in range(150)]
    others.append(origin.add_client("webrtc://other.test/live", "a", True))

    def publish(stream, ufrag):
        body = {"sdp": offer_sdp(ufrag), "streamurl": f"webrtc://weir.test/live/{stream}?token=1"}
        answer = weir.post("/rtc/v1/publish/", json.dumps(body))
        return answer.status, json.loads(answer.body)["code"]

    def made():
        return [number for number in origin.clients if number not in others]

    def session_of(stream):
        return next(row["id"] for row in weir.weir.api("sessions")["sessions"] if row["stream"].endswith(stream))

    def kick(session):
        assert weir.weir.request(f"/api/v1/sessions/{session}", "DELETE")[0] == 200

    def wait_kicks(count):
        poll("the origin's kick", lambda: len(origin.deleted) == count)
        assert not made() and origin.deleted[-1].startswith("/api/v1/clients/c")
    # An answer without a candidate; one that comes too late.
    candidates, origin.candidates = origin.candidates, []
    assert publish("a", "abcd")[0] == 502
    wait_kicks(1)
    origin.candidates = candidates
    late = threading.Event()
    origin.hooks["POST"] = lambda *_: not late.wait(20)
    assert publish("a", "abce")[0] == 504
    late.set()
    wait_kicks(2)
    origin.hooks.clear()
    # The origin's refusal kicks nobody. An operator's kick does, and the timeout of a client that never comes.
    assert publish("a", "abcf") == (200, 0) and publish("a", "abcg") == (200, 400)
    kick(session_of("live/a"))
    wait_kicks(3)
    assert publish("a", "abch") == (200, 0)
    wait_kicks(4)
    # One whose publisher has left without a word while another came, through this Weir or past it.
    assert publish("a", "abci") == (200, 0)
    old = session_of("live/a")
    origin.clients.pop(*made())
    assert publish("a", "abcj") == (200, 0)
    kick(old)
    poll("its end", lambda: all(row["id"] != old for row in weir.weir.api("sessions")["sessions"]))
    assert publish("b", "abck") == (200, 0)
    origin.clients.pop(made()[-1])
    others.append(origin.add_client("webrtc://weir.test/live", "b", True))
    origin.clients[others[-1]]["since"] += 1.5
    wait_kicks(5)
    weir.weir.wait_log("another one publishes there")
    assert origin.deleted[5:] == [] and all(number in origin.clients for number in others)


def test_redirects_are_followed_to_origins(lab):
    """307 and 308 (RFC 9725, 4.5) lead to the same origin or to another one that Weir knows, by address or by
    name; the client hears nothing of it, and elsewhere nobody is asked. The session is the last one's."""
    first, second, named, stranger = origins = [RtcOrigin(lab) for _ in range(4)]
    named.ip = "localhost"
    weir = RtcWeir(lab, origins[:3], {"origin o2": {"weight": 0}, "origin o3": {"weight": 0}})
    moves = {}

    def move(call, _):
        to = moves.get(call.path.partition("?")[0])
        if to is None:
            return False
        call.answer(to[0], b"", {"Location": to[1]} if to[1] else {})
        return True
    for origin in origins:
        origin.hooks = {"POST": move, "DELETE": move, "PATCH": move}
    here, there = f"http://127.0.0.1:{first.api_port}", f"http://127.0.0.1:{second.api_port}"
    poll("the name", lambda: all(o["state"] != "unresolved" for o in weir.weir.api("origins")["origins"]))
    for number, (status, location, at, path) in enumerate((
            (307, "/whip/x?token=1", first, "/whip/x?token=1"), (308, "../x", first, "/rtc/v1/x"),
            (307, here + "/x", first, "/x"), (307, "http://weir.test/x", first, "/x"),
            (308, there + "/whip/live/a", second, "/whip/live/a"),
            (307, f"//127.0.0.1:{second.api_port}/y", second, "/y"),
            (307, f"http://LOCALHOST:{named.api_port}/z", named, "/z"))):
        moves["/rtc/v1/whip/"] = status, location
        offer = offer_sdp(f"abc{number}")
        answer = weir.post(f"/whip/live/{number}", offer, Authorization="Bearer t")
        assert answer.status == 201, location
        method, asked, fields, body = at.calls[-1]
        assert (method, asked, fields["host"], fields["authorization"]) == ("POST", path, "weir.test", "Bearer t")
        assert "a=ice-ufrag:abc" in body and len(at.offers) > 0
        target = weir.target(answer.fields["location"])
        assert weir.request("DELETE", target).status == 200 and len(at.deleted) == 1, location
        assert answer.fields["location"].startswith("http://weir.test/") and "127.0.0.1" not in answer.raw_head
        at.deleted.clear()
    # A session may move, too; one that nobody uses is ended where the redirect leads.
    moves["/rtc/v1/whip/"] = 307, there + "/w"
    location = weir.post("/whip/live/b", offer_sdp("abcd")).fields["location"]
    moves["/w"] = 307, here + "/s/1"
    assert weir.request("DELETE", weir.target(location)).status == 200 and first.deleted == ["/s/1"]
    # What is not followed, and what goes round.
    del moves["/w"]
    moves.update({"/r1": (307, "/r2"), "/r2": (308, there + "/r3"), "/r3": (307, here + "/r1")})
    asked = len(first.calls) + len(second.calls)
    for status, location in ((307, "/r1"), (301, "/x"), (302, "/x"), (303, "/x"), (300, ""), (307, ""),
                             (307, "/api/v1/clients/"), (307, "/x/%2e%2e/api/v1"), (307, "ftp://weir.test/x"),
                             (307, f"http://127.0.0.1:{stranger.api_port}/x"), (307, "http://example.org/x"),
                             (307, f"http://user@127.0.0.1:{second.api_port}/x"),
                             (307, f"http://127.0.0.1:{second.api_port}x/x")):
        moves["/rtc/v1/whip/"] = status, location
        answer = weir.post(WHIP, offer_sdp("abcd"))
        assert answer.status == 502 and "location" not in answer.fields, (status, location)
        assert b"127.0.0.1" not in answer.body and b"example" not in answer.body
    assert len(first.calls) + len(second.calls) == asked + 13 + 2 and not stranger.calls
    assert weir.weir.log().count("origin's redirect cannot be followed") == 13
    # An origin that is not there is nobody else's to answer for.
    weir.weir.stop()
    gone = RtcOrigin(lab, start=False)
    weir = RtcWeir(lab, [first, gone], {"origin o2": {"weight": 0}})
    moves["/rtc/v1/whip/"] = 307, f"http://127.0.0.1:{gone.api_port}/x"
    assert weir.post(WHIP, offer_sdp("abcd")).status == 503


def test_the_next_address_of_an_api(lab):
    """An API with several addresses is one endpoint: it answers while any of them does."""
    origin = RtcOrigin(lab)
    weir = RtcWeir(lab, [origin], {"balance": {"probe_interval": "0"}, "origin o1": {
        "api": (free_port(), origin.api_port, free_port())}})
    assert [weir.post(f"/whip/live/{n}", offer_sdp(f"abc{n}")).status for n in range(6)] == [201] * 6
    assert weir.weir.metric("weir_dial_failures_total", protocol="http", reason="refused") >= 2
    assert weir.weir.metric("weir_dial_retries_total", protocol="http") == 0
