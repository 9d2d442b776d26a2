"""Real WebRTC through Weir: aiortc as origin and client, Chromium as client (WHIP and WHEP)."""

import pytest
from weirtest import poll
from weirtest.rtcorigin import RtcWeir
from weirtest.webrtc import Link, WebrtcBrowser, WebrtcOrigin


@pytest.fixture
def link(lab):
    return Link(lab)


def start(lab, link, origins, config=None, **options):
    return RtcWeir(lab, origins, {"rtc": {"candidate": link.near, "idle_timeout": "30s"},
                                  **(config or {})}, address=link.near, workers=2, **options)


def sessions(weir):
    return weir.weir.api("summaries")["sessions"]


def test_streams_of_three_origins(lab, link):
    """Each session's media reaches the origin of its stream; DELETE ends it there and here."""
    origins = [WebrtcOrigin(lab, link.near) for _ in range(3)]
    weir = start(lab, link, origins)
    names = ["a", "b", "c"]
    publishers = [link.client("publish", weir.url(f"whip/live/{n}")) for n in names]
    for client in publishers:
        client.wait_connected()
        assert client.answer()["candidates"][0] == [link.near, str(weir.rtc_port)]
    players = [link.client("play", weir.url(f"rtc/v1/whep/?app=live&stream={n}")) for n in names]
    for client in players:
        client.wait_connected()
    for client in players:
        media = client.wait_video(5)
        assert media["size"] == [160, 120]
        poll("the tone is heard", lambda c=client: c.media["loud"] > 5000, 30)
    homes = [[o for o in origins if o.states(f"live/{n}", "whip") == ["connected"]] for n in names]
    assert all(len(home) == 1 for home in homes)
    assert len({id(home[0]) for home in homes}) == 3, "least_streams spreads three over three"
    for name, home in zip(names, homes):
        assert home[0].states(f"live/{name}", "whep") == ["connected"]
    assert sessions(weir) == 6
    for client in (players[0], publishers[0]):
        assert client.leave() == 200
    assert homes[0][0].states("live/a", "whep") == ["closed"]
    assert homes[0][0].states("live/a", "whip") == ["closed"]
    assert sessions(weir) == 4
    players[1].wait_video(5)


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


def test_origin_death(lab, link):
    """Its sessions end with it; the next signalling says so, and works when it is back."""
    origin = WebrtcOrigin(lab, link.near)
    weir = start(lab, link, [origin])
    publisher = link.client("publish", weir.url("whip/live/a")).wait_connected()
    assert sessions(weir) == 1
    origin.process.kill()
    poll("its session has ended", lambda: sessions(weir) == 0, 45, 0.2)
    lost = link.client("play", weir.url("whep/live/a")).answer()
    assert lost["status"] == 503
    publisher.process.kill()
    origin.start()
    poll("it is up", lambda: weir.weir.origins()[0]["state"] == "up")
    link.client("publish", weir.url("whip/live/a")).wait_connected()
