"""Makes the certificates of `certificates/`: `python tests/web_config/make_certificates.py`.

They are valid from 2020 to 2126 and made for the tests alone; nobody may trust the CAs.
Each run makes new keys, so run it again only to add a certificate.

* `server.pem`, `server.key`: for localhost, 127.0.0.1 and ::1; signed by `ca.pem`.
* `other-server.pem`, `other-server.key`: the same with another key.
* `chain.pem`: `server.pem`, then `ca.pem`.
* `encrypted.key`: `server.key` with a passphrase; `x25519.key`: a key that cannot sign.
* `ca.pem`, `other-ca.pem`: two CAs; their keys are not kept.
* `client.pem`, `client.key`: with one name of each kind (`NAMES`); signed by `ca.pem`.
* `nameless.pem`, `nameless.key`: without names; signed by `ca.pem`.
* `stranger.pem`, `stranger.key`: the names of `client.pem`; signed by `other-ca.pem`.
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

FOLDER = Path(__file__).parent / "certificates"

SERVER = (
    x509.DNSName("localhost"),
    x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    x509.IPAddress(ipaddress.ip_address("::1")),
)
NAMES = (
    x509.DNSName("prometheus.example.com"),
    x509.RFC822Name("prometheus@example.com"),
    x509.UniformResourceIdentifier("spiffe://example.com/prometheus"),
    x509.IPAddress(ipaddress.ip_address("192.0.2.1")),
)

Signer = tuple[x509.Name, ec.EllipticCurvePrivateKey]


def make(
    name: str,
    signer: Signer | None,
    usage: x509.ObjectIdentifier,
    names: Sequence[x509.GeneralName],
) -> tuple[x509.Certificate, Signer]:
    """Make a certificate, or a CA if nobody signs it; give it, and what to sign others with."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issuer, signing = signer or (subject, key)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc))
        .not_valid_after(datetime.datetime(2126, 1, 1, tzinfo=datetime.timezone.utc))
        .add_extension(x509.BasicConstraints(ca=signer is None, path_length=None), critical=True)
    )
    if signer is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(signing, hashes.SHA256()), (subject, key)


def pem(certificate: x509.Certificate) -> bytes:
    """Give a certificate as text."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def key_pem(
    key: ec.EllipticCurvePrivateKey | x25519.X25519PrivateKey, passphrase: bytes | None = None
) -> bytes:
    """Give a key as text."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(passphrase)
        if passphrase
        else serialization.NoEncryption(),
    )


def main() -> None:
    """Make all of them anew."""
    client, server = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
    ca_certificate, ca = make("Test CA", None, client, [])
    other_certificate, other = make("Other test CA", None, client, [])
    files = {"ca.pem": pem(ca_certificate), "other-ca.pem": pem(other_certificate)}
    for name, signer, usage, names in (
        ("server", ca, server, SERVER),
        ("other-server", ca, server, SERVER),
        ("client", ca, client, NAMES),
        ("nameless", ca, client, ()),
        ("stranger", other, client, NAMES),
    ):
        certificate, (_, key) = make(name, signer, usage, names)
        files[f"{name}.pem"] = pem(certificate)
        files[f"{name}.key"] = key_pem(key)
        if name == "server":
            files["encrypted.key"] = key_pem(key, b"passphrase")
            files["chain.pem"] = files["server.pem"] + files["ca.pem"]
    files["x25519.key"] = key_pem(x25519.X25519PrivateKey.generate())
    FOLDER.mkdir(exist_ok=True)
    for file, content in files.items():
        (FOLDER / file).write_bytes(content)


if __name__ == "__main__":
    main()
