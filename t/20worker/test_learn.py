"""Learning from origins' APIs: answers as they should be, and hostile ones."""

import contextlib
import itertools
import json
import os
import signal
import threading
import time
import urllib.parse

from weirtest import HttpOrigin, free_port, poll

ON = {"WEIR_LEARN": "auto"}
QUICK = {"log": {"level": "info"},
         "learn": {"interval": "200ms", "timeout": "500ms", "max_streams": 3000, "max_answer": "4m"}}


def row(name, app="live", active=True, **more):
    return {"id": "vid-1", "name": name, "vhost": "vid-2", "app": app, "url": f"/{app}/{name}",
            "clients": 1, "kbps": {"recv_30s": 800, "send_30s": 0}, "publish": {"active": active},
            "video": {"codec": "H264"}, "audio": None, **more}


class Srs:
    """An API that pages its rows as SRS does."""

    def __init__(self, lab, rows):
        self.rows, self.questions = rows, []
        self.broken, self.held, self.answered = False, None, 0
        self.port = HttpOrigin(lab, self._serve).http_port

    def _serve(self, call):
        url = urllib.parse.urlsplit(call.path)
        if url.path != "/api/v1/streams/":
            return call.answer(404)
        self.questions.append(call.path)
        if self.held is not None:
            held, self.held = self.held, None
            assert held.wait(20)
        query = dict(urllib.parse.parse_qsl(url.query))
        start, count = int(query["start"]), max(10, int(query["count"]))
        text = json.dumps({"code": 0, "streams": self.rows[start:start + count]}, ensure_ascii=False)
        call.answer(200, text[:-3].encode() if self.broken else text.encode(), framing="close")
        self.answered += 1
        return None


def stat(stream, pid=0):
    return (f"<rtmp><pid>{pid}</pid><server><application><name>live</name><live><stream>" + stream +
            "</stream></live></application></server></rtmp>").encode()


def learned(weir, origin):
    return {each["key"].split("/", 1)[1] for each in weir.streams()
            if each["learned"] and each["origin_name"] == origin}


def page_of(weir, **labels):
    return weir.metric("weir_origin_learn_up", **labels)


def api(port):
    return {"ip": "127.0.0.1", "rtmp": free_port(), "api": port}


def quietly(serve):
    def run(call):
        with contextlib.suppress(OSError):
            serve(call)
        call.close()
    return run


def test_rows_come_and_go(lab):
    srs = Srs(lab, [row("a"), row("b", app="x/y"), row("p", active=False),
                    row("v", url="cam.example.com/live/v")])
    weir = lab.weir(env=ON, config={**QUICK, "origin o": api(srs.port)})
    poll("learned", lambda: learned(weir, "o") == {"live/a", "x/y/b", "live/v"})
    first = next(each for each in weir.streams() if each["key"] == "__defaultVhost__/live/a")
    assert (first["source"], first["video"], first["kbps"]) == ("learned", "h264", 800)
    assert page_of(weir, origin="o") == 1
    srs.rows = [row("a"), row("c")]
    poll("gone and new", lambda: learned(weir, "o") == {"live/a", "live/c"})
    # Broken answers prove nothing; after three of them the origin's word counts no more.
    srs.broken = True
    poll("it fails", lambda: page_of(weir, origin="o") == 0)
    srs.broken = False
    poll("again", lambda: learned(weir, "o") == {"live/a", "live/c"} and page_of(weir, origin="o") == 1)
    # A control worker that dies takes nothing along, and the next one knows what has gone since.
    news = weir.metric("weir_learn_news_total")
    srs.rows = [row("a")]
    os.kill(weir.pids("control")[0], signal.SIGKILL)
    poll("without c", lambda: learned(weir, "o") == {"live/a"})
    assert weir.metric("weir_learn_news_total") <= news + 2


def test_a_last_word_of_the_worker_before(lab):
    """News of the old control worker that come after the new one's first answer stay no longer than any."""
    srs = Srs(lab, [row("a")])
    weir = lab.weir(env=ON, config={**QUICK, "learn": {**QUICK["learn"], "timeout": "1m"},
                                    "origin o": api(srs.port)})
    poll("learned", lambda: learned(weir, "o") == {"live/a"})
    old, news = weir.pids("control")[0], weir.metric("weir_learn_news_total")
    srs.held = held = threading.Event()
    poll("a question is held", lambda: srs.held is None)
    os.kill(old, signal.SIGSTOP)
    try:
        srs.rows.append(row("late"))
        answered = srs.answered
        held.set()
        poll("it is answered, with the stream", lambda: srs.answered > answered)
        srs.rows.pop()
        asked = len(srs.questions)
        weir.signal(signal.SIGHUP)
        poll("the next worker asks", lambda: len(srs.questions) > asked + 3)
    finally:
        os.kill(old, signal.SIGCONT)
    # The old one tells of it, the new one that it has gone.
    poll("told twice", lambda: weir.metric("weir_learn_news_total") == news + 2, 20)
    poll("gone", lambda: learned(weir, "o") == {"live/a"})


def test_rows_of_answers_that_are_never_whole(lab):
    """Nothing would ever prove them gone: an origin is believed from its first whole answer on."""
    never, o, good = Srs(lab, [row("n"), row("m")]), Srs(lab, [row("a"), row("b")]), Srs(lab, [row("z")])
    never.broken = True
    weir = lab.weir(env=ON, config={**QUICK, "origin never": api(never.port), "origin o": api(o.port),
                                    "origin good": api(good.port)})
    weir.wait_log("no streams are learned from this origin")
    poll("learned", lambda: learned(weir, "o") == {"live/a", "live/b"})
    poll("another's", lambda: learned(weir, "good") == {"live/z"})
    # Nor are they learned again while it fails; so whoever shows them has them.
    o.broken = True
    poll("it fails", lambda: page_of(weir, origin="o") == 0)
    asked = len(o.questions)
    poll("it is still asked", lambda: len(o.questions) > asked + 1)
    good.rows.append(row("a"))
    poll("at the other", lambda: learned(weir, "good") == {"live/z", "live/a"})
    assert learned(weir, "o") == learned(weir, "never") == set()


def test_pages(lab):
    srs = Srs(lab, [row(f"s{i}") for i in range(2500)])
    weir = lab.weir(env=ON, config={**QUICK, "origin o": api(srs.port)})

    def count():
        return weir.metric("weir_streams_learned")
    poll("all pages", lambda: count() == 2500, 20)
    assert any("start=2000&" in each for each in srs.questions)
    del srs.rows[:1300]
    poll("the rest", lambda: count() == 1200, 20)
    # More than learn.max_streams: the first ones, and nothing is taken for gone.
    srs.rows[:] = [row(f"t{i}") for i in range(4000)]
    weir.wait_log("more streams than learn.max_streams", 20)


def test_hostile_answers(lab):
    good = Srs(lab, [row("<b>&\"'"), row("é\u0001x"), row("n" * 4096), row("a\nb"), row(""), row("ok")])
    names = b'{"code":0,"streams":[' + b",".join(
        json.dumps({"name": f"n{i}", "app": "a", "publish": {"active": True}}).encode()
        for i in range(100000)) + b"]}"

    def endless(call):
        call.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        call.chunk(b'{"code":0,"streams":[')
        while True:
            call.chunk(b'{"x":[1,2,3]},' * 1000)

    def huge(call):
        if not call.path.startswith("/api/"):
            return call.answer(404)
        return call.send("HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n" + "x" * 1000)

    def drip(call):
        call.send("HTTP/1.1 200 OK\r\n\r\n")
        while True:
            call.send('{"code":0,'[:1])
            time.sleep(0.05)

    deep = b"[" * 1000000
    hostile = {
        "huge": huge,
        "endless": endless,
        "drip": drip,
        "rows": lambda call: call.answer(200, names),
        "cut": lambda call: call.send("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"code\":0,\"streams\":["),
        "deep": lambda call: call.answer(200, deep),
        "html": lambda call: call.answer(200, b"<!DOCTYPE html><html>"),
        "forbidden": lambda call: call.answer(403),
        "moved": lambda call: call.answer(302, fields={"Location": "http://192.0.2.1/"}),
        "garbage": lambda call: call.send(b"\x00\xff" * 5000),
        "empty": lambda call: None,
        "xml": lambda call: call.answer(200, b"<rtmp>" * 100000),
    }
    ports = {name: HttpOrigin(lab, quietly(serve)).http_port for name, serve in hostile.items()}
    weir = lab.weir(env=ON, config={**QUICK, "origin good": api(good.port),
                                    **{f"origin {name}": api(port) for name, port in ports.items()}})
    poll("the good ones", lambda: learned(weir, "good") == {"live/<b>&\"'", "live/ok"})
    poll("the bad ones fail", lambda: weir.metric("weir_learn_answers_total", result="failed") > 24, 30)
    assert learned(weir, "good") == {"live/<b>&\"'", "live/ok"}
    assert weir.metric("weir_learn_rows_total", result="skipped") >= 4
    # Of the good one's six rows each time; the others' are not even looked at.
    read = weir.metric("weir_learn_rows_total", result="read")
    assert 0 < read < weir.metric("weir_learn_rows_total", result="skipped")
    assert weir.metric("weir_streams_learned") <= 2 + 3000

    def told(name):
        return [line for line in weir.log().splitlines()
                if "no streams are learned" in line and f"origin={name} " in line]
    for name in ("huge", "rows", "deep", "html", "forbidden", "moved", "endless", "xml"):
        poll(f"{name} is told", lambda name=name: told(name))
        assert len(told(name)) == 1, (name, told(name))
    assert "learn.max_answer" in told("huge")[0], told("huge")  # not that it lacks statistics
    log = weir.log()
    assert "192.0.2.1" not in log
    before = len(good.questions)
    poll("the good one is still asked", lambda: len(good.questions) > before)


def test_off(lab):
    srs = Srs(lab, [row("a")])
    here = {**api(srs.port), "rtmp": lab.origin(name="up").rtmp_port}  # so that Weir is ready
    weir = lab.weir(env=ON, config={**QUICK, "origin o": {**here, "learn": "off"},
                                    "origin p": api(Srs(lab, [row("b")]).port)})
    poll("the other", lambda: learned(weir, "p") == {"live/b"})
    assert srs.questions == []
    weir.reload(config={"origin o": {**here, "learn": "srs"}})
    poll("now it is asked", lambda: learned(weir, "o") == {"live/a"})
    weir.reload(config={**QUICK, "origin o": {**here, "learn": "off"}})
    poll("its word counts no more", lambda: learned(weir, "o") == set())
    weir.wait_log("origin's streams are not learned any more, its learn is off")


def test_endpoints_that_change(lab):
    """A heartbeat that names other endpoints, as many as before, is where the origin is asked then."""
    def serve(name):
        text = stat(f"<name>{name}</name><publishing/>")
        return HttpOrigin(lab, lambda call: call.answer(200, text)).http_port
    weir = lab.weir(env={"WEIR_LEARN": "nginx_rtmp"}, config={
        **QUICK, "origin x": {"ip": "127.0.0.1", "rtmp": free_port()}})
    origin = {"ip": "127.0.0.1", "server": "o", "service": "1", "pid": "1", "rtmp": [str(free_port())]}

    def register(**endpoints):
        status, answer = weir.post("srs/register", {**origin, **endpoints})
        assert status == 200, answer
    register(http=[str(serve("a"))])
    poll("learned", lambda: learned(weir, "o") == {"live/a"})
    register(api=[str(serve("b"))])
    poll("learned at the other endpoint", lambda: learned(weir, "o") == {"live/b"})
    # Worker processes of nginx answer by turns, each for its own streams: none proves another's gone.
    turn = itertools.count()

    def by_turns(call):
        i = next(turn) % 2
        call.answer(200, stat(f"<name>{'cd'[i]}</name><publishing/>", pid=i + 1))
    register(http=[str(HttpOrigin(lab, by_turns).http_port)])
    poll("both", lambda: learned(weir, "o") == {"live/c", "live/d"})
    news, whole = (weir.metric("weir_learn_news_total"),
                   weir.metric("weir_learn_answers_total", result="whole"))
    poll("asked again", lambda: weir.metric("weir_learn_answers_total", result="whole") > whole + 5)
    assert weir.metric("weir_learn_news_total") == news
    assert learned(weir, "o") == {"live/c", "live/d"}
