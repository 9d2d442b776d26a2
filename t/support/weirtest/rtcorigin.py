"""A scripted WebRTC origin: WHIP, WHEP and SRS's JSON API without any media, and the texts of a
session, for tests of the signalling. Real ones are in webrtc.py.

    origin = RtcOrigin(lab)              # .api_port .offers .deleted .patches .sessions
    weir = RtcWeir(lab, [origin])        # .port of the API; .post(path, sdp) .request(method, path)
    answer = weir.post("/rtc/v1/whip/?app=live&stream=a", offer_sdp("abcd"))
"""

import itertools
import json
import re
import time
import urllib.parse

from .httporigin import HttpConnection, HttpOrigin
from .process import free_port

SDP = "application/sdp"
FRAGMENT = "application/trickle-ice-sdpfrag"
_numbers = itertools.count(1)


def offer_sdp(ufrag, media=("audio", "video")):
    lines = ["v=0", "o=- 46117317 2 IN IP4 127.0.0.1", "s=-", "t=0 0",
             "a=group:BUNDLE " + " ".join(str(i) for i in range(len(media)))]
    for number, kind in enumerate(media):
        lines += [f"m={kind} 9 UDP/TLS/RTP/SAVPF 96", "c=IN IP4 0.0.0.0", f"a=ice-ufrag:{ufrag}",
                  "a=ice-pwd:" + ufrag * 6, "a=fingerprint:sha-256 " + ":".join(["AB"] * 32),
                  "a=setup:actpass", f"a=mid:{number}", "a=sendrecv", "a=rtcp-mux",
                  "a=rtpmap:96 VP8/90000" if kind == "video" else "a=rtpmap:96 opus/48000/2"]
    return "\r\n".join(lines) + "\r\n"


def answer_sdp(ufrag, candidates, media=("audio", "video"), bundle=True):
    """`candidates`: texts behind `a=candidate:`. Without a bundle each section has its own ufrag."""
    lines = ["v=0", "o=- 7 2 IN IP4 0.0.0.0", "s=-", "t=0 0", "a=ice-lite"]
    if bundle:
        lines.append("a=group:BUNDLE " + " ".join(str(i) for i in range(len(media))))
    for number, kind in enumerate(media):
        own = ufrag if bundle else f"{ufrag}{number}"
        lines += [f"m={kind} 9 UDP/TLS/RTP/SAVPF 96", "c=IN IP4 0.0.0.0", f"a=ice-ufrag:{own}",
                  "a=ice-pwd:" + password_of(own), "a=fingerprint:sha-256 " + ":".join(["CD"] * 32),
                  "a=setup:passive", f"a=mid:{number}", "a=recvonly", "a=rtcp-mux",
                  *(f"a=candidate:{c}" for c in candidates)]
    return "\r\n".join(lines) + "\r\n"


def password_of(ufrag):
    return (ufrag * 24)[:32]


def candidates_of(sdp):
    """[(transport, address, port)] of all candidate lines."""
    return [(t, a, int(p)) for t, a, p in
            re.findall(r"a=candidate:\S+ \d+ (\S+) \d+ (\S+) (\d+)", sdp)]


class RtcOrigin:
    """Answers offers; `hooks` maps a method to a function of (call, body) that answers instead,
    unless it returns False."""

    def __init__(self, lab, media_port=8000, candidates=None, bundle=True, location=None, hooks=None,
                 start=True):
        self.media_port = media_port
        self.candidates = candidates or [f"0 1 udp 2130706431 10.9.9.9 {media_port} typ host"]
        self.bundle = bundle
        self.location = location    # format with {session} and {query}; None: SRS's
        self.hooks = hooks or {}
        self.offers = []            # (path, sdp)
        self.calls = []             # (method, path, fields, body)
        self.sessions = {}          # name -> ufrag
        self.deleted = []           # whole targets
        self.clients = {}           # SRS's API: id -> row; a JSON publisher, until it is kicked
        self.patches = []
        self.etag = '"e1"'
        self.origin = HttpOrigin(lab, self._serve, start)

    @property
    def api_port(self):
        return self.origin.http_port

    @staticmethod
    def _body(call):
        size = int(call.fields.get("content-length", "0"))
        data = call.extra
        while len(data) < size:
            more = call.sock.recv(65536)
            if not more:
                break
            data += more
        return data.decode()

    def _serve(self, call):
        body = self._body(call)
        self.calls.append((call.method, call.path, call.fields, body))
        hook = self.hooks.get(call.method)
        if hook and hook(call, body) is not False:
            call.close()
            return
        path, _, query = call.path.partition("?")
        {"POST": self._post, "DELETE": self._delete, "PATCH": self._patch, "OPTIONS": self._options,
         "GET": self._tell_clients}[call.method](call, path, query, body)
        call.close()

    def _make(self, offer):
        number = next(_numbers)
        ufrag = f"o{number:07x}"
        offered = re.search(r"a=ice-ufrag:(\S+)", offer).group(1)
        name = f"{ufrag}:{offered}"
        self.sessions[name] = ufrag
        return name, answer_sdp(ufrag, self.candidates, bundle=self.bundle)

    def _post(self, call, path, query, body):
        if path in ("/rtc/v1/play/", "/rtc/v1/publish/"):
            wanted = json.loads(body)
            self.offers.append((call.path, wanted["sdp"]))
            app, _, stream = wanted["streamurl"].partition("?")[0].rpartition("/")
            if path == "/rtc/v1/publish/":
                if any((row["publish"], row["tcUrl"], row["name"]) == (True, app, stream)
                       for row in self.clients.values()):
                    call.answer(200, b'{"code":400}')  # busy
                    return
                self.add_client(app, stream, True)
            name, sdp = self._make(wanted["sdp"])
            answer = {"code": 0, "server": "vid-1", "service": "s", "pid": "7", "sdp": sdp,
                      "sessionid": name}
            call.answer(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})
            return
        self.offers.append((call.path, body))
        name, sdp = self._make(body)
        form = self.location or path + "?action=delete&token=tok%2B1&{query}&session={session}"
        call.answer(201, sdp.encode(), {
            "Content-Type": SDP, "ETag": self.etag, "Connection": "close",
            "Location": form.format(query=query, session=urllib.parse.quote(name)),
            "Link": "<stun:stun.example.org>; rel=\"ice-server\"",
            "Access-Control-Expose-Headers": "Content-Length"})

    @staticmethod
    def _options(call, path, query, body):
        del path, query, body
        call.answer(204, b"", {"Content-Type": None, "Content-Length": None,
                               "Link": '<turn:turn.example.org>; rel="ice-server"',
                               "Access-Control-Allow-Origin": "https://origins.own"})

    def add_client(self, app, stream, publish):
        """The id, as SRS's API has it. `app`: scheme://host/app."""
        number = f"c{next(_numbers)}"
        self.clients[number] = {"id": number, "tcUrl": app, "name": stream, "publish": publish,
                                "type": "rtc-publish" if publish else "rtc-play", "since": time.monotonic()}
        return number

    def _tell_clients(self, call, path, query, body):
        del body
        assert path == "/api/v1/clients/"
        start, count = (int(v) for v in re.fullmatch(r"start=(\d+)&count=(\d+)", query).groups())
        rows = [{**row, "alive": time.monotonic() - row["since"]} for row in self.clients.values()]
        call.answer(200, json.dumps({"code": 0, "clients": rows[start:start + count]}).encode())

    def _delete(self, call, path, query, body):
        del query, body
        self.clients.pop(path.rpartition("/")[2], None)
        self.deleted.append(call.path)
        call.answer(200, b"", {"Content-Type": None})

    def _patch(self, call, path, query, body):
        del path, query
        self.patches.append((call.path, body))
        match = call.fields.get("if-match")
        if match is None:
            call.answer(428, b"no If-Match")
        elif match not in (self.etag, "*"):
            call.answer(412, b"stale")
        elif match == "*":
            self.etag = '"e2"'
            call.answer(200, ("a=ice-lite\r\na=ice-ufrag:restarted\r\na=ice-pwd:"
                              + password_of("restarted") + "\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n"
                              + "".join(f"a=candidate:{c}\r\n" for c in self.candidates)).encode(),
                        {"Content-Type": FRAGMENT, "ETag": self.etag})
        else:
            call.answer(204, b"", {"Content-Type": None, "Content-Length": None})


class RtcWeir:
    """Weir with the API port and these origins as o1, o2, …; more configuration by section.
    `address`: where clients reach it."""

    def __init__(self, lab, origins, config=None, media=True, address="127.0.0.1", **options):
        self.address = address
        self.port = free_port()
        self.rtc_port = free_port(udp=True)
        sections = {"http_api": {"enabled": True, "listen": f"{address}:{self.port}"},
                    "rtc": {"enabled": True, "listen": f"{address}:{self.rtc_port}", "candidate": "203.0.113.7"},
                    "srt": {"listen": f"127.0.0.1:{free_port(udp=True)}"}}
        for number, origin in enumerate(origins, 1):
            sections[f"origin o{number}"] = {"ip": getattr(origin, "ip", "127.0.0.1"),
                                            "api": getattr(origin, "api_port", origin)}
            if media and isinstance(origin, RtcOrigin):
                sections[f"origin o{number}"]["rtc"] = origin.media_port
        for name, values in (config or {}).items():
            sections[name] = {**sections.get(name, {}), **values} if isinstance(values, dict) \
                else values
        self.sections = sections
        self.weir = lab.weir(config=sections, **options)

    def url(self, path):
        return f"http://{self.address}:{self.port}/{path}"

    def request(self, method, path, body=None, host="weir.test", **fields):
        if body is not None:
            fields.setdefault("Content_Length", len(body.encode()))
        with HttpConnection(self.port) as client:
            lines = [f"{method} {path} HTTP/1.1", f"Host: {host}"]
            lines += [f"{k.replace('_', '-')}: {v}" for k, v in fields.items()]
            client.send("\r\n".join(lines) + "\r\n\r\n" + (body or ""))
            return client.read_answer(method)

    def post(self, path, body, **fields):
        fields.setdefault("Content_Type", SDP)
        return self.request("POST", path, body, **fields)

    @staticmethod
    def target(location):
        """Path and query of a Location."""
        parts = urllib.parse.urlsplit(location)
        return parts.path + ("?" + parts.query if parts.query else "")
