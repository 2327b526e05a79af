"""Who may read the pages, where and how: real clients, real certificates, real Prometheus."""

from __future__ import annotations

import gzip
import json
import os
import select
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest

from maestro_exporter.notes import TestSuccess
from maestro_exporter.simulator import Peer, Work
from tests.e2e.clusters import V1_5, exporter_of, page, seed_peers, simulated, wait_for_value
from tests.e2e.web import (
    COMMANDS,
    NO_BROKER,
    SECONDS,
    Authority,
    Issued,
    SecureExporter,
    Web,
    WebConfig,
    activated,
    basic,
    hashed,
    replace,
    scraping,
    serial_of,
)
from tests.servers import Exporter, Mosquitto, Prometheus, Samples, free_port, http_get, wait_for

pytestmark = pytest.mark.long

LAUNCHERS = pytest.mark.parametrize("launcher", list(COMMANDS))

RELOADED = "maestro_exporter_web_config_last_reload_successful"
RELOAD_TIME = "maestro_exporter_web_config_last_reload_success_timestamp_seconds"
KEPT = "The web configuration stays as it was"

#: What an answer to a stranger must not say.
INSIDE = (b"Traceback", b"Twisted", b"twisted", b"klein", b"Klein", b".py")


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def tls(folder: Path, issued: Issued, **others: object) -> dict[str, object]:
    """Give the section for TLS, and write what it names."""
    issued.save(folder, "server")
    return {"cert_file": "server.pem", "key_file": "server.key", **others}


# ----------------------------------------------------------------- TLS and credentials


def test_prometheus_over_tls(authority: Authority, tmp_path: Path) -> None:
    """A real Prometheus gets in with the right password or certificate, and not without."""
    ca = tmp_path / "ca.pem"
    ca.write_bytes(authority.pem)
    certificate, key = authority.issue(client=True).save(tmp_path, "client")
    section = tls(tmp_path, authority.issue())
    with_users = WebConfig(
        tmp_path, tls_server_config=section, basic_auth_users={"prometheus": hashed("secret", 10)}
    )
    (tmp_path / "mutual").mkdir()
    with_clients = WebConfig(
        tmp_path / "mutual",
        tls_server_config={
            "cert_file": "../server.pem",
            "key_file": "../server.key",
            "client_ca_file": "../ca.pem",
            "client_auth_type": "RequireAndVerifyClientCert",
        },
    )
    trust = {"ca_file": str(ca)}
    shown = {**trust, "cert_file": str(certificate), "key_file": str(key)}
    with (
        SecureExporter(NO_BROKER, with_users.option) as first,
        SecureExporter(NO_BROKER, with_clients.option, launcher="console") as second,
    ):

        def job(exporter: Exporter, trusted: object, password: str = "") -> dict[str, object]:
            options = {
                "scheme": "https",
                "tls_config": trusted,
                "static_configs": [{"targets": [exporter.address]}],
            }
            if password:
                options["basic_auth"] = {"username": "prometheus", "password": password}
            return options

        with scraping(
            right_password=job(first, trust, "secret"),
            wrong_password=job(first, trust, "guessed"),
            no_password=job(first, trust),
            no_trust=job(first, {}, "secret"),
            certificate=job(second, shown),
            no_certificate=job(second, trust),
        ) as prometheus:

            def up() -> dict[str, float]:
                return {
                    dict(labels)["job"]: value
                    for (_, labels), value in prometheus.query("up").items()
                }

            # A first scrape may take longer than Prometheus waits; no later one does.
            wait_for(
                lambda: (
                    up()
                    == {
                        "right_password": 1.0,
                        "wrong_password": 0.0,
                        "no_password": 0.0,
                        "no_trust": 0.0,
                        "certificate": 1.0,
                        "no_certificate": 0.0,
                    }
                ),
                "Prometheus to get in where it may",
            )
            assert set(prometheus.query("max_over_time(up[5m]) == 1")) == {
                ("", frozenset(labels))
                for labels in (
                    {("job", "right_password"), ("instance", first.address)},
                    {("job", "certificate"), ("instance", second.address)},
                )
            }
        for exporter in (first, second):
            assert "Traceback" not in exporter.output()


def test_strangers(authority: Authority, tmp_path: Path) -> None:
    """Without a password there is health and nothing else, and no answer shows the inside."""
    config = WebConfig(
        tmp_path,
        tls_server_config=tls(tmp_path, authority.issue()),
        http_server_config={"headers": {"X-Frame-Options": "deny"}},
        basic_auth_users={"prometheus": hashed("secret")},
    )
    with SecureExporter(NO_BROKER, config.option) as exporter:
        context = authority.trust()
        stranger = Web(exporter.address, context=context)
        for path, status, body in (
            ("/-/healthy", 200, b"maestro-exporter is healthy.\n"),
            ("/-/ready", 503, None),
            ("/", 401, b"401 Unauthorized\n"),
            ("/metrics", 401, b"401 Unauthorized\n"),
            ("/api/v1/status", 401, None),
            ("/nowhere", 401, b"401 Unauthorized\n"),
            ("//-/healthy", 401, b"401 Unauthorized\n"),
            ("/-/healthy/../../metrics", 401, b"401 Unauthorized\n"),
        ):
            answer = stranger.ask(path)
            assert answer.status == status, (path, answer)
            assert body in (None, answer.body), (path, answer)
            assert answer.headers["X-Frame-Options"] == "deny"
            assert answer.headers["Server"] is None
            assert ("WWW-Authenticate" in answer.headers) == (status == 401)
            assert not [each for each in INSIDE if each in answer.body]
        for header in (
            "Basic",
            "Basic !!!",
            "Basic " + "A" * 4000,
            "Bearer secret",
            basic("prometheus", "guessed"),
            basic("prometheus", ""),
            basic("", "secret"),
            basic("prometheus\0", "secret"),
            basic("somebody", "secret"),
        ):
            answer = stranger.ask(headers={"Authorization": header})
            assert (answer.status, answer.body) == (401, b"401 Unauthorized\n"), header
        assert Web(exporter.address, context=context, user=("prometheus", "secret")).samples()
        assert "Traceback" not in exporter.output()


def test_passwords_hold_up_nobody(tmp_path: Path) -> None:
    """While guesses are being checked, who is known is answered, and so is who asks for health."""
    config = WebConfig(tmp_path, basic_auth_users={"known": hashed("secret", 12)})
    with Exporter(NO_BROKER, config.option) as exporter:
        known = Web(exporter.address, user=("known", "secret"))
        assert known.status() == 200
        with ExitStack() as stack:
            guessing = [
                stack.enter_context(socket.create_connection(("127.0.0.1", exporter.port), SECONDS))
                for _ in range(8)
            ]
            for number, each in enumerate(guessing):
                guess = basic("known", f"guess {number}")
                each.sendall(
                    f"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: {guess}\r\n\r\n".encode()
                )
            for _ in range(5):
                assert known.status() == 200
                assert known.status("/-/healthy") == 200
            answered, _, _ = select.select(guessing, [], [], 0)
            assert len(answered) < len(guessing)
            for each in guessing:
                assert each.recv(1000).startswith(b"HTTP/1.1 401 ")
        assert known.status() == 200


# ----------------------------------------------------------------- reload


class Load:
    """Clients that ask for the metrics all the time, each in a thread of its own.

    Attributes:
        answered: requests that were answered with the page.
        failed: what went wrong.
    """

    def __init__(self, web: Web) -> None:
        self._web = web
        self._over = threading.Event()
        self.answered = 0
        self.failed: list[str] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        """Let three ask over new connections, and one over the same one all the time."""
        threads = [threading.Thread(target=self._ask_anew) for _ in range(3)]
        threads.append(threading.Thread(target=self._ask_over_one))
        for each in threads:
            each.start()
        try:
            yield
        finally:
            self._over.set()
            for each in threads:
                each.join(2 * SECONDS)
        assert not any(each.is_alive() for each in threads)

    def go_on(self) -> None:
        """Wait until some more requests were answered."""
        enough = self.answered + 20
        wait_for(lambda: self.answered >= enough, "more answers")

    def _ask_anew(self) -> None:
        while not self._over.is_set():
            self._ask(None)

    def _ask_over_one(self) -> None:
        connection = self._web.connection()
        connection.connect()
        kept = connection.sock
        while not self._over.is_set():
            self._ask(connection)
            if connection.sock is not kept:  # it reconnects by itself
                self.failed.append("the kept connection was closed")
                kept = connection.sock
        connection.close()

    def _ask(self, connection: HTTPConnection | None) -> None:
        try:
            answer = self._web.ask(connection=connection)
        except Exception as error:  # noqa: BLE001 - whatever it is, a client had no answer
            self.failed.append(repr(error))
            return
        if answer.status == 200 and b"maestro_up " in answer.body:
            self.answered += 1
        else:
            self.failed.append(str(answer.status))


def test_certificates_change_under_load(authority: Authority, tmp_path: Path) -> None:
    """Key and certificate are replaced again and again; the new ones are shown, no request fails.

    They cannot be replaced in one step, so what does not fit together is seen in between.
    """
    first = authority.issue()
    config = WebConfig(
        tmp_path,
        tls_server_config=tls(tmp_path, first),
        basic_auth_users={"prometheus": hashed("secret")},
    )
    with SecureExporter(NO_BROKER, config.option) as exporter:
        web = Web(exporter.address, context=authority.trust(), user=("prometheus", "secret"))

        def serial() -> str:
            connection = web.connection()
            connection.connect()
            try:
                return serial_of(connection)
            finally:
                connection.close()

        load = Load(web)
        assert serial() == first.serial
        with load.running():
            # As soon as the exporter sees it by itself.
            second = authority.issue()
            second.save(tmp_path, "server")
            wait_for(lambda: serial() == second.serial, "the second certificate")
            load.go_on()

            # Told in between, when the certificate does not fit the key.
            third = authority.issue()
            replace(tmp_path / "server.pem", third.certificate)
            exporter.signal(signal.SIGHUP)
            web.wait_for_value(RELOADED, 0.0)
            load.go_on()
            assert serial() == second.serial
            replace(tmp_path / "server.key", third.key)
            wait_for(lambda: serial() == third.serial, "the third certificate")
            web.wait_for_value(RELOADED, 1.0)

            # Told at every step, the key being the first.
            last = third
            for _ in range(3):
                last = authority.issue()
                replace(tmp_path / "server.key", last.key)
                exporter.signal(signal.SIGHUP)
                load.go_on()
                replace(tmp_path / "server.pem", last.certificate)
                exporter.signal(signal.SIGHUP)
                load.go_on()
            wait_for(lambda: serial() == last.serial, "the last certificate")
            load.go_on()
        assert load.failed == []
        assert web.value(RELOADED) == 1.0
        assert "does not belong to the certificate" in exporter.output()
        assert "Traceback" not in exporter.output()


def test_a_broken_file_changes_nothing(authority: Authority, tmp_path: Path) -> None:
    """What is wrong is one log line and a metric, and all stays as it was until it is mended."""
    good = {
        "tls_server_config": tls(tmp_path, authority.issue()),
        "basic_auth_users": {"prometheus": hashed("secret")},
    }
    config = WebConfig(tmp_path, **good)
    with SecureExporter(NO_BROKER, config.option) as exporter:
        context = authority.trust()
        web = Web(exporter.address, context=context, user=("prometheus", "secret"))
        assert web.value(RELOADED) == 1.0
        since = web.value(RELOAD_TIME)
        assert since is not None
        config.write(basic_auth_users={"prometheus": "password"})
        web.wait_for_value(RELOADED, 0.0)
        assert web.value(RELOAD_TIME) == since
        assert Web(exporter.address, context=context).status() == 401
        config.write(**good, http_server_config={"headers": {"X-Frame-Options": "deny"}})
        web.wait_for_value(RELOADED, 1.0)
        then = web.value(RELOAD_TIME)
        assert then is not None
        assert then > since
        assert web.ask().headers["X-Frame-Options"] == "deny"
        lines = [line for line in exporter.output().splitlines() if KEPT in line]
        assert len(lines) == 1
        assert f"{config.path}:1: basic_auth_users.prometheus: " in lines[0]

        # To switch off what protects the pages takes more than half a file.
        config.path.write_bytes(b"")
        exporter.signal(signal.SIGHUP)
        web.wait_for_value(RELOADED, 0.0)
        assert Web(exporter.address, context=context).status() == 401
        assert "Traceback" not in exporter.output()


@LAUNCHERS
def test_sighup(launcher: str, tmp_path: Path) -> None:
    """SIGHUP has the web configuration read, though nothing about the file looks changed."""
    old, new = hashed("old"), hashed("new")
    config = WebConfig(tmp_path, basic_auth_users={"prometheus": old})
    with Exporter(NO_BROKER, config.option, launcher=launcher) as exporter:
        with_old, with_new = (
            Web(exporter.address, user=("prometheus", password)) for password in ("old", "new")
        )
        assert (with_old.status(), with_new.status()) == (200, 401)
        before = config.path.stat()
        with config.path.open("r+b") as file:
            content = file.read()
            file.seek(0)
            file.write(content.replace(old.encode(), new.encode()))
        os.utime(config.path, ns=(before.st_atime_ns, before.st_mtime_ns))
        exporter.signal(signal.SIGHUP)
        wait_for(lambda: with_new.status() == 200, "the new password")
        assert with_old.status() == 401


@LAUNCHERS
def test_log_level_by_sighup(launcher: str, tmp_path: Path) -> None:
    """SIGHUP has the log level read from the --config file; a wrong one changes nothing."""
    file = tmp_path / "exporter.conf"
    file.write_text('MAESTRO_EXPORTER_LOG_LEVEL="error"\n')
    options = (NO_BROKER, f"--config={file}", "--web.access-log")
    with Exporter(*options, launcher=launcher) as exporter:
        numbers = iter(range(10_000))

        def logged() -> bool:
            """Tell whether a request is a log line when a later one is answered."""
            path = f"/{next(numbers)}."
            for each in (path, "/-/healthy"):
                http_get(exporter.url + each)
            return path in exporter.output()

        assert not logged()
        file.write_text('MAESTRO_EXPORTER_LOG_LEVEL="info"\n')
        exporter.signal(signal.SIGHUP)
        wait_for(logged, "requests in the log")
        file.write_text('MAESTRO_EXPORTER_LOG_LEVEL="loud"\n')
        exporter.signal(signal.SIGHUP)
        wait_for(lambda: "The settings stay as they were" in exporter.output(), "the refusal")
        assert logged()
        file.write_text('MAESTRO_EXPORTER_LOG_LEVEL="error"\n')
        exporter.signal(signal.SIGHUP)
        wait_for(lambda: not logged(), "requests not in the log")


# ----------------------------------------------------------------- check-config


def check_config(path: Path) -> subprocess.CompletedProcess[str]:
    command = [*COMMANDS["console"], "check-config", str(path)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_check_config_of_right_files(authority: Authority, tmp_path: Path) -> None:
    """check-config ends with status 0 for what the exporter would take."""
    section = tls(tmp_path, authority.issue())
    config = WebConfig(tmp_path, tls_server_config=section, basic_auth_users={"a": hashed("b")})
    settings = tmp_path / "exporter.conf"
    settings.write_text(f'MAESTRO_EXPORTER_WEB_CONFIG="{config.path}"\n')
    for path in (config.path, settings):
        done = check_config(path)
        assert (done.returncode, done.stderr) == (0, "")
        assert len(done.stdout.splitlines()) == 1
        assert str(path) in done.stdout


def test_check_config_of_wrong_files(authority: Authority, tmp_path: Path) -> None:
    """check-config ends with status 1 and one line for what the exporter would not take."""
    mismatched = tls(tmp_path, authority.issue())
    replace(tmp_path / "server.key", authority.issue().key)
    config = WebConfig(tmp_path, tls_server_config=mismatched)
    settings = tmp_path / "exporter.conf"
    settings.write_text(f'MAESTRO_EXPORTER_WEB_CONFIG="{config.path}"\n')
    broken = tmp_path / "broken.yml"
    broken.write_text("basic_auth_users:\n  prometheus: hunter2\n")
    for path, expected in (
        (config.path, "tls_server_config.key_file: the key does not belong to the certificate"),
        (settings, "the key does not belong to the certificate"),
        (broken, f"{broken}:2: basic_auth_users.prometheus: "),
        (tmp_path / "missing.yml", "No such file"),
        (tmp_path, "directory"),
    ):
        done = check_config(path)
        assert (done.returncode, done.stdout) == (1, ""), (path, done)
        assert len(done.stderr.splitlines()) == 1, done
        assert expected in done.stderr.replace("not a regular file", "directory")
        assert "hunter2" not in done.stderr


def assert_refuses_to_start(launcher: str, folder: Path, expected: str, *options: str) -> None:
    """With these options it ends with status 1, and one line says why."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("LISTEN_")}
    done = subprocess.run(
        [*COMMANDS[launcher], NO_BROKER, *options],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    lines = (done.stdout + done.stderr).splitlines()
    assert done.returncode == 1, done
    assert len([line for line in lines if expected in line]) == 1, lines
    assert not [line for line in lines if "Traceback" in line or "  File" in line], lines


@LAUNCHERS
def test_a_wrong_file_at_the_start(launcher: str, tmp_path: Path) -> None:
    """With a wrong web configuration the exporter does not run: one line, status 1."""
    config = WebConfig(tmp_path, tls_server_config={"cert_file": "missing.pem"})
    address = f"--web.listen-address=127.0.0.1:{free_port()}"
    assert_refuses_to_start(launcher, tmp_path, "--web.config.file: ", config.option, address)


# ----------------------------------------------------------------- readiness


def test_readiness() -> None:
    """It is ready when it is connected and a round is done, and says why when it is not."""
    broker = Mosquitto()
    with exporter_of(broker) as exporter:
        reason = f"not connected to the Maestro broker at {broker.address}: Connection refused"
        told = f"maestro-exporter is not ready: {reason}.\n".encode()
        wait_for(lambda: http_get(f"{exporter.url}/-/ready").body == told, "the reason")
        assert http_get(f"{exporter.url}/-/ready").status == 503
        with broker:
            wait_for(lambda: http_get(f"{exporter.url}/-/ready").status == 200, "readiness")
            assert (page(exporter)["maestro_exporter_rounds_total", frozenset()]) >= 1
            broker.stop()
            answer = wait_for(
                lambda: (
                    found if (found := http_get(f"{exporter.url}/-/ready")).status == 503 else None
                ),
                "it not to be ready",
            )
            assert b"not connected to the Maestro broker" in answer.body
            assert http_get(f"{exporter.url}/-/healthy").status == 200


# ----------------------------------------------------------------- addresses


@contextmanager
def listening_socket(family: int, address: object) -> Iterator[socket.socket]:
    with socket.socket(family) as listening:
        listening.bind(address)  # type: ignore[arg-type]
        listening.listen(100)
        yield listening


def test_two_addresses() -> None:
    """The pages are served on every address that is given, of IPv4 and of IPv6."""
    with socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::1", 0))
        port = probe.getsockname()[1]
    sixth = f"[::1]:{port}"
    with Exporter(NO_BROKER, f"--web.listen-address={sixth}") as exporter:
        for address in (exporter.address, sixth):
            assert b"maestro_up 0\n" in Web(address).ask().body
            assert f"Serving http://{address}/metrics" in exporter.output()


@LAUNCHERS
def test_sockets_of_systemd(launcher: str, tmp_path: Path) -> None:
    """The pages are served on the sockets that systemd holds, which outlive the exporter."""
    path = tmp_path / "exporter.socket"
    with (
        listening_socket(socket.AF_INET, ("127.0.0.1", 0)) as tcp,
        listening_socket(socket.AF_UNIX, str(path)) as unix,
    ):
        path.chmod(0o600)  # as by SocketMode=
        webs = [Web(f"127.0.0.1:{tcp.getsockname()[1]}"), Web(path)]
        for _ in range(2):
            with activated(tmp_path, launcher, (tcp, unix), NO_BROKER) as exporter:
                for web in webs:  # it need not have started: the sockets wait
                    assert b"maestro_up 0\n" in web.ask().body
                with socket.socket(socket.AF_UNIX) as old:
                    old.settimeout(SECONDS)
                    old.connect(str(path))
                    old.sendall(b"GET /-/healthy HTTP/1.0\r\n\r\n")
                    assert old.recv(1000).split(b" ")[1] == b"200"
                assert exporter.stop() == 0
                assert "Traceback" not in exporter.output()
                assert path.stat().st_mode & 0o777 == 0o600


@LAUNCHERS
def test_no_socket_of_systemd(launcher: str, tmp_path: Path) -> None:
    """Without a socket of systemd the exporter does not run: one line, status 1."""
    assert_refuses_to_start(launcher, tmp_path, "--web.systemd-socket: ", "--web.systemd-socket")


# ----------------------------------------------------------------- access log


def test_access_log() -> None:
    """With --web.access-log each request is a log line; in JSON, with a field for each fact."""
    with Exporter(NO_BROKER, "--web.access-log", "--log.format=json") as exporter:
        web = Web(exporter.address)
        answers = [
            web.ask(path, method=method)
            for method, path in (
                ("GET", "/metrics?token=secret"),
                ("HEAD", "/metrics?a"),
                ("POST", "/metrics"),
                ("GET", "/%0a%22x"),
            )
        ]

        def lines() -> list[dict[str, object]]:
            parsed = [json.loads(line) for line in exporter.output().splitlines(keepends=True)[:-1]]
            found = [line for line in parsed if line["logger"] == "maestro_exporter.access"]
            return [line for line in found if line["path"] not in ("/", "/-/healthy")]

        def all_lines() -> list[dict[str, object]] | None:
            web.ask("/-/healthy")
            found = lines()
            return found if len(found) >= len(answers) else None

        logged = wait_for(all_lines, "the requests in the log")
        assert [
            (line["method"], line["path"], line["status"], line["bytes"]) for line in logged
        ] == [
            ("GET", "/metrics", 200, len(answers[0].body)),
            ("HEAD", "/metrics", 200, 0),
            ("POST", "/metrics", 405, len(answers[2].body)),
            ("GET", "/%0a%22x", 404, len(answers[3].body)),
        ]
        for line in logged:
            assert (line["client"], line["level"], line["whole"]) == ("127.0.0.1", "info", True)
            assert isinstance(line["seconds"], float)
            assert isinstance(line["message"], str)
            assert line["time"]
        assert "secret" not in exporter.output()


def test_no_access_log() -> None:
    """Without --web.access-log no request is in the log."""
    with Exporter(NO_BROKER, "--log.level=debug") as exporter:
        for path in ("/metrics", "/somewhere", "/-/healthy"):
            http_get(exporter.url + path)
        assert "somewhere" not in exporter.output()
        assert "GET" not in exporter.output()


# ----------------------------------------------------------------- what is served


def test_two_prometheus_servers() -> None:
    """Two Prometheus servers that scrape each second see the same, and miss no scrape."""
    working = Peer(V1_5, seed_peers(V1_5)[1].role, "node", name="sender")
    working.start(Work(started_at=0.0, rate=0.0, parallel_count=7))
    names = (
        "maestro_message_count|maestro_connection_count|maestro_rate|maestro_peer_up|maestro_peers|"
        "maestro_peer_instances|maestro_test_success|maestro_notifications_total|maestro_up"
    )

    def seen(prometheus: Prometheus) -> Samples:
        return prometheus.query(f'{{__name__=~"{names}"}}')

    def enough(prometheus: Prometheus) -> bool:
        return bool(prometheus.query('count_over_time(up{job="test"}[5m]) >= 3'))

    with (
        Mosquitto() as broker,
        simulated(broker, working, *seed_peers(V1_5)) as cluster,
        exporter_of(broker) as exporter,
        Prometheus([exporter.address], "1s") as one,
        Prometheus([exporter.address], "1s") as other,
    ):
        both = (one, other)
        wait_for(lambda: all(map(seen, both)), "a first scrape by both")
        cluster.notify(working, working.say(TestSuccess, message="Test completed"))
        wait_for_value(exporter, 1.0, "maestro_test_success")
        wait_for(
            lambda: all(each.query("maestro_test_success == 1") for each in both),
            "the success in both",
        )
        wait_for(lambda: all(map(enough, both)), "some scrapes by both")
        wait_for(lambda: seen(one) == seen(other), "both to see the same")
        names_seen = {name for name, _ in seen(one)}
        assert names_seen == set(names.split("|"))
        for each in both:
            assert list(each.query("min_over_time(up[5m])").values()) == [1.0]


def test_encodings_and_methods() -> None:
    """gzip goes to who takes it, HEAD has the headers alone, and nothing but GET and HEAD is."""
    with Exporter(NO_BROKER) as exporter:
        web = Web(exporter.address)
        for accepted, encoding in (
            ("gzip", "gzip"),
            ("gzip;q=0.5, deflate", "gzip"),
            ("gzip;q=0", None),
            ("gzip;q=0, *", None),
            ("identity", None),
            ("", None),
        ):
            answer = web.ask(headers={"Accept-Encoding": accepted})
            assert answer.headers["Content-Encoding"] == encoding, accepted
            assert answer.headers["Content-Length"] == str(len(answer.body))
            assert answer.headers["Vary"] == "Accept-Encoding"
            body = gzip.decompress(answer.body) if encoding else answer.body
            assert b"maestro_up 0\n" in body
        for path in ("/", "/metrics", "/api/v1/status", "/-/healthy"):
            head = web.ask(path, method="HEAD")
            assert (head.status, head.body) == (200, b"")
            assert int(head.headers["Content-Length"]) > 0
            for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"):
                refused = web.ask(path, method=method)
                assert refused.status == 405
                assert b"Method Not Allowed" in refused.body
                assert set(refused.headers["Allow"].split(", ")) == {"GET", "HEAD"}
        assert "Traceback" not in exporter.output()
