"""`maestro-exporter check-config`, run in this process."""

from __future__ import annotations

import contextlib
import io
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from maestro_exporter import main
from maestro_exporter.commands import check_config

HASH = "$2y$04$MvONIs8aJxh75objxcVaTuUU2G0NkzP9iSZnk.2CISmozzcdcn1ri"


class CheckTests(SynchronousTestCase):
    """What is said of a file, and the exit status."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def file(self, text: str, name: str = "file") -> Path:
        """Give a file with a text."""
        path = self.folder / name
        path.write_text(text)
        return path

    def run_check(self, *arguments: object) -> tuple[int, str, str]:
        """Give status, standard output and standard error."""
        output, errors = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            try:
                status = check_config.main([str(each) for each in arguments])
            except SystemExit as ending:
                assert isinstance(ending.code, int)
                status = ending.code
        return status, output.getvalue(), errors.getvalue()

    def test_web_configuration(self) -> None:
        """One that is right."""
        path = self.file("rate_limit:\n  interval: 1s\n  burst: 3\n")
        self.assertEqual(
            self.run_check(path), (0, f"{path}: a web configuration, nothing wrong\n", "")
        )

    def test_empty_file(self) -> None:
        """An empty one is a web configuration."""
        path = self.file("")
        self.assertEqual(
            self.run_check(path), (0, f"{path}: a web configuration, nothing wrong\n", "")
        )

    def test_web_configuration_with_a_warning(self) -> None:
        """The warning is said, and the file is right."""
        path = self.file(f"basic_auth_users:\n  alice: {HASH}\n")
        self.assertEqual(
            self.run_check(path),
            (
                0,
                f"{path}: a web configuration, nothing wrong\n",
                f"maestro-exporter: warning: {path}:1: basic_auth_users: "
                "passwords cross the network unencrypted without tls_server_config\n",
            ),
        )

    def test_web_configuration_that_is_wrong(self) -> None:
        """One line says where and why."""
        path = self.file("rate_limit:\n  interval: 1s\n  burst: 0\n")
        self.assertEqual(
            self.run_check(path),
            (
                1,
                "",
                f"maestro-exporter: {path}:3: rate_limit.burst: "
                "give a whole number of at least 1\n",
            ),
        )

    def test_missing_file(self) -> None:
        """One line says so."""
        path = self.folder / "missing"
        self.assertEqual(
            self.run_check(path), (1, "", f"maestro-exporter: {path}: No such file or directory\n")
        )

    def test_settings(self) -> None:
        """A file of settings that is right."""
        path = self.file('# the exporter\nMAESTRO_EXPORTER_INTERVAL="20s"\n')
        self.assertEqual(self.run_check(path), (0, f"{path}: settings, nothing wrong\n", ""))

    def test_settings_with_a_broker(self) -> None:
        """The files that they name are read, and what is wrong is said without the password."""
        secret = self.file("hunter2\n", "secret")
        path = self.file(f"MAESTRO_BROKER=mqtts://joe@h\nMAESTRO_MQTT_PASSWORD_FILE={secret}\n")
        self.assertEqual(self.run_check(path), (0, f"{path}: settings, nothing wrong\n", ""))
        self.file("hunter2\0", "secret")
        status, output, errors = self.run_check(path)
        self.assertEqual((status, output), (1, ""))
        self.assertEqual(
            errors,
            f"maestro-exporter: --mqtt.password-file: {secret}: "
            "not 1 to 65535 bytes of UTF-8 without NUL\n",
        )
        path = self.file("MAESTRO_MQTT_PASSWORD=hunter2\n")
        self.assertEqual(
            self.run_check(path),
            (1, "", "maestro-exporter: --mqtt.username: there is a password, but no user name\n"),
        )

    def test_settings_that_are_wrong(self) -> None:
        """One line says where and why."""
        path = self.file('MAESTRO_EXPORTER_INTERVAL="x"\n')
        status, output, errors = self.run_check(path)
        self.assertEqual((status, output), (1, ""))
        self.assertEqual(errors.count("\n"), 1)
        self.assertTrue(errors.startswith("maestro-exporter: "), errors)
        self.assertIn(str(path), errors)
        self.assertIn("MAESTRO_EXPORTER_INTERVAL", errors)

    def test_settings_of_the_environment(self) -> None:
        """Only the file counts, not the environment of whoever checks it."""
        self.patch(
            __import__("os"), "environ", {"MAESTRO_EXPORTER_INTERVAL": "x", "PATH": "/usr/bin"}
        )
        path = self.file('MAESTRO_EXPORTER_MAX_PEERS="20"\n')
        self.assertEqual(self.run_check(path), (0, f"{path}: settings, nothing wrong\n", ""))

    def test_settings_with_a_web_configuration(self) -> None:
        """The web configuration that they name is checked, too."""
        web = self.file("rate_limit:\n  interval: 1s\n  burst: 3\n", "web.yml")
        path = self.file(f'MAESTRO_EXPORTER_WEB_CONFIG="{web}"\n')
        kind = f"settings, and the web configuration {web}"
        self.assertEqual(self.run_check(path), (0, f"{path}: {kind}, nothing wrong\n", ""))
        self.file(f"basic_auth_users:\n  alice: {HASH}\n", "web.yml")
        self.assertIn(f"warning: {web}:1: basic_auth_users: ", self.run_check(path)[2])
        self.file("rate_limits:\n", "web.yml")
        status, output, errors = self.run_check(path)
        self.assertEqual((status, output), (1, ""))
        self.assertTrue(errors.startswith(f"maestro-exporter: {web}:1: "), errors)

    def test_usage(self) -> None:
        """Without a file, or with two, it is bad usage, in one line."""
        for arguments in ((), ("a", "b"), ("--nonsense",)):
            status, output, errors = self.run_check(*arguments)
            self.assertEqual((status, output, errors.count("\n")), (2, "", 1))
            self.assertTrue(errors.startswith("maestro-exporter check-config: "), errors)

    def test_help(self) -> None:
        """The help names the file."""
        status, output, _ = self.run_check("--help")
        self.assertEqual(status, 0)
        self.assertIn("FILE", output)

    def test_command(self) -> None:
        """The command passes the file on, and its status back."""
        path = self.folder / "missing"
        with contextlib.redirect_stderr(io.StringIO()) as errors:
            self.assertEqual(main.run(["check-config", str(path)]), 1)
        self.assertIn(str(path), errors.getvalue())
