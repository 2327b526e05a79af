"""What the tests of the pages share: certificates, clients that speak TLS, sockets of systemd."""

from __future__ import annotations

import datetime
import ipaddress
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import Any, NamedTuple

import bcrypt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.servers import Exporter, Prometheus, Response, Samples, parse_samples, wait_for

SECONDS = 20.0
#: A broker that is not there.
NO_BROKER = "--maestro-url=mqtt://127.0.0.1:1"

BIN = Path(sys.executable).parent
COMMANDS = {
    "console": (str(BIN / "maestro-exporter"),),
    "twistd": (str(BIN / "twistd"), "-n", "--pidfile=", "maestro-exporter"),
}

_HERE = (
    x509.DNSName("localhost"),
    x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    x509.IPAddress(ipaddress.ip_address("::1")),
)


# ----------------------------------------------------------------- certificates


class Issued(NamedTuple):
    """A certificate and its key, in PEM, and the serial number as clients see it."""

    certificate: bytes
    key: bytes
    serial: str

    def save(self, folder: Path, name: str) -> tuple[Path, Path]:
        """Write both; give where they are."""
        paths = folder / f"{name}.pem", folder / f"{name}.key"
        for path, content in zip(paths, (self.certificate, self.key), strict=True):
            replace(path, content)
        return paths


class Authority:
    """A CA of its own, which nobody else trusts."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("Authority of the tests")
        self._certificate = (
            _builder(self._name, self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_others=True), critical=True)
            .add_extension(self._key_id(), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        self.pem = _pem(self._certificate)

    def issue(self, *, client: bool = False) -> Issued:
        """Make a certificate for this host, or for a client."""
        key = ec.generate_private_key(ec.SECP256R1())
        purpose = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
        certificate = (
            _builder(_name("client" if client else "localhost"), self._name, key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_others=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(x509.SubjectAlternativeName(_HERE), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(self._key_id()),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )
        key_pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return Issued(_pem(certificate), key_pem, f"{certificate.serial_number:X}")

    def trust(self) -> ssl.SSLContext:
        """Give the context of a client that believes this CA and no other."""
        return ssl.create_default_context(cadata=self.pem.decode())

    def _key_id(self) -> x509.SubjectKeyIdentifier:
        return x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
    )


def _usage(*, signs_others: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_others,
        key_cert_sign=signs_others,
        crl_sign=signs_others,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


# ----------------------------------------------------------------- configuration


def hashed(password: str, cost: int = 4) -> str:
    """Give what the configuration has for a password; 4 is the cheapest."""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(cost)).decode()


def replace(path: Path, content: bytes) -> None:
    """Put a file in the place of another, which was whole until then."""
    new = path.with_name(f"{path.name}.new")
    new.write_bytes(content)
    os.replace(new, path)


class WebConfig:
    """A web configuration file and what it names.

    Args:
        folder: where they are.
        sections: what the file says; the names of the files are relative to the folder.
    """

    def __init__(self, folder: Path, **sections: object) -> None:
        self.path = folder / "web.yml"
        self.option = f"--web.config.file={self.path}"
        self.write(**sections)

    def write(self, **sections: object) -> None:
        """Put another file in its place; JSON is YAML."""
        replace(self.path, json.dumps(sections).encode())


class SecureExporter(Exporter):
    """The exporter as users start it, with a web configuration that has TLS."""

    def __init__(self, *options: str, launcher: str = "twistd") -> None:
        super().__init__(*options, launcher=launcher)
        self.url = f"https://{self.address}"

    def is_ready(self) -> bool:
        # Its clients need certificates, which are the tests' business.
        return f"Serving {self.url}/" in self.output()


def scraping(**jobs: Mapping[str, object]) -> Prometheus:
    """Give a Prometheus with several jobs, each with the options of a scrape configuration."""
    configs = [
        {"job_name": name, "scrape_interval": "500ms", "scrape_timeout": "500ms", **options}
        for name, options in jobs.items()
    ]
    return Prometheus(jobs=configs)


# ----------------------------------------------------------------- clients


class _UnixConnection(HTTPConnection):
    """HTTP over a socket in the file system."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(SECONDS)
        self.sock.connect(str(self._path))


class Web:
    """A client of an exporter, which opens a connection for each request.

    Args:
        address: `host:port`, or the path of a socket.
        context: for TLS.
        user: name and password.
    """

    def __init__(
        self,
        address: str | Path,
        *,
        context: ssl.SSLContext | None = None,
        user: tuple[str, str] | None = None,
    ) -> None:
        self._address = address
        self._context = context
        self._headers = {} if user is None else {"Authorization": basic(*user)}

    def connection(self) -> HTTPConnection:
        """Give a connection, which is made with its first request."""
        if isinstance(self._address, Path):
            return _UnixConnection(self._address)
        if self._context is None:
            return HTTPConnection(self._address, timeout=SECONDS)
        return HTTPSConnection(self._address, timeout=SECONDS, context=self._context)

    def ask(
        self,
        path: str = "/metrics",
        headers: Mapping[str, str] | None = None,
        method: str = "GET",
        connection: HTTPConnection | None = None,
    ) -> Response:
        """Give the answer, the body as it was sent; over a connection of its own by default."""
        opened = connection or self.connection()
        try:
            opened.request(method, path, headers={**self._headers, **(headers or {})})
            answer = opened.getresponse()
            return Response(answer.status, answer.headers, answer.read())
        finally:
            if connection is None:
                opened.close()

    def status(self, path: str = "/metrics") -> int:
        """Give the status alone."""
        return self.ask(path).status

    def samples(self) -> Samples:
        """Give what the metrics say, which must be there."""
        answer = self.ask()
        assert answer.status == 200, answer
        return parse_samples(answer.body.decode())

    def value(self, name: str) -> float | None:
        """Give a metric that has no labels; None if it is not there."""
        return self.samples().get((name, frozenset()))

    def wait_for_value(self, name: str, value: float) -> None:
        """Wait until a metric has a value."""
        wait_for(lambda: self.value(name) == value, f"{name} to be {value}")


def basic(user: str, password: str) -> str:
    """Give the header of a user."""
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


def serial_of(connection: HTTPConnection) -> str:
    """Give the serial number of the certificate that a server has shown on a connection."""
    encrypted: Any = connection.sock
    return str(encrypted.getpeercert()["serialNumber"]).lstrip("0")


def resident(exporter: Exporter) -> int:
    """Give the bytes of memory that an exporter has, as the kernel says it."""
    assert exporter.process is not None
    lines = Path(f"/proc/{exporter.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))


# ----------------------------------------------------------------- socket activation

#: Puts its first arguments, which are descriptors, where systemd puts them; becomes the rest.
_ACTIVATE = """
import fcntl, os, sys
count = int(sys.argv[1])
descriptors = [fcntl.fcntl(int(each), fcntl.F_DUPFD, 100) for each in sys.argv[2:2 + count]]
for number, descriptor in enumerate(descriptors, 3):
    os.dup2(descriptor, number)
    os.close(descriptor)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(count))
os.execv(sys.argv[2 + count], sys.argv[2 + count:])
"""


class Activated:
    """An exporter that was started with sockets, as by systemd."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log

    def output(self) -> str:
        """Give all that it has printed."""
        return self._log.read_text("utf-8", "replace")

    def stop(self) -> int:
        """End it with SIGTERM; give the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(SECONDS)


@contextmanager
def activated(
    folder: Path,
    launcher: str,
    sockets: Sequence[socket.socket],
    *options: str,
    asked_for: bool = True,
) -> Iterator[Activated]:
    """Start an exporter with these sockets as its descriptors from 3 on; end it."""
    descriptors = [each.fileno() for each in sockets]
    command = [*COMMANDS[launcher], *(["--web.systemd-socket"] if asked_for else []), *options]
    log = folder / "activated.log"
    environ = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MAESTRO_", "LISTEN_"))
    }
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [
                *(sys.executable, "-c", _ACTIVATE, str(len(descriptors))),
                *(*map(str, descriptors), *command),
            ],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            cwd=folder,
            env=environ,
            pass_fds=descriptors,
        )
    try:
        yield Activated(process, log)
    except BaseException:
        sys.stdout.write(log.read_text("utf-8", "replace"))  # pytest shows this with the failure
        raise
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
