"""Headless Chromium plays FLV (mpegts.js) and HLS (hls.js) from a page that Weir serves over HTTPS."""

import os
import shutil
import signal
import time

from weirtest import free_port, poll, repo_dir
from weirtest.browser import Browser
from weirtest.load import established
from weirtest.node import NodeMediaServer, node_modules
from weirtest.tls import Ca, tls_config

SECONDS = float(os.environ.get("BROWSER_SECONDS", "30"))
STANDSTILL = 10.0  # longest time without a step of currentTime, on a loaded machine


def make_site(lab):
    site = lab.path("site")
    site.mkdir()
    shutil.copy(repo_dir() / "t/support/player.html", site)
    shutil.copy(node_modules() / "mpegts.js/dist/mpegts.js", site)
    shutil.copy(node_modules() / "hls.js/dist/hls.min.js", site)
    return site


def publish_one_each(lab, weir, media, nginx, nms):
    """(name at node-media-server, name at nginx-rtmp), both published through Weir."""
    for name in "ab":
        lab.publish(media, weir.url(f"live/{name}"))
        poll(f"stream {name}", lambda n=name: n in nginx.streams() + nms.streams(), 20)
    [flv], [hls] = nms.streams(), nginx.streams()
    playlist = nginx.dir / "hls" / f"{hls}.m3u8"
    poll("segments", lambda: playlist.exists() and playlist.read_text().count("#EXTINF") >= 3, 30)
    return flv, hls


class Progress:
    """Samples of both players; each must move on all the time."""

    def __init__(self, browser):
        self.browser = browser
        self.first = self.last = None
        self.moved = [time.monotonic()] * 2

    def played(self):
        now = self.browser.run("return state()")
        assert not self.browser.run("return faults"), self.browser.run("return faults")
        self.first = self.first or now
        for number, row in enumerate(now):
            if self.last is None or row["time"] > self.last[number]["time"]:
                self.moved[number] = time.monotonic()
            silent = time.monotonic() - self.moved[number]
            assert silent < STANDSTILL, f"player {number} stands still: {now} {self.browser.console()}"
        self.last = now
        return min(row["time"] - was["time"] for row, was in zip(now, self.first))


def test_flv_and_hls_play_on_through_a_reload_and_a_kill(lab, media):
    nginx, nms = lab.origin(hls=True), NodeMediaServer(lab)
    port, config = free_port(), {"log": {"level": "info"}}
    config |= tls_config(port, Ca(lab).issue("localhost", ips=["127.0.0.1"]))
    weir = lab.weir(origins=[nginx, nms], workers=2, http={"static_files": make_site(lab)},
                    config=config)
    flv, hls = publish_one_each(lab, weir, media, nginx, nms)
    with Browser(lab) as browser:
        browser.open(f"https://127.0.0.1:{port}/player.html?flv=/live/{flv}.flv&hls=/live/{hls}.m3u8")

        def both_play():
            assert not browser.run("return faults"), browser.run("return faults")
            return all(row["frames"] > 20 for row in browser.run("return state()"))
        poll("both players have frames", both_play, 60, 0.5)
        progress = Progress(browser)

        def play_until(seconds):
            poll(f"{seconds} s played", lambda: progress.played() >= seconds, 60 + 4 * seconds, 0.5)
        play_until(SECONDS / 3)
        carriers = [pid for pid in weir.pids("http") if established(pid, port)]
        weir.reload(config)
        play_until(SECONDS * 2 / 3)
        # The FLV player is still with a worker of the first generation.
        victims = [pid for pid in weir.pids("http") if pid not in carriers]
        os.kill(victims[0], signal.SIGKILL)
        poll("respawned", lambda: len(weir.pids("http")) == 2 and victims[0] not in weir.pids("http"))
        play_until(SECONDS)
        assert all(row["frames"] > SECONDS * 10 for row in progress.last)
