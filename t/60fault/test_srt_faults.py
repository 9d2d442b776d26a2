"""SRT when something goes wrong: workers that die during handshakes, origins that are dead, stopped
or say no, and callers that leave without a word."""

import os
import signal
import threading
import time

import pytest

from weirtest import poll, sanitized
from weirtest.srt import REJ_GATEWAY, SrtError, call, srt_weir
from weirtest.srtraw import REJECTED, Crowd, RawOrigin, RawProcess

# One address asks for many streams that nobody knows, which is what section search bounds.
PATIENT = {"balance": {"probe_interval": 0, "max_fails": 1000}, "search": {"enabled": False}}


class Callers:
    """libsrt's callers, one a thread, and how each of them fared."""

    def __init__(self, weir, names, **options):
        self.took = {}
        self.refused = {}
        self.open = []
        self.threads = [threading.Thread(target=self._call, args=(weir, name, options), daemon=True)
                        for name in names]
        for thread in self.threads:
            thread.start()

    def _call(self, weir, name, options):
        begin = time.monotonic()
        try:
            self.open.append(call(weir.srt_port, name, **options))
        except SrtError as error:
            self.refused[name] = error.reason
        self.took[name] = time.monotonic() - begin

    def wait(self):
        for thread in self.threads:
            thread.join(60)
        assert len(self.took) == len(self.threads), "callers hang"
        return self

    def close(self):
        for each in self.open:
            each.close()


def empty(weir, descriptors, timeout=40):
    poll("no session", lambda: weir.metric("weir_sessions", protocol="srt") == 0
         and weir.metric("weir_udp_sessions", protocol="srt") == 0, timeout, 0.1)
    poll("no descriptors of sessions", lambda: weir.descriptors() <= descriptors + 4, timeout, 0.1)


def memory_of(weir):
    """Bytes of all processes that no file holds: what the program's own pages cost depends on who
    else runs it."""
    total = 0
    for pid in weir.all_pids():
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            total += sum(int(line.split()[1]) for line in file
                         if line.startswith(("Pss_Anon:", "Pss_Shmem:")))
    return total * 1024


def kill_all(weir, kind):
    def present():
        pids = weir.pids(kind)
        return len(pids) == weir.workers_wanted and set(pids)

    before = poll("all workers", present)
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    poll("other workers", lambda: (now := present()) and not now & before, 30)
    weir.wait_ready()


def test_workers_die_during_handshakes(lab):
    """The origin has the conclusions and has not answered when all workers are killed, twice. With
    the origin's answer all callers are connected; without it they are told."""
    origin = RawOrigin(lab)
    weir = srt_weir(lab, [origin], {**PATIENT, "srt": {"origin_timeout": "25s",
                                                       "handshake_timeout": "30s"}}, workers=2)
    before = weir.descriptors()
    origin.mode = "hold"
    callers = Callers(weir, [f"live/{n}" for n in range(20)], conntimeo=40000)
    for lap in range(2):
        poll("the conclusions at the origin", lambda: len(origin.asked) == 20, 30)
        kill_all(weir, "srt")
    origin.mode = "ok"
    callers.wait()
    assert not callers.refused and len(origin.sessions) == 20
    assert weir.metric("weir_udp_sessions", protocol="srt", state="connected") == 20
    callers.close()
    empty(weir, before)
    origin.mode = "hold"
    origin.asked.clear()
    brief = srt_weir(lab, [origin], PATIENT, name="brief")
    before = brief.descriptors()
    callers = Callers(brief, [f"live/{n}" for n in range(10)], conntimeo=40000)
    poll("the conclusions at the origin", lambda: len(origin.asked) == 10, 30)
    kill_all(brief, "srt")
    callers.wait()
    assert set(callers.refused.values()) == {REJ_GATEWAY} and len(callers.refused) == 10
    empty(brief, before)


@pytest.mark.parametrize("fault", ["dead", "stopped", "rejecting"])
def test_one_bad_origin_of_three(lab, fault):
    """Callers of the others are connected in less than a second; its own are moved or refused."""
    bad = RawProcess(lab) if fault != "rejecting" else RawOrigin(lab)
    weir = srt_weir(lab, [bad, RawOrigin(lab), RawOrigin(lab)], PATIENT)
    before = weir.descriptors()
    names = [f"live/{n}" for n in range(30)]
    crowd = Crowd(weir.srt_port)
    crowd.connect(range(1, 31), "live/{}")
    homes = {row["stream"]: row["origin_name"] for row in weir.streams()}
    crowd.shut_down()
    poll("no session", lambda: weir.metric("weir_udp_sessions", protocol="srt") == 0, 20)
    names = [name for name, home in homes.items() if home == "o1"]
    others = [name for name, home in homes.items() if home != "o1"]
    assert len(names) >= 8 and len(others) >= 16
    if fault == "dead":
        bad.process.kill()
    elif fault == "stopped":
        bad.process.signal(signal.SIGSTOP)
    else:
        bad.mode = "reject"
    slowest = 99.0
    for attempt in range(5):  # the machine may be busy: one quiet moment is enough
        stuck = Callers(weir, [f"live/{name}" for name in names[2 * attempt:2 * attempt + 2]])
        took = []
        for name in others[:20]:
            begin = time.monotonic()
            call(weir.srt_port, f"live/{name}").close()
            took.append(time.monotonic() - begin)
        slowest = min(slowest, max(took))
        stuck.wait()
        if fault == "rejecting":
            assert set(stuck.refused.values()) == {REJECTED - 1000} and not stuck.open
        else:
            assert not stuck.refused, "another origin has room for them"
        stuck.close()
        if slowest < 1:
            break
    print(f"{fault}: 20 set-ups at the others, the slowest {slowest * 1000:.0f} ms")
    assert slowest < 1
    empty(weir, before)


def test_a_thousand_leave_without_a_word(lab):
    """Their sessions end, the origin hears of it, and nothing of them is left."""
    origin = RawOrigin(lab)
    weir = srt_weir(lab, [origin], {**PATIENT, "srt": {"idle_timeout": "10s"},
                                    "log": {"level": "warn"}}, workers=2)
    before = weir.descriptors()

    def connect():
        # Of many ports, so that the workers get about the same number each time.
        crowds = [Crowd(weir.srt_port) for _ in range(32)]
        for number, crowd in enumerate(crowds):
            crowd.connect(range(1 + number * 32, 33 + number * 32), "live/{}")
        assert weir.metric("weir_udp_sessions", protocol="srt") == 1024
        return crowds

    def leave(crowds, with_a_word):
        for crowd in crowds:
            if with_a_word:
                crowd.shut_down()
            crowd.close()
        empty(weir, before, 60)

    for _ in range(2):
        leave(connect(), with_a_word=True)
    memory = memory_of(weir)  # what tables, queues and allocators take at first they keep
    told = set(origin.shut_downs)
    leave(connect(), with_a_word=False)
    assert weir.metric("weir_session_ends_total", protocol="srt", reason="client_silent") == 1024
    # Nobody sends one again, and a thousand come at once.
    poll("SHUTDOWN of most", lambda: len(origin.shut_downs - told) > 512, 20)
    grown = memory_of(weir) - memory
    print(f"memory: {memory >> 10} kB, {grown >> 10} kB more after another 1024 sessions")
    assert sanitized() or grown < 3 << 19
    assert all(row["publishers"] + row["players"] == 0 for row in weir.streams())


def test_a_new_port_is_another_client(lab):
    """Nothing in SRT's packets proves that a client has got another port of its NAT: from there
    nothing reaches the origin and nothing ends. The session goes on at the old port until it is
    silent; then the origin hears of the end, and the client calls again."""
    origin = RawOrigin(lab)
    weir = srt_weir(lab, [origin], {**PATIENT, "srt": {"idle_timeout": "10s"}}, workers=2)
    before = weir.descriptors()
    old, new = Crowd(weir.srt_port), Crowd(weir.srt_port)
    old.connect([1], "#!::r=live/a,m=publish")
    origin_id = old.origin_ids[1]
    new.origin_ids = {1: origin_id}
    for number in range(20):
        new.send_data(origin_id, number)
    new.shut_down()
    poll("they came", lambda: weir.metric("weir_packets_unknown_total", protocol="srt") >= 21, 20)
    old.send_data(origin_id, 77)
    poll("a packet from the old port", lambda: origin.data, 20)
    assert [packet[:4] for _, packet in origin.data] == [bytes([0, 0, 0, 77])]
    assert not origin.shut_downs
    new.connect([1], "#!::r=live/b,m=publish")
    assert weir.metric("weir_udp_sessions", protocol="srt", state="connected") == 2
    new.shut_down()
    poll("the origin hears of the end", lambda: origin_id in origin.shut_downs, 40)
    empty(weir, before)
