"""Certificates, good and bad, that are made when the tests run."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.servers import Tls

_SERVER, _CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
_HERE = (x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
_ELSEWHERE = (x509.DNSName("elsewhere.example"),)
_DAY = datetime.timedelta(days=1)


class Pair(NamedTuple):
    """Where a certificate and its key are, in PEM."""

    certificate: Path
    key: Path

    def tls(self, client_ca: Path | None = None) -> Tls:
        """Give it to a broker, which wants certificates of clients if there is a CA of theirs."""
        return Tls(self.certificate, self.key, client_ca)


class Certificates:
    """Files in a folder; all are for localhost and 127.0.0.1 if nothing else is said.

    Attributes:
        ca, foreign_ca: two CAs.
        server: signed by `ca`; this one is right.
        other_name: signed by `ca`, for elsewhere.example.
        expired: signed by `ca`, until yesterday.
        future: signed by `ca`, from tomorrow on.
        foreign: signed by `foreign_ca`.
        self_signed: signed by itself.
        client: for a client named exporter, signed by `ca`; it is no server.
        expired_client: the same, until yesterday.
        foreign_client: the same, signed by `foreign_ca`.
    """

    def __init__(self, folder: Path) -> None:
        ca, foreign_ca = _Authority("CA of the tests"), _Authority("Foreign CA of the tests")
        self.ca = _write(folder / "ca.pem", ca.pem)
        self.foreign_ca = _write(folder / "foreign-ca.pem", foreign_ca.pem)
        self.server = ca.issue(folder, "server")
        self.other_name = ca.issue(folder, "other-name", names=_ELSEWHERE)
        self.expired = ca.issue(folder, "expired", begins=-2, ends=-1)
        self.future = ca.issue(folder, "future", begins=1, ends=2)
        self.foreign = foreign_ca.issue(folder, "foreign")
        self.self_signed = _Authority("localhost", _HERE).save(folder, "self-signed")
        self.client = ca.issue(folder, "client", purpose=_CLIENT)
        self.expired_client = ca.issue(
            folder, "expired-client", purpose=_CLIENT, begins=-2, ends=-1
        )
        self.foreign_client = foreign_ca.issue(folder, "foreign-client", purpose=_CLIENT)


class _Authority:
    """A CA, which signs itself."""

    def __init__(self, name: str, names: Sequence[x509.GeneralName] = ()) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        self._id = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        builder = _builder(self._name, self._name, self._key.public_key(), names, begins=-1, ends=1)
        self.pem = _pem(
            builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_others=True), critical=True)
            .add_extension(self._id, critical=False)
            .sign(self._key, hashes.SHA256())
        )

    def issue(
        self,
        folder: Path,
        file: str,
        *,
        names: Sequence[x509.GeneralName] = _HERE,
        purpose: x509.ObjectIdentifier = _SERVER,
        begins: int = -1,
        ends: int = 1,
    ) -> Pair:
        """Make a certificate that is good between two days, counted from now, and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _name("exporter" if purpose == _CLIENT else "localhost")
        issuer_id = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(self._id)
        certificate = (
            _builder(subject, self._name, key.public_key(), names, begins=begins, ends=ends)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_others=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(issuer_id, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return _save(folder, file, _pem(certificate), key)

    def save(self, folder: Path, file: str) -> Pair:
        """Write its own certificate and key."""
        return _save(folder, file, self.pem, self._key)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    names: Sequence[x509.GeneralName],
    *,
    begins: int,
    ends: int,
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins * _DAY)
        .not_valid_after(now + ends * _DAY)
    )
    if not names:
        return builder
    return builder.add_extension(x509.SubjectAlternativeName(names), critical=False)


def _usage(*, signs_others: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
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


def _save(folder: Path, file: str, certificate: bytes, key: ec.EllipticCurvePrivateKey) -> Pair:
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return Pair(_write(folder / f"{file}.pem", certificate), _write(folder / f"{file}.key", pem))


def _write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path
