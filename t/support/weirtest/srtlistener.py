"""A libsrt listener as a process of its own, so that a test sees it die."""

import pathlib
import sys
import threading

from .process import free_port
from .srt import SrtSocket, lib

SUPPORT = pathlib.Path(__file__).resolve().parents[1]


class ListenerProcess:
    rtmp_port = 1

    def __init__(self, lab, passphrase=""):
        self.port = free_port(udp=True)
        self.process = lab.start([sys.executable, "-m", "weirtest.srtlistener", self.port, passphrase],
                                 f"srt-listener{self.port}", env={"PYTHONPATH": str(SUPPORT)})
        self.process.wait_log("listens")

    @property
    def alive(self):
        return self.process.alive


def drain(accepted):
    while accepted.recv():
        pass
    accepted.close()


def main():
    options = {"passphrase": sys.argv[2]} if len(sys.argv) > 2 and sys.argv[2] else {}
    listener = SrtSocket(peeridletimeo=2000, **options)
    listener.bind(int(sys.argv[1]))
    assert lib().srt_listen(listener.number, 1024) == 0
    print("listens", flush=True)
    while (number := lib().srt_accept(listener.number, None, None)) >= 0:
        threading.Thread(target=drain, args=(SrtSocket(number),), daemon=True).start()


if __name__ == "__main__":
    main()
