"""Command line, environment and file to one frozen `Settings`.

`OPTIONS` is the one list of what can be set: the parser of the command line,
the environment, the configuration file, the help and the errors all come from
it.  The command line beats the environment, which beats the file, which beats
the default; an empty value counts as not given.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from maestro_exporter import values
from maestro_exporter.values import Address

LOG_LEVELS = ("debug", "info", "warn", "error")
LOG_FORMATS = ("text", "json")
FORGET = 900.0  # seconds


class SettingsError(ValueError):
    """A setting is wrong.  `str()` says the option, the value and what is allowed, on one line."""

    def __init__(self, message: str) -> None:
        super().__init__(values.one_line(message))


class StartError(Exception):
    """The exporter cannot start; `str()` is one line that says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All that can be set.  Times are seconds.

    Attributes without a word here are what the options of their names say.

    Attributes:
        listen: empty where systemd hands the sockets over.
        file: the configuration file that was read.
    """

    broker: Address
    listen: tuple[Address, ...]
    systemd_socket: bool
    telemetry_path: str
    web_config: Path | None
    max_requests: int
    access_log: bool
    interval: float
    peer_expiry: float
    peer_forget: float
    max_peers: int
    log_level: str
    log_format: str
    file: Path | None


# ----------------------------------------------------------------- options


class Option(NamedTuple):
    """One thing that can be set.

    Attributes:
        name: the long option, without dashes.
        short: its letter, or empty.
        variable: its name in the environment and in the file.
        default: the text it has when not given; empty where it follows from another option.
        parse: text to value; raises ValueError saying what is allowed.
        help: what it is, its unit, its default.
        repeatable: it may be given several times; in a variable, values are parted by spaces.
        flag: on the command line it has no value; in a variable, that is true or false.
    """

    name: str
    short: str
    variable: str
    default: str
    parse: Callable[[str], Any]
    help: str
    repeatable: bool = False
    flag: bool = False


_PORT = "port"
_LISTEN = "web.listen-address"
_SYSTEMD = "web.systemd-socket"
_CONFIG = "config"

OPTIONS: tuple[Option, ...] = (
    Option(
        "maestro-url",
        "m",
        "MAESTRO_BROKER",
        "mqtt://localhost:1883",
        values.broker,
        "The Maestro broker, mqtt://host[:port].  [default: mqtt://localhost:1883]",
    ),
    Option(
        _PORT,
        "p",
        "MAESTRO_EXPORTER_PORT",
        "9120",
        values.port,
        "TCP port of the pages, on every IPv4 interface; 0 takes a free one.  [default: 9120]",
    ),
    Option(
        _LISTEN,
        "",
        "MAESTRO_EXPORTER_LISTEN_ADDRESS",
        "",
        values.listen_address,
        "Where to serve the pages instead: host:port, [IPv6 address]:port or :port; "
        "may be given several times.",
        repeatable=True,
    ),
    Option(
        _SYSTEMD,
        "",
        "MAESTRO_EXPORTER_SYSTEMD_SOCKET",
        "false",
        values.boolean,
        "Serve the pages on the sockets that systemd hands over instead.",
        flag=True,
    ),
    Option(
        "web.config.file",
        "",
        "MAESTRO_EXPORTER_WEB_CONFIG",
        "",
        values.file,
        "File with TLS, users and headers, in the format of Prometheus' exporter-toolkit; "
        "read again when it changes.",
    ),
    Option(
        "web.max-requests",
        "",
        "MAESTRO_EXPORTER_MAX_REQUESTS",
        "40",
        values.integer(1, 1000),
        "Most pages to be on their way at a time, 1 to 1000; more requests are answered with 503.  "
        "[default: 40]",
    ),
    Option(
        "web.access-log",
        "",
        "MAESTRO_EXPORTER_ACCESS_LOG",
        "false",
        values.boolean,
        "Log each request.",
        flag=True,
    ),
    Option(
        "web.telemetry-path",
        "",
        "MAESTRO_EXPORTER_TELEMETRY_PATH",
        "/metrics",
        values.path,
        "Path of the metrics.  [default: /metrics]",
    ),
    Option(
        "interval",
        "",
        "MAESTRO_EXPORTER_INTERVAL",
        "10s",
        values.duration("100ms", "1h"),
        "Time between two rounds of requests to the peers, in seconds or with a unit "
        "(500ms, 10s, 1m), 100ms to 1h.  [default: 10s]",
    ),
    Option(
        "peer-expiry",
        "",
        "MAESTRO_EXPORTER_PEER_EXPIRY",
        "",
        values.duration("100ms", "24h"),
        "Time without a reply after which a peer is down and its gauges vanish, "
        "one interval to 24h.  [default: 3 intervals]",
    ),
    Option(
        "peer-forget",
        "",
        "MAESTRO_EXPORTER_PEER_FORGET",
        "",
        values.duration("100ms", "8760h"),
        "Time without a reply after which maestro_peer_up 0 vanishes too, up to 8760h.  "
        "[default: 15m, or 2 expiries where that is more]",
    ),
    Option(
        "max-peers",
        "",
        "MAESTRO_EXPORTER_MAX_PEERS",
        "10000",
        values.integer(1, 1_000_000),
        "Most peers to know at a time, 1 to 1000000; more are counted, not shown.  "
        "[default: 10000]",
    ),
    Option(
        _CONFIG,
        "",
        "MAESTRO_EXPORTER_CONFIG",
        "",
        values.file,
        'File with settings: lines of VARIABLE="value", as in maestro-exporter-service.conf.',
    ),
    Option(
        "log.level",
        "",
        "MAESTRO_EXPORTER_LOG_LEVEL",
        "info",
        values.one_of(LOG_LEVELS),
        "Least level to log: debug, info, warn, error.  [default: info]",
    ),
    Option(
        "log.format",
        "",
        "MAESTRO_EXPORTER_LOG_FORMAT",
        "text",
        values.one_of(LOG_FORMATS),
        "Form of the log lines: text, json.  [default: text]",
    ),
)

_BY_VARIABLE = {option.variable: option for option in OPTIONS}


class _Given(NamedTuple):
    """The texts given for one option in one place, and how to name that place in an error."""

    texts: Sequence[str]
    place: str


_Source = dict[str, _Given]


def load(given: Mapping[str, Sequence[str]], environ: Mapping[str, str]) -> Settings:
    """Give the settings in force.

    Args:
        given: the command line: texts by long option name, in their order.
        environ: the environment.

    Raises:
        SettingsError: a value is not allowed, or the file cannot be read or has a
            setting that does not exist.  Secrets in a value are not repeated.
    """
    sources = [_command_line(given), _environment(environ)]
    config = _first(sources, _CONFIG)
    if config is not None:
        sources.append(_file(Path(config.texts[-1])))

    found: dict[str, Any] = {}
    for option in OPTIONS:
        chosen = _first(sources, option.name) or _Given([option.default], f"--{option.name}")
        parsed = [_parse(option, text, chosen.place) for text in chosen.texts if text]
        found[option.name] = parsed if option.repeatable else (parsed[-1] if parsed else None)

    interval = found["interval"]
    expiry = found["peer-expiry"] or 3 * interval
    forget = found["peer-forget"] or max(FORGET, 2 * expiry)
    _check_order("--peer-expiry", expiry, "--interval", interval)
    _check_order("--peer-forget", forget, "--peer-expiry", expiry)
    return Settings(
        broker=found["maestro-url"],
        listen=() if found[_SYSTEMD] else _listen(sources, found),
        systemd_socket=found[_SYSTEMD],
        web_config=found["web.config.file"],
        max_requests=found["web.max-requests"],
        access_log=found["web.access-log"],
        file=found[_CONFIG],
        telemetry_path=found["web.telemetry-path"],
        interval=interval,
        peer_expiry=expiry,
        peer_forget=forget,
        max_peers=found["max-peers"],
        log_level=found["log.level"],
        log_format=found["log.format"],
    )


def _check_order(longer: str, seconds: float, shorter: str, least: float) -> None:
    if seconds < least:
        raise SettingsError(f"{longer}: {seconds:g} s is less than {shorter} ({least:g} s)")


def _first(sources: Sequence[_Source], name: str) -> _Given | None:
    return next((source[name] for source in sources if name in source), None)


def _listen(sources: Sequence[_Source], found: Mapping[str, Any]) -> tuple[Address, ...]:
    """The nearer source wins between the two options; in one source, the addresses do."""
    for source in sources:
        if _LISTEN in source:
            return tuple(found[_LISTEN])
        if _PORT in source:
            break
    return (Address("", found[_PORT]),)


def _parse(option: Option, text: str, place: str) -> Any:
    try:
        return option.parse(text)
    except ValueError as error:
        raise SettingsError(f'{place}: "{values.shown(text)}": {error}') from None


# ----------------------------------------------------------------- sources


def _command_line(given: Mapping[str, Sequence[str]]) -> _Source:
    source: _Source = {}
    for name, texts in given.items():
        place = f"--{name}"
        if "" in texts:
            raise SettingsError(f"{place}: the value is empty")
        source[name] = _Given(texts, place)
    return source


def _environment(environ: Mapping[str, str]) -> _Source:
    return {
        option.name: _Given(_split(option, text), f"--{option.name} (from ${option.variable})")
        for option in OPTIONS
        if (text := environ.get(option.variable, "").strip())
    }


def _file(path: Path) -> _Source:
    shown = values.shown(str(path))
    source: _Source = {}
    for number, variable, text in _assignments(path, shown):
        option = _BY_VARIABLE.get(variable)
        if option is None:
            # A service's file may hold variables for others, but one of our
            # family that does not exist is a slip of the pen.
            if variable.startswith("MAESTRO"):
                known = ", ".join(_BY_VARIABLE)
                raise SettingsError(
                    f"--config: {shown}:{number}: {variable} is no setting; there are {known}"
                )
            continue
        if option.name == _CONFIG:
            raise SettingsError(f"--config: {shown}:{number}: a file cannot name another file")
        if text.strip():
            place = f"--{option.name} (from {variable} in {shown}:{number})"
            source[option.name] = _Given(_split(option, text), place)
    return source


def is_settings_file(path: Path) -> bool:
    """Tell a file of `VARIABLE="value"` lines from others, by the first line that says anything."""
    try:
        lines = path.read_text("utf-8-sig", "replace").split("\n")
    except (OSError, ValueError):
        return False
    first = next((line for line in lines if line.strip() and not line.lstrip().startswith("#")), "")
    match = _LINE.fullmatch(first)
    return match is not None and match[1] is not None


#: `NAME=value`, or nothing, and a comment: quotes and escapes as in a shell.
_LINE = re.compile(
    r"""\s*(?:(?:export\s+)?([A-Za-z_]\w*)=((?:[^\s"'\\]|\\.|"(?:[^"\\]|\\.)*"|'[^']*')*))?"""
    r"""\s*(?:(?<!\S)\#.*)?""",
    re.ASCII,
)


def _assignments(path: Path, shown: str) -> Iterator[tuple[int, str, str]]:
    """Give line number, name and value of each `NAME="value"`; nothing in it is expanded."""
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise SettingsError(f"--config: {shown}: {error.strerror}") from None
    except ValueError:  # UnicodeDecodeError, or a NUL in the path
        raise SettingsError(f"--config: {shown}: not a text file in UTF-8") from None
    for number, line in enumerate(lines, 1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise SettingsError(f'--config: {shown}:{number}: give one NAME="value" a line')
        if match[1]:
            yield number, match[1], "".join(shlex.split(match[2]))


def _split(option: Option, text: str) -> list[str]:
    return text.split() if option.repeatable else [text.strip()]
