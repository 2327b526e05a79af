"""Contexts for TLS, held against clients in memory: no sockets."""

from __future__ import annotations

import base64
import contextlib
import datetime
import re
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL, crypto
from twisted.trial.unittest import SynchronousTestCase

from maestro_exporter.web.tls import (
    CIPHER_SUITES,
    CLIENT_AUTH_TYPES,
    TLS,
    VERIFYING,
    TLSError,
    make_context,
)

CERTIFICATES = Path(__file__).parent / "web_config" / "certificates"

#: The names that client.pem was made for, one of each kind.
NAMES = (
    "prometheus.example.com",
    "prometheus@example.com",
    "spiffe://example.com/prometheus",
    "192.0.2.1",
)


def pem(name: str) -> bytes:
    """Give a file of the certificates."""
    return (CERTIFICATES / name).read_bytes()


def server(
    *,
    certificate: str = "server.pem",
    key: str = "server.key",
    client_ca: bytes | None = None,
    client_auth_type: str = "NoClientCert",
    client_allowed_sans: tuple[str, ...] = (),
    min_version: str = "TLS12",
    max_version: str = "TLS13",
    cipher_suites: tuple[str, ...] = (),
    prefer_server_cipher_suites: bool = True,
) -> SSL.Context:
    """Give a server's context; a CA comes by itself where the auth type needs one."""
    if client_ca is None and client_auth_type in VERIFYING:
        client_ca = pem("ca.pem")
    return make_context(
        TLS(
            certificate=pem(certificate),
            key=pem(key),
            client_ca=client_ca,
            client_auth_type=client_auth_type,
            client_allowed_sans=client_allowed_sans,
            min_version=min_version,
            max_version=max_version,
            cipher_suites=cipher_suites,
            prefer_server_cipher_suites=prefer_server_cipher_suites,
        )
    )


def client(name: str = "", version: int = 0, suites: str = "") -> SSL.Context:
    """Give a client's context: with a certificate, of one version, or with these suites."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    if name:
        context.use_certificate_file(str(CERTIFICATES / f"{name}.pem"))
        context.use_privatekey_file(str(CERTIFICATES / f"{name}.key"))
    if version:
        context.set_min_proto_version(version)
        context.set_max_proto_version(version)
    if suites:
        context.set_cipher_list(suites.encode())
    return context


def pump(source: SSL.Connection, target: SSL.Connection) -> None:
    """Carry what waits to be sent."""
    with contextlib.suppress(SSL.WantReadError):
        target.bio_write(source.bio_read(1 << 16))


def connect(
    at: SSL.Context, of: SSL.Context, session: SSL.Session | None = None
) -> tuple[SSL.Connection, SSL.Connection]:
    """Give a server's and a client's connection that have met; raises if one refuses."""
    ends = (SSL.Connection(at, None), SSL.Connection(of, None))
    ends[0].set_accept_state()
    ends[1].set_connect_state()
    if session is not None:
        ends[1].set_session(session)
    for _ in range(4):
        for end, other in (ends[::-1], ends):
            with contextlib.suppress(SSL.WantReadError):
                end.do_handshake()
            pump(end, other)
    ends[0].send(b"hello")
    pump(*ends)
    assert ends[1].recv(5) == b"hello"
    return ends


def signed(
    issuer: x509.Certificate | None,
    signing: ec.EllipticCurvePrivateKey | None,
    key: ec.EllipticCurvePrivateKey,
    name: str,
) -> x509.Certificate:
    """Make a certificate, signed by itself where nobody else does; CAs' names end in CA."""
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc))
        .not_valid_after(datetime.datetime(2126, 1, 1, tzinfo=datetime.timezone.utc))
        .add_extension(
            x509.BasicConstraints(ca=name.endswith("CA"), path_length=None), critical=True
        )
        .sign(signing or key, hashes.SHA256())
    )


class Certificates(SynchronousTestCase):
    """What the server shows of itself."""

    def test_chain(self) -> None:
        """The server sends its own certificate first, and all others of the text after it."""
        _, end = connect(server(certificate="chain.pem"), client())

        chain = end.get_peer_cert_chain(as_cryptography=True)

        expected = x509.load_pem_x509_certificates(pem("chain.pem"))
        self.assertEqual(chain, expected)

    def test_trust(self) -> None:
        """A client that trusts the CA trusts the server."""
        of = client()
        of.set_verify(SSL.VERIFY_PEER)
        of.load_verify_locations(str(CERTIFICATES / "ca.pem"))

        connect(server(), of)

    def test_key_is_not_shown(self) -> None:
        """The repr of the settings is without the key."""
        tls = TLS(certificate=b"certificate", key=b"marker")

        self.assertNotIn("marker", repr(tls))

    def test_refusals(self) -> None:
        """Whatever OpenSSL refuses is blamed on a field, in its words or without."""
        for arguments, reason in (
            (([("lib", "", "outer"), ("lib", "", "ee key too small")],), "ee key too small"),
            (([],), "no reason given"),
            ((), "no reason given"),
        ):

            def refuse(*_: object, raised: tuple[object, ...] = arguments) -> None:
                raise SSL.Error(*raised)

            patch = self.patch(SSL.Context, "use_certificate", refuse)
            error = self.assertRaises(TLSError, server)
            patch.restore()

            self.assertEqual(str(error), f"cert: OpenSSL refuses it: {reason}")

    @settings(max_examples=200, deadline=None)
    @given(
        st.sampled_from(["certificate", "key", "client_ca"]),
        st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 255)), min_size=1, max_size=3),
    )
    def test_any_damage(self, field: str, damage: list[tuple[int, int]]) -> None:
        """A certificate or key with wrong bytes in it makes a context or a TLSError."""
        texts = {
            "certificate": pem("server.pem"),
            "key": pem("server.key"),
            "client_ca": pem("ca.pem"),
        }
        first, *body, last = texts[field].decode().splitlines()
        content = bytearray(base64.b64decode("".join(body)))
        for index, byte in damage:
            content[index % len(content)] = byte
        texts[field] = "\n".join([first, base64.b64encode(content).decode(), last]).encode()

        try:
            make_context(
                TLS(
                    certificate=texts["certificate"],
                    key=texts["key"],
                    client_ca=texts["client_ca"],
                    client_auth_type="VerifyClientCertIfGiven",
                )
            )
        except TLSError as error:
            self.assertIn(error.field, ("cert", "key", "client_ca"))
            self.assertEqual(str(error), f"{error.field}: {error.reason}")


class Versions(SynchronousTestCase):
    """Which TLS is spoken."""

    def version(self, at: SSL.Context, of: SSL.Context) -> str:
        """Give the version that both speak."""
        return connect(at, of)[0].get_protocol_version_name()

    def test_highest(self) -> None:
        """Both speak the highest version that both allow."""
        self.assertEqual(self.version(server(), client()), "TLSv1.3")
        self.assertEqual(self.version(server(), client(version=SSL.TLS1_2_VERSION)), "TLSv1.2")
        self.assertEqual(self.version(server(max_version="TLS12"), client()), "TLSv1.2")

    def test_least(self) -> None:
        """A client that speaks less than min_version is refused."""
        at = server(min_version="TLS13")

        self.assertRaises(SSL.Error, connect, at, client(version=SSL.TLS1_2_VERSION))

    def test_most(self) -> None:
        """A client that speaks more than max_version is refused."""
        at = server(max_version="TLS12")

        self.assertRaises(SSL.Error, connect, at, client(version=SSL.TLS1_3_VERSION))

    def test_renegotiation(self) -> None:
        """A client cannot start the handshake of a connection anew."""
        at, end = connect(server(), client(version=SSL.TLS1_2_VERSION))
        end.renegotiate()
        with self.assertRaises(SSL.Error):
            for _ in range(2):
                with contextlib.suppress(SSL.WantReadError):
                    end.do_handshake()
                pump(end, at)
                self.assertRaises(SSL.WantReadError, at.recv, 1)
                pump(at, end)


class Suites(SynchronousTestCase):
    """Which suites encrypt."""

    def suite(self, at: SSL.Context, suites: str = "", version: int = SSL.TLS1_2_VERSION) -> str:
        """Give the suite that a client of a version and with these suites comes to speak."""
        name = connect(at, client(version=version, suites=suites))[0].get_cipher_name()
        assert name is not None
        return name

    def test_every_name(self) -> None:
        """Each name of Go for TLS 1.2 and ECDSA, alone, is spoken by the name of OpenSSL."""
        tried = {name: text for name, text in CIPHER_SUITES.items() if "_ECDSA_" in name}
        self.assertEqual(len(tried), 5)
        for name, text in tried.items():
            self.assertEqual(self.suite(server(cipher_suites=(name,))), text)

    def test_every_name_is_known(self) -> None:
        """OpenSSL knows all names that ours are turned into."""
        for name, text in CIPHER_SUITES.items():
            if text:
                context = server(cipher_suites=(name,))
                self.assertIn(text, SSL.Connection(context, None).get_cipher_list())

    def test_default(self) -> None:
        """Without a choice, a suite is spoken that encrypts and authenticates in one."""
        self.assertRegex(self.suite(server()), "GCM|POLY1305")
        self.assertRaises(SSL.Error, self.suite, server(), "ECDHE-ECDSA-AES128-SHA")
        for name in SSL.Connection(server(), None).get_cipher_list():
            self.assertRegex(name, r"^TLS_|^ECDHE-.*(GCM|POLY1305)")

    def test_others_are_refused(self) -> None:
        """A client that speaks none of the chosen suites is refused."""
        at = server(cipher_suites=("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",))

        self.assertRaises(SSL.Error, self.suite, at, "ECDHE-ECDSA-AES256-GCM-SHA384")

    def test_preference(self) -> None:
        """The server's order decides, or the client's if so told."""
        chosen = (
            "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
            "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        )
        others = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384"
        for prefer, expected in (
            (True, "ECDHE-ECDSA-AES256-GCM-SHA384"),
            (False, "ECDHE-ECDSA-AES128-GCM-SHA256"),
        ):
            at = server(cipher_suites=chosen, prefer_server_cipher_suites=prefer)
            self.assertEqual(self.suite(at, others), expected)

    def test_tls13_is_not_restricted(self) -> None:
        """The suites of TLS 1.3 are on, whichever are named."""
        for names in (
            ("TLS_AES_128_GCM_SHA256",),
            ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",),
        ):
            at = server(cipher_suites=names)
            spoken = self.suite(at, version=SSL.TLS1_3_VERSION)
            self.assertEqual(spoken, "TLS_AES_256_GCM_SHA384")

    def test_tls13_alone(self) -> None:
        """With suites of TLS 1.3 alone, TLS 1.2 is not spoken."""
        at = server(cipher_suites=("TLS_AES_128_GCM_SHA256",))

        self.assertRaises(SSL.Error, self.suite, at)


class Clients(SynchronousTestCase):
    """Who may come."""

    def accepted(self, at: SSL.Context, name: str) -> bool:
        """Tell whether a client with a certificate, or without, comes in by either version."""
        answers = set()
        for version in (SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION):
            try:
                connect(at, client(name, version))
                answers.add(True)
            except SSL.Error:
                answers.add(False)
        self.assertEqual(len(answers), 1)
        return answers.pop()

    def test_auth_types(self) -> None:
        """Each client auth type lets in whom it says, by either version."""
        everyone = {"": True, "client": True, "nameless": True, "stranger": True}
        expected = {
            "NoClientCert": everyone,
            "RequestClientCert": everyone,
            "RequireAnyClientCert": {**everyone, "": False},
            "RequireClientCert": {**everyone, "": False},
            "VerifyClientCertIfGiven": {**everyone, "stranger": False},
            "RequireAndVerifyClientCert": {**everyone, "": False, "stranger": False},
        }
        self.assertEqual(set(expected), set(CLIENT_AUTH_TYPES))
        for kind, answers in expected.items():
            at = server(client_auth_type=kind)
            found = {name: self.accepted(at, name) for name in answers}
            self.assertEqual(found, answers, kind)

    def test_server_certificates_are_not_for_clients(self) -> None:
        """A certificate of the CA that is for servers does not verify a client."""
        at = server(client_auth_type="RequireAndVerifyClientCert")

        self.assertFalse(self.accepted(at, "server"))

    def test_names(self) -> None:
        """Each kind of name in the client's certificate can be the one that is allowed."""
        for kind in ("RequireAndVerifyClientCert", "RequireAnyClientCert"):
            for name in NAMES:
                at = server(client_auth_type=kind, client_allowed_sans=("other", name))
                self.assertTrue(self.accepted(at, "client"), name)
                self.assertFalse(self.accepted(at, "nameless"), name)
                self.assertFalse(self.accepted(at, ""), name)

    def test_names_to_the_letter(self) -> None:
        """A name that is not the same to the letter is another one."""
        for name in ("example.com", "Prometheus.example.com", "*.example.com", "192.0.2.10"):
            at = server(client_auth_type="RequireAnyClientCert", client_allowed_sans=(name,))
            self.assertFalse(self.accepted(at, "client"), name)

    def test_names_of_strangers(self) -> None:
        """An allowed name does not help a client that is not verified, where it must be."""
        for kind, expected in (
            ("RequireAndVerifyClientCert", False),
            ("RequireAnyClientCert", True),
        ):
            at = server(client_auth_type=kind, client_allowed_sans=NAMES)
            self.assertEqual(self.accepted(at, "stranger"), expected)

    def test_names_that_cannot_be_read(self) -> None:
        """Names that cannot be read are no names."""

        def refuse(_: crypto.X509) -> x509.Certificate:
            raise x509.DuplicateExtension("twice", x509.SubjectAlternativeName.oid)

        self.patch(crypto.X509, "to_cryptography", refuse)
        at = server(client_auth_type="RequireAnyClientCert", client_allowed_sans=NAMES)

        self.assertFalse(self.accepted(at, "client"))

    def test_intermediate_ca(self) -> None:
        """A CA that another one signed is trusted by itself, as by Go."""
        keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(3)]
        root = signed(None, None, keys[0], "Root CA")
        middle = signed(root, keys[0], keys[1], "Middle CA")
        leaf = signed(middle, keys[1], keys[2], "client")
        of = client()
        of.use_certificate(leaf)
        of.use_privatekey(keys[2])
        text = middle.public_bytes(serialization.Encoding.PEM)

        for kind in VERIFYING:
            connect(server(client_auth_type=kind, client_ca=text), of)

    def test_hint(self) -> None:
        """A client is told which CAs may have signed its certificate."""
        at = server(client_auth_type="RequestClientCert", client_ca=pem("ca.pem"))

        _, end = connect(at, client())

        (name,) = end.get_client_ca_list()
        self.assertEqual(name.CN, "Test CA")

    def test_resumption(self) -> None:
        """A session is resumed, but not where certificates of clients are asked for."""
        for kind in CLIENT_AUTH_TYPES:
            for version in (SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION):
                at, of = server(client_auth_type=kind), client("client", version)
                seen: list[int] = []  # a server that resumes shows no certificate
                of.set_verify(SSL.VERIFY_PEER, lambda *_, counted=seen: counted.append(1) is None)
                _, first = connect(at, of)
                seen.clear()
                connect(at, of, first.get_session())
                self.assertEqual(not seen, kind == "NoClientCert", kind)


class Contradictions(SynchronousTestCase):
    """Settings that do not go together are refused; tests/web_config/bad has all messages."""

    def test_fields(self) -> None:
        """The error blames the field that is to be changed."""
        ca = pem("ca.pem")
        names = ("prometheus.example.com",)
        for field, make in (
            ("client_ca", lambda: server(client_ca=ca)),
            ("client_auth_type", self.without_ca),
            ("client_allowed_sans", lambda: server(client_allowed_sans=names)),
            ("min_version", lambda: server(min_version="TLS13", max_version="TLS12")),
            (
                "cipher_suites",
                lambda: server(max_version="TLS12", cipher_suites=("TLS_AES_128_GCM_SHA256",)),
            ),
            ("key", lambda: server(key="encrypted.key")),
            ("key", lambda: server(key="other-server.key")),
            ("key", lambda: server(key="x25519.key")),
            ("cert", lambda: server(certificate="server.key")),
        ):
            error = self.assertRaises(TLSError, make)
            self.assertEqual(error.field, field)
            self.assertFalse(re.search("BEGIN|\n", str(error)))

    def without_ca(self) -> SSL.Context:
        """Ask for what verifies clients, without the CA for it."""
        return make_context(
            TLS(
                certificate=pem("server.pem"),
                key=pem("server.key"),
                client_auth_type="RequireAndVerifyClientCert",
            )
        )

    def test_suites_that_openssl_lacks(self) -> None:
        """That OpenSSL has none of the suites is blamed on the suites."""

        def refuse(*_: object) -> None:
            raise SSL.Error([("SSL routines", "", "no cipher match")])

        self.patch(SSL.Context, "set_cipher_list", refuse)

        error = self.assertRaises(TLSError, server)

        self.assertEqual(str(error), "cipher_suites: OpenSSL refuses it: no cipher match")
