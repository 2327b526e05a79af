"""What a log says went wrong."""

from __future__ import annotations

import json
import re

#: `time [logger#level] message`
_TEXT = re.compile(r"\S+ \[\S*#(\w+)\] (.*)")

#: What Python puts before the reason that the exporter gives.
_CLASS = re.compile(r"maestro_exporter\.settings\.StartError: ")


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
