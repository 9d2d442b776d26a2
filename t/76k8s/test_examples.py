"""The kustomize base and the examples for Kubernetes: they build, names meet, each configuration in them is taken by its
own program, and the sidecar of nginx-rtmp registers at a Weir."""

import os
import re

import pytest
import yaml

from weirtest.kube import (check_names_meet, check_restricted, effective_config, helm, kubectl, make_chart, objects_of,
                           of_kind, render)
from weirtest.process import poll, repo_dir

KUSTOMIZE = ["packaging/kustomize/base", "packaging/kustomize/examples/srs-behind-balancer",
             "packaging/kustomize/examples/node-ports"]
EXAMPLES = ["conf/examples/k8s/srs", "conf/examples/k8s/nginx-rtmp", "conf/examples/k8s/haproxy"]


@pytest.fixture(scope="module")
def built():
    return {path: objects_of(kubectl("kustomize", repo_dir() / path)) for path in KUSTOMIZE + EXAMPLES}


def test_kustomize(built, lab):
    version = (repo_dir() / "packaging/VERSION").read_text().strip()
    for path in KUSTOMIZE:
        objects = built[path]
        check_names_meet(objects)
        (weir,) = [o for o in objects if o["metadata"]["name"] == "weir" and "template" in o.get("spec", {})]
        spec = weir["spec"]["template"]["spec"]
        check_restricted(spec)
        assert {c["image"] for c in spec["containers"]} == {f"localhost/weir:{version}"}
        (config,) = [o for o in of_kind(objects, "ConfigMap") if "weir.conf" in o["data"]]
        assert config["metadata"]["name"] in [v["configMap"]["name"] for v in spec["volumes"] if "configMap" in v]
        files = dict(config["data"])
        if "node-ports" in path:  # the address is that of the pod's node, and nobody asks the API server
            files["weir.conf"] = re.sub(r"^include .*\n", "", files["weir.conf"], flags=re.M)
        printed = effective_config(lab.path(path.replace("/", "-")), files)
        assert f"candidate {'192.0.2.7' if 'node-ports' in path else '203.0.113.9'};" in printed
        seconds = int(re.search(r"grace_quit_timeout (\d+)m;", printed).group(1)) * 60
        assert spec["terminationGracePeriodSeconds"] == seconds + 20


def test_examples_are_whole(built, lab):
    for path in EXAMPLES:
        check_names_meet(built[path])
    nginx = of_kind(built["conf/examples/k8s/nginx-rtmp"], "ConfigMap")[0]["data"]["nginx.conf"]
    lab.path("nginx.conf").write_text(nginx.replace("/tmp/", f"{lab.path('')}/"))
    lab.run(["nginx", "-t", "-c", lab.path("nginx.conf")], 20)
    haproxy = of_kind(built["conf/examples/k8s/haproxy"], "ConfigMap")[0]["data"]["haproxy.cfg"]
    lab.path("haproxy.cfg").write_text(haproxy)
    lab.run(["haproxy", "-c", "-f", lab.path("haproxy.cfg")], 20)
    srs = of_kind(built["conf/examples/k8s/srs"], "Deployment")[0]["spec"]["template"]["spec"]["containers"][0]
    names = [e["name"] for e in srs["env"]]
    assert names.index("WEIR_TOKEN") < names.index("SRS_HEARTBEAT_URL"), "a variable is known behind its definition only"


def test_values(lab, tmp_path):
    """The examples of values: both Helms take them, and Weir what comes out."""
    chart = make_chart(tmp_path)
    for path in sorted((repo_dir() / "conf/examples/k8s").glob("values-*.yaml")):
        values = yaml.safe_load(path.read_text())
        assert "0 chart(s) failed" in helm(3, "lint", "--strict", chart, values=values)
        objects = render(4, chart, values)
        check_names_meet(objects)
        (config,) = [o for o in of_kind(objects, "ConfigMap") if "chart.conf" in o["data"]]
        effective_config(lab.path(path.stem), config["data"])


def test_origins_register(built, lab):
    """nginx-rtmp's sidecar, as it stands, against a Weir with a token; it ends at TERM. SRS's heartbeat by its URL, which is
    all that it sends the token with."""
    weir = lab.weir(config={"control": {"token": "t0ken"}}, start=False)
    weir.token = "t0ken"
    weir.start(ready=False)  # it is not until an origin is there
    weir.wait_log("Weir is ready")
    weir.process.wait_port(weir.api_port)
    sidecar = of_kind(built["conf/examples/k8s/nginx-rtmp"], "Deployment")[0]["spec"]["template"]["spec"]["containers"][1]
    script = lab.start([*sidecar["command"], *sidecar["args"]], "sidecar", env={
        **os.environ, "WEIR": f"http://127.0.0.1:{weir.api_port}", "WEIR_TOKEN": "t0ken", "POD_IP": "127.0.0.1",
        "POD_NAME": "nginx-rtmp-7d9", "POD_UID": "8c1e"})
    rows = poll("an origin", weir.origins)
    assert [(r["server"], r["service"]) for r in rows] == [("nginx-rtmp-7d9", "8c1e")]
    script.wait_log("registered: 200")
    script.signal(15)
    assert script.wait(10) == 0

    srs = of_kind(built["conf/examples/k8s/srs"], "Deployment")[0]["spec"]["template"]["spec"]["containers"][0]
    (url,) = [e["value"] for e in srs["env"] if e["name"] == "SRS_HEARTBEAT_URL"]
    path = url.removeprefix("http://weir-control:12025").replace("$(WEIR_TOKEN)", "t0ken")
    weir.token = None
    status, _ = weir.request(path, "POST", headers={"Host": "weir-control:12025"}, body="""{"device_id":"srs-1","ip":"127.0.0.1",
        "server":"vid-8u0335m","service":"5p3r4797","pid":"1428","rtmp":["1935"],"http":["8080"],"api":["1985"],
        "srt":["udp://0.0.0.0:10080"],"rtc":["udp://0.0.0.0:8000"]}""")
    assert status == 200
