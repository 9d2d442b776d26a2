"""A real WebRTC origin on aiortc: takes a stream by WHIP and gives it to players by WHEP.

    origin.py ADDRESS PORT [full]   API on ADDRESS:PORT; media on ephemeral ports of ADDRESS

POST /rtc/v1/whip/?app=&stream= and /rtc/v1/whep/?…; DELETE of the Location, or PATCH for an ICE restart
(RFC 9725, 4.3.3); GET /sessions for tests, /page.html for browsers. A message on a data channel is answered
with what this origin and the session's stream are.
Each session has a UDP port of its own. Offered candidates are not tried: like an ICE-lite server
this one answers whoever asks, so a client can only come the way that the answer told it. With `full` they
are: it sends its checks and its media wherever an offer says that the client is.
"""

import asyncio
import contextlib
import json
import logging
import pathlib
import re
import sys
import urllib.parse

import aioice.ice
import aioice.utils
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.contrib.media import MediaBlackhole, MediaRelay

ADDRESS, PORT = sys.argv[1], int(sys.argv[2])
FULL = sys.argv[3:] == ["full"]
NOBODY = "192.0.2.1"    # TEST-NET-1: a candidate that nobody has

relay = MediaRelay()
streams = {}    # app/stream -> [tracks]
sessions = {}   # number -> Session


class Session:
    def __init__(self, kind, stream):
        self.kind = kind
        self.stream = stream
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.sink = MediaBlackhole()

        self.restarts = 0

        @self.pc.on("datachannel")
        def on_channel(channel):
            channel.on("message", lambda _: channel.send(json.dumps(
                {"origin": PORT, "kind": self.kind, "stream": self.stream})))

    def restart(self, fragment):
        """New credentials of both sides for the same sockets; the answer's fragment."""
        ice = self.pc.sctp.transport.transport if self.pc.sctp else \
            self.pc.getTransceivers()[0].receiver.transport.transport
        connection = ice._connection    # aiortc has no restart of its own
        connection.remote_username = re.search(r"a=ice-ufrag:(\S+)", fragment).group(1)
        connection.remote_password = re.search(r"a=ice-pwd:(\S+)", fragment).group(1)
        connection.local_username = aioice.utils.random_string(4)
        connection.local_password = aioice.utils.random_string(22)
        self.restarts += 1
        candidates = "".join(f"a=candidate:{c.to_sdp()}\r\n" for c in connection.local_candidates)
        return (f"a=ice-ufrag:{connection.local_username}\r\na=ice-pwd:{connection.local_password}\r\n"
                f"m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n{candidates}a=end-of-candidates\r\n")

    async def answer(self, offer):
        """The answer's SDP."""
        deaf = re.sub(r"a=candidate:.*\r\n", "", offer)
        deaf = re.sub(r"(m=.*\r\n)", rf"\1a=candidate:1 1 udp 1 {NOBODY} 9 typ host\r\n", deaf)
        if self.kind == "whip":
            streams[self.stream] = []

            @self.pc.on("track")
            def on_track(track):
                streams[self.stream].append(track)
                # Somebody must take the frames, or they pile up.
                self.sink.addTrack(relay.subscribe(track, buffered=False))
        elif "\nm=video" in offer:
            for track in streams[self.stream]:
                self.pc.addTrack(relay.subscribe(track, buffered=False))
        await self.pc.setRemoteDescription(RTCSessionDescription(offer if FULL else deaf, "offer"))
        await self.pc.setLocalDescription(await self.pc.createAnswer())
        await self.sink.start()
        return self.pc.localDescription.sdp

    async def close(self):
        if self.kind == "whip":
            streams.pop(self.stream, None)
        await self.sink.stop()
        await self.pc.close()


async def make(kind, query, offer):
    stream = f"{query.get('app', ['?'])[0]}/{query.get('stream', ['?'])[0]}"
    if kind == "whep" and stream not in streams:
        return 404, {}, b"nobody publishes this stream"
    session = Session(kind, stream)
    sdp = await session.answer(offer)
    number = len(sessions) + 1
    sessions[number] = session
    return 201, {"Content-Type": "application/sdp",
                 "ETag": '"0"', "Location": f"/rtc/v1/{kind}/?session={number}"}, sdp.encode()


def patch(session, match, fragment):
    if match != "*":
        return 412, {}, b"candidates are not needed here"
    answer = session.restart(fragment)
    return 200, {"Content-Type": "application/trickle-ice-sdpfrag",
                 "ETag": f'"{session.restarts}"'}, answer.encode()


async def serve(method, target, match, body):
    path, _, text = target.partition("?")
    query = urllib.parse.parse_qs(text)
    if path == "/sessions":
        rows = [{"number": n, "kind": s.kind, "stream": s.stream, "state": s.pc.connectionState}
                for n, s in sessions.items()]
        return 200, {"Content-Type": "application/json"}, json.dumps(rows).encode()
    if path == "/page.html":
        page = pathlib.Path(__file__).with_name("page.html").read_bytes()
        return 200, {"Content-Type": "text/html; charset=utf-8"}, page
    kind = path.strip("/").rpartition("/")[2]
    if method == "POST" and kind in ("whip", "whep"):
        return await make(kind, query, body.decode())
    if method == "OPTIONS":
        return 204, {"Access-Control-Allow-Headers": "*", "Access-Control-Allow-Methods": "*"}, b""
    session = sessions.get(int(query.get("session", ["0"])[0]))
    if method == "DELETE" and session:
        await session.close()
        return 200, {}, b""
    if method == "PATCH" and session:
        return patch(session, match, body.decode())
    return 404, {}, b"no such session"


async def on_connection(reader, writer):
    with contextlib.suppress(OSError, asyncio.IncompleteReadError), contextlib.closing(writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        method, target, _ = head.split(" ", 2)
        size = re.search(r"(?i)\r\ncontent-length: (\d+)", head)
        body = await reader.readexactly(int(size.group(1))) if size else b""
        try:
            match = re.search(r"(?i)\r\nif-match: (\S+)", head)
            status, fields, body = await serve(method, target, match and match.group(1), body)
        except Exception:   # a test wants to see it, and the next request
            logging.exception("%s %s", method, target)
            status, fields, body = 500, {}, b"see the log"
        fields = {**fields, "Access-Control-Allow-Origin": "*",
                  "Access-Control-Expose-Headers": "Location", "Content-Length": len(body), "Connection": "close"}
        writer.write(f"HTTP/1.1 {status} X\r\n".encode()
                     + "".join(f"{k}: {v}\r\n" for k, v in fields.items()).encode() + b"\r\n" + body)
        await writer.drain()


async def main():
    aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: [ADDRESS]
    server = await asyncio.start_server(on_connection, ADDRESS, PORT)
    async with server:
        await server.serve_forever()


logging.basicConfig(level=logging.INFO)
asyncio.run(main())
