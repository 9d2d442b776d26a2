"""Holds each packet of a tun device for a random time and gives it back: shaper.py DEVICE MILLISECONDS.

Routes lead packets into the device; what comes out of it again goes where it would have gone.
"""

import asyncio
import fcntl
import os
import random
import struct
import sys

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000


async def main(device, longest):
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH", device.encode(), IFF_TUN | IFF_NO_PI))
    loop = asyncio.get_running_loop()

    def take():
        try:
            while True:
                loop.call_later(random.uniform(0, longest), os.write, tun, os.read(tun, 65536))
        except BlockingIOError:
            pass
    loop.add_reader(tun, take)
    print("ready", file=sys.stderr, flush=True)
    await asyncio.Event().wait()


asyncio.run(main(sys.argv[1], int(sys.argv[2]) / 1000))
