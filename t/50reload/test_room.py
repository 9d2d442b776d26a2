"""Room in the table of workers: generations that must make room, reloads that come thick and fast."""

import contextlib
import itertools
import os
import pathlib
import re
import signal
import subprocess

import pytest
from weirtest import free_port, poll
from weirtest.load import LoadOrigin, play_load, play_once, poll_works, process_gone, works

QUIET = {"log": {"level": "info"}}


@pytest.fixture
def origin(lab):
    return LoadOrigin(lab)


def outcomes(weir):
    log = weir.log()
    return log.count("reload done"), log.count("reload refused") + log.count("reload given up")


def hup(weir, timeout=60):
    """One SIGHUP, waited for: whether the reload was done."""
    before = outcomes(weir)
    weir.signal(signal.SIGHUP)
    after = poll("outcome of the reload", lambda: outcomes(weir) != before and outcomes(weir),
                 timeout)
    return after[0] > before[0]


def started(weir, generation):
    """Places in the log where workers of a generation were started."""
    return [m.start() for m in re.finditer(rf"worker started[^\n]* generation={generation} ",
                                           weir.log())]


@contextlib.contextmanager
def held(pids):
    """Processes that neither finish nor hear anything meanwhile."""
    stopped = []
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
            stopped.append(pid)
        yield
    finally:
        for pid in stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def stop_a_newcomer(weir):
    """Asks for a reload and stops the first worker that it brings; its pid."""
    def children():
        return pathlib.Path(f"/proc/{weir.pid}/task/{weir.pid}/children").read_text().split()
    old = set(children())
    weir.signal(signal.SIGHUP)

    def newcomer():
        new = [pid for pid in children() if pid not in old]
        if new:
            os.kill(int(new[-1]), signal.SIGSTOP)
        return new
    return int(poll("a new worker", newcomer, interval=0.0002)[-1])


def kill_all(pids):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_64_workers_of_each_kind_and_generations_that_live_on(lab, origin):
    """A third reload with 257 workers a generation finds no room before the oldest has left; the
    master serves between its forks."""
    ports = [free_port() for _ in range(2)]
    udp = [free_port(udp=True) for _ in range(2)]
    weir = lab.weir(origins=[origin], workers=64, http=True, config={
        **QUIET, "worker_hang_timeout": 0, "worker_ready_timeout": "120s",
        "force_quit_timeout": "1s", "http_api": {"enabled": True, "listen": f"127.0.0.1:{ports[0]}"},
        "rtc": {"enabled": True, "listen": f"127.0.0.1:{udp[0]}"},
        "srt": {"enabled": True, "listen": f"127.0.0.1:{udp[1]}"}})
    first = weir.children()
    assert len(first) == 257
    control = set(weir.pids("control"))
    ports_of_origins = itertools.count(2000)
    with contextlib.ExitStack() as stack:
        for number in range(3):
            # The workers that the reload is to replace can't leave.
            generation = [pid for pid in weir.children() if pid not in control]
            stack.enter_context(held(generation[-256:] if number else generation))
            before = outcomes(weir)
            weir.signal(signal.SIGHUP)

            def over():
                port = str(next(ports_of_origins))
                with contextlib.suppress(OSError):  # the control worker is replaced, too
                    weir.register(origin, f"at-{port}", ip="127.0.0.2", rtmp=[port])
                return outcomes(weir) != before
            poll("outcome of the reload", over, 120, interval=0.05)
            assert outcomes(weir) == (number + 1, 0), weir.log()[-2000:]
            poll("the control worker of the new generation", lambda: weir.pids("control"))
            control |= set(weir.pids("control"))
            forks = started(weir, number + 2)
            assert len(forks) == 257
            between = weir.log()[forks[0]:forks[-1]]
            assert "origin registered" in between, "the master stood still while it forked"
        poll("the first generation is gone", lambda: all(process_gone(p) for p in first), 20)
        assert weir.log().count("no room for another generation") == 1
        assert weir.metric("weir_generations_ended_total") == 1
        kill_all(weir.children())
    weir.process.popen.kill()


def test_sessions_of_the_oldest_generation_end_when_there_is_no_room(lab, origin):
    """9 workers a generation, 24 places: the third generation needs those of the first."""
    weir = lab.weir(origins=[origin], workers=8, config={**QUIET, "max_workers": 24})
    sessions = []
    for _ in range(2):
        # Players in each of the eight workers, so that none can leave.
        sessions.append([play_once(weir.rtmp_port, f"s{i % 8}") for i in range(64)])
        assert hup(weir)
    row = "weir_generations_ended_total"
    assert weir.metric(row) in (0, 1)
    ended = int(weir.metric(row))
    sessions.append([play_once(weir.rtmp_port, f"s{i % 8}") for i in range(64)])
    assert hup(weir)
    poll("the oldest generations were ended", lambda: weir.metric(row) > ended, 5)
    for client in sessions[0]:
        client.wait_closed(10)
    assert weir.metric("weir_session_ends_total", reason="shutdown") >= 64
    for client in sessions[-1]:
        client.read_media(5)
    assert works(weir.rtmp_port)
    assert weir.log().count("worker died") == 0


def test_a_generation_that_the_table_has_no_room_for_is_a_fault(lab, origin):
    weir = lab.weir(origins=[origin], workers=2, config={**QUIET, "max_workers": 16})
    weir.rewrite({**QUIET, "max_workers": 16, "worker_processes": 16})
    checked = subprocess.run([weir.binary, "-T", "-c", weir.conf], capture_output=True, text=True,
                             check=False, timeout=20)
    assert checked.returncode == 2 and "max_workers 16" in checked.stderr, checked.stderr
    assert not hup(weir)
    weir.rewrite({**QUIET, "max_workers": 16, "worker_generations_max": 200})
    checked = subprocess.run([weir.binary, "-T", "-c", weir.conf], capture_output=True, text=True,
                             check=False, timeout=20)
    assert checked.returncode == 0, checked.stderr
    assert "worker_generations_max 200 is out of reach" in checked.stderr
    assert hup(weir) and works(weir.rtmp_port)


def test_a_storm_of_reloads(lab, origin):
    weir = lab.weir(origins=[origin], workers=2, config=QUIET)
    players = play_load(lab, weir, 40, streams=4).wait_ready()
    descriptors = None
    for _ in range(2):
        for _ in range(50):
            weir.signal(signal.SIGHUP)
        # One more, alone: when it is done, so are those that were coalesced before it.
        poll("the storm is over", lambda: weir.log().count("reload: reading") == sum(outcomes(weir)))
        poll("only the players' workers are left beside the new ones",
             lambda: len(weir.children()) <= 5)
        assert hup(weir)
        poll("the workers of the storm are gone", lambda: len(weir.children()) <= 5)
        now = len(os.listdir(f"/proc/{weir.pid}/fd"))
        descriptors = descriptors or now
        assert now == descriptors
    assert outcomes(weir)[1] == 0 and weir.log().count("worker died") == 0
    poll_works(weir.rtmp_port, 5)
    players.finish()


def test_a_generation_that_never_says_ready(lab, origin):
    """It is given up, the one that runs never noticed; what was asked for meanwhile comes after."""
    weir = lab.weir(origins=[origin], workers=2,
                    config={**QUIET, "worker_ready_timeout": "500ms"})
    player = play_once(weir.rtmp_port, "s")
    for _ in range(20):
        done, given_up = outcomes(weir)
        late = stop_a_newcomer(weir)
        weir.signal(signal.SIGHUP)  # kept until the first is over
        poll("both reloads have ended", lambda: sum(outcomes(weir)) == done + given_up + 2)
        if outcomes(weir)[1] > given_up:
            break
        os.kill(late, signal.SIGCONT)  # it had been ready already
    assert outcomes(weir) == (done + 1, given_up + 1)
    assert "no READY within worker_ready_timeout" in weir.log()
    player.read_media(5)
    player.close()
    poll("nobody is left behind", lambda: len(weir.children()) == 3)
    assert works(weir.rtmp_port)
