"""Static files (http.static_files) beside the origins."""

import os

import pytest
from weirtest import HttpConnection, HttpOrigin


@pytest.fixture
def site(lab):
    """(client connection, root directory, origin)."""
    root = lab.path("www")
    (root / "player" / "deep").mkdir(parents=True)
    (root / "player" / "index.html").write_text("<p>player</p>")
    (root / "player" / "deep" / "a.js").write_text("run()")
    (root / "data.bin").write_bytes(bytes(range(256)) * 20_000)
    (root / "empty.txt").write_bytes(b"")
    (root / "sp ace.txt").write_text("space")
    (root / "bare").mkdir()
    (root / "inside.txt").symlink_to("player/deep/a.js")
    (lab.path("secret.txt")).write_text("secret")
    (root / "outside.txt").symlink_to("../secret.txt")
    (root / "absolute.txt").symlink_to(lab.path("secret.txt"))
    (root / "up").symlink_to("..")
    os.mkfifo(root / "fifo")
    for path in (root, *root.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)
    origin = HttpOrigin(lab, lambda call: call.answer(200, b"origin " + call.path.encode()))
    weir = lab.weir(origins=[origin], http={"static_files": root})
    with HttpConnection(weir.http_port) as client:
        yield client, root, origin
    assert weir.pids("http")


def test_files_and_types(site):
    client, root, origin = site
    answer = client.get("/player/deep/a.js")
    assert (answer.status, answer.body) == (200, b"run()")
    assert "javascript" in answer.fields["content-type"]
    assert answer.fields["accept-ranges"] == "bytes"
    assert answer.fields["access-control-allow-origin"] == "*"
    assert client.get("/data.bin").body == (root / "data.bin").read_bytes()
    assert client.get("/empty.txt").body == b""
    assert client.get("/sp%20ace.txt?x=1").body == b"space"
    assert client.get("//player/./deep//a.js").body == b"run()"
    head = client.get("/data.bin", "HEAD")
    assert (head.status, head.fields["content-length"]) == (200, "5120000")
    assert client.get("/inside.txt").body == b"run()"
    assert origin.requests == []


def test_everything_else_goes_to_the_origins(site):
    client, _, origin = site
    paths = ["/live/a.m4s", "/bare", "/bare/", "/fifo", "/", "/outside.txt", "/absolute.txt",
             "/up/secret.txt", "/up/", "/player/deep/a.js/", "/player/deep/none",
             "/player/..%2fdata.bin", "/player/%2e%2e/data.bin"]
    for path in paths:
        answer = client.get(path)
        assert b"secret" not in answer.body.replace(path.encode(), b"")
        assert answer.body == b"origin " + path.encode() or answer.status in (400, 404), path
    assert "/live/a.m4s" in origin.paths


def test_directories(site):
    client, root, _ = site
    answer = client.get("/player/")
    assert (answer.status, answer.body) == (200, b"<p>player</p>")
    assert answer.fields["content-type"].startswith("text/html")
    answer = client.get("/player?a=b")
    assert (answer.status, answer.fields["location"]) == (301, "/player/?a=b")
    answer = client.get("//player")
    assert answer.fields["location"] == "/player/"
    (root / "index.html").write_text("home")
    assert client.get("/").body == b"home"


def test_ranges(site):
    client, root, _ = site
    data = (root / "data.bin").read_bytes()
    for value, first, last in (("0-9", 0, 9), ("1000-4999999", 1000, 4999999),
                               ("5119990-", 5119990, 5119999), ("-5", 5119995, 5119999)):
        answer = client.get("/data.bin", Range=f"bytes={value}")
        assert answer.status == 206
        assert answer.body == data[first:last + 1]
        assert answer.fields["content-range"] == f"bytes {first}-{last}/{len(data)}"
    answer = client.get("/data.bin", Range="bytes=5120000-")
    assert (answer.status, answer.body) == (416, b"")
    assert answer.fields["content-range"] == "bytes */5120000"
    assert client.get("/data.bin", Range="bytes=0-1,5-6").status == 200
    assert client.get("/data.bin", Range="lines=0-1").status == 200
    tag = client.get("/data.bin", "HEAD").fields["etag"]
    assert client.get("/data.bin", Range="bytes=0-1", If_Range=tag).status == 206
    assert client.get("/data.bin", Range="bytes=0-1", If_Range='"old"').status == 200


def test_conditions(site):
    client, root, _ = site
    first = client.get("/player/deep/a.js")
    tag, date = first.fields["etag"], first.fields["last-modified"]
    same = client.get("/player/deep/a.js", If_None_Match=tag)
    assert (same.status, same.fields["etag"]) == (304, tag)
    assert client.get("/player/deep/a.js", If_Modified_Since=date).status == 304
    assert client.get("/player/deep/a.js", If_Match='"other"').status == 412
    (root / "player" / "deep" / "a.js").write_text("walk()")
    assert client.get("/player/deep/a.js", If_None_Match=tag).body == b"walk()"


def test_file_that_shrinks_ends_the_connection(site, lab):
    client, root, _ = site
    path = root / "shrinks.bin"
    path.write_bytes(bytes(60_000_000))
    client.send("GET /shrinks.bin HTTP/1.1\r\nHost: x\r\n\r\n")
    assert client.read_head().fields["content-length"] == "60000000"
    path.write_bytes(b"")
    assert len(client.closed()) < 60_000_000
    del lab


def test_pipelined_files_and_origin(site):
    client, root, _ = site
    request = "GET %s HTTP/1.1\r\nHost: x\r\n\r\n"
    client.send(request % "/data.bin" + request % "/live/x.m4s" + request % "/player/")
    assert client.read_answer().body == (root / "data.bin").read_bytes()
    assert client.read_answer().body == b"origin /live/x.m4s"
    assert client.read_answer().body == b"<p>player</p>"
