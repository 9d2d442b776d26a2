"""Clients that are wrong on purpose, of all protocols, at a steady rate: what public bug reports sent
to proxies and origins, and mutations of it.

    crowd = HostileCrowd(Targets(rtmp=…, http=…, api=…, srt=…, rtc=…), live=["a", "b"], seed=1)
    crowd.run(seconds=20, rate=50)      # returns when the last one has left
    crowd.done                          # Counter: how often each kind came

Each client has two seconds; what the server answers is thrown away. The seed makes a run repeatable.
"""

import collections
import dataclasses
import json
import os
import random
import socket
import struct
import threading
import time

from . import amf0
from .rtcorigin import offer_sdp
from .rtmp import COMMAND, SET_CHUNK_SIZE, ChunkWriter
from .srtwire import conclusion, handshake, with_word

PATIENCE = 2.0
KINDS = []


def kind(function):
    KINDS.append(function)
    return function


@dataclasses.dataclass
class Targets:
    """Ports of Weir on the loopback; 0: that protocol is left alone."""
    rtmp: int = 0
    http: int = 0
    api: int = 0
    srt: int = 0
    rtc: int = 0


class Client:
    """What one hostile client has: its own random numbers, the targets, and its deadline."""

    def __init__(self, targets, live, rng):
        self.targets = targets
        self.live = live
        self.rng = rng
        self.deadline = time.monotonic() + PATIENCE

    def stream(self):
        """A live one, or none that anybody knows."""
        return self.rng.choice([self.rng.choice(self.live), f"none{self.rng.randrange(1000)}"])

    def mutated(self, data):
        """A few bytes changed, doubled, cut out or put in."""
        data = bytearray(data)
        for _ in range(self.rng.randrange(1, 6)):
            at = self.rng.randrange(len(data)) if data else 0
            what = self.rng.randrange(4)
            if what == 0 and data:
                data[at] = self.rng.randrange(256)
            elif what == 1:
                data[at:at] = self.rng.randbytes(self.rng.randrange(1, 9))
            elif what == 2:
                del data[at:at + self.rng.randrange(1, 9)]
            else:
                data[at:at] = data[at:at + self.rng.randrange(1, 65)]
        return bytes(data)

    def tcp(self, port, data, reset=False):
        """Sends it all, reads what comes, and leaves."""
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as sock:
            try:
                sock.settimeout(PATIENCE)
                sock.sendall(data)
                if self.rng.random() < 0.3:
                    sock.shutdown(socket.SHUT_WR)
                self.read(sock)
            except OSError:
                pass  # refused in its own words
            if reset:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def read(self, sock, most=200_000):
        while most > 0 and (left := self.deadline - time.monotonic()) > 0:
            sock.settimeout(left)
            data = sock.recv(65536)
            if not data:
                return
            most -= len(data)

    def udp(self, port, packets):
        """Sends them, 20 ms apart, and listens for as long."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(("127.0.0.1", port))
            answers = []
            for packet in packets:
                sock.send(packet(answers) if callable(packet) else packet)
                sock.settimeout(0.02)
                try:
                    answers.append(sock.recv(2000))
                except OSError:
                    pass
            return answers


# ---- RTMP

ODD_OBJECTS = [None, amf0.UNDEFINED, 0, "live", [], {}, {"app": 7}, {"app": None}, {"tcUrl": "rtmp://"},
               {"app": "live", "tcUrl": "x" * 3000}, {"app": {"app": "live"}}, amf0.EcmaArray(app="live")]


def rtmp_hello(rng):
    return b"\x03" + bytes(8) + rng.randbytes(1528) + bytes(1536)


def rtmp_commands(*commands):
    """What a client sends that does not wait for answers. (stream id, name, transaction, values…)"""
    out = ChunkWriter()
    return b"".join(out.encode(3, COMMAND, stream, 0, amf0.encode(*command))
                    for stream, *command in commands)


def rtmp_session(client, app, name, verb="play", transactions=(1, 2, 3)):
    rng = client.rng
    return rtmp_hello(rng) + rtmp_commands(
        (0, "connect", transactions[0], {"app": app, "flashVer": "x", "tcUrl": f"rtmp://h/{app}"}),
        (0, "createStream", transactions[1], None),
        (1, verb, transactions[2], None, name, *(["live"] if verb == "publish" else [])))


@kind
def rtmp_app_that_nobody_has(client):
    client.tcp(client.targets.rtmp, rtmp_session(client, "nobody", client.stream()))


@kind
def rtmp_app_that_is_refused(client):
    client.tcp(client.targets.rtmp, rtmp_session(client, "refused", client.stream(),
                                                 client.rng.choice(["play", "publish"])))


@kind
def rtmp_odd_connect(client):
    rng = client.rng
    words = [(0, "connect", rng.choice([0, 1, 2, 5, -1, 1e300]), rng.choice(ODD_OBJECTS)),
             (0, "createStream", rng.choice([0, 1, 2]), None), (1, "play", 0, None, client.stream())]
    client.tcp(client.targets.rtmp, rtmp_hello(rng) + rtmp_commands(*words))


@kind
def rtmp_name_that_is_taken(client):
    client.tcp(client.targets.rtmp, rtmp_session(client, "live", client.rng.choice(client.live), "publish"))


@kind
def rtmp_odd_name(client):
    name = client.rng.choice(["", "/", "..", "a\n", "a\0b", "\r", "x" * 600, "a?b=c/d", "%00", "ü", "a//b/", "?"])
    client.tcp(client.targets.rtmp, rtmp_session(client, client.rng.choice(["live", "", "/", "live/x/"]), name))


@kind
def rtmp_mutated(client):
    client.tcp(client.targets.rtmp, client.mutated(rtmp_session(client, "live", client.stream())),
               reset=client.rng.random() < 0.3)


@kind
def rtmp_handshake_that_is_none(client):
    rng = client.rng
    client.tcp(client.targets.rtmp, rng.choice([b"\x06", b"\x03", b"GET / HTTP/1.1\r\n\r\n", rng.randbytes(3000),
                                                b"\x16\x03\x01\x02\x00"]))


@kind
def rtmp_hostile_chunks(client):
    out = ChunkWriter()
    size = client.rng.choice([0, 1, 0x7FFFFFFF, 0xFFFFFFFF])
    data = out.encode(2, SET_CHUNK_SIZE, 0, 0, struct.pack(">I", size))
    client.tcp(client.targets.rtmp, rtmp_hello(client.rng) + data + client.rng.randbytes(2000))


# ---- HTTP

ODD_TARGETS = ["/", "//", "/live/", "/live//{}.m3u8", "/live/./{}.flv", "/live/../{}.flv", "/live/%2e%2e/{}.flv",
               "/nothere/{}.m3u8", "/live/{}.flv?vhost=x&vhost=y", "/live/{}.flv?app=a&stream=b;stream=c",
               "/live/{}-1.ts?weir=AAAAAAAAAAAAAAAAAAAAAA", "*", "http://evil/live/{}.flv", "/live/{}.mpd",
               "/live?app=live&stream={}", "/live/{}.flv#x", "/live/%00{}.ts", "/" + "a/" * 200]
ODD_HEADS = ["Host: x\r\nHost: y\r\n", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "Content-Length: -1\r\n",
             "X : y\r\n", " folded\r\n", "A" * 9000 + ": b\r\n", "Range: bytes=0-0,-1\r\n", "Upgrade: websocket\r\n",
             "Connection: close\r\n", "Expect: 100-continue\r\n", "X-Forwarded-For: 127.0.0.1\r\n", ""]


def http_request(client, target, method="GET", extra="", body=b""):
    return (f"{method} {target} HTTP/1.1\r\nHost: h\r\n{extra}".encode("latin-1", "replace")
            + (f"Content-Length: {len(body)}\r\n".encode() if body else b"") + b"\r\n" + body)


@kind
def http_odd(client):
    rng = client.rng
    client.tcp(client.targets.http, http_request(
        client, rng.choice(ODD_TARGETS).format(client.stream()),
        rng.choice(["GET", "GET", "HEAD", "POST", "OPTIONS", "TRACE", "get"]), rng.choice(ODD_HEADS)))


@kind
def http_pipelined(client):
    client.tcp(client.targets.http, http_request(client, "/nothere/x.m3u8") * client.rng.randrange(1, 400))


@kind
def http_mutated(client):
    client.tcp(client.targets.http, client.mutated(http_request(client, f"/live/{client.stream()}.m3u8")),
               reset=client.rng.random() < 0.3)


@kind
def http_half_closed(client):
    with socket.create_connection(("127.0.0.1", client.targets.http), PATIENCE) as sock:
        sock.sendall(http_request(client, f"/live/{client.stream()}.flv"))
        sock.shutdown(socket.SHUT_WR)
        try:
            client.read(sock, 5000)
        except OSError:
            pass


# ---- HTTP API and WebRTC signalling

@kind
def api_odd(client):
    rng = client.rng
    path = rng.choice(["versions", "streams", "clients/1", "streams?start=-1", "..%2f", "raw?rpc=reload", "x" * 900])
    client.tcp(client.targets.api, http_request(client, "/api/v1/" + path, rng.choice(["GET", "POST", "DELETE", "PUT"])))


@kind
def whip_odd(client):
    rng = client.rng
    sdp = offer_sdp(rng.choice(["abcd", "abc", "x" * 300, "a b"])).encode()
    body = rng.choice([sdp, client.mutated(sdp), sdp[:200], b"", b"{}", b"v=0\r\n" * 5000])
    target = rng.choice(["/rtc/v1/whip/?app=live&stream={}", "/whip/live/{}", "/rtc/v1/whep/?app=live&stream={}",
                         "/whip/live/{}?stream=secret", "/rtc/v1/whip-play/?app=live&stream={}"])
    client.tcp(client.targets.api, http_request(client, target.format(client.stream()),
                                                rng.choice(["POST", "POST", "PATCH", "DELETE", "OPTIONS", "GET"]),
                                                "Content-Type: application/sdp\r\nConnection: close\r\n", body))


@kind
def srs_json_odd(client):
    offer = {"sdp": offer_sdp("abcd"), "streamurl": f"webrtc://h/live/{client.stream()}", "clientip": "1.2.3.4"}
    body = json.dumps(offer).encode()
    if client.rng.random() < 0.7:
        body = client.mutated(body)
    client.tcp(client.targets.api, http_request(client, client.rng.choice(["/rtc/v1/play/", "/rtc/v1/publish/"]), "POST",
                                                "Content-Type: application/json\r\nConnection: close\r\n", body))


# ---- SRT

def srt_id(client):
    name = client.stream()
    return client.rng.choice([f"#!::r=live/{name},m=request", f"#!::r=live/{name},m=publish", f"live/{name}", "", "#!::",
                              f"#!::r=live/{name},m=publish,u=a=r=live/x", "#!:{" * 20, "publish:x", "x,mode:publish",
                              "\0" * 40, "ü" * 80])


def srt_conclusion(client, change):
    caller = client.rng.randrange(1, 1 << 30)
    rng = client.rng

    def second(answers):
        cookie = struct.unpack_from("!I", answers[0], 44)[0] if answers and len(answers[0]) >= 48 else 7
        return change(conclusion(caller, cookie, srt_id(client)))
    client.udp(client.targets.srt, [handshake(4, 1, caller), second, lambda _: rng.randbytes(40)])


@kind
def srt_conclusion_out_of_range(client):
    def change(packet):
        # First sequence number, MSS, flow window; version.
        return with_word(packet, *client.rng.choice([(8, 0x7FFFFFFF), (8, 0xFFFFFFFF), (12, 76), (12, 0),
                                                     (12, 0xFFFFFFFF), (16, 0), (16, 1), (0, 4), (0, 6)]))
    srt_conclusion(client, change)


@kind
def srt_conclusion_mutated(client):
    srt_conclusion(client, lambda packet: packet[:64] + client.mutated(packet[64:]))


@kind
def srt_conclusion_odd_name(client):
    srt_conclusion(client, lambda packet: packet)


@kind
def srt_noise(client):
    rng = client.rng
    client.udp(client.targets.srt, [rng.randbytes(rng.randrange(1, 1400)) for _ in range(5)])


# ---- WebRTC media

@kind
def rtc_noise(client):
    rng = client.rng
    stun = struct.pack("!HHI", rng.choice([1, 0x101, 3, 0xFFFF]), rng.randrange(0, 64, 4), 0x2112A442) + rng.randbytes(60)
    client.udp(client.targets.rtc, [stun, client.mutated(stun), bytes([22]) + rng.randbytes(100),
                                    bytes([128]) + rng.randbytes(100), rng.randbytes(3)])


class HostileCrowd:
    def __init__(self, targets, live, seed=None):
        self.targets = targets
        self.live = list(live)
        self.seed = seed if seed is not None else int.from_bytes(os.urandom(4), "big")
        self.done = collections.Counter()
        self.kinds = [k for k in KINDS if getattr(targets, self._port_of(k))]

    @staticmethod
    def _port_of(function):
        first = function.__name__.split("_")[0]
        return {"whip": "api", "srs": "api"}.get(first, first)

    def run(self, seconds, rate=50):
        """That many clients a second, each of a random kind; waits for the last one."""
        rng = random.Random(self.seed)
        began, number, threads = time.monotonic(), 0, []
        while (now := time.monotonic() - began) < seconds:
            if number >= now * rate:
                time.sleep(0.005)
                continue
            number += 1
            function = rng.choice(self.kinds)
            self.done[function.__name__] += 1
            thread = threading.Thread(target=self._one, args=(function, rng.getrandbits(64)), daemon=True)
            thread.start()
            threads = [t for t in threads if t.is_alive()] + [thread]
        for thread in threads:
            thread.join(2 * PATIENCE)

    def _one(self, function, seed):
        try:
            function(Client(self.targets, self.live, random.Random(seed)))
        except OSError:
            pass  # the server, or its kernel, would have nothing of it
