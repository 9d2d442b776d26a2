"""The deb in a booted root: what its installation, updates and removal do to a service that runs (root only)."""

import re
import shutil
import subprocess

import pytest
from weirtest import build_dir, repo_dir
from weirtest.root import Root

BROKEN = "#!/bin/sh\nexit 127\n"  # as where a library is missing


def repacked(package, folder, version, program=None):
    """The package under another version, and with another program."""
    tree, out = folder / version, folder / f"{version}.deb"
    subprocess.run(["dpkg-deb", "-R", package, tree], check=True)
    control = tree / "DEBIAN/control"
    control.write_text(re.sub(r"^Version: .*$", f"Version: {version}", control.read_text(), flags=re.M))
    if program:
        (tree / "usr/sbin/weir").write_text(program)
    subprocess.run(["dpkg-deb", "-Zgzip", "-z1", "--root-owner-group", "-b", tree, out], check=True, capture_output=True)
    shutil.rmtree(tree)
    return out


@pytest.fixture
def root(lab, made, tmp_path):
    """Booted, with the packages old.deb, new.deb and broken.deb in /root."""
    root = Root(lab)
    root.put("/root/old.deb", made[".deb"])
    root.put("/root/new.deb", repacked(made[".deb"], tmp_path, "99.1-1"))
    root.put("/root/broken.deb", repacked(made[".deb"], tmp_path, "99.2-1", BROKEN))
    return root.boot()


def state(root):
    """(ActiveState, pid of the master) as systemd has them."""
    rows = dict(line.split("=") for line in root.run(
        "systemctl", "show", "weir", "-p", "ActiveState,MainPID").stdout.split())
    return rows["ActiveState"], rows["MainPID"]


def access(root, path):
    return root.run("stat", "-c", "%A %U:%G", path).stdout.strip()


def dpkg(root, *words):
    """What the package's scripts have to complain of."""
    return re.findall(r"^weir: .*", root.run("dpkg", *words).stderr, re.M)


def test_life_of_a_package(root):
    assert dpkg(root, "-i", "/root/old.deb") == []
    active, first = state(root)
    assert active == "active"
    assert root.run("systemctl", "is-enabled", "weir").stdout.strip() == "enabled"
    assert "weir" in root.run("ps", "-o", "user=", "--ppid", first).stdout
    for path, wanted in {"/etc/weir": "drwxr-x--- root:weir", "/etc/weir/tls": "drwxr-x--- root:weir",
                         "/etc/weir/conf.d": "drwxr-x--- root:weir", "/etc/weir/weir.conf": "-rw-r----- root:weir",
                         "/etc/default/weir": "-rw-r--r-- root:root"}.items():
        assert access(root, path) == wanted, path

    # A program that doesn't start: one line, and the old one goes on. The package is installed.
    with open(root.path("/etc/weir/weir.conf"), "a", encoding="utf-8") as conf:
        conf.write("# mine\n")
    root.run("chgrp", "root", "/etc/weir/tls")  # for the master alone
    root.run("dpkg-statoverride", "--add", "root", "root", "0750", "/etc/weir/tls")
    said = dpkg(root, "-i", "/root/broken.deb")
    assert len(said) == 1 and "the old program goes on" in said[0]
    assert state(root) == ("active", first)
    assert root.run("dpkg-query", "-W", "-f", "${db:Status-Abbrev} ${Version}", "weir").stdout == "ii  99.2-1"

    # One that starts takes over, and is systemd's.
    assert dpkg(root, "-i", "/root/new.deb") == []
    active, second = state(root)
    assert active == "active" and second != first

    # What was changed stays; a service that somebody has stopped stays stopped.
    root.run("systemctl", "stop", "weir")
    assert dpkg(root, "-i", "/root/old.deb") == []
    assert state(root)[0] == "inactive"
    assert root.read("/etc/weir/weir.conf").endswith("# mine\n")
    assert access(root, "/etc/weir/weir.conf") == "-rw-r----- root:weir"
    assert access(root, "/etc/weir/tls") == "drwxr-x--- root:root"
    root.run("systemctl", "start", "weir")

    # Removed, it ends; installed again, it starts; purged, others' files and the user stay.
    assert dpkg(root, "-r", "weir") == []
    assert state(root)[0] == "inactive"
    assert dpkg(root, "-i", "/root/old.deb") == []
    assert state(root)[0] == "active"
    root.put("/etc/weir/tls/key.pem", "mine")
    dpkg(root, "-P", "weir")
    left = root.run("find", "/etc/weir", "/etc/default", "/run/weir", "/var/log/weir", "/var/lib/weir", "-name", "*weir*",
                    "-o", "-name", "*.pem", check=False).stdout.split()
    assert left == ["/etc/weir", "/etc/weir/tls/key.pem"]
    assert "weir:" in root.run("getent", "passwd", "weir").stdout
    assert root.run("ps", "-e", "-o", "args").stdout.count("weir:") == 0


def installer(build):
    """The call of scripts/install-files that `make install` makes, for a tree whose program is in build/."""
    said = subprocess.run(["make", "-n", "install-built", "PREFIX=/usr/local", "FLAVOUR=debian", "STRIP=true", "BUILD=build",
                           f"CXX={(build / 'compile.stamp').read_text().split(' -std=')[0]}"],
                          cwd=repo_dir(), capture_output=True, text=True, check=True).stdout
    return re.findall(r"^BUILD='build' .*scripts/install-files", said, re.M)[-1]


def test_make_install_on_a_machine(lab, tmp_path):
    """From source: the user is made, the service runs, and uninstall ends it and takes all back but changed files."""
    source = tmp_path / "layer/source"
    for name in ("packaging", "scripts", "docs", "conf"):
        shutil.copytree(repo_dir() / name, source / name)
    for name in ("README.md", "LICENSE"):
        shutil.copy(repo_dir() / name, source)
    shutil.copytree(build_dir() / "packaging", source / "build/packaging")
    subprocess.run(["strip", "-o", source / "build/weir", build_dir() / "weir"], check=True)
    root = Root(lab, layers=[tmp_path / "layer"]).boot()
    run = f"cd /source; {installer(build_dir())}"
    root.run("bash", "-ec", f"{run} install")
    assert access(root, "/etc/weir/weir.conf") == "-rw-r----- root:weir"
    root.run("systemctl", "enable", "--now", "weir")
    active, master = state(root)
    assert active == "active" and root.run("ps", "-o", "args=", "-p", master).stdout.strip() == "/usr/local/sbin/weir"
    assert "weir" in root.run("ps", "-o", "user=", "--ppid", master).stdout.split()
    with open(root.path("/etc/default/weir"), "a", encoding="utf-8") as file:
        file.write("WEIR_LEARN=off\n")
    assert "kept as it is: /etc/default/weir" in root.run("bash", "-ec", f"{run} install").stdout
    root.run("bash", "-ec", f"{run} uninstall")
    assert state(root) == ("inactive", "0")
    left = root.run("find", "/usr/local", "/etc", "-name", "*weir*", "-not", "-name", "hostname").stdout.split()
    assert left == ["/etc/default/weir"]


def rpm_layer(folder):
    """rpm, which the base of the roots doesn't have, with what it loads."""
    for line in subprocess.check_output(["ldd", "/usr/bin/rpm"], text=True).splitlines():
        if found := re.search(r"=> (?:/usr)?(/lib/\S+)", line):
            target = folder / "usr" / found[1].lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy("/usr" + found[1], target)
    (folder / "usr/bin").mkdir()
    shutil.copy("/usr/bin/rpm", folder / "usr/bin")
    shutil.copytree("/usr/lib/rpm", folder / "usr/lib/rpm", symlinks=True)
    return folder


def test_life_of_an_rpm(lab, made, tmp_path):
    root = Root(lab, layers=[rpm_layer(tmp_path / "layer")])
    root.put("/root/weir.rpm", made[".rpm"])
    root.boot()
    root.run("rpm", "-i", "--nodeps", "/root/weir.rpm")
    assert state(root)[0] == "inactive"  # where rpm is at home, presets and administrators start services
    assert root.run("rpm", "-V", "--nodeps", "weir").stdout == ""
    assert access(root, "/etc/weir/weir.conf") == "-rw-r----- root:weir"
    root.run("systemctl", "enable", "--now", "weir")
    before = state(root)
    assert before[0] == "active"

    # An update with a faulty configuration: the old program goes on, one line says why.
    root.put("/etc/weir/conf.d/mine.conf", "no_such_option 1;\n")
    said = re.findall(r"^weir: .*", root.run("rpm", "-U", "--replacepkgs", "--nodeps", "/root/weir.rpm").stderr, re.M)
    assert len(said) == 1 and "the old program goes on" in said[0]
    assert state(root) == before
    assert root.read("/etc/weir/conf.d/mine.conf") == "no_such_option 1;\n"

    root.run("rpm", "-e", "--nodeps", "weir")
    assert state(root)[0] == "inactive"
    assert root.run("find", "/etc/weir", "-type", "f").stdout.split() == ["/etc/weir/conf.d/mine.conf"]
    assert "weir:" in root.run("getent", "passwd", "weir").stdout
