"""Streams that were published past Weir, at real nginx-rtmp: found, and followed when they move."""

from weirtest import poll

ON = {"WEIR_LEARN": "auto"}


def where(weir, name):
    return next((each["origin_name"] for each in weir.streams()
                 if each["learned"] and each["stream"] == name), None)


def test_published_directly_and_moved(lab, media):
    origins = [lab.origin(name="a"), lab.origin(name="b")]
    weir = lab.weir(origins=origins, http=True, env=ON)
    publishers = {}
    for i in range(4):
        at = origins[i % 2]
        publishers[i] = lab.publish(media, f"rtmp://127.0.0.1:{at.rtmp_port}/live/s{i}")
    for i in range(4):
        poll(f"s{i} is learned", lambda i=i: where(weir, f"s{i}") == f"o{i % 2 + 1}")
        lab.rtmpdump(f"rtmp://127.0.0.1:{weir.rtmp_port}/live/s{i}", size=20_000)
    publishers[0].stop()
    lab.publish(media, f"rtmp://127.0.0.1:{origins[1].rtmp_port}/live/s0")
    poll("s0 has moved", lambda: where(weir, "s0") == "o2")
    lab.rtmpdump(f"rtmp://127.0.0.1:{weir.rtmp_port}/live/s0", size=20_000)
    publishers[1].stop()
    poll("s1 is gone", lambda: where(weir, "s1") is None)


def test_names_of_hosts_that_mean_no_vhost(lab, media):
    """docs/STREAMS.md says how nginx-rtmp's streams are found by players who ask by a name with a dot."""
    origins = [lab.origin(name="a"), lab.origin(name="b")]
    weir = lab.weir(origins=origins, http=True, env=ON, config={
        "aliases": [{"rule": [("//[vhost]/[path*]", "->", "//__defaultVhost__/[path]")]}]})
    for i in range(4):
        lab.publish(media, origins[i % 2].url(f"live/s{i}"))
    for i in range(4):
        poll(f"s{i} is learned", lambda i=i: where(weir, f"s{i}") == f"o{i % 2 + 1}")
        lab.rtmpdump(weir.url(f"live?vhost=play.example.com/s{i}"), size=20_000)
    assert {row["vhost"] for row in weir.streams()} == {"__defaultVhost__"}
