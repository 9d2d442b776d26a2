"""make dist, deb and rpm: what is in them, whose it is, what they need and what their scripts do.

lintian, rpmlint and piuparts are run by scripts/check-packages, by hand: they take minutes to install.
"""

import hashlib
import re
import subprocess
import tarfile

import pytest
from package_tools import make
from weirtest import repo_dir


def output(*argv):
    return subprocess.run([str(word) for word in argv], capture_output=True, text=True, check=True).stdout


def version():
    return (repo_dir() / "packaging/VERSION").read_text().strip()


def digest(tarball):
    return hashlib.sha256(tarball.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def deb(made, tmp_path_factory):
    """The package, and the folder that it was unpacked into, with its scripts in DEBIAN."""
    folder = tmp_path_factory.mktemp("deb")
    output("dpkg-deb", "-R", made[".deb"], folder)
    return made[".deb"], folder


@pytest.fixture(scope="module")
def rpm(made):
    return made[".rpm"]


def test_tarball(made):
    """What the sources say, without what was built; made again it is the same."""
    assert digest(repo_dir() / make("dist").split()[-1]) == made["digest"]
    with tarfile.open(made[".gz"]) as members:
        names = set(members.getnames())
    top = f"weir-{version()}"
    assert {f"{top}/Makefile", f"{top}/packaging/made/weir.8", f"{top}/scripts/check"} <= names
    assert not [name for name in names if name.startswith((f"{top}/build", f"{top}/.git/"))]


def test_deb_files(deb):
    package, folder = deb
    rows = {line.split(None, 5)[5].split(" -> ")[0]: line.split()[:2]
            for line in output("dpkg-deb", "-c", package).splitlines()}
    assert all(owner == "root/root" for _, owner in rows.values())
    for path, mode in {"./etc/weir/": "drwxr-x---", "./etc/weir/tls/": "drwxr-x---", "./etc/weir/conf.d/": "drwxr-x---",
                       "./etc/weir/weir.conf": "-rw-r-----", "./usr/sbin/weir": "-rwxr-xr-x",
                       "./usr/bin/weirctl": "lrwxrwxrwx", "./usr/share/weir/prometheus/weir.rules.yml": "-rw-r--r--",
                       "./usr/share/man/man8/weirctl.8.gz": "-rw-r--r--"}.items():
        assert rows[path][0] == mode, path
    assert sorted((folder / "DEBIAN/conffiles").read_text().split()) == [
        "/etc/apparmor.d/usr.sbin.weir", "/etc/default/weir", "/etc/logrotate.d/weir",
        "/etc/needrestart/conf.d/weir.conf", "/etc/ufw/applications.d/weir", "/etc/weir/weir.conf"]
    assert (folder / "usr/sbin/weir").stat().st_size < 6_000_000
    assert b".debug_info" not in (folder / "usr/sbin/weir").read_bytes()


def test_deb_control(deb):
    package, folder = deb
    assert output("dpkg-deb", "-f", package, "Version").strip() == f"{version()}-1"
    assert f"weir {version()}" in output(folder / "usr/sbin/weir", "-v")
    needs = output("dpkg-deb", "-f", package, "Depends")
    assert all(name in needs for name in ("libc-ares2", "libcjson1", "libevent-2.1-7", "libssl3", "sysusers"))
    changelog = output("sh", "-c", f"zcat {folder}/usr/share/doc/weir/changelog.Debian.gz")
    assert changelog.startswith(f"weir ({version()}-1) ") and changelog.count("  * ") > 10


def test_deb_scripts(deb):
    """An upgrade stops nothing and fails for nothing; the account stays."""
    _, folder = deb
    scripts = {name: (folder / "DEBIAN" / name).read_text() for name in ("preinst", "postinst", "prerm", "postrm")}
    assert re.search(r'if \[ "\$1" = remove \].*\n *deb-systemd-invoke stop', scripts["prerm"])
    assert scripts["prerm"].count("deb-systemd-invoke") == 1
    assert "deb-systemd-invoke restart" not in "".join(scripts.values())
    assert scripts["postinst"].index("systemd-sysusers") < scripts["postinst"].index("weirctl upgrade --wait 30")
    assert not re.search(r"\b(userdel|deluser|groupdel)\b", "".join(scripts.values()))


@pytest.mark.parametrize("answer,said", [
    ("exit 0", None),
    ("echo 'weirctl: /etc/weir/weir.conf:3:1: no such option' >&2; exit 1", "/etc/weir/weir.conf:3:1: no such option"),
    ("exit 127", "does not run (exit 127)")])
def test_deb_upgrades_in_place(deb, tmp_path, answer, said):
    """postinst with a program that answers so: the package is configured, and one line says why the old one goes on."""
    _, folder = deb
    script = (folder / "DEBIAN/postinst").read_text()
    begin, end = script.index("upgrade_in_place() {"), script.index("\nstart() {")
    fake = tmp_path / "weirctl"
    fake.write_text(f"#!/bin/sh\n[ \"$*\" = 'upgrade --wait 30' ] || exit 9\n{answer}\n")
    fake.chmod(0o755)
    done = subprocess.run(["sh", "-ec", f"PATH={tmp_path}:$PATH; {script[begin:end]}\nupgrade_in_place"],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0
    if said is None:
        assert done.stderr == ""
    else:
        assert said in done.stderr and len(done.stderr.splitlines()) == 1


def test_rpm_files(rpm):
    rows = {line.split()[4]: tuple(line.split()[:4]) for line in output(
        "rpm", "-qp", "--qf", "[%{FILEMODES:perms} %{FILEUSERNAME} %{FILEGROUPNAME} %{FILEFLAGS:fflags}. %{FILENAMES}\n]",
        rpm).splitlines()}
    assert rows["/etc/weir/weir.conf"] == ("-rw-r-----", "root", "weir", "cn.")
    for folder in ("/etc/weir", "/etc/weir/conf.d", "/etc/weir/tls"):
        assert rows[folder][:3] == ("drwxr-x---", "root", "weir"), folder
    assert rows["/etc/sysconfig/weir"][3] == "cn."
    for path in ("/usr/sbin/weir", "/usr/bin/weirctl", "/usr/lib/systemd/system/weir.service",
                 "/usr/lib/firewalld/services/weir.xml", "/usr/share/man/man5/weir.conf.5.gz",
                 "/usr/share/weir/grafana/weir.json"):
        assert path in rows
    assert not [path for path in rows if "apparmor" in path or "ufw" in path]
    unit = output("sh", "-c", f"rpm2cpio {rpm} | cpio -i --quiet --to-stdout ./usr/lib/systemd/system/weir.service")
    assert "EnvironmentFile=-/etc/sysconfig/weir" in unit


def test_rpm_asks_for_what_el9_has(rpm):
    has = {name: tuple(map(int, re.findall(r"\d+", symbols)))
           for name, symbols in re.findall(r"^([^#\s]\S*) (\S+) ", (repo_dir() / "packaging/rpm/el9.txt").read_text(), re.M)}
    for needed in output("rpm", "-qpR", rpm).splitlines():
        found = re.fullmatch(r"(\S+\.so[.\d]*)\((?:[A-Z]+_([\d.]+))?\)\(64bit\)", needed)
        if not found:
            assert re.match(r"/bin/sh$|config\(weir\)|rpmlib\(|rtld\(GNU_HASH\)|shadow-utils$|systemd$", needed), needed
            continue
        assert found[1] in has, needed
        assert tuple(map(int, re.findall(r"\d+", found[2] or ""))) <= has[found[1]], needed
    assert "libstdc++" not in output("rpm", "-qpR", rpm)


def test_rpm_scripts(rpm):
    said = output("rpm", "-qp", "--scripts", rpm)
    assert "restart" not in said and "userdel" not in said
    scripts = dict(re.findall(r"^(\w+) scriptlet .*?:\n(.*?)(?=^\w+ scriptlet|\Z)", said, re.M | re.S))
    assert "weirctl upgrade --wait 30" in scripts["posttrans"]
    assert "disable --now" in scripts["preuninstall"] and '"$1" = 0' in scripts["preuninstall"]
