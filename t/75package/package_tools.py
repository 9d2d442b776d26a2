"""What the tests of packages share."""

import os
import pathlib
import subprocess

from weirtest import build_dir, repo_dir


def make(*words):
    """By the compiler that has built what is there: nothing is built again. Under a careful root's umask."""
    compiler = (pathlib.Path(build_dir()) / "compile.stamp").read_text().split(" -std=")[0]
    done = subprocess.run(["make", "--silent", f"BUILD={os.path.relpath(build_dir(), repo_dir())}", f"CXX={compiler}", *words],
                          cwd=repo_dir(), env={**os.environ, "DEB_BUILD_OPTIONS": "noautodbgsym"}, umask=0o077,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout
