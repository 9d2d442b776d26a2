"""The session table: under readers that are killed, and over the life of the service."""
import json
import os
import pathlib
import signal
import subprocess

from weirtest import Weir

BUILD = pathlib.Path(os.environ.get("WEIR_BUILD", "build"))


def test_killed_readers_disturb_nobody():
    done = subprocess.run([BUILD / "t/support/flow_torture", "3000"], capture_output=True, text=True,
                          timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout.split()[0]) > 10_000


def test_the_table_is_a_private_file_that_stays(lab):
    weir = Weir(lab, config={"pid_file": str(lab.path("weir.pid")),
                             "default_backend": {"enabled": True}})
    table = weir.dir / "sessions"
    assert table.stat().st_mode & 0o777 == 0o600
    status, body = weir.request("/api/v1/sessions")
    assert status == 200 and json.loads(body) == {"code": 0, "total": 0, "start": 0, "sessions": []}
    assert "weir_udp_session_slots 16384" in weir.request("/metrics")[1]
    assert weir.request("/api/v1/sessions/0-1")[0] == 404
    dumped = subprocess.run([weir.binary, "-c", weir.conf, "-s", "dump"], capture_output=True,
                            text=True, timeout=30, check=True).stdout
    assert "sessions of webrtc and srt" in dumped
    before = table.stat().st_ino
    weir.signal(signal.SIGKILL)
    weir.process.wait(10)
    weir.start()
    assert table.stat().st_ino != before
    assert "not taken up" not in weir.log()


def test_a_file_of_anything_is_no_reason_not_to_start(lab):
    weir = Weir(lab, config={"default_backend": {"enabled": True}}, start=False)
    table = weir.dir / "sessions"
    table.write_bytes(os.urandom(100_000))
    table.chmod(0o600)
    weir.start()
    weir.wait_log("not taken up")


def test_two_masters_do_not_share_a_file(lab):
    first = Weir(lab, config={"default_backend": {"enabled": True}})
    second = Weir(lab, name="second", config={"default_backend": {"enabled": True},
                                              "session_file": str(first.dir / "sessions")})
    second.wait_log("another master uses")
    # Nor the state beside it: what the second one knows is its own.
    state = first.dir / "sessions.state"
    before = (state.stat().st_ino, state.stat().st_mtime_ns)
    second.stop()
    assert not (first.dir / "sessions.state.new").exists()
    assert state.stat().st_ino == before[0]
