"""Limits of the HTTP worker: who is one too many is refused, and nobody else."""

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
