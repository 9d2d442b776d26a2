"""Each address of a name is an origin: added and drained as the answer changes, kept when name servers
fail; players elsewhere notice nothing."""

import os
import signal
import urllib.request

import pytest
from rtmp_helpers import noise_tags, player, publisher, quiet
from test_kept import kill_everything
from weirtest import free_port, poll
from weirtest.dnsserver import Dnsmasq, DnsServer

NAME = "srs.media.test"


def named(weir):
    """{address: whether it has left} of the name's origins."""
    return {row["ip"]: row["left"] for row in weir.origins() if row["from"] == NAME}


def wait(weir, *there, left=()):
    want = {**{ip: False for ip in there}, **{ip: True for ip in left}}
    poll(f"the name is {want}", lambda: named(weir) == want, 20)


@pytest.fixture(name="dns")
def make_dns(lab):
    return DnsServer(lab)


def start(lab, dns, port, **block):
    config = {"resolver": {"nameservers": dns.address, "timeout": "100ms", "ttl_min": "100ms",
                           "ttl_max": "1s"},
              "balance": {"probe_interval": "200ms", "eject_time": "1s", "max_fails": 2},
              "stream_idle_timeout": "1s", "pid_file": str(lab.path("weir.pid")),
              f"origins_from {NAME}:{port}": {"absent_timeout": "1s", **block}}
    return lab.weir(config=quiet(**config), http=True), config


def test_set_changes_under_load(lab, dns):
    """Addresses come and go beside players, by every fault of a name server and over a reload."""
    first = lab.fake_origin(media=noise_tags(4000), ip="127.0.0.2")
    port = first.rtmp_port
    second = lab.fake_origin(media=noise_tags(4000), ip="127.0.0.3", port=port)
    dns.set(NAME, ["127.0.0.2"], ttl=0)
    weir, config = start(lab, dns, port)
    wait(weir, "127.0.0.2")
    row, = weir.origins()
    assert row["name"] == "srs-127.0.0.2" and row["static"] and row["state"] == "up"
    watching = player(weir, "a")
    watching.read_media(5)
    dns.set(NAME, ["127.0.0.3", "127.0.0.2"], ttl=0)
    wait(weir, "127.0.0.2", "127.0.0.3")
    # A thousand more, over TCP, others each time: no more than the table has.
    for turn in (1, 2, 3):
        dns.set(NAME, ["127.0.0.2", "127.0.0.3"] + [f"127.{turn}.{i // 250}.{1 + i % 250}" for i in range(998)],
                ttl=0)
        poll("they are there", lambda p=f"127.{turn}.": sum(  # noqa: B023
            one["ip"].startswith(p) and not one["left"] for one in pages(weir)) == 998, 30)
        watching.read_media(5)
    assert dns.tcp_queries
    dns.set(NAME, ["127.0.0.3"], ttl=0)
    wait(weir, "127.0.0.3", left=["127.0.0.2"])
    player(weir, "b").read_media(5)
    assert len(first.media_sessions()) == len(second.media_sessions()) == 1
    # What is no answer changes nothing, in new workers neither.
    for mode in ("silent", "servfail", "garbage", "truncated_only_udp", "nxdomain"):
        dns.mode = mode
        asked = dns.asked(NAME)
        [victim] = weir.pids("control")
        os.kill(victim, signal.SIGKILL)
        poll("another control worker", lambda v=victim: weir.pids("control") not in ([], [v]))
        weir.wait_ready()
        poll("it asks", lambda a=asked: dns.asked(NAME) > a + 2, 20)
        assert named(weir) == {"127.0.0.3": False, "127.0.0.2": True}, mode
    weir.reload(config)
    assert named(weir) == {"127.0.0.3": False, "127.0.0.2": True}
    watching.read_media(5)
    # Of a name that is not there those stay that answer their probes.
    second.stop()
    weir.wait_log("is said to have no address any more")
    poll("gone, as nobody answers there", lambda: "127.0.0.3" not in named(weir) or named(weir)["127.0.0.3"], 20)
    dns.mode = "ok"
    dns.set(NAME, ["127.0.0.2"], ttl=0)
    poll("back", lambda: named(weir).get("127.0.0.2") is False, 20)
    watching.read_media(5)
    assert weir.metric("weir_named_origin_changes_total", change="back") >= 1
    assert weir.metric("weir_named_origins", host=NAME, state="named") == 1
    # The block goes: its origin drains, its player stays.
    bare = {key: value for key, value in config.items() if not key.startswith("origins_from")}
    weir.reload(quiet(**bare))
    wait(weir, left=["127.0.0.2"])
    watching.read_media(5)
    watching.close()
    poll("removed, nobody is there", lambda: not named(weir), 20)


def pages(weir):
    rows = []
    while True:
        page = weir.api(f"origins?start={len(rows)}&count=500")["origins"]
        rows += page
        if len(page) < 500:
            return rows


def test_registered_and_named(lab, dns):
    """One server is one origin; one that the name has lost stays while it registers."""
    fake = lab.fake_origin(media=noise_tags(1000), ip="127.0.0.2")
    dns.set(NAME, ["127.0.0.2"], ttl=0)
    weir, _ = start(lab, dns, fake.rtmp_port)
    wait(weir, "127.0.0.2")
    publishing = publisher(weir, "a")
    assert weir.register(fake, "srs-1", ip="127.0.0.2")[0] == 200
    ident = weir.origins()[0]["id"]
    dns.set(NAME, ["127.0.0.9"], ttl=0)
    wait(weir, "127.0.0.9", left=["127.0.0.2"])
    assert weir.register(fake, "srs-1", ip="127.0.0.2")[0] == 200
    wait(weir, "127.0.0.9")
    row = next(one for one in weir.origins() if one["id"] == ident)
    assert row["from"] == "registration" and not row["draining"] and row["publishers"] == 1
    publishing.close()


def test_what_answers_hold(lab, dns):
    """Behind a CNAME, twice, of both families, mapped, none of a host; more than count; TTLs."""
    dns.set(NAME, ["127.0.0.2", "224.0.0.1", "127.0.0.2", "::1", "::ffff:127.0.0.9", "0.0.0.0", "127.0.0.3"],
            ttl=0, cname="pods.test")
    weir, _ = start(lab, dns, free_port())
    wait(weir, "127.0.0.2", "127.0.0.3", "::1")
    many = [f"127.1.{i // 250}.{1 + i % 250}" for i in range(1100)]
    dns.set(NAME, many, ttl=0)
    poll("as many as count", lambda: sum(row["ip"] != "::1" for row in pages(weir)) == 1024, 30)
    before = [weir.metric("weir_named_origin_changes_total", change=what) for what in ("added", "drained")]
    dns.set(NAME, many[::-1], ttl=0)
    asked = dns.asked(NAME)
    poll("the other order is known", lambda: dns.asked(NAME) > asked + 6, 20)
    assert before == [weir.metric("weir_named_origin_changes_total", change=what)
                      for what in ("added", "drained")]
    assert "left_out=76" in weir.log()
    dns.set(NAME, ["127.0.0.2"], ttl=2**31 - 1)
    poll("one", lambda: [row["ip"] for row in pages(weir)] == ["127.0.0.2"], 20)
    dns.set(NAME, ["127.0.0.3"], ttl=0)
    poll("another", lambda: [row["ip"] for row in pages(weir)] == ["127.0.0.3"], 20)


def test_upgrade_while_the_name_server_is_silent(lab, dns):
    """The new program has them from the old one, with what had left and was drained."""
    first = lab.fake_origin(ip="127.0.0.2")
    lab.fake_origin(ip="127.0.0.3", port=first.rtmp_port)
    dns.set(NAME, ["127.0.0.2"], ttl=0)
    weir, _ = start(lab, dns, first.rtmp_port)
    wait(weir, "127.0.0.2")
    publishing = publisher(weir, "a")
    dns.set(NAME, ["127.0.0.3", "127.0.0.4"], ttl=0)
    wait(weir, "127.0.0.3", "127.0.0.4", left=["127.0.0.2"])
    drained = next(row["id"] for row in weir.origins() if row["ip"] == "127.0.0.4")
    assert weir.request(f"/api/v1/origins/{drained}/drain", "POST")[0] == 200
    dns.mode = "silent"
    weir.upgrade(lab.path("weir.pid"))
    weir.wait_log("generation drains")
    assert named(weir) == {"127.0.0.2": True, "127.0.0.3": False, "127.0.0.4": False}
    assert {row["ip"] for row in weir.origins() if row["draining"]} == {"127.0.0.2", "127.0.0.4"}
    held = [publishing, publisher(weir, "b"), player(weir, "a")]
    assert {row["stream"]: row["origin_name"] for row in weir.streams()} == {"a": "srs-127.0.0.2", "b": "srs-127.0.0.3"}
    held.clear()


def test_restart_while_the_name_server_is_silent(lab, dns):
    """After the end of everything the new service has them, and their streams, from the file."""
    first = lab.fake_origin(ip="127.0.0.2")
    lab.fake_origin(ip="127.0.0.3", port=first.rtmp_port)
    dns.set(NAME, ["127.0.0.2", "127.0.0.3"], ttl=0)
    weir, _ = start(lab, dns, first.rtmp_port)
    wait(weir, "127.0.0.2", "127.0.0.3")
    held = [publisher(weir, name) for name in "abcd"]
    before = {row["stream"]: row["origin_name"] for row in weir.streams()}
    assert set(before.values()) == {"srs-127.0.0.2", "srs-127.0.0.3"}
    dns.mode = "silent"
    kill_everything(weir)
    held.clear()
    weir.start()
    assert named(weir) == {"127.0.0.2": False, "127.0.0.3": False}
    assert {row["stream"]: row["origin_name"] for row in weir.streams()} == before


def test_real_name_server_and_origins(lab, media):
    """dnsmasq and nginx-rtmp: publishers and players run while addresses come and go; who is at one
    that has left stays, new streams go elsewhere."""
    dns = Dnsmasq(lab, cnames=[(NAME, "set.media.test"), ("set.media.test", "pods.media.test")])
    first = lab.origin(name="first", listen_ip="127.0.0.2", hls=True)
    ports = {"rtmp_port": first.rtmp_port, "http_port": first.http_port}
    second = lab.origin(name="second", listen_ip="127.0.0.3", **ports)
    third = lab.origin(name="third", listen_ip="127.0.0.4", **ports)

    def pods(*last, more=()):
        dns.set("pods.media.test", [f"127.0.0.{one}" for one in last] + list(more))
    pods(2, more=["::1"])  # nobody listens there
    weir, config = start(lab, dns, first.rtmp_port, http=first.http_port)
    wait(weir, "127.0.0.2", "::1")
    poll("nobody answers there", lambda: {row["ip"]: row["state"] for row in weir.origins()}
         == {"127.0.0.2": "up", "::1": "ejected"}, 20)
    publishing = lab.publish(media, weir.url("live/a"))
    first.wait_stream("a")
    watching = player(weir, "a")
    watching.read_media(20)
    pods(2, 3)
    wait(weir, "127.0.0.2", "127.0.0.3")
    # Published past Weir at one of them.
    lab.publish(media, second.url("live/direct"), name="direct")
    second.wait_stream("direct")
    lab.play(weir.url("live/direct"), seconds=1)
    pods(3, 4)
    wait(weir, "127.0.0.3", "127.0.0.4", left=["127.0.0.2"])
    others = [publisher(weir, name) for name in ("b", "c", "d")]
    assert first.streams() == ["a"] and sorted(second.streams() + third.streams()) == ["b", "c", "d", "direct"]
    lab.play(weir.url("live/a"), seconds=1)
    with urllib.request.urlopen(weir.http_url("live/a.m3u8"), timeout=10) as answer:
        assert answer.status == 200
    # A thousand, over TCP, in another order each time.
    pods(3, 4, more=[f"127.1.{i // 250}.{1 + i % 250}" for i in range(998)])
    poll("they are there", lambda: sum(not row["left"] for row in pages(weir)) == 1000, 30)
    changes = weir.metric("weir_named_origin_changes_total", change="drained")
    asked = weir.metric("weir_name_answers_total", result="ok")
    poll("answers in other orders", lambda: weir.metric("weir_name_answers_total", result="ok") > asked + 3, 20)
    assert weir.metric("weir_named_origin_changes_total", change="drained") == changes
    pods(3, 4)
    wait(weir, "127.0.0.3", "127.0.0.4", left=["127.0.0.2"])
    # It is ended, and comes back without its names.
    dns.process.stop()
    poll("nobody answers", lambda: weir.metric("weir_name_answers_total", result="failed") +
         weir.metric("weir_name_answers_total", result="timeout") > 1, 20)
    pods()
    dns.start()
    weir.wait_log("is said to have no address any more")
    watching.read_media(20)
    assert named(weir) == {"127.0.0.3": False, "127.0.0.4": False, "127.0.0.2": True}
    pods(3, 4)
    for one in others:
        one.close()
    watching.read_media(20)
    assert publishing.alive and first.streams() == ["a"]
    watching.close()
    publishing.stop()
    wait(weir, "127.0.0.3", "127.0.0.4")
