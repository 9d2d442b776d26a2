"""SRT packet by packet: handshakes as libsrt would not write them."""

import socket
import struct


def handshake(version, kind, socket_id, cookie=0, extension=2, content=b"", sequence=7):
    head = struct.pack("!HHIII", 0x8000, 0, 0, 1000, 0)
    body = struct.pack("!IHHIIIIII", version, 0, extension, sequence, 1500, 8192, kind & 0xFFFFFFFF,
                       socket_id, cookie) + bytes([1, 0, 0, 127]) + bytes(12)
    return head + body + content


def conclusion(socket_id, cookie, stream_id, version=5):
    request = struct.pack("!HH", 1, 3) + struct.pack("!IIHH", 0x010501, 0xBF, 120, 120)
    raw = stream_id.encode()
    raw += bytes(-len(raw) % 4)
    raw = b"".join(raw[i:i + 4][::-1] for i in range(0, len(raw), 4))
    return handshake(version, -1, socket_id, cookie, 5,
                     request + struct.pack("!HH", 5, len(raw) // 4) + raw)


class Raw:
    """A caller's socket without libsrt."""

    def __init__(self, port, host="127.0.0.1"):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
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
        answer = self.ask(handshake(4, 1, socket_id))
        assert struct.unpack_from("!IHH", answer, 16) == (5, 0, 0x4A17)
        assert len(answer) == 64 and struct.unpack_from("!I", answer, 12)[0] == socket_id
        return struct.unpack_from("!I", answer, 44)[0]


def kind_of(answer):
    return struct.unpack_from("!I", answer, 36)[0]
