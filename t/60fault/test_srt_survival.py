"""SRT sessions outlive workers, reloads and the service; retransmission hides the gap."""

import os
import signal

from weirtest import poll, sanitized, srt
from weirtest.srt import Sink, Source, SrtOrigin, call, srt_weir

PUBLISH, PLAY = "#!::r=live/a,m=publish", "#!::r=live/a,m=request"
CONTENT = os.urandom(srt.MTU_PAYLOAD * 1000)
LATENCY = 3000 if sanitized() else 1000  # milliseconds; a worker with sanitizers is slow to start
IN_TIME = {**srt.WIDE, "latency": LATENCY, "tlpktdrop": True}


class Streams:
    """20 Mbit/s from a publisher and 10 to a player; the receivers drop what comes too late."""

    def __init__(self, lab, **options):
        media = [CONTENT[i:i + srt.MTU_PAYLOAD] for i in range(0, len(CONTENT), srt.MTU_PAYLOAD)]
        self.origin = SrtOrigin(lab, media, asked=False, **IN_TIME)
        self.weir = srt_weir(lab, [self.origin], **options)
        self.before = self.weir.descriptors()
        self.publisher = call(self.weir.srt_port, PUBLISH, **IN_TIME)
        self.player = call(self.weir.srt_port, PLAY, **IN_TIME)
        self.source = Source(self.publisher, 20)
        self.sink = Sink(self.player)
        self.go_on()

    def go_on(self):
        goal = len(self.source.sent) + 500
        poll("packets at the origin", lambda: len(self.origin.received.get(PUBLISH, [])) > goal, 30)
        self.sink.wait_for_more(300)

    def assert_whole(self):
        """Everything has arrived in time, over the connections of the beginning, and they end."""
        self.source.stop()
        got = self.origin.received[PUBLISH]
        poll("the last packet", lambda: len(got) >= len(self.source.sent), 30, 0.1)
        assert got == self.source.sent
        assert self.origin.connections[PUBLISH].stats().receive_drops == 0
        assert self.publisher.stats().send_drops == 0
        self.sink.assert_piece_of(CONTENT)
        assert sorted(self.origin.stream_ids) == sorted([PUBLISH, PLAY])
        self.publisher.close()
        self.player.close()
        poll("no session", lambda: self.weir.metric("weir_sessions", protocol="srt") == 0, 20)
        poll("no descriptor more", lambda: self.weir.descriptors() <= self.before + 2, 20)


def test_kill_and_reload_lose_nothing(lab):
    """Two workers are killed twice and a configuration reloaded."""
    streams = Streams(lab, workers=2)
    weir, origin = streams.weir, streams.origin
    for _ in range(2):
        for pid in weir.pids("srt"):
            os.kill(pid, signal.SIGKILL)
        poll("two other workers", lambda: len(weir.pids("srt")) == 2)
        weir.wait_ready()
        streams.go_on()
    weir.reload({"srt": {"enabled": True, "listen": f"127.0.0.1:{weir.srt_port}"},
                 "origin o1": {"ip": "127.0.0.1", "srt": origin.port}})
    streams.go_on()
    assert weir.metric("weir_udp_takeovers_total", protocol="srt") >= 2
    streams.assert_whole()


def test_restart_of_the_service(lab):
    """The same connections go on after a restart; what was lost meanwhile is sent again."""
    streams = Streams(lab)
    for _ in range(2):
        streams.weir.stop()
        streams.weir.start()
        streams.go_on()
    streams.assert_whole()
