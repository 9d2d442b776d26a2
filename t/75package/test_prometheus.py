"""Alerts and dashboard: of metrics that exist, each shown to speak and to be silent."""

import json
import re
import subprocess
import urllib.parse
import urllib.request

from weirtest import free_port, poll, repo_dir
from weirtest.tls import Ca

RULES = repo_dir() / "packaging/prometheus/weir.rules.yml"
DASHBOARD = repo_dir() / "packaging/grafana/weir.json"

# Alert: series of a minute each that make it fire, and such that don't. Every series has job and instance.
STEADY, RISING, ZERO, ONE = "0x20", "0+60x20", "0x20", "1x20"
ALERTS = {
    "WeirDown": ({'up': ZERO}, {'up': ONE}),
    "WeirNoOrigin": ({'weir_origins{state="up"}': ZERO, 'weir_origins{state="dead"}': "2x20"},
                     {'weir_origins{state="up"}': ONE, 'weir_origins{state="dead"}': "2x20"}),
    "WeirOriginDown": ({'weir_origin_up{origin="a",id="1"}': ZERO},
                       {'weir_origin_up{origin="a",id="1"}': "1 0 1x18"}),
    "WeirOriginEndpointDown": ({'weir_origin_endpoint_up{origin="a",id="1",endpoint="http"}': ZERO,
                                'weir_origin_up{origin="a",id="1"}': ONE},
                               {'weir_origin_endpoint_up{origin="a",id="1",endpoint="http"}': ZERO,
                                'weir_origin_up{origin="a",id="1"}': ZERO}),
    "WeirDialFailures": ({'weir_dials_total{protocol="rtmp"}': "0+100x20",
                          'weir_dial_failures_total{protocol="rtmp",reason="refused"}': "0+6x20"},
                         {'weir_dials_total{protocol="rtmp"}': "0+100x20",
                          'weir_dial_failures_total{protocol="rtmp",reason="refused"}': "0+4x20"}),
    "WeirRefusesClients": ({'weir_connections_refused_total{protocol="rtmp",limit="max_connections"}': RISING},
                           {'weir_connections_refused_total{protocol="rtmp",limit="max_connections"}': "7x20"}),
    "WeirWorkersDie": ({'weir_worker_deaths_total': "0+1x20"}, {'weir_worker_deaths_total': "0 1x19"}),
    "WeirReloadFailed": ({'weir_reloads_total{result="failed"}': "0x10 1x10"},
                         {'weir_reloads_total{result="failed"}': "1x20", 'weir_reloads_total{result="ok"}': RISING}),
    "WeirTableNearlyFull": ({'weir_streams': "950x20", 'weir_table_slots{table="streams"}': "1000x20"},
                            {'weir_streams': "890x20", 'weir_table_slots{table="streams"}': "1000x20",
                             'weir_udp_sessions{protocol="rtc",state="connected"}': "50x20",
                             'weir_udp_session_slots': "100x20"}),
    "WeirTableFull": ({'weir_table_refused_total{table="streams"}': RISING},
                      {'weir_udp_session_refusals_total{reason="duplicate"}': RISING,
                       'weir_table_refused_total{table="streams"}': "3x20"}),
    "WeirCertificateEnds": ({'weir_tls_certificate_days_left': "13x20"},
                            {'weir_tls_certificate_days_left': "14x20"}),
    "WeirStreamConflict": ({'weir_stream_conflicts': ONE}, {'weir_stream_conflicts': "1 0x19"}),
    "WeirLearnFails": ({'weir_origin_learn_up{origin="a",id="1"}': ZERO},
                       {'weir_origin_learn_up{origin="a",id="1"}': ONE}),
    "WeirHooksFail": ({'weir_hook_calls_total{result="timeout"}': RISING},
                      {'weir_hook_calls_total{result="refused"}': RISING}),
    "WeirPacketsDropped": ({'weir_packets_total{protocol="srt",direction="to_client"}': "0+1000x20",
                            'weir_packets_dropped_total{protocol="srt",direction="to_client"}': "0+20x20"},
                           {'weir_packets_total{protocol="srt",direction="to_client"}': "0+1000x20",
                            'weir_packets_dropped_total{protocol="srt",direction="to_client"}': "0+5x20"}),
    "WeirNamesFail": ({'weir_name_answers_total{result="timeout"}': "0+1x20"},
                      {'weir_name_answers_total{result="absent"}': RISING}),
    "WeirSearchRefused": ({'weir_search_refused_total{limit="rate"}': RISING},
                          {'weir_search_refused_total{limit="rate"}': "9x20"}),
    "WeirOldGenerations": ({'weir_generations': "17x90"}, {'weir_generations': "17x50 3x40"}),
}
# More that must fire: the other halves of alerts that are joined by "or".
ALSO_FIRES = {
    "WeirTableNearlyFull": [{'weir_origins{state="up"}': "95x20", 'weir_table_slots{table="origins"}': "100x20"},
                            {'weir_udp_sessions{protocol="rtc",state="connected"}': "95x20",
                             'weir_udp_session_slots': "100x20"}],
    "WeirTableFull": [{'weir_udp_session_refusals_total{reason="table_full"}': RISING}],
}


def alerts_of_file():
    return re.findall(r"- alert: (\w+)", RULES.read_text())


def dashboard_expressions():
    """(title, expression) of every target and annotation."""
    board = json.loads(DASHBOARD.read_text())
    found = [(panel["title"], target["expr"]) for panel in board["panels"] for target in panel.get("targets", [])]
    return found + [(note["name"], note["expr"]) for note in board["annotations"]["list"]]


def known_metrics():
    known = set(re.findall(r'^METRIC\(\w+, \w+, "(\w+)"', (repo_dir() / "ipc/metrics.def").read_text(), re.M))
    for path in (repo_dir() / "workers/control").glob("*.cc"):
        known |= set(re.findall(r'"(weir_\w+|process_\w+)"', path.read_text()))
    return known


def test_metrics_exist():
    named = set()
    for text in [RULES.read_text(), *(expression for _, expression in dashboard_expressions())]:
        named |= set(re.findall(r"\b(weir_\w+|process_\w+)\b", text))
    assert named - known_metrics() == set()


def promtool_test(alert, series, fires):
    def labelled(name):
        base, _, labels = name.partition("{")
        return base + '{job="weir",instance="w:12025",' + (labels or "}")
    return {"interval": "1m",
            "input_series": [{"series": labelled(name), "values": values} for name, values in series.items()],
            "promql_expr_test": [{
                "expr": f'count(ALERTS{{alertname="{alert}",alertstate="firing"}})',
                "eval_time": "90m" if any(v.endswith(("x90", "x40")) for v in series.values()) else "20m",
                "exp_samples": [{"labels": "{}", "value": 1}] if fires else []}]}


def test_every_alert_fires_and_is_silent(tmp_path):
    assert sorted(alerts_of_file()) == sorted(ALERTS)
    tests = []
    for alert, (loud, quiet) in ALERTS.items():
        tests += [promtool_test(alert, loud, True), promtool_test(alert, quiet, False)]
    tests += [promtool_test(alert, series, True) for alert, many in ALSO_FIRES.items() for series in many]
    file = tmp_path / "tests.yml"
    file.write_text(json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests}))
    done = subprocess.run(["promtool", "test", "rules", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_alerts_say_what_to_do():
    page = repo_dir() / "docs/AT_THREE.md"
    anchors = {title.lower() for title in re.findall(r"^#+ (\w+)$", page.read_text(), re.M)} if page.exists() else None
    for block in RULES.read_text().split("- alert: ")[1:]:
        name = block.split()[0]
        assert "summary:" in block and "description:" in block, name
        assert f"runbook: docs/AT_THREE.md#{name.lower()}\n" in block
        assert anchors is None or name.lower() in anchors, f"docs/AT_THREE.md has no heading {name}"


def start_prometheus(lab, weir):
    port, folder = free_port(), lab.path("prometheus")
    folder.mkdir()
    scrape = {"job_name": "weir", "scrape_interval": "1s", "scrape_timeout": "1s",
              "static_configs": [{"targets": [f"127.0.0.1:{weir.api_port}"]}]}
    (folder / "prometheus.yml").write_text(json.dumps({"rule_files": [str(RULES)], "scrape_configs": [scrape]}))
    lab.start(["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
               f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"], name="prometheus").wait_port(port)
    return port


def ask(port, expression):
    """The samples of an expression as Grafana would send it; an event's too when it did not happen."""
    text = expression.replace("$__rate_interval", "10s").replace("$instance", ".+").replace("$job", ".+")
    if text.startswith("changes("):
        text = text.removesuffix(" > 0")
    query = urllib.parse.urlencode({"query": text})
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/query?{query}", timeout=5) as answer:
        return json.load(answer)["data"]["result"]


def test_dashboard_has_data(lab, media):
    """Each expression, of a Weir that serves a publisher and players, with every protocol on."""
    origin = lab.origin()
    udp = {name: {"enabled": True, "listen": f"127.0.0.1:{free_port(udp=True)}"} for name in ("rtc", "srt")}
    pair = Ca(lab).issue("weir.test")
    weir = lab.weir(origins=[origin], http=True, config={"certificate main": pair.block(), **udp})
    port = start_prometheus(lab, weir)
    lab.publish(media, weir.url("live/a"))
    origin.wait_stream("a")
    poll("a first scrape", lambda: ask(port, "weir_streams"), timeout=30)  # Prometheus takes its time to begin
    lab.play(weir.url("live/a"), seconds=1)
    waiting = dashboard_expressions()
    assert len(waiting) > 40

    def all_have_data():
        waiting[:] = [(title, expression) for title, expression in waiting if not ask(port, expression)]
        return not waiting

    try:
        poll("data for every panel", all_have_data, timeout=30, interval=0.5)
    except AssertionError:
        raise AssertionError(f"no data: {waiting}") from None
