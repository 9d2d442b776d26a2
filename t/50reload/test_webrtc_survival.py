"""Chromium plays by WHEP while the processes under it die, reload and restart: frames go on, and the
page's connectionState never leaves `connected`."""

import os
import re
import signal
import time

from weirtest import poll
from weirtest.rtcorigin import RtcWeir
from weirtest.webrtc import Link, WebrtcBrowser, WebrtcOrigin


def test_playing_through_everything(lab):
    link = Link(lab)
    origin = WebrtcOrigin(lab, link.near)
    weir = RtcWeir(lab, [origin], {"rtc": {"candidate": link.near}}, address=link.near, workers=2)
    publisher = link.client("publish", weir.url("whip/live/show")).wait_connected()
    with WebrtcBrowser(lab, link, origin) as player:
        player.begin("play", weir.url("whep/live/show")).wait_connected()
        player.wait_video(5)

        def goes_on(what):
            began = time.monotonic()
            seen = player.wait_video(10)
            assert seen["states"] == ["connecting", "connected"], (what, seen)
            assert publisher.states[-1] == "connected", what
            return time.monotonic() - began

        for pid in weir.weir.pids("rtc"):
            os.kill(pid, signal.SIGKILL)
        goes_on("SIGKILL of every rtc worker")
        weir.weir.reload()
        goes_on("SIGHUP")
        weir.weir.reload({**weir.sections, "worker_processes": 1})
        goes_on("SIGHUP with another number of workers")
        weir.weir.stop()
        weir.weir.start()
        goes_on("restart of the service")
        # What was signalled by the run before is ended by this one.
        assert player.leave() == 200 and publisher.leave() == 200
        poll("both have ended", lambda: len(
            re.findall(r"master\S* session ended .* reason=deleted", weir.weir.log())) == 2)
        assert origin.states("live/show", "whep") == ["closed"]
