"""weirctl and the control socket: what each command says and does, also when the configuration is
broken; what is asked of the whole instance; upgrades that fail, in the new program's own words."""

import json
import os
import signal
import socket
import stat
import subprocess

import pytest

from weirtest import build_dir, poll
from weirtest.load import LoadOrigin


@pytest.fixture
def origin(lab):
    return LoadOrigin(lab)


@pytest.fixture
def weirctl(lab):
    """weirctl(weir, word…) -> CompletedProcess: the binary under test by its other name."""
    tool = lab.path("weirctl")
    tool.symlink_to(build_dir() / "weir")

    def run(weir, *words, stdin="", **environment):
        return subprocess.run([tool, "-S", weir.control_socket, *words], input=stdin, text=True,
                              capture_output=True, timeout=60, check=False, env={**os.environ, **environment})
    return run


def says(done, code=0):
    assert done.returncode == code, done
    return done.stdout + done.stderr


def test_commands(lab, weirctl, media):
    one, two = lab.origin(name="one"), lab.origin(name="two")
    weir = lab.weir(origins=[one, two], config={"control": {"token": "unguessable"}})
    assert stat.S_IMODE(os.stat(weir.control_socket).st_mode) in (0o600, 0o660)
    assert "ready, 2 origins up" in says(weirctl(weir, "ready"))
    status = says(weirctl(weir, "status"))
    assert f"pid {weir.pid}" in status and "origins   2 of 2 up" in status
    assert json.loads(says(weirctl(weir, "-j", "status")))["code"] == 0
    lab.publish(media, weir.url("live/first"))
    poll("the stream", lambda: "live/first" in says(weirctl(weir, "streams")))
    rows = json.loads(says(weirctl(weir, "-j", "streams")))["streams"]
    assert [row["key"] for row in rows] == ["__defaultVhost__/live/first"]
    # Origins by name or id.
    assert "origin o1 drains" in says(weirctl(weir, "drain", "o1"))
    table = says(weirctl(weir, "origins"))
    assert [line.split()[1:4] for line in table.splitlines()[1:]] == [["o1", "up,", "draining"], ["o2", "up", "127.0.0.1"]]
    ids = {row["name"]: row["id"] for row in json.loads(says(weirctl(weir, "-j", "origins")))["origins"]}
    says(weirctl(weir, "undrain", ids["o1"]))
    assert "draining" not in says(weirctl(weir, "origins"))
    assert "there is no origin o9" in says(weirctl(weir, "drain", "o9"), 1)
    # The whole instance, for a balancer in front; clients are served as before.
    says(weirctl(weir, "drain"))
    assert "drained" in says(weirctl(weir, "ready"), 1)
    assert weir.request("/readyz")[0] == 503
    lab.publish(media, weir.url("live/second"))
    poll("another stream", lambda: "live/second" in says(weirctl(weir, "streams")))
    says(weirctl(weir, "reload"))
    assert weir.request("/readyz")[0] == 503
    says(weirctl(weir, "undrain"))
    assert weir.request("/readyz")[0] == 200
    # The configuration in effect, without its secrets.
    config = says(weirctl(weir, "config"))
    assert str(weir.rtmp_port) in config and "unguessable" not in config
    assert "no such session" in says(weirctl(weir, "kick", "7-7"), 1)
    assert "no session cafe" in says(weirctl(weir, "kick", "cafe"), 1)
    line = says(weirctl(weir, "passwd", "joe", "viewer", stdin="a secret\n"))
    assert line.startswith('user joe "$y$') and line.endswith('" viewer;\n')
    assert "role" in says(weirctl(weir, "passwd", "joe", "king", stdin="a secret\n"), 2)
    assert "empty" in says(weirctl(weir, "passwd", "joe", "admin", stdin="\n"), 1)
    for words in ([], ["nonsense"], ["kick"], ["--wait", "0", "reload"], ["-x"], ["status", "now"]):
        says(weirctl(weir, *words), 2)


def test_reload_and_stop(lab, weirctl, origin):
    weir = lab.weir(origins=[origin])
    good = weir.conf.read_text()
    assert "generation 2" in says(weirctl(weir, "reload"))
    weir.conf.write_text(good + "bogus 1;\nrtmp { listen nowhere; }\n")
    said = says(weirctl(weir, "reload"), 1)
    assert "bogus" in said and "rtmp.listen" in said and f"{weir.conf}:" in said
    # A broken file stops neither of them, nor the old way of giving orders.
    says(weirctl(weir, "status"))
    for word in ("reopen", "dump"):
        says(subprocess.run([build_dir() / "weir", "-c", weir.conf, "-s", word], text=True, timeout=60,
                            capture_output=True, check=False, env={**os.environ, **weir.env}))
    says(weirctl(weir, "quit", "--wait", "20"))
    assert weir.process.wait(5) == 0
    assert not weir.control_socket.exists()
    assert "no Weir answers" in says(weirctl(weir, "status"), 3)


def test_who_may_use_the_socket(lab, weirctl, origin):
    """The workers' group, but not the workers' own user: one that was broken into orders nothing."""
    weir = lab.weir(origins=[origin], config={"user": "nobody", "group": "nogroup"})
    info = os.stat(weir.control_socket)
    assert (stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid) == (0o660, 0, 65534)
    os.chmod(lab.path(""), 0o755)

    def as_user(uid, gid):
        return subprocess.run(["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", lab.path("weirctl"), "-S",
                               weir.control_socket, "reload"], capture_output=True, text=True, timeout=30, check=False)
    assert "may not use" in says(as_user(65534, 65534), 1)
    assert "Permission denied" in says(as_user(1, 1), 1)
    assert weir.generation() == 1
    assert "generation 2" in says(as_user(1, 65534))
    weir.wait_log("order=reload uid=1")


def test_orders_need_the_socket(lab, origin):
    weir = lab.weir(origins=[origin])
    for word in ("reload", "upgrade", "reopen", "quit", "stop", "drain", "undrain"):
        assert weir.post(word)[0] == 403
    assert weir.request("/api/v1/config")[0] == 403
    assert weir.generation() == 1


def test_a_socket_that_was_left_or_is_taken(lab, origin, weirctl):
    left = lab.path("left.sock")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(left))
    first = lab.weir(origins=[origin], name="first", env={"WEIR_CTL_SOCKET": str(left)})
    first.control_socket = left
    says(weirctl(first, "status"))
    second = lab.weir(origins=[origin], name="second", env={"WEIR_CTL_SOCKET": str(left)})
    second.wait_log("another Weir answers")
    assert f"pid {first.pid}" in says(weirctl(first, "status"))
    file = lab.path("file")
    file.write_text("precious")
    third = lab.weir(origins=[origin], name="third", env={"WEIR_CTL_SOCKET": str(file)})
    third.wait_log("is no socket")
    assert file.read_text() == "precious"


def published(weir):
    return [row["publishers"] for row in weir.streams()] == [1]


def parent_of(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
        return int(file.read().rpartition(")")[2].split()[1])


def test_upgrade(lab, weirctl, media):
    origin = lab.origin()
    pid_file = lab.path("weir.pid")
    weir = lab.weir(origins=[origin], config={"pid_file": str(pid_file)})
    good = weir.conf.read_text()
    says(weirctl(weir, "drain"))
    # A faulty configuration: the running program goes on, and says which fault.
    weir.conf.write_text(good + "bogus 1;\n")
    assert "bogus" in says(weirctl(weir, "upgrade"), 1)
    assert int(pid_file.read_text()) == weir.pid
    weir.conf.write_text(good)
    publisher = lab.publish(media, weir.url("live/held"))
    poll("the publisher", lambda: published(weir))
    says(weirctl(weir, "upgrade", "--wait", "30"))
    new = int(pid_file.read_text())
    lab.at_close(lambda: os.path.exists(f"/proc/{new}") and os.kill(new, signal.SIGKILL))
    # Nobody's child here: whoever adopts orphans sees its end.
    assert new != weir.pid and parent_of(new) != weir.pid
    assert "drained" in says(weirctl(weir, "ready"), 1)  # by order of before
    says(weirctl(weir, "undrain"))
    assert f"pid {new}" in says(weirctl(weir, "status"))
    # What the old program still carries is seen here.
    poll("the stream", lambda: published(weir))
    assert publisher.alive
    # The end of the new one is the end of the old one's sessions, after their grace.
    says(weirctl(weir, "stop"))
    poll("the end of both", lambda: weir.process.wait(20) is not None)
