"""A real WebRTC client on aiortc.

    client.py publish URL    sends a moving picture (VP8) and a tone (Opus) by WHIP
    client.py play URL       takes a stream by WHEP
    client.py … SECONDS      between checks of its way (5, as RFC 7675 says)

One JSON object a line: {"event": "answer", "status", "location", "candidates", "sdp"}, then
{"event": "state", "state"} whenever it changes, and about 5 a second {"event": "media", "video": frames,
"audio": frames, "size": [w, h], "loud": level of the last audio frame, "gap": longest time without a
video frame since the last line}. Ends, by DELETE of the Location, when its standard input does.
"""

import asyncio
import fractions
import json
import math
import sys
import time
import urllib.parse

import aioice.ice
import aiortc.codecs
import av
import numpy
from aiortc import (RTCConfiguration, RTCPeerConnection, RTCSessionDescription,
                    VideoStreamTrack)
from aiortc.mediastreams import AudioStreamTrack, MediaStreamError

from http_request import request

WIDTH, HEIGHT, RATE = 160, 120, 10
# aiortc offers the same number for two extensions of one bundle, and trips over it.
del aiortc.codecs.HEADER_EXTENSIONS["audio"][1:]


def say(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


class Picture(VideoStreamTrack):
    count = 0

    async def recv(self):
        if self.count == 0:
            self.start = time.time()
        else:
            await asyncio.sleep(max(0.0, self.start + self.count / RATE - time.time()))
        image = numpy.zeros((HEIGHT, WIDTH, 3), numpy.uint8)
        image[:, (self.count * 3) % WIDTH:, 1] = 200
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        frame.pts, frame.time_base = self.count * 90000 // RATE, fractions.Fraction(1, 90000)
        self.count += 1
        return frame


class Tone(AudioStreamTrack):
    async def recv(self):
        frame = await super().recv()
        size = frame.samples
        angle = (numpy.arange(size) + frame.pts) * 2 * math.pi * 440 / frame.sample_rate
        frame.planes[0].update((numpy.sin(angle) * 12000).astype(numpy.int16).tobytes())
        return frame


class Seen:
    def __init__(self):
        self.video = self.audio = self.loud = 0
        self.size = None
        self.last = self.gap = None

    async def take(self, track):
        try:
            while True:
                frame = await track.recv()
                if track.kind == "video":
                    now = time.monotonic()
                    if self.last:
                        self.gap = max(self.gap or 0, now - self.last)
                    self.last, self.size = now, [frame.width, frame.height]
                    self.video += 1
                else:
                    self.audio += 1
                    self.loud = int(abs(frame.to_ndarray()).max())
        except MediaStreamError:
            pass

    async def report(self):
        while True:
            await asyncio.sleep(0.2)
            say("media", video=self.video, audio=self.audio, size=self.size, loud=self.loud,
                gap=self.gap)
            self.gap = None


async def main(role, url, consent=5):
    aioice.ice.CONSENT_INTERVAL = float(consent)
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    pc.on("connectionstatechange", lambda: say("state", state=pc.connectionState))
    seen = Seen()
    if role == "publish":
        pc.addTrack(Picture())
        pc.addTrack(Tone())
    else:
        pc.addTransceiver("video", "recvonly")
        pc.addTransceiver("audio", "recvonly")
        pc.on("track", lambda track: asyncio.ensure_future(seen.take(track)))
    await pc.setLocalDescription(await pc.createOffer())
    status, fields, text = request("POST", url, pc.localDescription.sdp.encode())
    location = fields.get("Location", "")
    say("answer", status=status, location=location, sdp=text,
        candidates=[c.split(" ")[4:6] for c in text.split("\r\n") if c.startswith("a=candidate:")])
    if status == 201:
        await pc.setRemoteDescription(RTCSessionDescription(text, "answer"))
        if role == "play":
            asyncio.ensure_future(seen.report())
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    if status == 201 and location:
        gone = request("DELETE", urllib.parse.urljoin(url, location))
        say("deleted", status=gone[0])
    await pc.close()


asyncio.run(main(*sys.argv[1:]))
