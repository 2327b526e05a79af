"""Command line, environment and file to one frozen `Settings`.

The command line beats the environment, which beats the file, which beats the
default; an empty value counts as not given.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from maestro_exporter import options, values
from maestro_exporter.broker import Broker, BrokerError, read_secret
from maestro_exporter.options import OPTIONS, Option
from maestro_exporter.values import Address, BrokerURL

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

    broker: Broker
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


class _Given(NamedTuple):
    """The texts given for one option in one place, and how to name that place in an error."""

    texts: Sequence[str]
    place: str


_Source = dict[str, _Given]


def load(
    given: Mapping[str, Sequence[str]], environ: Mapping[str, str], folder: str = ""
) -> Settings:
    """Give the settings in force.

    Args:
        given: the command line: texts by long option name, in their order.
        environ: the environment.
        folder: where files are whose names say no folder; empty for the current one.

    Raises:
        SettingsError: a value is not allowed, or a file cannot be read or is not as it
            should be.  Secrets are not repeated.
    """
    sources = [_command_line(given), _environment(environ)]
    config = _first(sources, options.CONFIG)
    if config is not None:
        sources.append(_file(Path(folder, config.texts[-1])))

    found: dict[str, Any] = {}
    for option in OPTIONS:
        chosen = _first(sources, option.name) or _Given([option.default], f"--{option.name}")
        parsed = [_parse(option, text, chosen.place, folder) for text in chosen.texts if text]
        found[option.name] = parsed if option.repeatable else (parsed[-1] if parsed else None)

    interval = found["interval"]
    expiry = found["peer-expiry"] or 3 * interval
    forget = found["peer-forget"] or max(FORGET, 2 * expiry)
    _check_order("--peer-expiry", expiry, "--interval", interval)
    _check_order("--peer-forget", forget, "--peer-expiry", expiry)
    return Settings(
        broker=_broker(sources, found, environ.get("CREDENTIALS_DIRECTORY", "")),
        listen=() if found[options.SYSTEMD] else _listen(sources, found),
        systemd_socket=found[options.SYSTEMD],
        web_config=found["web.config.file"],
        max_requests=found["web.max-requests"],
        access_log=found["web.access-log"],
        file=found[options.CONFIG],
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
        if options.LISTEN in source:
            return tuple(found[options.LISTEN])
        if options.PORT in source:
            break
    return (Address("", found[options.PORT]),)


def _parse(option: Option, text: str, place: str, folder: str) -> Any:
    if option.parse is values.file:
        text = os.path.join(folder, text)  # which is the text, where that says a folder
    try:
        return option.parse(text)
    except ValueError as error:
        shown = "" if option.secret else f'"{values.shown(text)}": '
        raise SettingsError(f"{place}: {shown}{error}") from None


# ----------------------------------------------------------------- the broker

#: What systemd's `LoadCredential=` has to call them.
_CREDENTIAL_USERNAME = "mqtt-username"
_CREDENTIAL_PASSWORD = "mqtt-password"  # noqa: S105  a file


def _broker(sources: Sequence[_Source], found: Mapping[str, Any], credentials: str) -> Broker:
    """Put together what concerns the broker, and see whether it can be used.

    Args:
        sources: the nearest first.
        found: the value of each option that is in force.
        credentials: systemd's folder of them, or empty.
    """
    url: BrokerURL = found[options.URL]
    username = _nearest(
        sources, {options.URL: url.username, options.USERNAME: found[options.USERNAME]}
    )
    passwords = {options.URL: url.password, options.PASSWORD: found[options.PASSWORD]}
    password = _nearest(sources, passwords | {options.PASSWORD_FILE: found[options.PASSWORD_FILE]})
    if password is None:
        password = _credential(credentials, _CREDENTIAL_PASSWORD)
    try:
        if not username and (path := _credential(credentials, _CREDENTIAL_USERNAME)):
            username = read_secret(path, f"--{options.USERNAME} (from $CREDENTIALS_DIRECTORY)")
        broker = Broker(
            address=url.address,
            tls=url.tls,
            insecure=found[options.INSECURE],
            ca_file=found[options.CA_FILE],
            cert_file=found[options.CERT_FILE],
            key_file=found[options.KEY_FILE],
            username=username or "",
            password=password if isinstance(password, str) else "",
            password_file=password if isinstance(password, Path) else None,
            version="" if found[options.VERSION] == "auto" else found[options.VERSION],
            client_id=found[options.CLIENT_ID] or "",
            session_expiry=found[options.SESSION_EXPIRY],
        )
        _check_broker(broker, found)
        broker.credentials()
        broker.tls_context()
    except BrokerError as error:
        raise SettingsError(str(error)) from None
    return broker


def _nearest(sources: Sequence[_Source], given: Mapping[str, Any]) -> Any:
    """Give the value, of several options for one thing, that was given in the nearest source.

    In one source, the first option wins.  None where no option has a value.
    """
    ranks = {
        name: next((rank for rank, source in enumerate(sources) if name in source), len(sources))
        for name, value in given.items()
        if value
    }
    return given[min(ranks, key=ranks.__getitem__)] if ranks else None


def _credential(folder: str, name: str) -> Path | None:
    """Give the file of a credential that systemd hands over, if there is one."""
    path = os.path.join(folder, name)
    return values.file(path) if folder and os.path.isfile(path) else None


def _check_broker(broker: Broker, found: Mapping[str, Any]) -> None:
    if not broker.tls:
        for name in (options.CA_FILE, options.CERT_FILE, options.KEY_FILE, options.INSECURE):
            if found[name]:
                raise SettingsError(
                    f"--{name}: needs TLS: give --{options.URL} as mqtts://host[:port]"
                )
    if broker.key_file and not broker.cert_file:
        raise SettingsError(f"--{options.KEY_FILE}: needs --{options.CERT_FILE}")
    if not broker.username and (broker.password or broker.password_file):
        raise SettingsError(f"--{options.USERNAME}: there is a password, but no user name")


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
        option.name: _Given(_split(option, text), _place(option, f"${option.variable}"))
        for option in OPTIONS
        if (text := environ.get(option.variable, "")).strip()
    }


def _place(option: Option, where: str) -> str:
    """Say what was given where, for an error."""
    return where if option.secret else f"--{option.name} (from {where})"


def _file(path: Path) -> _Source:
    shown = values.shown(str(path))
    source: _Source = {}
    for number, variable, text in _assignments(path, shown):
        option = options.BY_VARIABLE.get(variable)
        if option is None:
            # A service's file may hold variables for others, but one of our
            # family that does not exist is a slip of the pen.
            if variable.startswith("MAESTRO"):
                known = ", ".join(options.BY_VARIABLE)
                raise SettingsError(
                    f"--config: {shown}:{number}: {variable} is no setting; there are {known}"
                )
            continue
        if option.name == options.CONFIG:
            raise SettingsError(f"--config: {shown}:{number}: a file cannot name another file")
        if text.strip():
            place = _place(option, f"{variable} in {shown}:{number}")
            source[option.name] = _Given(_split(option, text), place)
    return source


def refuse_secrets(arguments: Sequence[str]) -> None:
    """Refuse a secret on the command line.

    An option can be cut short as long as it is clear which one is meant; but what begins
    with the name of a secret is more likely the secret than an option with a longer name.

    Raises:
        SettingsError: there is one.
    """
    for argument in arguments:
        name = argument.partition("=")[0][2:]
        if argument[:2] != "--" or not name:
            continue
        meant = [option.name for option in OPTIONS if option.name.startswith(name)]
        for option in OPTIONS:
            short = option.name.startswith(name)
            if option.secret and short and all(each.startswith(option.name) for each in meant):
                raise SettingsError(
                    f"--{option.name}: everybody can see command lines; give {option.variable}, "
                    "or a file"
                )


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
    if option.secret:
        return [text]
    return text.split() if option.repeatable else [text.strip()]
