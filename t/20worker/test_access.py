"""The access options: who is let in by address, behind balancers too."""

import pytest

from rtmp_helpers import client, noise_tags, player, quiet, wait_quiet
from weirtest import HttpConnection, HttpOrigin, RtmpError, free_port, poll

PATH = "/live/a.m4s"
TRUST = {"proxy_protocol_networks": "127.0.0.1"}


def denied(weir, at):
    return weir.metric("weir_access_denied_total", at=at)


def origin(lab):
    return HttpOrigin(lab, lambda call: call.answer(200, b"fine"))


def header(ip):
    return f"PROXY TCP4 {ip} 198.51.100.1 4711 443\r\n".encode()


def test_rtmp(lab):
    weir = lab.weir(origins=[lab.fake_origin(media=noise_tags(9))], config=quiet(
        rtmp={"access": "deny 127.0.0.2, allow loopback, deny all"}))
    with player(weir, "a") as link:
        link.read_media(3)
    with pytest.raises(RtmpError):
        client(weir, source="127.0.0.2")
    assert denied(weir, "connection") == 1
    assert "connection refused, the access option denies it" in weir.log()
    weir.reload(config=quiet(rtmp={"access": "allow all"}))
    with player(weir, "a", source="127.0.0.2") as link:
        link.read_media(3)
    wait_quiet(weir)


def test_rtmp_behind_a_balancer(lab):
    weir = lab.weir(origins=[lab.fake_origin(media=noise_tags(9))], config=quiet(
        **TRUST, rtmp={"proxy_protocol": True, "access": "allow 192.0.2.0/24, deny all"}))

    def play(ip):
        with client(weir, handshake=None) as link:
            link.send_raw(header(ip))
            link.handshake()
            link.connect("live")
            link.play("a")
            link.read_media(3)
    play("192.0.2.7")
    with pytest.raises((RtmpError, OSError)):
        play("192.0.3.7")  # the balancer's own address does not count
    assert denied(weir, "connection") == 1


def test_http_closes_at_accept(lab):
    weir = lab.weir(origins=[origin(lab)], http={"access": "deny all"})
    for _ in range(30):
        with HttpConnection(weir.http_port) as link:
            assert link.closed() == b""
    assert denied(weir, "connection") == 30
    assert weir.log().count("the access option denies it") <= 15


def test_http_judges_whom_a_trusted_balancer_names(lab):
    weir = lab.weir(origins=[origin(lab)], http={
        "trusted_networks": "127.0.0.1", "access": "allow 192.0.2.0/24, deny all"})

    def ask(source="127.0.0.1", **fields):
        with HttpConnection(weir.http_port, source=source) as link:
            return link.get(PATH, **fields).status
    assert ask(X_Forwarded_For="192.0.2.7") == 200
    assert ask(Forwarded="for=192.0.2.7") == 200
    assert ask(X_Forwarded_For="192.0.3.7") == 403
    assert ask(X_Forwarded_For="192.0.2.7, 192.0.3.7") == 403  # the last one is the balancer's word
    assert ask() == 403  # its own requests
    assert denied(weir, "request") == 3
    with pytest.raises(ConnectionError):  # a stranger may say what he likes
        ask(source="127.0.0.2", X_Forwarded_For="192.0.2.7")
    assert "request refused, the access option denies it" in weir.log()


def test_apis_have_their_own(lab):
    port = free_port()
    weir = lab.weir(origins=[origin(lab)], http=True, config={
        "control": {"access": "allow loopback, deny all"},
        "http_api": {"enabled": True, "listen": f"127.0.0.1:{port}", "access": "deny 127.0.0.2"}})
    with HttpConnection(port) as link:
        assert link.get("/api/v1/versions").status == 200
    with HttpConnection(port, source="127.0.0.2") as link:
        assert link.closed() == b""
    with HttpConnection(weir.http_port, source="127.0.0.2") as link:
        assert link.get(PATH).body == b"fine"
    weir.reload(config={"control": {"access": "deny 127.0.0.2"}})

    def turned_away():
        with HttpConnection(weir.api_port, source="127.0.0.2") as link:
            return link.closed() == b""
    poll("the System API's rules", turned_away)


@pytest.mark.parametrize("rules", ["permit all", "allow", "allow example.org", "deny 10.0.0.0/40"])
def test_faults_are_named(lab, rules):
    weir = lab.weir(start=False, config={"rtmp": {"access": rules}})
    process = lab.run([weir.binary, "-t", "-c", weir.conf], check=False)
    assert process.wait() != 0
    assert "rtmp.access" in process.log()
