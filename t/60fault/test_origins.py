"""Origins that die, hang or refuse, and come back: their load goes elsewhere and returns."""

import time

import pytest
from weirtest import free_port, poll
from weirtest.load import (LoadClients, LoadOrigin, established, play_load, play_once, publish_load,
                           publish_once)

FAST = {"log": {"level": "info"},
        "rtmp": {"dial_timeout": "500ms", "dial_attempts": 3},
        "balance": {"probe_interval": "300ms", "probe_timeout": "300ms", "max_fails": 2,
                    "eject_time": "500ms", "eject_time_max": "1s"},
        "stream_idle_timeout": "1s"}


@pytest.fixture
def pair(lab):
    return [LoadOrigin(lab, name=f"load-origin-{i}") for i in (1, 2)]


def state(weir, origin):
    """State of an origin by /api/v1/origins: up, ejected, dead; None when it is not there."""
    row = find_row(weir, origin)
    return row and row["state"]


def find_row(weir, origin):
    for row in weir.origins():
        if any(str(origin.rtmp_port) in endpoint for endpoint in row["rtmp"]):
            return row
    return None


def where(weir, key):
    """Name of the origin that has the stream."""
    return next((row["origin_name"] for row in weir.streams() if row["key"].endswith("/" + key)),
                None)


def carried(weir, origin):
    """Sessions at the origin, all workers (the kernel's count would have probes in it)."""
    row = find_row(weir, origin)
    return row["publishers"] + row["players"]


def name_of(weir, origin):
    return find_row(weir, origin)["name"]


def publish_many(weir, count, prefix):
    return [publish_once(weir.rtmp_port, f"{prefix}{i}") for i in range(count)]


def close(clients):
    for client in clients:
        client.close()


def spread(weir, pair, prefix, count=8):
    """New streams at each of the two origins."""
    clients = publish_many(weir, count, prefix)
    names = [name_of(weir, origin) for origin in pair]
    poll("streams counted", lambda: sum(
        row["publishers"] for row in weir.streams() if f"/{prefix}" in row["key"]) == count)
    shares = [sum(row["origin_name"] == name and f"/{prefix}" in row["key"]
                  for row in weir.streams()) for name in names]
    close(clients)
    return shares


def break_it(origin, how):
    if how == "stop":
        origin.pause()
    else:
        origin.kill()  # its port refuses from now on


def mend(origin, how):
    if how == "stop":
        origin.resume()
    else:
        origin.start()


def start_without_origins(lab, config):
    weir = lab.weir(origins=[], config=config, start=False)
    weir.start(ready=False)  # not ready before somebody has registered
    weir.process.wait_port(weir.api_port)
    return weir


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_origin_that_dies_or_hangs_and_comes_back(lab, pair, how):
    weir = lab.weir(origins=pair, workers=2, config=FAST)
    assert min(spread(weir, pair, "even")) >= 3
    publishers = publish_many(weir, 8, "live")
    poll("streams counted", lambda: weir.metric("weir_sessions", state="publishing") == 8)
    names = [name_of(weir, origin) for origin in pair]
    homes = {f"live{i}": where(weir, f"live{i}") for i in range(8)}
    bad, good = pair
    published = [key for key, home in homes.items() if home == names[0]]
    stayed = [key for key, home in homes.items() if home == names[1]]
    assert published and stayed
    players = play_load(lab, weir, 40, app="good")  # one stream, wherever it lands
    players.wait_ready()
    carrier = names[0] if where(weir, "good/s0") == names[0] else names[1]

    break_it(bad, how)
    broken = time.monotonic()
    # At once, before any probe has failed: the dial fails or times out, and another origin answers.
    early = publish_many(weir, 4, "early")
    assert time.monotonic() - broken < 4 * 1.5
    poll("ejected", lambda: state(weir, bad) == "ejected", 3)
    assert time.monotonic() - broken < 6
    assert state(weir, good) == "up"
    if how == "stop":
        # Its publishers are connected, so the streams are there and nowhere else.
        with pytest.raises((AssertionError, OSError)):
            play_once(weir.rtmp_port, published[0], timeout=4)
        assert {where(weir, key) for key in published} == {names[0]}
    else:
        # Its publishers' connections have ended; new players find the other one.
        close(publishers[int(key[len("live"):])] for key in published)
        poll("no publishers left there", lambda: not any(
            row["publishers"] and row["origin_name"] == names[0] for row in weir.streams()))
        for key in published[:3]:
            play_once(weir.rtmp_port, key).close()
            assert where(weir, key) == names[1]
    later = publish_many(weir, 4, "later")
    poll("later streams counted", lambda: all(where(weir, f"later{i}") for i in range(4)))
    assert {where(weir, f"later{i}") for i in range(4)} == {names[1]}
    assert {where(weir, key) for key in stayed} == {names[1]}

    mend(bad, how)
    poll("up again", lambda: state(weir, bad) == "up"
         and find_row(weir, bad)["failures_in_row"] == 0, 5)
    if how == "stop":
        play_once(weir.rtmp_port, published[0]).close()
    close(early + later + publishers)
    if carrier == names[1]:
        players.finish()
    else:
        players.process.stop()
    poll("streams are forgotten", lambda: not weir.streams())
    assert min(spread(weir, pair, "again")) >= 3


def test_origin_that_refuses_from_the_start(lab):
    class Absent:
        ip, rtmp_port = "127.0.0.1", free_port()
    good = LoadOrigin(lab)
    weir = lab.weir(origins=[Absent, good], config={**FAST, "balance": {
        **FAST["balance"], "probe_interval": "0", "max_fails": 3}})
    clients = publish_many(weir, 6, "r")
    poll("all at the other one", lambda: carried(weir, good) == 6)
    assert weir.metric("weir_dial_failures_total", reason="refused") >= 3
    # The first client that failed had it probed, though there are no rounds.
    poll("ejected", lambda: state(weir, Absent) == "ejected")
    assert weir.metric("weir_probes_total", result="failed") >= 3
    close(clients)


def test_player_of_a_live_stream_is_not_sent_elsewhere(lab, pair):
    """Its origin takes no connection for a moment: better no answer than an empty origin."""
    weir = lab.weir(origins=pair, config={**FAST, "balance": {
        **FAST["balance"], "probe_interval": "0", "max_fails": 50}})
    publisher = publish_once(weir.rtmp_port, "only")
    poll("counted", lambda: where(weir, "only"))
    home = pair[0] if where(weir, "only") == name_of(weir, pair[0]) else pair[1]
    other = pair[1] if home is pair[0] else pair[0]
    home.pause()
    with pytest.raises((AssertionError, OSError)):
        play_once(weir.rtmp_port, "only", timeout=4)
    assert other.sessions() == 0
    home.resume()
    play_once(weir.rtmp_port, "only").close()
    publisher.close()


def test_drain_and_undrain_under_load(lab, pair):
    weir = lab.weir(origins=pair, workers=2, config=FAST)
    players = play_load(lab, weir, 100, streams=20).wait_ready()
    publishers = publish_load(lab, weir, 20, app="studio").wait_ready()
    poll("all sessions counted", lambda: sum(carried(weir, origin) for origin in pair) == 120)
    before = [carried(weir, origin) for origin in pair]
    row = find_row(weir, pair[0])
    assert weir.post(f"origins/{row['id']}/drain")[0] == 200
    assert find_row(weir, pair[0])["draining"] is True
    assert spread(weir, pair, "drained") == [0, 8]
    # Nobody was moved.
    poll("the load as before", lambda: [carried(weir, origin) for origin in pair] == before)
    some = next(r["stream"] for r in weir.streams() if r["app"] == "studio"
                and r["origin_name"] == row["name"])
    joined = play_once(weir.rtmp_port, some, app="studio")  # players of its streams still come
    poll("joined", lambda: carried(weir, pair[0]) == before[0] + 1)
    joined.close()
    assert weir.post(f"origins/{row['id']}/undrain")[0] == 200
    assert spread(weir, pair, "undrained")[0] >= 3
    players.finish()
    publishers.finish()
    for origin in pair:
        origin.finish()


def test_registered_origin_expires_and_returns(lab, pair):
    config = {**FAST, "balance": {**FAST["balance"], "probe_interval": "0", "origin_ttl": "2s",
                                  "origin_forget": "2s"}}
    weir = start_without_origins(lab, config)
    assert weir.register(pair[0], "vid-1")[0] == 200
    assert weir.register(pair[1], "vid-2")[0] == 200
    assert min(spread(weir, pair, "both")) >= 3
    player = play_once(weir.rtmp_port, "kept")

    def only_second():
        weir.register(pair[1], "vid-2")
        return state(weir, pair[0]) == "dead"
    poll("the silent one is dead", only_second, 5)
    assert state(weir, pair[1]) == "up"
    assert spread(weir, pair, "one") == [0, 8]
    assert weir.register(pair[0], "vid-1")[0] == 200
    assert state(weir, pair[0]) == "up"
    assert spread(weir, pair, "two")[0] >= 3
    player.read_media(3)  # heartbeats are about new sessions only
    player.close()
    poll("forgotten", lambda: not weir.origins(), 8)
    with pytest.raises((AssertionError, OSError)):
        play_once(weir.rtmp_port, "nowhere", timeout=3)


def test_restarted_origin_replaces_its_old_self_at_once(lab, pair):
    weir = start_without_origins(lab, FAST)
    assert weir.register(pair[0], "vid-1", service="s1", pid="10")[0] == 200
    publisher = publish_once(weir.rtmp_port, "first")
    poll("assigned", lambda: where(weir, "first"))
    # The same server comes back as another process on another port.
    assert weir.register(pair[1], "vid-1", service="s2", pid="11")[0] == 200
    rows = weir.origins()
    assert [(row["service"], row["pid"]) for row in rows] == [("s2", "11")]
    again = play_once(weir.rtmp_port, "first")
    poll("the player is at the new one", lambda: carried(weir, pair[1]) == 1)
    again.close()
    publisher.close()


def test_all_origins_down_and_one_returns(lab, pair):
    weir = lab.weir(origins=pair, config=FAST)
    for origin in pair:
        origin.kill()
    poll("both ejected", lambda: [state(weir, o) for o in pair] == ["ejected", "ejected"], 5)
    with pytest.raises((AssertionError, OSError)):
        play_once(weir.rtmp_port, "none", timeout=5)
    poll("its end", lambda: weir.metric("weir_session_ends_total", reason="no_origin") >= 1)
    pair[1].start()

    def plays():
        try:
            play_once(weir.rtmp_port, "some", timeout=3).close()
            return True
        except (AssertionError, OSError):
            return False
    poll("a session at the one that is back", plays, 5)
    assert where(weir, "some") == name_of(weir, pair[1])


def test_hung_origin_under_load_costs_the_others_nothing(lab, pair):
    weir = lab.weir(origins=pair, workers=2, config=FAST)
    publishers = publish_many(weir, 2, "anchor")
    poll("both anchors", lambda: where(weir, "anchor0") and where(weir, "anchor1"))
    names = [name_of(weir, origin) for origin in pair]
    anchors = {where(weir, f"anchor{i}"): f"anchor{i}" for i in range(2)}
    assert set(anchors) == set(names)
    players = play_load(lab, weir, 60, app="good").wait_ready()
    carrier = pair[names.index(where(weir, "good/s0"))]
    hung = pair[1] if carrier is pair[0] else pair[0]
    hung.pause()
    poll("ejected", lambda: state(weir, hung) == "ejected", 5)
    load = LoadClients(lab, "setup", weir, 0, count=200, parallel=4, seconds=60, streams=20,
                       app="fresh")
    assert load.process.wait(60) == 0  # 200 new sessions, none failed
    assert established(carrier.process.pid, carrier.rtmp_port) >= 60
    hung.resume()
    players.finish()
    close(publishers)
