"""ICE over TCP with a real stack: Chromium in a network that lets no UDP through plays from an origin
that speaks UDP alone."""

import os
import signal

from weirtest import free_port, poll
from weirtest.rtcorigin import RtcWeir
from weirtest.webrtc import Link, WebrtcBrowser, WebrtcClient, WebrtcOrigin


def test_chromium_without_udp(lab):
    link = Link(lab)
    origin = WebrtcOrigin(lab, link.near)
    port = free_port()
    weir = RtcWeir(lab, [origin], {"rtc": {"candidate": link.near, "tcp_listen": f"{link.near}:{port}"}},
                   address=link.near, workers=2)
    publisher = WebrtcClient(lab, "publish", weir.url("whip/live/show")).wait_connected()
    link.nft("-f", "-", rules="table inet no_udp {\nchain out {\ntype filter hook output priority 0;\n"
                              "meta l4proto udp drop\n}\n}\n")
    with WebrtcBrowser(lab, link, origin) as player:
        player.begin("play", weir.url("whep/live/show")).wait_connected()
        seen = player.wait_video(10)
        assert seen["size"] == [160, 120] and seen["way"] == f"tcp {link.near}:{port}"
        assert weir.weir.metric("weir_connections_accepted_total", protocol="rtc") >= 1
        rows = {row["role"]: row for row in weir.weir.api("sessions?protocol=rtc")["sessions"]}
        assert rows["player"]["transport"] == "tcp" and rows["publisher"]["transport"] == "udp"

        def goes_on(what):
            now = player.wait_video(10)
            assert now["states"] == ["connecting", "connected"], (what, now)
            assert publisher.states[-1] == "connected", what

        before = set(weir.weir.pids("rtc"))
        weir.weir.reload()
        goes_on("a reload: the connection stays with its worker")
        left = before & set(weir.weir.children())
        assert len(left) == 1, "the others have nothing left to do"
        os.kill(left.pop(), signal.SIGKILL)
        poll("the browser sees its connection go", lambda: player.stats()["states"][-1] != "connected"
             or weir.weir.metric("weir_connections_accepted_total", protocol="rtc") >= 2, 30)
        player.wait("and another one takes its place", lambda s: s["states"][-1] == "connected", 60)
        player.wait_video(10)
        assert player.leave() == 200 and publisher.leave() == 200
        poll("no session is left", lambda: weir.weir.api("summaries")["sessions"] == 0)
