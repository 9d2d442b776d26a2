"""Faults in the middle of reloads and upgrades, with generations that live on."""

import os
import signal

import pytest
from weirtest import poll
from weirtest.load import LoadOrigin, play_once, process_gone, works

QUIET = {"log": {"level": "info"}}


@pytest.fixture
def origin(lab):
    return LoadOrigin(lab)


def generations_with_a_player(lab, origin, count, **config):
    """A Weir with `count` living generations, each with a player."""
    weir = lab.weir(origins=[origin], workers=2, config={**QUIET, **config})
    players = [play_once(weir.rtmp_port, "s")]
    for _ in range(count - 1):
        weir.reload()
        players.append(play_once(weir.rtmp_port, "s"))
    return weir, players


def test_upgrade_with_many_generations(lab, origin):
    weir, players = generations_with_a_player(lab, origin, 5, pid_file=str(lab.path("pid")))
    old = weir.pid
    weir.signal(signal.SIGUSR2)
    weir.wait_log("the new program is up")
    poll("the port is served by the new program", lambda: works(weir.rtmp_port))
    for player in players:
        player.read_media(5)
    poll("one worker a player is left in the old one", lambda: len(weir.children()) <= 6)
    # Its generations go one by one, and it goes with the last.
    for player in players:
        player.close()
    assert weir.process.wait(15) == 0
    new = int(lab.path("pid").read_text())
    assert new != old and works(weir.rtmp_port)
    os.kill(new, signal.SIGTERM)
    poll("the new one has stopped", lambda: process_gone(new))


def test_stopped_control_worker_is_replaced_and_harms_nobody(lab, origin):
    weir, players = generations_with_a_player(lab, origin, 2, worker_hang_timeout="2s")
    control = weir.pids("control")[0]
    deaths = weir.log().count("worker died")
    os.kill(control, signal.SIGSTOP)
    weir.wait_log("worker hangs, ending it", 15)
    poll("another one answers", lambda: weir.pids("control") not in ([], [control]), 15)
    assert process_gone(control)
    assert weir.log().count("worker died") == deaths + 1
    for player in players:
        player.read_media(5)
        player.close()
    poll("the old generation left", lambda: len(weir.children()) == 3)


def test_every_worker_dies_at_once_and_again(lab, origin):
    """All places are taken again, whatever drains beside them."""
    weir, players = generations_with_a_player(lab, origin, 3, max_workers=16)
    for _ in range(3):
        current = {int(w["pid"]) for w in weir.workers() if w["state"] == "ready"}
        for pid in current:
            os.kill(pid, signal.SIGKILL)
        poll("all seats are taken again", lambda gone=current: len(
            {int(w["pid"]) for w in answered(weir) if w["state"] == "ready"} - gone) == 3)
        assert works(weir.rtmp_port)
    for player in players[:-1]:
        player.read_media(5)
    assert weir.metric("weir_worker_deaths_total") == 9
    weir.reload()
    assert weir.metric("weir_generations_ended_total") == 0


def answered(weir):
    """The workers; none while there is nobody to ask."""
    try:
        return weir.workers()
    except (OSError, AssertionError):
        return []
