"""The command that starts and stops a daemon, as far as it starts none."""

from __future__ import annotations

import fcntl
import io
import os
import re
import signal
import sys
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from maestro_exporter.control import cli
from maestro_exporter.control.daemon import Daemon, DaemonError
from maestro_exporter.control.log import last_error, last_error_since, mark
from maestro_exporter.control.places import PlaceError, default_root, places
from maestro_exporter.control.probe import Pages
from maestro_exporter.settings import load

TEXT = "2026-11-24T03:49:25+0000 [{}] {}\n"
JSON = '{{"time": "2026-11-24T03:49:25.000Z", "level": "{}", "logger": "x", "message": "{}"}}\n'


class PlacesTests(SynchronousTestCase):
    """Where the files are."""

    def test_usual_places(self) -> None:
        """They are where a system keeps such files."""
        found = places(Path("/"), "maestro-exporter")
        self.assertEqual(
            [str(path) for path in (found.configuration, found.pid, found.lock, found.log)],
            [
                "/etc/maestro-exporter/maestro-exporter-service.conf",
                "/run/maestro-exporter/maestro-exporter.pid",
                "/run/maestro-exporter/maestro-exporter.lock",
                "/var/log/maestro-exporter/maestro-exporter.log",
            ],
        )

    def test_another_one(self) -> None:
        """Each of several has files of its own name, all below the root."""
        found = places(Path("/opt/x"), "lab-2")
        self.assertEqual(
            [str(path) for path in (found.configuration, found.pid, found.lock, found.log)],
            [
                "/opt/x/etc/maestro-exporter/lab-2.conf",
                "/opt/x/run/maestro-exporter/lab-2.pid",
                "/opt/x/run/maestro-exporter/lab-2.lock",
                "/opt/x/var/log/maestro-exporter/lab-2.log",
            ],
        )

    def test_a_configuration_elsewhere(self) -> None:
        """That changes no other place."""
        found = places(Path("/"), "lab", Path("/srv/a.conf"))
        self.assertEqual(found.configuration, Path("/srv/a.conf"))
        self.assertEqual(found.log, places(Path("/"), "lab").log)

    def test_names(self) -> None:
        """A name that leads to another folder, or is no file's, is refused."""
        for name in ("", ".", "..", "a/b", "../a", ".a", "-a", "a b", "a\n", "x" * 101):
            self.assertRaises(PlaceError, places, Path("/"), name)

    def test_root(self) -> None:
        """It is where the package of the system was unpacked to, or where this was installed."""
        for prefix, superuser, expected in (
            ("/usr/lib/maestro-exporter", True, "/"),
            ("/usr/lib/maestro-exporter", False, "/"),
            ("/home/me/x/usr/lib/maestro-exporter", True, "/home/me/x"),
            ("/home/me/x/usr/lib/maestro-exporter", False, "/home/me/x"),
            ("/home/me/venv", False, "/home/me/venv"),
            ("/home/me/venv", True, "/"),
            ("/usr", True, "/"),
        ):
            found = default_root(Path(prefix), superuser=superuser)
            self.assertEqual(found, Path(expected), prefix)


class LastErrorTests(SynchronousTestCase):
    """What a log says went wrong."""

    def test_the_last(self) -> None:
        """It is the message of the last line that is an error, in either form."""
        for form in (TEXT, JSON):
            prefix = "stderr#" if form is TEXT else ""
            log = (
                form.format(prefix + "error", "an old one")
                + form.format(prefix + "critical", "the last one")
                + form.format(prefix + "info", "stopped")
            )
            self.assertEqual(last_error(log), "the last one")

    def test_reason_to_not_start(self) -> None:
        """What Python says before the reason is left out."""
        error = "maestro_exporter.settings.StartError: cannot listen on :9120: in use"
        self.assertEqual(
            last_error(TEXT.format("stderr#error", error)), "cannot listen on :9120: in use"
        )

    def test_none(self) -> None:
        """Without an error there is nothing."""
        for log in ("", "\n\n", "no log\n", '{"a": 1}\n', "[]\n", TEXT.format("x#info", "error")):
            self.assertEqual(last_error(log), "")


class PagesTests(SynchronousTestCase):
    """Where this machine reaches the pages."""

    def url(self, *addresses: str, **more: str) -> str:
        given = {name.replace("__", ".").replace("_", "-"): [text] for name, text in more.items()}
        if addresses:
            given["web.listen-address"] = list(addresses)
        return Pages(load(given, {})).url

    def test_url(self) -> None:
        """It is the first address, on this machine if it is all of them."""
        self.assertEqual(self.url(), "http://127.0.0.1:9120/metrics")
        self.assertEqual(self.url("10.0.0.1:1", ":2"), "http://10.0.0.1:1/metrics")
        self.assertEqual(self.url("0.0.0.0:1"), "http://127.0.0.1:1/metrics")
        self.assertEqual(self.url("[::]:1"), "http://[::1]:1/metrics")
        self.assertEqual(self.url(web__telemetry_path="/m"), "http://127.0.0.1:9120/m")

    def test_no_url(self) -> None:
        """A port that is only known once it is listened on has none, and answers nothing."""
        self.assertEqual(self.url(port="0"), "")
        self.assertIsNone(Pages(load({"port": ["0"]}, {})).get("/"))
        self.assertEqual(self.url(":0", "127.0.0.1:7"), "http://127.0.0.1:7/metrics")


class DaemonTests(SynchronousTestCase):
    """Whether a daemon lives."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        self.places = places(self.root, "a")
        self.daemon = Daemon(self.places)

    def hold(self) -> None:
        """Hold the lock, as a daemon does."""
        self.places.lock.parent.mkdir(parents=True)
        descriptor = os.open(self.places.lock, os.O_RDWR | os.O_CREAT)
        self.addCleanup(os.close, descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_EX)

    def test_never_started(self) -> None:
        """One that was never started does not live, and a look at it leaves nothing behind."""
        self.assertFalse(self.daemon.lives())
        self.assertFalse(self.daemon.left_a_pid())
        self.assertIsNone(self.daemon.pid())
        self.assertFalse(self.places.lock.parent.exists())

    def test_locked(self) -> None:
        """It lives as long as its lock is held, whatever its pid file says."""
        self.hold()
        self.assertTrue(self.daemon.lives())
        self.assertTrue(Daemon(self.places).lives())

    def test_a_number_that_another_process_has(self) -> None:
        """A pid file alone makes no daemon: the process of that number gets no signal."""
        self.places.pid.parent.mkdir(parents=True)
        self.places.pid.write_text(str(os.getpid()))
        self.assertFalse(self.daemon.lives())
        self.assertTrue(self.daemon.left_a_pid())
        self.assertFalse(self.daemon.stop(1.0))  # or this process would have ended
        self.assertFalse(self.daemon.left_a_pid())

    def test_a_number_of_somebody_else(self) -> None:
        """While it lives, too, only a process that holds its lock is taken for it."""
        self.hold()
        for content in (str(os.getppid()), "0", "-1", "1", "99999999999999999999", "", "x"):
            self.places.pid.write_text(content)
            self.assertTrue(self.daemon.lives())
            self.assertIsNone(self.daemon.pid())
            self.assertRaises(DaemonError, self.daemon.send, signal.SIGKILL)

    def test_a_lock_that_is_no_file(self) -> None:
        """What its user may have put there instead is an error, and does not hold up who looks."""
        self.places.lock.parent.mkdir(parents=True)
        for make in (os.mkfifo, lambda path: os.symlink("elsewhere", path)):
            make(self.places.lock)
            self.assertRaises(OSError, self.daemon.lives)
            self.places.lock.unlink()


class LogTests(SynchronousTestCase):
    """The last error since a mark."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name, "log")

    def add(self, message: str) -> None:
        with self.path.open("a") as log:
            log.write(TEXT.format("x#error", message))

    def test_no_log(self) -> None:
        """Without a log there is none; in one that begins afterwards, all is since then."""
        since = mark(self.path)
        self.assertEqual(last_error_since(self.path, since), "")
        self.add("first")
        self.assertEqual(last_error_since(self.path, since), "first")

    def test_only_what_came_since(self) -> None:
        """Older errors do not count; where the log was begun anew, all of that does."""
        self.add("old")
        since = mark(self.path)
        self.assertEqual(last_error_since(self.path, since), "")
        self.path.rename(self.path.with_suffix(".1"))
        self.add("new")
        self.assertEqual(last_error_since(self.path, since), "new")


class CommandTests(SynchronousTestCase):
    """The command line."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        self.patch(os, "geteuid", lambda: 1000)

    def run_command(self, *arguments: str) -> tuple[int, str, str]:
        """Give status, standard output and standard error."""
        out, err = io.StringIO(), io.StringIO()
        self.patch(sys, "stdout", out)
        self.patch(sys, "stderr", err)
        try:
            status = cli.run([f"--root={self.root}", *arguments])
        except SystemExit as exit_:
            assert isinstance(exit_.code, int)
            status = exit_.code
        return status, out.getvalue(), err.getvalue()

    def configure(self, text: str) -> Path:
        path = places(self.root, "maestro-exporter").configuration
        path.parent.mkdir(parents=True)
        path.write_text(text)
        return path

    def test_usage(self) -> None:
        """What is not a command, or not a name, is one line with status 2."""
        for arguments in (
            (),
            ("begin",),
            ("start", "a/b"),
            ("stop", "*"),
            ("start", "--timeout=soon"),
        ):
            status, out, err = self.run_command(*arguments)
            self.assertEqual((status, out, len(err.splitlines())), (2, "", 1), arguments)
            self.assertIn("maestro-exporter-service", err)

    def test_help(self) -> None:
        """It explains each command and each exit status."""
        status, out, _ = self.run_command("--help")
        self.assertEqual(status, 0)
        for command in ("start", "stop", "restart", "try-restart", "reload", "status"):
            self.assertRegex(out, rf"(?m)^  {command} +\S")
        for number in (0, 1, 2, 4, 5, 6, 7):
            self.assertRegex(out, rf"\b{number} ")

    def test_not_configured(self) -> None:
        """Without its configuration it is not started, with status 6, and says which is missing."""
        path = places(self.root, "maestro-exporter").configuration
        for command in ("start", "restart"):
            status, _, err = self.run_command(command)
            self.assertEqual(status, 6)
            self.assertEqual(err, f"maestro-exporter: failed: there is no {path}\n")

    def test_wrong_configuration(self) -> None:
        """A wrong setting is named, with status 6, and nothing is made."""
        self.configure('MAESTRO_EXPORTER_INTERVAL="soon"\n')
        status, _, err = self.run_command("start")
        self.assertEqual(status, 6)
        self.assertIn("MAESTRO_EXPORTER_INTERVAL in", err)
        self.assertEqual(len(err.splitlines()), 1)
        self.assertFalse((self.root / "run").exists())

    def test_wrong_web_configuration(self) -> None:
        """So is what is wrong in the web configuration, whose name is relative to the file."""
        path = self.configure('MAESTRO_EXPORTER_WEB_CONFIG="web.yml"\n')
        (path.parent / "web.yml").write_text("nonsense: 1\n")
        status, _, err = self.run_command("start")
        self.assertEqual(status, 6)
        self.assertIn("web.yml:1: nonsense", err)

    def test_not_running(self) -> None:
        """What does not run has status 3, is stopped with 0 and cannot be reloaded, with 7."""
        self.configure("")
        for command, expected in (("status", 3), ("stop", 0), ("try-restart", 0), ("reload", 7)):
            status, out, err = self.run_command(command)
            self.assertEqual((command, status), (command, expected))
            self.assertIn("it does not run", out + err)
            self.assertFalse((self.root / "run").exists())

    def test_died(self) -> None:
        """One that has left a pid file died: status 1, until it is stopped."""
        pid = places(self.root, "maestro-exporter").pid
        pid.parent.mkdir(parents=True)
        pid.write_text("1")
        self.assertEqual(self.run_command("status")[0], 1)
        self.assertEqual(self.run_command("stop")[0], 0)
        self.assertEqual(self.run_command("status")[0], 3)

    def test_no_user(self) -> None:
        """Root needs a user to run it as; without, it is not installed: status 5."""
        self.configure("")
        self.patch(os, "geteuid", lambda: 0)
        for command, expected in (("start", 5), ("stop", 5), ("status", 4)):
            status, _, err = self.run_command(command, "--user=nobody-of-this-name")
            self.assertEqual(status, expected)
            self.assertIn('there is no user "nobody-of-this-name"', err)

    def test_systemd(self) -> None:
        """Where systemd runs and has the unit, systemctl does it, for a name by the template."""
        folder = self.root / "units"
        folder.mkdir()
        self.patch(cli, "_UNIT_FOLDERS", (str(folder),))
        self.patch(cli, "_SYSTEMD_RUNS", self.root)
        self.assertIsNone(cli._unit(Path("/"), "maestro-exporter"))
        (folder / "maestro-exporter.service").touch()
        self.assertEqual(cli._unit(Path("/"), "maestro-exporter"), "maestro-exporter.service")
        self.assertIsNone(cli._unit(Path("/"), "lab"))
        (folder / "maestro-exporter@.service").touch()
        self.assertEqual(cli._unit(Path("/"), "lab"), "maestro-exporter@lab.service")
        self.assertIsNone(cli._unit(Path("/opt/x"), "lab"))
        self.patch(cli, "_SYSTEMD_RUNS", self.root / "not")
        self.assertIsNone(cli._unit(Path("/"), "lab"))

    def test_systemctl(self) -> None:
        """It is asked for the same command, and nothing else happens."""

        class ReplacedError(Exception):
            pass

        def become(program: str, command: list[str]) -> None:
            raise ReplacedError(program, command)

        self.patch(os, "execvp", become)
        self.patch(cli, "_unit", lambda root, name: f"{name}.service")
        root = f"--root={self.root}"
        error = self.assertRaises(ReplacedError, cli.run, [root, "stop", "lab"])
        self.assertEqual(
            error.args, ("systemctl", ["systemctl", "--no-pager", "stop", "lab.service"])
        )
        # It would end what runs for a configuration that is wrong.
        self.assertEqual(self.run_command("restart")[0], 6)
        # Log files are not systemd's.
        self.assertEqual(self.run_command("reopen")[0], 7)
        # What has a file of its own is not systemd's.
        self.configure("")
        status, out, _ = self.run_command("status", f"--config={self.root}/x.conf")
        self.assertEqual((status, re.sub(r".*: ", "", out)), (3, "it does not run\n"))
