"""The System API and pages of other sites: whose requests are taken, and what refusals say."""

import http.client
import json
import socket

from weirtest import poll

PAGE = {"User-Agent": "Mozilla/5.0 (X11; Linux)", "Accept-Language": "en"}
EVIL = "http://evil.example"


def ask(weir, method, path, body=None, address="127.0.0.1", **fields):
    """(status, parsed answer, fields); `host=` and so on as they shall stand there."""
    conn = http.client.HTTPConnection(address, weir.api_port, timeout=10)
    conn.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    fields.setdefault("host", f"127.0.0.1:{weir.api_port}")
    for name, value in fields.items():
        if value is not None:
            conn.putheader(name.replace("_", "-"), value)
    conn.putheader("Content-Length", str(len(body or "")))
    conn.endheaders((body or "").encode())
    answer = conn.getresponse()
    text = answer.read().decode()
    conn.close()
    is_json = answer.getheader("content-type") == "application/json"
    return answer.status, json.loads(text) if is_json else text


def registration(server):
    return json.dumps({"ip": "127.0.0.1", "server": server, "service": "v", "pid": "1", "rtmp": ["1"]})


def own_address():
    """An address of this machine that is not loopback, or None."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("192.0.2.1", 9))
        except OSError:
            return None
        return sock.getsockname()[0]


def test_what_pages_of_other_sites_send_changes_and_shows_nothing(lab):
    weir = lab.weir(origins=[lab.fake_origin()])
    row = weir.origins()[0]["id"]
    here = f"127.0.0.1:{weir.api_port}"
    changes = [("POST", "/api/v1/srs/register", registration("evil")),
               ("POST", f"/api/v1/origins/{row}/drain", ""), ("POST", f"/api/v1/origins/{row}/undrain", ""),
               ("DELETE", f"/api/v1/origins/{row}", ""), ("DELETE", "/api/v1/sessions/0-1", ""),
               ("PUT", "/api/v1/what/comes/later", "")]
    reads = [("GET", path, "") for path in ("/api/v1/origins", "/api/v1/streams", "/api/v1/sessions", "/metrics",
                                            "/api/v1/workers", "/api/v1/summaries", f"/api/v1/origins/{row}")]
    foreign = [({"origin": EVIL}, "foreign_origin"), ({"origin": "null"}, "foreign_origin"),
               ({"origin": "http://127.0.0.1:1"}, "foreign_origin"),
               ({"sec_fetch_site": "cross-site"}, "other_site"), ({"sec_fetch_site": "same-site"}, "other_site"),
               ({"host": f"evil.example:{weir.api_port}"}, "foreign_host"),
               ({"host": "evil.example", "origin": EVIL}, "foreign_host"),
               ({"host": "[2001:db8::1]:80"}, "foreign_host")]
    refused = {}
    for method, path, body in changes + reads:
        cases = list(foreign)
        if method != "GET":
            cases += [({**PAGE, "content_type": "text/plain"}, "silent_browser")]
        for fields, reason in cases:
            status, answer = ask(weir, method, path, body, **fields)
            assert (status, answer["code"]) == (403, 1009), (method, path, fields, answer)
            refused[reason] = refused.get(reason, 0) + 1
        status, answer = ask(weir, method, path, body, origin=f"http://{here}", sec_fetch_site="same-origin", **PAGE) \
            if method == "GET" else (200, None)
        assert status == 200
    assert [(o["name"], o["draining"]) for o in weir.origins()] == [("o1", False)]
    for reason, count in refused.items():
        poll(reason, lambda: weir.metric("weir_api_cross_site_refused_total", reason=reason) == count)
    line = next(x for x in weir.log().splitlines() if "a page of another site may have sent it" in x)
    assert "client=127.0.0.1:" in line and "method=POST" in line and f'origin={EVIL}' in line
    assert "path=/api/v1/srs/register" in line and "reason=foreign_origin" in line
    # What to do stands in the answer.
    assert "control.hosts" in ask(weir, "GET", "/metrics", host="evil.example")[1]["error"]
    # Health shows nothing, and balancers ask for it by any name.
    assert ask(weir, "GET", "/healthz", host="www.example", origin=EVIL)[0] == 200
    # Machines: no word of a page, and names that cannot be public.
    for number, host in enumerate([here, "localhost", "[::1]:1", "weir", "weir-control.ns.svc:12025", None]):
        assert ask(weir, "POST", "/api/v1/srs/register", registration(f"m{number}"), host=host)[0] == 200, host
    assert ask(weir, "POST", f"/api/v1/origins/{row}/drain", origin=f"http://{here}", **PAGE)[0] == 200
    assert weir.origins()[0]["draining"]

    # Names of its own, and those alone; a page elsewhere whose proxy changes Host.
    weir.reload(config={"control": {"hosts": "weir.example https://ops.example"}})
    register = ("POST", "/api/v1/srs/register", registration("named"))
    assert ask(weir, *register, host="weir.example")[0] == 200
    assert ask(weir, *register, host="weir.example", origin="https://weir.example")[0] == 200
    assert ask(weir, *register, origin="https://ops.example")[0] == 200
    assert ask(weir, *register, host="other.example")[0] == 403


def test_a_token_vouches_for_any_site(lab):
    weir = lab.weir(origins=[lab.fake_origin()], config={"control": {"token": "s3cret"}})
    weir.token = "s3cret"
    row = weir.origins()[0]["id"]
    for fields in ({"host": "evil.example"}, {"origin": EVIL}, {"origin": "null"}, {"sec_fetch_site": "cross-site"}):
        status, answer = ask(weir, "POST", f"/api/v1/origins/{row}/drain", **fields)
        assert (status, answer["code"]) == (401, 1005)
        assert ask(weir, "GET", "/metrics", **fields)[0] == 401
        assert ask(weir, "POST", f"/api/v1/origins/{row}/drain", authorization="Bearer s3cret", **fields)[0] == 200
        assert ask(weir, "GET", "/metrics?token=s3cret", **fields)[0] == 200
    assert weir.metric("weir_api_cross_site_refused_total", reason="foreign_host") == 0


def test_service_names_at_another_address(lab):
    """Machines may use any name there; what browsers send under one is refused."""
    address = own_address()
    weir = lab.weir(origins=[lab.fake_origin()], start=False)
    weir.env["PROXY_SYSTEM_API"] = f"0.0.0.0:{weir.api_port}"
    weir.start()
    register = ("POST", "/api/v1/srs/register", registration("srs"))
    if address:
        assert ask(weir, *register, address=address, host="weir.media:12025")[0] == 200
        assert ask(weir, "GET", "/metrics", address=address, host="weir.media", user_agent="Prometheus/3")[0] == 200
        assert ask(weir, "GET", "/metrics", address=address, host=f"{address}:1", **PAGE)[0] == 200
        for fields in (PAGE, {"accept_language": "*"}, {"sec_fetch_site": "same-origin"}, {"origin": "http://weir.media"}):
            assert ask(weir, *register, address=address, host="weir.media", **fields)[0] == 403
            assert ask(weir, "GET", "/metrics", address=address, host="weir.media", **fields)[0] == 403
    # A forwarded port comes to loopback.
    assert ask(weir, *register, host="weir.media")[0] == 403


def test_registration_with_a_token_in_the_path_or_from_a_network(lab):
    """SRS sends no header, and of its URL the path alone."""
    token = "s3cret/+ä"
    escaped = "s3cret%2F%2B%c3%A4"
    path = "/api/v1/srs/register"
    config = {"control": {"token": token}}
    weir = lab.weir(origins=[lab.fake_origin()], config=config)
    weir.token = token.encode().decode("latin-1")
    register = lambda where, **fields: ask(weir, "POST", where, registration("srs"), **fields)[0]
    for good in (f"{path}/{escaped}", f"{path}/s3cret/%2B%C3%A4", f"{path}/{escaped}/"):
        assert register(good) == 200, good
        assert register(good, host="evil.example", origin=EVIL) == 200, good  # no page knows it
        assert ask(weir, "GET", good)[0] == 405
    for bad in (path, f"{path}/", f"{path}//", f"{path}/x", f"{path}/{escaped}x", f"{path}/{escaped[:-3]}", f"{path}/%zz",
                f"{path}x/{escaped}", f"/x/{escaped}", f"/api/v1/origins/{escaped}", f"/api/v1/origins?x={escaped}"):
        assert register(bad) == 401, bad
    assert ask(weir, "GET", f"/metrics/{escaped}")[0] == 401
    assert ask(weir, "GET", f"/x/{escaped}", authorization=b"Bearer " + token.encode())[0] == 404
    assert "s3cret" not in weir.log() and "(has the token in it)" in weir.log()

    weir.reload(config={"control": {"token": token, "register_from": "127.0.0.0/8"}})
    assert register(path) == 200
    assert register(path, origin=EVIL) == 403 and register(path, host="evil.example") == 403
    assert ask(weir, "GET", "/api/v1/origins")[0] == 401
    weir.reload(config={"control": {"token": token, "register_from": "10.0.0.0/8 ::1"}})
    assert register(path) == 401 and register(f"{path}/{escaped}") == 200
    weir.reload(config={"control": {"token": "", "register_from": "10.0.0.0/8"}})
    assert register(path) == 403 and register(f"{path}/{escaped}") == 403
    assert ask(weir, "GET", "/api/v1/origins")[0] == 200
    weir.reload(config={"control": {"token": "", "register_from": ""}})
    assert register(path) == 200 and register(f"{path}/{escaped}") == 200
    assert "s3cret" not in weir.log()
