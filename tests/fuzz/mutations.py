"""Payloads changed object by object, which a fuzzer that knows bytes only seldom achieves."""

from __future__ import annotations

import random
from collections.abc import Sequence
from struct import pack

import msgpack

#: Objects at the ends of what fields hold, and strangers to all fields.
POOL: tuple[bytes, ...] = (
    *(
        msgpack.packb(number)
        for bits in (7, 8, 15, 16, 31, 32, 63)
        for number in (2**bits - 1, 2**bits, -(2**bits), 1 - 2**bits)
    ),
    *(msgpack.packb(number) for number in (*range(-3, 20), 21, 30, 40, 41, 42, 50, 51, 60, 61, 70)),
    *(
        msgpack.packb(text)
        for text in ("", "x", "@", "a@b", "\u00e9", 'a"\\\n', "\0", "\u2028\x85")
    ),
    *(msgpack.packb(text * 1024) for text in ("y", "\u00e9")),
    msgpack.packb("z" * 1025),
    *(msgpack.packb(flag) for flag in (None, True, False)),
    *(
        b"\xcb" + pack(">d", number)
        for number in (0.0, -0.0, 1e-320, 1.5, 1e308, float("inf"), float("-inf"), float("nan"))
    ),
    b"\xca" + pack(">f", float("nan")),
    b"\xcf" + b"\xff" * 8,
    b"\xce\x00\x00\x00\x08",  # 8, wider than need be
    b"\xd3" + b"\x00" * 7 + b"\x0a",
    b"\xa3a\xff\xfe",  # no UTF-8
    b"\xa3\xed\xa0\x80",  # a lone surrogate
    b"\xc4\x02ab",
    b"\xc4\x00",
    *(b"\x90", b"\x91\x00", b"\x80", b"\x81\x00\x00", b"\xc7\x00\x01", b"\xd4\x01\x00"),
    *(b"\xc1", b"\xdd\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xa2a"),
)


def cut(payload: bytes) -> list[bytes]:
    """Cut a payload into its objects; what cannot be read is one more."""
    unpacker = msgpack.Unpacker(raw=True, strict_map_key=False, max_buffer_size=len(payload) + 1)
    unpacker.feed(payload)
    objects, before = [], 0
    while before < len(payload):
        try:
            unpacker.skip()
        except (msgpack.UnpackException, ValueError):
            objects.append(payload[before:])
            break
        objects.append(payload[before : unpacker.tell()])
        before = unpacker.tell()
    return objects


def change_objects(payload: bytes, seed: int, others: Sequence[bytes]) -> bytes:
    """Give a payload with one to three of its objects changed, by chance and by the others."""
    dice = random.Random(seed)
    objects = cut(payload)
    for _ in range(dice.randint(1, 3)):
        at = dice.randrange(len(objects) + 1)
        match dice.randrange(7):
            case 0 | 1:
                objects[at : at + 1] = [dice.choice(POOL)]
            case 2:
                objects.insert(at, dice.choice(POOL))
            case 3:
                del objects[at : at + 1]
            case 4:
                objects[at:at] = objects[at : at + 1]
            case 5:  # the beginning of this with the end of another
                other = cut(dice.choice(others))
                objects[at:] = other[dice.randrange(len(other) + 1) :]
            case _:
                other = cut(dice.choice(others))
                objects[at : at + 1] = other[at : at + 1]
    return b"".join(objects)


def change_bytes(payload: bytes, seed: int) -> bytes:
    """Give a payload with a stretch of bytes lost, doubled, put elsewhere, or overwritten."""
    dice = random.Random(seed)
    at = dice.randrange(len(payload) + 1)
    end = min(len(payload), at + dice.choice((1, 2, 4, 8, 64)))
    match dice.randrange(4):
        case 0:
            return payload[:at] + payload[end:]
        case 1:
            return payload[:end] + payload[at:]
        case 2:
            rest = payload[:at] + payload[end:]
            to = dice.randrange(len(rest) + 1)
            return rest[:to] + payload[at:end] + rest[to:]
        case _:
            return payload[:at] + dice.randbytes(end - at) + payload[end:]


def change_steps(data: bytes, seed: int, size: int) -> bytes:
    """Give an input of so many bytes to a step with whole steps changed."""
    dice = random.Random(seed)
    steps = [data[at : at + size] for at in range(0, len(data), size)]
    for _ in range(dice.randint(1, 4)):
        at, to = dice.randrange(len(steps) + 1), dice.randrange(len(steps) + 1)
        match dice.randrange(5):
            case 0 | 1:
                steps.insert(at, dice.randbytes(size))
            case 2:
                del steps[at : at + 1]
            case 3:
                steps[to:to] = steps[at : at + dice.randint(1, 8)]
            case _:
                steps[at : at + 1] = [dice.randbytes(1) + each[1:] for each in steps[at : at + 1]]
    return b"".join(steps)
