#!/usr/bin/python3
"""The image and the rendered chart, played by podman: by hand, as root, with buildah, podman, crun and catatonit installed.

    make image-root node-modules && WEIR_BUILD=build /usr/bin/python3 t/76k8s/play_chart.py

Not in the suite: these packages and the namespaces that they need are more than the fresh root of scripts/check can have.
It shows: ready with an origin; account, capabilities, read-only root; published and played through by ffmpeg; `weirctl
drain` while that session goes on; SIGQUIT, which lets it go on for drain.seconds and then ends it.

Everything runs in user, mount and network namespaces of its own: all ids but the last (crun takes a whole map for none), a
/sys/fs/cgroup without groups (crun takes no hybrid ones), nothing but loopback.
"""

import ctypes
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

import yaml

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

from weirtest import Lab  # noqa: E402
from weirtest.kube import make_chart, of_kind, render  # noqa: E402
from weirtest.process import build_dir, free_port, poll, repo_dir  # noqa: E402

NEW_USER, NEW_MOUNT, NEW_NET = 0x10000000, 0x00020000, 0x40000000
DRAIN = 6
NAMES = ("rtmp", "http", "api", "rtc", "srt")
CONTAINERS = """[containers]
default_ulimits = ["nofile={files}:{files}", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
"""


def enter_namespaces():
    """Goes on in a child in the namespaces; the parent returns its status."""
    ready, mapped = os.pipe(), os.pipe()
    child = os.fork()
    if child:
        os.read(ready[0], 1)
        for kind in ("uid_map", "gid_map"):
            pathlib.Path(f"/proc/{child}/{kind}").write_text("0 0 4294967294\n", encoding="ascii")
        os.write(mapped[1], b"x")
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    if ctypes.CDLL(None, use_errno=True).unshare(NEW_USER | NEW_MOUNT | NEW_NET) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    os.write(ready[1], b"x")
    os.read(mapped[0], 1)
    for argv in (["mount", "--make-rprivate", "/"], ["mount", "-t", "tmpfs", "none", "/sys/fs/cgroup"], ["ip", "link", "set", "lo", "up"]):
        subprocess.run(argv, check=True)
    os.environ.update(_CONTAINERS_USERNS_CONFIGURED="done", _CONTAINERS_ROOTLESS_UID="0")


class Engine:
    def __init__(self, folder):
        self.store = ["--root", folder / "store", "--runroot", folder / "run", "--storage-driver", "vfs"]
        (folder / "xdg").mkdir(mode=0o700)
        files = os.sysconf("SC_OPEN_MAX")
        (folder / "containers.conf").write_text(CONTAINERS.format(files=min(files, 1048576)), encoding="ascii")
        os.environ.update(XDG_RUNTIME_DIR=str(folder / "xdg"), CONTAINERS_CONF=str(folder / "containers.conf"))

    def __call__(self, *argv, tool="podman", check=True):
        done = subprocess.run([tool, *map(str, self.store), *map(str, argv)], capture_output=True, text=True, check=False)
        if check and done.returncode:
            raise AssertionError(f"{tool} {argv[0]}: {done.stderr[-2000:]}")
        return (done.stdout if check else done.stdout + done.stderr).strip()

    def build(self, image):
        self("build", "--format", "docker", "--isolation", "chroot", "-q", "-t", image, "-f",
             repo_dir() / "packaging/container/Containerfile", build_dir() / "image", tool="buildah")


def playable(objects):
    """What podman 4.3 takes: no ports (the network is the host's), no probes (they need a shell), no Secret of Kubernetes."""
    (deployment,) = of_kind(objects, "Deployment")
    for key in ("ports", "livenessProbe", "readinessProbe", "lifecycle"):
        deployment["spec"]["template"]["spec"]["containers"][0].pop(key)
    return yaml.safe_dump_all([*of_kind(objects, "ConfigMap"), deployment])


def status_of(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=3) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def say(text, began=[time.monotonic()]):  # pylint: disable=dangerous-default-value
    print(f"{time.monotonic() - began[0]:6.1f} s  {text}", flush=True)


def play(lab, engine):
    ports = {name: free_port() for name in (*NAMES, "control")}
    origin = lab.origin()
    image = f"localhost/weir:{(repo_dir() / 'packaging/VERSION').read_text().strip()}"
    engine.build(image)
    say(f"image: {engine('images', '--format', '{{.Repository}}:{{.Tag}} {{.Size}}').splitlines()[0]}")
    objects = render(4, make_chart(lab.path("chart")), {
        "hostNetwork": True, "drain": {"seconds": DRAIN}, "origins": [{"name": "a", "ip": "127.0.0.1", "rtmp": origin.rtmp_port}],
        "control": {"port": ports["control"]}, "listeners": {name: {"port": ports[name]} for name in NAMES}})
    lab.path("secret").write_text(json.dumps(of_kind(objects, "Secret")[0]["data"]))
    engine("secret", "create", "weir-token", lab.path("secret"))
    lab.path("play.yaml").write_text(playable(objects))
    engine("play", "kube", lab.path("play.yaml"))
    name = "weir-pod-0-weir"
    try:
        poll("ready", lambda: status_of(ports["control"], "/readyz") == 200, 30)
        say("ready; " + engine("exec", name, "/usr/sbin/weir", "-t"))
        print(engine("top", name, "user", "capeff", "args"))
        assert engine("inspect", name, "--format", "{{.HostConfig.ReadonlyRootfs}}") == "true"
        url = f"rtmp://127.0.0.1:{ports['rtmp']}/live/a"
        publisher = lab.publish(lab.media(), url)
        player = lab.play(url)
        say(f"published and played: {player}")
        print(engine("exec", name, "/usr/bin/weirctl", "sessions"))
        engine("exec", name, "/usr/bin/weirctl", "drain")
        assert status_of(ports["control"], "/readyz") == 503 and status_of(ports["control"], "/healthz") == 200
        assert publisher.alive
        say("drained: /readyz 503, the session goes on")
        began = time.monotonic()
        stop = threading.Thread(target=engine, args=("stop", "-t", str(DRAIN + 15), name))  # by STOPSIGNAL
        stop.start()
        publisher.wait(DRAIN + 20)
        took = time.monotonic() - began
        say(f"SIGQUIT: the session ended {took:.1f} s later (drain.seconds {DRAIN})")
        assert took > DRAIN - 1
        stop.join(30)
        status = engine("inspect", name, "--format", "{{.State.Status}} {{.State.ExitCode}}")
        say(f"Weir ended with {status}")
        assert status == "exited 0"
    except BaseException:
        print(engine("logs", name, check=False)[:8000])
        raise
    finally:
        engine("play", "kube", "--down", lab.path("play.yaml"), check=False)


def main():
    for tool in ("buildah", "podman", "crun", "catatonit"):
        if not shutil.which(tool):
            sys.exit(f"needs {tool}: apt-get install --no-install-recommends buildah podman crun catatonit")
    enter_namespaces()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="weir-play-"))
    try:
        with Lab() as lab:
            play(lab, Engine(folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
