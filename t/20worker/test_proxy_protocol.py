"""PROXY protocol at Weir's listeners: who is believed, and what happens to everybody else."""

import json
import os
import signal
import socket
import ssl
import struct

import pytest

from rtmp_helpers import client, noise_tags, quiet, wait_quiet
from weirtest import Behaviour, HttpConnection, HttpOrigin, RtmpError, free_port, poll
from weirtest.tls import Ca

PATH = "/live/a.m4s"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
TRUST = {"proxy_protocol_networks": "127.0.0.1"}


def v1(ip="192.0.2.7", port=4711):
    return f"PROXY TCP4 {ip} 198.51.100.1 {port} 443\r\n".encode()


def v2(ip="192.0.2.7", port=4711, command=1, tlvs=b""):
    six = ":" in ip
    packed = [socket.inet_pton(socket.AF_INET6 if six else socket.AF_INET, a)
              for a in (ip, "2001:db8::1" if six else "198.51.100.1")]
    block = b"".join(packed) + struct.pack(">HH", port, 443) + tlvs
    return SIGNATURE + struct.pack(">BBH", 0x20 | command, 0x21 if six else 0x11, len(block)) + block


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def checked_v2(wrong=0):
    plain = v2(tlvs=b"\x03\0\x04" + bytes(4))
    return plain[:-4] + struct.pack(">I", crc32c(plain) ^ wrong)


def http_weir(lab, **config):
    """Weir with PROXY protocol on its HTTP port, and an origin that answers with what it was told."""
    origin = HttpOrigin(lab, lambda call: call.answer(200, call.fields["x-forwarded-for"].encode()))
    return lab.weir(origins=[origin], http={"proxy_protocol": True}, config={**TRUST, **config})


def address_of(weir, header, pieces=None):
    with HttpConnection(weir.http_port) as link:
        for piece in pieces or [header]:
            link.send(piece)
        return link.get(PATH).body.decode()


def refusals(weir, reason):
    return weir.metric("weir_proxy_protocol_refused_total", reason=reason)


@pytest.mark.parametrize("header, address", [
    (v1(), "192.0.2.7"), (v2(), "192.0.2.7"), (v2("2001:db8::7"), "2001:db8::7"),
    (b"PROXY TCP6 2001:db8::7 2001:db8::1 1 2\r\n", "2001:db8::7"),
    (v2("::ffff:192.0.2.7"), "192.0.2.7"),
    (v2(tlvs=b"\x04\0\x02xx"), "192.0.2.7"), (checked_v2(), "192.0.2.7"),
    (b"PROXY UNKNOWN\r\n", "127.0.0.1"), (v2(command=0), "127.0.0.1"),  # a balancer's own
    (SIGNATURE + struct.pack(">BBH", 0x21, 0x31, 216) + bytes(216), "127.0.0.1"),  # a Unix socket
    (SIGNATURE + struct.pack(">BBH", 0x21, 0, 0), "127.0.0.1")],
    ids=["v1", "v2", "v2-ipv6", "v1-ipv6", "v2-mapped", "tlv", "crc32c", "unknown", "local", "unix",
         "unspecified"])
def test_the_header_says_who_the_client_is(lab, header, address):
    weir = http_weir(lab)
    assert address_of(weir, header) == address
    shown = f"[{address}]:" if ":" in address else f"client={address}:"
    weir.wait_log(shown)


def test_pieces_and_what_follows_at_once(lab):
    weir = http_weir(lab)
    for header in (v1(), v2()):
        assert address_of(weir, header, [header[i:i + 1] for i in range(len(header))]) == "192.0.2.7"
        with HttpConnection(weir.http_port) as link:  # the request in the header's own segment
            link.send(header + f"GET {PATH} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            link.sock.shutdown(socket.SHUT_WR)
            assert link.read_answer().body == b"192.0.2.7"


@pytest.mark.parametrize("header", [
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\0", b"\0", b"PROXY TCP4 1.2.3.4\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 99999 443\r\n", b"PROXY " + b"x" * 200,
    SIGNATURE + struct.pack(">BBH", 0x21, 0x11, 65535),
    SIGNATURE + struct.pack(">BBH", 0x31, 0x11, 12), v2(tlvs=b"\x04\xff\xffx"), checked_v2(wrong=1)],
    ids=["http", "tls", "nul", "cut-line", "bad-port", "long-line", "huge", "version-3", "bad-tlv",
         "bad-crc32c"])
def test_anything_else_is_closed_without_an_answer(lab, header):
    weir = http_weir(lab)
    with HttpConnection(weir.http_port) as link:
        link.send(header)
        assert link.closed() == b""
    assert refusals(weir, "invalid") == 1
    assert "connection refused, PROXY protocol is expected here" in weir.log()
    assert address_of(weir, v1()) == "192.0.2.7"


def test_headers_of_strangers_are_refused(lab):
    """Whoever may connect directly could otherwise be anyone."""
    origin = HttpOrigin(lab, lambda call: call.answer(200, b"fine"))
    weir = lab.weir(origins=[origin], http={"proxy_protocol": True},
                    config={"proxy_protocol_networks": "192.0.2.0/24, 2001:db8::/32"})
    for header in (v1(), v2(), b""):
        with HttpConnection(weir.http_port) as link:
            link.send(header)
            assert link.closed() == b""
    poll("counted", lambda: refusals(weir, "untrusted") == 3)
    assert "it is not from proxy_protocol_networks" in weir.log()
    assert not origin.requests


def test_slow_headers_end_and_disturb_nobody(lab):
    weir = http_weir(lab, http={"request_timeout": "500ms"})
    crowd = [HttpConnection(weir.http_port) for _ in range(200)]
    for number, link in enumerate(crowd):
        link.send(v1()[:number % 20])
    assert address_of(weir, v2()) == "192.0.2.7"
    for link in crowd:
        assert link.closed() == b""
        link.close()
    assert refusals(weir, "timeout") == 200
    left = [HttpConnection(weir.http_port) for _ in range(20)]
    for link in left:  # a health check that only connects is no fault
        link.close()
    poll("all gone", lambda: weir.metric("weir_connections", protocol="http") == 0)
    assert refusals(weir, "invalid") == 0
    assert weir.log().count("no whole PROXY header in time") <= 10


def test_rtmp_takes_and_passes_the_address(lab):
    fake = lab.fake_origin(Behaviour(prefix=7), media=noise_tags(9))
    weir = lab.weir(origins=[fake], config=quiet(
        **TRUST, rtmp={"proxy_protocol": True},
        **{"origin o1": {"ip": fake.ip, "rtmp": fake.rtmp_port, "send_client_ip": True}}))
    for header in (v1(), v2()):
        with client(weir, handshake=None) as link:
            link.send_raw(header)
            link.handshake()
            link.connect("live")
            link.play("a")
            link.read_media(3)
        assert bytes(fake.wait_session().prefix) == b"\xf3\x00\x04" + bytes([192, 0, 2, 7])
    with pytest.raises(RtmpError), client(weir) as plain:  # a client without a header
        plain.connect("live")
    wait_quiet(weir)


def test_limits_count_the_real_address(lab):
    fake = lab.fake_origin(media=noise_tags(9))
    weir = lab.weir(origins=[fake], config=quiet(
        **TRUST, rtmp={"proxy_protocol": True, "max_half_open_per_address": 2}))

    def half_open(ip):
        link = client(weir, handshake=None)
        link.send_raw(v2(ip))
        return link
    held = [half_open("192.0.2.7") for _ in range(2)]
    poll("both wait", lambda: weir.metric("weir_sessions", state="handshaking") == 2)
    late = half_open("192.0.2.7")
    late.wait_closed(5)
    held.append(half_open("192.0.2.8"))  # the same balancer, another client
    poll("let in", lambda: weir.metric("weir_sessions", state="handshaking") == 3)
    for link in held:
        link.close()


def test_system_api_and_http_api(lab):
    origin = HttpOrigin(lab, lambda call: call.answer(200, b"fine"))
    port = free_port()
    weir = lab.weir(origins=[origin], http=True, start=False, config={
        **TRUST, "control": {"proxy_protocol": True},
        "http_api": {"enabled": True, "listen": f"127.0.0.1:{port}", "proxy_protocol": True}})
    weir.start(ready=False)

    def ask(at, path):
        try:
            with HttpConnection(at) as link:
                link.send(v1())
                return link.get(path)
        except OSError:
            return None
    poll("ready", lambda: (answer := ask(weir.api_port, "/readyz")) and answer.status == 200)
    assert json.loads(ask(port, "/api/v1/versions").body)["code"] == 0
    with HttpConnection(port) as link:
        link.send(v1())
        assert link.get("/api/v1/clients/1", method="DELETE").status == 403  # 192.0.2.7 is a stranger
    assert address_of_plain(weir) == b"fine"  # each listener by its own option


def address_of_plain(weir):
    with HttpConnection(weir.http_port) as link:
        return link.get(PATH).body


def test_a_reload_waits_for_headers_under_way(lab):
    weir = http_weir(lab)
    old = weir.pids("http")[0]
    before = len(os.listdir(f"/proc/{old}/fd"))
    with HttpConnection(weir.http_port) as link:
        link.send(v1()[:9])
        poll("accepted", lambda: len(os.listdir(f"/proc/{old}/fd")) > before)
        weir.signal(signal.SIGHUP)
        poll("the next generation", lambda: weir.pids("http")[0] != old)
        link.send(v1()[9:])
        assert link.get(PATH).body == b"192.0.2.7"
    poll("the old worker has left", lambda: old not in weir.children())


def test_the_networks_must_be_given(lab):
    weir = lab.weir(start=False, config={"rtmp": {"proxy_protocol": True}})
    process = lab.run([weir.binary, "-t", "-c", weir.conf], check=False)
    assert process.wait() != 0
    assert "rtmp.proxy_protocol: needs proxy_protocol_networks" in process.log()


def test_the_header_comes_before_tls(lab):
    ca = Ca(lab)
    tls_port = free_port()
    weir = http_weir(lab, http={"tls_listen": f"127.0.0.1:{tls_port}"},
                     **{"certificate c": ca.issue("a.test").block()})
    context = ssl.create_default_context(cafile=ca.file)
    with HttpConnection(tls_port) as link:
        link.send(v2())
        link.sock = context.wrap_socket(link.sock, server_hostname="a.test")
        assert link.get(PATH).body == b"192.0.2.7"
    with pytest.raises(OSError), HttpConnection(tls_port) as link:
        context.wrap_socket(link.sock, server_hostname="a.test")
    assert refusals(weir, "invalid") == 1
