"""Name servers: one that can be silent, slow and lie, over UDP and TCP on one port of the loopback.

    dns = DnsServer(lab)
    dns.set("hook.test", ["127.0.0.2"], ttl=1)
    dns.mode = "silent"

Names that were not set are NXDOMAIN. Modes, of the whole server or of one name:
    ok         what was set
    silent     no answer
    slow       what was set, after `delay` seconds
    nxdomain   no such name, whatever was set
    servfail, refused
    truncated  over UDP an empty answer with TC; over TCP all of it
    truncated_only_udp   the same, but TCP connections are closed unanswered
    other_question       an answer for another name, with that name's address
    wrong_id             an answer with another transaction id
    garbage              a header, then bytes that are none
    loop                 compression pointers that point to each other
"""

import collections
import itertools
import os
import pwd
import select
import signal
import socket
import struct
import threading
import time

from .process import free_port

A, AAAA, CNAME = 1, 28, 5
_UDP_MAX = 512
_TCP_MAX = 65535
_LIE = "127.6.6.6"  # what answers for other questions say; nothing must ever go there


class DnsServer:
    def __init__(self, lab, mode="ok", ip="127.0.0.1", port=None):
        self.mode = mode
        self.delay = 1.0
        self.queries = collections.Counter()  # (name, type): how often
        self.tcp_queries = 0
        self._names = {}
        self._modes = {}
        self._lock = threading.Lock()
        self._late = []  # (when, function)
        self._stop, self._wake = socket.socketpair()
        self.ip = ip
        self.port = port or free_port(udp=True)
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind((ip, self.port))
        self._tcp = socket.create_server((ip, self.port), backlog=64)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        lab.at_close(self.close)

    @property
    def address(self):
        return f"{self.ip}:{self.port}"

    def set(self, name, addresses, ttl=60, mode=None, cname=None):
        """Addresses of both families; an empty list is NODATA. `cname`: they stand under that name."""
        with self._lock:
            self._names[name.lower()] = (list(addresses), ttl, cname)
            self._modes[name.lower()] = mode

    def asked(self, name):
        with self._lock:
            return sum(count for (asked, _), count in self.queries.items() if asked == name.lower())

    def close(self):
        self._wake.close()
        self._thread.join(5)
        for one in (self._udp, self._tcp, self._stop):
            one.close()

    # ---- the server's thread
    def _run(self):
        streams = {}
        while True:
            wait = max(0.0, min((when for when, _ in self._late), default=60.0 + time.monotonic())
                       - time.monotonic())
            ready, _, _ = select.select([self._udp, self._tcp, self._stop, *streams], [], [], wait)
            if self._stop in ready:
                for one in streams:
                    one.close()
                return
            due = [entry for entry in self._late if entry[0] <= time.monotonic()]
            self._late = [entry for entry in self._late if entry not in due]
            for _, function in due:
                function()
            for one in ready:
                if one is self._udp:
                    query, peer = self._udp.recvfrom(4096)
                    self._serve(query, False, lambda answer, to=peer: self._send_udp(answer, to))
                elif one is self._tcp:
                    streams[self._tcp.accept()[0]] = b""
                elif one in streams:
                    self._read_tcp(one, streams)

    def _send_udp(self, answer, peer):
        try:
            self._udp.sendto(answer, peer)
        except OSError:
            pass  # whoever asked has gone

    def _read_tcp(self, link, streams):
        try:
            data = link.recv(65536)
        except OSError:
            data = b""
        held = streams[link] + data
        while len(held) >= 2 and len(held) >= 2 + struct.unpack(">H", held[:2])[0]:
            size = 2 + struct.unpack(">H", held[:2])[0]
            self.tcp_queries += 1
            self._serve(held[2:size], True, lambda answer: self._send_tcp(link, answer))
            held = held[size:]
        streams[link] = held
        if not data:
            streams.pop(link)
            link.close()

    @staticmethod
    def _send_tcp(link, answer):
        try:
            if answer is None:
                link.shutdown(socket.SHUT_RDWR)
            else:
                link.sendall(struct.pack(">H", len(answer)) + answer)
        except OSError:
            pass

    def _serve(self, query, tcp, send):
        name, kind, question = _parse(query)
        with self._lock:
            self.queries[(name, kind)] += 1
            mode = self._modes.get(name) or self.mode
            known = self._names.get(name)
        if mode == "silent":
            return
        if mode == "truncated_only_udp" and tcp:
            send(None)
            return
        answer = self._answer(query[:2], name, kind, question, known, mode, tcp)
        if mode == "slow":
            self._late.append((time.monotonic() + self.delay, lambda: send(answer)))
        else:
            send(answer)

    def _answer(self, ident, name, kind, question, known, mode, tcp):
        if mode == "wrong_id":
            ident = bytes([ident[0] ^ 0x55, ident[1]])
        if mode == "other_question":
            question = _name("other.test") + struct.pack(">HH", kind, 1)
            known = ([_LIE], 60, None)
        if mode == "garbage":
            return ident + struct.pack(">HHHHH", 0x8180, 1, 40, 0, 0) + question + b"\xff" * 300
        if mode == "loop":
            loop = struct.pack(">H", 0xC000 | (12 + len(question)))
            return (ident + struct.pack(">HHHHH", 0x8180, 1, 1, 0, 0) + question + loop
                    + struct.pack(">HHIH", kind, 1, 60, 4) + b"\x7f\x06\x06\x06")
        if mode in ("servfail", "refused"):
            return ident + struct.pack(">HHHHH", 0x8180 | {"servfail": 2, "refused": 5}[mode],
                                       1, 0, 0, 0) + question
        if mode == "nxdomain" or known is None:
            return ident + struct.pack(">HHHHH", 0x8183, 1, 0, 0, 0) + question
        addresses, ttl, cname = known
        family = socket.AF_INET6 if kind == AAAA else socket.AF_INET
        packed = [socket.inet_pton(family, one) for one in addresses
                  if kind in (A, AAAA) and (":" in one) == (kind == AAAA)]
        owner, rows, count = b"\xc0\x0c", b"", len(packed)
        if cname and packed:
            text = _name(cname)
            rows += owner + struct.pack(">HHIH", CNAME, 1, ttl, len(text)) + text
            owner, count = text, count + 1
        rows += b"".join(owner + struct.pack(">HHIH", kind, 1, ttl, len(one)) + one
                         for one in packed)
        most = _TCP_MAX if tcp else _UDP_MAX
        cut = not tcp and (mode.startswith("truncated") or 12 + len(question) + len(rows) > most)
        if cut:
            return ident + struct.pack(">HHHHH", 0x8380, 1, 0, 0, 0) + question
        return ident + struct.pack(">HHHHH", 0x8180, 1, count, 0, 0) + question + rows


def _name(text):
    return b"".join(bytes([len(part)]) + part.encode() for part in text.split(".")) + b"\0"


def _parse(query):
    at, labels = 12, []
    for _ in itertools.repeat(None, 128):
        length = query[at]
        at += 1
        if length == 0:
            break
        labels.append(query[at:at + length].decode("latin-1").lower())
        at += length
    kind, = struct.unpack(">H", query[at:at + 2])
    return ".".join(labels), kind, query[12:at + 4]


class Dnsmasq:
    """A real one, dnsmasq: nothing but what set() says, in an order that changes, behind CNAMEs."""

    def __init__(self, lab, cnames=()):
        self._lab = lab
        self._hosts = lab.path("dnsmasq.hosts")
        self._names = {}
        self.port = free_port(udp=True)
        self._argv = ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=",
                      f"--user={pwd.getpwuid(os.geteuid()).pw_name}", "--no-resolv", "--no-hosts",
                      f"--addn-hosts={self._hosts}", f"--port={self.port}",
                      "--listen-address=127.0.0.1", "--bind-interfaces", "--local=/test/",
                      "--local-ttl=0", *(f"--cname={alias},{target}" for alias, target in cnames)]
        self.set("nobody.test", [])
        self.start()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def start(self):
        self.process = self._lab.start(self._argv, "dnsmasq")
        self.process.wait_port(self.port)

    def set(self, name, addresses):
        self._names[name] = addresses
        self._hosts.write_text("".join(f"{ip} {name}\n" for name, all in self._names.items() for ip in all))
        if hasattr(self, "process"):
            self.process.signal(signal.SIGHUP)
