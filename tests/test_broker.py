"""Credentials and TLS contexts, from files as people may have them."""

from __future__ import annotations

import contextlib
import os
import ssl
import tempfile
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from twisted.trial.unittest import SynchronousTestCase

from maestro_exporter.broker import Broker, BrokerError
from maestro_exporter.values import Address

CERTIFICATES = Path(__file__).with_name("web_config") / "certificates"
CA = CERTIFICATES / "ca.pem"
CERT = CERTIFICATES / "client.pem"
KEY = CERTIFICATES / "client.key"
SERVER = CERTIFICATES / "server.pem"
ENCRYPTED = CERTIFICATES / "encrypted.key"  # of the server
CLIENT_HAS_NO_KEY = "no private key in it; give --mqtt.key-file"


class BrokerTestCase(SynchronousTestCase):
    """What the tests share: files that last for a test."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def file(self, content: bytes, name: str = "file") -> Path:
        path = self.folder / name
        path.write_bytes(content)
        return path


def make(**fields: Any) -> Broker:
    return Broker(address=Address("localhost", 8883), **fields)


class CredentialsTests(BrokerTestCase):
    """User name and password."""

    def error(self, path: Path) -> str:
        """Give the error that a password's file must lead to, without what names the file."""
        broker = make(username="joe", password_file=path)
        error = self.assertRaises(BrokerError, broker.credentials)
        head, place, reason = str(error).split(": ")
        self.assertEqual((head, place), ("--mqtt.password-file", ascii(str(path))[1:-1]))
        return reason

    def test_anonymous(self) -> None:
        """Without a user name there are none."""
        self.assertIs(make().credentials(), None)

    def test_user_name_alone(self) -> None:
        """A user may have no password."""
        self.assertEqual(make(username="joe").credentials(), ("joe", ""))

    def test_password(self) -> None:
        """It is as it was given."""
        self.assertEqual(make(username="joe", password=" x ").credentials(), ("joe", " x "))

    def test_password_is_not_in_the_representation(self) -> None:
        """Wherever it may be shown."""
        self.assertNotIn("hunter2", repr(make(username="joe", password="hunter2")))

    def test_password_of_a_file(self) -> None:
        """One end of a line is cut off, and nothing else."""
        for content, password in (
            (b"x", "x"),
            (b"x\n", "x"),
            (b"x\r\n", "x"),
            (b"x\n\n", "x\n"),
            (b"x\r", "x\r"),
            (b" x y \n", " x y "),
            ("é".encode(), "é"),
            (b"x" * 65_535 + b"\r\n", "x" * 65_535),
        ):
            broker = make(username="joe", password_file=self.file(content))
            self.assertEqual(broker.credentials(), ("joe", password))

    def test_password_of_a_file_that_changes(self) -> None:
        """The file is read each time."""
        broker = make(username="joe", password_file=self.file(b"x"))
        broker.credentials()
        self.file(b"y")
        self.assertEqual(broker.credentials(), ("joe", "y"))

    def test_error_when_the_file_is_bad(self) -> None:
        """The error has the file, and nothing of what is in it."""
        unfit = "not 1 to 65535 bytes of UTF-8 without NUL"
        for content, reason in (
            (b"", "the file is empty"),
            (b"\n", "the file is empty"),
            (b"hunter2\xff", unfit),
            (b"hunter2\0", unfit),
            (b"x" * 65_536, unfit),
            (b"x" * 65_538, "larger than 65537 bytes"),
        ):
            self.assertEqual(self.error(self.file(content)), reason)

    def test_error_when_the_file_cannot_be_read(self) -> None:
        """The error gives the system's reason."""
        self.assertEqual(self.error(self.folder / "other"), "No such file or directory")
        self.assertEqual(self.error(self.folder), "Is a directory")
        self.assertEqual(self.error(Path("a\0b")), "no name of a file")
        self.assertEqual(self.error(Path("a\nb")), "No such file or directory")


class TLSTests(BrokerTestCase):
    """TLS contexts."""

    def context(self, **fields: Any) -> ssl.SSLContext:
        context = make(tls=True, **fields).tls_context()
        assert context is not None
        return context

    def error(self, **fields: Any) -> str:
        return str(self.assertRaises(BrokerError, self.context, **fields))

    def handshake(self, context: ssl.SSLContext, name: str) -> bytes | None:
        """Shake hands with a server that asks for certificates; give the client's, in DER."""
        server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server_context.load_cert_chain(SERVER, CERTIFICATES / "server.key")
        server_context.load_verify_locations(CA)
        server_context.verify_mode = ssl.CERT_OPTIONAL
        up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = context.wrap_bio(down, up, server_hostname=name)
        server = server_context.wrap_bio(up, down, server_side=True)
        for _ in range(4):
            for side in (client, server):
                with contextlib.suppress(ssl.SSLWantReadError):
                    side.do_handshake()
        return server.getpeercert(binary_form=True)

    def test_no_tls(self) -> None:
        """There is no context."""
        self.assertIs(make().tls_context(), None)

    def test_defaults(self) -> None:
        """The certificate and the name are checked, by TLS 1.2 or later."""
        context = self.context()
        self.assertTrue(context.check_hostname)
        self.assertEqual(context.verify_mode, ssl.CERT_REQUIRED)
        self.assertGreaterEqual(context.minimum_version, ssl.TLSVersion.TLSv1_2)

    def test_ca(self) -> None:
        """Certificates that this CA signed are taken, for the right name, and no others."""
        self.assertIs(self.handshake(self.context(ca_file=CA), "localhost"), None)
        context = self.context(ca_file=CA)
        self.assertRaises(ssl.SSLCertVerificationError, self.handshake, context, "other")
        for other in (self.context(ca_file=CERTIFICATES / "other-ca.pem"), self.context()):
            self.assertRaises(ssl.SSLCertVerificationError, self.handshake, other, "localhost")

    def test_certificate_that_is_trusted_itself(self) -> None:
        """The broker's own certificate can stand for its CA."""
        self.assertIs(self.handshake(self.context(ca_file=SERVER), "localhost"), None)

    def test_insecure(self) -> None:
        """Any certificate is taken, for any name."""
        self.assertIs(self.handshake(self.context(insecure=True), "other"), None)

    def test_certificate(self) -> None:
        """It is shown to the broker, whether its key is in the same file or not."""
        der = ssl.PEM_cert_to_DER_cert(CERT.read_text())
        both = self.file(KEY.read_bytes() + CERT.read_bytes())
        for fields in ({"cert_file": CERT, "key_file": KEY}, {"cert_file": both}):
            context = self.context(ca_file=CA, **fields)
            self.assertEqual(self.handshake(context, "localhost"), der)

    def test_renewed_files(self) -> None:
        """Each context is of what the files hold by then."""
        broker = make(tls=True, ca_file=self.file(CA.read_bytes()))
        first = broker.tls_context()
        self.file(b"")
        self.assertRaises(BrokerError, broker.tls_context)
        self.file((CERTIFICATES / "other-ca.pem").read_bytes())
        second = broker.tls_context()
        assert first is not None
        assert second is not None
        self.assertIs(self.handshake(first, "localhost"), None)
        self.assertRaises(ssl.SSLCertVerificationError, self.handshake, second, "localhost")

    def test_error_of_the_ca(self) -> None:
        """The error names the option and the file."""
        broken = self.file(CA.read_bytes().replace(b"\nMII", b"\n!!!"))
        for path, reason in (
            (self.folder / "other", "No such file or directory"),
            (self.folder, "Is a directory"),
            (KEY, "no certificate in it"),
            (self.file(b"", "empty"), "no certificate in it"),
            (broken, "OpenSSL refuses it: it is broken"),
        ):
            error = self.error(ca_file=path)
            # Which word it has for a broken one depends on the OpenSSL.
            self.assertTrue(error.startswith(f"--mqtt.ca-file: {path}: {reason[:18]}"), error)

    def test_error_of_the_certificate(self) -> None:
        """The error names the option and the file that is to blame."""
        missing = self.folder / "other"
        server_key = CERTIFICATES / "server.key"
        encrypted = "the key is encrypted; give it without a passphrase"
        mismatch = "the key does not belong to the certificate"
        for cert, key, option, reason in (
            (missing, None, "cert", "No such file or directory"),
            (CERT, missing, "key", "No such file or directory"),
            (KEY, None, "cert", "no certificate in it"),
            (KEY, KEY, "cert", "no certificate in it"),
            (self.file(b""), None, "cert", "no certificate in it"),
            (CERT, None, "cert", CLIENT_HAS_NO_KEY),
            (CERT, CERT, "key", "no private key in it"),
            (CERT, server_key, "key", mismatch),
            (SERVER, ENCRYPTED, "key", encrypted),
            (self.both(SERVER, ENCRYPTED), None, "cert", encrypted),
            (CERT, self.encrypted_in_the_old_way(), "key", encrypted),
        ):
            blamed = cert if option == "cert" else key
            self.assertEqual(
                self.error(cert_file=cert, key_file=key),
                f"--mqtt.{option}-file: {blamed}: {reason}",
            )

    def both(self, *paths: Path) -> Path:
        return self.file(b"".join(path.read_bytes() for path in paths), "both")

    def encrypted_in_the_old_way(self) -> Path:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.BestAvailableEncryption(b"passphrase"),
        )
        return self.file(pem, "old.key")

    def test_error_of_a_broken_key(self) -> None:
        """It is one line, without the key."""
        broken = self.file(KEY.read_bytes().replace(b"\nM", b"\n!"))
        error = self.error(cert_file=CERT, key_file=broken)
        self.assertTrue(error.startswith(f"--mqtt.key-file: {broken}: OpenSSL refuses it: "), error)
        self.assertTrue(error.isprintable())

    def test_nothing_stays_open(self) -> None:
        """However often a context is made."""
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(3):
            self.context(ca_file=CA, cert_file=CERT, key_file=KEY)
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)
