"""`weir -t` tries what only fails at start, and disturbs nothing."""

import os
import socket
import subprocess

import pytest

from weirtest import build_dir
from weirtest.load import LoadOrigin, works


@pytest.fixture
def check(lab):
    """check(weir, **config) -> (status, stderr) of `weir -t` with its configuration and that over it."""
    def run(weir, argv=(), **config):
        weir.rewrite(config)
        done = subprocess.run([*argv, build_dir() / "weir", "-c", weir.conf, "-t"], capture_output=True,
                              text=True, timeout=30, check=False, env={**os.environ, **weir.env})
        return done.returncode, done.stderr
    return run


def test_what_a_start_needs(lab, check):
    weir = lab.weir(origins=[LoadOrigin(lab)], start=False)
    assert check(weir)[0] == 0
    nowhere = str(lab.path("nowhere") / "deeper" / "file")
    folder = str(lab.path(""))
    for config, words in (
            ({"user": "nobody-of-that-name"}, "user nobody-of-that-name does not exist"),
            ({"group": "no-such-group"}, "group no-such-group does not exist"),
            ({"log": {"target": "file", "file": nowhere}}, "log.file: cannot make"),
            ({"access_log": {"target": "file", "file": folder}}, "access_log.file:"),
            ({"pid_file": nowhere}, "pid_file: cannot make"),
            ({"rtmp": {"listen": "192.0.2.7:1935"}}, "192.0.2.7:1935")):
        status, said = check(weir, **config)
        assert status == 1 and "a start would fail" in said and words in said, (config, said)
    status, said = check(weir, session_file=nowhere)
    assert status == 0 and "warning: session_file" in said and not os.path.exists(nowhere)
    # Faults of the configuration itself come first, and are another status.
    assert check(weir, user="nobody-of-that-name", nonsense="on")[0] == 2


def test_addresses(lab, check):
    origin = LoadOrigin(lab)
    weir = lab.weir(origins=[origin], workers=2, config={"pid_file": str(lab.path("weir.pid")), "srt": {
        "enabled": True, "listen": "127.0.0.1:0"}}, start=False)
    with socket.socket() as other, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        other.bind(("127.0.0.1", 0))
        other.listen()
        datagrams.bind(("127.0.0.1", 0))
        taken, media = other.getsockname()[1], datagrams.getsockname()[1]
        status, said = check(weir, rtmp={"listen": f"127.0.0.1:{taken}"},
                             srt={"enabled": True, "listen": f"127.0.0.1:{media}"})
        assert status == 1 and f"rtmp: cannot listen on 127.0.0.1:{taken}" in said
        assert f"srt: cannot listen on 127.0.0.1:{media} (udp)" in said
        # That a running Weir has its own addresses is as it should be; somebody else's is not.
        # It is found by its pid file or its control socket.
        running = {"pid_file": "", "srt": {"enabled": False}}
        weir.rewrite(running)
        weir.start()
        assert check(weir, **running)[0] == 0
        assert works(weir.rtmp_port)
        status, said = check(weir, **running, rtc={"enabled": True, "listen": f"127.0.0.1:{media}"})
        assert status == 1 and f"rtc: cannot listen on 127.0.0.1:{media}" in said
    assert works(weir.rtmp_port)


def test_as_another_user(lab, check):
    """Who is not root is told of what root may do, but it is no fault of the configuration."""
    weir = lab.weir(origins=[LoadOrigin(lab)], start=False)
    os.chmod(lab.path(""), 0o755)
    status, said = check(weir, argv=["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"],
                         rtmp={"listen": "127.0.0.1:1"})
    assert status in (0, 1)  # the folder of the test may not be his
    assert "cannot listen on 127.0.0.1:1: Permission denied" in said and "warning: rtmp" in said
