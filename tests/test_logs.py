"""Log lines: text for people, JSON for collectors."""

from __future__ import annotations

import io
import json
import re
from typing import Any

from twisted.logger import Logger, LogLevel, LogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from maestro_exporter.logs import Log
from maestro_exporter.options import LOG_FORMATS, LOG_LEVELS


class LogsTestCase(SynchronousTestCase):
    """What the tests of log lines share: a stream, and a logger that writes to it."""

    def setUp(self) -> None:
        self.stream = io.StringIO()

    def logger(self, level: str = "debug", form: str = "json") -> Logger:
        """Give a logger whose events go through the observer alone."""
        return Logger("maestro", observer=Log(self.stream, level, form).observer)

    def lines(self) -> list[str]:
        """Give the lines that were written; each must have its end."""
        *lines, rest = self.stream.getvalue().split("\n")
        self.assertEqual(rest, "")
        return lines

    def objects(self) -> list[dict[str, Any]]:
        """Give what the lines are as JSON."""
        return [json.loads(line) for line in self.lines()]


class LevelTests(LogsTestCase):
    """From which level on events are written."""

    def test_events_from_the_level_on(self) -> None:
        """What is below the level is not written, in either form."""
        names = ["debug", "info", "warn", "error", "critical"]
        for form in LOG_FORMATS:
            for level in LOG_LEVELS:
                self.stream = io.StringIO()
                log = self.logger(level, form)
                for name in names:
                    log.emit(LogLevel.lookupByName(name), f"<{name}>")
                written = [name for name in names if f"<{name}>" in self.stream.getvalue()]
                self.assertEqual(written, names[names.index(level) :], (form, level))
                self.assertEqual(len(self.lines()), len(written))

    def test_level_that_is_changed(self) -> None:
        """From then on another level counts, for loggers that are there already too."""
        for form in LOG_FORMATS:
            self.stream = io.StringIO()
            log = Log(self.stream, "info", form)
            loggers = [Logger(name, observer=log.observer) for name in ("maestro", "us.inner")]
            for level in ("error", "debug", "info"):
                log.set_level(level)
                for logger in loggers:
                    logger.debug(f"<debug at {level}>")
                    logger.warn(f"<warn at {level}>")
            found = [re.findall("<.*>", line)[0] for line in self.lines()]
            wanted = ["<debug at debug>", "<warn at debug>"] * 2 + ["<warn at info>"] * 2
            self.assertEqual(found, wanted)

    def test_levels_of_two_logs(self) -> None:
        """Each has its own."""
        other = io.StringIO()
        logs = Log(self.stream, "info", "text"), Log(other, "info", "text")
        logs[0].set_level("error")
        for log in logs:
            Logger("us", observer=log.observer).warn("now")
        self.assertEqual((self.lines(), len(other.getvalue().splitlines())), ([], 1))


class TextTests(LogsTestCase):
    """Lines for people."""

    def test_line(self) -> None:
        """A line has a time, the logger, the level and the message with its values."""
        self.logger(form="text").warn("{count} peers are {state}", count=3, state="down")
        (line,) = self.lines()
        self.assertRegex(
            line,
            r"\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} \[maestro#warn\] 3 peers are down\Z",
        )

    def test_further_lines_of_a_message_are_set_in(self) -> None:
        """No part of a message looks like a line of its own."""
        self.logger(form="text").info("{text}", text="one\ntwo\nthree")
        first, *further = self.lines()
        self.assertTrue(first.endswith("[maestro#info] one"))
        self.assertEqual(further, ["\ttwo", "\tthree"])

    def test_failure_is_included(self) -> None:
        """The traceback follows the message."""
        self.logger(form="text").failure("No page", failure())
        first, *further = self.lines()
        self.assertTrue(first.endswith("[maestro#critical] No page"))
        self.assertIn("\tbuiltins.ZeroDivisionError: division by zero", further)

    def test_fields_are_not_shown(self) -> None:
        """What is there for collectors is in the message as far as people need it."""
        self.logger(form="text").info("{client} asked", client="joe", fields={"status": 200})
        (line,) = self.lines()
        self.assertTrue(line.endswith("[maestro#info] joe asked"))

    def test_event_without_a_text_gives_no_line(self) -> None:
        """There is nothing to say."""
        self.logger(form="text").emit(LogLevel.info, None)
        self.assertEqual(self.lines(), [])


class JsonTests(LogsTestCase):
    """Lines for collectors."""

    def test_line(self) -> None:
        """A line is an object with time, level, logger and message."""
        Log(self.stream, "debug", "json").observer(
            {
                "log_time": 1700000000.25,
                "log_level": LogLevel.warn,
                "log_namespace": "maestro",
                "log_format": "{count} peers are {state}",
                "count": 3,
                "state": "down",
            }
        )
        self.assertEqual(
            self.stream.getvalue(),
            '{"time": "2023-11-14T22:13:20.250Z", "level": "warn", "logger": "maestro",'
            ' "message": "3 peers are down"}\n',
        )

    def test_fields(self) -> None:
        """What an event has for collectors stands behind the message, with the types it has."""
        fields = {"client": "::1", "status": 200, "seconds": 0.25, "whole": True}
        self.logger().info("{client} asked", **fields, fields=fields)
        (line,) = self.objects()
        self.assertEqual(list(line), ["time", "level", "logger", "message", *fields])
        self.assertEqual({name: line[name] for name in fields}, fields)
        self.assertEqual(line["message"], "::1 asked")

    def test_values_of_a_message_are_no_fields(self) -> None:
        """Only what is meant for collectors is."""
        self.logger().info("{client} asked", client="joe")
        self.assertEqual(list(self.objects()[0]), ["time", "level", "logger", "message"])

    def test_time_when_it_is_a_whole_second(self) -> None:
        """All times have milliseconds, so that they sort as text."""
        log = Log(self.stream, "debug", "json").observer
        log({"log_time": 0.0, "log_level": LogLevel.info, "log_namespace": "us", "log_format": "x"})
        self.assertEqual(self.objects()[0]["time"], "1970-01-01T00:00:00.000Z")

    def test_line_when_the_message_has_several(self) -> None:
        """A message of several lines is one line of JSON."""
        self.logger().info("{text}", text="one\ntwo\r\nthree\n")
        (line,) = self.objects()
        self.assertEqual(line["message"], "one\ntwo\r\nthree\n")

    def test_line_when_the_message_is_odd(self) -> None:
        """Whatever the message is, the line is JSON and says the same."""
        texts = ['"quoted" \\ slashed', "\x00\x1b[31m\x7f", "café ✓ 🎻", "{}", "%s", ""]
        log = self.logger()
        for text in texts:
            log.info("<{text}>", text=text)
        self.assertEqual([line["message"] for line in self.objects()], [f"<{t}>" for t in texts])

    def test_line_when_the_stream_cannot_encode_it(self) -> None:
        """No message is lost to the encoding of standard output, nor to half a character."""
        for text in ("café", "\udcff"):
            buffer = io.BytesIO()
            stream = io.TextIOWrapper(buffer, encoding="ascii")
            Logger("maestro", observer=Log(stream, "info", "json").observer).info("{t}", t=text)
            self.assertEqual(json.loads(buffer.getvalue())["message"], text)

    def test_one_line_for_each_event(self) -> None:
        """Lines come in the order of the events."""
        log = self.logger()
        for number in range(5):
            log.info("{number}", number=number)
        self.assertEqual([line["message"] for line in self.objects()], ["0", "1", "2", "3", "4"])

    def test_failure_is_included(self) -> None:
        """Message and traceback are one line of JSON."""
        self.logger().failure("No page", failure())
        (line,) = self.objects()
        self.assertEqual((line["level"], line["logger"]), ("critical", "maestro"))
        self.assertTrue(line["message"].startswith("No page\nTraceback "))
        self.assertIn("builtins.ZeroDivisionError: division by zero", line["message"])

    def test_line_when_the_message_cannot_be_formatted(self) -> None:
        """An event whose values do not fit is written all the same."""
        self.logger().info("{missing}", other=1)
        (line,) = self.objects()
        self.assertIn("Unable to format event", line["message"])

    def test_line_is_there_at_once(self) -> None:
        """Each line is flushed: whoever follows the log sees the last one."""
        buffer = io.BytesIO()
        stream = io.TextIOWrapper(io.BufferedWriter(Raw(buffer)), encoding="utf-8")
        Logger("maestro", observer=Log(stream, "info", "json").observer).info("now")
        self.assertIn(b'"message": "now"}\n', buffer.getvalue())

    def test_event_in_the_old_form(self) -> None:
        """What code of Twisted still logs in its old way is a line, too."""
        publisher = LogPublisher(Log(self.stream, "info", "json").observer)
        publisher(
            {
                "log_time": 0.0,
                "log_level": LogLevel.info,
                "log_namespace": "log_legacy",
                "log_format": "{log_text}",
                "log_text": "Main loop terminated.",
                "message": ("Main loop terminated.",),
                "isError": 0,
            }
        )
        self.assertEqual([line["message"] for line in self.objects()], ["Main loop terminated."])


class Raw(io.RawIOBase):
    """Hands what is written to a buffer, and counts as a file of its own.

    Args:
        buffer: where it goes.
    """

    def __init__(self, buffer: io.BytesIO) -> None:
        super().__init__()
        self._buffer = buffer

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return self._buffer.write(data)


def failure() -> Failure:
    """Give what dividing by zero ends in."""
    try:
        1 / 0  # noqa: B018 - what it gives is the error
    except ZeroDivisionError:
        return Failure()
    raise AssertionError
