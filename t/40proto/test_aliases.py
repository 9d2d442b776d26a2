"""Aliases: what viewers ask for in the forms of nginx-rtmp goes to the origin that its publisher is at.

Neither learning nor searching helps here, and publishers go round the origins in turn.
"""

import re

from weirtest import HttpConnection, poll
from weirtest.hookserver import HookServer

FAST = "hls_fragment 1s; hls_playlist_length 30s;"
DASH = "dash_fragment 1s; dash_playlist_length 30s;"
APPS = {
    "live": f"hls on; hls_path {{dir}}/hls; {FAST} dash on; dash_path {{dir}}/dash; {DASH}",
    # nginx takes a path once, but for who leaves its old files.
    "show": f"hls on; hls_path {{dir}}/hls; {FAST} hls_cleanup off; "
            f"dash on; dash_path {{dir}}/dash; {DASH} dash_cleanup off;",
    "nest": f"hls on; hls_path {{dir}}/nh; {FAST} hls_nested on; "
            f"dash on; dash_path {{dir}}/nd; {DASH} dash_nested on;",
    "own": f"hls on; hls_path {{dir}}/hls/own; {FAST}",
    "var": f"hls on; hls_path {{dir}}/var; {FAST} hls_variant _low BANDWIDTH=160000; "
           "hls_variant _hi BANDWIDTH=640000;",
    "push": "push rtmp://127.0.0.1:{rtmp}/live;",
}
PLACES = {"hls": "hls", "dash": "dash", "nested/hls": "nh", "nested/dash": "nd", "var": "var",
          "v.example/live": "hls"}
TYPES = ("types { application/vnd.apple.mpegurl m3u8; application/dash+xml mpd; "
         "video/mp2t ts; video/mp4 m4v m4a; }")
RULES = [("preset", "nginx_rtmp", "live", "show", "own"),
         ("preset", "nginx_rtmp", "nest", "hls=/nested/hls", "dash=/nested/dash"),
         ("preset", "nginx_rtmp", "var", "hls=/var", "dash=off", "variant=_low", "variant=_hi"),
         ("preset", "nginx_http_flv", "live", "hls=off", "dash=off"),
         ("preset", "srs"),
         ("rule", "/push/[stream]", "->", "/live/[stream]")]
QUIET = {"search": {"enabled": False}, "balance": {"policy": "round_robin"}}


def config_of(rules):
    return {"aliases": [{name: [tuple(words)]} for name, *words in rules]}


def origins_of(lab, number):
    folders = "".join(f"location /{url}/ {{ {TYPES} alias {{dir}}/{folder}/; }}\n"
                      for url, folder in PLACES.items())
    return [lab.origin(name=f"o{n}", apps=APPS, app_lines=APPS, locations=folders)
            for n in range(1, number + 1)]


def plays(weir, path, host="127.0.0.1"):
    """The body of a playlist or manifest that is there with segments."""
    def ready():
        with HttpConnection(weir.http_port) as client:
            answer = client.get(path, host=host)
        text = answer.body.decode(errors="replace")
        good = answer.status == 200 and re.search(r"[.]ts|[.]m4[va]|[.]m3u8|SegmentTemplate", text)
        return text if good else None
    return poll(f"{path} through Weir", ready, 30)


def status(weir, path):
    with HttpConnection(weir.http_port) as client:
        return client.get(path, host="127.0.0.1").status


def without_hint(uri):
    return re.sub(r"[?&]weir(_of)?=[^&]*", "", uri)


def explain(lab, weir, url):
    """(what `weir -k` prints, its exit code)."""
    process = lab.run([weir.binary, "-c", weir.conf, "-k", url], 20, check=False)
    return dict(re.findall(r"^(\w[\w ]*?) {2,}(.*)$", process.log(), re.M)), process.wait(5)


def test_every_form_goes_to_its_publishers_origin(lab, media):
    origins = origins_of(lab, 2)
    weir = lab.weir(origins=origins, http=True, workers=2,
                    config={**QUIET, **config_of(RULES), "pid_file": str(lab.path("weir.pid"))})
    # Two of each, one after the other: they are at both origins.
    for name in ("live/a", "live/b", "show/c", "show/d", "own/e", "own/f", "nest/g", "nest/h",
                 "var/i_low", "var/j_low", "push/k", "push/l", "live/m?vhost=v.example",
                 "live/n?vhost=v.example"):
        lab.publish(media, weir.url(name))
        poll(f"{name} in the table", lambda n=name.split("?")[0]: any(
            re.sub("_low$", "", n).split("/")[1] == row["stream"] and row["publishers"]
            for row in weir.streams()), 20)
    for name in ("i", "j"):  # renditions of one stream are one stream here
        lab.publish(media, weir.url(f"var/{name}_hi"))
    rows = {row["key"].split("/", 1)[1]: row for row in weir.streams()}
    assert "live/k" in rows and "push/k" not in rows and "var/i" in rows
    for key in ("live/k", "push/k", "var/i_hi"):  # the table's, and names that are asked for
        assert weir.request(f"/api/v1/streams?key=__defaultVhost__/{key}")[0] == 200, key
    assert weir.request("/api/v1/streams?key=__defaultVhost__/push/zz")[0] == 404
    used = {row["origin_name"] for row in rows.values()}
    assert used == {"o1", "o2"}

    forms = [f"/hls/{n}.m3u8" for n in "abcdef"[:4]] + [f"/dash/{n}.mpd" for n in "abcd"]
    forms += [f"/hls/own/{n}.m3u8" for n in "ef"]
    forms += [f"/nested/hls/{n}/index.m3u8" for n in "gh"] + [f"/nested/dash/{n}/index.mpd" for n in "gh"]
    forms += [f"/var/{n}{v}.m3u8" for n in "ij" for v in ("", "_low", "_hi")]
    forms += [f"/hls/{n}.m3u8" for n in "kl"] + ["/hls//./a.m3u8"]
    forms += [f"/v.example/live/{n}.m3u8" for n in "mn"]
    for path in forms:
        text = plays(weir, path)
        uris = [line for line in text.splitlines() if line and not line.startswith(("#", "<", " "))]
        # With its hint and without, as a CDN that drops queries would ask.
        for uri in uris[:1]:
            target = uri if uri.startswith("/") else path.rsplit("/", 1)[0] + "/" + uri
            assert status(weir, target) == 200, target
            assert status(weir, without_hint(target)) == 200, without_hint(target)
    for name in "abcd":
        assert status(weir, f"/dash/{name}-init.m4v") == 200
    for name in "gh":
        assert status(weir, f"/nested/dash/{name}/init.m4v") == 200
    for name in "kl":  # published as push/…, played as live/…
        lab.play(weir.url(f"live/{name}"), seconds=1)

    for url, key in ((f"http://h/hls/{n}.m3u8", f"live/{n}") for n in "abkl"):
        said, _ = explain(lab, weir, url)
        assert said["key"] == "__defaultVhost__/" + key, said
        assert said["origin"].startswith(rows[key]["origin_name"] + " "), said
        assert "published through Weir" in said["state"]
    said, code = explain(lab, weir, "http://h/live?app=push&stream=k")
    assert said["key"] == "__defaultVhost__/live/k" and code == 0
    said, code = explain(lab, weir, "http://h/hls/nobody.m3u8")
    assert said["state"] == "nobody knows this stream" and "o1, o2" in said["origin"]
    said, code = explain(lab, weir, "srt://h?streamid=push/a")
    assert said["key"] == "__defaultVhost__/live/a" and code == 1
    assert "has no endpoint for this protocol" in said["not"]

    # The rules are those of the configuration that is in force.
    weir.reload(config={**QUIET, "pid_file": str(lab.path("weir.pid"))})
    status(weir, "/hls/a.m3u8")
    assert "hls/a" in {row["key"].split("/", 1)[1] for row in weir.streams()}


def test_hooks_judge_every_stream_that_a_request_may_mean(lab, media):
    origins = origins_of(lab, 2)
    hooks = HookServer(
        lab, lambda body: "0" if body["app"] == "live" or body["action"] == "on_publish" else "1")
    weir = lab.weir(origins=origins, http=True, config={
        **QUIET, **config_of(RULES), "hooks": {"on_play": hooks.url(), "on_publish": hooks.url(), "cache_ttl": 0}})
    lab.publish(media, weir.url("live/a"))
    lab.publish(media, weir.url("show/secret"))
    poll("both", lambda: len(weir.streams()) == 2, 20)

    def asked(path):
        hooks.bodies.clear()
        code = status(weir, path)
        return code, sorted((b["app"], b["stream"]) for b in hooks.bodies)

    plays(weir, "/hls/a.m3u8")
    assert asked("/hls/a.m3u8") == (200, [("live", "a")])
    assert asked("/hls/secret.m3u8") == (403, [("show", "secret")])
    # Nobody knows which one it is: all must be allowed. (own/x and show/x are not.)
    code, names = asked("/hls/nobody.m3u8")
    assert code == 403 and names and ("live", "nobody") not in names
    # A segment of SRS's, or a live stream of its own.
    assert asked("/live/a-7.ts")[1] == [("live", "a"), ("live", "a-7")]
    # Segments are judged as their playlist was; a shorter part of another name is no way round.
    uri = next(line for line in plays(weir, "/hls/a.m3u8").splitlines() if ".ts" in line)
    assert asked("/hls/" + uri.rsplit("/", 1)[-1]) == (200, [("live", "a")])
    assert asked("/hls/secret-0.ts?weir_of=11")[0] == 403
    assert asked("/hls/show/a.m3u8?weir_of=9") == (403, [("show", "a")])
    # A publisher is judged under the name that its viewers ask for.
    lab.publish(media, weir.url("push/z"))
    poll("its hook", lambda: hooks.seen("on_publish"), 20)
    assert [(b["app"], b["stream"]) for b in hooks.seen("on_publish")][-1] == ("live", "z")


def test_published_past_weir(lab, media):
    """Learned, and found by a search: rows have the key that viewers' names have."""
    origins = origins_of(lab, 2)
    weir = lab.weir(origins=origins, http=True, env={"WEIR_LEARN": "auto"},
                    config={**config_of(RULES), "balance": {"policy": "round_robin"}})
    for name, at in (("push/a", 0), ("live/b", 1), ("var/c_low", 1), ("var/c_hi", 1)):
        lab.publish(media, f"rtmp://127.0.0.1:{origins[at].rtmp_port}/{name}")

    def learned():
        return {row["key"].split("/", 1)[1]: row["origin_name"] for row in weir.streams() if row["learned"]}
    poll("keys", lambda: learned() == {"live/a": "o1", "live/b": "o2", "var/c": "o2"}, 20)
    for path in ("/hls/a.m3u8", "/hls/b.m3u8", "/dash/b.mpd", "/var/c.m3u8", "/var/c_hi.m3u8"):
        plays(weir, path)
    assert learned() == {"live/a": "o1", "live/b": "o2", "var/c": "o2"}
    assert weir.metric("weir_streams") == 3
