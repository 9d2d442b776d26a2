"""Limits of the HTTP worker: who is one too many is refused, and nobody else."""

from rtmp_helpers import noise_tags, player, quiet
from weirtest import HttpConnection, HttpOrigin, poll

PATH = "/live/a.m4s"


def test_descriptors_are_kept_for_origins(lab):
    """Clients wait in the listen queue while there is none; the dials of the others never fail."""
    weir = lab.weir(origins=[HttpOrigin(lab, lambda call: call.answer(200, b"fine"))], http=True,
                    config={"worker_rlimit_nofile": 100})
    first = HttpConnection(weir.http_port)
    assert first.get(PATH).body == b"fine"
    crowd = [HttpConnection(weir.http_port) for _ in range(60)]
    poll("accepting pauses", lambda: weir.metric(
        "weir_connections_refused_total", protocol="http", limit="descriptors") > 3)
    assert weir.log().count("cannot accept, pausing") == 1
    for client in [first, *crowd[:5]]:
        assert client.get(PATH).body == b"fine"
    assert weir.metric("weir_dial_failures_total", protocol="http") == 0
    for client in crowd[:50]:
        client.close()
    assert crowd[-1].get(PATH).body == b"fine"  # its turn has come
    for client in [first, *crowd[50:]]:
        client.close()


# ---- addresses, streams, requests

def refused(weir, limit):
    return weir.metric("weir_connections_refused_total", protocol="http", limit=limit)


def fine(lab):
    return HttpOrigin(lab, lambda call: call.answer(200, b"fine"))


def live(lab):
    """An origin whose streams go on until the client leaves."""
    def serve(call):
        call.answer(200, b"FLV", {"Content-Length": None}, framing="close")
        call.open = True
        call.sock.recv(1)
        call.close()
    return HttpOrigin(lab, serve)


def test_max_connections_is_logged_once_a_second(lab):
    weir = lab.weir(origins=[fine(lab)], http={"max_connections": 2})
    held = [HttpConnection(weir.http_port) for _ in range(2)]
    poll("both in", lambda: weir.metric("weir_connections", protocol="http") == 2)
    for _ in range(50):
        with HttpConnection(weir.http_port) as late:
            assert late.closed() == b""
    assert refused(weir, "max_connections") == 50
    assert weir.log().count("http.max_connections is reached") < 20
    for link in held:
        assert link.get(PATH).body == b"fine"
        link.close()


def test_max_connections_per_address(lab):
    weir = lab.weir(origins=[fine(lab)], http={"max_connections_per_address": 3})
    held = [HttpConnection(weir.http_port) for _ in range(3)]
    poll("all in", lambda: weir.metric("weir_connections", protocol="http") == 3)
    with HttpConnection(weir.http_port) as late:
        assert late.closed() == b""
    with HttpConnection(weir.http_port, source="127.0.0.2") as other:
        assert other.get(PATH).body == b"fine"
    assert refused(weir, "max_connections_per_address") == 1
    assert "http.max_connections_per_address is reached" in weir.log()
    held.pop().close()
    poll("room", lambda: weir.metric("weir_connections", protocol="http") == 2)
    held.append(HttpConnection(weir.http_port))
    for link in held:
        assert link.get(PATH).body == b"fine"
        link.close()


def test_a_balancers_connections_are_not_counted_but_its_clients_streams_are(lab):
    weir = lab.weir(origins=[live(lab)], workers=2, http={
        "max_connections_per_address": 2, "trusted_networks": "127.0.0.1"})

    def watch(client):
        link = HttpConnection(weir.http_port)
        link.send(f"GET /live/a.flv HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {client}\r\n\r\n")
        assert link.read_head().status == 200
        return link
    held = [watch(f"192.0.2.{n}") for n in (1, 1, 2, 3)]
    poll("all play", lambda: weir.metric("weir_sessions", protocol="http") == 4)
    late = watch("192.0.2.1")
    assert late.closed() in (b"", b"FLV")  # ended at once, before or after the first bytes
    poll("counted", lambda: weir.metric("weir_session_ends_total", protocol="http",
                                        reason="limit") == 1)
    assert "http.max_connections_per_address" in weir.log()
    assert weir.metric("weir_sessions", protocol="http") == 4
    for link in [late, *held]:
        link.close()


def test_max_players_per_stream(lab):
    origin = live(lab)
    origin.rtmp_port = lab.fake_origin(media=noise_tags(9)).rtmp_port
    weir = lab.weir(origins=[origin], workers=2, config=quiet(),
                    http={"max_players_per_stream": 2})

    def watch(name):
        link = HttpConnection(weir.http_port)
        link.send(f"GET /live/{name}.flv HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert link.read_head().status == 200
        return link
    rtmp = [player(weir, "a") for _ in range(2)]  # RTMP has its own limit
    for link in rtmp:
        link.read_media(3)
    held = [watch("a"), watch("a")]
    poll("both play", lambda: weir.metric("weir_sessions", protocol="http") == 2)
    late = watch("a")
    assert late.closed() in (b"", b"FLV")
    weir.wait_log("http.max_players_per_stream")
    other = watch("b")
    poll("another stream", lambda: weir.metric("weir_sessions", protocol="http") == 3)
    for link in rtmp:
        link.read_media(9)
    held.pop().close()
    poll("one left", lambda: weir.metric("weir_sessions", protocol="http") == 2)
    held.append(watch("a"))
    poll("its place is taken", lambda: weir.metric("weir_sessions", protocol="http") == 3)
    for link in [late, other, *held, *rtmp]:
        link.close()


def test_request_rate(lab):
    weir = lab.weir(origins=[fine(lab)], http={
        "request_rate": 1, "request_burst": 5, "trusted_networks": "127.0.0.1"})
    with HttpConnection(weir.http_port) as link:
        answers = [link.get(PATH, X_Forwarded_For="192.0.2.7") for _ in range(30)]
        assert [a.status for a in answers[:5]] == [200] * 5
        refusals = [a for a in answers if a.status == 429]
        assert len(refusals) >= 15
        assert 1 <= int(refusals[0].fields["retry-after"]) <= 5
        # The same connection carries another client's requests.
        assert link.get(PATH, X_Forwarded_For="192.0.2.8").body == b"fine"
        assert link.get(PATH, X_Forwarded_For="2001:db8::1").body == b"fine"
        poll("a token again",
             lambda: link.get(PATH, X_Forwarded_For="192.0.2.7").status == 200, 10, 0.3)
    assert weir.metric("weir_http_requests_refused_total", limit="request_rate") >= 15
    assert 1 <= weir.log().count("http.request_rate is reached") <= 20
