"""make install and uninstall: what is put where, and that nobody's changes are lost."""

import os
import pathlib
import re
import stat
import subprocess

import pytest
from package_tools import make
from weirtest import build_dir, repo_dir

NEVER_STRIPPED = b".debug_info"


def installed(root):
    """Path below root: (mode, link target or None) of everything that is no folder outside /etc/weir."""
    found = {}
    for path in sorted(root.rglob("*")):
        name, state = str(path.relative_to(root)), path.lstat()
        if path.is_symlink():
            found[name] = ("link", os.readlink(path))
        elif not path.is_dir() or name.startswith("etc/weir"):
            found[name] = (oct(stat.S_IMODE(state.st_mode)), None)
    return found


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    make("install", f"DESTDIR={root}", "FLAVOUR=debian")
    return root


def test_what_is_where(root):
    found = installed(root)
    for name, want in {
            "usr/sbin/weir": ("0o755", None), "usr/bin/weirctl": ("link", "../sbin/weir"),
            "etc/weir": ("0o750", None), "etc/weir/conf.d": ("0o750", None), "etc/weir/tls": ("0o750", None),
            "etc/weir/weir.conf": ("0o640", None), "etc/default/weir": ("0o644", None),
            "usr/lib/systemd/system/weir.service": ("0o644", None)}.items():
        assert found.get(name) == want, name
    assert {oct(stat.S_IMODE(path.stat().st_mode)) for path in root.rglob("*")
            if path.is_dir() and not str(path.relative_to(root)).startswith("etc/weir")} == {"0o755"}
    rows = [line.split() for line in (repo_dir() / "packaging/files").read_text().splitlines()
            if line and not line.startswith("#")]
    assert len(found) >= len([row for row in rows if row[1] != "redhat"])
    assert NEVER_STRIPPED not in (root / "usr/sbin/weir").read_bytes()
    for name in found:
        path = root / name
        if path.is_file() and name != "usr/sbin/weir":
            assert not re.search(rb"@[A-Z_]+@", path.read_bytes()), f"{name} has a variable that nobody filled in"


def test_installed_configuration_is_short_and_loads(root):
    """Also with a folder conf.d in which nothing is, and with what somebody puts there."""
    conf = root / "etc/weir/weir.conf"
    assert len(conf.read_text().splitlines()) <= 25
    run = [root / "usr/sbin/weir", "-T", "-c", conf]
    before = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    assert "pid_file /run/weir/weir.pid" in before
    mine = root / "etc/weir/conf.d/mine.conf"
    mine.write_text("rtmp { listen 1935; }\n")
    after = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    mine.unlink()
    assert re.search(r"listen 0\.0\.0\.0:1935;  # .*conf\.d/mine\.conf:1", after)


def test_variables_of_the_service_exist(root):
    known = {name: value for value, name in re.findall(
        r'^OPTION\(\w+, \w+, \w+, "([^"]*)", .*?, k\w+, "(\w+)"',
        (repo_dir() / "common/config/options.def").read_text(), re.M)}
    rows = re.findall(r"^#([A-Z_]+)=(.*)$", (root / "etc/default/weir").read_text(), re.M)
    assert rows and all(known.get(name) == value for name, value in rows), rows


def test_changes_survive_install_and_uninstall(tmp_path):
    make("install", f"DESTDIR={tmp_path}", "FLAVOUR=debian")
    conf, logrotate = tmp_path / "etc/weir/weir.conf", tmp_path / "etc/logrotate.d/weir"
    conf.write_text("rtmp { listen 1936; }\n")
    conf.chmod(0o600)
    logrotate.unlink()
    logrotate.symlink_to("/dev/null")
    said = make("install", f"DESTDIR={tmp_path}", "FLAVOUR=debian")
    assert f"kept as it is: {conf}" in said
    assert conf.read_text() == "rtmp { listen 1936; }\n" and stat.S_IMODE(conf.stat().st_mode) == 0o600
    assert os.readlink(logrotate) == "/dev/null"
    said = make("uninstall", f"DESTDIR={tmp_path}", "FLAVOUR=debian")
    assert f"kept, because it was changed: {conf}" in said
    left = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if not p.is_dir()}
    assert left == {"etc/weir/weir.conf", "etc/logrotate.d/weir"}


def test_uninstall_leaves_nothing(tmp_path):
    tmp_path = tmp_path / "a folder"  # with a name that shells part
    make("install", f"DESTDIR={tmp_path}", "PREFIX=/opt/weir", "SYSCONFDIR=/opt/weir/etc", "FLAVOUR=redhat")
    assert (tmp_path / "opt/weir/etc/sysconfig/weir").exists()
    unit = (tmp_path / "opt/weir/lib/systemd/system/weir.service").read_text()
    assert "ExecStart=/opt/weir/sbin/weir -c /opt/weir/etc/weir/weir.conf\n" in unit
    assert "EnvironmentFile=-/opt/weir/etc/sysconfig/weir\n" in unit
    make("uninstall", f"DESTDIR={tmp_path}", "PREFIX=/opt/weir", "SYSCONFDIR=/opt/weir/etc", "FLAVOUR=redhat")
    assert not [p for p in tmp_path.rglob("*") if not p.is_dir() or "weir/" in str(p.relative_to(tmp_path))
                and p.name in ("weir", "conf.d", "tls", "docs", "examples")]


@pytest.mark.parametrize("page", ["man8/weir.8", "man8/weirctl.8", "man5/weir.conf.5"])
def test_pages_of_the_manual(root, page):
    path = root / "usr/share/man" / page
    done = subprocess.run(["mandoc", "-T", "lint", path], capture_output=True, text=True, check=False)
    assert done.stdout == "" and done.returncode == 0
    text = subprocess.run(["mandoc", "-T", "utf8", path], capture_output=True, text=True, check=True).stdout
    plain = re.sub(r".\x08", "", text)
    if page.endswith("weir.conf.5"):
        options = re.findall(r"^OPTION\(\w+, (\w+)", (repo_dir() / "common/config/options.def").read_text(), re.M)
        assert [name for name in options if not re.search(rf"^ +{name}\b", plain, re.M)] == []


def complete(root, line):
    """What bash offers at the end of the line."""
    words = line.split(" ")
    script = (f"source {root}/usr/share/bash-completion/completions/weirctl; COMP_WORDS=({' '.join(words[:-1])} "
              f"'{words[-1]}'); COMP_CWORD={len(words) - 1}; _{words[0]}; printf '%s\\n' \"${{COMPREPLY[@]}}\"")
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout.split()


def test_completion(root):
    assert complete(root, "weir -s re") == ["reload", "reopen"]
    assert "-t" in complete(root, "weir -")
    usage = subprocess.run([pathlib.Path(build_dir()) / "weirctl", "-h"], capture_output=True, text=True,
                           check=True).stdout
    for command in re.findall(r"^  ([a-z][-a-z0-9]*)", usage, re.M):
        assert command in complete(root, "weirctl " + command[:2])
