"""Headless Chromium, driven through chromedriver (W3C WebDriver).

    with Browser(lab) as browser:
        browser.open(url)
        browser.run("return document.title")
        browser.console()               # what pages wrote to the console, errors among it
"""

import json
import urllib.error
import urllib.request

from .process import free_port

_FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
          "--disable-background-networking", "--disable-component-update", "--disable-sync",
          "--disable-dev-shm-usage", "--disable-extensions", "--no-proxy-server",
          "--autoplay-policy=no-user-gesture-required"]


class Browser:
    """Certificates are not verified, so that pages can come over HTTPS with one made for the test.

    prefix, host   what runs it in a namespace, and its address there
    flags          more of them for Chromium
    """

    def __init__(self, lab, prefix=(), host="127.0.0.1", flags=()):
        profile = lab.path(f"chromium-{len(lab.processes)}")
        self.host, self.port = host, free_port()
        anyone = ["--allowed-ips=", "--allowed-origins=*"] if prefix else []
        self.process = lab.start([*prefix, "chromedriver", f"--port={self.port}", *anyone],
                                 "chromedriver", env={"HOME": str(lab.dir)})
        self.process.wait_port(self.port, 30, host)
        options = {"args": [*_FLAGS, *flags, f"--user-data-dir={profile}"]}
        answer = self._call("POST", "/session", {"capabilities": {"alwaysMatch": {
            "acceptInsecureCerts": True, "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL"}}}})
        self.session = "/session/" + answer["sessionId"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._call("DELETE", self.session)

    def _call(self, method, path, body=None):
        request = urllib.request.Request(f"http://{self.host}:{self.port}{path}", method=method,
                                         data=None if body is None else json.dumps(body).encode(),
                                         headers={"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=90) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.read().decode()[:2000]}") from None

    def open(self, url):
        self._call("POST", self.session + "/url", {"url": url})

    def run(self, script):
        """Value that the script returns."""
        return self._call("POST", self.session + "/execute/sync", {"script": script, "args": []})

    def console(self):
        return [f"{row['level']} {row['message']}"
                for row in self._call("POST", self.session + "/se/log", {"type": "browser"})]
