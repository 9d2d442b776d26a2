"""WHIP, WHEP and SRS's JSON API on the API port, against scripted origins."""

import json
import re
import threading
import time

from weirtest import HttpConnection, HttpOrigin, free_port, poll
from weirtest.tls import Ca, TlsFront
from weirtest.rtcorigin import (FRAGMENT, SDP, RtcOrigin, RtcWeir, candidates_of, offer_sdp,
                                password_of)

WHIP = "/rtc/v1/whip/?app=live&stream=a"


def test_offer_and_answer(lab):
    origin = RtcOrigin(lab)
    weir = RtcWeir(lab, [origin], {"http": {"trusted_networks": "loopback"}})
    offer = offer_sdp("abcd")
    answer = weir.post(WHIP + "&token=s%2Bt", offer, host="media.example.org:11985",
                       Authorization="Bearer origin's", X_Forwarded_For="198.51.100.9")
    assert answer.status == 201, answer.body
    assert answer.fields["content-type"] == SDP and answer.fields["etag"] == '"e1"'
    assert answer.fields["link"] == '<stun:stun.example.org>; rel="ice-server"'
    assert answer.fields["access-control-allow-origin"] == "*"
    exposed = answer.fields["access-control-expose-headers"]
    assert all(name in exposed for name in ("Location", "ETag", "Link", "Content-Length"))

    # What the origin got is what the client sent.
    method, path, fields, body = origin.calls[0]
    assert (method, path, body) == ("POST", WHIP + "&token=s%2Bt", offer)
    assert fields["host"] == "media.example.org:11985" and fields["content-type"] == SDP
    assert fields["authorization"] == "Bearer origin's"
    assert fields["x-forwarded-for"].startswith("198.51.100.9")

    # What the client got names only us.
    sdp = answer.body.decode()
    assert candidates_of(sdp) == [("udp", "203.0.113.7", weir.rtc_port)] * 2 or \
        candidates_of(sdp) == [("udp", "203.0.113.7", weir.rtc_port)]
    theirs = re.sub(r"a=candidate:.*\r\n", "", sdp)
    assert "10.9.9.9" not in sdp and "a=ice-lite\r\n" in theirs and "a=setup:passive\r\n" in theirs
    location = answer.fields["location"]
    assert location.startswith("http://media.example.org:11985/rtc/v1/whip/?action=delete&token=")

    # And it leads back, with nothing of ours left in it.
    gone = weir.request("DELETE", weir.target(location))
    assert gone.status == 200, gone.body
    assert len(origin.deleted) == 1
    assert re.fullmatch(r"/rtc/v1/whip/\?action=delete&token=tok%2B1&app=live&stream=a"
                        r"&token=s%2Bt&session=o\w+%3Aabcd", origin.deleted[0])


def test_both_forms_reach_the_same_origin(lab):
    """Publishers and players of a stream meet, whatever the form of the address; roles are kept."""
    origins = [RtcOrigin(lab) for _ in range(3)]
    weir = RtcWeir(lab, origins)
    for number in range(6):
        assert weir.post(f"/whip/live/s{number}", offer_sdp(f"pub{number}")).status == 201
        target = f"/rtc/v1/whep/?app=live&stream=s{number}"
        assert weir.post(target, offer_sdp(f"sub{number}")).status == 201
        assert weir.post(f"/whep/live/s{number}?vhost=Weir.test",
                         offer_sdp(f"suc{number}")).status == 201
    for origin in origins:
        published = {p.split("stream=")[1] for p, _ in origin.offers if "/whip/" in p}
        played = [re.search(r"stream=(\w+)", p).group(1) for p, _ in origin.offers if "/whep/" in p]
        assert len(published) == 2, "least_streams spreads six streams over three"
        assert sorted(played) == sorted(list(published) * 2)


def test_public_addresses(lab):
    """Candidates: a list in its order, names, ports; ?eip= for one session; only ours are left."""
    theirs = ["1 1 udp 9 192.168.1.5 8000 typ host", "2 1 udp 8 203.0.113.99 8000 typ host",
              "3 1 udp 7 8a1f.local 8000 typ host", "4 1 tcp 6 203.0.113.99 8000 typ host tcptype passive"]
    origin = RtcOrigin(lab, candidates=theirs)
    weir = RtcWeir(lab, [origin],
                   {"rtc": {"candidate": "198.51.100.1:9000, [2001:db8::1] localhost"}})
    public = [("198.51.100.1", 9000), ("2001:db8::1", weir.rtc_port), ("127.0.0.1", weir.rtc_port)]

    def addresses(answer):
        assert answer.status in (200, 201), answer.body
        return list(dict.fromkeys((a, p) for _, a, p in candidates_of(answer.body.decode())))
    assert addresses(weir.post(WHIP, offer_sdp("aaaa"))) == public
    assert addresses(weir.post(WHIP + "&eip=192.0.2.8", offer_sdp("bbbb"))) == \
        [("192.0.2.8", weir.rtc_port)]
    assert addresses(weir.post(WHIP + "&eip=192.0.2.8:99", offer_sdp("cccc"))) == [("192.0.2.8", 99)]
    assert addresses(weir.post(WHIP + "&eip=evil.example", offer_sdp("dddd"))) == public
    weir.weir.reload({**weir.sections, "rtc": {**weir.sections["rtc"], "candidate": "auto",
                                               "eip": False}})
    assert addresses(weir.post(WHIP + "&eip=192.0.2.8", offer_sdp("eeee"))) == \
        [("127.0.0.1", weir.rtc_port)]


def test_tcp_candidates(lab):
    """ICE over TCP is announced when it is on: passive, its own port, behind every UDP one."""
    origin = RtcOrigin(lab)
    port = free_port()
    rtc = {"candidate": "198.51.100.1:9000 [2001:db8::1]", "tcp_listen": f"127.0.0.1:{port}"}
    weir = RtcWeir(lab, [origin], {"rtc": rtc})

    def lines(path=WHIP):
        answer = weir.post(path, offer_sdp("abcd"))
        assert answer.status == 201, answer.body
        found = re.findall(r"a=candidate:(\S+) 1 (\S+) (\d+) (\S+) (\d+) typ host(.*)\r\n",
                           answer.body.decode())
        udp = [(a, int(p)) for _, t, _, a, p, rest in found if (t, rest) == ("udp", "")]
        tcp = [(a, int(p)) for _, t, _, a, p, rest in found if (t, rest) == ("tcp", " tcptype passive")]
        assert len(udp) + len(tcp) == len(found)
        assert len({row[0] for row in found}) == len(set(found))
        below = [int(priority) for _, t, priority, *_ in found if t == "tcp"]
        assert not tcp or max(below) < min(int(row[2]) for row in found if row[1] == "udp")
        return list(dict.fromkeys(udp)), list(dict.fromkeys(tcp))

    assert lines() == ([("198.51.100.1", 9000), ("2001:db8::1", weir.rtc_port)],
                       [("198.51.100.1", port), ("2001:db8::1", port)])
    assert lines(WHIP + "&eip=192.0.2.8:99") == ([("192.0.2.8", 99)], [("192.0.2.8", port)])
    for rtc["tcp_candidate"], tcp in (("198.51.100.2:443 auto", [("198.51.100.2", 443), ("127.0.0.1", port)]),
                                      ("203.0.113.1", [("203.0.113.1", port)])):
        weir.weir.reload({**weir.sections, "rtc": {**weir.sections["rtc"], **rtc}})
        assert lines()[1] == tcp
    weir.weir.reload({**weir.sections, "rtc": {**weir.sections["rtc"], "tcp_listen": ""}})
    assert lines()[1] == []


def test_methods_and_bodies(lab):
    origin = RtcOrigin(lab)
    weir = RtcWeir(lab, [origin], {"http": {"request_timeout": "700ms"}})
    offer = offer_sdp("abcd")
    for method, path in (("GET", WHIP), ("HEAD", "/whep/live/a"), ("GET", "/whip/live/a")):
        answer = weir.request(method, path)
        assert (answer.status, answer.body) == (204, b""), (method, path)
    for method, path in (("PUT", WHIP), ("DELETE", "/whip/live/a"), ("GET", "/rtc/v1/play/")):
        answer = weir.request(method, path)
        assert answer.status == 405 and "POST" in answer.fields["allow"], (method, path)
    for status, path, body, fields in (
            (415, WHIP, offer, {"Content_Type": "text/plain"}),
            (400, WHIP, "", {}), (400, WHIP, "x", {}), (400, WHIP, "v=0\r\ns=-\r\n", {}),
            (400, "/rtc/v1/whip/?app=live", offer, {}), (400, "/whip/a", offer, {}),
            (413, WHIP, offer + "a=x:" + "y" * 65536 + "\r\n", {}),
            (404, "/rtc/v1/nothing/", offer, {})):
        answer = weir.post(path, body, **fields)
        assert answer.status == status and answer.body, (status, path)
        assert answer.fields["access-control-allow-origin"] == "*"
    assert origin.calls == []

    answer = weir.request("OPTIONS", "/whip/live/a", Origin="https://x", Authorization="Bearer x",
                          Access_Control_Request_Method="POST")
    assert answer.status == 200 and answer.fields["accept-post"] == SDP
    assert "POST" in answer.fields["access-control-allow-methods"]
    assert "Authorization" in answer.fields["access-control-allow-headers"]

    with HttpConnection(weir.port) as client:  # Expect, then a second request on the connection
        head = f"POST {WHIP} HTTP/1.1\r\nHost: x\r\nContent-Type: {SDP}\r\n"
        client.send(head + f"Expect: 100-continue\r\nContent-Length: {len(offer)}\r\n\r\n")
        assert client.read_head().status == 100
        client.send(offer[:40])
        time.sleep(0.05)
        chunks = f"{len(offer):x}\r\n{offer}\r\n0\r\n\r\n"
        client.send(offer[40:] + head + "Transfer-Encoding: chunked\r\n\r\n" + chunks)
        assert client.read_answer().status == 201
        assert client.read_answer().status == 201
    assert [sdp for _, sdp in origin.offers] == [offer, offer]
    for text, status in (("Content-Length: 9\r\n\r\nv=0", 408),
                         ("Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
                         ("Expect: 100-continue\r\nContent-Length: 70000\r\n\r\n", 413)):
        with HttpConnection(weir.port) as client:
            client.send(head + text)
            assert client.read_answer().status == status
            assert client.closed() == b""
    assert len(origin.offers) == 2


def test_restart_and_trickle(lab):
    origin = RtcOrigin(lab)
    weir = RtcWeir(lab, [origin])
    answer = weir.post(WHIP, offer_sdp("abcd"))
    target = weir.target(answer.fields["location"])
    trickle = "a=ice-ufrag:abcd\r\na=ice-pwd:" + password_of("abcd") + \
        "\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\na=candidate:1 1 udp 9 192.0.2.1 7000 typ host\r\n"

    def patch(body=trickle, **fields):
        fields.setdefault("Content_Type", FRAGMENT)
        return weir.request("PATCH", target, body, **fields)
    assert patch(Content_Type="text/plain").status == 415
    assert patch(Content_Type=SDP).status == 400
    assert patch("nothing").status == 400
    assert patch("").status == 400
    assert origin.patches == []
    assert patch().status == 428
    assert patch(If_Match='"stale"').status == 412
    done = patch(If_Match='"e1"')
    assert done.status == 204
    assert origin.patches[-1][1] == trickle.split("a=candidate")[0], "no address of the client"
    assert "weir" not in origin.patches[-1][0]
    restart = trickle.replace("abcd", "efgh")
    done = patch(restart, If_Match="*")
    assert done.status == 200 and done.fields["etag"] == '"e2"'
    assert done.fields["content-type"] == FRAGMENT
    text = done.body.decode()
    assert candidates_of(text) == [("udp", "203.0.113.7", weir.rtc_port)]
    assert "a=ice-ufrag:restarted\r\n" in text
    # The new pair can be found before the client has it; the old one still can.
    log = weir.weir.log()
    assert "webrtc session restarted" in log


def test_origins_that_cannot_change_a_session(lab):
    """What an origin says about a PATCH is the client's to know (RFC 9725, 4.3.2 and 4.3.3)."""
    said = []
    origin = RtcOrigin(lab, hooks={
        "PATCH": lambda call, _body: call.answer(said[-1], b"no", {"Allow": "DELETE"})})
    weir = RtcWeir(lab, [origin])
    target = weir.target(weir.post(WHIP, offer_sdp("abcd")).fields["location"])
    fragment = "a=ice-ufrag:abcd\r\na=ice-pwd:" + password_of("abcd") + "\r\n"
    for status in (405, 422, 501):
        said.append(status)
        answer = weir.request("PATCH", target, fragment, Content_Type=FRAGMENT, If_Match='"e1"')
        assert answer.status == status and answer.body == b"no"
        assert answer.fields["allow"] == "DELETE"
    assert weir.request("DELETE", target).status == 200
    again = target.partition("weir-session=")
    other = again[0] + again[1] + "f" * 48
    assert weir.request("DELETE", other).status == 200, "the origin's word, no session of ours"


def test_nack_goes_to_the_origin_of_its_session(lab):
    """SRS's drill for losses names the session by its USERNAME."""
    asked = []

    def nack(call, number):
        if not call.path.startswith("/rtc/v1/nack/"):
            return False
        asked.append((number, call.path))
        call.answer(200, b'{"code":0}', {"Content-Type": "application/json"})
        return True
    origins = [RtcOrigin(lab, hooks={"POST": lambda call, _body, n=n: nack(call, n)}) for n in range(3)]
    weir = RtcWeir(lab, origins)
    for number in range(6):
        body = json.dumps({"streamurl": f"webrtc://weir.test/live/s{number}",
                           "sdp": offer_sdp(f"cl{number:04d}")})
        answer = weir.request("POST", "/rtc/v1/play/", body)
        assert answer.status == 200, answer.body
        name = json.loads(answer.body)["sessionid"]
        home = next(n for n, origin in enumerate(origins) if name in origin.sessions)
        path = f"/rtc/v1/nack/?username={name.replace(':', '%3A')}&drop=3"
        done = weir.request("POST", path, "")
        assert (done.status, json.loads(done.body)) == (200, {"code": 0})
        assert asked[-1] == (home, path)
    assert weir.request("POST", "/rtc/v1/nack/?username=who:knows&drop=3", "").status == 404
    assert weir.request("POST", "/rtc/v1/nack/", "").status == 404
    assert len(asked) == 6


def test_https_origin(lab):
    """Signalling to an API that speaks TLS, whose certificate must be right."""
    ca = Ca(lab)
    origin = RtcOrigin(lab)
    front = TlsFront(lab, ca.issue("origin.test", ips=["127.0.0.1"]), origin.api_port)
    weir = RtcWeir(lab, [f"https://127.0.0.1:{front.port}"], {"tls": {"origin_ca": str(ca.file)}})
    offer = offer_sdp("abcd")
    answer = weir.post(WHIP, offer)
    assert answer.status == 201, answer.body
    assert origin.offers[0][1] == offer
    assert candidates_of(answer.body.decode())[0] == ("udp", "203.0.113.7", weir.rtc_port)
    assert weir.request("DELETE", weir.target(answer.fields["location"])).status == 200
    assert len(origin.deleted) == 1 and front.connections == 2 + origin.origin.probes
    weir.weir.reload({**weir.sections, "tls": {"origin_ca": str(Ca(lab, "other").file)}})
    assert weir.post(WHIP, offer).status == 503
    assert len(origin.offers) == 1
    weir.weir.wait_log("certificate verify failed")


def test_resources_through_another_weir(lab):
    """The hint needs no shared state: another instance with the same secret understands it, one
    with another secret does not."""
    origins = [RtcOrigin(lab) for _ in range(3)]
    secret = {"http": {"hint_secret": "0123456789abcdef"}}
    first = RtcWeir(lab, origins, secret)
    second = RtcWeir(lab, origins, secret)
    other = RtcWeir(lab, origins, {"http": {"hint_secret": "another"}})
    for number in range(6):
        answer = first.post(f"/whip/live/s{number}", offer_sdp(f"ufr{number}"))
        target = first.target(answer.fields["location"])
        assert other.request("DELETE", target.replace("app=", "ppa=")).status in (400, 404)
        assert second.request("DELETE", target).status == 200
        assert second.request("GET", target).status == 204
        assert second.request("PUT", target).status == 405
    for origin in origins:
        assert len(origin.deleted) == len(origin.offers) == 2


def test_location_forms(lab):
    """Absolute, relative and SRS's locations; the client's scheme, host and prefix."""
    trusted = {"http": {"trusted_networks": "loopback"}}
    for form, path in (("http://10.1.2.3:1985/s/{session}", "/s/"), ("s/{session}?a=1", "/rtc/v1/whip/s/"),
                       ("/whip/{session}", "/whip/")):
        origin = RtcOrigin(lab, location=form)
        weir = RtcWeir(lab, [origin], trusted)
        answer = weir.post(WHIP, offer_sdp("abcd"), X_Forwarded_Proto="https",
                           X_Forwarded_Host="live.example.org", X_Forwarded_Prefix="/media/")
        location = answer.fields["location"]
        assert location.startswith("https://live.example.org/media" + path), location
        assert weir.request("DELETE", weir.target(location)[len("/media"):]).status == 200
        assert len(origin.deleted) == 1 and origin.deleted[0].startswith(path)
        weir.weir.stop()


def test_origins_own_answers(lab):
    """An origin's refusal is the client's answer; one that cannot be used is a 502."""
    origin = RtcOrigin(lab)
    weir = RtcWeir(lab, [origin], {"http": {"answer_timeout": "600ms"}})

    def post(answer):
        origin.hooks["POST"] = answer
        return weir.post(WHIP, offer_sdp("abcd"))
    got = post(lambda call, _: call.answer(401, b"who are you", {"WWW-Authenticate": "Bearer"}))
    assert (got.status, got.body) == (401, b"who are you")
    assert got.fields["www-authenticate"] == "Bearer"
    got = post(lambda call, _: call.answer(503, b"full", {"Retry-After": "7"}))
    assert got.status == 503 and got.body == b"full"
    assert [v for k, v in (line.split(": ") for line in got.raw_head.split("\r\n")[1:])
            if k.lower() == "retry-after"] == ["7"]
    for answer in (b"v=0\r\ns=-\r\n", b"no sdp", b"v=0" * 40000):
        assert post(lambda call, _, a=answer: call.answer(201, a, {"Content-Type": SDP})).status == 502
    assert post(lambda call, _: call.answer(302, b"", {"Location": "/x"})).status == 502
    assert post(lambda call, _: call.close()).status == 502
    assert post(lambda call, _: call.send("SSH-2.0-x\r\n\r\n")).status == 502
    stop = threading.Event()
    assert post(lambda call, _: stop.wait(20)).status == 504
    stop.set()


def test_failed_origins(lab):
    """A dial that fails moves to the next origin; an offer that may have arrived does not."""
    good, silent = RtcOrigin(lab), RtcOrigin(lab)
    weir = RtcWeir(lab, [free_port(), good, free_port()], {"http": {"dial_attempts": 3}})
    for number in range(6):
        assert weir.post(f"/whip/live/s{number}", offer_sdp(f"ufr{number}")).status == 201
    assert len(good.offers) == 6
    silent.hooks["POST"] = lambda call, _: call.close()
    weir = RtcWeir(lab, [silent, good])
    before, statuses = len(good.offers), []
    for number in range(4):
        statuses.append(weir.post(f"/whip/live/t{number}", offer_sdp(f"ugr{number}")).status)
    assert sorted(statuses) == [201, 201, 502, 502]
    assert len(good.offers) == before + 2 and len(silent.calls) == 2
    nobody = RtcWeir(lab, [], {"origin o1": {"ip": "127.0.0.1", "http": free_port()}})
    answer = nobody.post(WHIP, offer_sdp("abcd"))
    assert answer.status == 503 and int(answer.fields["retry-after"]) > 0
    dead = RtcWeir(lab, [free_port()])
    answer = dead.post(WHIP, offer_sdp("abcd"))
    assert answer.status == 503 and int(answer.fields["retry-after"]) > 0


def test_srs_json(lab):
    origin = RtcOrigin(lab)
    weir = RtcWeir(lab, [origin])

    def ask(api, body, **fields):
        text = body if isinstance(body, str) else json.dumps(body)
        answer = weir.post(f"/rtc/v1/{api}/?x=1", text, Content_Type="text/plain", **fields)
        return answer.status, json.loads(answer.body)
    body = {"api": "http://x/rtc/v1/publish/", "tid": "t1", "clientip": None, "sdp": offer_sdp("abcd"),
            "streamurl": "webrtc://weir.test/live/a?token=1"}
    status, answer = ask("publish", body)
    assert status == 200 and answer["code"] == 0 and answer["server"] == "vid-1"
    assert answer["sessionid"] in origin.sessions
    assert set(candidates_of(answer["sdp"])) == {("udp", "203.0.113.7", weir.rtc_port)}
    assert answer["sdp"].startswith("v=0\r\n")
    method, path, _, sent = origin.calls[0]
    assert (method, path) == ("POST", "/rtc/v1/publish/?x=1") and json.loads(sent) == body
    spoofed = {**body, "clientip": "192.0.2.66", "sdp": offer_sdp("spoo")}
    assert ask("publish", spoofed)[0] == 200
    assert json.loads(origin.calls[-1][3]) == {**spoofed, "clientip": "127.0.0.1"}
    status, answer = ask("play", {**body, "sdp": offer_sdp("efgh")})
    assert status == 200 and len(origin.offers) == 3
    for wrong in ("{", "[]", {}, {"sdp": body["sdp"]}, {**body, "streamurl": "x"},
                  {**body, "sdp": "v=1"}, {**body, "sdp": 3},
                  json.dumps(body)[:-1] + ', "streamurl": "webrtc://weir.test/live/secret"}'):
        status, answer = ask("play", wrong)
        assert status == 400 and answer["code"] != 0 and answer["error"], wrong
    origin.hooks["POST"] = lambda call, _: call.answer(200, b'{"code":400}')
    assert ask("play", {**body, "sdp": offer_sdp("ijkl")}) == (200, {"code": 400})


def counts(weir, role="publishers"):
    return sum(row[role] for row in weir.weir.streams())


def test_sessions_are_recorded_and_ended(lab):
    """What the client was told of is in the table before; DELETE takes it out at once, whatever the
    number of its sections. A full table is a 503, and the origin need not wait for its timeout."""
    for bundle in (True, False):
        origin = RtcOrigin(lab, bundle=bundle)
        weir = RtcWeir(lab, [origin], {"max_udp_sessions": 64})
        answer = weir.post(WHIP, offer_sdp("abcd"))
        assert answer.status == 201
        assert counts(weir) == 1 and weir.weir.api("summaries")["sessions"] >= 1
        target = weir.target(answer.fields["location"])
        assert weir.request("DELETE", re.sub(".{8}$", "00000000", target)).status == 200
        assert weir.request("DELETE", target.split("&weir-session")[0]).status == 200
        assert counts(weir) == 1, "without its name the session is not ended here"
        assert weir.request("DELETE", target).status == 200
        poll("nobody publishes", lambda: counts(weir) == 0)
        assert weir.weir.api("summaries")["sessions"] == 0
        assert weir.request("DELETE", target).status == 200
        statuses = [weir.post(f"/whep/live/a{n}", offer_sdp(f"pl{n:04d}")).status
                    for n in range(66)]
        assert statuses.count(201) + statuses.count(503) == 66 and 503 in statuses
        poll("the origin hears of those", lambda: len(origin.deleted) == 4 + statuses.count(503))
        weir.weir.stop()


def test_abandoned_sessions(lab):
    """Ten thousand answers that nobody uses: the tables return to empty."""
    origin = RtcOrigin(lab)
    weir = RtcWeir(lab, [origin], {"rtc": {"signal_timeout": "3s"}}, workers=2)

    def many(start):
        with HttpConnection(weir.port) as client:
            for number in range(start, start + 1250):
                sdp = offer_sdp(f"u{number:06d}", ("audio",))
                client.send(f"POST /whep/live/s{number % 20} HTTP/1.1\r\nHost: x\r\nContent-Type: {SDP}"
                            f"\r\nContent-Length: {len(sdp)}\r\n\r\n{sdp}")
                assert client.read_answer().status == 201
    threads = [threading.Thread(target=many, args=(1250 * n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(origin.sessions) == 10000
    assert weir.weir.metric("weir_rtc_signalled_total") == 10000
    poll("nobody plays", lambda: counts(weir, "players") == 0, 30, 0.2)
    assert weir.weir.api("summaries")["sessions"] == 0


def test_operators_server_is_asked(lab):
    """hooks.on_publish and on_play decide about offers before an origin hears of them."""
    asked = []

    def decide(call):
        asked.append(call.path)
        call.answer(200, b"1" if "forbidden" in call.extra.decode() else b"0")
        call.close()
    hook = HttpOrigin(lab, decide)
    url = f"http://127.0.0.1:{hook.http_port}/"
    origin = RtcOrigin(lab)
    weir = RtcWeir(lab, [origin], {"hooks": {"on_publish": url + "publish", "on_play": url + "play"}})
    for kind, path in (("whip", "/publish"), ("whep", "/play")):
        assert weir.post(f"/{kind}/live/good", offer_sdp("abcd" + kind)).status == 201
        refused = weir.post(f"/{kind}/live/forbidden", offer_sdp("efgh" + kind))
        assert refused.status == 403 and asked == [path, path]
        asked.clear()
    assert len(origin.offers) == 2
