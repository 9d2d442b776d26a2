"""A scripted RTMP origin, for what real servers do too seldom to wait for.

    fake = lab.fake_origin(Behaviour(stream_id=5, compress="max", chunk_size=300))
    …
    session = fake.wait_session()          # a client came through
    session.connect_object["tcUrl"], session.publish_name, session.play_name, session.commands
    session.tags                           # what was published to it (flv.Tag list)
    session.raw                            # every byte that came, handshake included
    fake.media = flv.read(path)            # what players get, again and again

Each connection has a thread of its own and takes fake.behaviour as it is when it is accepted; a
callable there is asked for each connection: behaviour(number) → Behaviour.
"""

import dataclasses
import os
import socket
import threading
import time

from . import rtmp
from .flv import Tag
from .process import free_port, poll


@dataclasses.dataclass
class Behaviour:
    stream_id: int = 1                # answer to createStream
    stream_ids: tuple = ()            # of the first, the second... createStream, then stream_id
    connect_transaction: int = -1     # of the answer to connect; -1: the client's
    answers_all: bool = False         # releaseStream, FCPublish, FCUnpublish too, as SRS does
    bw_done: bool = False             # onBWDone behind the answer to connect
    answer_csid: int = 3              # chunk stream of answers
    connect_info: dict = dataclasses.field(default_factory=dict)  # into _result's second object
    chunk_size: int = 4096            # 128: none is announced
    late_chunk_size: int = 0          # changed again after the first media
    compress: str = "full"            # headers of what it sends: see rtmp.ChunkWriter
    repeat_extended: bool = True
    timestamp_base: int = 0           # added to media timestamps
    csid_offset: int = 0              # moves media to other chunk streams
    accept_delay: float = 0.0         # before S0
    split: int = 0                    # send in pieces of so many bytes
    drop_after_accept: bool = False   # close at once
    stall: str = ""                   # "accept", "handshake", "connect", "createStream", "start", "media"
    bad_version: bool = False         # S0 other than 3
    half_handshake: bool = False      # S0 and a part of S1, then close
    garbage_after: str = ""           # "handshake", "connect", "start": random bytes from there on
    close_after: str = ""             # "handshake", "connect", "createStream", "start"
    reset: bool = False               # …with RST
    reject_connect: str = ""          # code of the _error to connect
    reject_publish: str = ""          # code of the onStatus error
    reject_play: str = ""
    # By stream: "media", "promise" (Play.Start alone), "silence", "close", "not found" (as nginx-rtmp
    # says it with idle_streams off), "reset" (Play.Reset, then the same), "_error", or the code of an
    # onStatus error, after which it stays.
    # Of those that are not named: what stands at "".
    plays: dict = dataclasses.field(default_factory=dict)
    extra_connect: dict = dataclasses.field(default_factory=dict)  # into _result's first object
    extra_messages: tuple = ()        # (type, body) sent before the answer to connect
    aggregate: int = 0                # so many tags in one aggregate message
    realtime: bool = True             # pace media
    read_media: bool = True           # False: a publisher's media is never read
    prefix: int = 0                   # bytes of client address before C0 that it expects (0xF3 …)


class _Ended(Exception):
    pass


class Session(rtmp.Link):
    def __init__(self, owner, sock, peer, number, behaviour):
        super().__init__(sock, timeout=60.0)
        self.owner = owner
        self.peer = peer
        self.number = number
        self.behaviour = behaviour
        self.keep_raw = True
        self.prefix = b""
        self.handshake_digest = None
        self.connect_object = None
        self.commands = []       # every command, as lists
        self.messages = []       # (type, stream id, timestamp, csid, fmts) of all that came
        self.publish_name = None
        self.play_name = None
        self.tags = []           # published media
        self.error = None        # why it ended
        self.done = threading.Event()

    def send_raw(self, data):
        step = self.behaviour.split or len(data) or 1
        for at in range(0, len(data), step):
            super().send_raw(data[at:at + step])

    def run(self):
        try:
            self._run()
        except (_Ended, rtmp.RtmpError, OSError, ValueError) as error:
            self.error = error
        finally:
            self.done.set()
            if self.behaviour.reset:
                self.reset()
            else:
                self.close()

    def _at(self, point):
        """Stops, stalls or turns to garbage here if the behaviour says so."""
        if self.behaviour.close_after == point:
            raise _Ended(point)
        if self.behaviour.garbage_after == point:
            self.send_raw(os.urandom(65536))
        if self.behaviour.stall == point:
            self.owner.stopping.wait()
            raise _Ended(point)

    def _run(self):
        b = self.behaviour
        if b.drop_after_accept:
            raise _Ended("accept")
        self._at("accept")
        if b.accept_delay:
            self.owner.stopping.wait(b.accept_delay)
        self.within(self.timeout)
        self.prefix = self.recv(b.prefix) if b.prefix else b""
        self.recv(1)
        c1 = self.recv(1536)
        self.handshake_digest = rtmp.find_digest(c1, rtmp.CLIENT_KEY)
        if self.handshake_digest:
            s1 = rtmp.make_digest_packet(rtmp.SERVER_KEY, version=b"\x04\x05\0\x01")
            s2 = rtmp.make_digest_answer(self.handshake_digest, rtmp.SERVER_KEY)
        else:
            s1, s2 = bytes(8) + os.urandom(1528), c1
        if b.half_handshake:
            self.send_raw(b"\x03" + s1[:700])
            raise _Ended("half a handshake")
        self.send_raw((b"\x09" if b.bad_version else b"\x03") + s1 + s2)
        self.recv(1536)
        self._at("handshake")
        self.out.compress = b.compress
        self.out.repeat_extended = b.repeat_extended
        while True:
            self._on_message(self.read_message(3600))

    def _on_message(self, message):
        self.messages.append((message.type, message.stream_id, message.timestamp, message.csid,
                              message.fmts))
        if message.type in (rtmp.AUDIO, rtmp.VIDEO, rtmp.DATA):
            self.tags.append(Tag(message.type, message.timestamp, message.data))
        elif message.type == rtmp.AGGREGATE:
            self.tags += rtmp.split_aggregate(message)
        command = message.command()
        if command is None:
            return
        self.commands.append(command)
        handler = getattr(self, "_on_" + command[0], None)
        if handler:
            handler(command)

    def _on_connect(self, command):
        b = self.behaviour
        self.connect_object = command[2]
        for kind, body in b.extra_messages:
            self.send(kind, body, csid=2)
        if b.reject_connect:
            self.command("_error", command[1], None,
                         {"level": "error", "code": b.reject_connect, "description": "refused"})
            raise _Ended("connect")
        self._at("connect")
        self.send(rtmp.WINDOW_ACK, (2_500_000).to_bytes(4, "big"), csid=2)
        self.send(rtmp.PEER_BANDWIDTH, (2_500_000).to_bytes(4, "big") + b"\x02", csid=2)
        if b.chunk_size != 128:
            self.set_chunk_size(b.chunk_size)
        transaction = command[1] if b.connect_transaction < 0 else b.connect_transaction
        self.command("_result", transaction, {"fmsVer": "FMS/3,5,7,7009", "capabilities": 31,
                                              **b.extra_connect},
                     {"level": "status", "code": "NetConnection.Connect.Success",
                      "description": "ok", "objectEncoding": 0, **b.connect_info}, csid=b.answer_csid)
        if b.bw_done:
            self.command("onBWDone", 0, None, csid=b.answer_csid)

    def _answer(self, command):
        if self.behaviour.answers_all:
            self.command("_result", command[1], None, None, csid=self.behaviour.answer_csid)

    _on_releaseStream = _on_FCPublish = _answer

    def _on_FCUnpublish(self, command):
        if self.behaviour.answers_all:
            self.command("onFCUnpublish", 0, None, {"code": "NetStream.Unpublish.Success"},
                         stream_id=self.behaviour.stream_id, csid=5)
            self._answer(command)
            self._status("NetStream.Unpublish.Success")

    def _on_createStream(self, command):
        self._at("createStream")
        ids, made = self.behaviour.stream_ids, sum(c[0] == "createStream" for c in self.commands)
        number = ids[made - 1] if made <= len(ids) else self.behaviour.stream_id
        self.command("_result", command[1], None, number, csid=self.behaviour.answer_csid)

    def _status(self, code, level="status"):
        self.command("onStatus", 0, None, {"level": level, "code": code, "description": code},
                     stream_id=self.behaviour.stream_id, csid=5)

    def _on_publish(self, command):
        self.publish_name = command[3]
        self._at("start")
        if self.behaviour.reject_publish:
            self._status(self.behaviour.reject_publish, "error")
            raise _Ended("publish")
        self._status("NetStream.Publish.Start")
        if not self.behaviour.read_media:
            self.owner.stopping.wait()
            raise _Ended("publish")

    def _on_play(self, command):
        self.play_name = command[3]
        b = self.behaviour
        self._at("start")
        if b.reject_play:
            self._status(b.reject_play, "error")
            raise _Ended("play")
        says = b.plays.get(self.play_name.partition("?")[0], b.plays.get("", "media"))
        if says in ("silence", "close", "not found", "reset", "_error") or says.startswith("NetStream."):
            return self._refuse_play(command, says)
        self.send(rtmp.USER_CONTROL, b"\0\0" + b.stream_id.to_bytes(4, "big"), csid=2)
        self._status("NetStream.Play.Start")
        if says == "promise":
            return
        threading.Thread(target=self._send_media, daemon=True).start()

    def _refuse_play(self, command, says):
        if says == "_error":
            self.command("_error", command[1], None, {"level": "error", "code": "NetStream.Play.Failed"})
        elif says.startswith("NetStream."):
            self._status(says, "error")
        elif says in ("not found", "reset"):
            if says == "reset":
                self._status("NetStream.Play.Reset")
            self._status("NetStream.Play.StreamNotFound", "error")
            self._status("NetStream.Play.Start")
        if says in ("close", "not found", "reset"):
            raise _Ended("play")

    def _send_media(self):
        b, tags = self.behaviour, self.owner.media
        length = tags[-1].timestamp + 40 if tags else 0
        began, sent = time.monotonic(), 0
        try:
            for lap in range(100000):
                for group in _groups(tags, b.aggregate or 1):
                    if self.owner.stopping.is_set() or self.done.is_set():
                        return
                    stamp = group[0].timestamp + lap * length
                    if b.realtime:
                        self.owner.stopping.wait(max(0.0, began + stamp / 1000 - time.monotonic()))
                    self._send_group(group, stamp + b.timestamp_base)
                    sent += 1
                    if sent == 10 and b.late_chunk_size:
                        self.set_chunk_size(b.late_chunk_size)
                    if sent == 10 and b.stall == "media":
                        return
        except (rtmp.RtmpError, OSError):
            return

    def _send_group(self, group, stamp):
        b = self.behaviour
        if b.aggregate:
            return self.send(rtmp.AGGREGATE, rtmp.make_aggregate(group), b.stream_id,
                             7 + b.csid_offset, stamp & 0xFFFFFFFF)
        tag = group[0]
        csid = {rtmp.AUDIO: 4, rtmp.VIDEO: 6}.get(tag.type, 5) + b.csid_offset
        return self.send(tag.type, tag.data, b.stream_id, csid, stamp & 0xFFFFFFFF)


def _groups(tags, size):
    return [tags[i:i + size] for i in range(0, len(tags), size)]


class FakeOrigin:
    def __init__(self, lab, behaviour=None, media=(), port=None, ip="127.0.0.1"):
        self.behaviour = behaviour or Behaviour()
        self.media = list(media)
        self.ip = ip
        self.rtmp_port = port or free_port()
        self.sessions = []
        self.stopping = threading.Event()
        family = socket.AF_INET6 if ":" in ip else socket.AF_INET
        self.listener = socket.create_server((ip, self.rtmp_port), family=family, backlog=4096)
        threading.Thread(target=self._accept, daemon=True).start()
        lab.at_close(self.stop)

    @property
    def endpoint(self):
        return f"{self.ip}:{self.rtmp_port}"

    def url(self, path):
        return f"rtmp://{self.endpoint}/{path}"

    def _accept(self):
        while not self.stopping.is_set():
            try:
                sock, peer = self.listener.accept()
            except OSError:
                return
            number = len(self.sessions)
            behaviour = self.behaviour(number) if callable(self.behaviour) else self.behaviour
            session = Session(self, sock, peer, number, behaviour)
            self.sessions.append(session)
            threading.Thread(target=session.run, daemon=True).start()

    def wait_session(self, number=None, timeout=10.0, ready=lambda s: s.publish_name or s.play_name):
        """Session `number` (the last one by default) once ready(session)."""
        def found():
            picked = self.sessions[number:number + 1] if number is not None else self.sessions[-1:]
            return next((s for s in picked if ready(s)), None)
        return poll(f"a session at the fake origin ({len(self.sessions)} came)", found, timeout)

    def media_sessions(self):
        """Sessions that named a stream (health probes don't)."""
        return [s for s in self.sessions if s.publish_name or s.play_name]

    def stop(self):
        self.stopping.set()
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        for session in self.sessions:
            try:
                session.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
