"""FLV files as lists of tags, and the comparison of published and played media.

A packet is what a codec made: (kind, sha1 of the bytes after the FLV codec header), kind one of "v"
(coded frame), "k" (coded key frame), "a" (audio). Sequence headers and metadata are no packets,
because servers resend them. Timestamps are not compared: every relay starts them where it likes.
"""

import dataclasses
import hashlib
import os
import struct

AUDIO, VIDEO, SCRIPT = 8, 9, 18


@dataclasses.dataclass
class Tag:
    type: int
    timestamp: int
    data: bytes

    @property
    def enhanced(self):
        return self.type == VIDEO and bool(self.data) and bool(self.data[0] & 0x80)

    @property
    def is_sequence_header(self):
        if len(self.data) < 2:
            return False
        if self.enhanced:
            return self.data[0] & 0x0F == 0
        if self.type == VIDEO:
            return self.data[0] & 0x0F in (7, 12) and self.data[1] == 0
        return self.type == AUDIO and self.data[0] >> 4 == 10 and self.data[1] == 0

    @property
    def is_key(self):
        return self.type == VIDEO and bool(self.data) and (self.data[0] >> 4) & 7 == 1

    def packet(self):
        """(kind, digest), or None for headers, metadata and empty or end-of-sequence tags."""
        if self.type == SCRIPT or len(self.data) < 2 or self.is_sequence_header:
            return None
        if self.type == AUDIO:
            skip, kind = (2 if self.data[0] >> 4 == 10 else 1), "a"
        else:
            kind = "k" if self.is_key else "v"
            if self.enhanced:
                packet_type = self.data[0] & 0x0F
                if packet_type not in (1, 3):
                    return None
                skip = 8 if packet_type == 1 else 5
            else:
                skip = 5 if self.data[0] & 0x0F in (7, 12) else 1
                if skip == 5 and self.data[1] == 2:
                    return None
        return kind, hashlib.sha1(self.data[skip:]).hexdigest()


def parse(data):
    """Tags of FLV bytes; a tag cut short at the end is left out."""
    if data[:3] != b"FLV":
        raise ValueError("not FLV")
    at = struct.unpack(">I", data[5:9])[0] + 4
    tags = []
    while at + 11 <= len(data):
        size = int.from_bytes(data[at + 1:at + 4], "big")
        stamp = int.from_bytes(data[at + 4:at + 7], "big") | data[at + 7] << 24
        if at + 11 + size > len(data):
            break
        tags.append(Tag(data[at] & 0x1F, stamp, data[at + 11:at + 11 + size]))
        at += 11 + size + 4
    return tags


def read(path):
    with open(path, "rb") as file:
        return parse(file.read())


def write(path, tags):
    with open(path, "wb") as file:
        file.write(b"FLV\x01\x05\0\0\0\x09\0\0\0\0")
        for tag in tags:
            file.write(bytes([tag.type]) + len(tag.data).to_bytes(3, "big")
                       + (tag.timestamp & 0xFFFFFF).to_bytes(3, "big")
                       + bytes([tag.timestamp >> 24 & 0xFF]) + b"\0\0\0" + tag.data
                       + (11 + len(tag.data)).to_bytes(4, "big"))


def packets(source):
    """Packets of a path or of a list of tags."""
    tags = read(source) if isinstance(source, (str, os.PathLike)) else source
    return [p for p in (tag.packet() for tag in tags) if p]


def _compare(published, played, what, minimum):
    """`played` must be a run of consecutive packets of the endlessly repeated `published`."""
    if len(played) < minimum:
        raise AssertionError(f"{what}: {len(played)} packets, wanted at least {minimum}")
    starts = [i for i, p in enumerate(published) if p == played[0]]
    if not starts:
        raise AssertionError(f"{what}: the first played packet was never published")
    best = 0
    for start in starts:
        same = 0
        while same < len(played) and played[same] == published[(start + same) % len(published)]:
            same += 1
        if same == len(played):
            return
        best = max(best, same)
    raise AssertionError(f"{what}: packet {best} of {len(played)} differs from what was published")


def assert_same_media(published, played, minimum=20, order_across=False):
    """Played packets equal published ones, bit by bit and in order, from the first key frame on.

    Video and audio are compared as a sequence each, since players may re-interleave them; with
    order_across=True as one sequence. A publisher may have looped over its file. The last packet of
    each is not compared: the player may have cut it when it was stopped.
    """
    source, target = packets(published), packets(played)
    key = next((i for i, p in enumerate(target) if p[0] == "k"), None)
    if key is None:
        raise AssertionError("no key frame was played")
    target = target[key:]
    if order_across:
        return _compare(source, target[:-1], "media", minimum)
    for kinds, what in (("kv", "video"), ("a", "audio")):
        wanted = [p for p in source if p[0] in kinds]
        got = [p for p in target if p[0] in kinds][:-1]
        if wanted:
            _compare(wanted, got, what, minimum)


def _split_annexb(data):
    units, at = [], data.find(b"\0\0\1")
    while at >= 0:
        end = data.find(b"\0\0\1", at + 3)
        unit = data[at + 3:end if end >= 0 else len(data)]
        units.append(unit.rstrip(b"\0") if end >= 0 else unit)
        at = end
    return units


def _hvcc(parameter_sets, sps):
    general = sps[3:15].replace(b"\0\0\x03", b"\0\0")  # profile, tier, level without emulation bytes
    general = (general + b"\0" * 12)[:12]
    out = b"\x01" + general + b"\xf0\0\xfc\xfd\xf8\xf8\0\0\x0f" + bytes([len(parameter_sets)])
    for unit in parameter_sets:
        out += bytes([0x80 | unit[0] >> 1 & 0x3F]) + b"\0\x01" + struct.pack(">H", len(unit)) + unit
    return out


def enhanced_hevc(annexb, fps=25, coded_frames_x=False):
    """Enhanced-RTMP tags (fourcc hvc1) of an H.265 elementary stream with access unit delimiters.

    PacketType CodedFrames with composition time 0, or CodedFramesX.
    """
    frames, current, sets = [], [], {}
    for unit in _split_annexb(annexb):
        kind = unit[0] >> 1 & 0x3F
        if kind == 35:  # access unit delimiter
            current = []
            frames.append(current)
        elif kind in (32, 33, 34):
            sets[kind] = unit
        elif frames:
            current.append(unit)
    tags = [Tag(VIDEO, 0, b"\x90hvc1" + _hvcc([sets[k] for k in (32, 33, 34)], sets[33]))]
    for index, units in enumerate(frames):
        key = any(16 <= (u[0] >> 1 & 0x3F) <= 21 for u in units)
        head = (0x90 if key else 0xA0) | (3 if coded_frames_x else 1)
        body = b"".join(struct.pack(">I", len(u)) + u for u in units)
        tags.append(Tag(VIDEO, index * 1000 // fps,
                        bytes([head]) + b"hvc1" + (b"" if coded_frames_x else b"\0\0\0") + body))
    return tags
