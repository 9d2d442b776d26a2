"""An SRT listener without libsrt, for faults, and many callers of one socket.

    origin = RawOrigin(lab)            # says yes to every handshake
    origin.mode = "reject" | "hold"    # no with code 1007, or nothing at all, to conclusions
    origin.mode = "mute"               # nothing at all
    frozen = RawProcess(lab)           # the same as a process of its own, which can be stopped

    crowd = Crowd(weir.srt_port); crowd.connect(ids, "live/{}"); crowd.shut_down()
"""

import pathlib
import select
import socket
import struct
import sys
import threading
import time

from .process import free_port
from .srtwire import conclusion, handshake, kind_of, shutdown

SUPPORT = pathlib.Path(__file__).resolve().parents[1]

COOKIE = 0x0C00C1E5
CONCLUSION = 0xFFFFFFFF
REJECTED = 1007  # backlog is full
RESEND = 0.5


def addressed(packet, destination):
    return packet[:12] + struct.pack("!I", destination) + packet[16:]


def extensions_of(packet):
    """{type: content} of a handshake."""
    out, at = {}, 64
    while at + 4 <= len(packet):
        kind, words = struct.unpack_from("!HH", packet, at)
        out[kind] = packet[at + 4:at + 4 + 4 * words]
        at += 4 + 4 * words
    return out


def socket_id_of(packet):
    return struct.unpack_from("!I", packet, 40)[0]


class Listener:
    def __init__(self, port):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.bind(("127.0.0.1", port))
        self.mode = "ok"
        self.first_id = port << 12  # no two origins give one id: callers may share a port
        self.old = False         # answers to socket 0, as libsrt before 1.3.1
        self.inductions = []     # socket ids that asked
        self.extensions = b""    # behind the SRT handshake extension of a yes
        self.asked = {}          # (address, socket id): its last conclusion
        self.sessions = {}       # the same of those that heard yes: the id given
        self.shut_downs = set()  # ids of ours
        self.data = []           # (address, packet) of data packets

    def serve(self):
        try:
            while True:
                packet, peer = self.socket.recvfrom(2000)
                if packet:  # else: somebody has found the port free
                    self.take(packet, peer)
        except OSError:
            return  # closed

    def take(self, packet, peer):
        if packet[:1] < b"\x80":
            self.data.append((peer, packet))
        if packet[:2] == b"\x80\x05":
            self.shut_downs.add(struct.unpack_from("!I", packet, 12)[0])
        if packet[:2] != b"\x80\x00" or len(packet) < 64:
            return
        caller, kind = socket_id_of(packet), kind_of(packet)
        if kind == 1:
            self.inductions.append(caller)
        if self.mode == "mute":
            return
        if kind == 1:
            self.answer(peer, caller, handshake(5, 1, caller, COOKIE, 0x4A17))
        elif kind == CONCLUSION:
            self.asked[peer, caller] = packet
            if self.mode == "reject":
                self.answer(peer, caller, handshake(5, REJECTED, caller, COOKIE, 0))
            elif self.mode == "ok":
                own = self.sessions.setdefault((peer, caller), self.first_id + len(self.sessions))
                agreed = struct.pack("!HHIIHH", 2, 3, 0x010501, 0xBF, 120, 120)
                self.answer(peer, caller, handshake(
                    5, -1, own, COOKIE, 1, agreed + self.extensions, struct.unpack_from("!I", packet, 24)[0]))

    def answer(self, peer, caller, packet):
        self.socket.sendto(addressed(packet, 0 if self.old else caller), peer)


class RawOrigin(Listener):
    def __init__(self, lab, port=None):
        self.port = port or free_port(udp=True)
        super().__init__(self.port)
        threading.Thread(target=self.serve, daemon=True).start()
        lab.at_close(self.close)

    def close(self):
        try:
            self.socket.shutdown(socket.SHUT_RDWR)  # wakes serve()
        except OSError:
            pass  # not connected: it is woken all the same
        self.socket.close()


class RawProcess:
    def __init__(self, lab):
        self.port = free_port(udp=True)
        self.process = lab.start([sys.executable, "-m", "weirtest.srtraw", self.port], "raw-origin",
                                 env={"PYTHONPATH": str(SUPPORT)})
        self.process.wait_log("listens")


class Crowd:
    """Callers of one address and port."""

    def __init__(self, port):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.connect(("127.0.0.1", port))
        self.origin_ids = {}

    def connect(self, ids, stream_id, timeout=60):
        """Sets the connections up, 50 at a time; a word without an answer is repeated."""
        ids = list(ids)
        for at in range(0, len(ids), 50):
            some = ids[at:at + 50]
            cookies = self._ask({i: handshake(4, 1, i) for i in some}, timeout)
            answers = self._ask({i: conclusion(i, cookies[i][1], stream_id.format(i))
                                 for i in some}, timeout)
            assert all(kind == CONCLUSION for kind, _, _ in answers.values()), answers
            self.origin_ids.update({i: answer[2] for i, answer in answers.items()})

    def _ask(self, questions, timeout):
        """{socket id: (kind, cookie, socket id of the other end)} of the answers."""
        answers, deadline, again = {}, time.monotonic() + timeout, 0.0
        while len(answers) < len(questions):
            now = time.monotonic()
            assert now < deadline, f"{len(questions) - len(answers)} callers got no answer"
            if now >= again:
                again = now + RESEND
                for number in questions.keys() - answers.keys():
                    self.socket.send(questions[number])
            if not select.select([self.socket], [], [], 0.05)[0]:
                continue
            packet = self.socket.recv(2000)
            number = struct.unpack_from("!I", packet, 12)[0]
            wanted = len(packet) >= 64 and packet[:2] == b"\x80\x00" and number in questions
            # A late answer to the question before is none to this one.
            if wanted and (kind_of(packet) == 1) == (kind_of(questions[number]) == 1):
                answers[number] = (kind_of(packet), struct.unpack_from("!I", packet, 44)[0],
                                   socket_id_of(packet))
        return answers

    def send_data(self, origin_id, number):
        self.socket.send(struct.pack("!IIII", number, 0xE0000001, 0, origin_id) + b"x" * 188)

    def shut_down(self):
        for other in self.origin_ids.values():
            self.socket.send(shutdown(other))
        self.origin_ids = {}

    def close(self):
        self.socket.close()


if __name__ == "__main__":
    listener = Listener(int(sys.argv[1]))
    print("listens", flush=True)
    listener.serve()
