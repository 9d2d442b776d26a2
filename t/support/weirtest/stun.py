"""WebRTC's transport without the media: a client that proves itself by STUN, and an origin that
answers STUN and counts what comes. Written apart from the product's code.

    origin = MediaOrigin(lab)                       # .rtc_port; .api is the scripted WHIP origin
    weir = RtcWeir(lab, [origin.api], ...)
    client = RtcClient(weir, "live/s1", "abcd")     # signals
    client.prove()                                  # STUN through Weir to the origin and back
"""

import hashlib
import hmac
import itertools
import os
import select
import socket
import struct
import threading
import time
import zlib

from .rtcorigin import RtcOrigin, offer_sdp, password_of

_COOKIE = 0x2112A442
_sessions = itertools.count(1)


def _attribute(kind, value):
    return struct.pack("!HH", kind, len(value)) + value + b"\0" * (-len(value) % 4)


def _message(kind, transaction, body, extra):
    return struct.pack("!HHI", kind, len(body) + extra, _COOKIE) + transaction + body


def binding_request(username, password, transaction=None, use_candidate=False):
    """An ICE check; no password: none of its attributes, as to a STUN server."""
    transaction = transaction or os.urandom(12)
    if password is None:
        return _message(1, transaction, b"", 0)
    body = _attribute(6, username.encode())
    if use_candidate:
        body += _attribute(0x25, b"")
    signed = _message(1, transaction, body, 24)
    body += _attribute(8, hmac.new(password.encode(), signed, hashlib.sha1).digest())
    summed = _message(1, transaction, body, 8)
    body += _attribute(0x8028, struct.pack("!I", zlib.crc32(summed) ^ 0x5354554E))
    return _message(1, transaction, body, 0)


def is_stun(packet):
    return len(packet) >= 20 and packet[0] < 4


def kind_and_transaction(packet):
    return struct.unpack("!H", packet[:2])[0], packet[8:20]


def username_of(packet):
    at = 20
    while at + 4 <= len(packet):
        kind, size = struct.unpack("!HH", packet[at:at + 4])
        if kind == 6:
            return packet[at + 4:at + 4 + size].decode()
        at += 4 + size + -size % 4
    return ""


def mapped_address(packet):
    """(address, port) of XOR-MAPPED-ADDRESS, IPv4."""
    at = 20
    while at + 4 <= len(packet):
        kind, size = struct.unpack("!HH", packet[at:at + 4])
        if kind == 0x20:
            port, address = struct.unpack("!HI", packet[at + 6:at + 12])
            return socket.inet_ntoa(struct.pack("!I", address ^ _COOKIE)), port ^ (_COOKIE >> 16)
        at += 4 + size + -size % 4
    return None


def udp_socket(address="127.0.0.1", port=0):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        sock.setsockopt(socket.SOL_SOCKET, option, 4 << 20)
    sock.bind((address, port))
    return sock


def numbered(number):
    """A packet like RTP with a number."""
    return b"\x80\x60" + b"\0" * 10 + struct.pack("!Q", number) + b"m" * 180


def number_of(packet):
    return struct.unpack("!Q", packet[12:20])[0] if len(packet) >= 20 and packet[0] == 0x80 else None


class MediaOrigin:
    """One UDP port that answers checks and remembers by USERNAME who sends what."""

    def __init__(self, lab, **options):
        self.sock = udp_socket()
        self.rtc_port = self.sock.getsockname()[1]
        self.api = RtcOrigin(lab, media_port=self.rtc_port, **options)
        self.peers = {}      # USERNAME -> address of the proxy's socket
        self.names = {}      # the other way
        self.received = {}   # USERNAME -> numbers
        self.checks = {}     # USERNAME -> how many
        self.requests = []   # the checks themselves
        self.echo = True
        self.mute = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        lab.at_close(self.close)

    def close(self):
        self._stop.set()
        self._thread.join()
        self.sock.close()

    def send(self, username, packet):
        self.sock.sendto(packet, self.peers[username])

    def answer(self, username, transaction):
        self.send(username, _message(0x101, transaction, b"", 0))

    def _run(self):
        while not self._stop.is_set():
            if not select.select([self.sock], [], [], 0.1)[0]:
                continue
            try:
                packet, peer = self.sock.recvfrom(65536)
            except ConnectionError:
                continue
            self._take(packet, peer)

    def _take(self, packet, peer):
        if is_stun(packet):
            kind, transaction = kind_and_transaction(packet)
            if kind != 1:
                return
            name = username_of(packet)
            self.peers[name] = peer
            self.names[peer] = name
            self.checks[name] = self.checks.get(name, 0) + 1
            self.requests.append(packet)
            if not self.mute:
                self.sock.sendto(_message(0x101, transaction, b"", 0), peer)
            return
        name = self.names.get(peer)
        self.received.setdefault(name, []).append(number_of(packet))
        if self.echo and not self.mute:
            self.sock.sendto(packet, peer)


class RtcClient:
    """A session signalled through Weir. The origin's names are those of rtcorigin.RtcOrigin."""

    def __init__(self, weir, stream, ufrag=None, to="127.0.0.1", address="127.0.0.1", what="whip"):
        self.weir = weir
        self.ufrag = ufrag or f"cl{next(_sessions):06d}"
        answer = weir.post(f"/{what}/{stream}", offer_sdp(self.ufrag))
        assert answer.status == 201, (answer.status, answer.body)
        text = answer.body.decode()
        own = text.split("a=ice-ufrag:")[1].split("\r\n")[0]
        self.username = f"{own}:{self.ufrag}"
        self.password = password_of(own)
        self.location = weir.target(answer.fields["location"])
        self.target = (to, weir.rtc_port)
        self.received = []
        self.sock = None
        self.move(address)

    def move(self, address="127.0.0.1"):
        """Another address and port from now on; the old socket is returned, still open."""
        old, self.sock = self.sock, udp_socket(address)
        # Connected: what does not come from where it was sent to is not seen.
        self.sock.connect(self.target)
        return old

    def send(self, packet):
        self.sock.send(packet)

    def check(self, **options):
        """Sends a check, returns its transaction."""
        packet = binding_request(self.username, self.password, **options)
        self.send(packet)
        return packet

    def prove(self, timeout=10, **options):
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            transaction = self.check(**options)[8:20]
            answer = self.wait(lambda p, t=transaction: is_stun(p) and p[8:20] == t, 1)
            if answer is not None:
                return
        raise AssertionError(f"no answer to a check of {self.username}")

    def wait(self, wanted, timeout=5):
        """The next packet that fits; others are dropped. None: it did not come."""
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            if not select.select([self.sock], [], [], left)[0]:
                return None
            try:
                packet = self.sock.recv(65536)
            except ConnectionError:
                continue
            if wanted(packet):
                return packet
        return None

    def echo(self, number, timeout=5):
        """Whether a packet goes to the origin and back."""
        self.send(numbered(number))
        return self.wait(lambda p: number_of(p) == number, timeout) is not None

    def silent(self, seconds=0.5):
        return self.wait(lambda p: True, seconds) is None

    def delete(self):
        return self.weir.request("DELETE", self.location)

    def close(self):
        self.sock.close()
