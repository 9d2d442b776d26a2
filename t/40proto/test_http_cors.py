"""Pages of other sites in a real Chromium: what http.cors lets them read."""

import json

from weirtest import HttpOrigin, poll
from weirtest.browser import Browser

PLAYLIST = b"#EXTM3U\n#EXTINF:1,\n0.ts\n"


def fetched(browser, url, **options):
    """What the page gets: the body's first line, or `blocked`."""
    browser.run(f"""
        window.got = null;
        fetch({json.dumps(url)}, {json.dumps(options)})
            .then(answer => answer.text(), () => "blocked")
            .then(text => {{ window.got = text.split("\\n")[0]; }});""")
    return poll("an answer", lambda: browser.run("return window.got"), 30)


def test_pages_of_other_sites(lab):
    page = HttpOrigin(lab, lambda call: call.answer(200, b"<title>page</title>",
                                                    {"Content-Type": "text/html"}))
    origin_url = f"http://127.0.0.1:{page.http_port}"

    def serve(call):
        fields = {"Access-Control-Allow-Origin": origin_url,
                  "Access-Control-Allow-Credentials": "true",
                  "Access-Control-Allow-Headers": "authorization"} if "own" in call.path else {}
        if call.method == "OPTIONS":
            call.answer(204, fields={**fields, "Content-Length": None})
        else:
            call.answer(200, PLAYLIST, fields)
    origin = HttpOrigin(lab, serve)
    weirs = {mode: lab.weir(origins=[origin], http=True, config={"http": {"cors": mode}})
             for mode in ("on", "off", "origin", "credentials")}
    plain = {}
    token = {"headers": {"Authorization": "Bearer t"}}
    both = {**token, "credentials": "include"}
    rows = [("on", "a", plain, True), ("on", "a", token, True), ("on", "a", both, False),
            ("off", "a", plain, False), ("off", "own", token, False),
            ("origin", "a", plain, False), ("origin", "own", plain, True),
            ("origin", "own", both, True),
            ("credentials", "a", plain, True), ("credentials", "a", both, True),
            ("credentials", "own", both, True)]
    with Browser(lab) as browser:
        browser.open(origin_url + "/")
        for mode, name, options, may in rows:
            url = f"http://127.0.0.1:{weirs[mode].http_port}/live/{name}.m3u8"
            answer = fetched(browser, url, **options)
            assert answer == ("#EXTM3U" if may else "blocked"), (mode, name, options)
    assert any(call.fields.get("authorization") == "Bearer t" for call in origin.requests)
