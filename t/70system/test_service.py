"""Weir's unit under systemd: start, reload, upgrade, stop, and the death of masters."""

import signal
import socket
import threading

from weirtest import assert_same_media, poll
from weirtest.load import play_once
from weirtest.service import Service

DROP_IN = "/etc/systemd/system/weir.service.d/test.conf"


class Door:
    """A client that connects every 10 ms, and says how often it was refused."""

    def __init__(self, port):
        self.port = port
        self.taken, self.refused = 0, []
        self.closed = threading.Event()
        self.thread = threading.Thread(target=self._knock)

    def _knock(self):
        while not self.closed.wait(0.01):
            try:
                socket.create_connection(("127.0.0.1", self.port), 5).close()
                self.taken += 1
            except OSError as error:
                self.refused.append(repr(error))

    def __enter__(self):
        self.thread.start()
        poll("a client was let in", lambda: self.taken)
        return self

    def __exit__(self, *_):
        before = self.taken
        try:
            poll("clients are let in at the end", lambda: self.taken > before + 20)
        finally:
            self.closed.set()
            self.thread.join()


def serves(service, stream):
    """Whether a new player has media."""
    try:
        play_once(service.rtmp_port, stream, timeout=2.0).close()
        return True
    except Exception:  # pylint: disable=broad-except
        return False


def wait_serves(service, stream="a"):
    poll(f"a new player of {stream} has media", lambda: serves(service, stream), 20)


def live(lab, media, service, origin, stream):
    """A publisher whose stream is at the origin."""
    publisher = lab.publish(media, service.url(f"live/{stream}"), name=f"publish-{stream}")
    origin.wait_stream(stream)
    return publisher


def goes_on(publisher, origin, stream):
    """Asserts that it publishes still: ffmpeg does not connect again by itself."""
    assert publisher.alive, publisher.log()
    assert stream in origin.streams()


def next_master(service, before):
    """The unit's new main process, once it is up."""
    new = poll("a new master", lambda: (pid := service.main_pid) not in (0, before) and pid, 20)
    service.wait_state("active")
    service.wait_ready()
    return new


def test_life_of_the_service(lab, media, root):
    """Installed by `make install`, enabled as an operator does it; serves, dies, comes again, stops, boots."""
    origin = lab.origin()
    service = Service(root, [origin])
    service.systemctl("enable", "--now")
    service.wait_ready()
    status = service.systemctl("status").stdout
    assert "Active: active (running)" in status and "Status:" in status, status
    publisher = live(lab, media, service, origin, "a")
    assert_same_media(media, lab.play(service.url("live/a"), seconds=2))
    publisher.stop()

    master = service.main_pid
    service.kill(master, signal.SIGKILL)
    next_master(service, master)
    assert service.show("NRestarts") == "1"

    service.systemctl("stop")
    assert service.show("ActiveState", "Result") == {"ActiveState": "inactive", "Result": "success"}
    assert service.processes() == {}
    root.reboot()
    service.wait_state("active")
    service.wait_ready()


def upgrade(service, by_signal):
    """The new master, which is systemd's own child."""
    before = service.main_pid
    if by_signal:
        service.systemctl("kill", "-s", "USR2", "--kill-who=main")
    else:
        service.root.run("weirctl", "upgrade", "--wait", "30")
        assert service.main_pid != before, "weirctl came back before the new one was there"
    new = next_master(service, before)
    assert service.parent(new) == 1
    return new


def test_upgrade(lab, media, root):
    origin = lab.origin()
    service = Service(root, [origin], {"grace_quit_timeout": "120s", "force_quit_timeout": "130s"})
    root.put(DROP_IN, "[Service]\nWatchdogSec=4\n")
    root.run("systemctl", "daemon-reload")
    service.start()
    publisher = live(lab, media, service, origin, "a")
    first = service.main_pid
    second = upgrade(service, by_signal=True)
    assert f"Main PID: {second}" in service.systemctl("status").stdout
    assert [row["stream"] for row in service.streams()] == ["a"]  # which the first one carries
    third = upgrade(service, by_signal=False)
    goes_on(publisher, origin, "a")
    wait_serves(service)

    service.kill(third, signal.SIGKILL)  # systemd sees it, although the first one lives
    fourth = next_master(service, third)
    wait_serves(service)
    service.kill(first, signal.SIGKILL)  # nothing to the service, nor to the publisher
    goes_on(publisher, origin, "a")
    assert service.main_pid == fourth and service.show("ActiveState") == "active"

    fifth = upgrade(service, by_signal=False)
    assert service.show("NRestarts") == "1"
    service.kill(fifth, signal.SIGSTOP)  # and nobody else speaks to the watchdog for it
    sixth = next_master(service, fifth)
    assert "watchdog" in service.log().lower()
    goes_on(publisher, origin, "a")

    seventh = upgrade(service, by_signal=True)
    other = live(lab, media, service, origin, "b")
    assert service.main_pid == seventh != sixth
    service.systemctl("stop", "--no-block")  # drains, after all that
    poll("it stops", lambda: service.show("ActiveState") == "deactivating")
    poll("the port is closed", lambda: not serves(service, "b"))
    goes_on(other, origin, "b")
    other.stop()
    publisher.stop()
    service.wait_state("inactive")
    assert service.show("Result") == "success"
    assert service.processes() == {}


def test_upgrade_that_fails(lab, media, root):
    """A faulty configuration, and a program that does not start: the old one goes on, and says so."""
    origin = lab.origin()
    service = Service(root, [origin]).start()
    publisher = live(lab, media, service, origin, "a")
    master = service.main_pid
    program = root.path("/usr/sbin/weir").read_bytes()
    for content, word in ((None, "weir.conf"), ("#!/bin/sh\nexit 3\n", "")):
        if content is None:
            service.rewrite(text="rtmp { listen nowhere; }\n")
        else:
            service.rewrite()
            root.put("/usr/sbin/weir", content, 0o755)
        link = root.path("/usr/bin/weirctl")
        link.unlink()
        root.put("/usr/bin/weirctl", program, 0o755)  # the tool of the package before
        done = root.run("weirctl", "upgrade", "--wait", "30", check=False)
        assert done.returncode == 1 and word in done.stderr + done.stdout, done
        assert service.main_pid == master and service.show("ActiveState") == "active"
        assert service.request("/readyz")[0] == 200
        goes_on(publisher, origin, "a")
    root.put("/usr/sbin/weir", program, 0o755)
    upgrade(service, by_signal=True)
    goes_on(publisher, origin, "a")


def test_death_during_an_upgrade(lab, media, root):
    """Whoever is killed, and when: one master is left in the end, and it is the service's."""
    origin = lab.origin()
    service = Service(root, [origin]).start()
    publishers = {}
    for pause in (0, 0.02, 0.05, 0.2):
        before, stream = service.main_pid, f"after{pause}"
        publishers[stream] = live(lab, media, service, origin, stream)
        root.run("sh", "-c", f"kill -USR2 {before}; sleep {pause}; kill -KILL {before}")
        next_master(service, before)
        poll("it is the only one", lambda: service.masters() == [service.main_pid], 20)
        assert service.parent(service.main_pid) == 1
        root.run("weirctl", "ready")
        for name, publisher in publishers.items():
            goes_on(publisher, origin, name)


def test_reload(lab, root):
    """`systemctl reload` returns when it is done, and fails when it is refused."""
    service = Service(root, [lab.origin()]).start()
    generation = service.generation()
    service.systemctl("reload")
    assert service.generation() == generation + 1
    service.rewrite(text="rtmp {\n  listen 1935;\n  colour blue;\n}\n")
    assert service.systemctl("reload", check=False).returncode != 0
    assert "weir.conf:3:3" in service.systemctl("status").stdout and service.show("ActiveState") == "active"
    assert service.generation() == generation + 1
    service.rewrite()
    service.systemctl("reload")
    assert service.generation() == generation + 2
    exposure = root.run("systemd-analyze", "security", "--no-pager", "weir").stdout.splitlines()[-1]
    assert float(exposure.split(":")[1].split()[0]) <= 2.9, exposure


def test_stop_with_sessions(lab, media, root):
    """What an operator sees while it stops; then what a master's death leaves, and who ends that."""
    origin = lab.origin()
    service = Service(root, [origin], {"grace_quit_timeout": "120s", "force_quit_timeout": "130s"}).start()
    publisher = live(lab, media, service, origin, "a")
    service.systemctl("stop", "--no-block")
    poll("/readyz says that it stops", lambda: service.request("/readyz")[0] == 503)
    assert "stopping" in service.request("/readyz")[1]
    assert service.request("/healthz")[0] == 200
    assert service.metric("weir_sessions", protocol="rtmp", state="publishing") == 1
    poll("STATUS says what is left", lambda: "1 session" in service.show("StatusText"))
    goes_on(publisher, origin, "a")
    publisher.stop()
    service.wait_state("inactive")
    assert service.show("Result") == "success"

    service.start()
    publisher = live(lab, media, service, origin, "a")
    master = service.main_pid
    service.kill(master, signal.SIGKILL)
    next_master(service, master)
    wait_serves(service)
    goes_on(publisher, origin, "a")
    service.systemctl("stop")  # the workers of the dead master, too
    assert service.processes() == {}
    assert publisher.wait(10) != 0
    assert service.show("ActiveState", "Result") == {"ActiveState": "inactive", "Result": "success"}


def test_nobody_is_refused(lab, media, root):
    """systemd keeps the listen sockets while no master lives."""
    origin = lab.origin()
    service = Service(root, [origin]).start()
    with Door(service.rtmp_port) as door:
        service.systemctl("restart")
        service.wait_ready()
        for _ in range(2):
            master = service.main_pid
            service.kill(master, signal.SIGKILL)
            next_master(service, master)
        upgrade(service, by_signal=True)
    assert door.refused == [] and door.taken > 50
    publisher = live(lab, media, service, origin, "a")
    wait_serves(service)
    publisher.stop()
