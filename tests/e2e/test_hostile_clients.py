"""Clients that stall, drip, flood or talk nonsense: others are served all the same."""

from __future__ import annotations

import random
import re
import select
import signal
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from paho.mqtt import publish

from maestro_exporter.notes import MAX_WORD_LENGTH, Role, Sender, Topic, encode
from tests.e2e.clusters import V1_5, exporter_of, seed_peers, simulated
from tests.e2e.web import (
    COMMANDS,
    NO_BROKER,
    SECONDS,
    Authority,
    SecureExporter,
    Web,
    WebConfig,
    resident,
)
from tests.samples import stats_response
from tests.servers import Exporter, Mosquitto, wait_for

pytestmark = pytest.mark.long

MIB = 1024 * 1024
LARGE = 9_000_000
ASK = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"
#: Peers whose names are as long as the exporter takes them, so that few make a large page.
CROWD = 1100
#: More than the exporter gives a client for the head of a request, and for the end of TLS.
PATIENCE = 40.0


# ----------------------------------------------------------------- a large page


@contextmanager
def crowded(launcher: str = "twistd") -> Iterator[Exporter]:
    """An exporter whose page is large, and does not change any more."""
    senders = [
        Sender(
            id=f"id-{each}",
            name=f"{each:05}".ljust(MAX_WORD_LENGTH - 5, "x"),
            host="host",
            role=Role.SENDER,
            member=f"member-{each}",
            group="all",
        )
        for each in range(CROWD)
    ]
    notes = [
        stats_response(each, correlation_id="c", message_id="m", child_count=1, rate=1.5)
        for each in senders
    ]
    with (
        Mosquitto() as broker,
        Exporter("--interval=1h", f"--maestro-url={broker.url}", launcher=launcher) as exporter,
    ):
        web = Web(exporter.address)
        web.wait_for_value("maestro_up", 1.0)
        publish.multiple(
            [(Topic.RESPONSES, encode(note), 0, False) for note in notes],
            hostname="127.0.0.1",
            port=broker.port,
        )
        up = ("maestro_peers", frozenset({("type", "sender")}))
        wait_for(lambda: web.samples()[up] == CROWD, "all peers")
        assert len(web.ask().body) > LARGE
        yield exporter


def reader(exporter: Exporter, what: bytes = ASK) -> socket.socket:
    """Give a client that asks for a page and will not read it."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(SECONDS)
    client.connect(("127.0.0.1", exporter.port))
    client.sendall(what)
    return client


def stalled(exporter: Exporter, stack: ExitStack, count: int) -> Sequence[socket.socket]:
    """Give so many readers that have stalled; each was promised the page."""
    readers = [stack.enter_context(reader(exporter)) for _ in range(count)]
    for each in readers:
        assert each.recv(12, socket.MSG_PEEK) == b"HTTP/1.1 200"
    return readers


def test_stalled_readers(record_property: Callable[[str, object], None]) -> None:
    """40 readers that do not read a page of 9 MB cost little; more are told to come again."""
    with crowded() as exporter:
        web = Web(exporter.address)
        before = resident(exporter)
        with ExitStack() as stack:
            stalled(exporter, stack, 40)
            grown = resident(exporter) - before
            record_property("grown_bytes", grown)
            print(f"RSS: {before / MIB:.1f} MiB, grown by {grown / MIB:.2f} MiB")  # noqa: T201
            assert grown < 20 * MIB
            for path in ("/metrics", "/api/v1/status", "/"):
                answer = web.ask(path)
                assert answer.status == 503
                assert b"too many pages are on their way" in answer.body
                assert answer.headers["Retry-After"] == "1"
            assert web.status("/-/healthy") == 200
            assert web.status("/-/ready") == 503  # the interval is long, no round is done
            assert web.status("/assets/status.css") == 200
        wait_for(lambda: web.status() == 200, "pages again")
        assert len(web.ask().body) > LARGE
        assert "Traceback" not in exporter.output()


@pytest.mark.parametrize("launcher", list(COMMANDS))
def test_sigterm_with_stalled_readers(launcher: str) -> None:
    """SIGTERM ends the exporter with status 0, whoever has not read to the end."""
    with crowded(launcher) as exporter, ExitStack() as stack:
        stalled(exporter, stack, 10)
        assert exporter.stop() == 0
        assert "Traceback" not in exporter.output()


# ----------------------------------------------------------------- slowness


class Slow:
    """A client that sends some of a request at once, and of the rest a byte now and then."""

    def __init__(self, port: int, first: bytes, then: bytes) -> None:
        self.name = (first[:30], then)
        self.socket = socket.create_connection(("127.0.0.1", port), SECONDS)
        self.socket.sendall(first)
        self._then = then

    def drip(self) -> None:
        with suppress(OSError):
            self.socket.sendall(self._then)

    def is_over(self) -> bool:
        """Tell whether the server has ended the connection, or said why it will."""
        readable, _, _ = select.select([self.socket], [], [], 0)
        if not readable:
            return False
        try:
            return self.socket.recv(1000) == b""
        except ConnectionResetError:
            return True


def test_slow_clients(tmp_path: Path) -> None:
    """Who does not get to the end of a request, or of TLS, is cut off; others notice nothing."""
    authority = Authority()
    authority.issue().save(tmp_path, "server")
    config = WebConfig(
        tmp_path, tls_server_config={"cert_file": "server.pem", "key_file": "server.key"}
    )
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
    head = b"GET /metrics HTTP/1.1\r\nHost: a\r\n"
    with (
        Exporter(NO_BROKER) as plain,
        SecureExporter(NO_BROKER, config.option) as secure,
        ExitStack() as stack,
    ):
        clients = [
            *(Slow(plain.port, b"", b"") for _ in range(3)),
            *(Slow(plain.port, b"", b"G") for _ in range(3)),
            *(Slow(plain.port, head + b"X: ", b"x") for _ in range(5)),
            *(Slow(plain.port, head, b"X: x\r\n") for _ in range(3)),
            *(Slow(plain.port, head + b"Content-Length: 1000\r\n\r\n", b"x") for _ in range(3)),
            *(
                Slow(plain.port, head + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n")
                for _ in range(3)
            ),
            *(Slow(secure.port, b"", b"") for _ in range(3)),
            *(Slow(secure.port, hello, b"") for _ in range(3)),
            *(Slow(secure.port, hello, b"\0") for _ in range(3)),
        ]
        for each in clients:
            stack.enter_context(each.socket)
        webs = [Web(plain.address), Web(secure.address, context=authority.trust())]
        left = clients
        deadline = time.monotonic() + PATIENCE
        while left:
            assert time.monotonic() < deadline, [each.name for each in left]
            for each in left:
                each.drip()
            for web in webs:
                assert web.status() == 200
            # The pace at which the clients drip, not a wait for anything.
            time.sleep(0.5)
            left = [each for each in left if not each.is_over()]
        for exporter in (plain, secure):
            assert "Traceback" not in exporter.output()


# ----------------------------------------------------------------- floods


def connections(
    exporter: Exporter, count: int, ask: Callable[[], object], stack: ExitStack
) -> Sequence[socket.socket]:
    """Open so many that some of them are closed by the exporter.

    `ask` waits for an answer over a connection that was there before; in the meantime the
    exporter takes in those that wait, of which the kernel would let only some wait.
    """
    crowd: list[socket.socket] = []
    while len(crowd) < count:
        crowd += [
            stack.enter_context(socket.create_connection(("127.0.0.1", exporter.port), SECONDS))
            for _ in range(20)
        ]
        assert ask() is not None
    wait_for(
        lambda: len(select.select(crowd, [], [], 0)[0]) >= count - 512,
        "those that are too many to be closed",
    )
    return crowd


def test_many_connections() -> None:
    """600 connections take nothing from those before them, nor from the broker's."""
    with (
        Mosquitto() as broker,
        simulated(broker, *seed_peers(V1_5)),
        exporter_of(broker) as exporter,
        ExitStack() as stack,
    ):
        web = Web(exporter.address)
        web.wait_for_value("maestro_up", 1.0)
        kept = web.connection()
        stack.callback(kept.close)

        def value(name: str) -> float | None:
            answer = web.ask(connection=kept)
            assert answer.status == 200
            found = re.search(rb"^%s (.+)$" % name.encode(), answer.body, re.MULTILINE)
            return float(found[1]) if found else None

        assert value("maestro_up") == 1.0
        mine = kept.sock
        crowd = connections(exporter, 600, lambda: value("maestro_up"), stack)
        rounds = value("maestro_exporter_rounds_total") or 0.0
        wait_for(
            lambda: (value("maestro_exporter_rounds_total") or 0.0) > rounds + 2, "more rounds"
        )
        assert value("maestro_up") == 1.0
        # The network loop waits with select(), so that its socket must not have a high number.
        broker.stop()
        wait_for(lambda: value("maestro_up") == 0.0, "the broker to be missed")
        broker.start()
        wait_for(lambda: value("maestro_up") == 1.0, "the broker to be back")
        assert kept.sock is mine
        for each in crowd:
            each.close()
        wait_for(lambda: web.status() == 200, "new connections")
        assert "Traceback" not in exporter.output()


def test_many_connections_over_tls(tmp_path: Path) -> None:
    """600 connections that do not begin with TLS take nothing from who has."""
    authority = Authority()
    authority.issue().save(tmp_path, "server")
    config = WebConfig(
        tmp_path, tls_server_config={"cert_file": "server.pem", "key_file": "server.key"}
    )
    with SecureExporter(NO_BROKER, config.option) as exporter, ExitStack() as stack:
        web = Web(exporter.address, context=authority.trust())
        kept = web.connection()
        stack.callback(kept.close)
        crowd = connections(exporter, 600, lambda: web.ask(connection=kept), stack)
        assert web.ask(connection=kept).status == 200
        for each in crowd:
            each.close()
        wait_for(lambda: web.status() == 200, "new connections")
        assert "Traceback" not in exporter.output()
        assert "Unhandled" not in exporter.output()


def test_floods() -> None:
    """Requests without end, and bodies without end, are not kept: the memory stays as it was."""
    with Exporter(NO_BROKER) as exporter, ExitStack() as stack:
        web = Web(exporter.address)
        for _ in range(20):
            assert web.status() == 200
        before = resident(exporter)
        post = b"POST /metrics HTTP/1.1\r\nHost: a\r\n"
        chunked = b"Transfer-Encoding: chunked\r\n\r\n"
        junk = b"x" * 65536
        for first, then in (
            (b"", ASK * 1000),
            (b"", ASK * 1000),
            (post + b"Content-Length: 1000000000\r\n\r\n", junk),
            (post + b"Content-Length: 60000\r\n\r\n", junk),
            (post + chunked, b"10000\r\n" + junk + b"\r\n"),
            (post + chunked, b"1;" + junk),
            (ASK[:-2], b"X: " + junk),
            (ASK[:-2], b"X: y\r\n" * 10_000),
            (b"", b"\r\n" * 30_000),
            (b"", junk),
            (ASK[:-2], b" folded\r\n" * 10_000),
        ):
            client = stack.enter_context(reader(exporter, first))
            client.setblocking(False)
            sent = 0
            # Until the server wants no more, or 20 MB of it.
            while sent < 20_000_000 and select.select([], [client], [], 0.3)[1]:
                try:
                    sent += client.send(then)
                except OSError:
                    break
            assert web.status() == 200
            assert web.status("/-/healthy") == 200
        grown = resident(exporter) - before
        print(f"RSS: {before / MIB:.1f} MiB, grown by {grown / MIB:.2f} MiB")  # noqa: T201
        assert grown < 20 * MIB
        assert "Traceback" not in exporter.output()


# ----------------------------------------------------------------- nonsense

_HEAD = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2}) [ -~]*\r\n((?:[A-Za-z-]+: [ -~]*\r\n)*)\r\n")
_LENGTH = re.compile(rb"^content-length: ([0-9]+)\r\n", re.IGNORECASE | re.MULTILINE)
#: What an answer must not say; the metrics name the version of twisted, in small letters.
_INSIDE = (b"Traceback", b"Twisted", b"klein", b"Klein", b".py")


def answers_of(stream: bytes) -> list[int]:
    """Give the statuses of the answers that a stream is made of, which must be whole."""
    statuses = []
    while stream:
        head = _HEAD.match(stream)
        assert head is not None, stream[:200]
        if head[1] == b"100":  # go on; the answer follows
            stream = stream[head.end() :]
            continue
        statuses.append(int(head[1]))
        length = _LENGTH.search(head[2])
        end = head.end() + (int(length[1]) if length else 0)
        assert len(stream) >= end, stream[:200]
        assert length is not None or len(stream) == end, stream[:200]
        stream = stream[end:]
    return statuses


class Fuzz:
    """Makes requests that are wrong in all kinds of ways; the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def request(self) -> bytes:
        """Give the bytes of a connection."""
        make = self._random.choice(
            (
                self._bad_method,
                self._bad_version,
                self._bad_target,
                self._huge_line,
                self._huge_header,
                self._bad_header,
                self._bad_length,
                self._bad_chunks,
                self._pipelined,
                self._noise,
                self._mutated,
            )
        )
        return make()

    def _pick(self, *choices: bytes) -> bytes:
        return self._random.choice(choices)

    def _bytes(self, most: int) -> bytes:
        return self._random.randbytes(self._random.randint(1, most))

    def _path(self) -> bytes:
        return self._pick(b"/", b"/metrics", b"/api/v1/status", b"/-/healthy", b"/-/ready", b"/no")

    def _good(self) -> bytes:
        return b"GET %s HTTP/1.1\r\nHost: a\r\n\r\n" % self._path()

    def _bad_method(self) -> bytes:
        method = self._pick(
            b"", b"get", b"G\0T", b"PRI", b"\xff\xfe", b"GET" * 3000, b"CONNECT", b"TRACE", b"G T",
            b"{GET}", b"__init__", b"%s%n",
        )  # fmt: skip
        return b"%s %s HTTP/1.1\r\nHost: a\r\n\r\n" % (method, self._path())

    def _bad_version(self) -> bytes:
        version = self._pick(
            b"", b"HTTP", b"HTTP/", b"HTTP/9.9", b"HTTP/2.0", b"HTTP/1.1.1", b"http/1.1", b"\0",
            b"HTTP/1.1 x", b"SIP/2.0", b"HTTP/0.9", b"HTTP/\xb2.\xb3", b"HTTP/99999999999999999.1",
        )  # fmt: skip
        return b"GET %s %s\r\nHost: a\r\n\r\n" % (self._path(), version)

    def _bad_target(self) -> bytes:
        target = self._pick(
            b"*", b"", b"metrics", b"//metrics", b"/%", b"/%zz", b"/%ff%fe", b"/\xff",
            b"/../../etc", b"/%00", b"/\0", b"http://a/metrics", b"http://[::1", b"http://\xff/",
            b"a:b", b"//[", b"/?" + b"&" * 5000, b"/?%ff=%zz", b"/#", b"/;", b"/metrics/../metrics",
            b"\\metrics", b"/%2e%2e/", b"http://", b"/" * 2000,
        )  # fmt: skip
        return b"GET %s HTTP/1.1\r\nHost: a\r\n\r\n" % target

    def _huge_line(self) -> bytes:
        size = self._random.choice((16_000, 16_384, 17_000, 100_000))
        return b"GET /" + b"x" * size + self._pick(b"", b" HTTP/1.1\r\n\r\n")

    def _huge_header(self) -> bytes:
        line = self._pick(
            b"X: " + b"x" * 20_000 + b"\r\n",
            b"X" * 20_000 + b": x\r\n",
            b"X: x\r\n" * 1000,
            b"X: x\r\n" + b" folded\r\n" * 3000,
            b"Cookie: " + b"a=b;" * 3000 + b"\r\n",
            b"Authorization: Basic " + b"A" * 15_000 + b"\r\n",
            b"Accept-Encoding: " + b"gzip;q=0.1," * 1200 + b"\r\n",
        )
        return b"GET %s HTTP/1.1\r\nHost: a\r\n%s\r\n" % (self._path(), line)

    def _bad_header(self) -> bytes:
        line = self._pick(
            b"Host: \xff\xfe", b"Host:", b"Host: a\r\nHost: b", b"Host: a b", b"Host: [::1",
            b"Host: a:b",
            b"Host: a/b?c#d@e", b"Host: \0", b"no colon", b": no name", b" leading", b"X\0: y",
            b"X: \0", b"X : y", b"\xff: \xff", b"Connection: \xff, close, keep-alive, upgrade",
            b"Cookie: \xff=;;=",
            b"Upgrade: h2c\r\nConnection: Upgrade\r\nHTTP2-Settings: AAMAAABk",
            b"Expect: 100-continue",
            b"Expect: the worst", b"Range: bytes=9-1", b"Accept-Encoding: \xff;q=\xff", b"TE: \0",
            b"Authorization: Basic \xff", b"Content-Type: multipart/form-data; boundary=\xff",
            b"X: a\rb", b"X: a\nY: b", b"X-Forwarded-For: ${jndi:ldap://a}",
        )  # fmt: skip
        return b"GET %s HTTP/1.1\r\n%s\r\n\r\n" % (self._path(), line)

    def _bad_length(self) -> bytes:
        length = self._pick(
            b"-1", b"+1", b"x", b"", b"1e3", b"0x10", b"1, 1", b"1\r\nContent-Length: 2",
            b"9" * 400, b"\xb2", b"99999999999", b"5\r\nTransfer-Encoding: chunked", b"1_000",
        )  # fmt: skip
        method = self._pick(b"GET", b"POST", b"PUT")
        body = self._bytes(100)
        return b"%s /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: %s\r\n\r\n%s" % (
            method,
            length,
            body,
        )

    def _bad_chunks(self) -> bytes:
        coding = self._pick(b"chunked", b"Chunked", b"gzip, chunked", b"chunked, chunked", b"\xff")
        chunks = self._pick(
            b"z\r\n", b"-1\r\n", b"ffffffffffffffffffff\r\n", b"1\r\nxx\r\n", b"5\r\nx", b"0\r\n",
            b"1;" + b"x" * 20_000 + b"\r\nx\r\n0\r\n\r\n", b"0\r\n" + b"X: y\r\n" * 2000 + b"\r\n",
            b"0\r\nX\0\r\n\r\n", b"\xb2\r\n\r\n", b"1\nx\n0\n\n", b"0x1\r\nx\r\n0\r\n\r\n", b"\r\n",
            b"20000\r\n" + b"x" * 0x20000 + b"\r\n0\r\n\r\n",
        )  # fmt: skip
        return b"POST /metrics HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: %s\r\n\r\n%s" % (
            coding,
            chunks,
        )

    def _pipelined(self) -> bytes:
        good = b"".join(self._good() for _ in range(self._random.randint(1, 20)))
        return good + self._pick(
            self._bad_method(), self._bad_version(), self._bad_chunks(), self._noise(), b"\r\n\r\n"
        )

    def _noise(self) -> bytes:
        return self._pick(
            self._bytes(2000),
            b"\0" * 1000,
            b"\n" * 1000,
            b"\r\n" * 1000,
            b"\r" * 1000,
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + self._bytes(100),
            hello_of_tls(),
            hello_of_tls() + self._bytes(100),
            b"\x16\x03\x01\xff\xff" + self._bytes(1000),
            b"EHLO a\r\n",
            b"\x10\x10\0\4MQTT\4\2\0\0\0\4test",
            b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n" + self._good(),
        )

    def _mutated(self) -> bytes:
        """Give a good request of which some bytes are others."""
        changed = bytearray(
            b"GET /metrics?a=b HTTP/1.1\r\nHost: localhost:9120\r\nAccept: text/plain;q=0.5\r\n"
            b"Accept-Encoding: gzip;q=0.5, identity\r\nUser-Agent: Prometheus/2.42\r\n\r\n"
        )
        for _ in range(self._random.randint(1, 5)):
            place = self._random.randrange(len(changed))
            if self._random.random() < 0.5:
                changed[place] = self._random.randrange(256)
            else:
                changed[place : place + self._random.randint(0, 10)] = self._bytes(3)
        return bytes(changed)


def hello_of_tls() -> bytes:
    """Give what a client of TLS says first."""
    outgoing = ssl.MemoryBIO()
    connection = ssl.create_default_context().wrap_bio(
        ssl.MemoryBIO(), outgoing, server_hostname="localhost"
    )
    with pytest.raises(ssl.SSLWantReadError):
        connection.do_handshake()
    return outgoing.read()


def talk(exporter: Exporter, health: Web, all_said: Sequence[bytes]) -> Iterator[bytes]:
    """Say each of these on a connection of its own; give what was answered."""
    with ExitStack() as stack:
        clients = []
        for said in all_said:
            client = stack.enter_context(
                socket.create_connection(("127.0.0.1", exporter.port), SECONDS)
            )
            clients.append(client)
            with suppress(OSError):  # cut off: too much of it
                client.sendall(said)
        # All that was said has come to the exporter before these have.
        for _ in range(3):
            assert health.status("/-/healthy") == 200
        for client in clients:
            yield _rest(client)


def _rest(client: socket.socket) -> bytes:
    """Give all that comes on a connection until there is no more."""
    heard = b""
    try:
        client.shutdown(socket.SHUT_WR)
        while piece := client.recv(65536):
            heard += piece
    except (ConnectionResetError, OSError) as error:
        assert not isinstance(error, TimeoutError), heard[:200]
    return heard


@pytest.mark.parametrize("seed", [1, 2])
def test_malformed_requests(seed: int) -> None:
    """Whatever is said, the answer is nothing or proper HTTP that does not show the inside."""
    fuzz = Fuzz(seed)
    said = [fuzz.request() for _ in range(168)]
    statuses: list[int] = []
    with Exporter(NO_BROKER, "--web.access-log") as exporter:
        web = Web(exporter.address)
        for start in range(0, len(said), 24):
            part = said[start : start + 24]
            for request, answer in zip(part, talk(exporter, web, part), strict=True):
                assert not [each for each in _INSIDE if each in answer], (request, answer)
                try:
                    statuses += answers_of(answer)
                except AssertionError as error:
                    raise AssertionError(f"{request[:200]!r}: {error}") from None
        assert {200, 400, 404, 405} <= set(statuses)
        assert not [each for each in statuses if each >= 500 and each != 503]
        assert web.samples()
        output = exporter.output()
        assert "Traceback" not in output
        assert "Unhandled" not in output
        assert "\0" not in output


def test_plain_bytes_at_a_tls_port(tmp_path: Path) -> None:
    """Who does not speak TLS where it is spoken hears no more than an alert of TLS."""
    authority = Authority()
    authority.issue().save(tmp_path, "server")
    config = WebConfig(
        tmp_path, tls_server_config={"cert_file": "server.pem", "key_file": "server.key"}
    )
    fuzz = Fuzz(4)
    said = [fuzz.request() for _ in range(100)]
    said += [hello_of_tls()[:-1], hello_of_tls() + b"\0" * 100, b"\x16\x03\x03\0\0" * 100]
    said += [b"\x15\x03\x03\0\2\2\x28", b"\x80\x2e\1\0\2"]
    with SecureExporter(NO_BROKER, config.option, "--web.access-log") as exporter:
        web = Web(exporter.address, context=authority.trust())
        for start in range(0, len(said), 21):
            for answer in talk(exporter, web, said[start : start + 21]):
                assert answer[:2] in (b"", b"\x15\x03", b"\x16\x03"), answer
                assert not [each for each in (*_INSIDE, b"HTTP/") if each in answer], answer
        assert web.samples()
        output = exporter.output()
        assert "Traceback" not in output
        assert "Unhandled" not in output


def test_sigterm_with_clients_of_all_kinds(tmp_path: Path) -> None:
    """SIGTERM ends the exporter with status 0 while clients of TLS are at all stages."""
    authority = Authority()
    authority.issue().save(tmp_path, "server")
    config = WebConfig(
        tmp_path, tls_server_config={"cert_file": "server.pem", "key_file": "server.key"}
    )
    with (
        SecureExporter(NO_BROKER, config.option) as exporter,
        ExitStack() as stack,
    ):
        web = Web(exporter.address, context=authority.trust())
        kept = web.connection()
        stack.callback(kept.close)
        assert web.ask(connection=kept).status == 200
        for first in (b"", hello_of_tls()[:20], hello_of_tls()):
            stack.enter_context(reader(exporter, first))
        assert web.status("/-/healthy") == 200
        exporter.signal(signal.SIGTERM)
        assert exporter.stop() == 0
        assert "Traceback" not in exporter.output()
