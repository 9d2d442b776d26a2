"""scripts/demo: comes up, shows three streams on two origins, leaves nothing behind."""

import os
import pathlib
import re
import signal

from weirtest import build_dir, poll, repo_dir


def demo(lab, *options):
    (lab.dir / "tmp").mkdir(exist_ok=True)
    # A test run that was started in the background ignores SIGINT, and so would the demo.
    return lab.start(["env", "--default-signal=INT", repo_dir() / "scripts/demo", *options], "demo",
                     env={"TMPDIR": str(lab.dir / "tmp"),
                          "WEIR_BUILD": os.path.relpath(build_dir(), repo_dir())})


def users_of(directory):
    """Pids of processes whose command line names the directory."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if str(directory).encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def test_demo_shows_routing_and_ends(lab):
    process = demo(lab, "--seconds", "1")
    assert process.wait(180) == 0, process.log()
    text = process.log()
    placed = re.findall(r"__defaultVhost__/live/(\w+) +-> (\w+) +publishers 1", text)
    assert {stream for stream, _ in placed} == {"one", "two", "three"}
    assert {origin for _, origin in placed} == {"origin1", "origin2"}
    assert len(re.findall(r"ffplay rtmp://127\.0\.0\.1:\d+/live/", text)) == 3
    assert users_of(lab.dir / "tmp") == []


def test_interrupted_demo_leaves_nothing(lab):
    process = demo(lab)
    process.wait_log("3 streams", 180)
    assert users_of(lab.dir / "tmp")
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(30) == 130
    poll("no process of the demo", lambda: not users_of(lab.dir / "tmp"), 10)
    assert list((lab.dir / "tmp").iterdir()) == []
