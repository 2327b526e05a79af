"""The last moments of a connection, without one."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any

from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.subscribeoptions import SubscribeOptions
from twisted.trial.unittest import SynchronousTestCase

from maestro_exporter.mqtt import clients
from maestro_exporter.mqtt.clients import GOODBYE_TIMEOUT, flush, let_read, subscribe
from maestro_exporter.mqtt.dialect import V5, V311


class FakeSocket:
    """Gives what the broker still sends, each piece after some seconds.

    Attributes:
        calls: what was done to it.
        now: of the monotonic clock.
    """

    def __init__(self, *pieces: bytes | OSError, seconds: float = 0.0) -> None:
        self._pieces = list(pieces)
        self._seconds = seconds
        self.calls: list[str] = []
        self.now = 1000.0

    def shutdown(self, how: int) -> None:
        self.calls.append(f"shutdown {how}")

    def settimeout(self, seconds: float) -> None:
        self.calls.append(f"timeout {seconds:.3f}")

    def recv(self, most: int) -> bytes:
        assert most > 0
        self.calls.append("recv")
        self.now += self._seconds
        piece = self._pieces.pop(0)
        if isinstance(piece, OSError):
            raise piece
        return piece


class Broken(FakeSocket):
    """A socket whose other end is gone."""

    def shutdown(self, how: int) -> None:
        super().shutdown(how)
        raise OSError(107, "Transport endpoint is not connected")


class LetReadTests(SynchronousTestCase):
    """The goodbye is read before the socket is closed."""

    BEGIN = f"shutdown {socket.SHUT_WR}"
    READ = (f"timeout {GOODBYE_TIMEOUT:.3f}", "recv")

    def calls(self, connection: FakeSocket) -> list[str]:
        """Give what is done to it."""
        self.patch(clients, "time", SimpleNamespace(monotonic=lambda: connection.now))
        let_read(connection)
        return connection.calls

    def test_end_is_waited_for(self) -> None:
        """Writing is over; what still comes is read and thrown away, until the broker closes."""
        connection = FakeSocket(b"a", b"b" * 65536, b"")
        self.assertEqual([self.BEGIN, *self.READ * 3], self.calls(connection))

    def test_broker_that_sends_on_is_not_waited_for(self) -> None:
        """A flood is read for a moment only, each piece for what is left of it."""
        connection = FakeSocket(*[b"a"] * 100, seconds=0.08)
        times = [each for each in self.calls(connection) if each != "recv"]
        self.assertEqual(
            [self.BEGIN, "timeout 0.300", "timeout 0.220", "timeout 0.140", "timeout 0.060"], times
        )
        self.assertEqual(4, connection.calls.count("recv"))

    def test_broker_that_is_silent_is_not_waited_for(self) -> None:
        """It hangs, maybe; the connection is closed all the same."""
        connection = FakeSocket(TimeoutError("timed out"))
        self.assertEqual([self.BEGIN, *self.READ], self.calls(connection))

    def test_broker_that_is_gone(self) -> None:
        """There is nothing to wait for, and nothing to say about it."""
        self.assertEqual([self.BEGIN, *self.READ], self.calls(FakeSocket(ConnectionResetError())))
        self.assertEqual([self.BEGIN], self.calls(Broken()))


class Writing:
    """A client that writes a packet each time, where the socket takes it.  It is `select`, too.

    Attributes:
        waiting: packets that are not written yet.
        closes: the socket is closed with the last of them, as it is with a goodbye.
        gone: the socket is closed.
        seconds: that the socket takes for each packet but the first.
        waits: for how long it was to be waited for the socket.
        now: of the monotonic clock.
    """

    def __init__(self, waiting: int, *, seconds: float = 0.0, closes: bool = False) -> None:
        self.waiting = waiting
        self.closes = closes
        self.gone = False
        self.seconds = seconds
        self.waits: list[str] = []
        self.now = 1000.0

    def loop_write(self) -> MQTTErrorCode:
        assert not self.gone
        self.waiting -= self.waiting > 0
        self.gone = self.closes and not self.waiting
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def want_write(self) -> bool:
        return self.waiting > 0

    def socket(self) -> str | None:
        return None if self.gone else "socket"

    def select(self, reading: Any, writing: Any, errors: Any, timeout: float) -> None:
        assert (reading, writing, errors) == ([], ["socket"], [])
        self.waits.append(f"{timeout:.3f}")
        self.now += min(self.seconds, timeout)

    def monotonic(self) -> float:
        return self.now


class FlushTests(SynchronousTestCase):
    """What waits to be written at the end is written."""

    def flush(self, client: Any) -> list[str]:
        """Flush; give how long it was to be waited for the socket each time."""
        self.patch(clients, "time", client)
        self.patch(clients, "select", client)
        flush(client)
        waits: list[str] = client.waits
        return waits

    def test_nothing_is_waited_for_where_all_is_written_at_once(self) -> None:
        """Mostly it is."""
        for waiting in (0, 1):
            client = Writing(waiting)
            self.assertEqual([], self.flush(client))
            self.assertEqual(0, client.waiting)

    def test_all_is_written(self) -> None:
        """As soon as the socket takes it, and in what is left of the time."""
        client = Writing(4, seconds=0.08)
        self.assertEqual(["0.300", "0.220", "0.140"], self.flush(client))
        self.assertEqual(0, client.waiting)

    def test_goodbye_is_the_last(self) -> None:
        """Nothing is done with a socket that it closed."""
        client = Writing(2, closes=True)
        self.assertEqual(["0.300"], self.flush(client))
        self.assertTrue(client.gone)

    def test_socket_that_is_gone(self) -> None:
        """What still waits then cannot be written."""
        client = Writing(3)
        self.patch(client, "socket", lambda: None)
        self.assertEqual([], self.flush(client))
        self.assertEqual(2, client.waiting)

    def test_broker_that_takes_nothing_is_not_waited_for(self) -> None:
        """It hangs, maybe; a moment is enough."""
        client = Writing(100, seconds=1000.0)
        self.assertEqual(["0.300"], self.flush(client))
        self.assertAlmostEqual(1000.0 + GOODBYE_TIMEOUT, client.now)

    def test_broker_that_is_slow_is_not_waited_for(self) -> None:
        """All of it together takes no longer."""
        client = Writing(100, seconds=0.08)
        self.assertEqual(4, len(self.flush(client)))
        self.assertAlmostEqual(1000.0 + GOODBYE_TIMEOUT, client.now)


class SubscribeTests(SynchronousTestCase):
    """What is asked for."""

    TOPICS = (("/one", 1), ("/two", 2))

    def asked(self, version: Any, *, retained: bool) -> list[Any]:
        """Give what paho is asked for."""
        asked: list[Any] = []

        def ask(topics: list[Any]) -> tuple[MQTTErrorCode, int]:
            asked.extend(topics)
            return MQTTErrorCode.MQTT_ERR_SUCCESS, 7

        client: Any = SimpleNamespace(protocol=version, subscribe=ask)
        self.assertEqual(7, subscribe(client, self.TOPICS, retained=retained))
        return asked

    def test_with_what_the_broker_keeps_for_new_subscribers(self) -> None:
        """That is what it sends unless told otherwise."""
        for version in (V5, V311):
            self.assertEqual([*self.TOPICS], self.asked(version, retained=True))

    def test_without_it(self) -> None:
        """The broker is told so for each topic."""
        asked = self.asked(V5, retained=False)
        self.assertEqual(
            [(*each, SubscribeOptions.RETAIN_DO_NOT_SEND) for each in self.TOPICS],
            [(topic, options.QoS, options.retainHandling) for topic, options in asked],
        )
        for _, options in asked:
            self.assertEqual((False, False), (options.noLocal, options.retainAsPublished))

    def test_3_1_1_knows_no_such_thing(self) -> None:
        """So it comes all the same."""
        self.assertEqual([*self.TOPICS], self.asked(V311, retained=False))
