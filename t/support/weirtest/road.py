"""A road between our namespace and one of clients, with a router on it that spoils it (root only).

    ours ──10.96.N.0/24, fd96:N::/64──> router ──10.95.N.0/24, fd95:N::/64──> clients

    road = Road(lab)            # .near: our address, .far: theirs; .near6, .far6; .others of ours
    road.lose(5)                # percent of UDP, each way
    road.jitter(50)             # each packet waits for 0 to 50 ms
    road.masquerade()           # clients are seen as an address and port of the router
    road.rebind()               # ... from now on as others: what a NAT does that has forgotten
"""

import os
import pathlib

from .netns import Namespace, free_number, ip

SHAPER = pathlib.Path(__file__).resolve().parents[1] / "shaper.py"


class Road:
    def __init__(self, lab):
        self.lab = lab
        self.number = number = free_number("10.96")
        self.near, self.far = f"10.96.{number}.1", f"10.95.{number}.2"
        self.near6, self.far6 = f"fd96:{number}::1", f"fd95:{number}::2"
        self.others = [f"10.96.{number}.200", f"fd96:{number}::200"]
        self.router = Namespace(lab, f"wt{os.getpid()}m{number}")
        self.clients = Namespace(lab, f"wt{os.getpid()}c{number}")
        self.mapping = 0
        device = f"wtm{os.getpid() % 100000}n{number}"
        ip("link", "add", device, "type", "veth", "peer", "name", "out", "netns", self.router.name)
        # What a sender has joined would be lost and delayed as a whole: the ends cut it up before it leaves.
        ip("link", "set", device, "gso_max_segs", "1")
        self.router.ip_there("link", "add", "in", "type", "veth", "peer", "name", "v0",
                             "netns", self.clients.name)
        for address in (self.near, self.near6, *self.others):
            ip("addr", "add", address + ("/64" if ":" in address else "/24"), "dev", device, "nodad")
        ip("link", "set", device, "up")
        self.router.set_up("out", *(f"10.96.{number}.{n}/24" for n in range(2, 9)),
                            *(f"fd96:{number}::{n}/64" for n in range(2, 9)))
        self.router.set_up("in", f"10.95.{number}.1/24", f"fd95:{number}::1/64")
        self.clients.set_up("v0", f"{self.far}/24", f"{self.far6}/64")
        self.clients.ip_there("link", "set", "v0", "gso_max_segs", "1")
        self.router.run("sysctl", "-q", "-w", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1",
                        *(f"net.ipv4.conf.{d}.rp_filter=0" for d in ("all", "default", "in", "out")))
        for family, far, there, back in (
                ("-4", f"10.95.{number}.0/24", f"10.96.{number}.2", f"10.95.{number}.1"),
                ("-6", f"fd95:{number}::/64", f"fd96:{number}::2", f"fd95:{number}::1")):
            ip(family, "route", "add", far, "via", there)
            self.clients.ip_there(family, "route", "add", "default", "via", back)

    @property
    def prefix(self):
        return self.clients.prefix

    def lose(self, percent):
        self.router.nft("-f", "-", rules=f"""table inet loss {{
            chain forward {{ type filter hook forward priority 0;
              iifname != "shape" meta l4proto udp numgen random mod 100 < {percent} counter drop
            }}
        }}""")

    def lost(self):
        """Packets that are gone by lose()."""
        rules = self.router.nft("list", "table", "inet", "loss").split()
        return int(rules[rules.index("packets") + 1])

    def jitter(self, milliseconds):
        self.router.ip_there("tuntap", "add", "shape", "mode", "tun")
        self.router.ip_there("link", "set", "shape", "up")
        self.router.run("sysctl", "-q", "-w", "net.ipv4.conf.shape.rp_filter=0")
        for family in ("-4", "-6"):
            self.router.ip_there(family, "route", "add", "default", "dev", "shape", "table", "100")
            for device in ("in", "out"):
                self.router.ip_there(family, "rule", "add", "iif", device, "ipproto", "udp", "lookup", "100")
        process = self.lab.start([*self.router.prefix, "/usr/bin/python3", SHAPER, "shape", milliseconds], "shaper")
        process.wait_log("ready")

    def masquerade(self):
        """The router is deaf for what it has no mapping of, as a NAT is. Not with jitter()."""
        self.router.nft("-f", "-", rules="""table inet deaf {
            chain input { type filter hook input priority 0; meta l4proto udp drop; }
        }""")
        self.rebind()

    def rebind(self, address=True):
        """Another address, or another port only."""
        self.mapping += 1
        host = 2 + (self.mapping if address else 0) % 7
        ports = f"{20000 + 1000 * (self.mapping % 30)}-{20999 + 1000 * (self.mapping % 30)}"
        rules = ""
        for family, word, inside, outside in (
                ("ip", "ip", f"10.95.{self.number}.0/24", f"10.96.{self.number}.{host}"),
                ("ip6", "ip6", f"fd95:{self.number}::/64", f"[fd96:{self.number}::{host}]")):
            rules += f"""table {family} mapping {{}}
                delete table {family} mapping
                table {family} mapping {{
                  chain postrouting {{ type nat hook postrouting priority 100;
                    oifname "out" {word} saddr {inside} meta l4proto udp snat to {outside}:{ports}
                  }}
                }}\n"""
        self.router.nft("-f", "-", rules=rules)
        self.router.run("conntrack", "-F")
