"""`TLS` settings to a context of pyOpenSSL, which a server shares among its connections.

The fields and words are those of Prometheus' web configuration, whose behaviour is Go's
crypto/tls; where OpenSSL would do otherwise, this module says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import cast

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from OpenSSL import SSL, crypto

#: In ascending order.
VERSIONS = {"TLS12": SSL.TLS1_2_VERSION, "TLS13": SSL.TLS1_3_VERSION}

_ASKED = SSL.VERIFY_PEER
_REQUIRED = SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT

CLIENT_AUTH_TYPES = {
    "NoClientCert": SSL.VERIFY_NONE,
    "RequestClientCert": _ASKED,
    "RequireAnyClientCert": _REQUIRED,
    "RequireClientCert": _REQUIRED,  # what RequireAnyClientCert was once called
    "VerifyClientCertIfGiven": _ASKED,
    "RequireAndVerifyClientCert": _REQUIRED,
}

#: Client auth types that hold a certificate against the CA.  The others that ask for one take any.
VERIFYING = frozenset({"VerifyClientCertIfGiven", "RequireAndVerifyClientCert"})

#: OpenSSL's names of the cipher suites that Go holds secure; empty for those of TLS 1.3,
#: which can be named but are always on.
CIPHER_SUITES = {
    "TLS_AES_128_GCM_SHA256": "",
    "TLS_AES_256_GCM_SHA384": "",
    "TLS_CHACHA20_POLY1305_SHA256": "",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
}

_DEFAULT_SUITES = tuple(name for name in CIPHER_SUITES if not name.endswith("_CBC_SHA"))

_Key = (
    rsa.RSAPrivateKey
    | ec.EllipticCurvePrivateKey
    | ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
)


class TLSError(ValueError):
    """Settings contradict each other, or hold what cannot be used.

    Attributes:
        field: the field to blame, as the file spells it; `cert`, `key` and `client_ca`
            also stand for `cert_file` and so on.
        reason: what is wrong, or what to give; on one line, without the key.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class TLS:
    """How a server speaks TLS, and with whom.

    Attributes:
        certificate: PEM; the server's own certificate first, then those between it and its CA.
        key: PEM, not encrypted; belongs to the first certificate.
        client_ca: PEM; whoever one of these certificates signed is verified.  One that is
            not self-signed is trusted as well, as in Go.
        client_auth_type: a key of `CLIENT_AUTH_TYPES`.
        client_allowed_sans: names, of which a client's certificate must have one to the
            letter; empty allows all.
        min_version: a key of `VERSIONS`.
        max_version: the same.
        cipher_suites: keys of `CIPHER_SUITES`, the preferred first; empty for those that
            encrypt and authenticate in one.  If all are of TLS 1.3, TLS 1.2 is not spoken.
        prefer_server_cipher_suites: of TLS 1.2; if not, the client's preference decides.
    """

    certificate: bytes
    key: bytes = field(repr=False)
    client_ca: bytes | None = None
    client_auth_type: str = "NoClientCert"
    client_allowed_sans: tuple[str, ...] = ()
    min_version: str = "TLS12"
    max_version: str = "TLS13"
    cipher_suites: tuple[str, ...] = ()
    prefer_server_cipher_suites: bool = True


def make_context(tls: TLS) -> SSL.Context:
    """Give a context for the server's side of connections.

    Each connection whose client is asked for a certificate makes a full handshake: a
    resumed one would skip the checks of it.

    Raises:
        TLSError: no such context can be, or it would be less safe than it looks.
    """
    _check_client_auth(tls)
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)  # tickets do without
    _set_versions_and_suites(context, tls)
    _set_certificate(context, tls)
    if CLIENT_AUTH_TYPES[tls.client_auth_type] != SSL.VERIFY_NONE:
        _set_client_auth(context, tls)
    return context


def _check_client_auth(tls: TLS) -> None:
    mode = CLIENT_AUTH_TYPES[tls.client_auth_type]
    if tls.client_ca is not None and mode == SSL.VERIFY_NONE:
        raise TLSError("client_ca", "client_auth_type asks for no certificate to verify with it")
    if tls.client_ca is None and tls.client_auth_type in VERIFYING:
        raise TLSError("client_auth_type", "needs client_ca_file, or every public CA would do")
    if tls.client_allowed_sans and mode != _REQUIRED:
        raise TLSError("client_allowed_sans", "needs client_auth_type RequireAndVerifyClientCert")


# ----------------------------------------------------------------- versions, suites


def _set_versions_and_suites(context: SSL.Context, tls: TLS) -> None:
    least, most = VERSIONS[tls.min_version], VERSIONS[tls.max_version]
    if least > most:
        raise TLSError("min_version", f"{tls.min_version} is above max_version {tls.max_version}")
    names = [CIPHER_SUITES[name] for name in tls.cipher_suites or _DEFAULT_SUITES]
    suites = ":".join(name for name in names if name)
    if not suites:
        # Go offers nothing to clients of TLS 1.2 then, and OpenSSL would not take an empty list.
        least = VERSIONS["TLS13"]
    if least > most:
        raise TLSError("cipher_suites", f"none is for max_version {tls.max_version}")
    context.set_min_proto_version(least)
    context.set_max_proto_version(most)
    if tls.prefer_server_cipher_suites:
        context.set_options(SSL.OP_CIPHER_SERVER_PREFERENCE)
    if suites:
        with _refusals("cipher_suites"):  # as where rules such as FIPS leave none
            context.set_cipher_list(suites.encode())


@contextmanager
def _refusals(name: str) -> Iterator[None]:
    """Blame a field for what OpenSSL does not take; its last error is the outermost."""
    try:
        yield
    except (SSL.Error, crypto.Error) as error:
        errors = error.args[0] if error.args else ()
        reason = errors[-1][-1] if errors else "no reason given"
        raise TLSError(name, f"OpenSSL refuses it: {reason}") from None


# ----------------------------------------------------------------- certificates


def _set_certificate(context: SSL.Context, tls: TLS) -> None:
    leaf, *others = _certificates("cert", tls.certificate)
    key = _private_key(tls.key)
    if not _belongs(key, leaf):
        raise TLSError("key", "the key does not belong to the certificate")
    with _refusals("cert"):  # as with a short RSA key
        context.use_certificate(leaf)
        for certificate in others:
            context.add_extra_chain_cert(certificate)
        context.use_privatekey(key)


def _certificates(name: str, pem: bytes) -> Sequence[x509.Certificate]:
    """Give the certificates in a text, of which there is at least one."""
    try:
        return x509.load_pem_x509_certificates(pem)
    except (ValueError, x509.InvalidVersion):
        raise TLSError(name, "give certificates in PEM") from None


def _private_key(pem: bytes) -> _Key:
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except TypeError:
        raise TLSError("key", "the key is encrypted; give it without a passphrase") from None
    except (ValueError, UnsupportedAlgorithm):
        raise TLSError("key", "give a private key in PEM") from None
    if not isinstance(key, _Key):
        raise TLSError("key", "give a key for RSA, ECDSA or EdDSA")
    return key


def _belongs(key: _Key, certificate: x509.Certificate) -> bool:
    try:
        return key.public_key() == certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise TLSError("cert", "its public key cannot be read") from None


# ----------------------------------------------------------------- clients


def _set_client_auth(context: SSL.Context, tls: TLS) -> None:
    context.set_options(SSL.OP_NO_TICKET)
    if tls.client_ca is not None:
        store = cast(crypto.X509Store, context.get_cert_store())
        store.set_flags(crypto.X509StoreFlags.PARTIAL_CHAIN)
        certificates = _certificates("client_ca", tls.client_ca)
        with _refusals("client_ca"):
            for certificate in certificates:
                store.add_cert(crypto.X509.from_cryptography(certificate))
                context.add_client_ca(certificate)
    verifies = tls.client_auth_type in VERIFYING
    allowed = frozenset(tls.client_allowed_sans)

    def accept(_: SSL.Connection, found: crypto.X509, error: int, depth: int, good: int) -> bool:
        """Judge one certificate of a client's chain; the client's own has depth 0."""
        if verifies and not good:
            return False
        return depth > 0 or not allowed or not allowed.isdisjoint(_names(found))

    context.set_verify(CLIENT_AUTH_TYPES[tls.client_auth_type], accept)


def _names(certificate: crypto.X509) -> set[str]:
    """Give the names for which a certificate was made; none if they cannot be read."""
    try:
        names = (
            certificate.to_cryptography()
            .extensions.get_extension_for_class(x509.SubjectAlternativeName)
            .value
        )
    except (
        ValueError,
        x509.DuplicateExtension,
        x509.ExtensionNotFound,
        x509.InvalidVersion,
        x509.UnsupportedGeneralNameType,
    ):
        return set()
    kinds = (x509.DNSName, x509.RFC822Name, x509.UniformResourceIdentifier, x509.IPAddress)
    return {str(name.value) for name in names if isinstance(name, kinds)}
