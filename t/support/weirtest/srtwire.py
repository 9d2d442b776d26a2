"""SRT packet by packet: handshakes as libsrt would not write them."""

import socket
import struct


def handshake(version, kind, socket_id, cookie=0, extension=2, content=b"", sequence=7):
    head = struct.pack("!HHIII", 0x8000, 0, 0, 1000, 0)
    body = struct.pack("!IHHIIIIII", version, 0, extension, sequence, 1500, 8192, kind & 0xFFFFFFFF,
                       socket_id, cookie) + bytes([1, 0, 0, 127]) + bytes(12)
    return head + body + content


HSREQ = struct.pack("!HHIIHH", 1, 3, 0x010501, 0xBF, 120, 120)


def extension(kind, text):
    """One with a text: words byte-reversed, padded with zeros."""
    raw = text if isinstance(text, bytes) else text.encode()
    raw += bytes(-len(raw) % 4)
    raw = b"".join(raw[i:i + 4][::-1] for i in range(0, len(raw), 4))
    return struct.pack("!HH", kind, len(raw) // 4) + raw


def conclusion(socket_id, cookie, stream_id, version=5, sequence=7):
    return handshake(version, -1, socket_id, cookie, 5, HSREQ + extension(5, stream_id), sequence)


def shutdown(to):
    return struct.pack("!HHIII", 0x8005, 0, 0, 0, to) + bytes(4)


def with_word(packet, at, value):
    """The same handshake with another value in one word of its body: 8 first sequence number, 12
    MSS, 16 flow window."""
    at += 16
    return packet[:at] + struct.pack("!I", value) + packet[at + 4:]


class Raw:
    """A caller's socket without libsrt."""

    def __init__(self, port, host="127.0.0.1", bind=None):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        if bind:
            self.socket.bind((bind, 0))
        self.socket.connect((host, port))

    def ask(self, packet, timeout=10):
        """The next handshake that comes back; None if there is none in time."""
        self.socket.settimeout(timeout)
        self.socket.send(packet)
        try:
            while True:
                answer = self.socket.recv(2000)
                if answer[:2] == b"\x80\x00":
                    return answer
        except TimeoutError:
            return None

    def cookie(self, socket_id):
        """That of an induction; other answers that are still on their way are dropped."""
        answer = self.ask(handshake(4, 1, socket_id))
        while kind_of(answer) != 1 or struct.unpack_from("!I", answer, 12)[0] != socket_id:
            answer = self.ask(b"")
        version, _, magic = struct.unpack_from("!IHH", answer, 16)
        assert (len(answer), version, magic) == (64, 5, 0x4A17)
        return struct.unpack_from("!I", answer, 44)[0]


def kind_of(answer):
    return struct.unpack_from("!I", answer, 36)[0]
