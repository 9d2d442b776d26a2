"""Weir's unit under systemd: start, stop, death."""

import signal

from weirtest import assert_same_media, poll
from weirtest.service import Service




def test_life_of_the_service(lab, media, root):
    """Installed by `make install`, enabled as an operator does it; serves, dies, comes again, stops, boots."""
    origin = lab.origin()
    service = Service(root, [origin])
    service.systemctl("enable", "--now")
    service.wait_ready()
    status = service.systemctl("status").stdout
    assert "Active: active (running)" in status and "Status:" in status, status
    publisher = lab.publish(media, service.url("live/a"))
    origin.wait_stream("a")
    assert_same_media(media, lab.play(service.url("live/a"), seconds=2))
    publisher.stop()

    master = service.main_pid
    service.kill(master, signal.SIGKILL)
    poll("a new master", lambda: service.main_pid not in (0, master))
    service.wait_state("active")
    service.wait_ready()
    assert service.show("NRestarts") == "1"

    service.systemctl("stop")
    assert service.show("ActiveState", "Result") == {"ActiveState": "inactive", "Result": "success"}
    assert service.processes() == {}
    root.reboot()
    service.wait_state("active")
    service.wait_ready()
