"""A thousand players and two hundred publishers at once; afterwards everything is as it was."""

import signal

from weirtest import poll, sanitized
from weirtest.load import LoadOrigin, established, play_load, publish_load, works

PLAYERS, PUBLISHERS = 1000, 200


def table(weir):
    """What of the shared tables is in use."""
    return {"streams": weir.metric("weir_streams"), "sessions": weir.metric("weir_sessions"),
            "connections": weir.metric("weir_connections"), "rows": len(weir.streams()),
            "dump": header(weir)}


def header(weir):
    summary = weir.api("summaries")
    data = summary.get("data", summary)
    return {key: data[key] for key in ("streams", "sessions") if key in data}


def test_a_thousand_players_and_two_hundred_publishers(lab):
    origin = LoadOrigin(lab)
    weir = lab.weir(origins=[origin], workers=2, config={
        "stream_idle_timeout": "1s", "log": {"level": "warn"}, "rtmp": {"idle_timeout": "60s"}})
    workers = weir.pids("rtmp")

    # Once in small: what processes keep for ever (libraries' tables, pools) is there afterwards.
    first = play_load(lab, weir, 60, streams=4).wait_ready()
    first.finish(all_frames=False)
    poll("streams are forgotten", lambda: not weir.streams())
    poll("first sessions are gone", lambda: weir.metric("weir_connections") == 0)
    tables, memory = table(weir), weir.memory()
    descriptors = weir.descriptors()

    players = play_load(lab, weir, PLAYERS)
    publishers = publish_load(lab, weir, PUBLISHERS, app="studio")
    players.wait_ready()
    publishers.wait_ready()

    def shares_of_workers():
        found = [established(pid, weir.rtmp_port) for pid in workers]
        return found if sum(found) == PLAYERS + PUBLISHERS else None
    shares = poll("all sessions in the workers", shares_of_workers)
    assert min(shares) > (PLAYERS + PUBLISHERS) / 4, shares  # both carry a fair part
    weir.wait_metric(PLAYERS, "weir_sessions", state="playing")
    weir.wait_metric(PUBLISHERS, "weir_sessions", state="publishing")
    rows = {row["key"]: row for row in weir.streams()}
    assert len(rows) == PUBLISHERS + 1
    assert rows["__defaultVhost__/live/s0"]["players"] == PLAYERS
    assert all(rows[f"__defaultVhost__/studio/s{i}"]["publishers"] == 1 for i in range(PUBLISHERS))
    sent = weir.metric("weir_bytes_total", direction="to_client")
    poll("media for some seconds", lambda: weir.metric("weir_bytes_total", direction="to_client")
         > sent + PLAYERS * 20 * 1000, 30)
    grown = weir.memory() - memory
    assert sanitized() or grown < (PLAYERS + PUBLISHERS) * 8192, f"{grown} bytes for the sessions"

    players.finish()
    publishers.finish()
    poll("all sessions are gone", lambda: weir.metric("weir_connections") == 0)
    poll("tables as before", lambda: table(weir) == tables)
    poll("descriptors as before", lambda: weir.descriptors() <= descriptors)
    poll("memory as before", lambda: sanitized() or weir.memory() - memory < 3 << 20)
    assert works(weir.rtmp_port)
    origin.finish()
    assert weir.pids("rtmp") == workers
    weir.signal(signal.SIGTERM)
    assert weir.process.wait(5) == 0
