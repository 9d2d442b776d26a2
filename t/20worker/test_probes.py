"""Probes: what each kind of endpoint is asked, and what counts as an answer."""

import contextlib
import signal
import socket
import threading

from weirtest import Behaviour, HttpOrigin, free_port, poll
from weirtest.srtraw import RawOrigin
from weirtest.srtwire import handshake
from weirtest.tls import Ca, TlsFront

QUICK = {"log": {"level": "info"},
         "balance": {"probe_interval": "100ms", "probe_timeout": "400ms", "max_fails": 2,
                     "eject_time": "200ms", "eject_time_max": "400ms"}}


class Port:
    """A TCP port that answers whatever comes with `answer`; None: with silence. Keeps the questions."""

    def __init__(self, lab, answer):
        self.answer, self.questions = answer, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        lab.at_close(self.listener.close)
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        kept = []
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self.listener.accept()
                self.questions.append(sock.recv(4096))
                if self.answer is None:
                    kept.append(sock)
                    continue
                with contextlib.suppress(OSError), sock:
                    sock.sendall(self.answer)


class DeafSrt(RawOrigin):
    """Answers the second question of each pair: the first was lost."""

    count = 0

    def answer(self, peer, caller, packet):
        self.count += 1
        if self.count % 2 == 0:
            super().answer(peer, caller, packet)


class WrongSrt(RawOrigin):
    def answer(self, peer, caller, packet):
        super().answer(peer, caller, handshake(5, 1002, caller))


def test_what_counts_as_an_answer(lab):
    ca, other = Ca(lab), Ca(lab, "other")
    rtmp = lab.fake_origin()
    web = HttpOrigin(lab, lambda call: call.answer(200, b""))
    found = Port(lab, b"HTTP/1.1 500 No\r\n\r\n")
    api = Port(lab, b"HTTP/1.0 404\r\n")
    old = RawOrigin(lab)
    old.old = True
    dead = free_port()
    good = {
        "rtmp": {"rtmp": rtmp.rtmp_port},
        "status": {"http": found.port, "api": api.port},
        "second": {"http": (dead, web.http_port)},  # one of two addresses answers
        "tls": {"http": f"https://:{TlsFront(lab, ca.issue(ips=['127.0.0.1']), web.http_port).port}",
                "rtmp": f"rtmps://:{TlsFront(lab, ca.issue(ips=['127.0.0.1']), rtmp.rtmp_port).port}"},
        "old": {"srt": old.port},
        "loss": {"srt": DeafSrt(lab).port},
        "rtc": {"rtc": dead},                       # nobody can say
    }
    bad = {
        "closed": {"rtmp": dead, "http": dead, "api": dead, "srt": free_port(udp=True)},
        "silent": {kind: Port(lab, None).port for kind in ("rtmp", "http", "api")},
        "nonsense": {"rtmp": Port(lab, b"HTTP/1.1 200 OK\r\n\r\n").port,
                     "http": Port(lab, b"\x03HTTP").port, "api": Port(lab, b"HTTPS").port,
                     "srt": WrongSrt(lab).port},
        "ends": {kind: Port(lab, b"").port for kind in ("rtmp", "http", "api")},
        "short": {"rtmp": Port(lab, b"\x03").port, "http": Port(lab, b"HTT").port},
        "stranger": {"http": f"https://:{TlsFront(lab, other.issue(ips=['127.0.0.1']), web.http_port).port}"},
        "plain": {"api": f"https://:{web.http_port}"},
    }
    config = {f"origin {name}": {"ip": "127.0.0.1", **ports}
              for name, ports in {**good, **bad}.items()}
    weir = lab.weir(http=True, config={**QUICK, "tls": {"origin_ca": str(ca.file)}, **config})

    def ejected():
        return {(row["name"], each["endpoint"]) for row in weir.origins()
                for each in row["endpoints"] if each["state"] == "ejected"}
    wanted = {(name, kind) for name, ports in bad.items() for kind in ports}
    poll("the bad ones are ejected", lambda: ejected() >= wanted, 20)
    before = weir.metric("weir_probes_total", result="ok")
    poll("more rounds", lambda: weir.metric("weir_probes_total", result="ok") > before + 40, 20)
    assert {pair for pair in ejected() if pair[0] in good} == set()
    assert weir.metric("weir_origin_probe_failures_total", origin="rtc") == 0
    states = {row["name"]: row["state"] for row in weir.origins()}
    assert {states[name] for name in good} == {"up"} and {states[name] for name in bad} == {"ejected"}
    head, get = found.questions[0].decode(), api.questions[0].decode()
    assert head.startswith("HEAD / HTTP/1.1\r\n") and "\r\nUser-Agent: weir-probe\r\n" in head
    assert get.startswith("GET /api/v1/versions HTTP/1.1\r\n")


def test_proxy_headers_go_to_rtmp_and_http(lab):
    """An API is no listener of clients: a header would be nonsense there."""
    ports = {kind: Port(lab, b"\x03\x03" if kind == "rtmp" else b"HTTP/1.1 404\r\n")
             for kind in ("rtmp", "http", "api")}
    lab.weir(http=True, config={**QUICK, "origin o1": {
        "ip": "127.0.0.1", "proxy_protocol": "v1", **{kind: at.port for kind, at in ports.items()}}})
    for kind, at in ports.items():
        poll(f"a question to {kind}", lambda at=at: at.questions)
        assert at.questions[0].startswith(b"GET " if kind == "api" else b"PROXY UNKNOWN\r\n")


def test_each_endpoint_for_itself(lab):
    """An endpoint comes and goes; its neighbours and their origin stay."""
    fake = lab.fake_origin()
    web = HttpOrigin(lab, lambda call: call.answer(200, b""))
    fake.http_port = web.http_port
    weir = lab.weir(origins=[fake], http=True, config=QUICK)

    def states():
        row = weir.origins()[0]
        return row["state"], [each["state"] for each in row["endpoints"]]
    assert states() == ("up", ["up", "up"])
    web.stop()
    poll("http", lambda: states() == ("up", ["up", "ejected"]))
    fake.behaviour = Behaviour(stall="accept")
    poll("both", lambda: states() == ("ejected", ["ejected", "ejected"]))
    web.start()
    poll("http is back", lambda: states() == ("ejected", ["ejected", "up"]))
    fake.behaviour = Behaviour()
    poll("all", lambda: states() == ("up", ["up", "up"]))


def test_without_a_control_worker_nobody_is_ejected(lab):
    """Ejections that nobody confirms end by themselves."""
    fake = lab.fake_origin(Behaviour(stall="accept"))
    weir = lab.weir(origins=[fake], config={**QUICK, "balance": {
        **QUICK["balance"], "eject_time": "1s", "eject_time_max": "1s"}})
    poll("ejected", lambda: weir.origins()[0]["state"] == "ejected")
    control = weir.pids("control")[0]
    weir.signal(signal.SIGSTOP, control)
    weir.wait_log("endpoint is back, nobody probed it")
    weir.signal(signal.SIGCONT, control)
    poll("ejected again", lambda: weir.origins()[0]["state"] == "ejected")
