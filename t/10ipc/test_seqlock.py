"""The shared state under readers and writers that are killed at any instruction."""
import os
import pathlib
import subprocess

BUILD = pathlib.Path(os.environ.get("WEIR_BUILD", "build"))


def torture(*arguments):
    return subprocess.run(
        [BUILD / "t/support/ipc_torture", *arguments], capture_output=True, text=True, timeout=120
    )


def test_killed_readers_disturb_nobody():
    done = torture("readers", "3000")
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout.split()[0]) > 100_000


def test_killed_writers_leave_whole_records():
    done = torture("writer", "200")
    assert done.returncode == 0, done.stdout + done.stderr
