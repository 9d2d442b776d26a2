"""Real WebRTC through Weir: aiortc as origin; aiortc, GStreamer and Chromium as clients (WHIP and WHEP)."""

import re
import select

import pytest
from weirtest import poll
from weirtest.hookserver import HookServer
from weirtest.rtcorigin import RtcWeir
from weirtest.stun import binding_request, udp_socket
from weirtest.webrtc import Link, WebrtcBrowser, WebrtcOrigin


@pytest.fixture
def link(lab):
    return Link(lab)


def start(lab, link, origins, config=None, workers=2, **options):
    return RtcWeir(lab, origins, {"rtc": {"candidate": link.near, "idle_timeout": "30s"},
                                  **(config or {})}, address=link.near, workers=workers, **options)


def sessions(weir):
    return weir.weir.api("summaries")["sessions"]


def test_fifty_sessions_of_three_origins(lab, link):
    """Each session's media reaches the origin of its stream, whatever worker has it; DELETE ends it there
    and here. Six sessions carry pictures and sound, the others a data channel: all of them ICE and DTLS."""
    origins = [WebrtcOrigin(lab, link.near) for _ in range(3)]
    weir = start(lab, link, origins, workers=4)
    names = ["a", "b", "c"]
    publishers = [link.client("publish", weir.url(f"whip/live/{n}")) for n in names]
    for client in publishers:
        client.wait_connected()
        assert client.answer()["candidates"][0] == [link.near, str(weir.rtc_port)]
    players = [link.client("play", weir.url(f"rtc/v1/whep/?app=live&stream={n}")) for n in names]
    for client in players:
        client.wait_connected()
    homes = [[o for o in origins if o.states(f"live/{n}", "whip") == ["connected"]] for n in names]
    assert all(len(home) == 1 for home in homes)
    assert len({id(home[0]) for home in homes}) == 3, "least_streams spreads three over three"
    crowd = link.crowd([weir.url(f"whep/live/{names[n % 3]}?viewer={n}") for n in range(44)])
    for _ in range(2):
        for number, row in enumerate(crowd.wait_said()):
            assert row["status"] == 201 and row["remote"] == [link.near, weir.rtc_port]
            assert row["said"] == {"origin": homes[number % 3][0].api_port, "kind": "whep",
                                   "stream": f"live/{names[number % 3]}"}
        crowd.ask()
    assert sessions(weir) == 50
    served = re.findall(r"rtc\.(\d)\[\d+\] WebRTC session is served here", weir.weir.log())
    assert len(served) == 50 and set(served) == set("0123"), served
    for client in players:
        media = client.wait_video(5)
        assert media["size"] == [160, 120]
        poll("the tone is heard", lambda c=client: c.media["loud"] > 5000, 30)
    for name, home in zip(names, homes):
        assert set(home[0].states(f"live/{name}", "whep")) == {"connected"}
    assert crowd.leave() == [200] * 44
    for client in (players[0], publishers[0]):
        assert client.leave() == 200
    assert set(homes[0][0].states("live/a", "whep")) == {"closed"}
    assert homes[0][0].states("live/a", "whip") == ["closed"]
    assert sessions(weir) == 4
    players[1].wait_video(5)


def test_full_ice_origin(lab, link):
    """An origin with full ICE sends nothing past Weir, whatever the client's offer says of itself: no
    packet goes between the two but through Weir's port, and the end is told when it is one."""
    hook = HookServer(lab)
    origin = WebrtcOrigin(lab, link.near, full=True)
    weir = start(lab, link, [origin], {"hooks": {"on_unpublish": hook.url()}})
    link.nft("-f", "-", rules=f"""table inet watch {{
        counter weir {{ }}
        counter round {{ }}
        chain in {{ type filter hook input priority 0;
                    ip saddr {link.near} udp sport {weir.rtc_port} counter name weir
                    ip saddr {link.near} udp sport != {weir.rtc_port} counter name round
        }}
        chain out {{ type filter hook output priority 0;
                     ip daddr {link.near} udp dport != {weir.rtc_port} counter name round
        }}
    }}""")

    def counted(name):
        return int(re.search(r"packets (\d+)", link.nft("list", "counter", "inet", "watch", name)).group(1))
    publisher = link.client("publish", weir.url("whip/live/full")).wait_connected()
    player = link.client("play", weir.url("whep/live/full"), "gst_client.py").wait_connected()
    player.wait_video(10)
    assert counted("weir") > 10 and counted("round") == 0
    assert hook.seen("on_unpublish") == []
    assert player.leave() == 200 and publisher.leave() == 200
    poll("the end is told", lambda: hook.seen("on_unpublish"))
    assert counted("round") == 0


def test_gstreamer(lab, link):
    """GStreamer's webrtcbin, which has libnice for ICE, publishes and plays."""
    origin = WebrtcOrigin(lab, link.near)
    weir = start(lab, link, [origin])
    publisher = link.client("publish", weir.url("whip/live/gst"), "gst_client.py").wait_connected()
    player = link.client("play", weir.url("whep/live/gst"), "gst_client.py").wait_connected()
    assert player.wait_video(10)["size"] == [160, 120]
    poll("the tone is heard", lambda: player.media["loud"] > 5000, 30)
    assert player.leave() == 200 and publisher.leave() == 200
    assert origin.states("live/gst", "whep") == ["closed"] and sessions(weir) == 0


def test_chromium(lab, link):
    """Chromium publishes its fake camera by WHIP and plays it by WHEP."""
    origin = WebrtcOrigin(lab, link.near)
    weir = start(lab, link, [origin])
    with WebrtcBrowser(lab, link, origin) as publisher, WebrtcBrowser(lab, link, origin) as player:
        publisher.begin("publish", weir.url("whip/live/show")).wait_connected()
        player.begin("play", weir.url("whep/live/show")).wait_connected()
        player.wait_video(10)
        seen = player.wait("sound is heard", lambda s: s["loud"] > 0.001)
        assert seen["size"] == [160, 120] and 0 <= seen["rtt"] < 2
        assert seen["remote"] == f"{link.near}:{weir.rtc_port}", "media comes through Weir"
        assert seen["location"].startswith(weir.url("rtc/v1/whep/?session="))
        assert sessions(weir) == 2
        assert player.leave() == 200 and publisher.leave() == 200
        poll("no session is left", lambda: sessions(weir) == 0)
        assert origin.states("live/show", "whep") == ["closed"]


def test_ice_restart(lab, link):
    """Chromium restarts ICE by PATCH: new names and sockets, the same session. The names of two restarts
    ago are forgotten, and all of them with the session."""
    origin = WebrtcOrigin(lab, link.near)
    weir = start(lab, link, [origin], workers=1)
    link.client("publish", weir.url("whip/live/a")).wait_connected()

    def unknown():
        return weir.weir.metric("weir_stun_requests_total", result="unknown_session")

    def knows(names):
        """Whether a check with these names reaches the origin, which answers it, or is unknown here."""
        before = unknown()
        with udp_socket(link.near) as sock:
            sock.sendto(binding_request(*names), (link.near, weir.rtc_port))
            return poll("an answer, or none", lambda: ["known"] if select.select([sock], [], [], 0.1)[0]
                        else ["unknown"] if unknown() > before else None) == ["known"]

    with WebrtcBrowser(lab, link, origin) as player:
        player.begin("play", weir.url("whep/live/a")).wait_connected()
        names = [player.credentials()]
        for _ in range(2):
            player.wait_video(5)
            names.append(player.restart())
            assert knows(names[-1]) and knows(names[-2])
        seen = player.wait_video(10)
        assert seen["states"] == ["connecting", "connected"], seen
        assert len({tuple(n) for n in names}) == 3 and not knows(names[0])
        assert sessions(weir) == 2
        session, = {re.search(r"session=(\w+)", line).group(1) for line in weir.weir.log().splitlines()
                    if "session has new credentials" in line}
        restarts = re.findall(r"webrtc session restarted session=(\w+) api=whep role=player stream=(\S+)",
                              weir.weir.log())
        assert restarts == 2 * [(session, "__defaultVhost__/live/a")]
        assert player.leave() == 200
        poll("nothing is known of it", lambda: not any(knows(n) for n in names))


def test_origin_death(lab, link):
    """Its sessions end with it. Who asks for the stream is told to come again, and who publishes it
    again gets the other origin."""
    origins = [WebrtcOrigin(lab, link.near) for _ in range(2)]
    weir = start(lab, link, origins)
    gone = [link.client("publish", weir.url("whip/live/a")).wait_connected(),
            link.client("play", weir.url("whep/live/a")).wait_connected()]
    home, other = sorted(origins, key=lambda o: not o.sessions())
    assert home.states("live/a", "whep") == ["connected"] and sessions(weir) == 2
    home.process.kill()
    assert link.client("play", weir.url("whep/live/a")).answer()["status"] == 503

    def publish():
        client = link.client("publish", weir.url("whip/live/a"))
        return client if client.answer()["status"] == 201 else client.process.kill()
    poll("the stream moves", publish, 60).wait_connected()
    link.client("play", weir.url("whep/live/a")).wait_connected().wait_video(5)
    assert other.states("live/a", "whep") == ["connected"]
    poll("the sessions of the dead have ended", lambda: sessions(weir) == 2, 45, 0.2)
    assert weir.weir.metric("weir_session_ends_total", protocol="rtc", reason="origin_gone") == len(gone)
    home.start()
    poll("it is back", lambda: all(o["state"] == "up" for o in weir.weir.origins()), 30)
