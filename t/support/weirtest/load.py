"""rtmp_load and http_load (t/90bench) as origins and as clients: sessions that count their gaps.

    origin = LoadOrigin(lab)                            # as good as an Origin for Weir(origins=[…])
    players = play_load(lab, weir, 300, streams=30)     # "ready" once every session has media
    players.wait_ready()
    players.finish(failed=0)                            # stops, and asserts what the sessions saw
    origin.finish()                                     # the same for what was published to it

Media is made by the origin for each player, and by each publisher: a frame carries its number, so a
lost or repeated one is a gap, and a checksum pattern, so a changed one is corrupt.
"""

import json
import os
import signal
import struct
import time

from .process import build_dir, free_port, poll
from .rtmp import RtmpClient, RtmpError

FPS = 5
BITRATE = 40_000


class LoadProcess:
    """One rtmp_load or http_load; its last line is the report."""

    def __init__(self, lab, mode, name, tool="rtmp_load", **options):
        self.lab = lab
        self.argv = [build_dir() / "t/90bench" / tool, mode]
        for key, value in {"fps": FPS, "bitrate": BITRATE, "limit": 280, **options}.items():
            self.argv += [f"--{key}", str(value)]
        self.name = name
        self.process = lab.start(self.argv, name)

    def stopped_report(self):
        """Stops it if it still runs; its report as a dict."""
        self.process.stop()
        lines = [line for line in self.process.log().splitlines() if line.startswith('{"mode"')]
        if not lines:
            raise AssertionError(f"{self.name} left no report:\n{self.process.log()[-2000:]}")
        return json.loads(lines[-1])

    def check(self, report, failed=0):
        wrong = {k: report[k] for k in ("gaps", "corrupt", "slow") if report[k] != 0}
        if wrong or report["failed"] != failed:
            raise AssertionError(f"{self.name}: {report}\n{self.process.log()[-2000:]}")


class LoadOrigin(LoadProcess):
    """A synthetic RTMP origin on a port of its own."""

    def __init__(self, lab, port=None, name="load-origin", **options):
        self.ip = "127.0.0.1"
        self.rtmp_port = port or free_port()
        super().__init__(lab, "origin", name, listen=f"{self.ip}:{self.rtmp_port}", phases=16,
                         **options)
        self.process.wait_log('"listening"')

    def start(self):
        self.process = self.lab.start(self.argv, self.name)
        self.process.wait_log('"listening"')

    def sessions(self):
        """Connections that the origin holds; probes are among them for a moment."""
        return established(self.process.pid, self.rtmp_port)

    def kill(self):
        self.process.kill()

    def pause(self):
        self.process.signal(signal.SIGSTOP)

    def resume(self):
        self.process.signal(signal.SIGCONT)

    def finish(self):
        report = self.stopped_report()
        self.check(report)
        return report


class HttpLoadOrigin(LoadProcess):
    """A synthetic HTTP origin: endless .flv, moving .m3u8, segments (t/90bench/http_load)."""

    def __init__(self, lab, name="http-load-origin", **options):
        self.ip = "127.0.0.1"
        self.rtmp_port = None
        self.http_port = free_port()
        super().__init__(lab, "origin", name, "http_load", listen=f"{self.ip}:{self.http_port}",
                         phases=16, segment=20_000, **options)
        self.process.wait_log('"listening"')


class LoadClients(LoadProcess):
    def __init__(self, lab, mode, weir, sessions, name=None, port=None, **options):
        self.sessions = sessions
        super().__init__(lab, mode, name or f"load-{mode}",
                         target=f"127.0.0.1:{port or weir.rtmp_port}", **options)

    def wait_ready(self, timeout=30):
        self.process.wait_log('"ready"', timeout)
        return self

    def finish(self, failed=0, all_frames=True):
        """Stops it two seconds after what went before, at the earliest.

        Asserts that exactly `failed` sessions ended early, that none had a gap, and that each had a
        frame lately (a session that stands still has no gap either).
        """
        if all_frames:
            since = time.monotonic()
            poll("two more seconds of media", lambda: time.monotonic() > since + 2)
        report = self.stopped_report()
        self.check(report, failed)
        if all_frames and report["silence_ms"] > 1500:
            raise AssertionError(f"{self.name}: a player stands still: {report}")
        return report


def play_load(lab, weir, players, streams=1, **options):
    return LoadClients(lab, "play", weir, players, players=players, streams=streams, warmup=0,
                       seconds=600, **options)


def flv_load(lab, weir, viewers, streams=1):
    """HTTP-FLV viewers of an HttpLoadOrigin."""
    return LoadClients(lab, "play", weir, viewers, "flv-load", weir.http_port, tool="http_load",
                       players=viewers, streams=streams, warmup=0, seconds=600)


def publish_load(lab, weir, publishers, **options):
    """A stream of its own for each publisher: s0, s1, … of `app`."""
    return LoadClients(lab, "publish", weir, publishers, players=publishers, streams=publishers,
                       warmup=0, seconds=600, phases=16, **options)


def setup_load(lab, weir, parallel=2, streams=8):
    """New sessions all the time, each from connect to its first media."""
    return LoadClients(lab, "setup", weir, 0, count=10_000_000, parallel=parallel, streams=streams,
                       seconds=600)


# ---- what the kernel says

def _inodes(pid):
    out = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{fd}")
        except OSError:
            continue
        if target.startswith("socket:["):
            out.add(target[8:-1])
    return out


def _connections(port, remote=False):
    """Inodes of established TCP connections whose local (or remote) port it is.

    The kernel's table may change while it is read: poll for an exact number.
    """
    out = set()
    with open("/proc/net/tcp", encoding="ascii") as table:
        for line in table.readlines()[1:]:
            fields = line.split()
            if fields[3] == "01" and int(fields[2 if remote else 1].split(":")[1], 16) == port:
                out.add(fields[9])
    return out


def established(pid, port, remote=False):
    """How many established connections of this local (or remote) port the process holds."""
    try:
        mine = _inodes(pid)
    except OSError:
        return 0
    return len(mine & _connections(port, remote))


def listens(pid):
    """How many listening TCP (IPv4) sockets the process holds."""
    try:
        mine = _inodes(pid)
    except OSError:
        return 0
    with open("/proc/net/tcp", encoding="ascii") as table:
        rows = [line.split() for line in table.readlines()[1:]]
    return sum(row[3] == "0A" and row[9] in mine for row in rows)


def process_gone(pid):
    """True when it has ended (a zombie has)."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def status_field(pid, name):
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        return next(line.split(":", 1)[1].strip() for line in file if line.startswith(name + ":"))


# ---- one session by hand

FRAME = b"\x27\x01\0\0\0" + struct.pack(">I", 4) + b"abcd"


def publish_once(port, stream, timeout=10.0, app="live"):
    """A publisher that has been taken; close() ends it."""
    client = RtmpClient(port=port, timeout=timeout)
    try:
        client.connect(app)
        client.publish(stream)
    except Exception:
        client.close()
        raise
    client.send(9, FRAME, stream_id=client.stream_id, csid=6)
    return client


def play_once(port, stream, timeout=10.0, app="live"):
    """A player that has had media; close() ends it."""
    client = RtmpClient(port=port, timeout=timeout)
    try:
        client.connect(app)
        client.play(stream)
        client.read_media(1)
    except Exception:
        client.close()
        raise
    return client


def works(port, stream="probe"):
    """Whether a new player gets media now."""
    try:
        play_once(port, stream, timeout=2.0).close()
        return True
    except (RtmpError, OSError):
        return False


def poll_works(port, timeout, stream="probe"):
    poll("a new session has media", lambda: works(port, stream), timeout)
