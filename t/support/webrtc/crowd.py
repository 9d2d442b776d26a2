"""Many real WebRTC sessions without media: crowd.py URL …

Each URL is a WHEP address; its session is a data channel (ICE, DTLS and SCTP of aiortc). One JSON object a
line: {"event": "session", "url", "status", "remote": [address, port] of the way, "said": what the origin's
end answered}. Standard input: each line makes every session ask again; at its end all leave by DELETE, and
{"event": "deleted", "statuses": [...]} is the last line.
"""

import asyncio
import json
import sys
import urllib.parse

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from http_request import request


def say(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


class Session:
    def __init__(self, url):
        self.url = url
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.channel = self.pc.createDataChannel("who")
        self.channel.on("open", self.ask)
        self.channel.on("message", self.on_message)

    def ask(self):
        if self.channel.readyState == "open":
            self.channel.send("who are you?")

    def on_message(self, text):
        pair = self.pc.sctp.transport.transport._connection._nominated[1]
        say("session", url=self.url, status=self.status, remote=pair.remote_addr, said=json.loads(text))

    async def join(self):
        await self.pc.setLocalDescription(await self.pc.createOffer())
        self.status, fields, text = await asyncio.to_thread(
            request, "POST", self.url, self.pc.localDescription.sdp.encode())
        self.location = urllib.parse.urljoin(self.url, fields.get("Location", ""))
        if self.status != 201:
            say("session", url=self.url, status=self.status, remote=None, said=text)
            return
        await self.pc.setRemoteDescription(RTCSessionDescription(text, "answer"))

    async def leave(self):
        status, _, _ = await asyncio.to_thread(request, "DELETE", self.location)
        await self.pc.close()
        return status


async def main(urls):
    sessions = [Session(url) for url in urls]
    for session in sessions:    # one after the other: a machine under load answers each in time
        await session.join()
    while await asyncio.to_thread(sys.stdin.readline):
        for session in sessions:
            session.ask()
    say("deleted", statuses=[await session.leave() for session in sessions])


asyncio.run(main(sys.argv[1:]))
