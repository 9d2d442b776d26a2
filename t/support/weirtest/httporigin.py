"""A scripted HTTP origin, and a raw HTTP client: what real ones can't be made to do or show.

    def serve(call):                     # one call a request, in a thread of the connection
        call.answer(200, b"hello")       # or call.send(raw bytes); call.close(); call.path …
    origin = HttpOrigin(lab, serve)      # .http_port .requests .connections
    weir = lab.weir(origins=[origin], http=True)
    with HttpConnection(weir.http_port) as client:
        client.send("GET /live/a.ts HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
        answer = client.read_answer()    # .status .fields (lower case) .body .raw_head
"""

import contextlib
import socket
import threading

from .process import free_port

PROBE = b"User-Agent: weir-probe"
REASONS = {200: "OK", 206: "Partial Content", 302: "Found", 304: "Not Modified", 404: "Not Found"}


def parse_head(text):
    lines = text.split("\r\n")
    fields = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        fields[name.strip().lower()] = value.strip()
    return lines[0], fields


class Call:
    """One request as the origin sees it."""

    def __init__(self, sock, head, extra, number):
        self.sock = sock
        self.head = head
        self.line, self.fields = parse_head(head)
        self.method, self.path = self.line.split(" ")[:2]
        self.extra = extra      # bytes behind the head
        self.body = b""         # those of them that Content-Length announces
        self.number = number    # 1 for the first request of its connection
        self.open = True

    def send(self, data):
        self.sock.sendall(data.encode() if isinstance(data, str) else data)

    def answer(self, status=200, body=b"", fields=None, framing="length"):
        """framing: length, chunked or close (the body ends with the connection)."""
        fields = {"Content-Type": "text/plain", **(fields or {})}
        if framing == "length":
            fields.setdefault("Content-Length", str(len(body)))
        elif framing == "chunked":
            fields["Transfer-Encoding"] = "chunked"
        else:
            fields["Connection"] = "close"
        head = f"HTTP/1.1 {status} {REASONS.get(status, 'Status')}\r\n"
        head += "".join(f"{k}: {v}\r\n" for k, v in fields.items() if v is not None)
        self.send(head + "\r\n")
        if self.method == "HEAD":
            return
        if framing == "chunked":
            half = len(body) // 2
            for part in (body[:half], body[half:]):
                if part:
                    self.chunk(part)
            self.send(b"0\r\n\r\n")
        else:
            self.send(body)
        if framing == "close":
            self.close()

    def chunk(self, data):
        self.send(b"%x\r\n" % len(data) + data + b"\r\n")

    def close(self):
        self.open = False


class HttpOrigin:
    """Calls `serve(call)` for each request. Weir's probes it answers by itself, and counts apart."""

    def __init__(self, lab, serve, start=True, ip="127.0.0.1", port=None):
        self.ip = ip
        self.rtmp_port = None
        self.http_port = port or free_port()
        self.serve = serve
        self.requests = []
        self.connections = 0    # without those of probes
        self.probes = 0
        self._sockets = set()
        self._listener = None
        lab.at_close(self.stop)
        if start:
            self.start()

    def start(self):
        self._listener = socket.create_server((self.ip, self.http_port), backlog=1024)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def stop(self):
        """Closes everything: connections too."""
        if self._listener:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        self.drop_connections()

    def drop_connections(self):
        for sock in list(self._sockets):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    @property
    def paths(self):
        return [call.path for call in self.requests]

    def _accept(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            self._sockets.add(sock)
            threading.Thread(target=self._run, args=(sock,), daemon=True).start()

    def _run(self, sock):
        data, number = b"", 0
        with sock, contextlib.suppress(OSError):
            if PROBE in sock.recv(4096, socket.MSG_PEEK):  # its head comes in one piece
                self.probes += 1
                sock.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
                return
            self.connections += 1
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while True:
                while b"\r\n\r\n" not in data:
                    more = sock.recv(65536)
                    if not more:
                        return
                    data += more
                head, _, data = data.partition(b"\r\n\r\n")
                number += 1
                call = Call(sock, head.decode("latin-1"), data, number)
                length = int(call.fields.get("content-length", 0))
                while len(data) < length:
                    more = sock.recv(65536)
                    if not more:
                        return
                    data += more
                call.body, data = data[:length], data[length:]
                self.requests.append(call)
                self.serve(call)
                if not call.open:
                    return
        self._sockets.discard(sock)


class Answer:
    def __init__(self, raw_head, body):
        self.raw_head = raw_head
        line, self.fields = parse_head(raw_head)
        self.status = int(line.split(" ")[1])
        self.body = body


class HttpConnection:
    """Bytes out, answers in."""

    def __init__(self, port, timeout=10.0, receive_buffer=None, source=None):
        self.sock = socket.socket()
        if source:
            self.sock.bind((source, 0))
        self.sock.settimeout(timeout)
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.connect(("127.0.0.1", port))
        self.data = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data.encode("latin-1") if isinstance(data, str) else data)

    def get(self, path, method="GET", host="weir.test", version="1.1", **fields):
        """Sends a request and reads its answer; underscores in field names become dashes."""
        lines = [f"{method} {path} HTTP/{version}", f"Host: {host}"]
        lines += [f"{k.replace('_', '-')}: {v}" for k, v in fields.items()]
        self.send("\r\n".join(lines) + "\r\n\r\n")
        return self.read_answer(method)

    def _more(self):
        more = self.sock.recv(65536)
        self.data += more
        return more

    def _until(self, mark):
        while mark not in self.data:
            if not self._more():
                raise ConnectionError(f"closed after {self.data[-200:]!r}")
        out, _, self.data = self.data.partition(mark)
        return out

    def take(self, size):
        while len(self.data) < size:
            if not self._more():
                raise ConnectionError(f"closed after {len(self.data)} of {size} bytes")
        out, self.data = self.data[:size], self.data[size:]
        return out

    def read_head(self):
        return Answer(self._until(b"\r\n\r\n").decode("latin-1"), b"")

    def read_chunk(self):
        size = int(self._until(b"\r\n").split(b";")[0], 16)
        data = self.take(size)
        self._until(b"\r\n")
        return data

    def read_answer(self, method="GET"):
        answer = self.read_head()
        if method == "HEAD" or answer.status in (101, 204, 304):
            return answer
        if "chunked" in answer.fields.get("transfer-encoding", ""):
            while part := self.read_chunk():
                answer.body += part
        elif "content-length" in answer.fields:
            answer.body = self.take(int(answer.fields["content-length"]))
        else:
            answer.body = self.read_to_end()
        return answer

    def read_to_end(self):
        while self._more():
            pass
        out, self.data = self.data, b""
        return out

    def closed(self):
        """Reads to the connection's end; what was left, nothing as a rule."""
        try:
            return self.read_to_end()
        except ConnectionResetError:
            return self.data
