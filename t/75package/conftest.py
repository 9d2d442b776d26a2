"""The packages, made once for all tests of this folder."""

import hashlib
import subprocess

import pytest
from package_tools import make
from weirtest import build_dir, repo_dir


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """Paths of tarball, deb and rpm, by suffix, and the digest of the tarball. The deb gets a program without
    debug information, which only takes time here."""
    stripped = tmp_path_factory.mktemp("stripped") / "weir"
    subprocess.run(["strip", "-o", stripped, build_dir() / "weir"], check=True)
    (stripped.parent / "rpm").symlink_to(build_dir() / "rpm")
    lines = make("deb", "rpm", f"PREBUILT={stripped.parent}").splitlines()
    found = {suffix: repo_dir() / line for suffix in (".gz", ".deb", ".rpm") for line in lines if line.endswith(suffix)}
    return {**found, "digest": hashlib.sha256(found[".gz"].read_bytes()).hexdigest()}
