"""AMF0, both ways. Objects are dicts, ECMA arrays are EcmaArray, undefined is UNDEFINED."""

import struct


class EcmaArray(dict):
    pass


class _Undefined:
    def __repr__(self):
        return "UNDEFINED"


UNDEFINED = _Undefined()


def _key(text):
    raw = text.encode()
    return struct.pack(">H", len(raw)) + raw


def encode(*values):
    out = b""
    for value in values:
        if value is None:
            out += b"\x05"
        elif value is UNDEFINED:
            out += b"\x06"
        elif isinstance(value, bool):
            out += b"\x01" + bytes([value])
        elif isinstance(value, (int, float)):
            out += b"\x00" + struct.pack(">d", value)
        elif isinstance(value, str):
            raw = value.encode()
            if len(raw) > 0xFFFF:
                out += b"\x0c" + struct.pack(">I", len(raw)) + raw
            else:
                out += b"\x02" + _key(value)
        elif isinstance(value, dict):
            out += b"\x08" + struct.pack(">I", len(value)) if isinstance(value, EcmaArray) else b"\x03"
            out += b"".join(_key(k) + encode(v) for k, v in value.items()) + b"\0\0\x09"
        elif isinstance(value, (list, tuple)):
            out += b"\x0a" + struct.pack(">I", len(value)) + encode(*value)
        else:
            raise TypeError(f"no AMF0 for {value!r}")
    return out


def _properties(data, at, into):
    while data[at:at + 3] != b"\0\0\x09":
        if at + 2 > len(data):
            raise ValueError("object without end")
        size = struct.unpack_from(">H", data, at)[0]
        key = data[at + 2:at + 2 + size].decode()
        into[key], at = _value(data, at + 2 + size)
    return into, at + 3


def _value(data, at):
    kind = data[at]
    at += 1
    if kind == 0:
        return struct.unpack_from(">d", data, at)[0], at + 8
    if kind == 1:
        return bool(data[at]), at + 1
    if kind == 2:
        size = struct.unpack_from(">H", data, at)[0]
        return data[at + 2:at + 2 + size].decode(), at + 2 + size
    if kind == 3:
        return _properties(data, at, {})
    if kind == 5:
        return None, at
    if kind == 6:
        return UNDEFINED, at
    if kind == 8:
        return _properties(data, at + 4, EcmaArray())
    if kind == 10:
        items, count = [], struct.unpack_from(">I", data, at)[0]
        at += 4
        for _ in range(count):
            item, at = _value(data, at)
            items.append(item)
        return items, at
    if kind == 11:
        return struct.unpack_from(">d", data, at)[0], at + 10
    if kind == 12:
        size = struct.unpack_from(">I", data, at)[0]
        return data[at + 4:at + 4 + size].decode(), at + 4 + size
    raise ValueError(f"AMF0 type {kind}")


def decode(data):
    values, at = [], 0
    while at < len(data):
        value, at = _value(data, at)
        values.append(value)
    return values
