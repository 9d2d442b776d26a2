"""The harness of these tests itself: a root that boots, and of which nothing is left (weirtest.root)."""

import os
import pathlib
import signal
import subprocess
import sys
import urllib.request

import pytest
from weirtest import poll
from weirtest.root import HOST, Root, namespaces, processes_in

SUPPORT = pathlib.Path(__file__).resolve().parents[1] / "support"
# A test that boots a root, says who keeps it, and then hangs.
HANGS = """
import sys, time
sys.path.insert(0, sys.argv[1])
from weirtest import Lab
from weirtest.root import Root
lab = Lab()
root = Root(lab).boot()
print(lab.dir, root.keeper.pid, root.init, flush=True)
time.sleep(600)
"""


def test_root_of_its_own(lab):
    root = Root(lab)
    root.put("/etc/kept", "before\n")
    root.boot()
    first = root.init
    assert root.run("systemctl", "is-system-running").stdout == "running\n"
    assert root.run("cat", "/etc/kept", "/proc/sys/kernel/hostname").stdout == f"before\n{HOST}\n"
    assert root.run("sh", "-c", "ls /proc | grep -c '^[0-9]'; exit 3", check=False).returncode == 3
    assert not namespaces(first) & namespaces("self"), "something is shared with the machine"
    assert root.run("sysctl", "kernel.panic=7", check=False).returncode != 0  # it is the machine's
    root.run("sh", "-c", "echo after >/etc/kept; echo gone >/run/gone")
    with root.inside():
        server = lab.start([sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "80"], "server")
        server.wait_port(80)
        with urllib.request.urlopen("http://127.0.0.1/", timeout=5) as page:
            assert page.status == 200
    root.reboot()
    assert root.init != first and not os.path.exists(f"/proc/{first}")
    assert root.read("/etc/kept") == "after\n" and not root.path("/run/gone").exists()
    with root.inside():
        assert server.alive  # the network is as it was
        server.wait_port(80)
    root.poweroff()
    assert root.init is None and root.read("/etc/kept") == "after\n"
    assert processes_in(root.spaces()) == [root.keeper.pid, server.pid]
    server.kill()  # close() finds nobody else


@pytest.mark.parametrize("victim", ["test", "keeper"])
def test_nothing_is_left_of_a_run_that_was_killed(lab, victim):
    run = subprocess.Popen([sys.executable, "-c", HANGS, SUPPORT], stdout=subprocess.PIPE, text=True)
    lab.at_close(run.kill)
    folder, keeper, init = run.stdout.readline().split()
    spaces = (namespaces(keeper) | namespaces(init)) - namespaces("self")
    assert len(processes_in(spaces)) > 3
    if victim == "keeper":
        os.kill(int(keeper), signal.SIGKILL)
        poll("the kernel has ended its root", lambda: not processes_in(spaces))
    run.kill()
    run.wait(10)
    poll("all of it has ended", lambda: not processes_in(spaces))
    assert folder not in pathlib.Path("/proc/self/mountinfo").read_text(encoding="utf-8")
    root = Root(lab)
    cgroups = pathlib.Path(f"/proc/{root.keeper.pid}/root{root.stage}/cgroups")
    assert not list(cgroups.glob(f"weir-root-{keeper}")), "a group of processes was left"
    subprocess.run(["rm", "-rf", "--one-file-system", folder], check=True, timeout=20)
