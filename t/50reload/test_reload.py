"""Reload under load: sessions stay, new ones always find a listener, old generations leave."""

import re
import signal
import time

from weirtest import free_port, poll
from weirtest.load import (LoadOrigin, established, play_load, play_once, poll_works, process_gone,
                           publish_load, setup_load, works)

QUIET = {"log": {"level": "info"}}
BROKEN = [
    ("rtmp {\n  relay_delay soon;\n}\n", (2, "relay_delay")),
    ("worker_processes 1;\nnosuch on;\n", (2, "nosuch")),
    ("log {\n  level info;\n", (0, "")),
    ("worker_processes 99;\n", (1, "worker_processes")),
]


def reloads(weir):
    """(done, refused) since the master started."""
    return weir.log().count("reload done"), weir.log().count("reload refused")


def hup(weir):
    """One SIGHUP, waited for: "done" or "refused"."""
    before = reloads(weir)
    weir.signal(signal.SIGHUP)
    after = poll("outcome of the reload", lambda: reloads(weir) != before and reloads(weir), 20)
    return "done" if after[0] > before[0] else "refused"


def test_fifty_reloads_under_load(lab):
    origins = [LoadOrigin(lab, name=f"load-origin-{i}") for i in range(2)]
    weir = lab.weir(origins=origins, workers=2, config=QUIET)
    extra = free_port()
    players = play_load(lab, weir, 300, streams=30).wait_ready()
    publishers = publish_load(lab, weir, 60, app="studio").wait_ready()
    newcomers = setup_load(lab, weir)
    generation, refusals = weir.generation(), 0
    for number in range(50):
        if number % 5 == 4:
            text, (line, word) = BROKEN[number // 5 % len(BROKEN)]
            weir.rewrite(text=text)
            mark = len(weir.log())
            assert hup(weir) == "refused"
            refusals += 1
            fault = re.search(re.escape(str(weir.conf)) + r":(\d+):(\d+):[^\n]*",
                              weir.log()[mark:])
            assert fault and int(fault.group(2)) >= 1
            assert not line or int(fault.group(1)) == line and word in fault.group(0)
            assert weir.generation() == generation
            continue
        count = (2, 4, 1, 3)[number % 4]
        moved = number % 10 == 7  # its own address goes away and comes back with the next reload
        config = {**QUIET, "worker_processes": count}
        if moved:
            config["control"] = {"listen": f"127.0.0.1:{extra}"}
        weir.rewrite(config)
        assert hup(weir) == "done"
        generation += 1
        weir.api_port, api_port = (extra if moved else weir.api_port), weir.api_port
        poll("the API of the new generation", lambda: generation == weir.generation())
        assert len(weir.pids("rtmp")) == count
        if moved:
            weir.api_port = api_port
            weir.rewrite(QUIET)
            assert hup(weir) == "done"
            generation += 1
    weir.rewrite(QUIET)
    assert hup(weir) == "done"
    assert reloads(weir)[1] == refusals == 10
    # Every session of before the first reload is still where it was.
    weir.wait_metric(60, "weir_sessions", state="publishing")
    report = newcomers.stopped_report()
    assert report["failed"] == report["gaps"] == report["corrupt"] == 0, report
    assert report["sessions"] > 100
    players.finish()
    publishers.finish()
    poll("old generations are gone", lambda: len(weir.children()) == 3, 20)
    assert works(weir.rtmp_port)
    for origin in origins:
        origin.finish()


def test_listen_address_that_changes_and_comes_back(lab):
    origin = LoadOrigin(lab)
    weir = lab.weir(origins=[origin], workers=2, config=QUIET)
    first, second = weir.rtmp_port, free_port()
    players = play_load(lab, weir, 100, streams=10).wait_ready()
    old = weir.pids("rtmp")
    for port in (second, first, second, first):
        weir.rewrite({**QUIET, "rtmp": {"listen": f"127.0.0.1:{port}"}})
        assert hup(weir) == "done"
        assert works(port)
    poll("the sessions are where they were",
         lambda: sum(established(pid, first) for pid in old) == 100)
    poll("nobody listens on the address that was left", lambda: not works(second, "x"), 10)
    players.finish()
    poll("old generations are gone", lambda: len(weir.children()) == 3)


def test_address_that_is_taken_refuses_the_reload(lab):
    origin = LoadOrigin(lab)
    weir = lab.weir(origins=[origin], config=QUIET)
    weir.rewrite({**QUIET, "rtmp": {"listen": f"127.0.0.1:{origin.rtmp_port}"}})
    assert hup(weir) == "refused"
    assert f"127.0.0.1:{origin.rtmp_port}" in weir.log().split("reload refused")[-1]
    assert works(weir.rtmp_port)


def test_old_generation_leaves_with_its_last_session(lab):
    origin = LoadOrigin(lab)
    weir = lab.weir(origins=[origin], workers=2, config=QUIET)
    idle = weir.children()
    assert hup(weir) == "done"
    poll("workers without sessions leave at once", lambda: all(process_gone(p) for p in idle), 5)
    player = play_once(weir.rtmp_port, "last")
    carrier = next(p for p in weir.pids("rtmp") if established(p, weir.rtmp_port) == 1)
    others = [p for p in weir.children() if p != carrier]
    assert hup(weir) == "done"
    poll("the others leave", lambda: all(process_gone(p) for p in others), 5)
    assert not process_gone(carrier)
    player.read_media(5)  # and it goes on
    rows = [w for w in weir.workers() if int(w["pid"]) == carrier]
    assert rows and rows[0]["state"] == "draining"
    player.close()
    poll("the carrier leaves", lambda: process_gone(carrier), 5)
    assert weir.log().count("worker died") == 0


def test_old_generation_ends_at_shutdown_timeout(lab):
    origin = LoadOrigin(lab)
    weir = lab.weir(origins=[origin], config={**QUIET, "worker_shutdown_timeout": "2s"})
    players = play_load(lab, weir, 20).wait_ready()
    old = weir.pids("rtmp")
    began = time.monotonic()
    assert hup(weir) == "done"
    poll("old worker ends its sessions and leaves", lambda: process_gone(old[0]), 8)
    assert time.monotonic() - began > 1.5
    players.finish(failed=20, all_frames=False)
    assert works(weir.rtmp_port)
    assert weir.metric("weir_session_ends_total", reason="shutdown") == 20


def test_generations_are_capped(lab):
    origin = LoadOrigin(lab)
    weir = lab.weir(origins=[origin], config={**QUIET, "worker_generations_max": 3})
    sessions = []
    for _ in range(5):
        sessions.append(play_once(weir.rtmp_port, "capped"))
        assert hup(weir) == "done"
    sessions[0].wait_closed(5)
    sessions[1].wait_closed(5)
    sessions[2].wait_closed(5)
    for session in sessions[3:]:
        session.read_media(5)
        session.close()


def test_option_that_needs_a_restart(lab):
    """A generation that can't work is given up; the old one goes on."""
    origin = LoadOrigin(lab)
    weir = lab.weir(origins=[origin], config=QUIET)
    players = play_load(lab, weir, 20).wait_ready()
    old = weir.children()
    weir.rewrite({**QUIET, "worker_rlimit_nofile": 64})  # needs a restart: kept, with a warning
    assert hup(weir) == "done"
    assert "worker_rlimit_nofile" in weir.log()
    assert works(weir.rtmp_port)
    players.finish()
    poll("the old workers leave", lambda: all(process_gone(p) for p in old))


def test_changed_origins_apply_to_new_sessions(lab):
    one, two = LoadOrigin(lab, name="one"), LoadOrigin(lab, name="two")
    weir = lab.weir(origins=[one], config=QUIET)
    players = play_load(lab, weir, 20, streams=5).wait_ready()
    weir.static = [two]
    weir.rewrite(QUIET)
    assert hup(weir) == "done"
    poll_works(weir.rtmp_port, 5, "new")
    player = play_once(weir.rtmp_port, "newer")
    assert established(two.process.pid, two.rtmp_port) >= 1
    assert one.sessions() >= 20
    player.close()
    players.finish()
