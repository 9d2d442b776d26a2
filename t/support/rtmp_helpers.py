"""What the RTMP process tests share: a client that remembers what it sent, quiet configurations,
and the questions that many tests ask of Weir's API, metrics and log."""

import threading

from weirtest import RtmpClient, flv, poll

HANDSHAKE = 1 + 1536 + 1536  # C0, C1, C2
DEFAULT_VHOST = "__defaultVhost__"

# Origins that hear from nobody but the test's clients, and are never ejected.
QUIET = {"balance": {"probe_interval": 0, "max_fails": 1000}, "log": {"level": "info"}}


def quiet(**sections):
    """QUIET with further sections over it: quiet(rtmp={"relay_delay": 0})."""
    config = {name: dict(values) for name, values in QUIET.items()}
    for name, values in sections.items():
        if isinstance(values, dict):
            config.setdefault(name, {}).update(values)
        else:
            config[name] = values
    return config


class RecordingClient(RtmpClient):
    """RtmpClient that keeps every byte it sent in .sent, handshake included."""

    def send_raw(self, data):
        self.__dict__.setdefault("sent", bytearray()).extend(data)
        super().send_raw(data)


def client(weir, **options):
    return RecordingClient("127.0.0.1", weir.rtmp_port, **options)


def publisher(weir, name, app="live", **options):
    made = client(weir, **options)
    made.connect(app)
    made.publish(name, fmle=True)
    return made


def player(weir, name, app="live", **options):
    made = client(weir, **options)
    made.connect(app)
    made.play(name)
    return made


def stream_key(name, app="live", vhost=DEFAULT_VHOST):
    return f"{vhost}/{app}/{name}"


def stream_row(weir, key):
    """The row of a stream in /api/v1/streams, or None."""
    return next((row for row in weir.streams() if row["key"] == key), None)


def origin_name(weir, key):
    """Name of the origin that a stream is assigned to, as the API says."""
    row = stream_row(weir, key)
    return row and row["origin_name"]


def sessions(weir):
    """Sum of the session gauges."""
    return weir.metric("weir_sessions", protocol="rtmp")


def wait_quiet(weir, timeout=10):
    """Until no session, connection or queued message is left."""
    def all_zero():
        values = weir.metrics()
        left = {name: value for (name, _), value in values.items()
                if name in ("weir_sessions", "weir_connections") and value != 0}
        return not left
    poll("session gauges back at 0", all_zero, timeout)


def wait_end(weir, reason, count=1, timeout=10):
    """Until `count` sessions have ended for this reason."""
    poll(f"{count} ends by {reason}",
         lambda: weir.metric("weir_session_ends_total", protocol="rtmp", reason=reason) >= count,
         timeout)


def same_tags(sent, got):
    """Media messages equal in type, timestamp and body, in order."""
    assert len(got) >= len(sent), f"{len(got)} of {len(sent)} messages came"
    for number, (a, b) in enumerate(zip(sent, got)):
        assert (a.type, a.timestamp, a.data) == (b.type, b.timestamp, b.data), (
            f"message {number}: type {a.type}/{b.type}, time {a.timestamp}/{b.timestamp}, "
            f"{len(a.data)}/{len(b.data)} bytes")


def same_bytes(session, link):
    """The origin has got the client's bytes after the handshake, each and every one."""
    poll("the client's bytes at the origin", lambda: len(session.raw) >= len(link.sent))
    assert session.raw[HANDSHAKE:] == link.sent[HANDSHAKE:]


def noise_tags(count, size=400, step=20, key_every=10, seed=1):
    """Media messages that look like AVC and AAC, each with a body of its own."""
    tags = []
    state = seed
    for number in range(count):
        state = (state * 6364136223846793005 + 1442695040888963407) & (1 << 64) - 1
        body = state.to_bytes(8, "big") * (size // 8 + 1)
        if number % 3 == 2:
            tags.append(flv.Tag(flv.AUDIO, number * step, b"\xaf\x01" + body[:size // 4]))
        else:
            head = b"\x17" if number % key_every == 0 else b"\x27"
            tags.append(flv.Tag(flv.VIDEO, number * step, head + b"\x01\0\0\0" + body[:size]))
    return tags


def in_threads(functions, timeout=60):
    """Runs all at once; raises the first exception. Results in order."""
    results, errors = [None] * len(functions), []

    def call(number, function):
        try:
            results[number] = function()
        except BaseException as error:  # pylint: disable=broad-except
            errors.append(error)

    threads = [threading.Thread(target=call, args=pair, daemon=True)
               for pair in enumerate(functions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout)
        assert not thread.is_alive(), "a thread did not end in time"
    if errors:
        raise errors[0]
    return results
