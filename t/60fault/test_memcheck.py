"""Whole processes under valgrind, which sees what the sanitizers' build does not: decisions on bytes
that nobody wrote, and such bytes on their way to another process. t/conftest.py leaves this file out
of runs with the sanitizers' build, which valgrind can't run."""

from weirtest import Origin, free_port, poll
from weirtest.hostile import HostileCrowd, Targets
from weirtest.viewers import Viewer

VALGRIND = ["valgrind", "--quiet", "--error-limit=no", "--leak-check=no"]
PROCESSES = 6  # the master and one worker a kind


def test_no_process_uses_what_was_never_written(lab, media):
    origin = Origin(lab, name="n", hls=True)
    ports = {name: free_port(udp=name in ("srt", "rtc")) for name in ("api", "srt", "rtc")}
    weir = lab.weir(origins=[origin], http=True, start=False,
                    wrapper=[*VALGRIND, f"--log-file={lab.dir}/memcheck.%p"], config={
                        "log": {"level": "info"},
                        "http_api": {"enabled": True, "listen": f"127.0.0.1:{ports['api']}"},
                        "rtc": {"enabled": True, "listen": f"127.0.0.1:{ports['rtc']}",
                                "candidate": "127.0.0.1"},
                        "srt": {"enabled": True, "listen": f"127.0.0.1:{ports['srt']}"}})
    weir.start(ready=False)
    weir.wait_ready(60)
    lab.publish(media, weir.url("live/cam"))
    poll("the publisher", lambda: any(row["publishers"] for row in weir.streams()), 30)
    viewer = Viewer(weir.rtmp_port, "live", "cam")
    viewer.wait_media(30)
    HostileCrowd(Targets(weir.rtmp_port, weir.http_port, **ports), ["cam"], seed=9).run(10, 30)
    for reached in ("weir_srt_handshakes_total", "weir_stun_requests_total", "weir_http_requests_total"):
        assert weir.metric(reached) > 0, reached
    for path in ("streams", "origins", "workers", "sessions", "summaries"):
        weir.request(f"/api/v1/{path}", timeout=30)
    assert weir.metric("weir_worker_deaths_total") == 0
    viewer.check()
    viewer.stop()
    weir.stop()
    reports = {path.name: path.read_text() for path in lab.dir.glob("memcheck.*")}
    assert len(reports) >= PROCESSES, reports.keys()
    assert not "".join(reports.values()), "\n".join(reports.values())
