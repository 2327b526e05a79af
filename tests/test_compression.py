"""Compressed texts, read back by zlib."""

from __future__ import annotations

import gzip as reference
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maestro_exporter import compression
from maestro_exporter.compression import compress, gzip


@pytest.fixture(params=["zlib", "isal"])
def engine(request: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test runs with both engines, whichever would be taken here."""
    if request.param == "zlib":
        monkeypatch.setattr(compression, "_engine", zlib)
    else:
        monkeypatch.setattr(compression, "_engine", pytest.importorskip("isal.isal_zlib"))


TEXT = b"".join(b'maestro_rate{peer="worker@host%d"} %d.5\n' % (n, n * n) for n in range(5000))


def read_first_member(data: bytes) -> tuple[bytes, bytes]:
    """Give the text of the first gzip member, and what comes after it."""
    stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
    text = stream.decompress(data)
    assert stream.eof
    return text, stream.unused_data


@pytest.mark.parametrize(
    ("parts", "rest"),
    [
        ([], b""),
        ([b""], b""),
        ([TEXT], b""),
        ([TEXT[:7], TEXT[7:70_000], TEXT[70_000:]], b"the rest\n"),
        ([], b"the rest\n"),
        ([b"x"], bytes(range(256)) * 1024),  # more than one stored block holds
        ([TEXT], b"y" * 0xFFFF),
        ([TEXT], b"y" * 0x10000),
    ],
)
def test_one_member(engine: None, parts: list[bytes], rest: bytes) -> None:
    """What is joined is one gzip member, which holds the whole text and ends there."""
    member = b"".join(gzip(compress(parts), rest))

    assert read_first_member(member) == (b"".join(parts) + rest, b"")
    assert reference.decompress(member) == b"".join(parts) + rest


def test_rest_changes_nothing_else(engine: None) -> None:
    """The same beginning serves for any number of rests."""
    beginning = compress([TEXT])
    for rest in (b"one", b"two", b""):
        assert reference.decompress(b"".join(gzip(beginning, rest))) == TEXT + rest


def test_rest_is_not_compressed(engine: None) -> None:
    """The rest is in the member as it is: that costs nothing in the reactor thread."""
    assert b"a" * 5000 in b"".join(gzip(compress([TEXT]), b"a" * 5000))


def test_small(engine: None) -> None:
    """A page of metrics becomes several times smaller."""
    assert len(compress([TEXT]).blocks) * 3 < len(TEXT)


def test_parts_are_taken_one_at_a_time(engine: None) -> None:
    """Parts are compressed as they come, so that a large page is never there as a whole."""
    alive: list[int] = []

    class Part(bytes):
        def __del__(self) -> None:
            alive.remove(id(self))

    def parts(make: Callable[[bytes], bytes] = Part) -> Any:
        for _ in range(10):
            part = make(TEXT)
            alive.append(id(part))
            yield part
            assert len(alive) <= 2

    assert compress(parts()).length == 10 * len(TEXT)


@settings(derandomize=True, deadline=None, database=None)
@given(st.lists(st.binary()), st.binary())
def test_anything(parts: list[bytes], rest: bytes) -> None:
    """Whatever the parts are, they are read back."""
    member = b"".join(gzip(compress(parts), rest))
    assert read_first_member(member) == (b"".join(parts) + rest, b"")
