"""The whole service is killed: the next one knows origins and streams again, until others prove it wrong."""

import contextlib
import os
import signal
import subprocess

import pytest
from weirtest import RtmpClient, poll
from weirtest.load import process_gone
from weirtest.media import start_play

CONFIG = {"log": {"level": "info"}, "balance": {"policy": "round_robin"}}


def kill_everything(weir):
    """SIGKILL to the master, so that nobody is respawned, and to all workers."""
    pids = weir.all_pids()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    weir.process.popen.wait(5)
    poll("all are gone", lambda: all(process_gone(pid) for pid in pids), 10)


def weir_without_origins(lab, **options):
    """Not ready, as nobody is there yet; its API answers."""
    weir = lab.weir(start=False, **options)
    start(weir)
    return weir


def start(weir):
    weir.start(ready=False)
    weir.wait_log("Weir is ready")


def places(weir):
    return {row["key"].split("/", 1)[1]: row["origin_name"] for row in weir.streams()}


def rows(weir):
    return {row["key"].split("/", 1)[1]: row for row in weir.streams()}


def play_all(lab, weir, names):
    for player in [start_play(lab, weir.url(name), seconds=1) for name in names]:
        assert player.wait(30) == 0, player.log()


@pytest.mark.parametrize("learn", ["off", "auto"])
def test_every_stream_is_where_it_was(lab, media, learn):
    """15 streams through Weir and, if it learns, 15 past it, at three origins that have registered."""
    origins = [lab.origin(name=f"o{n}") for n in range(3)]
    weir = weir_without_origins(lab, config=CONFIG, env={"WEIR_LEARN": learn})
    for n, origin in enumerate(origins):
        weir.register(origin, f"server-{n}", http=[str(origin.http_port)])
    publishers = {f"live/w{i}": lab.publish(media, weir.url(f"live/w{i}")) for i in range(15)}
    if learn == "auto":
        for i in range(15):
            lab.publish(media, origins[i % 3].url(f"live/d{i}"))
    wanted = 30 if learn == "auto" else 15
    before = poll("all streams", lambda: len(places(weir)) == wanted and places(weir), 30)
    assert set(before.values()) == {"server-0", "server-1", "server-2"}

    kill_everything(weir)
    for publisher in publishers.values():
        publisher.wait(10)
    weir.start()
    # At once, and nobody has sent a heartbeat or published through it.
    assert places(weir) == before
    if learn == "off":
        assert {row["source"] for row in weir.streams()} == {"kept"}
        assert weir.metric("weir_streams_kept") == 15
    poll("origins are proven", lambda: not any(row["unproven"] for row in weir.origins()))
    assert weir.metric("weir_origins_unproven") == 0
    play_all(lab, weir, [f"live/d{i}" for i in range(wanted - 15)])
    # Viewers first, then the publishers, who are brought to where these wait.
    viewers = {name: start_play(lab, weir.url(name), seconds=1) for name in list(publishers)[:5]}
    poll("viewers", lambda: sum(row["players"] for row in weir.streams()) >= 5)
    again = {name: lab.publish(media, weir.url(name)) for name in publishers}
    poll("published again", lambda: all(
        rows(weir)[name]["source"] in ("published", "learned") for name in again), 20)
    assert places(weir) == before
    for viewer in viewers.values():
        assert viewer.wait(20) == 0
    play_all(lab, weir, again)
    # And once more, from what the second service left.
    kill_everything(weir)
    weir.start()
    assert places(weir) == before


def test_an_origin_that_is_gone_keeps_nobody(lab, media):
    here, gone = lab.origin(name="here"), lab.origin(name="gone")
    weir = weir_without_origins(lab, config={**CONFIG, "balance": {"policy": "round_robin", "max_fails": 1, "probe_interval": "100ms"}})
    weir.register(gone, "gone")
    publisher = lab.publish(media, weir.url("live/s"))
    poll("the stream", lambda: places(weir) == {"live/s": "gone"})
    weir.register(here, "here")
    kill_everything(weir)
    publisher.wait(10)
    gone.stop()
    weir.start()
    assert places(weir) == {"live/s": "gone"}
    # The publisher is sent on when its origin does not answer, and takes the stream along.
    lab.publish(media, weir.url("live/s"))
    poll("moved", lambda: places(weir) == {"live/s": "here"}, 20)
    lab.rtmpdump(weir.url("live/s"), size=5_000)
    assert {row["name"]: row["unproven"] for row in weir.origins()} == {"gone": True, "here": False}


def test_files_that_are_not_believed(lab):
    origin = lab.origin()
    weir = weir_without_origins(lab, config=CONFIG)
    state = weir.dir / "sessions.state"
    assert (state.stat().st_mode & 0o777) == 0o600
    weir.register(origin, "s")
    good = state.read_bytes()
    version = good[:4] + b"\x63\0\0\0" + good[8:]
    for content, reason in ((b"", "too small"), (os.urandom(100_000), "not a state segment"),
                            (good[:len(good) // 2], "inconsistent"), (version, "layout version 99"),
                            (good[:4096] + bytes(len(good) - 4096), None)):
        kill_everything(weir)
        state.unlink()
        state.write_bytes(content)
        state.chmod(0o600)
        start(weir)
        assert weir.origins() == []
        if reason:
            told = [line for line in weir.log().splitlines() if "are not taken up" in line]
            assert reason in told[-1], told
    kill_everything(weir)
    state.unlink()
    state.write_bytes(good)
    state.chmod(0o640)
    start(weir)
    weir.wait_log("not a private file")
    assert weir.origins() == []


def test_a_reload_and_a_stop_keep_it_too(lab, media):
    origins = [lab.origin(name=f"o{n}") for n in range(2)]
    weir = weir_without_origins(lab, config=CONFIG)
    for n, origin in enumerate(origins):
        weir.register(origin, f"server-{n}")
    for i in range(4):
        lab.publish(media, weir.url(f"live/s{i}"))
    before = poll("all streams", lambda: len(places(weir)) == 4 and places(weir), 20)
    weir.reload()
    weir.stop()
    weir.start()
    assert places(weir) == before
    assert len(weir.origins()) == 2


def fill(path):
    with path.open("wb", buffering=0) as rest, contextlib.suppress(OSError):
        while True:
            rest.write(bytes(4096))


def test_a_full_file_system_is_a_full_table(lab, media):
    """No process dies of it, what is there plays, and new streams come once there is room. What was never
    used takes no room, and a start without any knows what was there."""
    folder = lab.path("small")
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m,mode=700", "tmpfs", folder], check=True)
    try:
        origin = lab.origin()
        weir = weir_without_origins(lab, config={**CONFIG, "session_file": str(folder / "sessions")})
        assert (folder / "sessions.state").exists()
        weir.register(origin, "o")
        lab.publish(media, weir.url("live/before"))
        poll("the stream", lambda: places(weir) == {"live/before": "o"}, 20)
        fill(folder / "rest")
        pids = weir.all_pids()
        for i in range(200):
            client = RtmpClient(port=weir.rtmp_port)
            lab.at_close(client.close)
            client.connect("live")
            client.create_stream()
            client.play(f"n{i}", wait=False)
            if "session_file is full" in weir.log():
                break
        weir.wait_log("file system of session_file is full")
        assert weir.metric("weir_table_refused_total", table="streams") > 0
        lab.rtmpdump(weir.url("live/before"), size=5_000)
        assert weir.all_pids() == pids
        (folder / "rest").unlink()
        lab.publish(media, weir.url("live/after"))
        lab.rtmpdump(weir.url("live/after"), size=5_000)
        fill(folder / "rest")
        kill_everything(weir)
        start(weir)
        assert places(weir)["live/before"] == places(weir)["live/after"] == "o"
        weir.reload()
        assert weir.metrics() and "worker died" not in weir.log()
    finally:
        weir.stop()
        subprocess.run(["umount", folder], check=True)
