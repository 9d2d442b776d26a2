"""HLS viewers by the hundred, who drop their connections when they like.

    crowd = HlsCrowd(lab, [weir.http_port], streams, viewers=200, whole=whole)
    crowd.wait_playlists(1000)
    crowd.finish()                  # asserts that nobody saw what a viewer must not see

Each viewer reloads its playlist every second and fetches what is new in it. A request goes to one of
the ports at random, on a kept-alive connection, which is dropped now and then: between requests, or in
the middle of an answer. As browsers do, a viewer repeats a request on a new connection if the old one
was closed before a byte of the answer came.
"""

import asyncio
import random
import re
import threading

from .process import poll


class _Closed(Exception):
    """A kept-alive connection was closed before a byte of the answer."""


class _Broken(Exception):
    """A connection ended in the middle of an answer, or a new one before it."""


class _Connection:
    def __init__(self, reader, writer):
        self.reader, self.writer, self.used = reader, writer, False

    async def get(self, path, host, drop):
        """(status, body); body None: dropped in the middle of it."""
        reused, self.used = self.used, True
        began = False
        try:
            self.writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            head = await self.reader.readuntil(b"\r\n")
            began = True
            head += await self.reader.readuntil(b"\r\n\r\n")
            status = int(head.split()[1])
            size = int(re.search(rb"(?i)\r\ncontent-length: (\d+)", head).group(1))
            if drop:
                await self.reader.readexactly(size // 2)
                self.close()
                return status, None
            body = await self.reader.readexactly(size)
        except (OSError, asyncio.IncompleteReadError) as error:
            self.close()
            if reused and not began:
                raise _Closed from error
            raise _Broken(f"{path}: {error!r}") from error
        if re.search(rb"(?i)\r\nconnection: close\r\n", head):
            self.close()
        return status, body

    def close(self):
        self.writer.close()

    @property
    def open(self):
        return not self.writer.is_closing()


class HlsCrowd(threading.Thread):
    """Runs until finish(). whole(name, body): whether a segment is what its origin has."""

    def __init__(self, lab, ports, streams, viewers, whole=None, drop=0.1, host="127.0.0.1", app="live"):
        super().__init__(daemon=True)
        self.ports, self.streams, self.viewers, self.whole = ports, streams, viewers, whole
        self.drop, self.host, self.app = drop, host, app
        self.playlists = self.segments = self.dropped = 0
        self.broken, self.errors = [], []
        self.stopping = False
        lab.at_close(self._end)
        self.start()

    def run(self):
        asyncio.run(self._run())

    async def _run(self):
        await asyncio.gather(*(self._watch(n) for n in range(self.viewers)))

    async def _watch(self, number):
        chance = random.Random(number)
        await asyncio.sleep(chance.random())
        stream = self.streams[number % len(self.streams)]
        connections, sequence, last = {}, -1, None
        while not self.stopping:
            body = await self._get(connections, f"/{self.app}/{stream}.m3u8", chance)
            if body:
                self.playlists += 1
                text = body.decode()
                now = int(re.search(r"#EXT-X-MEDIA-SEQUENCE:(\d+)", text).group(1))
                if now < sequence:
                    self.errors.append(f"{stream}: media sequence {now} after {sequence}")
                sequence = now
                last = await self._fetch(connections, text, last, chance)
            await asyncio.sleep(1)
        for connection in connections.values():
            connection.close()

    async def _fetch(self, connections, text, last, chance):
        uris = [line for line in text.splitlines() if line and not line.startswith("#")]
        names = [uri.partition("?")[0] for uri in uris]
        first = names.index(last) + 1 if last in names else max(0, len(uris) - 2)
        for uri, name in list(zip(uris, names))[first:]:
            body = await self._get(connections, f"/{self.app}/{uri}", chance)
            if body is not None:
                self.segments += 1
                if self.whole and not self.whole(name, body):
                    self.errors.append(f"{name}: not the origin's")
            last = name
        return last

    async def _get(self, connections, path, chance):
        """The body; None when there is none, be it that this viewer gave up."""
        port = chance.choice(self.ports)
        drop = chance.random() < self.drop / 2
        self.dropped += drop
        for _ in range(3):
            connection = connections.get(port)
            try:
                if not connection or not connection.open:
                    connection = connections[port] = _Connection(
                        *await asyncio.open_connection("127.0.0.1", port))
                status, body = await asyncio.wait_for(connection.get(path, self.host, drop), 30)
            except _Closed:
                continue
            except (_Broken, OSError, asyncio.TimeoutError) as error:
                self.broken.append(f"{path}: {error!r}")
                return None
            if status != 200:
                self.errors.append(f"{path}: {status}")
                return None
            if chance.random() < self.drop / 2:
                self.dropped += 1
                connection.close()
            return body
        self.broken.append(f"{path}: closed again and again")
        return None

    def wait_playlists(self, count, timeout=60):
        """Until so many more were had, all in all."""
        want = self.playlists + count
        poll(f"{count} more playlists", lambda: self.playlists >= want or self.errors, timeout)

    def _end(self):
        self.stopping = True
        self.join(60)

    def finish(self, broken=0):
        """Asserts that there was no fault, and no more than `broken` broken connections."""
        self._end()
        if self.errors or len(self.broken) > broken:
            raise AssertionError(f"{len(self.errors)} faults, {len(self.broken)} broken, "
                                 f"{self.playlists} playlists, {self.segments} segments:\n"
                                 + "\n".join((self.errors + self.broken)[:20]))
