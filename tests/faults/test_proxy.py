"""The proxy forwards everything, and fails in exactly the way that it is told to."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from tests.faults.brokers import garbage_server, silent_server
from tests.faults.proxy import HOST, REFUSED_VERSION, Proxy, protocol_level
from tests.servers import free_port, wait_for

SECONDS = 10.0
LARGE = bytes(range(256)) * 16 * 1024  # 4 MiB: more than all buffers on the way hold

CONNECT_5 = bytes.fromhex("100d00044d5154540502003c0000") + b"\0"
CONNECT_311 = bytes.fromhex("100c00044d5154540402003c0000")
CONNECT_31 = bytes.fromhex("100e00064d5149736470030200") + b"\x3c\0\0"


class Echo:
    """A server that sends back what it gets, until the client has sent all."""

    def __init__(self) -> None:
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self.resets = 0
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(SECONDS)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._echo, args=(client,), daemon=True).start()

    def _echo(self, client: socket.socket) -> None:
        client.settimeout(SECONDS)
        with client:
            try:
                while chunk := client.recv(64 * 1024):
                    client.sendall(chunk)
            except OSError:
                self.resets += 1


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    yield server
    server.close()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[Proxy]:
    with Proxy(echo.port) as running:
        yield running


def connect(proxy: Proxy) -> socket.socket:
    return socket.create_connection((HOST, proxy.port), SECONDS)


def take(client: socket.socket, length: int) -> bytes:
    """Give that many bytes, or what there is until the end."""
    taken = b""
    while len(taken) < length and (chunk := client.recv(length - len(taken))):
        taken += chunk
    return taken


def ask(client: socket.socket, question: bytes) -> bytes:
    """Give as many bytes as were said."""
    client.sendall(question)
    return take(client, len(question))


def says_nothing(client: socket.socket) -> bool:
    """Tell whether nothing comes for a moment."""
    client.settimeout(0.05)
    try:
        return client.recv(1, socket.MSG_PEEK) == b"never"
    except TimeoutError:
        return True
    finally:
        client.settimeout(SECONDS)


@contextmanager
def sending(client: socket.socket, content: bytes) -> Iterator[None]:
    """Send beside, and then the end."""

    def send() -> None:
        client.sendall(content)
        client.shutdown(socket.SHUT_WR)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    yield
    thread.join(SECONDS)
    assert not thread.is_alive()


def test_forwards_all_and_the_end(proxy: Proxy) -> None:
    """More than all buffers hold goes up and down whole, and the end of it is told."""
    with connect(proxy) as client, sending(client, LARGE):
        assert take(client, len(LARGE)) == LARGE
        assert client.recv(1) == b""
    assert proxy.bytes_down == len(LARGE)
    wait_for(lambda: proxy.open == 0, "the connection to be over")


def test_last_words_of_a_server_that_hangs_up() -> None:
    """What a server says before it hangs up arrives, though the client goes on talking."""
    with socket.create_server((HOST, 0)) as server, Proxy(server.getsockname()[1]) as proxy:
        client = connect(proxy)
        accepted, _ = server.accept()
        with client:
            proxy.stall()
            accepted.sendall(b"goodbye")
            client.sendall(b"unread")
            accepted.close()
            proxy.resume()
            assert take(client, 7) == b"goodbye"


def test_counts_connections(proxy: Proxy) -> None:
    """It says how many there are, were, and were at a time, and when each came."""
    before = time.monotonic()
    with connect(proxy) as first:
        assert ask(first, b"1") == b"1"
        with connect(proxy) as second:
            assert ask(second, b"2") == b"2"
            assert (proxy.open, proxy.connections, proxy.most_open) == (2, 2, 2)
        wait_for(lambda: proxy.open == 1, "the second to be over")
        with connect(proxy) as third:
            assert ask(third, b"3") == b"3"
        assert (proxy.connections, proxy.most_open) == (3, 2)
    times = [before, *proxy.attempts, time.monotonic()]
    assert times == sorted(times)


def test_cut(proxy: Proxy, echo: Echo) -> None:
    """A cut resets both sides of all connections, and new ones work."""
    with connect(proxy) as client:
        assert ask(client, b"1") == b"1"
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    wait_for(lambda: echo.resets == 1, "the server to notice")
    with connect(proxy) as client:
        assert ask(client, b"2") == b"2"


def test_refuse(proxy: Proxy) -> None:
    """While it refuses, what was open is reset and nobody connects; then all can, at the port."""
    with connect(proxy) as client:
        assert ask(client, b"1") == b"1"
        proxy.refuse()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    for _ in range(3):
        with pytest.raises(ConnectionRefusedError):
            connect(proxy)
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind((HOST, proxy.port))
    proxy.allow()
    with connect(proxy) as client:
        assert ask(client, b"2") == b"2"


def test_stall(proxy: Proxy) -> None:
    """A stall holds both directions and new connections, and loses nothing."""
    with connect(proxy) as client:
        assert ask(client, b"before") == b"before"
        proxy.stall()
        client.sendall(b"during")
        with connect(proxy) as newcomer:
            newcomer.sendall(b"new")
            assert says_nothing(client)
            assert says_nothing(newcomer)
            assert proxy.open == 2
            proxy.resume()
            assert take(client, 6) == b"during"
            assert take(newcomer, 3) == b"new"


def test_stall_in_the_middle(proxy: Proxy) -> None:
    """A stream that is stalled in its middle is held back with the sender, and goes on whole."""
    with connect(proxy) as client, sending(client, LARGE):
        head = take(client, 1000)
        proxy.stall()
        level = proxy.bytes_down
        assert level < len(LARGE)
        with connect(proxy) as newcomer:
            assert says_nothing(newcomer)
        assert proxy.bytes_down == level
        proxy.resume()
        assert head + take(client, len(LARGE)) == LARGE


def test_closed_while_stalled(proxy: Proxy) -> None:
    """A client that gives up during a stall is not counted as open, and never gets through."""
    proxy.stall()
    for _ in range(3):
        with connect(proxy) as client:
            client.sendall(b"unread")
            wait_for(lambda: proxy.open == 1, "it to be accepted")
    wait_for(lambda: proxy.open == 0, "all to be closed")
    assert (proxy.connections, proxy.most_open) == (3, 1)
    proxy.resume()
    with connect(proxy) as client:
        assert ask(client, b"next") == b"next"
    assert proxy.bytes_down == len(b"next")


def test_delay(proxy: Proxy) -> None:
    """Each direction takes as long as it is told to."""
    proxy.delay(0.05)
    with connect(proxy) as client:
        began = time.monotonic()
        assert ask(client, b"slow") == b"slow"
        assert time.monotonic() - began >= 0.1


@pytest.mark.parametrize("length", [0, 1, 1000, 100_000])
def test_cut_after(proxy: Proxy, length: int) -> None:
    """Exactly so many bytes come from the server before a connection is closed."""
    proxy.cut_after(length)
    for _ in range(2):
        with connect(proxy) as client:
            client.sendall(bytes(length + 1))
            assert take(client, length + 1) == bytes(length)
    assert proxy.bytes_down == 2 * length
    proxy.cut_after(None)
    with connect(proxy) as client:
        assert ask(client, b"whole") == b"whole"


def test_corrupt(proxy: Proxy) -> None:
    """Some bits are flipped in what the server says, the same ones for each seed."""
    question = bytes(1000)
    answers = []
    for seed in (1, 1, 2):
        proxy.corrupt(0.1, seed, spare=100)
        with connect(proxy) as client:
            answers.append(ask(client, question))
    first, again, other = answers
    assert first == again != other
    assert first[:100] == question[:100]
    flipped = [byte for byte in first if byte]
    assert 40 < len(flipped) < 160
    assert {byte.bit_count() for byte in flipped} == {1}
    proxy.corrupt(0, seed=0)
    with connect(proxy) as client:
        assert ask(client, question) == question


def test_swallow(proxy: Proxy) -> None:
    """New connections are swallowed, old ones and later ones are not."""
    with connect(proxy) as old:
        assert ask(old, b"1") == b"1"
        proxy.swallow()
        with connect(proxy) as swallowed:
            swallowed.sendall(LARGE)
            assert says_nothing(swallowed)
            assert ask(old, b"2") == b"2"
            assert proxy.open == 2
        proxy.forward()
        with connect(proxy) as new:
            assert ask(new, b"3") == b"3"


def test_nobody_at_the_other_end() -> None:
    """Without a server, connections are reset."""
    with (
        Proxy(free_port()) as proxy,
        pytest.raises(ConnectionResetError),  # it may come before `connect` is back
        connect(proxy) as client,
    ):
        client.recv(1)


def test_ends_with_connections() -> None:
    """The end of the proxy is the end of its connections, whatever it does with them."""
    with silent_server() as proxy:
        proxy.stall()
        client = connect(proxy)
        wait_for(lambda: proxy.open == 1, "it to be accepted")
    with client, pytest.raises(ConnectionResetError):
        client.recv(1)


def test_silent_server() -> None:
    """It accepts and says nothing."""
    with silent_server() as server, connect(server) as client:
        client.sendall(CONNECT_5)
        assert says_nothing(client)
        assert (server.open, server.connections) == (1, 1)


def test_garbage_server() -> None:
    """It answers with bytes that differ between connections and are the same for each seed."""
    runs = []
    for _ in range(2):
        answers = []
        with garbage_server(100, seed=1, first=b"first") as server:
            for _ in range(2):
                with connect(server) as client:
                    client.sendall(CONNECT_5)
                    answers.append(take(client, 1000))
        runs.append(answers)
    assert runs[0] == runs[1]
    assert runs[0][0] != runs[0][1]
    assert [len(each) for each in runs[0]] == [105, 105]
    assert runs[0][0].startswith(b"first")


@pytest.mark.parametrize("answer", [REFUSED_VERSION, b""])
def test_only_mqtt_311(proxy: Proxy, answer: bytes) -> None:
    """Clients of MQTT 5 are answered and closed, others are forwarded, however slow they speak."""
    proxy.only_mqtt_311(answer)
    with connect(proxy) as client:
        client.sendall(CONNECT_5)
        assert take(client, 100) == answer
    for hello in (CONNECT_311, CONNECT_31):
        with connect(proxy) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in hello:
                client.sendall(bytes([byte]))
            assert take(client, len(hello)) == hello
    assert proxy.levels == [5, 4, 3]


@pytest.mark.parametrize(("hello", "level"), [(CONNECT_5, 5), (CONNECT_311, 4), (CONNECT_31, 3)])
def test_protocol_level(hello: bytes, level: int) -> None:
    """The level is found as soon as it is there, with a length of one byte or of four."""
    for head in (hello, hello[:1] + bytes([0x80 | hello[1], 0x80, 0x80, 0]) + hello[2:]):
        found = [protocol_level(head[:length]) for length in range(len(head) + 1)]
        first = found.index(level)
        assert set(found[:first]) == {None}
        assert set(found[first:]) == {level}
        assert head[first - 1] == level
