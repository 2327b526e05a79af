"""What a log says went wrong."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

#: `time [logger#level] message`
_TEXT = re.compile(r"\S+ \[\S*#(\w+)\] (.*)")

#: What Python puts before the reason that the exporter gives.
_CLASS = re.compile(r"maestro_exporter\.settings\.StartError: ")

_MOST_BYTES = 65536  # that are read: the end


@dataclass(frozen=True, slots=True)
class Mark:
    """The end of a log at some moment.

    Attributes:
        file: the number of the file; 0 where there was none.
        size: how many bytes it had.
    """

    file: int
    size: int


def mark(path: Path) -> Mark:
    """Give the present end of a log."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return Mark(0, 0)
    return Mark(found.st_ino, found.st_size)


def last_error_since(path: Path, since: Mark) -> str:
    """Give the message of the last error that a log has got since then; else nothing."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        return ""
    with open(descriptor, "rb") as stream:
        found = os.fstat(descriptor)
        begin = since.size if found.st_ino == since.file else 0  # it may have become another
        stream.seek(max(begin, found.st_size - _MOST_BYTES))
        return last_error(stream.read(_MOST_BYTES).decode("utf-8", "replace"))


def last_error(text: str) -> str:
    """Give the message of the last line that is an error, in either form of the log; else nothing.

    Args:
        text: lines of the log.
    """
    for line in reversed(text.splitlines()):
        level, message = _parsed(line)
        if level in ("error", "critical") and message.strip():
            return _CLASS.sub("", message).strip()
    return ""


def _parsed(line: str) -> tuple[str, str]:
    match = _TEXT.fullmatch(line)
    if match is not None:
        return match[1], match[2]
    try:
        event = json.loads(line)
        return str(event["level"]), str(event["message"])
    except (ValueError, TypeError, KeyError):
        return "", ""
