"""SRT by libsrt itself: callers and origins in this process, and Weir with its SRT port."""

import ctypes
import os
import socket
import struct
import threading
import time

from .process import free_port, poll
from .weir import Weir, merge

MTU_PAYLOAD = 1316
_OPTIONS = {"sndsyn": 1, "rcvsyn": 2, "fc": 4, "sndbuf": 5, "rcvbuf": 6, "linger": 7,
            "udp_sndbuf": 8, "udp_rcvbuf": 9, "sndtimeo": 13, "rcvtimeo": 14, "latency": 23,
            "passphrase": 26, "pbkeylen": 27, "tlpktdrop": 31, "conntimeo": 36, "rcvlatency": 43,
            "peerlatency": 44, "streamid": 46, "messageapi": 48, "payloadsize": 49, "transtype": 50,
            "peeridletimeo": 55}
_FLAGS = {"sndsyn", "rcvsyn", "tlpktdrop", "messageapi"}
REJ_VERSION, REJ_BADSECRET, REJ_UNSECURE = 8, 10, 11
REJ_BAD_REQUEST, REJ_OVERLOAD, REJ_NOT_FOUND, REJ_BAD_MODE = 1400, 1402, 1404, 1405
REJ_GATEWAY, REJ_DOWN = 1502, 1503
_LISTEN_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_int,
                                    ctypes.c_void_p, ctypes.c_char_p)
_lib = None


def lib():
    global _lib
    if _lib is None:
        for name in ("libsrt.so.1.5", "libsrt-gnutls.so.1.5"):
            try:
                _lib = ctypes.CDLL(name)
                break
            except OSError:
                continue
        if _lib is None:
            raise RuntimeError("libsrt is missing (package srt-tools)")
        _lib.srt_getlasterror_str.restype = ctypes.c_char_p
        _lib.srt_startup()
        _lib.srt_setloglevel(0)
    return _lib


class SrtError(Exception):
    def __init__(self, what, reason=None):
        self.reason = reason
        text = lib().srt_getlasterror_str().decode()
        super().__init__(f"{what}: {text}" + (f" (reason {reason})" if reason is not None else ""))


def _address(port, host):
    return struct.pack("=H", socket.AF_INET) + struct.pack("!H", port) + socket.inet_aton(host) \
        + bytes(8)


class Stats(ctypes.Structure):
    """The head of SRT_TRACEBSTATS; `rest` is room for what follows it."""
    _fields_ = [("ms", ctypes.c_int64), ("sent", ctypes.c_int64), ("received", ctypes.c_int64)] + [
        (name, ctypes.c_int) for name in ("send_loss", "receive_loss", "retransmitted", "acks_sent",
                                          "acks_received", "naks_sent", "naks_received")] + [
        ("duration", ctypes.c_int64), ("send_drops", ctypes.c_int), ("receive_drops", ctypes.c_int),
        ("undecrypted", ctypes.c_int), ("rest", ctypes.c_char * 1024)]


class SrtSocket:
    def __init__(self, number=None, **options):
        self.number = lib().srt_create_socket() if number is None else number
        self.set(**options)

    def set(self, **options):
        for name, value in options.items():
            if isinstance(value, str):
                raw = value.encode()
            else:
                raw = struct.pack("=?" if name in _FLAGS else "=i", value)
            if lib().srt_setsockflag(self.number, _OPTIONS[name], raw, len(raw)) != 0:
                raise SrtError(f"set {name}")

    def get_text(self, name):
        out = ctypes.create_string_buffer(600)
        size = ctypes.c_int(600)
        lib().srt_getsockflag(self.number, _OPTIONS[name], out, ctypes.byref(size))
        return out.raw[:size.value].rstrip(b"\0").decode()

    def get_int(self, name):
        out, size = ctypes.c_int(), ctypes.c_int(4)
        if lib().srt_getsockflag(self.number, _OPTIONS[name], ctypes.byref(out),
                                 ctypes.byref(size)) != 0:
            raise SrtError(f"get {name}")
        return out.value

    def bind(self, port, host="127.0.0.1"):
        if lib().srt_bind(self.number, _address(port, host), 16) != 0:
            raise SrtError("bind")

    def connect(self, port, host="127.0.0.1"):
        if lib().srt_connect(self.number, _address(port, host), 16) != 0:
            reason = lib().srt_getrejectreason(self.number)
            error = SrtError("connect", reason)
            self.close()
            raise error

    def send(self, data):
        if lib().srt_sendmsg(self.number, data, len(data), -1, 1) != len(data):
            raise SrtError("send")

    def recv(self, size=1 << 16):
        """A message; b"" when the connection has ended."""
        out = ctypes.create_string_buffer(size)
        n = lib().srt_recvmsg(self.number, out, size)
        return out.raw[:n] if n > 0 else b""

    def stats(self):
        out = Stats()
        if lib().srt_bstats(self.number, ctypes.byref(out), 0) != 0:
            raise SrtError("stats")
        return out

    @property
    def connected(self):
        return lib().srt_getsockstate(self.number) == 5

    def unsent(self):
        size = ctypes.c_size_t()
        lib().srt_getsndbuffer(self.number, ctypes.byref(size), None)
        return size.value

    def close(self):
        lib().srt_close(self.number)


# Nothing here may depend on speed: no packet is given up because the machine is busy.
PATIENT = {"tlpktdrop": False, "conntimeo": 20000, "peeridletimeo": 20000, "latency": 300}
# For a stream of 100 Mbit/s with some seconds of latency: what is under way fits into the buffers.
WIDE = {"fc": 62000, "sndbuf": 62000 * 1456, "rcvbuf": 62000 * 1456, "udp_sndbuf": 4 << 20,
        "udp_rcvbuf": 4 << 20}


def call(port, stream_id="", bind=None, host="127.0.0.1", **options):
    """A connection to `port`; SrtError with .reason when it is refused."""
    caller = SrtSocket(**{**PATIENT, "rcvtimeo": 30000, "streamid": stream_id, **options})
    if bind:
        caller.bind(bind)
    caller.connect(port, host)
    return caller


class Source:
    """Sends numbered packets at a steady pace until it is stopped, or `count` of them; keeps them
    in `sent`. What it could not send in time follows at once."""

    def __init__(self, caller, mbit, count=None):
        self.caller = caller
        self.interval = MTU_PAYLOAD * 8 / mbit / 1e6
        self.count = count
        self.sent = []
        self.going = True
        self.seconds = 0
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        noise = os.urandom(MTU_PAYLOAD * 16)
        began = time.monotonic()
        while self.going:
            due = int((time.monotonic() - began) / self.interval)
            for number in range(len(self.sent), min(due, self.count or due)):
                at = number % 9973
                packet = struct.pack("!I", number) + noise[at:at + MTU_PAYLOAD - 4]
                self.caller.send(packet)
                self.sent.append(packet)
            if len(self.sent) == self.count:
                break
            time.sleep(0.002)
        self.seconds = time.monotonic() - began

    def wait(self, timeout=60):
        self.thread.join(timeout)
        assert not self.thread.is_alive(), f"{len(self.sent)} packets only"

    def stop(self):
        self.going = False
        self.wait()


def send_all(caller, chunks, close=True):
    for chunk in chunks:
        caller.send(chunk)
    if close:
        poll("everything acknowledged", lambda: caller.unsent() == 0, 30)
        caller.close()


def arrived(got, sent, caller):
    """Whether all that `caller` has `sent` is among what the other end `got`; see receive()."""
    if len(got) >= len(sent):
        return got[:len(sent)] == sent
    if not caller.unsent():
        return False
    caller.send(b"more")
    return False


def receive(caller, count, words=1):
    """That many messages of an SrtOrigin, joined. It waits for a word of ours: what a listener
    sends before its caller knows that it is connected may be lost, with or without Weir. On a link
    that loses packets say several words. Nobody misses a last packet (libsrt does not send it again
    by itself when tlpktdrop is off): where all is quiet one more word makes either end ask."""
    for _ in range(words):
        caller.send(b"go")
    out = []
    caller.set(rcvtimeo=2000)
    give_up = time.monotonic() + 30
    while len(out) < count and caller.connected and time.monotonic() < give_up:
        if message := caller.recv():
            out.append(message)
        elif caller.connected:
            caller.send(b"more")
    caller.set(rcvtimeo=30000)
    return b"".join(out)


class Sink:
    """Keeps what a connection receives in `messages`, until it ends."""

    def __init__(self, caller):
        self.caller = caller
        self.messages = []
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while message := self.caller.recv():
            self.messages.append(message)

    def wait_for_more(self, count=100):
        goal = len(self.messages) + count
        poll(f"{count} messages more", lambda: len(self.messages) >= goal, 30)

    def assert_piece_of(self, content):
        """No gap, no fault, nothing too late: a part of `content`, repeated."""
        assert_piece(b"".join(self.messages), content)
        assert self.caller.stats().receive_drops == 0


def assert_piece(piece, content):
    """`piece` is a part of `content`, repeated."""
    repeated = content * (len(piece) // len(content) + 2)
    assert piece and piece in repeated


class SrtOrigin:
    """A listener: keeps what is published to each stream id, sends `media` to who asks for one.

    `asked` False: it sends to players without a word of theirs, over and over, at a pace of 10
    Mbit/s. `connections` has the last connection of each stream id while it lasts. `denies`: the
    reason for which a stream id is rejected, 0: it isn't, -1: without one."""
    rtmp_port = 1  # static origins of the harness have one; nothing connects to it

    def __init__(self, lab, media=(), port=None, ip="127.0.0.1", asked=True, denies=None, **options):
        self.port = port or free_port(udp=True)
        self.ip = ip
        self.media = media
        self.asked = asked
        self.received = {}
        self.connections = {}
        self.stream_ids = []
        self.threads = []
        self.listener = SrtSocket(**{**PATIENT, **options})
        self.listener.bind(self.port, ip)
        self.denies = denies
        self.denied = []  # stream ids
        if denies:
            self.callback = _LISTEN_CALLBACK(self._deny)  # lives as long as the listener
            lib().srt_listen_callback(self.listener.number, self.callback, None)
        if lib().srt_listen(self.listener.number, 1024) != 0:
            raise SrtError("listen")
        self.accepting = threading.Thread(target=self._accept, daemon=True)
        self.accepting.start()
        lab.at_close(self.close)

    def _deny(self, _, number, version, peer, stream_id):
        del version, peer
        reason = self.denies((stream_id or b"").decode())
        if not reason:
            return 0
        self.denied.append((stream_id or b"").decode())
        if reason > 0:
            lib().srt_setrejectreason(number, reason)
        return -1

    def _accept(self):
        while True:
            number = lib().srt_accept(self.listener.number, None, None)
            if number < 0:
                return
            accepted = SrtSocket(number)
            thread = threading.Thread(target=self._serve, args=(accepted,), daemon=True)
            thread.start()
            self.threads.append(thread)

    def _serve(self, accepted):
        stream_id = accepted.get_text("streamid")
        self.stream_ids.append(stream_id)
        self.connections[stream_id] = accepted
        try:
            if "m=publish" in stream_id:
                into = self.received.setdefault(stream_id, [])
                while True:
                    message = accepted.recv()
                    if not message:
                        return
                    into.append(message)
            if not self.asked:
                self._send_forever(accepted)
            if not accepted.recv():
                return
            for chunk in self.media:
                accepted.send(chunk)
            while accepted.recv():  # until the player leaves
                accepted.send(b"more")  # so that it misses what was lost of the media's end
        except SrtError:
            pass
        finally:
            accepted.close()

    def _send_forever(self, accepted):
        while True:
            for chunk in self.media:
                accepted.send(chunk)
                time.sleep(0.001)

    def close(self):
        self.listener.close()
        for connection in list(self.connections.values()):
            connection.close()


def srt_weir(lab, origins, config=None, ip="127.0.0.1", **options):
    """Weir with an SRT port, `.srt_port`, and these origins (anything with a .port)."""
    port = free_port(udp=True)
    blocks = {f"origin o{n}": {"ip": ip, "srt": origin.port} for n, origin in enumerate(origins, 1)}
    weir = Weir(lab, [], merge({"srt": {"enabled": True, "listen": f"{ip}:{port}"}, **blocks},
                               config or {}), **options)
    weir.srt_port = port
    return weir
