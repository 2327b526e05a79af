"""The real programs that end-to-end tests start: mosquitto, Prometheus, Alertmanager, the exporter.

Each is a context manager with a free port on 127.0.0.1, a temporary folder and a log file of
its own. Entering it, or `start()`, returns once the program answers; `stop()` ends that program
and no other. No wait here is a sleep of fixed length: all are conditions with a deadline.
"""

import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from http.client import HTTPMessage
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote
from urllib.request import HTTPHandler, OpenerDirector, Request

T = TypeVar("T")
ServerT = TypeVar("ServerT", bound="Server")

# What a page or a query says: the value by name and set of (label, value) pairs.
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def wait_for(predicate: Callable[[], T | None], what: str, seconds: float = 20) -> T:
    """The first true value of `predicate`, asked again and again.

    An `OSError`, such as a refused connection, counts as not yet.

    Raises:
        AssertionError: `seconds` have passed; says `what` was awaited and the last value.
    """
    deadline = time.monotonic() + seconds
    while True:
        last: object
        try:
            value = last = predicate()
            if value:
                return value
        except OSError as error:
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}; the last value was {last!r}")
        time.sleep(0.02)


# None that Linux (from 32768) or others (from 49152) give to outgoing connections: one of those may
# get it before the server that it is meant for listens, or while that is restarted.
_ports = iter(random.sample(range(20_000, 32_768), 12_768))


def free_port() -> int:
    """A TCP port of 127.0.0.1 on which nothing listens; each call gives another."""
    for port in _ports:
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no free port is left")


class Response(NamedTuple):
    """An HTTP answer of whatever status; the names of `headers` ignore case."""

    status: int
    headers: HTTPMessage
    body: bytes


# Nothing but HTTP: no proxies, no redirects followed, no exceptions for a status.
_http = OpenerDirector()
_http.add_handler(HTTPHandler())


def http_get(
    url: str, headers: Mapping[str, str] | None = None, method: str = "GET", seconds: float = 20
) -> Response:
    """What the server answers, errors and redirects included, with the body as it was sent."""
    request = Request(url, headers=dict(headers or {}), method=method)
    answer = _http.open(request, timeout=seconds)
    assert answer is not None
    with answer:
        return Response(answer.status, answer.headers, answer.read())


_LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\]|\\[\\"n])*"'
_PAIR = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_SAMPLE = re.compile(
    rf"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{{((?:{_LABEL}(?:,|(?=\}})))*)\}})? (\S+)(?: -?\d+)?"
)


def parse_samples(page: str) -> Samples:
    """The samples of a page in the text format 0.0.4, under the very names that it spells.

    Raises:
        AssertionError: a line is not in the format, or a sample is there twice.
    """
    assert page == "" or page.endswith("\n"), "the last line has no end"
    samples: Samples = {}
    for line in page.split("\n"):
        if line == "" or line.startswith("#"):
            continue
        parts = _SAMPLE.fullmatch(line)
        assert parts is not None, f"not a sample: {line!r}"
        name, labels, value = parts.groups()
        key = (name, frozenset((k, _unescape(v)) for k, v in _PAIR.findall(labels or "")))
        assert key not in samples, f"twice on the page: {line!r}"
        samples[key] = float(value)
    return samples


def _unescape(text: str) -> str:
    return re.sub(r"\\(.)", lambda found: "\n" if found[1] == "n" else found[1], text)


def scrape(url: str) -> Samples:
    """The samples of the page at `url`, which must answer 200."""
    response = http_get(url)
    assert response.status == 200, response
    return parse_samples(response.body.decode("utf-8"))


class Server:
    """What the programs share; each of them says its command and when it is ready."""

    def __init__(self, port: int | None = None) -> None:
        self.port = port or free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.url = f"http://{self.address}"
        self._temporary = tempfile.TemporaryDirectory(prefix=f"{type(self).__name__.lower()}-")
        self.folder = Path(self._temporary.name)
        self.env = dict(os.environ)
        self.process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        raise NotImplementedError

    def is_ready(self) -> bool:
        raise NotImplementedError

    def output(self) -> str:
        """All that it has printed since its last start."""
        return (self.folder / "output.log").read_text("utf-8", "replace")

    def start(self) -> None:
        """Starts it and returns when it is ready.

        Raises:
            AssertionError: it ended, or was not ready in time; has its output.
        """
        assert self.process is None, "already started"
        with (self.folder / "output.log").open("wb") as log:
            self.process = subprocess.Popen(
                self.command(),
                cwd=self.folder,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a Ctrl-C in the terminal is for the tests alone
            )
        try:
            wait_for(self._is_up, f"{type(self).__name__} ready on {self.address}")
        except BaseException as error:
            status = self.stop()
            if not isinstance(error, AssertionError):
                raise
            raise AssertionError(
                f"{error}; exit status {status}; output:\n{self.output()}"
            ) from None

    def _is_up(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"{self.process.args!r} ended"
        return self.is_ready() and self.process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Sends it a signal, such as SIGSTOP and SIGCONT to freeze and thaw it."""
        assert self.process is not None, "not started"
        self.process.send_signal(number)

    def stop(self, seconds: float = 10) -> int:
        """Ends it and gives its exit status, negative for the signal that it died of.

        It is asked to terminate; after `seconds` its whole process group is killed.
        """
        process, self.process = self.process, None
        assert process is not None, "not started"
        if process.poll() is None:
            process.terminate()
            process.send_signal(signal.SIGCONT)
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
        return process.wait()

    def kill(self) -> None:
        """Ends it as `kill -9` does: it cannot say goodbye, nor save anything."""
        process, self.process = self.process, None
        assert process is not None, "not started"
        process.kill()
        process.wait()

    def __enter__(self: ServerT) -> ServerT:
        try:
            self.start()
        except BaseException:
            self._temporary.cleanup()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process is not None:
            self.stop()
        if kind is not None:  # pytest shows this with the failure
            end = "".join(self.output().splitlines(keepends=True)[-60:])
            sys.stdout.write(f"--- end of the output of {type(self).__name__}\n{end}")
        self._temporary.cleanup()


def _program(name: str) -> str:
    """The path of a system program; ordinary users may lack the sbin folders."""
    path = shutil.which(name, path=os.pathsep.join([os.environ["PATH"], "/usr/sbin"]))
    assert path is not None, f"{name} is not installed; tools/debian-packages does it"
    return path


def _word(value: bool) -> str:
    """How mosquitto spells it."""
    return str(value).lower()


class Tls(NamedTuple):
    """What a broker shows to its clients; with `client_ca` it wants a certificate of theirs."""

    certificate: Path
    key: Path
    client_ca: Path | None = None


class Mosquitto(Server):
    """A broker; after `stop()` or `kill()`, `start()` begins again on the same ports.

    At `url` is a plain listener for anybody. `users` (passwords by name), `acl` (the text of an
    acl_file) and `tls` make a second listener, which is the only one that they hold for: it is at
    `guarded_url`, which is `url` if there is none of them.

    `extra` are lines of its configuration; among them, those of a listener are for the guarded
    one. With `persistence` its sessions and retained messages outlive `stop()`, and also `kill()`
    if `extra` has `autosave_interval 1` and `autosave_on_changes true`: a moment after it has
    acknowledged a message, that is in `folder / "mosquitto.db"`.
    """

    def __init__(
        self,
        port: int | None = None,
        persistence: bool = False,
        *,
        users: Mapping[str, str] | None = None,
        acl: str | None = None,
        tls: Tls | None = None,
        extra: Sequence[str] = (),
    ) -> None:
        super().__init__(port)
        guarded = users is not None or acl is not None or tls is not None
        self.url = f"mqtt://{self.address}"
        self.guarded_port = free_port() if guarded else self.port
        self.guarded_url = (
            f"mqtts://localhost:{self.guarded_port}"
            if tls is not None
            else f"mqtt://127.0.0.1:{self.guarded_port}"
        )
        lines = [
            f"per_listener_settings {_word(guarded)}",  # what comes before it may not count
            "log_dest stderr",
            "log_type all",
            f"persistence {_word(persistence)}",
            f"persistence_location {self.folder}/",
            f"listener {self.port} 127.0.0.1",
            "allow_anonymous true",
        ]
        if os.geteuid() == 0:
            lines.append("user root")  # else it could not write to its folder
        if guarded:
            lines += self._guard(users, acl, tls)
        lines += extra
        (self.folder / "mosquitto.conf").write_text("\n".join(lines) + "\n", "utf-8")

    def _guard(
        self, users: Mapping[str, str] | None, acl: str | None, tls: Tls | None
    ) -> list[str]:
        """The lines of the guarded listener; writes the files that they name."""
        lines = [
            f"listener {self.guarded_port} 127.0.0.1",
            f"allow_anonymous {_word(users is None)}",
        ]
        if users is not None:
            self.write_users(users)
            lines.append("password_file passwords")
        if acl is not None:
            self.write_acl(acl)
            lines.append("acl_file acl")
        if tls is not None:
            lines += [f"certfile {tls.certificate}", f"keyfile {tls.key}"]
            if tls.client_ca is not None:
                lines += [f"cafile {tls.client_ca}", "require_certificate true"]
        return lines

    def write_users(self, users: Mapping[str, str]) -> None:
        """Puts other users in the place of all; while it runs, they count from SIGHUP on."""
        passwords = self.folder / "passwords"
        passwords.write_bytes(b"")
        for name, password in users.items():
            subprocess.run(
                [_program("mosquitto_passwd"), "-b", str(passwords), name, password],
                check=True,
                timeout=10,
            )

    def write_acl(self, acl: str) -> None:
        """Puts another acl_file in the place of this one; while it runs, from SIGHUP on."""
        (self.folder / "acl").write_text(acl, "utf-8")

    def command(self) -> list[str]:
        return [_program("mosquitto"), "-c", "mosquitto.conf"]

    def is_ready(self) -> bool:
        # It says so once it listens; that something answers on the port would not prove that
        # it is this broker.
        return " running\n" in self.output()


class Prometheus(Server):
    """A Prometheus that scrapes `targets`, each `host:port`, as the job `test`; or it has `jobs`.

    `scrape_options` go into the scrape configuration as they are. Its first scrape comes up to
    5 s after the start: that is how often it looks for new targets. The rules of `rule_files` are
    evaluated from the start on, as often as it scrapes.
    """

    def __init__(
        self,
        targets: Sequence[str] = (),
        scrape_interval: str = "200ms",
        *,
        jobs: Sequence[Mapping[str, object]] = (),
        rule_files: Sequence[Path] = (),
        **scrape_options: object,
    ) -> None:
        super().__init__()
        job = {
            "job_name": "test",
            "scrape_interval": scrape_interval,
            "scrape_timeout": scrape_interval,
            "static_configs": [{"targets": list(targets)}],
            **scrape_options,
        }
        config = {
            "global": {"evaluation_interval": scrape_interval},
            "rule_files": [str(path) for path in rule_files],
            "scrape_configs": list(jobs) or [job],
        }
        # JSON is YAML.
        (self.folder / "prometheus.yml").write_text(json.dumps(config), "utf-8")

    def command(self) -> list[str]:
        return [
            _program("prometheus"),
            "--config.file=prometheus.yml",
            "--storage.tsdb.path=data",
            f"--web.listen-address={self.address}",
        ]

    @property
    def ready(self) -> bool:
        """Whether it says that it is ready to answer queries."""
        return http_get(f"{self.url}/-/ready").status == 200

    def is_ready(self) -> bool:
        return self.ready

    def query(self, promql: str, time: float | None = None) -> Samples:
        """The result at this moment, or that time; a value without a name goes by an empty one."""
        at = "" if time is None else f"&time={time}"
        data = self._get(f"query?query={quote(promql)}{at}")
        if data["resultType"] == "scalar":
            return {("", frozenset()): float(data["result"][1])}
        samples: Samples = {}
        for series in data["result"]:
            labels = dict(series["metric"])
            samples[labels.pop("__name__", ""), frozenset(labels.items())] = float(
                series["value"][1]
            )
        return samples

    def query_range(self, promql: str, start: float, end: float, step: float) -> list[Any]:
        """The series of a result over time, each `{"metric": …, "values": [[time, text], …]}`."""
        series: list[Any] = self._get(
            f"query_range?query={quote(promql)}&start={start}&end={end}&step={step}"
        )["result"]
        return series

    def label_values(self, label: str, selector: str, start: float, end: float) -> list[str]:
        """The values that a label of these series has had."""
        values: list[str] = self._get(
            f"label/{label}/values?match[]={quote(selector)}&start={start}&end={end}"
        )
        return values

    def targets(self) -> list[Any]:
        """What it scrapes, with the labels that it was found by and those that it has."""
        active: list[Any] = self._get("targets?state=active")["activeTargets"]
        return active

    def rules(self) -> list[Any]:
        """All rules, with what became of them."""
        groups = self._get("rules")["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def metadata(self) -> dict[str, Any]:
        """Per family its list of `{"type": …, "help": …, "unit": …}`."""
        families: dict[str, Any] = self._get("metadata")
        return families

    def _get(self, what: str) -> Any:
        response = http_get(f"{self.url}/api/v1/{what}")
        assert response.status == 200, response
        return json.loads(response.body)["data"]


class Alertmanager(Server):
    """An Alertmanager with this configuration, which nobody else's hear of."""

    def __init__(self, config: Path) -> None:
        super().__init__()
        shutil.copy(config, self.folder / "alertmanager.yml")

    def command(self) -> list[str]:
        return [
            _program("prometheus-alertmanager"),
            "--config.file=alertmanager.yml",
            "--storage.path=data",
            "--cluster.listen-address=",
            f"--web.listen-address={self.address}",
        ]

    def is_ready(self) -> bool:
        return http_get(f"{self.url}/-/ready").status == 200

    def fire(self, *alerts: Mapping[str, str]) -> None:
        """Lets alerts with these labels fire, as Prometheus does."""
        body = json.dumps([{"labels": dict(each)} for each in alerts]).encode()
        headers = {"Content-Type": "application/json"}
        request = Request(f"{self.url}/api/v2/alerts", body, headers, method="POST")
        answer = _http.open(request, timeout=20)
        assert answer is not None
        with answer:
            assert answer.status == 200, answer.read()

    def alerts(self) -> list[dict[str, Any]]:
        """What fires, and what became of it."""
        found: list[dict[str, Any]] = json.loads(http_get(f"{self.url}/api/v2/alerts").body)
        return found


class Exporter(Server):
    """The exporter as users start it, with these options and a free port for its pages.

    `launcher` is `twistd` or `console`, the command `maestro-exporter`. No MAESTRO_ variable of
    the environment reaches it but those of `env`.
    """

    def __init__(
        self, *options: str, launcher: str = "twistd", env: Mapping[str, str] | None = None
    ) -> None:
        super().__init__()
        commands = {
            "twistd": ["twistd", "-n", "--pidfile=", "maestro-exporter"],
            "console": ["maestro-exporter"],
        }
        self.options = options
        self.launcher, *self.arguments = commands[launcher]
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("MAESTRO_")}
        self.env.update(env or {})

    def command(self) -> list[str]:
        script = Path(sys.executable).parent / self.launcher
        return [
            str(script),
            *self.arguments,
            f"--web.listen-address={self.address}",
            *self.options,
        ]

    def is_ready(self) -> bool:
        return http_get(f"{self.url}/").status > 0
