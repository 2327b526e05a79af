"""How log lines look: text for people, JSON for collectors, from a given level on."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import IO, Any

from twisted.logger import (
    FileLogObserver,
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    eventAsText,
    formatEventAsClassicLogText,
)


class Log:
    """Writes log events to a stream.

    Args:
        stream: text.
        level: the least level that is written: debug, info, warn or error.
        form: `text`, or `json` for one object a line with `time` (ISO 8601, UTC),
            `level`, `logger` and `message`, and what an event has in `fields`.

    Attributes:
        observer: takes the events.
    """

    def __init__(self, stream: IO[Any], level: str, form: str) -> None:
        write = FileLogObserver(stream, _as_json if form == "json" else formatEventAsClassicLogText)
        self._predicate = LogLevelFilterPredicate()
        self.set_level(level)
        self.observer: ILogObserver = FilteringLogObserver(write, [self._predicate])

    def set_level(self, level: str) -> None:
        """Write events from this level on."""
        self._predicate.setLogLevelForNamespace("", LogLevel.lookupByName(level))


def _as_json(event: LogEvent) -> str:
    time = datetime.fromtimestamp(event["log_time"], timezone.utc)
    line = {
        "time": time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": event["log_level"].name,
        "logger": event["log_namespace"],
        "message": eventAsText(event, includeTimestamp=False, includeSystem=False),
        **event.get("fields", {}),
    }
    return json.dumps(line) + "\n"  # ASCII, whatever the stream can take
