"""WebRTC over networks as they are: loss and jitter, NAT that forgets, a host with several addresses,
floods. Real stacks at both ends."""

import random
import socket
import threading

import pytest
from weirtest import free_port, poll
from weirtest.rtcorigin import RtcWeir
from weirtest.stun import binding_request, username_of
from weirtest.webrtc import Link, RtcRoad, WebrtcBrowser, WebrtcOrigin


@pytest.fixture
def road(lab):
    """Here things happen."""
    return RtcRoad(lab)


@pytest.fixture
def calm(lab):
    """Clients that nothing happens to."""
    return Link(lab)


def start(lab, road, workers=2):
    origin = WebrtcOrigin(lab, road.near)
    return origin, RtcWeir(lab, [origin], {"rtc": {"candidate": road.near}}, address=road.near,
                           workers=workers)


def test_loss_and_jitter(lab, road, calm):
    """5 % loss and up to 50 ms of jitter each way: what the ends do about it (NACK, RTX, PLI) works through
    Weir as it does without."""
    origin, weir = start(lab, road)
    calm.client("publish", weir.url("whip/live/show")).wait_connected()
    road.jitter(50)
    road.lose(5)
    roads = [origin.url + "/rtc/v1/{}/?app=live&stream={}", weir.url("{}/live/{}")]
    with WebrtcBrowser(lab, road, origin) as direct, WebrtcBrowser(lab, road, origin) as through:
        browsers = [direct, through]
        for browser, form in zip(browsers, roads):
            browser.begin("play", form.format("whep", "show")).wait_connected()
        for browser in browsers:
            browser.wait_video(1)
        begin = [browser.stats()["video"] for browser in browsers]

        def alike():
            plain, weirs = (browser.stats()["video"] - b for browser, b in zip(browsers, begin))
            return weirs >= 50 and weirs >= 0.7 * plain
        poll("frames as many as without Weir", alike, 90, 0.5)
        seen = [browser.wait("something was lost and asked for", lambda s: s["nacks"] > 0)
                for browser in browsers]
        assert seen[0]["remote"] != seen[1]["remote"] == f"{road.near}:{weir.rtc_port}"
    assert road.lost() > 10


@pytest.mark.parametrize("workers", [1, 4])
def test_nat_that_forgets(lab, road, calm, workers):
    """Another port, then another address: what Chromium plays and what aiortc publishes (it checks its
    way every second) goes on."""
    origin, weir = start(lab, road, workers)
    calm.client("publish", weir.url("whip/live/down")).wait_connected()
    road.masquerade()
    publisher = road.client("publish", weir.url("whip/live/up"), arguments=["1"]).wait_connected()
    with WebrtcBrowser(lab, road, origin) as player:
        player.begin("play", weir.url("whep/live/down")).wait_connected()
        viewer = calm.client("play", weir.url("whep/live/up")).wait_connected()
        for moved, address in ((2, False), (4, True)):
            player.wait_video(5)
            viewer.wait_video(5)
            player.run("watch(); return 1")
            road.rebind(address)
            poll("both are served at their new addresses",
                 lambda m=moved: weir.weir.log().count("client has a new address") >= m, 30)
            # On a quiet machine 0.2 to 1.6 s; ICE itself would end the session after 15.
            assert player.wait_video(20)["gap"] < 10
            # What was lost meanwhile makes aiortc wait for up to 128 packets more.
            viewer.wait_video(5)
        assert player.stats()["states"] == publisher.states == ["connecting", "connected"]
        assert weir.weir.api("summaries")["sessions"] == 4


def test_every_address_of_a_host(lab, road):
    """Whatever address of the host a client uses, it hears from that one: others do not get through its
    firewall."""
    origin = WebrtcOrigin(lab, road.near)
    road.clients.nft("-f", "-", rules="""table inet wall {
        chain input { type filter hook input priority 0; meta l4proto udp ct state new drop; }
    }""")
    for listen, addresses in (("0.0.0.0", [road.near, road.others[0]]),
                              ("[::]", [road.near6, road.others[1]])):
        port = free_port(udp=True)
        weir = RtcWeir(lab, [origin], {"rtc": {"listen": f"{listen}:{port}"}}, address=road.near, workers=2)
        crowd = road.crowd([weir.url(f"whip/live/{n}?eip={a}") for n in range(3) for a in addresses])
        for _ in range(2):
            assert [row["remote"] for row in crowd.wait_said()] == [[a, port] for a in addresses] * 3
            crowd.ask()
        assert crowd.leave() == [200] * 6


class Flood:
    """Sends what has no business here, as fast as it can, from addresses of 10.94.0.0/16: noise, and
    real requests of `link`'s clients that were cut, changed or simply sent again."""

    def __init__(self, link, port):
        self.sent = 0
        self.link, self.target = link, (link.near, port)
        link.ip("route", "add", "10.94.0.0/16", "via", link.far, "dev", link.device)
        link.ip_there("route", "add", "local", "10.94.0.0/16", "dev", "lo")
        link.nft("-f", "-", rules="""table ip count {
            chain in { type filter hook prerouting priority 0; ip daddr 10.94.0.0/16 meta l4proto udp counter; }
        }""")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.sendto(b"", ("10.94.1.1", 9))
        poll("what comes is counted", lambda: self.heard() == 1)
        with link.inside():
            self.sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(100)]
            tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM)
        every = 3   # ETH_P_ALL; packets that leave are shown to nobody else
        tap.bind(("v0", every))
        for number, sock in enumerate(self.sockets):
            sock.bind((f"10.94.{number}.{number + 1}", 0))
        self.requests = []
        poll("some requests", lambda: self.overhear(tap) or len(self.requests) >= 3, 60, 0)
        tap.close()
        self.going = True
        self.thread = threading.Thread(target=self.run, daemon=True)
        link.lab.at_close(self.stop)
        self.thread.start()

    def overhear(self, tap):
        """Keeps the next packet if it is a STUN request on its way to Weir."""
        packet = tap.recv(65536)
        udp = packet[(packet[0] & 15) * 4:]
        if packet[0] >> 4 == 4 and packet[9] == socket.IPPROTO_UDP and udp[8:10] == b"\0\1" \
                and int.from_bytes(udp[2:4], "big") == self.target[1]:
            self.requests.append(udp[8:])

    def packets(self):
        yield random.randbytes(65507)
        for request in self.requests:
            yield request
            yield binding_request(username_of(request), "not its password, which is a secret")
            yield request[:random.randrange(len(request))]
            changed = bytearray(request)
            changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
            yield bytes(changed)
        for first in (0, 1, 3, 20, 22, 63, 64, 79, 128, 144, 191, 255):
            yield bytes([first]) + random.randbytes(random.randrange(1400))

    def run(self):
        while self.going:
            for packet in self.packets():
                for sock in random.sample(self.sockets, 20):
                    try:
                        sock.sendto(packet, self.target)
                        self.sent += 1
                    except OSError:
                        pass    # its own buffer is full

    def heard(self):
        """Packets that came back."""
        words = self.link.nft("list", "table", "ip", "count").split()
        return int(words[words.index("packets") + 1])

    def stop(self):
        self.going = False
        self.thread.join(30)


def test_flood_beside_a_session(lab, calm):
    """Nobody gets an answer, nothing grows, and what is played goes on."""
    link = calm
    origin, weir = start(lab, link, workers=1)
    link.client("publish", weir.url("whip/live/a"), arguments=["1"]).wait_connected()
    player = link.client("play", weir.url("whep/live/a"), arguments=["1"]).wait_connected()
    player.wait_video(5)
    flood = Flood(link, weir.rtc_port)
    poll("a good deal of it", lambda: flood.sent > 20000, 60)
    before = weir.weir.memory(), weir.weir.descriptors()
    player.wait_video(50, 120)
    after = weir.weir.memory(), weir.weir.descriptors()
    flood.stop()
    results = {r: weir.weir.metric("weir_stun_requests_total", result=r)
               for r in ("replayed", "wrong_integrity", "malformed")}
    assert all(results.values()), results
    assert after[1] == before[1] and after[0] < before[0] + (1 << 20), (before, after)
    assert flood.heard() == 1, "the probe and nothing else"
    assert weir.weir.api("summaries")["sessions"] == 2
    player.wait_video(10)
    assert player.states == ["connecting", "connected"]
