"""Each kind of process is killed in turn under load; what it did not carry goes on."""

import os
import re
import resource
import signal
import time

import pytest
from weirtest import RtmpClient, poll
from weirtest.load import (LoadOrigin, established, listens, play_load, play_once, poll_works,
                           process_gone, publish_load, publish_once, status_field, works)

QUIET = {"log": {"level": "info"}}


@pytest.fixture
def origin(lab):
    return LoadOrigin(lab)


def counters(weir):
    """All counters (no gauges), by name and labels."""
    return {key: value for key, value in weir.metrics().items() if key[0].endswith("_total")}


def deaths(weir):
    return weir.log().count("worker died")


def test_killed_rtmp_worker_takes_only_its_own_sessions(lab, origin):
    weir = lab.weir(origins=[origin], workers=2, config=QUIET)
    players = play_load(lab, weir, 300, streams=30).wait_ready()
    publishers = publish_load(lab, weir, 60, app="studio").wait_ready()
    workers = weir.pids("rtmp")
    poll("all sessions counted", lambda: weir.metric("weir_sessions") == 360)
    victim, other = workers

    def shares():
        found = [established(pid, weir.rtmp_port) for pid in workers]
        return found if sum(found) == 360 else None
    lost, kept = poll("all sessions in the workers", shares)
    assert lost > 0 and kept > 0
    before = counters(weir)
    os.kill(victim, signal.SIGKILL)
    poll_works(weir.rtmp_port, 2)
    poll("respawned", lambda: len(weir.pids("rtmp")) == 2 and victim not in weir.pids("rtmp"), 2)
    poll("its sessions are off the books", lambda: weir.metric("weir_master_sessions") == kept)
    poll("and off the gauges", lambda: weir.metric("weir_sessions") == kept)
    poll("its sessions go on", lambda: established(other, weir.rtmp_port) == kept)
    assert sum(row["publishers"] + row["players"] for row in weir.streams()) == kept
    after = counters(weir)
    backwards = {key: (value, after.get(key, 0)) for key, value in before.items()
                 if after.get(key, 0) < value}
    assert not backwards
    assert weir.metric("weir_worker_deaths_total") == 1
    # Both listen sockets are served again: connections are spread over them by the kernel.
    new = [pid for pid in weir.pids("rtmp") if pid != other][0]
    clients = [play_once(weir.rtmp_port, f"n{i}") for i in range(24)]
    assert established(new, weir.rtmp_port) > 0
    for client in clients:
        client.close()
    failed = [load.stopped_report() for load in (players, publishers)]
    assert sum(report["failed"] for report in failed) == lost
    assert all(report["gaps"] == report["corrupt"] == 0 for report in failed)
    origin.finish()


def test_queue_of_a_killed_worker_is_not_lost(lab, origin):
    """Connections in the listen queue of a stopped worker are served by its successor."""
    weir = lab.weir(origins=[origin], config={**QUIET, "rtmp": {"handshake_timeout": "20s"}})
    victim = weir.pids("rtmp")[0]
    os.kill(victim, signal.SIGSTOP)
    waiting = [RtmpClient(port=weir.rtmp_port, handshake=None) for _ in range(40)]
    os.kill(victim, signal.SIGKILL)
    for client in waiting:
        client.handshake()
        client.connect()
        client.close()


def test_hung_worker_is_replaced(lab, origin):
    weir = lab.weir(origins=[origin], workers=2, config={**QUIET, "worker_hang_timeout": "3s"})
    players = play_load(lab, weir, 60, streams=6).wait_ready()
    victim, other = weir.pids("rtmp")
    lost = established(victim, weir.rtmp_port)
    os.kill(victim, signal.SIGSTOP)
    poll("replaced", lambda: len(weir.pids("rtmp")) == 2 and victim not in weir.pids("rtmp"), 30)
    line = next(text for text in weir.log().splitlines() if "worker hangs" in text)
    assert "kind=rtmp" in line and f"worker_pid={victim}" in line
    poll_works(weir.rtmp_port, 20)
    assert weir.metric("weir_worker_deaths_total") == 1
    assert other in weir.pids("rtmp") and established(other, weir.rtmp_port) >= 60 - lost
    assert players.stopped_report()["failed"] == lost
    # A master that was stopped itself blames nobody.
    os.kill(weir.pid, signal.SIGSTOP)
    time.sleep(6)
    os.kill(weir.pid, signal.SIGCONT)
    poll("the master beats", lambda: works(weir.rtmp_port))
    time.sleep(2)
    assert deaths(weir) == 1


def test_killed_control_worker_disturbs_no_media(lab, origin):
    weir = lab.weir(origins=[origin], workers=2, config=QUIET)
    players = play_load(lab, weir, 200, streams=20).wait_ready()
    publishers = publish_load(lab, weir, 40, app="studio").wait_ready()
    workers = weir.pids("rtmp")
    poll("all sessions counted", lambda: weir.metric("weir_sessions") == 240)
    before = counters(weir)
    control = weir.pids("control")[0]
    os.kill(control, signal.SIGSTOP)
    os.kill(control, signal.SIGKILL)
    killed = time.monotonic()
    player = play_once(weir.rtmp_port, "newstream")  # routing goes on
    weir.wait_ready(timeout=2)
    assert time.monotonic() - killed < 2.5
    assert weir.pids("rtmp") == workers
    assert weir.pids("control") != [control]
    after = counters(weir)
    assert all(after.get(key, 0) >= value for key, value in before.items())
    assert weir.register(origin, "vid-1")[0] == 200  # and registration
    player.close()
    players.finish()
    publishers.finish()


def test_killed_master_lets_sessions_finish(lab, origin):
    pid_file = lab.path("weir.pid")
    weir = lab.weir(origins=[origin], workers=2, config={**QUIET, "pid_file": str(pid_file)})
    players = play_load(lab, weir, 200, streams=20).wait_ready()
    publishers = publish_load(lab, weir, 40, app="studio").wait_ready()
    old, children = weir.pids("rtmp"), weir.children()

    def held():
        return sum(established(pid, weir.rtmp_port) for pid in old)
    poll("all sessions in the workers", lambda: held() == 240)
    os.kill(weir.pid, signal.SIGKILL)
    weir.process.popen.wait(5)
    # The new one starts at once beside them: same configuration, same ports, same pid file.
    began = time.monotonic()
    weir.start(ready=False)
    poll_works(weir.rtmp_port, 3)
    weir.wait_ready()
    assert time.monotonic() - began < 5
    poll("the orphans accept no more", lambda: not any(listens(pid) for pid in children), 5)
    assert int(pid_file.read_text()) == weir.pid
    poll("the sessions are where they were", lambda: held() == 240)
    more = play_load(lab, weir, 50, name="load-more").wait_ready()
    players.finish()
    publishers.finish()
    poll("the orphans leave", lambda: all(process_gone(pid) for pid in children), 10)
    more.finish()
    origin.finish()


def test_master_killed_without_sessions_leaves_nobody(lab, origin):
    weir = lab.weir(origins=[origin], workers=2, config=QUIET)
    children = weir.children()
    os.kill(weir.pid, signal.SIGKILL)
    poll("all workers leave", lambda: all(process_gone(pid) for pid in children), 5)
    assert not works(weir.rtmp_port)


def test_repeated_kills_back_off(lab, origin):
    weir = lab.weir(origins=[origin], config={**QUIET, "worker_processes": 1})
    gaps, deadline = [], time.monotonic() + 30
    for _ in range(6):
        victim = poll("a worker to kill", lambda: weir.pids("rtmp"), 10)[0]
        os.kill(victim, signal.SIGKILL)
        killed = time.monotonic()
        poll("its successor", lambda v=victim: [p for p in weir.pids("rtmp") if p != v], 10)
        gaps.append(time.monotonic() - killed)
        assert time.monotonic() < deadline
    assert gaps[0] < 0.5                 # the first one comes back at once
    assert gaps[5] > 1.0, gaps           # the sixth waits 1.6 s
    assert gaps[5] > gaps[3] > gaps[1], gaps
    assert deaths(weir) == 6
    poll_works(weir.rtmp_port, 3)
    rtmp = [row for row in weir.workers() if row["kind"] == "rtmp"]
    assert rtmp[0]["respawns"] == 6


def test_crash_loop_does_not_spin(lab, origin):
    """Whoever dies at once, again and again, is started a handful of times in three seconds."""
    weir = lab.weir(origins=[origin], config=QUIET)
    began = time.monotonic()
    cpu = cpu_ticks(weir.pid)
    while time.monotonic() - began < 3:
        for pid in weir.children():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
    assert 3 <= deaths(weir) <= 2 * 8  # 0, 0.1, 0.2, 0.4, 0.8, 1.6 s, for two kinds
    assert cpu_ticks(weir.pid) - cpu < 0.5 * os.sysconf("SC_CLK_TCK")
    weir.wait_ready(10)
    poll_works(weir.rtmp_port, 10)


def cpu_ticks(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
        fields = file.read().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_exit_code_79_is_not_respawned(lab, origin):
    """A process that may not become the workers' user can never work: given up, not tried again."""
    weir = lab.weir(origins=[origin], start=False, config={**QUIET, "user": "nobody"})
    # Root without the right to change its user: every worker ends with 79.
    weir.process = lab.start(["setpriv", "--bounding-set=-setuid,-setgid",
                              "--inh-caps=-setuid,-setgid", weir.binary, "-c", weir.conf],
                             "weir-no-setuid")
    assert weir.process.wait(10) == 1
    log = weir.log()
    assert "cannot become the workers' user" in log
    assert "exit 79" in log
    assert log.count("worker started") <= 2


def test_exit_code_79_later_leaves_the_seat_empty(lab, origin):
    # The session table is small, for this kind of worker does not map it. The heap is large: the
    # master itself must do without new memory.
    weir = lab.weir(origins=[origin], workers=2, config={**QUIET, "max_udp_sessions": 16},
                    env={"MALLOC_TOP_PAD_": str(16 << 20)})
    victim, other = weir.pids("rtmp")
    # Too little address space for the shared tables, which a fork does not inherit: the successor
    # can't map them.
    unlimited = resource.prlimit(weir.pid, resource.RLIMIT_AS)
    room = int(status_field(weir.pid, "VmSize").split()[0]) * 1024 - (8 << 20)
    resource.prlimit(weir.pid, resource.RLIMIT_AS, (room, unlimited[1]))
    os.kill(victim, signal.SIGKILL)
    weir.wait_log("is not started again")
    assert "exit 79" in weir.log()
    resource.prlimit(weir.pid, resource.RLIMIT_AS, unlimited)
    assert weir.pids("rtmp") == [other]
    started = weir.log().count("worker started")
    os.kill(weir.pids("control")[0], signal.SIGKILL)  # others are respawned as ever
    poll("control is back", lambda: weir.log().count("worker started") == started + 1)
    weir.wait_ready()
    assert weir.pids("rtmp") == [other]
    # None of them waits in the queue of the empty seat.
    assert all(works(weir.rtmp_port) for _ in range(12))
    weir.signal(signal.SIGHUP)  # a reload fills the seat again
    poll("reload", lambda: "reload done" in weir.log())
    poll("both seats", lambda: len(weir.pids("rtmp")) == 2)
    poll_works(weir.rtmp_port, 3)


# ---- descriptors

def test_descriptor_exhaustion_pauses_accepting(lab, origin):
    weir = lab.weir(origins=[origin], config={**QUIET, "worker_rlimit_nofile": 200})
    worker = weir.pids("rtmp")[0]
    limit = int(status_limit(worker))
    assert limit == 200
    players = play_load(lab, weir, 40, streams=4).wait_ready()
    publisher = publish_once(weir.rtmp_port, "held")
    poll("sessions counted", lambda: weir.metric("weir_sessions") == 41)
    crowd = [RtmpClient(port=weir.rtmp_port, handshake=None) for _ in range(limit)]

    def pauses():
        return weir.metric("weir_connections_refused_total", limit="descriptors")
    poll("accepting pauses", pauses)
    cpu, began, before = cpu_ticks(worker), time.monotonic(), pauses()
    poll("some pauses more", lambda: pauses() >= before + 3, 20)
    spent = (cpu_ticks(worker) - cpu) / os.sysconf("SC_CLK_TCK")
    assert spent < 0.5 * (time.monotonic() - began) + 0.1, "the worker spins"
    assert weir.log().count("cannot accept, pausing") < 3
    # Who was let in before has all it needs, and no origin is blamed for our shortage.
    crowd[0].handshake()
    crowd[0].connect("live")
    crowd[0].play("in")
    publisher.send(9, b"\x27\x01\0\0\0more", stream_id=publisher.stream_id, csid=6)
    assert weir.metric("weir_dial_failures_total") == 0
    assert weir.origins()[0]["state"] == "up"
    for client in crowd:
        client.close()
    poll_works(weir.rtmp_port, 5)
    publisher.send(9, b"\x27\x01\0\0\0last", stream_id=publisher.stream_id, csid=6)
    publisher.close()
    players.finish()
    assert weir.pids("rtmp") == [worker]


def test_sessions_go_on_without_a_descriptor_for_a_pipe(lab):
    """Viewers that read nothing hold the pipes, no more can be made, and the others don't notice."""
    origin = LoadOrigin(lab, bitrate=20_000_000)
    weir = lab.weir(origins=[origin], config={**QUIET, "user": "root"})  # whose limits we may set
    worker = weir.pids("rtmp")[0]
    players = play_load(lab, weir, 10, bitrate=20_000_000).wait_ready()
    idlers = [play_once(weir.rtmp_port, "s0") for _ in range(3)]
    used = {int(fd) for fd in os.listdir(f"/proc/{worker}/fd")}
    least = min(set(range(len(used) + 1)) - used)
    resource.prlimit(worker, resource.RLIMIT_NOFILE, (least, least))
    ports = {client.sock.getsockname()[1] for client in idlers}
    queued = []

    def stuck():
        queued.append(send_queues(weir.rtmp_port, ports))
        return queued[-1] > 0 and len(queued) > 20 and len(set(queued[-20:])) == 1
    poll("viewers that take nothing more", stuck, 20)
    players.finish()
    for client in idlers:
        client.close()
    poll("all sessions are gone", lambda: weir.metric("weir_connections") == 0)
    assert weir.metric("weir_session_ends_total", reason="error") == 0


def send_queues(port, peers):
    """Bytes that wait in the kernel on connections from `port` to one of the peers' ports."""
    total = 0
    with open("/proc/net/tcp", encoding="ascii") as table:
        for line in table.readlines()[1:]:
            fields = line.split()
            if (int(fields[1].split(":")[1], 16) == port
                    and int(fields[2].split(":")[1], 16) in peers):
                total += int(fields[4].split(":")[0], 16)
    return total


def status_limit(pid):
    with open(f"/proc/{pid}/limits", encoding="ascii") as file:
        return re.search(r"Max open files\s+(\d+)", file.read()).group(1)
