"""Health that clients can't steer: what some clients meet costs no other client anything."""

import asyncio
import threading

import pytest
from weirtest import (HttpConnection, HttpOrigin, NotifyServer, RtmpClient, RtmpError, free_port,
                      poll)

FAST = {"log": {"level": "info"}, "rtmp": {"dial_timeout": "1s"}, "http": {"dial_timeout": "1s"},
        "balance": {"probe_interval": "300ms", "probe_timeout": "2s", "max_fails": 2,
                    "eject_time": "500ms", "eject_time_max": "1s"}}


class Both:
    """One origin of an nginx-rtmp and an HTTP server that can be closed apart from it."""

    def __init__(self, lab, name):
        self.nginx = lab.origin(name=name)
        self.ip, self.rtmp_port = self.nginx.ip, self.nginx.rtmp_port
        self.http = HttpOrigin(lab, lambda call: call.answer(200, self.nginx.name.encode()))
        self.http_port = self.http.http_port


def health(weir):
    """{origin's name: {kind of endpoint: state}}"""
    return {row["name"]: {each["endpoint"]: each["state"] for each in row["endpoints"]}
            for row in weir.origins()}


def place(weir, stream):
    return next((row["origin_name"] for row in weir.streams() if row["stream"] == stream), None)


def publisher(lab, weir, path, stream):
    process = lab.publish(path, weir.url(f"live/{stream}"))
    poll(f"{stream} is published", lambda: any(
        row["stream"] == stream and row["publishers"] for row in weir.streams()), 15)
    return process


def view(weir, stream, packets=5):
    with RtmpClient("127.0.0.1", weir.rtmp_port) as client:
        client.connect("live")
        client.create_stream()
        client.play(stream)
        assert len(client.read_media(packets)) >= packets


def refused(weir, app, stream="x"):
    """A client that its origin wants nothing of."""
    with RtmpClient("127.0.0.1", weir.rtmp_port) as client:
        try:
            client.connect(app)
            client.create_stream()
            client.publish(stream)
            client.wait_closed(5)
        except (RtmpError, OSError):
            return
    raise AssertionError(f"{app}/{stream} was served")


def test_refused_clients_harm_nobody(lab):
    """A1: an app that nginx-rtmp does not have, and an on_connect that refuses, sixty times."""
    judge = NotifyServer(lab, status=lambda call: 403 if call.get("app") == "closed" else 200)
    origins = [lab.origin(name=f"n{i}", apps=["live", "closed"], notify=judge) for i in range(3)]
    weir = lab.weir(origins=origins, config=FAST)
    media = lab.media(seconds=6)
    streams = [f"cam{i}" for i in range(4)]
    publishers = [publisher(lab, weir, media, stream) for stream in streams]
    homes = {stream: place(weir, stream) for stream in streams}
    errors = []

    def bad(count, app):
        try:
            for number in range(count):
                refused(weir, app, f"{app}{number}")
        except AssertionError as error:
            errors.append(error)
    crowd = [threading.Thread(target=bad, args=(20, app)) for app in ("nope", "closed", "nope")]
    for thread in crowd:
        thread.start()
    while any(thread.is_alive() for thread in crowd):
        for stream in streams:
            view(weir, stream)
    for thread in crowd:
        thread.join()
    assert not errors
    assert "ejected" not in weir.log()
    assert {row["state"] for row in weir.origins()} == {"up"}
    assert {stream: place(weir, stream) for stream in streams} == homes
    for stream in streams:
        view(weir, stream)
    for process in publishers:
        assert process.popen.poll() is None, "a publisher has ended"
        process.stop()


def test_a_closed_http_port_takes_no_rtmp_viewer(lab):
    """A2: HTTP of an origin is closed; its RTMP goes on, published streams and waiting viewers."""
    origins = [Both(lab, "a"), Both(lab, "b")]
    weir = lab.weir(origins=origins, http=True, config=FAST)
    media = lab.media(seconds=6)
    process = publisher(lab, weir, media, "cam")
    home = place(weir, "cam")
    broken = origins[int(home[1:]) - 1]
    other = "o2" if home == "o1" else "o1"
    # One that nobody publishes, at the same origin, with a viewer who waits.
    waiting, quiet = None, None
    for number in range(20):
        link = RtmpClient("127.0.0.1", weir.rtmp_port)
        link.connect("live")
        link.create_stream()
        link.play(f"quiet{number}", wait=False)
        poll("placed", lambda name=f"quiet{number}": place(weir, name))
        if place(weir, f"quiet{number}") == home:
            waiting, quiet = link, f"quiet{number}"
            break
        link.close()
    assert waiting
    poll("the viewer is counted", lambda: any(
        row["stream"] == quiet and row["players"] for row in weir.streams()))
    broken.http.stop()

    def ask(stream):
        with HttpConnection(weir.http_port) as link:
            return link.get(f"/live/{stream}.m3u8", host="127.0.0.1")
    for _ in range(4):
        assert ask("cam").status in (502, 503)  # nobody else has it
        view(weir, "cam")
        assert ask(quiet).status == 200         # from the other one, which may have it
    poll("its HTTP is ejected", lambda: health(weir)[home]["http"] == "ejected")
    assert health(weir)[home]["rtmp"] == "up"
    assert set(health(weir)[other].values()) == {"up"}
    assert {row["state"] for row in weir.origins()} == {"up"}
    assert weir.metric("weir_origin_endpoint_up", origin=home, endpoint="http") == 0
    assert weir.metric("weir_origin_endpoint_up", origin=home, endpoint="rtmp") == 1
    for _ in range(2):
        assert ask("cam").status in (502, 503)
        assert ask(quiet).body.decode() == origins[int(other[1:]) - 1].nginx.name
        view(weir, "cam")
    assert place(weir, "cam") == home and place(weir, quiet) == home
    # Whoever waits there still gets what is published there.
    second = publisher(lab, weir, media, quiet)
    assert place(weir, quiet) == home
    assert len(waiting.read_media(5)) >= 5
    waiting.close()
    broken.http.start()
    poll("its HTTP is back", lambda: health(weir)[home]["http"] == "up")
    assert ask("cam").body.decode() == broken.nginx.name
    process.stop()
    second.stop()


@pytest.mark.parametrize("rounds", ["300ms", "0"])
def test_a_stopped_origin_keeps_what_is_published_there(lab, rounds):
    origins = [lab.origin(name=f"n{i}") for i in range(2)]
    balance = {**FAST["balance"], "probe_interval": rounds, "probe_timeout": "500ms"}
    weir = lab.weir(origins=origins, config={**FAST, "balance": balance})
    process = publisher(lab, weir, lab.media(seconds=6), "cam")
    home = place(weir, "cam")
    hung = origins[int(home[1:]) - 1]
    hung.pause()
    with pytest.raises((RtmpError, OSError)):  # one client that fails is enough to have it probed
        view(weir, "cam")
    poll("ejected", lambda: health(weir)[home]["rtmp"] == "ejected")
    with pytest.raises((RtmpError, OSError)):
        view(weir, "cam")
    for number in range(4):  # new streams go to the other one
        fresh = RtmpClient("127.0.0.1", weir.rtmp_port)
        fresh.connect("live")
        fresh.create_stream()
        fresh.publish(f"new{number}")
        assert place(weir, f"new{number}") != home
        fresh.close()
    assert place(weir, "cam") == home
    hung.resume()
    poll("back", lambda: health(weir)[home]["rtmp"] == "up")
    view(weir, "cam")
    process.stop()


class Crowd:
    """Two hundred origins, each an address of 127.1/16: RTMP and HTTP at one port, in one thread."""

    def __init__(self, lab, count):
        self.port = free_port()
        self.addresses = [f"127.1.{1 + i // 200}.{1 + i % 200}" for i in range(count)]
        self.servers = {}
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        lab.at_close(lambda: self.loop.call_soon_threadsafe(self.loop.stop))
        self.open(self.addresses)

    @staticmethod
    async def _serve(reader, writer):
        try:
            first = await reader.read(1)
            writer.write(b"\x03" + bytes(9) if first == b"\x03" else b"HTTP/1.1 404 No\r\n\r\n")
            await writer.drain()
            await reader.read(4096)
        except OSError:
            pass
        writer.close()

    async def _open(self, addresses):
        for address in addresses:
            self.servers[address] = await asyncio.start_server(self._serve, address, self.port)

    async def _close(self, addresses):
        for address in addresses:
            self.servers.pop(address).close()

    def open(self, addresses):
        asyncio.run_coroutine_threadsafe(self._open(addresses), self.loop).result(30)

    def close(self, addresses):
        asyncio.run_coroutine_threadsafe(self._close(addresses), self.loop).result(30)


def test_two_hundred_origins_that_flap(lab):
    crowd = Crowd(lab, 200)
    config = {**FAST, "balance": {**FAST["balance"], "probe_interval": "1s"}}
    for number, address in enumerate(crowd.addresses):
        config[f"origin m{number}"] = {"ip": address, "rtmp": crowd.port, "http": crowd.port,
                                       "api": crowd.port}
    weir = lab.weir(http=True, config=config)
    weir.wait_metric(600, "weir_origin_endpoint_up")

    def up():
        return sum(weir.metric("weir_origin_endpoint_up", endpoint=kind)
                   for kind in ("rtmp", "http", "api"))
    poll("two rounds", lambda: weir.metric("weir_probes_total", result="ok") >= 1200, 20)
    assert up() == 600 and "ejected" not in weir.log()
    before = weir.descriptors()
    for turn in range(2):
        gone = crowd.addresses[turn::2]
        crowd.close(gone)
        poll("half of them are ejected", lambda: up() == 300, 30)
        assert weir.metric("weir_origins", state="ejected") == 100
        crowd.open(gone)
        poll("all are back", lambda: up() == 600, 30)
    poll("no descriptor more", lambda: weir.descriptors() <= before + 8)
