"""Each address of a name is an origin: added and drained as the answer changes, kept when name servers
fail; players elsewhere notice nothing."""

import os
import signal

import pytest
from rtmp_helpers import noise_tags, player, publisher, quiet
from weirtest import poll
from weirtest.dnsserver import DnsServer

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
    config = {"resolver": {"nameservers": dns.address, "timeout": "100ms", "ttl_min": "100ms"},
              "balance": {"probe_interval": "200ms", "eject_time": "1s", "max_fails": 2},
              "stream_idle_timeout": "1s",
              f"origins_from {NAME}:{port}": {"absent_timeout": "1s", **block}}
    return lab.weir(config=quiet(**config)), config


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
    publisher(weir, "a")
    assert weir.register(fake, "srs-1", ip="127.0.0.2")[0] == 200
    ident = weir.origins()[0]["id"]
    dns.set(NAME, ["127.0.0.9"], ttl=0)
    wait(weir, "127.0.0.9", left=["127.0.0.2"])
    assert weir.register(fake, "srs-1", ip="127.0.0.2")[0] == 200
    wait(weir, "127.0.0.9")
    row = next(one for one in weir.origins() if one["id"] == ident)
    assert row["from"] == "registration" and not row["draining"] and row["publishers"] == 1
