"""The image's root: what lies in it, and that Weir runs there without rights. No container engine takes part: the
process gets the root and the rights that an engine would give it (docs/KUBERNETES.md has the run by podman)."""

import ctypes
import os
import pathlib
import signal
import stat
import subprocess
import tarfile

import pytest

from weirtest import Lab
from weirtest.process import build_dir, free_port, poll, repo_dir

ACCOUNT = 65532
NO_NEW_PRIVS = 38


def lay_out(directory):
    subprocess.run([repo_dir() / "packaging/container/image-root", build_dir() / "weir", directory], check=True,
                   env={**os.environ, "SOURCE_DATE_EPOCH": "1000000000"}, timeout=60)
    return directory


@pytest.fixture(scope="module")
def root():
    with Lab() as lab:
        made = lay_out(lab.path("root"))
        subprocess.run(["mount", "-t", "proc", "proc", made / "proc"], check=True, timeout=10)
        lab.at_close(lambda: subprocess.run(["umount", "-l", made / "proc"], check=True, timeout=10))
        yield made


def files(root):
    found = []
    for folder, folders, names in os.walk(root):
        if pathlib.Path(folder) == root:
            folders.remove("proc")
        found += [pathlib.Path(folder) / name for name in folders + names]
    return found


def needed(path):
    out = subprocess.run(["readelf", "-d", path], capture_output=True, text=True, check=True).stdout
    return {line.split("[")[1].rstrip("]\n") for line in out.splitlines() if "(NEEDED)" in line}


def test_layout(root):
    """Every library and nothing to run but Weir; nobody but root owns a file; only /run/weir can be written."""
    libraries = {p.name: p for p in (root / "usr/lib").iterdir() if ".so" in p.name}
    for path in [root / "usr/sbin/weir", *libraries.values()]:
        assert needed(path) <= set(libraries), path
    assert (root / "usr/sbin/weir").stat().st_size < 8 << 20, "stripped"
    assert os.readlink(root / "usr/bin/weirctl") == "../sbin/weir"
    assert (root / "usr/lib/ssl/cert.pem").is_symlink() and (root / "etc/ssl/certs/ca-certificates.crt").stat().st_size > 1e5
    programs = [p for p in files(root) if p.is_file() and not p.is_symlink() and os.access(p, os.X_OK) and ".so" not in p.name]
    assert programs == [root / "usr/sbin/weir"]
    for path in files(root):
        made = path.lstat()
        assert int(made.st_mtime) == 1000000000, path
        assert not made.st_mode & (stat.S_ISUID | stat.S_ISGID), path
        assert stat.S_ISLNK(made.st_mode) or not made.st_mode & 0o022, path
        assert made.st_uid == (ACCOUNT if path == root / "run/weir" else 0), path
    assert f"weir:x:{ACCOUNT}:{ACCOUNT}:" in (root / "etc/passwd").read_text()
    licences = {p.parent.name for p in (root / "usr/share/doc").glob("*/copyright")}
    assert {"weir", "libc6", "libssl3", "libcjson1"} <= licences


def test_owners(root):
    """In the image as in the root: only /run/weir is the account's."""
    with tarfile.open(f"{root}.tar") as packed:
        members = {m.name: m for m in packed.getmembers()}
    assert {n: (m.uid, m.gid) for n, m in members.items() if m.uid or m.gid} == {"./run/weir": (ACCOUNT, ACCOUNT)}
    assert members["./run/weir"].isdir() and {m.mtime for m in members.values()} == {1000000000}
    assert len(members) == len(files(root)) + 2, "and . and proc"


def test_runs_without_rights(root, lab):
    """The account of the image, no capability, nothing new to be gained, its own root: ready, and gone with 0 at
    STOPSIGNAL."""
    ports = {name: str(free_port(udp=True)) for name in
             ("PROXY_RTMP_SERVER", "PROXY_HTTP_SERVER", "PROXY_HTTP_API", "PROXY_WEBRTC_SERVER", "PROXY_SRT_SERVER")}
    control = free_port()
    libc = ctypes.CDLL(None)

    def enter():
        os.chroot(root)
        os.chdir("/")
        os.setgroups([])
        os.setgid(ACCOUNT)
        os.setuid(ACCOUNT)
        libc.prctl(NO_NEW_PRIVS, 1, 0, 0, 0)

    weir = lab.start(["/usr/sbin/weir"], preexec=enter,
                     env={**ports, "PROXY_SYSTEM_API": f"127.0.0.1:{control}", "WEIR_WORKER_PROCESSES": "1"})
    weir.wait_log("Weir is ready", 20)
    status = pathlib.Path(f"/proc/{weir.pid}/status").read_text()
    assert f"Uid:\t{ACCOUNT}\t{ACCOUNT}\t{ACCOUNT}\t{ACCOUNT}" in status
    assert "CapEff:\t0000000000000000" in status and "NoNewPrivs:\t1" in status
    weir.wait_port(control)
    weir.wait_port(int(ports["PROXY_RTMP_SERVER"]))
    poll("the session file", (root / "run/weir/sessions").exists)
    ready = lab.run(["/usr/bin/weirctl", "ready"], preexec=enter, check=False)  # HEALTHCHECK, and preStop's way
    assert ready.wait(1) == 1 and "no origin" in ready.log(), ready.log()
    assert " warn " not in weir.log() and " error " not in weir.log(), weir.log()
    weir.signal(signal.SIGQUIT)
    assert weir.wait(20) == 0


def test_containerfile():
    """What an engine reads: the account, STOPSIGNAL, a health check and an entry point in exec form (no shell)."""
    text = (repo_dir() / "packaging/container/Containerfile").read_text()
    assert f"USER {ACCOUNT}:{ACCOUNT}" in text and "STOPSIGNAL SIGQUIT" in text and "FROM scratch" in text
    assert 'CMD ["/usr/bin/weirctl", "ready"]' in text and 'ENTRYPOINT ["/usr/sbin/weir"]' in text
    assert "\nRUN " not in text and "\nADD root.tar /\n" in text
