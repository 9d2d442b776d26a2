"""Live streams over HTTP: HTTP-FLV and its kin, bit by bit, for seconds, by the thousand."""

import hashlib
import signal
import threading

from weirtest import HttpConnection, HttpOrigin, assert_same_media, poll
from weirtest.load import process_gone


class LiveOrigin(HttpOrigin):
    """Sends the given bytes again and again, at a pace, until it is told to stop."""

    def __init__(self, lab, data, framing="chunked", piece=4096, pause=0.005, rounds=None):
        self.data, self.framing, self.piece, self.rounds = data, framing, piece, rounds
        self.pause = pause
        self.stopped = threading.Event()
        lab.at_close(self.stopped.set)
        super().__init__(lab, self.live)

    def live(self, call):
        head = "HTTP/1.1 200 OK\r\nContent-Type: video/x-flv\r\n"
        head += "Transfer-Encoding: chunked\r\n" if self.framing == "chunked" else ""
        call.send(head + "Connection: close\r\n\r\n")
        send = call.chunk if self.framing == "chunked" else call.send
        rounds = 0
        while not self.stopped.is_set() and rounds != self.rounds:
            for at in range(0, len(self.data), self.piece):
                send(self.data[at:at + self.piece])
                if self.stopped.wait(self.pause):
                    break
            rounds += 1
        if self.framing == "chunked":
            call.send(b"0\r\n\r\n")
        call.close()


class Hasher(threading.Thread):
    """A player that reads in the background: .size, and the digest of the whole at the end."""

    def __init__(self, port, path="/live/a.flv"):
        super().__init__(daemon=True)
        self.client = HttpConnection(port, timeout=30)
        self.client.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")
        self.head = self.client.read_head()
        self.chunked = "transfer-encoding" in self.head.fields
        self.digest, self.size, self.error = hashlib.sha1(), 0, None
        self.start()

    def run(self):
        try:
            while data := self._next():
                self.digest.update(data)
                self.size += len(data)
        except (OSError, ValueError) as error:
            self.error = error

    def _next(self):
        if self.chunked:
            return self.client.read_chunk()
        data, self.client.data = self.client.data, b""
        return data or self.client.sock.recv(65536)


def test_bit_identical_through_a_reload(lab, media):
    data = media.read_bytes()
    for framing in ("chunked", "close"):
        origin = LiveOrigin(lab, data, framing, rounds=8)
        weir = lab.weir(origins=[origin], http=True, name=framing)
        player = Hasher(weir.http_port)
        assert player.head.status == 200
        assert player.chunked == (framing == "chunked")
        poll("media", lambda: player.size > 50_000)
        before = player.size
        weir.reload()
        poll("media after the reload", lambda: player.size > before + 50_000)
        player.join(60)
        assert player.error is None
        assert player.size == 8 * len(data)
        assert player.digest.digest() == hashlib.sha1(data * 8).digest()
        weir.wait_metric(0, "weir_sessions", protocol="http", state="playing")


def test_ffmpeg_plays_http_flv(lab, media):
    origin = LiveOrigin(lab, media.read_bytes(), pause=0.001, rounds=1)
    weir = lab.weir(origins=[origin], http=True)
    played = lab.play(weir.http_url("live/a.flv"), seconds=3)
    assert_same_media(media, played)


def test_streams_show_in_the_api(lab):
    origin = LiveOrigin(lab, bytes(5000))
    weir = lab.weir(origins=[origin], http=True)
    players = [Hasher(weir.http_port) for _ in range(3)]
    weir.wait_metric(3, "weir_sessions", protocol="http", state="playing")
    poll("players of the stream", lambda: weir.metric("weir_origin_sessions", role="player") == 3)
    for player in players:
        player.client.sock.shutdown(2)
    weir.wait_metric(0, "weir_sessions", protocol="http", state="playing")
    poll("no player", lambda: weir.metric("weir_origin_sessions", role="player") == 0)
    assert weir.metric("weir_session_ends_total", protocol="http", reason="client_closed") == 3


def test_thousand_players_leave_nothing_behind(lab):
    origin = LiveOrigin(lab, bytes(1000), pause=1.0)
    weir = lab.weir(origins=[origin], http=True)
    [pid] = weir.pids("http")
    warm_up(weir, 1000)
    descriptors, memory = weir.descriptors(), weir.memory()
    warm_up(weir, 1000)
    assert weir.descriptors() <= descriptors + 3
    assert weir.memory() < memory + 2 * 1024 * 1024
    assert weir.pids("http") == [pid]


def warm_up(weir, players):
    """Has this many players at once, and sees them off."""
    clients = []
    for _ in range(players):
        client = HttpConnection(weir.http_port, timeout=30)
        client.send("GET /live/a.flv HTTP/1.1\r\nHost: x\r\n\r\n")
        clients.append(client)
    for client in clients:
        assert client.read_head().status == 200
    weir.wait_metric(players, "weir_sessions", 30, protocol="http", state="playing")
    for client in clients:
        client.close()
    weir.wait_metric(0, "weir_connections", 30, protocol="http")


def test_drain_lets_live_players_go_on(lab, media):
    data = media.read_bytes()
    origin = LiveOrigin(lab, data, pause=0.002)
    weir = lab.weir(origins=[origin], http=True)
    [old] = weir.pids("http")
    player = Hasher(weir.http_port)
    idle = HttpConnection(weir.http_port)
    poll("media", lambda: player.size > 10_000)
    weir.reload()
    [new] = weir.pids("http")
    assert new != old
    assert idle.sock.fileno() >= 0
    before = player.size
    poll("media of the old worker", lambda: player.size > before + 100_000)
    assert not process_gone(old)
    second = Hasher(weir.http_port)
    poll("media of the new worker", lambda: second.size > 10_000)
    idle.close()
    player.client.sock.shutdown(2)
    poll("the old worker has left", lambda: process_gone(old))
    assert second.is_alive()


def test_quit_ends_players_at_the_deadline(lab):
    origin = LiveOrigin(lab, bytes(5000))
    weir = lab.weir(origins=[origin], http=True, config={"grace_quit_timeout": "1s",
                                                         "force_quit_timeout": "5s"})
    player = Hasher(weir.http_port)
    weir.signal(signal.SIGQUIT)
    assert weir.process.wait(15) == 0
    player.join(10)
    assert not player.is_alive()


def test_origin_that_ends_ends_the_stream(lab):
    origin = LiveOrigin(lab, bytes(5000), "close", pause=0.001, rounds=2)
    weir = lab.weir(origins=[origin], http=True)
    player = Hasher(weir.http_port)
    player.join(10)
    assert player.size == 10_000
    weir.wait_metric(1, "weir_session_ends_total", protocol="http", reason="origin_closed")
