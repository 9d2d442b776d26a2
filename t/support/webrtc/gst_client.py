"""A real WebRTC client on GStreamer's webrtcbin (libnice, not aioice): the same command line, lines and
end as client.py.
"""

import json
import sys
import threading
import urllib.parse

import gi
import numpy

gi.require_version("Gst", "1.0")
gi.require_version("GstWebRTC", "1.0")
gi.require_version("GstSdp", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402

from http_request import request  # noqa: E402

PEER = "webrtcbin name=peer bundle-policy=max-bundle "
SEND = """
  videotestsrc is-live=true pattern=ball ! video/x-raw,width=160,height=120,framerate=10/1
    ! vp8enc deadline=1 keyframe-max-dist=20 ! rtpvp8pay pt=96 ! peer.
  audiotestsrc is-live=true freq=440 ! audio/x-raw,rate=48000,channels=2 ! opusenc ! rtpopuspay pt=97 ! peer."""
TAKE_VIDEO = "rtpvp8depay ! vp8dec"
TAKE_AUDIO = "rtpopusdepay ! opusdec ! audioconvert ! audio/x-raw,format=S16LE"
VIDEO = "application/x-rtp,media=video,encoding-name=VP8,payload=96,clock-rate=90000"
AUDIO = "application/x-rtp,media=audio,encoding-name=OPUS,payload=97,clock-rate=48000"


def say(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


class Client:
    def __init__(self, role, url):
        self.url = url
        self.location = None
        self.seen = {"video": 0, "audio": 0, "size": None, "loud": 0, "gap": None}
        self.pipeline = Gst.Pipeline()
        self.pipeline.add(Gst.parse_bin_from_description(
            PEER + (SEND if role == "publish" else ""), False))
        self.peer = self.pipeline.get_by_name("peer")
        if role == "play":
            for caps in (VIDEO, AUDIO):
                self.peer.emit("add-transceiver", GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY,
                               Gst.Caps.from_string(caps))
            self.peer.connect("pad-added", self.on_pad)
            GLib.timeout_add(200, self.report)
        else:
            for number in range(2):
                self.peer.emit("get-transceiver", number).set_property(
                    "direction", GstWebRTC.WebRTCRTPTransceiverDirection.SENDONLY)
        self.peer.connect("notify::connection-state", self.on_state)
        self.peer.connect("notify::ice-gathering-state", self.on_gathered)
        self.peer.connect("on-negotiation-needed", self.on_needed)
        self.pipeline.set_state(Gst.State.PLAYING)

    def report(self):
        say("media", **self.seen)
        return True

    def on_state(self, peer, _):
        say("state", state=peer.get_property("connection-state").value_nick)

    def on_needed(self, peer):
        peer.emit("create-offer", None, Gst.Promise.new_with_change_func(self.on_offer))

    def on_offer(self, promise):
        reply = promise.get_reply()     # owns what is taken from it
        self.peer.emit("set-local-description", reply.get_value("offer"), None)

    def on_gathered(self, peer, _):
        if peer.get_property("ice-gathering-state") == GstWebRTC.WebRTCICEGatheringState.COMPLETE:
            threading.Thread(target=self.signal, daemon=True).start()

    def signal(self):
        offer = self.peer.get_property("local-description").sdp.as_text()
        status, fields, text = request("POST", self.url, offer.encode())
        self.location = fields.get("Location", "")
        say("answer", status=status, location=self.location, sdp=text, candidates=[
            c.split(" ")[4:6] for c in text.split("\r\n") if c.startswith("a=candidate:")])
        if status == 201:
            message = GstSdp.SDPMessage.new_from_text(text)[1]
            answer = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, message)
            self.peer.emit("set-remote-description", answer, None)

    def on_pad(self, _, pad):
        if pad.direction != Gst.PadDirection.SRC:
            return
        kind = pad.get_current_caps().get_structure(0).get_string("media")
        branch = Gst.parse_bin_from_description(
            (TAKE_VIDEO if kind == "video" else TAKE_AUDIO)
            + " ! appsink name=end emit-signals=true sync=false max-buffers=5 drop=true", True)
        branch.get_by_name("end").connect("new-sample", self.on_video if kind == "video" else self.on_audio)
        self.peer.get_parent().add(branch)
        branch.sync_state_with_parent()
        pad.link(branch.get_static_pad("sink"))

    def on_video(self, sink):
        caps = sink.emit("pull-sample").get_caps().get_structure(0)
        self.seen["size"] = [caps.get_int("width").value, caps.get_int("height").value]
        self.seen["video"] += 1
        return Gst.FlowReturn.OK

    def on_audio(self, sink):
        buffer = sink.emit("pull-sample").get_buffer()
        samples = numpy.frombuffer(buffer.extract_dup(0, buffer.get_size()), numpy.int16)
        self.seen["audio"] += 1
        self.seen["loud"] = int(abs(samples.astype(int)).max())
        return Gst.FlowReturn.OK


def main(role, url):
    Gst.init(None)
    client = Client(role, url)
    loop = GLib.MainLoop()
    threading.Thread(target=lambda: (sys.stdin.read(), loop.quit()), daemon=True).start()
    loop.run()
    if client.location:
        say("deleted", status=request("DELETE", urllib.parse.urljoin(url, client.location))[0])
    client.pipeline.set_state(Gst.State.NULL)


main(*sys.argv[1:])
