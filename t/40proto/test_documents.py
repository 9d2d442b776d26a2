"""What the documents tell newcomers to paste, pasted: README's five minutes, with the files of conf/examples."""

import json
import re
import shutil

from weirtest import build_dir, repo_dir

FENCE = re.compile(r"^ *```sh\n(.*?)^ *```$", re.M | re.S)
# A namespace of its own has all ports free. ffplay needs a screen; what it would read is read instead.
PREAMBLE = """
set -u
ip link set lo up
trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT
ffplay() {
  case "$1" in http*) wait_for curl -fs "$1" ;; esac
  ffmpeg -nostdin -v error -t 1 -i "$1" -c copy -f null - && echo "played $1"
}
wait_for() { for _ in $(seq 150); do "$@" >/dev/null && return; sleep 0.1; done; echo "FAILED: $*"; exit 1; }
at() {  # STREAM NAME: is its publisher there?
  curl -s http://127.0.0.1:12025/api/v1/streams | grep -q "\\"stream\\":\\"$1\\"[^}]*\\"origin_name\\":\\"$2\\",\\"publishers\\":1"
}
published() { curl -s "http://127.0.0.1:12025/api/v1/streams?key=__defaultVhost__/live/$1" | grep -q '"publishers":1'; }
gone() { ! pgrep -s 0 -x "$1"; }
"""


def commands(title):
    """The blocks of commands below a heading of README.md."""
    text = (repo_dir() / "README.md").read_text()
    section = re.search(rf"^## {title}\n(.*?)(?=^## )", text, re.M | re.S).group(1)
    return [re.sub(r"^   (?! *-)", "", block, flags=re.M) for block in FENCE.findall(section)]


def moved(lab, text):
    """The same with a folder of the test's own in the place of /tmp and of the checkout."""
    text = re.sub(r"(\$PWD/)?conf/examples/nginx-rtmp|/tmp\b", str(lab.dir), text)
    return text.replace("build/weir", f"{build_dir()}/weir")


def test_five_minutes(lab):
    for path in (repo_dir() / "conf/examples/nginx-rtmp").iterdir():
        (lab.dir / path.name).write_text(moved(lab, path.read_text()))
    lab.dir.chmod(0o777)  # nginx's workers are nobody
    start, publish, look, kill_origin, reload, end = map(lambda text: moved(lab, text), commands("Five minutes"))
    register = commands("Origins")[0]
    script = "\n".join([
        PREAMBLE, start, "wait_for curl -fs http://127.0.0.1:12025/readyz", publish, "wait_for published first", look,
        publish.replace("live/first", "live/second"), "wait_for published second",
        "{ at first one && at second two; } || { at first two && at second one; } && echo spread",
        # That its stream may be published at the other one takes three failed answers of its API: too long for a test.
        kill_origin,
        reload, f"wait_for grep -q 'generation has gone generation=1\\|draining' {lab.dir}/weir.log", "echo reloaded",
        register, end, "wait_for gone nginx", "wait_for gone weir", "echo ended"])
    process = lab.start(["unshare", "-n", shutil.which("bash"), "-c", script], "five-minutes")
    status = process.wait(60)
    log = process.log()
    assert status == 0 and "FAILED" not in log, log
    assert "weir.conf is fine" in log
    assert json.loads(re.search(r"^\{.*\}$", log, re.M).group(0))["streams"][0]["stream"] == "first"
    assert re.findall(r"^played (\w+)", log, re.M) == ["rtmp", "http"]
    for line in ("spread", "reloaded", '{"code":0,"pid":', "ended"):
        assert line in log, log
