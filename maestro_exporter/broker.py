"""How the broker is reached, and who we are to it.  Nothing here speaks to it."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from maestro_exporter import values
from maestro_exporter.values import Address

_PASSWORD_FILE = "--mqtt.password-file"  # noqa: S105  an option
_CA_FILE = "--mqtt.ca-file"
_CERT_FILE = "--mqtt.cert-file"
_KEY_FILE = "--mqtt.key-file"
_MOST_PEM_BYTES = 16 << 20  # the CAs of a whole system are less than one MiB


class BrokerError(Exception):
    """Something that is needed to reach the broker is wrong.

    `str()` is one line that says what, without secrets.
    """

    def __init__(self, message: str) -> None:
        super().__init__(values.one_line(message))


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """How the broker is reached, and who we are to it.

    Attributes:
        tls: whether the connection is encrypted.
        insecure: neither the server's certificate nor its name is checked.
        ca_file: PEM; None for the system's CAs.
        cert_file: the client's certificate, and those between it and its CA, in PEM;
            may hold the key too.
        key_file: PEM, not encrypted.
        username: empty where we are anonymous.
        password_file: read at each call of `credentials`; beats `password`.
        version: of MQTT, `5` or `3.1.1`; empty for 5 where the broker knows it, else 3.1.1.
        client_id: empty for a random one for each process.
        session_expiry: for how long the broker keeps what it could not deliver, in seconds.
    """

    address: Address
    tls: bool = False
    insecure: bool = False
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    username: str = ""
    password: str = field(default="", repr=False)
    password_file: Path | None = None
    version: str = ""
    client_id: str = ""
    session_expiry: float = 3600.0

    def credentials(self) -> tuple[str, str] | None:
        """Give user name and password as they are now; None where we are anonymous.

        Raises:
            BrokerError: the password's file cannot be read, or holds none.
        """
        if not self.username:
            return None
        if self.password_file is None:
            return self.username, self.password
        return self.username, read_secret(self.password_file, _PASSWORD_FILE)

    def tls_context(self) -> ssl.SSLContext | None:
        """Give a new context of the certificates as they are now; None without TLS.

        Raises:
            BrokerError: a file cannot be read, or does not hold what it should.
        """
        if not self.tls:
            return None
        if self.ca_file is None:
            context = ssl.create_default_context()
        else:
            _read(self.ca_file, _CA_FILE, _MOST_PEM_BYTES)
            with _refusals(_CA_FILE, self.ca_file):
                context = ssl.create_default_context(cafile=self.ca_file)
        context.minimum_version = max(context.minimum_version, ssl.TLSVersion.TLSv1_2)
        # What Python 3.13 has changed, so that all take the same certificates: one in the
        # middle of a chain may be trusted, and a laboratory's own CA may be a plain one.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.cert_file is not None:
            _load_certificate(context, self.cert_file, self.key_file)
        return context


def read_secret(path: Path, option: str) -> str:
    """Give what a file holds, without the end of its one line.

    Args:
        path: the file.
        option: what names it, for the error.

    Raises:
        BrokerError: it cannot be read, or MQTT cannot hold what is in it.
    """
    content = _read(path, option, values.MOST_BYTES + len("\r\n"))
    if content.endswith(b"\n"):
        content = content[:-1].removesuffix(b"\r")
    if not content:
        raise BrokerError(f"{option}: {path}: the file is empty")
    try:
        return values.mqtt_text(content.decode())
    except ValueError:  # UnicodeDecodeError, which holds the content, or what cannot be
        pass
    raise BrokerError(f"{option}: {path}: not 1 to {values.MOST_BYTES} bytes of UTF-8 without NUL")


def _read(path: Path, option: str, most: int) -> bytes:
    try:
        with path.open("rb") as stream:
            content = stream.read(most + 1)
    except OSError as error:
        raise BrokerError(f"{option}: {path}: {error.strerror}") from None
    except ValueError:  # a NUL in the path
        raise BrokerError(f"{option}: {path}: no name of a file") from None
    if len(content) > most:
        raise BrokerError(f"{option}: {path}: larger than {most} bytes")
    return content


# ----------------------------------------------------------------- certificates


class _EncryptedError(Exception):
    """OpenSSL asks for a passphrase."""


def _ask_nobody() -> NoReturn:
    """Keep OpenSSL from asking at the terminal."""
    raise _EncryptedError


def _load_certificate(context: ssl.SSLContext, cert_file: Path, key_file: Path | None) -> None:
    """Load the client's certificate and its key, from one file or two."""
    if b"-----BEGIN" not in _read(cert_file, _CERT_FILE, _MOST_PEM_BYTES):
        raise BrokerError(f"{_CERT_FILE}: {cert_file}: no certificate in it")
    with _refusals(_CERT_FILE, cert_file):
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=cert_file)
    key_option, key_place = (_CERT_FILE, cert_file) if key_file is None else (_KEY_FILE, key_file)
    if b"PRIVATE KEY-----" not in _read(key_place, key_option, _MOST_PEM_BYTES):
        hint = "" if key_file else f"; give {_KEY_FILE}"
        raise BrokerError(f"{key_option}: {key_place}: no private key in it{hint}")
    with _refusals(key_option, key_place):
        context.load_cert_chain(cert_file, key_place, password=_ask_nobody)


_REASONS = {
    "NO_CERTIFICATE_OR_CRL_FOUND": "no certificate in it",
    "KEY_VALUES_MISMATCH": "the key does not belong to the certificate",
    "KEY_TYPE_MISMATCH": "the key does not belong to the certificate",
}


@contextmanager
def _refusals(option: str, path: Path) -> Iterator[None]:
    """Blame a file for what OpenSSL does not take."""
    try:
        yield
    except _EncryptedError:
        reason = "the key is encrypted; give it without a passphrase"
    except ssl.SSLError as error:
        code = error.reason or "it is broken"
        reason = _REASONS.get(code, f"OpenSSL refuses it: {code.replace('_', ' ').lower()}")
    except OSError as error:  # it has gone since it was read
        reason = error.strerror or "cannot be read"
    else:
        return
    raise BrokerError(f"{option}: {path}: {reason}")
