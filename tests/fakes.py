"""Stand-ins for the reactor, the thread pool and paho's client: no threads, no sockets, no time.

The network thread of the link is played on the test's own thread.  What a
broker does is a script: a generator function for each connection.

* What stands before its first `yield` happens inside `connect()`.
* Each `yield` gives an event, such as `accept` or `lose`; it happens inside one call of `loop()`.
* Of events that come together, as messages do, the first happens inside `loop()`, and each other
  one inside the next call of `loop_read()`, or of `loop()`.
* What stands between two events happens inside the second call of `loop()`, before its
  event: there the script does what the reactor thread does meanwhile.
* An exception other than a failed assertion comes out of `connect()` or `loop()`.
* When the script is over, the connection is lost.

`FakeBroker.verify` raises the assertions that failed in scripts, since the link
survives them, and asserts that all scripts were played to the end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, cast

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage, MQTTMessageInfo
from paho.mqtt.enums import LogLevel as PahoLevel
from paho.mqtt.enums import MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from maestro_exporter.querying import Query, Reply

SUCCESS = MQTTErrorCode.MQTT_ERR_SUCCESS
V5 = MQTTProtocolVersion.MQTTv5
NO_CONNECTION = MQTTErrorCode.MQTT_ERR_NO_CONN
REFUSED_SUBSCRIPTION = 128

Packet = tuple[Any, ...]


# ------------------------------------------------------- Twisted's side


class FakeReactor(Clock):
    """A clock that also takes calls from threads.

    Attributes:
        wakes: how often a thread has called.
    """

    def __init__(self) -> None:
        super().__init__()
        self.wakes = 0

    def callFromThread(self, function: Callable[..., object], *args: Any, **kwargs: Any) -> None:
        self.wakes += 1
        # Not as arguments of callLater, whose own names they may bear.
        self.callLater(0, lambda: function(*args, **kwargs))


class FakePool:
    """A pool that runs a callable at once, or when `run` is called.

    Attributes:
        running: started and not stopped.
        starts, stops: how often it was.
    """

    def __init__(self, *, at_once: bool = False) -> None:
        self._at_once = at_once
        self._waiting: deque[tuple[Callable[[bool, Any], object] | None, Callable[[], Any]]] = (
            deque()
        )
        self._busy = 0
        self.running = False
        self.starts = self.stops = 0

    def start(self) -> None:
        self.running = True
        self.starts += 1

    def stop(self) -> None:
        """Stop; what the real pool would do for ever, or refuses to do, is an error here."""
        if self._busy or self._waiting:
            raise AssertionError("stop() waits for a thread that does not end")
        if self.stops:
            raise AssertionError("a thread pool cannot be stopped twice")
        self.running = False
        self.stops += 1

    def callInThreadWithCallback(
        self,
        on_result: Callable[[bool, Any], object] | None,
        function: Callable[..., object],
        *args: Any,
        **kwargs: Any,
    ) -> None:
        self._waiting.append((on_result, lambda: function(*args, **kwargs)))
        if self._at_once:
            self.run()

    @property
    def waiting(self) -> int:
        """Callables that have not begun."""
        return len(self._waiting)

    def run(self, instead: Callable[[], object] | None = None) -> None:
        """Run the callable that has waited longest, or another in its place."""
        on_result, function = self._waiting.popleft()
        self._busy += 1
        succeeded, result = True, None
        try:
            result = (instead or function)()
        except BaseException:  # noqa: BLE001 - as the real pool does
            succeeded, result = False, Failure()
        finally:
            self._busy -= 1
        if on_result is not None:
            on_result(succeeded, result)


class Log:
    """What is logged from now on, until the end of the test.

    Attributes:
        events: all of it, whoever logged it.
    """

    def __init__(self, test: SynchronousTestCase) -> None:
        self.events: list[LogEvent] = []
        observer = cast(ILogObserver, self.events.append)
        globalLogPublisher.addObserver(observer)
        test.addCleanup(globalLogPublisher.removeObserver, observer)

    def lines(self, least: Any = LogLevel.info) -> list[str]:
        """Give the texts of at least that level."""
        return [
            formatEvent(event)
            for event in self.events
            if event["log_namespace"].startswith("maestro_exporter") and event["log_level"] >= least
        ]


# ------------------------------------------------------- paho's side


class Connection:
    """What was asked for at one connection, and what became of it.  It is the socket, too.

    Attributes:
        client: the stand-in that the link holds.
        arguments, options: what that client was made with.
        credentials: user name and password that it had when it connected.
        clean_start, session_expiry: what MQTT 5 says of the session; None in 3.1.1.
        properties: all that it says when it connects; None in 3.1.1.
        written: the packets that went out, each a tuple that begins with its kind.
        unanswered: the ids of the subscriptions that no event has answered yet.
        socket_options: what was set on the socket, each as the arguments of `setsockopt`.
        refuses_options: the socket raises when one is set.
        is_open: the socket is there.
        endings: what was done to the socket when paho was about to close it.
        calls: the names of the client's methods that read, in the order of their calls.
    """

    def __init__(self, broker: FakeBroker, script: Iterator[Event], client: FakeClient) -> None:
        self._broker = broker
        self._script = script
        self._first: Event | None = None
        self._queued: deque[Packet] = deque()
        self._come: deque[Event] = deque()
        self.calls: list[str] = []
        self.arguments, self.options = client.made_with
        self.credentials = client.credentials
        self.clean_start: bool | None = None
        self.session_expiry: int | None = None
        self.properties: Any = None
        self.written: list[Packet] = []
        self.unanswered: deque[int] = deque()
        self.socket_options: list[tuple[int, ...]] = []
        self.refuses_options = False
        self.is_open = False
        self._held = False
        self.endings: list[str] = []
        self.client = client

    def open(self, *packet: Any) -> None:
        self._first = self._next_event()
        self.is_open = self._held = True
        if self.client.on_socket_open is not None:
            self.client.on_socket_open(self.client, None, self)
        self.queue(*packet)

    def setsockopt(self, *option: int) -> None:
        """Stand in for the socket."""
        if self.refuses_options:
            raise OSError(22, "Invalid argument")
        self.socket_options.append(option)

    def shutdown(self, how: int) -> None:
        """Likewise."""
        if not self.is_open:
            raise OSError(9, "Bad file descriptor")
        self.endings.append(f"shutdown {how}")

    def settimeout(self, _seconds: float) -> None:
        """Likewise."""

    def recv(self, _most: int) -> bytes:
        """Likewise."""
        self.endings.append("recv")
        return b""

    def close(self) -> None:
        """Likewise."""
        self.is_open = False

    def release(self) -> None:
        """Close the socket as paho does, which holds it until then, even if it is closed."""
        if not self._held:
            return
        self._held = False
        if self.client.on_socket_close is not None:
            self.client.on_socket_close(self.client, None, self)
        self.is_open = False

    def queue(self, *packet: Any) -> MQTTErrorCode:
        if not self.is_open:
            return NO_CONNECTION
        if self.client.on_socket_register_write is None:
            raise AssertionError("paho would write in the thread that asks")
        self._queued.append(packet)
        return SUCCESS

    def write(self) -> None:
        """Write what is queued; with DISCONNECT the socket is closed, as paho does."""
        while self.is_open and self._queued:
            packet = self._queued.popleft()
            self.written.append(packet)
            if packet[0] == "disconnect":
                self.report_disconnect("Success")
                self.release()

    @property
    def wants_to_write(self) -> bool:
        return bool(self._queued)

    def turn(self) -> MQTTErrorCode:
        """Do what one call of `loop()` does."""
        if not self.is_open:
            return NO_CONNECTION
        self.write()
        if not self.is_open:
            return SUCCESS
        if self._come:
            return self.read()
        event, self._first = self._first or self._next_event(), None
        self.write()
        if self.is_open:
            return event(self) or SUCCESS
        return SUCCESS

    def come(self, *events: Event) -> MQTTErrorCode:
        """Let events come together, before those that come already; let the first happen."""
        self._come.extendleft(reversed(events))
        return self.read()

    def read(self) -> MQTTErrorCode:
        """Do what one call of `loop_read()` does: nothing, where nothing more has come."""
        if not self.is_open:
            return NO_CONNECTION
        return (self._come.popleft()(self) if self._come else None) or SUCCESS

    def drop(
        self, code: MQTTErrorCode, times: int = 1, reason: str = "Unspecified error"
    ) -> MQTTErrorCode:
        """Lose the connection, and say so that many times."""
        self.release()
        for _ in range(times):
            self.report_disconnect(reason)
        return code

    def report_disconnect(self, reason: str, *, by_broker: bool = False) -> None:
        self.client.on_disconnect(
            self.client,
            None,
            DisconnectFlags(is_disconnect_packet_from_server=by_broker),
            ReasonCode(PacketTypes.DISCONNECT, reason),
            Properties(PacketTypes.DISCONNECT),
        )

    def verify(self) -> None:
        if next(self._script, None) is not None:
            raise AssertionError("the link left a connection before its script was over")

    def _next_event(self) -> Event:
        try:
            return next(self._script, lose)
        except AssertionError as error:
            self._broker.failed.append(error)
            raise


Event = Callable[[Connection], MQTTErrorCode | None]
Script = Callable[[], Iterator[Event]]


class FakeClient:
    """As much of paho's client as the link may use; anything else is an AttributeError."""

    __slots__ = (
        "__weakref__",
        "_broker",
        "_connection",
        "_mid",
        "connect_timeout",
        "credentials",
        "made_with",
        "on_connect",
        "on_disconnect",
        "on_log",
        "on_message",
        "on_socket_close",
        "on_socket_open",
        "on_socket_register_write",
        "on_subscribe",
        "tls_context",
    )
    #: What tests look at, and paho has under another name, or not at all.
    FOR_TESTS = ("credentials", "made_with", "tls_context", "FOR_TESTS")

    def __init__(
        self, broker: FakeBroker, arguments: tuple[Any, ...], options: dict[str, Any]
    ) -> None:
        self._broker = broker
        self._connection: Connection | None = None
        self._mid = 0
        self.made_with = (arguments, options)
        self.credentials: tuple[str, str | None] | None = None
        self.tls_context: Any = None
        self.connect_timeout = 0.0
        self.on_connect: Any = None
        self.on_subscribe: Any = None
        self.on_message: Any = None
        self.on_disconnect: Any = None
        self.on_log: Any = None
        self.on_socket_close: Any = None
        self.on_socket_open: Any = None
        self.on_socket_register_write: Any = None

    @property
    def protocol(self) -> MQTTProtocolVersion:
        version: MQTTProtocolVersion = self.made_with[1]["protocol"]
        return version

    def username_pw_set(self, username: str | None, password: str | None = None) -> None:
        assert username is not None
        self.credentials = (username, password)

    def tls_set_context(self, context: Any = None) -> None:
        if self.tls_context is not None:
            raise ValueError("SSL/TLS has already been configured.")
        self.tls_context = context

    def connect(  # noqa: PLR0917 - as paho has them
        self,
        host: str,
        port: int = 1883,
        keepalive: int = 60,
        bind_address: str = "",
        bind_port: int = 0,
        clean_start: bool | int = 3,
        properties: Properties | None = None,
    ) -> MQTTErrorCode:
        if self.protocol != V5 and (clean_start != 3 or properties is not None):
            raise AssertionError("only MQTT 5 has these")
        if not self._broker.lets_several and any(c.is_open for c in self._broker.connections):
            raise AssertionError("connect() while a socket is open")
        if self._connection is not None:
            self._connection.release()
        self._connection = self._broker.connection_of(self)
        if self.protocol == V5:
            self._connection.clean_start = bool(clean_start)
            self._connection.properties = properties
            self._connection.session_expiry = getattr(properties, "SessionExpiryInterval", 0)
        self._connection.open("connect", host, port, keepalive)
        return SUCCESS

    def socket(self) -> Connection | None:
        connection = self._connection
        return connection if connection is not None and connection.is_open else None

    def loop(self, timeout: float) -> MQTTErrorCode:
        assert self._connection is not None
        self._connection.calls.append("loop")
        return self._connection.turn()

    def loop_read(self) -> MQTTErrorCode:
        assert self._connection is not None
        self._connection.calls.append("loop_read")
        return self._connection.read()

    def loop_write(self) -> MQTTErrorCode:
        connection = self.socket()
        if connection is None:
            return NO_CONNECTION
        connection.write()
        return SUCCESS

    def want_write(self) -> bool:
        connection = self.socket()
        return connection is not None and connection.wants_to_write

    def disconnect(
        self, reasoncode: ReasonCode | None = None, properties: Properties | None = None
    ) -> MQTTErrorCode:
        expiry = getattr(properties, "SessionExpiryInterval", None)
        return self._queue("disconnect", expiry)

    def subscribe(
        self, topic: list[tuple[str, int | SubscribeOptions]]
    ) -> tuple[MQTTErrorCode, int | None]:
        self._mid += 1
        if self._connection is not None:
            self._connection.unanswered.append(self._mid)
        return self._queue("subscribe", list(topic)), self._mid

    def publish(self, topic: str, payload: bytes, qos: int) -> MQTTMessageInfo:
        info = MQTTMessageInfo(1)
        info.rc = self._queue("publish", topic, payload, qos)
        return info

    def _queue(self, *packet: Any) -> MQTTErrorCode:
        return NO_CONNECTION if self._connection is None else self._connection.queue(*packet)


class FakeBroker:
    """Plays one script for each connection, in their order.

    Attributes:
        clients: all that were made.
        connections: what became of each connection.
        failed: assertions that failed in scripts.
        lets_several: there may be several connections at a time.
    """

    def __init__(self) -> None:
        self._scripts: deque[Script] = deque()
        self.clients: list[FakeClient] = []
        self.connections: list[Connection] = []
        self.failed: list[AssertionError] = []
        self.lets_several = False

    def plan(self, *scripts: Script) -> None:
        """Add the scripts of the connections to come."""
        self._scripts.extend(scripts)

    @property
    def is_over(self) -> bool:
        """No further connection is planned."""
        return not self._scripts

    def make_client(self, *arguments: Any, **options: Any) -> Client:
        """Stand in for the class `Client`."""
        client = FakeClient(self, arguments, options)
        self.clients.append(client)
        return cast(Client, client)

    def connection_of(self, client: FakeClient) -> Connection:
        """Give the next connection."""
        if self.is_over:
            self.failed.append(AssertionError("a connection that is not planned"))
            raise self.failed[-1]
        connection = Connection(self, self._scripts.popleft()(), client)
        self.connections.append(connection)
        return connection

    def verify(self) -> None:
        """Raise the first assertion that failed; assert that everything happened."""
        for error in self.failed:
            raise error
        if not self.is_over:
            raise AssertionError(f"the link did not connect {len(self._scripts)} more times")
        for connection in self.connections:
            connection.verify()


# ------------------------------------------------------- events


def accept(connection: Connection) -> None:
    """Let the client in, whose session is new."""
    _connack(connection, "Success")


def resume(connection: Connection) -> None:
    """Let the client in, whose session was kept."""
    _connack(connection, "Success", kept=True)


def accept_for(session_expiry: int) -> Event:
    """Let the client in, whose session is kept for so many seconds, whatever it asked for."""
    return lambda connection: _connack(connection, "Success", session_expiry=session_expiry)


def refuse_since(reason: str) -> Event:
    """Do not let the client in, for this reason; paho then closes the connection."""

    def event(connection: Connection) -> MQTTErrorCode:
        _connack(connection, reason)
        return connection.drop(MQTTErrorCode.MQTT_ERR_CONN_REFUSED)

    return event


refuse = refuse_since("Not authorized")


def _connack(
    connection: Connection, reason: str, *, kept: bool = False, session_expiry: int | None = None
) -> None:
    properties = Properties(PacketTypes.CONNACK)
    if session_expiry is not None:
        properties.SessionExpiryInterval = session_expiry
    connection.client.on_connect(
        connection.client,
        None,
        ConnectFlags(session_present=kept),
        ReasonCode(PacketTypes.CONNACK, reason),
        properties,
    )


def grant(*codes: int) -> Event:
    """Answer the subscription that has waited longest, with a code for each topic."""

    def event(connection: Connection) -> None:
        connection.client.on_subscribe(
            connection.client,
            None,
            connection.unanswered.popleft(),
            [ReasonCode(PacketTypes.SUBACK, identifier=code) for code in codes],
            Properties(PacketTypes.SUBACK),
        )

    return event


#: Topics and qualities of service that are subscribed to, and the answer.
SUBSCRIPTIONS = {"/one": 1, "/two": 2}
granted = grant(1, 2)


def brief() -> Iterator[Event]:
    """Give the script of a connection that comes up and is lost."""
    yield accept
    yield granted


def playing(*events: Event) -> Script:
    """Give the script of a connection where this happens."""
    return lambda: iter(events)


def deliver(
    topic: str, *payloads: bytes | bytearray, retained: bool = False, qos: int = 0
) -> Event:
    """Deliver messages, which come together."""

    def one(payload: bytes | bytearray) -> Event:
        def event(connection: Connection) -> None:
            message = MQTTMessage(0, topic.encode())
            message.payload = payload
            message.retain = retained
            message.qos = qos
            connection.client.on_message(connection.client, None, message)

        return event

    return together(*map(one, payloads))


def together(*events: Event) -> Event:
    """Let events come together."""

    def event(connection: Connection) -> MQTTErrorCode:
        return connection.come(*events)

    return event


def idle(_connection: Connection) -> None:
    """Nothing happens for a while."""


def lose(connection: Connection) -> MQTTErrorCode:
    """Lose the connection; paho says so twice for a broker that hangs."""
    return connection.drop(MQTTErrorCode.MQTT_ERR_CONN_LOST, times=2)


def lose_since(reason: str, code: MQTTErrorCode = MQTTErrorCode.MQTT_ERR_UNKNOWN) -> Event:
    """Lose the connection, for a reason of paho's own."""
    return lambda connection: connection.drop(code, reason=reason)


def dismiss(reason: str) -> Event:
    """Disconnect the client with a reason, which paho takes for no error."""

    def event(connection: Connection) -> None:
        connection.release()
        connection.report_disconnect(reason, by_broker=True)

    return event


def log(text: str, level: PahoLevel = PahoLevel.MQTT_LOG_ERR) -> Event:
    """Let paho write a line to its log, if anybody listens."""

    def event(connection: Connection) -> None:
        if connection.client.on_log is not None:
            connection.client.on_log(connection.client, None, level, text)

    return event


def give_up(connection: Connection) -> MQTTErrorCode:
    """Return an error without a word to a callback."""
    connection.is_open = False
    return MQTTErrorCode.MQTT_ERR_UNKNOWN


def fail_since(error: Exception) -> Event:
    """Raise this error of the system; the socket stays open."""

    def event(_connection: Connection) -> MQTTErrorCode:
        raise error

    return event


def break_down(_connection: Connection) -> MQTTErrorCode:
    """Raise, as paho does when it cannot read what came; the socket stays open."""
    raise RuntimeError("a defect of paho")


def unreachable(error: Exception) -> Script:
    """Give the script of an attempt to connect that raises."""

    def script() -> Iterator[Event]:
        yield from ()
        raise error

    return script


class FakeThread:
    """Runs jobs when it is told to.

    Attributes:
        jobs: that wait, with their results.
        running: it runs one just now.
    """

    def __init__(self) -> None:
        self.jobs: list[tuple[Callable[[], Any], Deferred[Any]]] = []
        self.running = False

    def __call__(self, job: Callable[[], Any], /) -> Deferred[Any]:
        result: Deferred[Any] = Deferred()
        self.jobs.append((job, result))
        return result

    def run(self) -> None:
        """Run the job that has waited longest."""
        job, result = self.jobs.pop(0)
        self.running = True
        try:
            made = job()
        except Exception:  # noqa: BLE001 - as the real pool does
            made = Failure()
        finally:
            self.running = False
        result.callback(made)


class FakeAnswerer:
    """Answers every question alike.

    Args:
        make: gives the answer.

    Attributes:
        asked: the questions, and whether each answer could be compressed.
    """

    def __init__(self, make: Callable[[], Reply | Deferred[Reply]]) -> None:
        self._make = make
        self.asked: list[tuple[Query, bool]] = []

    def reply(self, query: Query, *, compressed: bool) -> Reply | Deferred[Reply]:
        self.asked.append((query, compressed))
        return self._make()


def answering(body: bytes, content_type: str = "application/json") -> FakeAnswerer:
    """Give one whose answer is this."""
    return FakeAnswerer(lambda: Reply(200, content_type, (body,)))
