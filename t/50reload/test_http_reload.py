"""Reloads, upgrades and kills with HTTP-FLV and HLS viewers running: none breaks, none sees an error."""

import os
import signal

import pytest
from weirtest import poll
from weirtest.hlscrowd import HlsCrowd
from weirtest.load import HttpLoadOrigin, established, flv_load, process_gone

QUIET = {"log": {"level": "info"}}
STREAMS = [f"s{n}" for n in range(10)]
SIZE = 20_000


@pytest.fixture
def origin(lab):
    return HttpLoadOrigin(lab)


def start_crowd(lab, weir, viewers=60):
    crowd = HlsCrowd(lab, [weir.http_port], STREAMS, viewers, lambda _, body: len(body) == SIZE, drop=0)
    crowd.wait_playlists(2 * viewers)
    return crowd


def test_reloads_break_no_viewer(lab, origin):
    weir = lab.weir(origins=[origin], http=True, workers=2, config=QUIET)
    flv = flv_load(lab, weir, 150, streams=10).wait_ready()
    crowd = start_crowd(lab, weir)
    for number in range(12):
        weir.reload({**QUIET, "worker_processes": (1, 3, 2)[number % 3]})
    crowd.wait_playlists(120)
    crowd.finish()
    flv.finish()
    weir.wait_metric(0, "weir_sessions", 15, protocol="http", state="playing")
    poll("old generations are gone", lambda: len(weir.pids("http", current=False)) == 2, 20)
    assert weir.log().count("worker died") == 0


def test_killed_http_worker_takes_only_its_own_viewers(lab, origin):
    weir = lab.weir(origins=[origin], http=True, workers=2, config=QUIET)
    flv = flv_load(lab, weir, 150, streams=10).wait_ready()
    victim, other = weir.pids("http")

    def shares():
        found = [established(pid, weir.http_port) for pid in (victim, other)]
        return found if sum(found) == 150 else None
    lost, kept = poll("all viewers in the workers", shares)
    assert lost > 0 and kept > 0
    crowd = start_crowd(lab, weir)
    os.kill(victim, signal.SIGKILL)
    poll("respawned", lambda: len(weir.pids("http")) == 2 and victim not in weir.pids("http"))
    crowd.wait_playlists(180)
    weir.wait_metric(kept, "weir_sessions", 15, protocol="http", state="playing")
    # Those whose answer was on its way from the killed worker saw it break, and went on.
    crowd.finish(broken=60)
    report = flv.stopped_report()
    assert report["failed"] == lost
    assert report["gaps"] == report["corrupt"] == 0
    assert report["silence_ms"] < 3000


def test_other_processes_killed_disturb_no_viewer(lab, origin):
    weir = lab.weir(origins=[origin], http=True, config=QUIET)
    flv = flv_load(lab, weir, 60, streams=10).wait_ready()
    crowd = start_crowd(lab, weir, 30)
    [worker] = weir.pids("http")
    for kind in ("control", "rtmp"):
        [victim] = weir.pids(kind)
        os.kill(victim, signal.SIGKILL)
        weir.wait_ready()
        poll(f"another {kind}", lambda k=kind, v=victim: [p for p in weir.pids(k) if p != v])
    crowd.wait_playlists(60)
    crowd.finish()
    flv.finish()
    assert weir.pids("http") == [worker]


def test_killed_master_lets_viewers_finish(lab, origin):
    weir = lab.weir(origins=[origin], http=True, config=QUIET)
    flv = flv_load(lab, weir, 60, streams=10).wait_ready()
    children = weir.children()
    os.kill(weir.pid, signal.SIGKILL)
    weir.process.popen.wait(5)
    weir.start(ready=False)
    weir.wait_ready()
    crowd = start_crowd(lab, weir, 30)
    flv.finish()
    poll("the orphans leave", lambda: all(process_gone(pid) for pid in children), 15)
    crowd.finish()
