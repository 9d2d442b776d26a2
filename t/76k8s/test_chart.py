"""The chart: twelve sets of values by Helm 3 and 4. What is rendered is checked as a whole (names meet, the restricted
pod security standard holds), and each configuration by `weir -t`. No cluster takes part."""

import json
import re

import pytest
import yaml

from weirtest.kube import HelmError, check_names_meet, check_restricted, effective_config, helm, make_chart, of_kind, render
from weirtest.process import repo_dir
from weirtest.tls import Ca
from weirtest.weir import merge

FIXED = {"token": {"value": "secret-of-the-test"}}
BALANCER = {"service": {"type": "LoadBalancer"}}
SETS = {
    "defaults": {},
    "balancer": {**BALANCER, "candidate": {"from": "loadBalancer"}, "drain": {"seconds": 3600}},
    "single": {"service": {"type": "LoadBalancer", "layout": "single", "loadBalancerClass": "c",
                           "loadBalancerSourceRanges": ["10.0.0.0/8"], "ipFamilyPolicy": "PreferDualStack",
                           "annotations": {"a/b": "c"}, "tcp": {"annotations": {"d": "e"}, "loadBalancerIP": "192.0.2.1"}},
               "candidate": {"from": "loadBalancer", "watch": False, "port": 40000}},
    "nodeport": {"service": {"type": "NodePort", "externalTrafficPolicy": "Cluster"}, "candidate": {"from": "hostIP"},
                 "listeners": {"rtc": {"nodePort": 30800}, "rtcTcp": {"enabled": True, "nodePort": 30801}, "rtmp": {"nodePort": 31935, "servicePort": 19350}}},
    "daemonset": {"mode": "daemonset", "hostPorts": True, "candidate": {"from": "hostIP"},
                  "service": {"enabled": False}, "tolerations": [{"operator": "Exists"}], "nodeSelector": {"x": "y"}},
    "hostnetwork": {"mode": "daemonset", "hostNetwork": True, "candidate": {"from": "node"}, "workers": "auto"},
    "per-pod": {"mode": "statefulset", "replicas": 3, **BALANCER, "perPodServices": {"enabled": True},
                "candidate": {"from": "loadBalancer"}, "listeners": {"rtcTcp": {"enabled": True, "servicePort": 443}}},
    "hpa": {"autoscaling": {"enabled": True}, "metrics": {"serviceMonitor": {"enabled": True, "labels": {"r": "k"}}, "prometheusRule": {"enabled": True},
                                                         "dashboard": {"enabled": True}},
            "originsFrom": [{"host": "srs.media.svc.cluster.local", "port": 1935, "http": [8080, "http://:8081"],
                             "api": 1985, "rtc": 8000, "srt": 10080, "drain_timeout": "10m", "name": "srs"}]},
    "keda": {"mode": "statefulset", "autoscaling": {"enabled": True, "kind": "keda"}, "token": {"enabled": False},
             "podDisruptionBudget": {"maxUnavailable": "25%"}, "podAnnotations": {"p": "q"}, "podLabels": {"l": "m"}},
    "tls": {"tls": {"secretName": "cert"}, "listeners": {"rtmps": {"enabled": True}, "https": {"enabled": True},
                                                        "apis": {"enabled": True}, "http": {"enabled": False}}},
    "proxied": {"proxyProtocol": {"enabled": True, "networks": "10.0.0.0/8, 192.168.0.0/16"},
                "trustedNetworks": "private", "candidate": {"from": "value", "value": "203.0.113.7:40000 [2001:db8::7]"},
                "networkPolicy": {"enabled": True, "controlFrom": [{"namespaceSelector": {}}],
                                  "mediaFrom": [{"ipBlock": {"cidr": "0.0.0.0/0"}}], "egress": [{}]},
                "token": {"existingSecret": "mine", "key": "t"}},
    "rtmp-only": {"listeners": {n: {"enabled": False} for n in ("http", "api", "rtc", "srt")},
                  "origins": [{"name": "a", "ip": "10.0.0.5", "rtmp": [1935, 1936], "weight": 2, "learn": "off"},
                              {"name": "b", "ip": "2001:db8::1", "rtmp": 1935}],
                  "fullnameOverride": "edge", "image": {"digest": "sha256:" + "0" * 64, "pullSecrets": ["r"]},
                  "extraConfig": 'rtmp { max_connections 100; }\nlog { file "/a$$b"; }', "drain": {"seconds": 0},
                  "extraEnv": [{"name": "A", "value": "b"}], "extraVolumes": [{"name": "v", "emptyDir": {}}],
                  "extraVolumeMounts": [{"name": "v", "mountPath": "/v"}], "rollOnConfigChange": False},
}
WRONG = {
    "unknown": {"drian": {"seconds": 1}}, "nested": {"drain": {"secs": 1}}, "kind": {"mode": "replicaset"},
    "text": {"replicas": "two"}, "negative": {"drain": {"seconds": -1}}, "privileged port": {"listeners": {"rtmp": {"port": 80}}},
    "listener": {"listeners": {"rtsp": {"enabled": True}}}, "injection": {"candidate": {"from": "value", "value": "1.2.3.4; }"}},
    "origin": {"origins": [{"name": "a"}]}, "origin text": {"origins": [{"name": "a", "ip": "1.2.3.4", "rtmp": "1; drain on"}]},
    "digest": {"image": {"digest": "latest"}}, "root": {"runAsUser": 0}, "fraction": {"workers": 1.5},
    "null": {"candidate": {"from": None, "value": 5}},
    # What only the templates know.
    "no value": {"candidate": {"from": "value"}}, "no balancer": {"candidate": {"from": "loadBalancer"}},
    "per pod": {"perPodServices": {"enabled": True}}, "daemons": {"mode": "daemonset", "autoscaling": {"enabled": True}},
    "no certificate": {"listeners": {"https": {"enabled": True}}}, "no networks": {"proxyProtocol": {"enabled": True}},
    "same port": {"listeners": {"http": {"port": 1935}}}, "control port": {"listeners": {"api": {"port": 12025}}},
    "unreachable": {"service": {"type": "NodePort"}, "candidate": {"from": "hostIP"}}, "stray port": {"candidate": {"port": 4000}},
    "stray value": {"candidate": {"value": "1.2.3.4"}}, "bounds": {"autoscaling": {"minReplicas": 11}},
}


@pytest.fixture(scope="module")
def chart(tmp_path_factory):
    return make_chart(tmp_path_factory.mktemp("chart"))


@pytest.fixture(scope="module")
def sets(chart):
    """The objects of each set by Helm 4, which are also those of Helm 3."""
    out = {}
    for name, values in SETS.items():
        values = merge(FIXED, values)
        objects = [render(major, chart, values) for major in (3, 4)]
        for rendered in objects:
            for secret in of_kind(rendered, "Secret"):
                assert len(secret["data"].pop("hint")) > 40
        assert objects[0] == objects[1], name
        out[name] = objects[1]
    return out


def workload(objects):
    (found,) = [o for o in objects if o["kind"] in ("Deployment", "DaemonSet", "StatefulSet")]
    return found


def pod(objects):
    return workload(objects)["spec"]["template"]["spec"]


def main(objects):
    return pod(objects)["containers"][0]


@pytest.mark.parametrize("major", [3, 4])
def test_lint(chart, major):
    for values in SETS.values():
        assert "0 chart(s) failed" in helm(major, "lint", "--strict", chart, values=merge(FIXED, values))


@pytest.mark.parametrize("name", WRONG)
def test_wrong_values_are_refused(chart, name):
    with pytest.raises(HelmError):
        helm(4, "template", "weir", chart, values=WRONG[name])


def test_configurations(sets, lab):
    """Each rendered configuration, where the image looks for it, is fine by `weir -t`."""
    pair = Ca(lab).issue("a.test")
    for name, objects in sets.items():
        (config,) = [o for o in of_kind(objects, "ConfigMap") if "chart.conf" in o["data"]]
        printed = effective_config(lab.path(name), config["data"], pair)
        said = re.search(r"^    candidate (.+?);", printed, re.M).group(1)
        wanted = {"nodeport": "192.0.2.7:30800", "daemonset": "192.0.2.7", "proxied": '"203.0.113.7:40000 [2001:db8::7]"'}
        asked = name in ("balancer", "single", "hostnetwork", "per-pod")
        assert ("tcp_candidate 192.0.2.7:30801;" in printed) == (name == "nodeport")
        assert said == wanted.get(name, "203.0.113.9" if asked else "auto"), name


def test_drain_is_one_number(sets):
    for name, seconds in (("defaults", 300), ("balancer", 3600), ("rtmp-only", 0)):
        objects = sets[name]
        config = "".join(o["data"].get("chart.conf", "") for o in of_kind(objects, "ConfigMap"))
        assert f"grace_quit_timeout {seconds}s;" in config and f"force_quit_timeout {seconds + 5}s;" in config
        assert pod(objects)["terminationGracePeriodSeconds"] == seconds + 20
        assert main(objects)["lifecycle"]["preStop"]["exec"]["command"] == ["/usr/bin/weirctl", "drain", "--wait", "5"]
        assert main(objects)["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "control"}
        assert main(objects)["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "control"}


def test_names_meet(sets):
    """Names meet, the restricted standard holds."""
    for name, objects in sets.items():
        check_names_meet(objects)
        check_restricted(pod(objects))
        assert bool(pod(objects).get("hostNetwork")) == (name == "hostnetwork")
        assert ("ServiceAccount", pod(objects)["serviceAccountName"]) in {(o["kind"], o["metadata"]["name"]) for o in objects}
        scaled = of_kind(objects, "HorizontalPodAutoscaler") + of_kind(objects, "ScaledObject")
        assert ("replicas" in workload(objects)["spec"]) == (not scaled and workload(objects)["kind"] != "DaemonSet")


def test_services(sets):
    """Origins register before a pod is ready; each layout has its ports."""
    for objects in sets.values():
        (control,) = [s for s in of_kind(objects, "Service") if s["metadata"]["name"].endswith("-control")]
        assert control["spec"]["publishNotReadyAddresses"] is True
    split = sets["balancer"]
    assert {p["protocol"] for p in of_kind(split, "Service", "weir")["spec"]["ports"]} == {"TCP"}
    assert {p["protocol"] for p in of_kind(split, "Service", "weir-udp")["spec"]["ports"]} == {"UDP"}
    assert of_kind(split, "Service", "weir-udp")["spec"]["externalTrafficPolicy"] == "Local"
    single = of_kind(sets["single"], "Service", "weir")
    assert {p["protocol"] for p in single["spec"]["ports"]} == {"TCP", "UDP"}
    assert single["metadata"]["annotations"] == {"a/b": "c", "d": "e"} and single["spec"]["loadBalancerIP"] == "192.0.2.1"
    assert {s["metadata"]["name"] for s in of_kind(sets["daemonset"], "Service")} == {"weir-control"}
    each = [s for s in of_kind(sets["per-pod"], "Service") if re.fullmatch(r"weir-\d", s["metadata"]["name"])]
    assert [s["metadata"]["name"] for s in each] == ["weir-0", "weir-1", "weir-2"]
    assert {p["name"] for p in each[0]["spec"]["ports"]} == {"rtc", "rtc-tcp"}
    assert [s["metadata"]["name"] for s in of_kind(sets["rtmp-only"], "Service")] == ["edge-control", "edge"]
    nodes = {p["name"]: p for p in of_kind(sets["nodeport"], "Service", "weir")["spec"]["ports"]}
    assert nodes["rtmp"]["nodePort"] == 31935 and nodes["rtmp"]["port"] == 19350


def test_candidate(sets):
    """Who asks the API server may read that one object, and has the token; nobody else does."""
    for name, objects in sets.items():
        spec = pod(objects)
        asks = name in ("balancer", "single", "hostnetwork", "per-pod")
        assert bool(spec.get("initContainers")) == asks
        assert ("kube-api" in {v["name"] for v in spec["volumes"]}) == asks
        assert "kube-api" not in {m["name"] for m in main(objects)["volumeMounts"]}
        assert bool(of_kind(objects, "Role") + of_kind(objects, "ClusterRole")) == asks
    rule = of_kind(sets["balancer"], "Role")[0]["rules"]
    assert rule == [{"apiGroups": [""], "resources": ["services"], "verbs": ["get"], "resourceNames": ["weir-udp"]}]
    init, watch = pod(sets["balancer"])["initContainers"][0], pod(sets["balancer"])["containers"][1]
    assert init["args"][:5] == ["k8s-candidate", "--namespace", "$(POD_NAMESPACE)", "--service", "weir-udp"]
    assert "--watch" not in init["args"] and "--watch" in watch["args"]
    assert len(pod(sets["single"])["containers"]) == 1
    assert ["--port", "40000"] == pod(sets["single"])["initContainers"][0]["args"][5:7]
    assert ["--tcp-port", "443"] == pod(sets["per-pod"])["initContainers"][0]["args"][5:7]
    assert "$(POD_NAME)" in pod(sets["per-pod"])["initContainers"][0]["args"]
    assert of_kind(sets["per-pod"], "Role")[0]["rules"][0]["resourceNames"] == ["weir-0", "weir-1", "weir-2"]
    assert ["--node", "$(NODE_NAME)"] == pod(sets["hostnetwork"])["initContainers"][0]["args"][3:5]


def test_metrics(sets):
    """Rules and dashboard are the files that the packages install, not copies; the monitor finds the control Service."""
    objects = sets["hpa"]
    rules = yaml.safe_load((repo_dir() / "packaging/prometheus/weir.rules.yml").read_text())
    assert of_kind(objects, "PrometheusRule", "weir")["spec"] == rules
    dashboard = of_kind(objects, "ConfigMap", "weir-dashboard")
    assert json.loads(dashboard["data"]["weir.json"]) == json.loads((repo_dir() / "packaging/grafana/weir.json").read_text())
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"
    monitor = of_kind(objects, "ServiceMonitor", "weir")
    labels = of_kind(objects, "Service", "weir-control")["metadata"]["labels"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items() and monitor["metadata"]["labels"]["r"] == "k"
    assert monitor["spec"]["endpoints"][0]["authorization"]["credentials"] == {"name": "weir-token", "key": "token"}


def test_notes(chart):
    """The notes of every set are rendered: they read nothing of a cluster."""
    for name, values in SETS.items():
        text = helm(4, "install", "weir", chart, "-n", "media", "--dry-run=client", values=merge(FIXED, values)) \
            .partition("NOTES:")[2]
        assert "kubectl -n media exec" in text and "/api/v1/srs/register" in text
        assert ("several pods behind one address" in text) == (name in ("hpa", "keda")), name
        assert ("a registration reaches one" in text) == (name in ("daemonset", "hostnetwork", "per-pod", "keda")), name


def test_packed_chart_is_reproducible(tmp_path):
    archives = []
    for part in ("a", "b"):
        make_chart(tmp_path / part)
        (archive,) = (tmp_path / part).glob("weir-*.tgz")
        archives.append(archive.read_bytes())
    version = (repo_dir() / "packaging/VERSION").read_text().strip()
    assert archives[0] == archives[1] and archive.name == f"weir-{version}.tgz"
    assert f"version: {version}" in helm(3, "show", "chart", archive)
