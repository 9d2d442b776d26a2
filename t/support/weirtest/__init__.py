"""Harness of the process tests: real servers, real clients, and raw RTMP where those can't show it.

Everything is started inside a Lab (the pytest fixture `lab`), which owns a temporary directory and
ends all processes by pid when the test ends; logs of a failed test are printed.

    def test_play(lab, media):                      # media: path of a 6 s H.264+AAC FLV
        origin = lab.origin()                       # nginx-rtmp; .rtmp_port .http_port .streams()
        weir = lab.weir(origins=[origin])           # build/weir; ready when this returns
        pub = lab.publish(media, weir.url("live/a"))        # ffmpeg, real time, loops
        origin.wait_stream("a")
        out = lab.play(weir.url("live/a"), seconds=3)       # path of the FLV that was played
        assert_same_media(media, out)               # packets bit-identical, in order, from a key frame

Lab      path(name) run(argv) start(argv, name=) wait(process) origin(**) weir(**) fake_origin(**)
         notify() publish() play() rtmpdump() gst_publish() gst_play() media(**)
         Process: pid log() wait_log(text) wait_port(port) stop() kill() signal(n) alive wait(seconds)
Origin   Origin(lab, app="live", chunk_size=, deny_publish=, deny_play=, wait_key=, notify=, hls=, ...)
         url(path) streams() clients(stream) wait_stream(name) drop(stream) kill() pause() resume()
         restart()
Weir     Weir(lab, origins=, config={}, env={}, http=, ...): url(path) http_url(path) api(path) post(path, json)
         request() metrics() metric(name, **labels) streams() origins() workers() pids(kind) wait_ready()
         reload(config) rewrite(config) upgrade(pid_file) signal(n) generation() descriptors() pss() log()
RtmpClient(host, port)  connect() create_stream() publish() play() publish_tags() read_message()
         wait_command() read_media() and every wire choice (handshake kind, chunk size, header
         compression, extended timestamps): see rtmp.py
FakeOrigin(lab)  a scripted RTMP server for what real ones can't show (Behaviour): see fakeorigin.py
HttpOrigin(lab, serve)   a scripted HTTP server; HttpConnection: a raw HTTP client: see httporigin.py
node     NodeMediaServer(lab), run_node(): origin and packages from npm: see node.py
players  Player(lab, "vlc", url).wait_video(media), WebSocketFlv(port, path): see players.py
hlscrowd HlsCrowd: HLS viewers by the hundred: see hlscrowd.py; load: FLV and RTMP sessions: load.py
flv      read(path) write(path, tags) packets(path) assert_same_media() enhanced_hevc(): see flv.py
poll(what, predicate, timeout)   waits for a condition with a deadline; never sleep in a test
free_port()   a TCP port that nobody else in this run gets
Road(lab)     a namespace of clients behind a router that loses, delays and translates (root only): see road.py
Root(lab)     a Debian root under its own systemd (root only): see root.py; Service(root): Weir in it: service.py
Link(lab)     a network namespace beside ours, with loss if wanted (root only): see netns.py
"""

from .fakeorigin import Behaviour, FakeOrigin
from .flv import assert_same_media, packets
from .httporigin import HttpConnection, HttpOrigin
from .lab import Lab
from .origin import NotifyServer, Origin
from .process import Process, build_dir, free_port, poll, repo_dir, sanitized
from .rtmp import Message, RtmpClient, RtmpError
from .weir import Weir

__all__ = ["Behaviour", "FakeOrigin", "HttpConnection", "HttpOrigin", "Lab", "Message",
           "NotifyServer", "Origin", "Process", "RtmpClient", "RtmpError", "Weir", "assert_same_media", "build_dir", "free_port",
           "packets", "poll", "repo_dir", "sanitized"]
