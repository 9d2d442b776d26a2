"""What the start says: where Weir listens, what nobody asked for, and whether an origin is up."""

import re
import subprocess

from weirtest import poll
from weirtest.process import build_dir


def lines_of(weir, message):
    return [x for x in weir.log().splitlines() if f" {message} " in x]


def listening(weir):
    return {m[1]: m[2].strip('"') for x in lines_of(weir, "listening")
            if (m := re.search(r'kind=(\S+) addresses=("[^"]*"|\S+)', x))}


def test_start_and_reload_say_what_is_listened_on(lab):
    weir = lab.weir(start=False)
    weir.start(ready=False)
    poll("the first look", lambda: lines_of(weir, "no origin is up"))
    first = listening(weir)
    assert first["control"] == f"127.0.0.1:{weir.api_port}" and f":{weir.rtmp_port}" in first["rtmp"]
    origin = lab.fake_origin()
    assert weir.register(origin, "later")[0] == 200
    poll("an origin", lambda: lines_of(weir, "an origin is up"))
    # Nothing has changed: nothing is said.
    count = len(lines_of(weir, "listening"))
    weir.reload()
    assert len(lines_of(weir, "listening")) == count
    weir.reload(config={"rtmp": {"enabled": "off"}})
    assert f":{weir.rtmp_port}" in lines_of(weir, "listens no more")[0]


def test_the_check_names_what_nobody_asked_for(tmp_path):
    file = tmp_path / "weir.conf"

    def check(text):
        file.write_text(text)
        done = subprocess.run([build_dir() / "weir", "-t", "-c", file], capture_output=True, text=True, env={}, timeout=30)
        assert done.returncode == 0, done.stderr
        return done.stderr

    said = check("rtmp { listen 1935; }\nhttp { listen 8080; }\n")
    assert "http_api 0.0.0.0:11985, rtc 0.0.0.0:18000/udp, srt 0.0.0.0:20080/udp" in said
    assert "enabled off" in said and "rtmp 0" not in said
    said = check("rtmp { listen 1935; }\nhttp { listen 8080; }\nhttp_api { enabled off; }\n"
                 "rtc { listen 127.0.0.1:18000; }\nsrt { enabled on; }\n")
    assert "listen although" not in said
