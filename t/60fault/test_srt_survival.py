"""SRT sessions outlive workers, reloads and the service; retransmission hides the gap."""

import os
import signal
import struct
import threading
import time

from weirtest import poll
from weirtest import srt
from weirtest.srt import SrtOrigin, call, srt_weir

PUBLISH = "#!::r=live/a,m=publish"


class Publisher:
    """Sends numbered packets at a steady pace until it is stopped."""

    def __init__(self, weir, latency):
        self.caller = call(weir.srt_port, PUBLISH, latency=latency, tlpktdrop=True)
        self.sent = 0
        self.going = True
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while self.going:
            self.caller.send(struct.pack("!I", self.sent) + os.urandom(srt.MTU_PAYLOAD - 4))
            self.sent += 1
            time.sleep(0.002)

    def stop(self):
        self.going = False
        self.thread.join(20)


def numbers(origin):
    return [struct.unpack_from("!I", message)[0] for message in list(origin.received[PUBLISH])]


def test_kill_and_reload_lose_nothing(lab):
    """Two workers are killed and a configuration reloaded during a stream with 1 s of latency."""
    origin = SrtOrigin(lab, latency=1000, tlpktdrop=True)
    weir = srt_weir(lab, [origin], workers=2)
    before = weir.descriptors()
    stream = Publisher(weir, 1000)

    def progress():
        goal = stream.sent + 100
        poll("packets at the origin", lambda: len(origin.received.get(PUBLISH, [])) > goal, 30)

    progress()
    for round_number in range(2):
        for pid in weir.pids("srt"):
            os.kill(pid, signal.SIGKILL)
        poll("two other workers", lambda: len(weir.pids("srt")) == 2)
        weir.wait_ready()
        progress()
    weir.reload({"srt": {"enabled": True, "listen": f"127.0.0.1:{weir.srt_port}"},
                 "origin o1": {"ip": "127.0.0.1", "srt": origin.port}})
    progress()
    stream.stop()
    poll("the last packet", lambda: len(origin.received[PUBLISH]) == stream.sent, 30)
    assert numbers(origin) == list(range(stream.sent))
    assert stream.caller.stats().send_drops == 0
    assert origin.stream_ids == [PUBLISH]  # one connection all the time
    assert weir.metric("weir_udp_takeovers_total", protocol="srt") >= 1
    stream.caller.close()
    poll("no session", lambda: weir.metric("weir_sessions", protocol="srt") == 0, 20)
    poll("no descriptor more", lambda: weir.descriptors() <= before + 2, 20)


def test_restart_of_the_service(lab):
    """The same connection goes on after a restart; what was lost meanwhile is sent again."""
    origin = SrtOrigin(lab, latency=8000, tlpktdrop=True)
    weir = srt_weir(lab, [origin])
    stream = Publisher(weir, 8000)
    poll("packets on their way", lambda: stream.sent > 200, 30)
    weir.stop()
    weir.start()
    after = stream.sent
    poll("packets of later", lambda: stream.sent > after + 200, 30)
    stream.stop()
    poll("the last packet", lambda: len(origin.received.get(PUBLISH, [])) == stream.sent, 60, 0.1)
    assert numbers(origin) == list(range(stream.sent))
    assert origin.stream_ids == [PUBLISH]
    stream.caller.close()
    poll("no session", lambda: weir.metric("weir_sessions", protocol="srt") == 0, 20)
