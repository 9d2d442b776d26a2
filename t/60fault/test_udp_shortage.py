"""WebRTC when a worker's descriptors run out: what cannot be served is served as soon as it can."""

import os
import resource
import signal

from weirtest import poll
from weirtest.rtcorigin import RtcWeir
from weirtest.stun import MediaOrigin, RtcClient


def test_a_worker_without_descriptors(lab):
    """An upstream socket that had no room in the worker comes again with the client's next check;
    the sessions that are there notice nothing."""
    origin = MediaOrigin(lab)
    weir = RtcWeir(lab, [origin.api], {"user": "root"})  # whose limits we may set
    here, late = RtcClient(weir, "live/a"), RtcClient(weir, "live/b")
    here.prove()
    worker = weir.weir.pids("rtc")[0]
    _, hard = resource.prlimit(worker, resource.RLIMIT_NOFILE)
    used = {int(fd) for fd in os.listdir(f"/proc/{worker}/fd")}
    least = min(set(range(len(used) + 1)) - used)
    resource.prlimit(worker, resource.RLIMIT_NOFILE, (least, hard))
    late.check()
    poll("the worker's word", lambda: "no descriptor for a session" in weir.weir.log(), 20)
    assert here.echo(1) and not origin.checks.get(late.username)
    resource.prlimit(worker, resource.RLIMIT_NOFILE, (hard, hard))
    late.prove(30)
    assert late.echo(2) and here.echo(3)
    for client in (here, late):
        assert client.delete().status == 200
    poll("empty tables",
         lambda: weir.weir.metric("weir_sessions", protocol="rtc", state="relaying") == 0)


def test_a_master_without_descriptors(lab):
    """Sessions never take the descriptors that the master needs for its own work: workers that die
    come back and a reload succeeds, however many clients there are."""
    origin = MediaOrigin(lab)
    weir = RtcWeir(lab, [origin.api])
    master = weir.weir.pid
    _, hard = resource.prlimit(master, resource.RLIMIT_NOFILE)
    room = len(os.listdir(f"/proc/{master}/fd")) + 60
    resource.prlimit(master, resource.RLIMIT_NOFILE, (room, hard))
    clients = [RtcClient(weir, f"live/{number}") for number in range(80)]
    for client in clients:
        client.check()
    poll("refusals", lambda: weir.weir.metric("weir_udp_claims_refused_total", protocol="rtc") > 0, 20)
    # Their checks are on their way while the others are refused.
    served = []

    def most_are_served():
        served[:] = [client for client in clients if origin.checks.get(client.username)]
        return len(served) > 20
    poll("sessions that have a descriptor", most_are_served, 20)
    for kind in ("http", "rtc"):
        old, = weir.weir.pids(kind)
        os.kill(old, signal.SIGKILL)
        poll("another worker", lambda k=kind, o=old: weir.weir.pids(k) not in ([], [o]), 20)
    weir.weir.reload(config=weir.sections)
    for client in served:
        client.prove(20)
        assert client.delete().status == 200
    resource.prlimit(master, resource.RLIMIT_NOFILE, (hard, hard))
    clients[-1].prove(20)
