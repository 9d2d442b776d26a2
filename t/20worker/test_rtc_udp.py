"""WebRTC media through Weir: STUN, addresses, floods, and workers that go while sessions stay."""

import contextlib
import json
import os
import random
import re
import signal
import socket
import struct
import threading
import time

import pytest

from weirtest import free_port, poll
from weirtest.load import process_gone
from weirtest.rtcorigin import FRAGMENT, RtcWeir, candidates_of, offer_sdp, password_of
from weirtest.stun import (MediaOrigin, RtcClient, binding_request, is_stun, kind_and_transaction,
                           mapped_address, number_of, numbered, udp_socket)


def bring_up(lab, config=None, **options):
    origin = MediaOrigin(lab)
    return origin, RtcWeir(lab, [origin.api], {"rtc": config or {}}, **options)


def sessions(weir):
    return weir.weir.metric("weir_sessions", protocol="rtc", state="relaying")


def count(weir, name, **labels):
    return weir.weir.metric(name, **labels)


def test_session_from_check_to_delete(lab):
    origin, weir = bring_up(lab)
    client = RtcClient(weir, "live/a")
    client.send(numbered(1))  # no check yet: this is nobody
    assert client.silent(0.3) and not origin.received
    client.prove()
    assert all(client.echo(n) for n in range(2, 50))
    assert origin.received == {client.username: list(range(2, 50))}
    # Large bursts of one size and of mixed ones come out as they went in.
    sizes = [200] * 40 + [random.randrange(20, 1400) for _ in range(100)]
    packets = [numbered(100 + i)[:size].ljust(size, b"x") for i, size in enumerate(sizes)]
    got = []
    for at in range(0, len(packets), 20):
        for packet in packets[at:at + 20]:
            client.send(packet)
        while len(got) < at + 20:
            packet = client.wait(lambda p: True)
            assert packet is not None, len(got)
            got.append(packet)
    assert sorted(got) == sorted(packets)
    assert client.delete().status == 200
    poll("the session's end", lambda: sessions(weir) == 0)
    before = len(origin.received[client.username])
    client.send(numbered(999))
    assert client.silent(0.3) and len(origin.received[client.username]) == before
    assert count(weir, "weir_session_ends_total", protocol="rtc", reason="deleted") == 1


def test_only_proof_counts(lab):
    """Wrong sums, unknown names, replays from elsewhere and spoofed media get and change nothing."""
    origin, weir = bring_up(lab)
    client = RtcClient(weir, "live/a")
    stranger = udp_socket("127.0.0.9")
    stranger.connect(client.target)
    stranger.send(binding_request(client.username, "not the password of it.."))
    stranger.send(binding_request("nobody:known", client.password))
    stranger.send(binding_request(client.username, client.password)[:-9])
    poll("refusals", lambda: count(weir, "weir_stun_requests_total", result="wrong_integrity") == 1
         and count(weir, "weir_stun_requests_total", result="unknown_session") == 1
         and count(weir, "weir_stun_requests_total", result="malformed") == 1)
    assert not origin.checks and sessions(weir) == 0
    client.prove()
    request = client.check(use_candidate=True)
    assert client.echo(1)
    stranger.send(request)  # captured on the way
    stranger.send(numbered(7))
    poll("the replay", lambda: count(weir, "weir_stun_requests_total", result="replayed") == 1)
    time.sleep(0.5)
    assert client.echo(2)
    assert origin.received[client.username] == [1, 2]
    stranger.setblocking(False)
    with pytest.raises(BlockingIOError):
        stranger.recv(2048)  # nothing at all was ever sent there
    stranger.close()


def drained(sock):
    """What waits in a socket."""
    packets = []
    while True:
        try:
            packets.append(sock.recv(2048, socket.MSG_DONTWAIT))
        except OSError:
            return packets


@pytest.mark.parametrize("workers", [1, 3])
def test_roaming_and_reuse(lab, workers):
    """Media follows a client to a new port and host, whatever worker the kernel gives it to; an
    address that names another session is that session's from then on."""
    origin, weir = bring_up(lab, workers=workers)
    one, two = RtcClient(weir, "live/a"), RtcClient(weir, "live/b")
    one.prove()
    two.prove()
    assert one.echo(1) and two.echo(1)
    for nominated, address in enumerate(("127.0.0.1", "127.0.0.5", "127.0.0.6", "127.0.0.7")):
        time.sleep(0.3)
        old = one.move(address)
        one.prove(use_candidate=bool(nominated % 2))
        poll("media at the new address", lambda: one.echo(5, 0.3), 10)
        drained(old)  # what came while the old address might still have been right
        assert one.echo(6) and not drained(old)
        one.prove()  # confirms
        assert one.echo(7) and not drained(old)
        old.close()
    assert one.echo(8) and two.echo(8)
    # `two` speaks from the address that `one` has.
    own, two.sock = two.sock, one.sock
    two.check()
    assert two.wait(is_stun, 0.5) is None, "taken from a client that speaks"
    assert count(weir, "weir_stun_requests_total", result="address_in_use") == 1
    two.prove(use_candidate=True)
    poll("the other session's media", lambda: two.echo(1000, 0.5), 10)
    assert 1000 in origin.received[two.username]
    assert 1000 not in origin.received[one.username]
    origin.send(one.username, numbered(4000))
    assert two.wait(lambda p: number_of(p) == 4000, 0.5) is None
    origin.send(two.username, numbered(4001))
    assert two.wait(lambda p: number_of(p) == 4001) is not None
    own.close()


@pytest.mark.parametrize("workers", [1, 3])
def test_replays_draw_no_media(lab, workers):
    """Captured requests that are sent again from elsewhere, to any worker, with what looks like media
    behind them, leave the media with a client that speaks now and then; at once when it does."""
    origin, weir = bring_up(lab, workers=workers)
    client = RtcClient(weir, "live/a")
    client.prove()
    captured = []
    thieves = [udp_socket(f"127.0.0.{n}") for n in range(40, 46)]
    for thief in thieves:
        thief.connect(client.target)
    for number in range(1, 25):
        captured.append(client.check(use_candidate=True))
        assert client.echo(number, 10)
        for thief in thieves:
            for request in captured[-3:]:
                thief.send(request)
            thief.send(numbered(77))
        origin.send(client.username, numbered(1000 + number))
        assert client.wait(lambda p, n=number: number_of(p) == 1000 + n, 10), number
        time.sleep(0.1)
    for thief in thieves:
        assert [p for p in drained(thief) if not is_stun(p)] == []
        thief.close()
    assert count(weir, "weir_udp_client_moves_total", protocol="rtc") == 0
    assert sessions(weir) == 1


def test_checks_are_answered_where_they_came_from(lab):
    """ICE tries several ways before it nominates one: each answer goes back its own way, the
    media stays."""
    origin, weir = bring_up(lab)
    client = RtcClient(weir, "live/a")
    client.prove()
    assert client.echo(1)
    first = client.move("127.0.0.6")  # another host address of the same client
    client.check()
    assert client.wait(is_stun) is not None
    origin.send(client.username, numbered(2))
    assert client.silent(0.3)
    assert number_of(first.recv(2048)) == 2
    first.close()


def test_many_checks_at_once(lab):
    """A client with a dozen addresses checks them all at the same moment: each gets its own answer."""
    origin, weir = bring_up(lab)
    client = RtcClient(weir, "live/a")
    client.prove()
    assert client.echo(1)
    origin.mute = True  # the checks are all there before the first answer
    ways = []
    for number in range(12):
        sock = udp_socket(f"127.0.1.{number + 1}")
        sock.connect(client.target)
        request = binding_request(client.username, client.password)
        sock.send(request)
        ways.append((sock, request[8:20]))
    asked = {kind_and_transaction(p)[1] for p in poll(
        "all of them at the origin", lambda: len(origin.requests) >= 13 and origin.requests)}
    assert asked >= {transaction for _, transaction in ways}
    for _, transaction in ways:
        origin.answer(client.username, transaction)
    for sock, transaction in ways:
        sock.settimeout(5)
        assert sock.recv(2048)[8:20] == transaction
        sock.setblocking(False)
        assert drained(sock) == []
        sock.close()
    origin.mute = False
    assert client.echo(2), "the media is where it was"


def test_both_addresses_of_a_host_work(lab):
    """On a wildcard socket an answer leaves from the address that the client has used."""
    origin = MediaOrigin(lab)
    port = free_port(udp=True)
    weir = RtcWeir(lab, [origin.api], {"rtc": {"listen": f"0.0.0.0:{port}"}})
    weir.rtc_port = port
    clients = [RtcClient(weir, "live/a", to=to) for to in ("127.0.0.1", "127.0.0.77")]
    for client in clients:  # their sockets are connected, so that another source is not heard
        client.prove()
        assert client.echo(1)


@pytest.mark.skipif(not os.path.exists("/proc/net/if_inet6"), reason="this kernel has no IPv6")
def test_both_families(lab):
    """[::] takes IPv4 clients too, announces both, and knows them after a worker's death."""
    origin = MediaOrigin(lab)
    port = free_port(udp=True)
    weir = RtcWeir(lab, [origin.api], {"rtc": {"listen": f"[::]:{port}", "candidate": "auto"}})
    weir.rtc_port = port
    v4, v6 = RtcClient(weir, "live/a"), RtcClient(weir, "live/b")
    v6.close()
    v6.sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    v6.sock.connect(("::1", port))
    for client in (v4, v6):
        client.prove()
        assert client.echo(1)
    worker, = weir.weir.pids("rtc")
    os.kill(worker, signal.SIGKILL)
    for client in (v4, v6):
        poll("media again", lambda c=client: c.echo(2, 1), 20)
    answer = weir.post("/whip/live/c", offer_sdp("abcd")).body.decode()
    with open("/proc/net/if_inet6", encoding="ascii") as table:
        has_v6 = any(line.split()[3] == "00" for line in table)  # scope: global
    assert not has_v6 or any(":" in address for _, address, _ in candidates_of(answer))


def fragment_of(ufrag):
    return f"a=ice-ufrag:{ufrag}\r\na=ice-pwd:{password_of(ufrag)}\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n"


def test_ice_restart(lab):
    """The new pair works with the first check after the answer, at the same origin's session; the
    old one still does (RFC 9725, 4.3.3)."""
    origin, weir = bring_up(lab)
    client = RtcClient(weir, "live/a")
    client.prove()
    old = client.username, client.password
    answer = weir.request("PATCH", client.location, fragment_of("newone"), Content_Type=FRAGMENT, If_Match="*")
    assert answer.status == 200, answer.body
    client.username, client.password = "restarted:newone", password_of("restarted")
    transaction = client.check()[8:20]
    assert client.wait(lambda p: is_stun(p) and p[8:20] == transaction, 20) is not None
    assert client.echo(1, 20) and origin.received[client.username] == [1]
    assert origin.peers[client.username] == origin.peers[old[0]]
    client.username, client.password = old
    client.prove()
    assert client.delete().status == 200
    poll("the session's end", lambda: sessions(weir) == 0)


def test_ice_restart_to_another_port(lab):
    """The answer to a restart names another port of the origin: the media goes there, and nowhere else."""
    old, new = MediaOrigin(lab), MediaOrigin(lab)
    weir = RtcWeir(lab, [old.api], media=False, workers=2)  # no rtc endpoint: as the answers say
    client = RtcClient(weir, "live/a")
    client.prove()
    assert client.echo(1, 20) and old.received[client.username] == [1]
    assert weir.request("PATCH", client.location, fragment_of("stay"), Content_Type=FRAGMENT,
                        If_Match='"e1"').status == 204
    assert client.echo(2, 20) and not new.checks, "a candidate of the client's moves nothing"
    old.api.candidates = new.api.candidates
    before = client.username
    answer = weir.request("PATCH", client.location, fragment_of("newone"), Content_Type=FRAGMENT, If_Match="*")
    assert answer.status == 200, answer.body
    assert candidates_of(answer.body.decode()) == [("udp", "203.0.113.7", weir.rtc_port)]
    client.username, client.password = "restarted:newone", password_of("restarted")
    client.prove()
    assert client.echo(3, 20)
    assert new.received == {client.username: [3]} and old.received == {before: [1, 2]}
    assert client.delete().status == 200
    poll("the session's end", lambda: sessions(weir) == 0)


def test_flood(lab):
    """Random bytes, in every class of packet, cost their sender's time only."""
    origin, weir = bring_up(lab)
    client = RtcClient(weir, "live/a")
    client.prove()
    assert client.echo(1)
    pid = weir.weir.pids("rtc")[0]
    noise = random.Random(7)
    flooder = udp_socket("127.0.0.8")
    flooder.connect(client.target)

    def flood(packets):
        for _ in range(packets):
            first = noise.choice((0, 1, 2, 3, 22, 40, 90, 128, 150, 191, 255))
            packet = bytes([first]) + noise.randbytes(noise.randrange(0, 200))
            if noise.random() < 0.3:
                packet = bytearray(binding_request(client.username, "x" * 32))
                packet[noise.randrange(len(packet))] ^= 1 << noise.randrange(8)
            try:
                flooder.send(packet)
            except OSError:
                pass

    flood(3000)
    poll("the flood's arrival", lambda: client.echo(2, 1), 20)
    before = memory_kb(pid)
    for round_ in range(5):
        flood(4000)
        assert client.echo(10 + round_, 10)
    assert memory_kb(pid) < before + 512
    assert set(origin.received) == {client.username} and sessions(weir) == 1
    flooder.setblocking(False)
    with pytest.raises(BlockingIOError):
        flooder.recv(2048)
    flooder.close()


def memory_kb(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith("Private_"))


class Traffic:
    """Numbered packets both ways in many sessions; what is missing was lost."""

    def __init__(self, lab, weir, origin, number, every=0.02):
        self.origin, self.every = origin, every
        origin.echo = False
        self.clients = [RtcClient(weir, f"live/s{i}") for i in range(number)]
        for client in self.clients:
            client.prove()
        self.sent_up = self.sent_down = 0
        self.down = {client.username: [] for client in self.clients}
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=run, daemon=True)
                         for run in (self._send, self._receive)]
        lab.at_close(self._stop.set)
        for thread in self._threads:
            thread.start()

    def _send(self):
        number = 0
        while not self._stop.is_set():
            number += 1
            for client in self.clients:
                # Refused while the service is down: what a client's stack does with that is to go on.
                with contextlib.suppress(ConnectionRefusedError):
                    client.send(numbered(number))
                self.origin.send(client.username, numbered(number))
            self.sent_up = self.sent_down = number
            if number % 100 == 0:
                for client in self.clients:
                    client.check()
            time.sleep(self.every)

    def _receive(self):
        while not self._stop.is_set():
            for client in self.clients:
                while True:
                    try:
                        packet = client.sock.recv(2048, socket.MSG_DONTWAIT)
                    except OSError:
                        break
                    if number_of(packet) is not None:
                        self.down[client.username].append((number_of(packet), time.monotonic()))
            time.sleep(0.005)

    def flowing(self, timeout=20):
        """Waits until every session gets what was sent from now on, both ways."""
        mark = self.sent_up + 1

        def arrived():
            return all(rows and rows[-1][0] >= mark for rows in self.down.values()) and all(
                self.origin.received.get(c.username, [0])[-1] >= mark for c in self.clients)
        poll("media in all sessions", arrived, timeout)

    def finish(self):
        """Lost packets: (up, down)."""
        self.flowing()
        self._stop.set()
        for thread in self._threads:
            thread.join()
        time.sleep(0.5)
        up = down = 0
        for client in self.clients:
            numbers = set(self.origin.received[client.username])
            up += len(set(range(1, max(numbers) + 1)) - numbers)
            numbers = {n for n, _ in self.down[client.username]}
            down += len(set(range(1, max(numbers) + 1)) - numbers)
        return up, down

    def longest_gap(self):
        gap = 0
        for rows in self.down.values():
            gap = max([gap, *(b[1] - a[1] for a, b in zip(rows, rows[1:]))])
        return gap


def test_killed_workers_lose_nothing(lab):
    origin, weir = bring_up(lab, workers=2)
    traffic = Traffic(lab, weir, origin, 20)
    traffic.flowing()
    for _ in range(2):
        pids = weir.weir.pids("rtc")
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            poll("another worker", lambda p=pid: p not in weir.weir.pids("rtc")
                 and len(weir.weir.pids("rtc")) == 2)
            traffic.flowing()
    assert traffic.finish() == (0, 0)
    assert len(origin.peers) == 20 and len(origin.names) == 20  # the same upstream sockets
    for client in traffic.clients:
        assert client.delete().status == 200
    poll("empty tables", lambda: sessions(weir) == 0)


def test_reloads_lose_nothing(lab):
    origin, weir = bring_up(lab, workers=2)
    traffic = Traffic(lab, weir, origin, 20)
    traffic.flowing()
    for workers in (2, 1, 3, 2):
        weir.weir.reload(config={**weir.sections, "worker_processes": workers})
        traffic.flowing()
    assert traffic.finish() == (0, 0)
    assert len(origin.names) == 20
    poll("one place for each session", lambda: sessions(weir) == 20)


def test_restart_of_the_service(lab):
    origin, weir = bring_up(lab)
    file = weir.weir.dir / "flows"
    weir.weir.reload(config={**weir.sections, "session_file": str(file)}, expect=True)
    weir.weir.stop()
    weir.weir.start()
    traffic = Traffic(lab, weir, origin, 10)
    traffic.flowing()
    started = time.monotonic()
    weir.weir.stop()
    weir.weir.start()
    traffic.flowing()
    took = time.monotonic() - started
    traffic.finish()
    assert traffic.longest_gap() < max(3, took)
    assert len(origin.names) == 10  # the origin sees the same addresses


@pytest.mark.parametrize("number,media", [(3, True), (1, False)])
def test_restored_sessions_count_and_keep_their_origin(lab, number, media):
    """After a restart sessions are counted as before, and their streams are where they were, also when
    an origin's media port is known from its answers only."""
    origins = [MediaOrigin(lab) for _ in range(number)]
    weir = RtcWeir(lab, [origin.api for origin in origins], media=media)
    clients = [RtcClient(weir, f"live/s{n}") for n in range(6)]
    for client in clients:
        client.prove()
        assert client.echo(1)
    unproven = RtcClient(weir, "live/s6")

    def view():
        return (weir.weir.api("summaries")["sessions"],
                {row["stream"]: row["origin_name"] for row in weir.weir.streams()},
                sorted(row["id"] + row["origin_name"] for row in weir.weir.api("sessions")["sessions"]),
                sum(row["publishers"] for row in weir.weir.origins()))
    before = view()
    assert before[0] == 7 and before[3] == 7
    weir.weir.stop()
    weir.weir.start()
    poll("the sessions are back", lambda: view() == before)
    poll("and served", lambda: sessions(weir) == 6)
    assert all(client.echo(2) for client in clients)
    for stream in range(7):  # a player finds the origin of its publisher
        offers = [len(origin.api.offers) for origin in origins]
        RtcClient(weir, f"live/s{stream}", what="whep")
        home = before[1][f"s{stream}"]
        assert [len(o.api.offers) - was for o, was in zip(origins, offers)] == \
            [int(home == f"o{n + 1}") for n in range(len(origins))]
    assert unproven.delete().status == 200
    for client in clients:
        assert client.delete().status == 200
    poll("the players are left", lambda: weir.weir.api("summaries")["sessions"] == 7)


def test_upgrade_loses_nothing(lab):
    """SIGUSR2: another program takes over, with each session's socket and place in the table."""
    pid_file = lab.path("upgrade.pid")
    origin, weir = bring_up(lab, workers=2)
    weir.weir.stop()
    weir.weir.rewrite({**weir.sections, "pid_file": str(pid_file)})
    weir.weir.start()
    traffic = Traffic(lab, weir, origin, 20)
    traffic.flowing()

    def listed():
        rows = weir.weir.api("sessions?count=100")["sessions"]
        return sorted((row["id"], row["session"], row["upstream"]) for row in rows)
    before = listed()
    assert len(before) == 20
    new = weir.weir.upgrade(pid_file)
    assert weir.weir.process.wait(30) == 0
    traffic.flowing()
    assert listed() == before
    assert traffic.finish() == (0, 0)
    assert len(origin.names) == 20
    assert weir.weir.api("summaries")["sessions"] == 20
    for client in traffic.clients:
        assert client.delete().status == 200
    poll("empty tables", lambda: sessions(weir) == 0 and listed() == [])
    os.kill(new, signal.SIGTERM)
    poll("the end of the new master", lambda: process_gone(new))


def test_ice_over_tcp(lab):
    port = free_port()
    origin, weir = bring_up(lab, {"tcp_listen": f"127.0.0.1:{port}"})
    client = RtcClient(weir, "live/a")
    nobody = socket.create_connection(("127.0.0.1", port))
    frame(nobody, binding_request(client.username, "wrong" * 8))
    assert nobody.recv(1) == b""
    tcp = socket.create_connection(("127.0.0.1", port))
    request = binding_request(client.username, client.password)
    for byte in struct.pack("!H", len(request)) + request:
        tcp.sendall(bytes([byte]))
    answer = read_frame(tcp)
    assert kind_and_transaction(answer) == (0x101, request[8:20])
    for number in range(1, 50):
        frame(tcp, numbered(number))
        assert number_of(read_frame(tcp)) == number
    assert origin.received[client.username] == list(range(1, 50))
    # A slow reader costs packets, not memory, and no other session.
    other = RtcClient(weir, "live/b")
    other.prove()
    for number in range(12000):
        origin.send(client.username, numbered(number))
    assert other.echo(1, 10)
    tcp.close()
    poll("the end", lambda: sessions(weir) == 1, 20)
    assert count(weir, "weir_session_ends_total", protocol="rtc", reason="client_closed") == 1


def frame(sock, packet):
    sock.sendall(struct.pack("!H", len(packet)) + packet)


def read_frame(sock):
    sock.settimeout(10)

    def exactly(size):
        data = b""
        while len(data) < size:
            more = sock.recv(size - len(data))
            assert more
            data += more
        return data
    return exactly(struct.unpack("!H", exactly(2))[0])


def test_stun_server(lab):
    """Off by default; then it tells the address, and never with more bytes than it got."""
    _, weir = bring_up(lab)
    plain = binding_request("", None)
    client = udp_socket()
    client.settimeout(0.3)
    client.connect(("127.0.0.1", weir.rtc_port))
    client.send(plain)
    with pytest.raises(TimeoutError):
        client.recv(2048)
    weir.weir.reload(config={**weir.sections, "rtc": {**weir.sections["rtc"], "stun_server": True}})
    sent = got = 0
    answers = []
    for _ in range(60):
        client.send(plain)
        sent += len(plain)
        try:
            answers.append(client.recv(2048))
            got += len(answers[-1])
        except TimeoutError:
            pass
        assert got <= sent
        if len(answers) == 3:
            break
    assert len(answers) == 3
    for answer in answers:
        assert kind_and_transaction(answer) == (0x101, plain[8:20])
        assert mapped_address(answer) == client.getsockname()
    client.close()


def test_silent_ends(lab):
    """A silent client, a silent origin and one whose port is closed end their sessions, each with a
    reason of its own, and one line in the access log."""
    path = lab.path("access.log")
    origin, dead = MediaOrigin(lab), MediaOrigin(lab)
    weir = RtcWeir(lab, [origin.api, dead.api], {"rtc": {"idle_timeout": "15s"}}, name="idle")
    weir.weir.reload(config={**weir.sections, "access_log": {
        "target": "file", "file": str(path), "format": "json"}})
    streams = iter(f"live/none{n}" for n in range(20))
    while not dead.api.offers:
        gone = RtcClient(weir, next(streams))
    gone.prove()
    assert gone.echo(1)
    dead.close()

    def on_live_origin(name):
        tries = (RtcClient(weir, f"live/{n}/{name}") for n in range(20))
        return next(client for client in tries if client.username in origin.api.sessions)
    quiet, deaf = on_live_origin("quiet"), on_live_origin("deaf")
    quiet.prove()
    deaf.prove()
    origin.names.pop(origin.peers[deaf.username])
    deadline = time.monotonic() + 60
    origin.echo = False
    while time.monotonic() < deadline and sessions(weir) > 0:
        origin.send(quiet.username, numbered(1))
        deaf.send(numbered(1))
        gone.send(numbered(1))
        time.sleep(0.5)
    assert sessions(weir) == 0
    for reason in ("client_silent", "origin_silent", "origin_gone"):
        assert count(weir, "weir_session_ends_total", protocol="rtc", reason=reason) == 1

    def rows():
        lines = path.read_text().splitlines() if path.exists() else []
        found = [row for row in map(json.loads, lines) if row["protocol"] == "rtc"]
        return {row["stream"].rpartition("/")[2]: row for row in found}
    poll("the access log", lambda: len(rows()) == 3)
    assert [row["reason"] for name, row in rows().items() if name.startswith("none")] == ["origin_gone"]
    assert re.search("session ended .* reason=origin_gone", weir.weir.log())
    assert rows()["quiet"]["reason"] == "client_silent"
    assert rows()["deaf"]["reason"] == "origin_silent"
    assert rows()["deaf"]["bytes_from_client"] > 1000
