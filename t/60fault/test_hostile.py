"""Hostile clients beside real streams: no origin is ejected, no stream moves, no viewer is lost, and
all that they took comes back. `scripts/soak` runs the same for half an hour, with SRS, too."""

from weirtest import Origin, free_port, poll, sanitized
from weirtest.hostile import HostileCrowd, Targets
from weirtest.viewers import Viewer

STREAMS = 6


def test_hostile_clients_beside_real_streams(lab, media):
    origins = [Origin(lab, name=f"n{i}", hls=True) for i in range(3)]
    ports = {name: free_port(udp=name in ("srt", "rtc")) for name in ("api", "srt", "rtc")}
    weir = lab.weir(origins=origins, workers=2, http=True, config={
        "log": {"level": "info"}, "stream_idle_timeout": "2s",
        "http_api": {"enabled": True, "listen": f"127.0.0.1:{ports['api']}"},
        "rtc": {"enabled": True, "listen": f"127.0.0.1:{ports['rtc']}", "candidate": "127.0.0.1"},
        "srt": {"enabled": True, "listen": f"127.0.0.1:{ports['srt']}"}})
    names = [f"s{i}" for i in range(STREAMS)]
    for name in names:
        lab.publish(media, weir.url(f"live/{name}"))
    for name in names:
        poll(f"publisher of {name}", lambda n=name: any(row["stream"] == n and row["publishers"] for row in weir.streams()))
    viewers = [Viewer(weir.rtmp_port, "live", name) for name in names]
    for viewer in viewers:
        viewer.wait_media()
    homes = {row["key"]: row["origin"] for row in weir.streams()}
    targets = Targets(weir.rtmp_port, weir.http_port, **ports)
    crowd = HostileCrowd(targets, names, seed=8)
    crowd.run(3)  # what processes keep for ever is there afterwards
    poll("hostile clients are gone", lambda: weir.metric("weir_connections") == 2 * STREAMS, 30)
    descriptors, memory = weir.descriptors(), weir.memory()
    crowd.run(15)
    for viewer in viewers:
        viewer.check()
    assert len(crowd.done) == len(crowd.kinds)
    for reached in ("weir_session_ends_total", "weir_http_requests_total", "weir_rtc_signalling_failures_total",
                    "weir_srt_handshakes_total", "weir_stun_requests_total"):
        assert weir.metric(reached) > 0, reached
    rows = {row["key"]: row for row in weir.streams()}
    for key, origin in homes.items():
        assert rows[key]["origin"] == origin and rows[key]["publishers"] == 1, rows[key]
    assert all(row["state"] == "up" for row in weir.origins())
    assert weir.metric("weir_worker_deaths_total") == 0
    assert not [line for line in weir.log().splitlines() if "stream moved" in line or "ejected" in line]
    poll("hostile clients are gone", lambda: weir.metric("weir_connections") == 2 * STREAMS, 30)
    poll("descriptors as before", lambda: weir.descriptors() <= descriptors + 4, 30)
    poll("memory as before", lambda: sanitized() or weir.memory() < memory + (4 << 20), 30)
    for viewer in viewers:
        viewer.stop()
