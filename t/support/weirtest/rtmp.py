"""Raw RTMP over a blocking socket: every choice that the wire leaves open is the test's to make.

    c = RtmpClient("127.0.0.1", port)               # handshake="simple" | "digest", prefix=b"…"
    c.connect("live?token=x", tc_url="rtmp://h/live?vhost=v", fourCcList=["hvc1"])
    c.create_stream()                               # its id is c.stream_id
    c.publish("name?key=1")                         # raises RtmpError(code) on onStatus error
    c.publish_tags(flv.read(path))                  # realtime=True paces them
    c.set_chunk_size(128); c.send(9, body, timestamp=0x1000000, fmt=1, csid=6)
    c.play("name"); tags = c.read_media(count=100)  # flv.Tag list, sequence headers among them

Writing    c.out.compress: "full" (fmt 0 always), "delta" (fmt 1 and 2 where they fit), "max" (fmt 3
           for a new message too, where it fits); c.out.repeat_extended: whether fmt 3 chunks repeat an
           extended timestamp; c.out.csid_bytes: 1, 2 or 3.
Reading    read_message() returns every message but set-chunk-size, which is applied; acknowledgements
           are sent as the window asks unless c.acknowledge = False.
All waits have a deadline (`timeout`, seconds) and raise RtmpError.
"""

import dataclasses
import hashlib
import hmac
import os
import socket
import struct
import time

from . import amf0
from .flv import Tag

SET_CHUNK_SIZE, ABORT, ACK, USER_CONTROL, WINDOW_ACK, PEER_BANDWIDTH = range(1, 7)
AUDIO, VIDEO, DATA, COMMAND, AGGREGATE = 8, 9, 18, 20, 22

_SECRET = bytes.fromhex("f0eec24a8068bee82e00d0d1029e7e576eec5d2d29806fab93b8e636cfeb31ae")
CLIENT_KEY = b"Genuine Adobe Flash Player 001"
SERVER_KEY = b"Genuine Adobe Flash Media Server 001"


class RtmpError(AssertionError):
    """What went wrong; .code is the onStatus or _error code, .info its object."""

    def __init__(self, text, code=None, info=None):
        super().__init__(text)
        self.code = code
        self.info = info


@dataclasses.dataclass
class Message:
    type: int
    stream_id: int
    timestamp: int
    csid: int
    data: bytes
    fmts: list = dataclasses.field(default_factory=list)  # fmt of each of its chunks

    def command(self):
        """[name, transaction, object, args…], or None if it is no command."""
        if self.type not in (COMMAND, 17):
            return None
        return amf0.decode(self.data[1:] if self.type == 17 else self.data)


# ---- handshake

def _digest_offset(c1, scheme):
    base = 8 if scheme == 0 else 772
    return sum(c1[base:base + 4]) % 728 + base + 4


def _digest_of(packet, offset, key):
    return hmac.new(key, packet[:offset] + packet[offset + 32:], hashlib.sha256).digest()


def make_digest_packet(key, scheme=0, version=b"\x80\0\x07\x02"):
    """C1 or S1 with a digest in place."""
    packet = bytearray(struct.pack(">I", 0) + version + os.urandom(1528))
    offset = _digest_offset(packet, scheme)
    packet[offset:offset + 32] = _digest_of(bytes(packet), offset, key)
    return bytes(packet)


def find_digest(packet, key):
    """The digest in a C1 or S1, or None if there is none that fits."""
    for scheme in (0, 1):
        offset = _digest_offset(packet, scheme)
        digest = packet[offset:offset + 32]
        if digest == _digest_of(packet, offset, key):
            return digest
    return None


def make_digest_answer(digest, key):
    """S2 (or C2) for a peer's digest."""
    body = os.urandom(1504)
    return body + hmac.new(hmac.new(key + _SECRET, digest, hashlib.sha256).digest(), body,
                           hashlib.sha256).digest()


# ---- chunks

class ChunkWriter:
    def __init__(self):
        self.chunk_size = 128
        self.compress = "full"
        self.repeat_extended = True
        self.csid_bytes = 1
        self._last = {}  # csid: [timestamp, delta, length, type, stream id]

    def _basic(self, fmt, csid):
        if csid >= 320 or self.csid_bytes == 3 and csid >= 64:
            return bytes([fmt << 6 | 1, (csid - 64) & 0xFF, csid - 64 >> 8])
        if csid >= 64:
            return bytes([fmt << 6, csid - 64])
        return bytes([fmt << 6 | csid])

    def _choose(self, last, timestamp, length, kind, stream_id):
        if last is None or self.compress == "full" or stream_id != last[4] or timestamp < last[0]:
            return 0
        delta = timestamp - last[0]
        if (length, kind) != (last[2], last[3]):
            return 1
        return 3 if self.compress == "max" and delta == last[1] else 2

    def encode(self, csid, kind, stream_id, timestamp, data, fmt=None):
        last = self._last.get(csid)
        if fmt is None:
            fmt = self._choose(last, timestamp, len(data), kind, stream_id)
        field = timestamp if fmt == 0 or last is None else timestamp - last[0]
        # After a full header, fmt 3 on a new message means the timestamp itself as delta.
        delta = field
        extended = field >= 0xFFFFFF
        head = self._basic(fmt, csid)
        if fmt <= 2:
            head += min(field, 0xFFFFFF).to_bytes(3, "big")
        if fmt <= 1:
            head += len(data).to_bytes(3, "big") + bytes([kind])
        if fmt == 0:
            head += struct.pack("<I", stream_id)
        tail = struct.pack(">I", field & 0xFFFFFFFF) if extended else b""
        out = [head, tail if fmt < 3 or self.repeat_extended else b"", data[:self.chunk_size]]
        rest = self._basic(3, csid) + (tail if self.repeat_extended else b"")
        for at in range(self.chunk_size, len(data), self.chunk_size):
            out += [rest, data[at:at + self.chunk_size]]
        self._last[csid] = [timestamp, delta, len(data), kind, stream_id]
        return b"".join(out)


class ChunkReader:
    def __init__(self, recv):
        self._recv = recv  # recv(n): exactly n bytes
        self.chunk_size = 128
        self._streams = {}

    def read(self):
        """Next whole message."""
        while True:
            first = self._recv(1)[0]
            fmt, csid = first >> 6, first & 63
            if csid == 0:
                csid = 64 + self._recv(1)[0]
            elif csid == 1:
                low, high = self._recv(2)
                csid = 64 + low + 256 * high
            state = self._streams.get(csid)
            if state is None:
                if fmt != 0:
                    raise RtmpError(f"chunk stream {csid} began with fmt {fmt}")
                state = self._streams[csid] = {"ts": 0, "delta": 0, "len": 0, "type": 0, "msid": 0,
                                               "ext": False, "body": b"", "fmts": []}
            self._header(state, fmt)
            take = min(self.chunk_size, state["len"] - len(state["body"]))
            state["body"] += self._recv(take)
            state["fmts"].append(fmt)
            if len(state["body"]) == state["len"]:
                message = Message(state["type"], state["msid"], state["ts"], csid, state["body"],
                                  state["fmts"])
                state["body"], state["fmts"] = b"", []
                return message

    def _header(self, state, fmt):
        fresh = not state["fmts"]
        if not fresh and fmt != 3:
            raise RtmpError(f"fmt {fmt} inside a message")
        if fmt <= 2:
            value = int.from_bytes(self._recv(3), "big")
            if fmt <= 1:
                state["len"] = int.from_bytes(self._recv(3), "big")
                state["type"] = self._recv(1)[0]
            if fmt == 0:
                state["msid"] = struct.unpack("<I", self._recv(4))[0]
            state["ext"] = value == 0xFFFFFF
            if state["ext"]:
                value = struct.unpack(">I", self._recv(4))[0]
            state["delta"] = value
            state["ts"] = value if fmt == 0 else state["ts"] + value & 0xFFFFFFFF
        else:
            if state["ext"]:
                self._recv(4)
            if fresh:
                state["ts"] = state["ts"] + state["delta"] & 0xFFFFFFFF


class Link:
    """A socket with chunks on it: what client and server have in common."""

    def __init__(self, sock, timeout):
        self.sock = sock
        self.timeout = timeout
        self.out = ChunkWriter()
        self.reader = ChunkReader(self.recv)
        self.acknowledge = True
        self.window = 0
        self.received = 0
        self.acked = 0
        self.raw = bytearray()  # what was received, if keep_raw
        self.keep_raw = False
        self._buffer = bytearray()
        self._deadline = time.monotonic() + timeout
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def reset(self):
        """Ends the connection with RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def within(self, timeout):
        """Sets the deadline of the reads that follow."""
        self._deadline = time.monotonic() + timeout

    def recv(self, n):
        while len(self._buffer) < n:
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise RtmpError(f"deadline: {len(self._buffer)} of {n} bytes came")
            self.sock.settimeout(left)
            try:
                data = self.sock.recv(262144)
            except socket.timeout:
                continue
            except OSError as error:
                raise RtmpError(f"connection ended: {error}", "closed") from None
            if not data:
                raise RtmpError("peer closed the connection", "closed")
            self.received += len(data)
            self._buffer += data
            if self.keep_raw:
                self.raw += data
        out = bytes(self._buffer[:n])
        del self._buffer[:n]
        return out

    def send_raw(self, data):
        self.sock.settimeout(self.timeout)
        try:
            self.sock.sendall(data)
        except OSError as error:
            raise RtmpError(f"connection ended: {error}", "closed") from None

    def send(self, kind, data, stream_id=0, csid=3, timestamp=0, fmt=None):
        self.send_raw(self.out.encode(csid, kind, stream_id, timestamp, data, fmt))

    def set_chunk_size(self, size):
        self.send(SET_CHUNK_SIZE, struct.pack(">I", size), csid=2, fmt=0)
        self.out.chunk_size = size

    def command(self, name, transaction, *args, stream_id=0, csid=3):
        self.send(COMMAND, amf0.encode(name, transaction, *args), stream_id, csid)

    def read_message(self, timeout=None):
        """Next message. Applies chunk size and window; answers the window."""
        self.within(timeout or self.timeout)
        return self._read_message()

    def _read_message(self):
        message = self.reader.read()
        if message.type == SET_CHUNK_SIZE:
            self.reader.chunk_size = struct.unpack(">I", message.data[:4])[0] & 0x7FFFFFFF
        elif message.type == WINDOW_ACK:
            self.window = struct.unpack(">I", message.data[:4])[0]
        if self.acknowledge and self.window and self.received - self.acked >= self.window:
            self.acked = self.received
            self.send(ACK, struct.pack(">I", self.received & 0xFFFFFFFF), csid=2)
        return message

    def wait_command(self, *names, transaction=None, timeout=None):
        """The next command with one of the names (any, if none is given); others are skipped."""
        self.within(timeout or self.timeout)
        while True:
            command = self._read_message().command()
            if command is None or names and command[0] not in names:
                continue
            if transaction is None or command[1] == transaction:
                return command

    def wait_closed(self, timeout=None):
        """Reads until the peer ends the connection; RtmpError at the deadline."""
        self.within(timeout or self.timeout)
        try:
            while True:
                self.recv(max(1, len(self._buffer)))
        except RtmpError as error:
            if error.code != "closed":
                raise

    def send_tag(self, tag, stream_id, base=0):
        data = tag.data
        if tag.type == DATA and not data.startswith(amf0.encode("@setDataFrame")):
            data = amf0.encode("@setDataFrame") + data
        csid = {AUDIO: 4, VIDEO: 6}.get(tag.type, 5)
        self.send(tag.type, data, stream_id, csid, base + tag.timestamp & 0xFFFFFFFF)

    def send_tags(self, tags, stream_id, realtime=False, base=0):
        began = time.monotonic()
        for tag in tags:
            if realtime:
                time.sleep(max(0.0, began + tag.timestamp / 1000 - time.monotonic()))
            self.send_tag(tag, stream_id, base)


class RtmpClient(Link):
    def __init__(self, host="127.0.0.1", port=1935, handshake="simple", prefix=b"", timeout=10.0,
                 source=None):
        sock = socket.create_connection((host, port), timeout,
                                        source_address=(source, 0) if source else None)
        super().__init__(sock, timeout)
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self.stream_id = 0
        self.statuses = []
        self._transaction = 0
        if handshake:
            self.handshake(handshake, prefix)

    def handshake(self, kind="simple", prefix=b"", scheme=0):
        """simple: plain C1. digest: C1 with a digest; S1's digest and S2's signature are checked."""
        c1 = (make_digest_packet(CLIENT_KEY, scheme) if kind == "digest"
              else bytes(8) + os.urandom(1528))
        self.within(self.timeout)
        self.send_raw(prefix + b"\x03" + c1)
        if self.recv(1) != b"\x03":
            raise RtmpError("S0 is not version 3")
        s1 = self.recv(1536)
        s2 = self.recv(1536)
        if kind == "digest":
            digest = find_digest(s1, SERVER_KEY)
            if digest is None:
                raise RtmpError("S1 has no digest")
            own = find_digest(c1, CLIENT_KEY)
            key = hmac.new(SERVER_KEY + _SECRET, own, hashlib.sha256).digest()
            if hmac.new(key, s2[:1504], hashlib.sha256).digest() != s2[1504:]:
                raise RtmpError("S2 is not signed for our digest")
            self.send_raw(make_digest_answer(digest, CLIENT_KEY))
        else:
            if s2[8:] != c1[8:]:
                raise RtmpError("S2 does not echo C1")
            self.send_raw(s1)

    def _next(self):
        self._transaction += 1
        return self._transaction

    def _result(self, transaction):
        command = self.wait_command("_result", "_error", transaction=transaction)
        if command[0] == "_error":
            info = next((v for v in command[2:] if isinstance(v, dict)), {})
            raise RtmpError(f"_error: {info}", info.get("code"), info)
        return command

    def connect(self, app="live", tc_url=None, wait=True, **properties):
        """connect; extra properties go into its object. Returns the _result's values."""
        transaction = self._next()
        tc_url = tc_url or f"rtmp://{self.address}/{app}"
        self.command("connect", transaction, {"app": app, "flashVer": "LNX 9,0,124,2",
                                              "tcUrl": tc_url, **properties})
        return self._result(transaction) if wait else None

    def create_stream(self, wait=True):
        transaction = self._next()
        self.command("createStream", transaction, None)
        if wait:
            self.stream_id = int(self._result(transaction)[3])
        return self.stream_id

    def wait_status(self, *codes, timeout=None):
        """Info object of the onStatus with one of the codes; RtmpError on one of level error."""
        self.within(timeout or self.timeout)
        while True:
            message = self._read_message()
            command = message.command()
            if command is None or command[0] not in ("onStatus", "_error"):
                continue
            info = next((v for v in command[2:] if isinstance(v, dict)), {})
            self.statuses.append(info)
            if info.get("level") == "error":
                raise RtmpError(f"{command[0]}: {info}", info.get("code"), info)
            if not codes or info.get("code") in codes:
                return info

    def publish(self, name, kind="live", fmle=False, wait=True):
        """publish; with fmle, releaseStream and FCPublish before it, as OBS and ffmpeg do."""
        if fmle:
            self.command("releaseStream", self._next(), None, name)
            self.command("FCPublish", self._next(), None, name)
        if not self.stream_id:
            self.create_stream()
        self.command("publish", self._next(), None, name, kind, stream_id=self.stream_id, csid=8)
        return self.wait_status("NetStream.Publish.Start") if wait else None

    def play(self, name, wait=True):
        if not self.stream_id:
            self.create_stream()
        self.command("play", self._next(), None, name, stream_id=self.stream_id, csid=8)
        self.send(USER_CONTROL, struct.pack(">HII", 3, self.stream_id, 1000), csid=2)
        return self.wait_status("NetStream.Play.Start") if wait else None

    def publish_tags(self, tags, realtime=False, base=0):
        self.send_tags(tags, self.stream_id, realtime, base)

    def read_media(self, count=50, timeout=None):
        """The next `count` audio, video and data messages as Tags; aggregates are taken apart."""
        self.within(timeout or self.timeout)
        tags = []
        while len(tags) < count:
            message = self._read_message()
            if message.type in (AUDIO, VIDEO, DATA):
                tags.append(Tag(message.type, message.timestamp, message.data))
            elif message.type == AGGREGATE:
                tags += split_aggregate(message)
        return tags


def make_aggregate(tags):
    """Body of an aggregate message (type 22)."""
    out = b""
    for tag in tags:
        out += (bytes([tag.type]) + len(tag.data).to_bytes(3, "big")
                + (tag.timestamp & 0xFFFFFF).to_bytes(3, "big")
                + bytes([tag.timestamp >> 24 & 0xFF]) + b"\0\0\0" + tag.data
                + (11 + len(tag.data)).to_bytes(4, "big"))
    return out


def split_aggregate(message):
    tags, at, data = [], 0, message.data
    while at + 11 <= len(data):
        size = int.from_bytes(data[at + 1:at + 4], "big")
        stamp = int.from_bytes(data[at + 4:at + 7], "big") | data[at + 7] << 24
        tags.append(Tag(data[at], stamp, data[at + 11:at + 11 + size]))
        at += 11 + size + 4
    base = tags[0].timestamp if tags else 0
    for tag in tags:
        tag.timestamp = message.timestamp + tag.timestamp - base & 0xFFFFFFFF
    return tags
