"""The access log: one line a session or request, in both forms, through reopening, with nothing
from outside that could forge or leak."""

import json
import os
import re
import signal
import socket
import time

import pytest

from rtmp_helpers import client, noise_tags, player, publisher, quiet, wait_quiet
from weirtest import RtmpError, free_port, poll
from weirtest.httporigin import HttpConnection, HttpOrigin

FIELDS = ["time", "session", "protocol", "method", "client", "stream", "target", "status", "origin",
          "bytes_from_client", "bytes_to_client", "duration_ms", "first_byte_ms", "reason", "agent",
          "referer"]


def parse_text(line):
    """A text line as {name: value}; None for what is absent."""
    pairs = re.findall(r'(\w+)=("(?:[^"\\]|\\.)*"|[^ ]*)(?: |$)', line)
    assert " ".join(f"{k}={v}" for k, v in pairs) == line, line
    return {k: None if v == "-" else json.loads(v) if v.startswith('"') else v for k, v in pairs}


class Log:
    """The access log of one Weir."""

    def __init__(self, lab, form="json", **options):
        self.path = lab.path("access.log")
        self.form = form
        self.section = {"target": "file", "file": str(self.path), "format": form, **options}

    def rows(self):
        if not self.path.exists():
            return []
        lines = self.path.read_text().split("\n")
        assert lines.pop() == "", "the last line is whole"
        return [json.loads(l) if self.form == "json" else parse_text(l) for l in lines]

    def wait(self, count=1, timeout=20, **wanted):
        """The rows with these values, once there are `count` of them."""
        def found():
            rows = [r for r in self.rows() if all(r[k] == v for k, v in wanted.items())]
            return rows if len(rows) >= count else None
        rows = poll(f"{count} lines with {wanted}", found, timeout)
        assert len(rows) == count, rows
        return rows


def _serve(call):
    if ".flv" in call.path:
        call.send("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        time.sleep(0.4)
        call.send(b"F" * 3000)
        call.close()
    elif call.path.startswith("/live/a.m3u8"):
        call.answer(200, b"#EXTM3U\n#EXTINF:1,\na0.ts\n")
    else:
        call.answer(200, b"x" * 100)


@pytest.mark.parametrize("form", ["text", "json"])
def test_rtmp_sessions(lab, form):
    fake = lab.fake_origin(media=noise_tags(20))
    log = Log(lab, form)
    weir = lab.weir(origins=[fake], config=quiet(access_log=log.section))
    link = player(weir, "a?token=hush", app="live?key=hush")
    link.read_media(5)
    link.close()
    with publisher(weir, "b") as link:
        link.publish_tags(noise_tags(30))
        fake.wait_session(ready=lambda s: len(s.tags) >= 30)
    [play] = log.wait(method="play")
    [publish] = log.wait(method="publish")
    number = int if form == "text" else lambda value: value
    for row in (play, publish):
        assert list(row) == FIELDS
        assert row["protocol"] == "rtmp" and row["reason"] == "client_closed"
        assert row["client"].startswith("127.0.0.1:")
        assert row["origin"] == f"o1@127.0.0.1:{fake.rtmp_port}"
        assert 0 <= number(row["first_byte_ms"]) <= number(row["duration_ms"])
        assert row["status"] is None
    assert play["stream"] == "__defaultVhost__/live/a" and play["target"] == "/live/a"
    assert number(play["bytes_to_client"]) > 300 and number(publish["bytes_from_client"]) > 3000
    assert "hush" not in log.path.read_text()
    wait_quiet(weir)
    assert "session ended" not in weir.log(), "the error log says it too"
    assert f"session={play['session']}" in weir.log(), "the error log has another session id"


def test_rtmp_first_byte_is_the_media(lab):
    """Measured through the relay: the origin answers at once, and sends media later."""
    fake = lab.fake_origin()
    log = Log(lab)
    weir = lab.weir(origins=[fake], config=quiet(access_log=log.section))
    link = player(weir, "a")
    session = fake.wait_session()
    time.sleep(0.6)
    session.send_tags(noise_tags(5), 1)
    link.read_media(3)
    link.close()
    [row] = log.wait(method="play")
    assert 550 <= row["first_byte_ms"] <= row["duration_ms"]


def test_rtmp_refused_and_nameless(lab):
    log = Log(lab)
    weir = lab.weir(origins=[HttpOrigin(lab, _serve)], http=True,
                    config=quiet(access_log=log.section, rtmp={"handshake_timeout": "300ms"}))
    link = client(weir)
    link.connect("live")
    with pytest.raises(RtmpError):
        link.play("nobody")
    link.close()
    [row] = log.wait(reason="no_origin")
    assert row["method"] == "play" and row["stream"] == "__defaultVhost__/live/nobody"
    assert row["origin"] is None and row["first_byte_ms"] is None
    with socket.create_connection(("127.0.0.1", weir.rtmp_port)) as silent:
        [row] = log.wait(reason="handshake_timeout")
        assert row["method"] is None and row["target"] is None and silent


def test_http_requests(lab):
    origin = HttpOrigin(lab, _serve)
    log = Log(lab)
    files = lab.path("www")
    files.mkdir()
    (files / "page.html").write_text("hello")
    weir = lab.weir(origins=[origin], http={"static_files": str(files)},
                    config=quiet(access_log=log.section))
    with HttpConnection(weir.http_port) as link:
        for target in ["/live/a.m3u8?token=hush", "/page.html", "/live/seg.m4s", "/../x"]:
            link.send(f"GET {target} HTTP/1.1\r\nHost: x\r\nUser-Agent: t/1 (a b)\r\n"
                      "Referer: https://u:hush@site/p?s=hush\r\n\r\n")
            link.read_answer()
    with HttpConnection(weir.http_port) as link:
        link.send("POST /live/a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n")
        assert link.read_answer().status == 405
    [playlist] = log.wait(target="/live/a.m3u8")
    assert list(playlist) == FIELDS
    assert playlist["protocol"] == "http" and playlist["method"] == "GET"
    assert playlist["status"] == 200 and playlist["reason"] == "done"
    assert playlist["stream"] == "__defaultVhost__/live/a"
    assert playlist["origin"] == f"o1@127.0.0.1:{origin.http_port}"
    assert playlist["agent"] == "t/1 (a b)" and playlist["referer"] == "site/p"
    assert playlist["bytes_from_client"] > 80 and playlist["bytes_to_client"] > 100
    assert 0 <= playlist["first_byte_ms"] <= playlist["duration_ms"]
    [page] = log.wait(target="/page.html")
    assert page["status"] == 200 and page["origin"] is None and page["stream"] is None
    log.wait(target="/live/seg.m4s", status=200)
    [outside] = log.wait(target="/../x")
    assert outside["status"] in (400, 404)
    log.wait(target="/live/a", status=405, method="POST")
    assert len({r["session"] for r in log.rows()}) == 2
    assert "hush" not in log.path.read_text()


def test_http_live_stream(lab):
    origin = HttpOrigin(lab, _serve)
    log = Log(lab)
    weir = lab.weir(origins=[origin], http=True, config=quiet(access_log=log.section))
    with HttpConnection(weir.http_port) as link:
        link.send("GET /live/a.flv HTTP/1.1\r\nHost: x\r\n\r\n")
        body = b""
        while piece := link.sock.recv(65536):
            body += piece
    [row] = log.wait(stream="__defaultVhost__/live/a")
    assert row["status"] == 200 and row["reason"] == "origin_closed" and row["method"] == "GET"
    assert row["bytes_to_client"] == len(body) > 3000
    assert row["bytes_from_client"] == len("GET /live/a.flv HTTP/1.1\r\nHost: x\r\n\r\n")
    assert 350 <= row["first_byte_ms"] <= row["duration_ms"], "not when the media came"
    assert row["origin"] == f"o1@127.0.0.1:{origin.http_port}"


def test_http_api_and_broken_requests(lab):
    log = Log(lab)
    weir = lab.weir(origins=[HttpOrigin(lab, _serve)], http={"request_timeout": "400ms"}, start=False)
    port = free_port()
    weir.rewrite(quiet(access_log=log.section,
                       http_api={"enabled": True, "listen": f"127.0.0.1:{port}", "token": "hush"}))
    weir.start()
    with HttpConnection(port) as link:
        for token in ("wrong", "hush"):
            link.send(f"GET /api/v1/versions?token={token} HTTP/1.1\r\nHost: x\r\n\r\n")
            link.read_answer()
    refused, served = log.wait(2, protocol="api")
    assert (refused["status"], served["status"]) == (401, 200)
    assert served["target"] == "/api/v1/versions"
    with HttpConnection(weir.http_port) as link:
        link.send("GET / HTTP/9.9\r\n\r\n")
        link.read_answer()
    [bad] = log.wait(protocol="http")
    assert bad["status"] in (400, 505) and bad["target"] is None
    with HttpConnection(weir.http_port) as link:
        link.send("GET / HTTP/1.1\r\nX: ")
        [slow] = log.wait(reason="request_timeout")
    assert slow["status"] is None and slow["bytes_from_client"] == 19
    assert "hush" not in log.path.read_text()


@pytest.mark.parametrize("form", ["text", "json"])
def test_nothing_from_outside_forges_a_line(lab, form):
    fake = lab.fake_origin(media=noise_tags(9))
    log = Log(lab, form, query="keep")
    weir = lab.weir(origins=[fake], http=True, config=quiet(access_log=log.section))
    evil = 'x" reason=done\nsession=1 {"a":"\\u0000"} \x1b[31m é'
    link = client(weir)
    link.connect("live?" + evil)
    try:
        link.play("a?" + evil)
    except RtmpError:
        pass  # such a name may be refused as well
    link.close()
    with HttpConnection(weir.http_port) as link:
        link.send('GET /a/b?x="y" HTTP/1.1\r\nHost: x\r\nUser-Agent: a"b\\ reason=no\xff\t-\r\n\r\n'
                  .encode("latin-1"))
        link.read_answer()
    rows = poll("two lines", lambda: len(log.rows()) >= 2 and log.rows())
    assert len(rows) == 2 and all(list(row) == FIELDS for row in rows)
    by = {row["protocol"]: row for row in rows}
    assert by["rtmp"]["target"] == f"/live?{evil}/a?{evil}"
    assert by["http"]["target"] == '/a/b?x="y"'
    assert by["http"]["agent"] == 'a"b\\ reason=no\xff\t-'
    assert "\x1b" not in log.path.read_text()


def test_reopening_loses_no_line(lab):
    """The file is moved and reopened while many requests run: each has one whole line."""
    origin = HttpOrigin(lab, _serve)
    log = Log(lab)
    weir = lab.weir(origins=[origin], http=True, workers=2, config=quiet(access_log=log.section))
    total = 0
    moved = []
    for lap in range(4):
        for _ in range(5):
            with HttpConnection(weir.http_port) as link:
                for _ in range(20):
                    link.send(f"GET /live/{total}.m4s HTTP/1.1\r\nHost: x\r\n\r\n")
                    link.read_answer()
                    total += 1
        if lap < 3:
            moved.append(lab.path(f"access.log.{lap}"))
            os.rename(log.path, moved[-1])
            weir.signal(signal.SIGUSR1)
            poll("the new file", log.path.exists)

    def targets():
        text = "".join(p.read_text() for p in [*moved, log.path])
        return [json.loads(line)["target"] for line in text.splitlines()]
    poll("all lines", lambda: len(targets()) >= total)
    assert sorted(targets()) == sorted(f"/live/{n}.m4s" for n in range(total))
    assert len(log.rows()) >= 50, "workers go on with the old file"


def test_reload_changes_target_and_form(lab):
    origin = HttpOrigin(lab, _serve)
    first = Log(lab)
    weir = lab.weir(origins=[origin], http=True, config=quiet(access_log=first.section))

    def ask(name):
        with HttpConnection(weir.http_port) as link:
            link.send(f"GET /live/{name} HTTP/1.1\r\nHost: x\r\n\r\n")
            assert link.read_answer().status == 200
    ask("one")
    first.wait(target="/live/one")
    second = Log(lab, "text")
    second.path = lab.path("second.log")
    second.section["file"] = str(second.path)
    weir.reload(quiet(access_log=second.section))
    ask("two")
    second.wait(target="/live/two")
    weir.reload(quiet(access_log={"target": "off"}))
    ask("three")
    generation = weir.generation()
    weir.rewrite(quiet(access_log={"target": "file", "file": "/nowhere/access.log"}))
    weir.signal(signal.SIGHUP)
    weir.process.wait_log("cannot open access log")
    assert weir.generation() == generation
    weir.reload(quiet())  # stderr
    ask("four")
    weir.process.wait_log("target=/live/four")
    assert "target=/live/three" not in first.path.read_text() + second.path.read_text() + weir.log()


def test_sessions_that_a_quick_stop_ends_have_their_lines(lab):
    fake = lab.fake_origin(media=noise_tags(20))
    log = Log(lab)
    weir = lab.weir(origins=[fake], config=quiet(access_log=log.section))
    links = [player(weir, f"s{n}") for n in range(5)]
    for link in links:
        link.read_media(3)
    weir.signal(signal.SIGTERM)
    assert weir.process.wait(20) == 0
    assert len(log.wait(5, reason="shutdown")) == 5


def test_killed_worker_loses_at_most_a_second(lab):
    origin = HttpOrigin(lab, _serve)
    log = Log(lab)
    weir = lab.weir(origins=[origin], http=True, config=quiet(access_log=log.section))
    with HttpConnection(weir.http_port) as link:
        for number in range(10):
            link.send(f"GET /live/{number}.m4s HTTP/1.1\r\nHost: x\r\n\r\n")
            link.read_answer()
        log.wait(10, method="GET", timeout=20)
        [pid] = weir.pids("http")
        os.kill(pid, signal.SIGKILL)
    poll("another worker", lambda: weir.pids("http") not in ([], [pid]))
    assert len(log.rows()) == 10
