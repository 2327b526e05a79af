"""What is shown of the command line in the list of processes."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from maestro_exporter.process_title import hide_passwords

#: An argument, and what is shown of it.
SECRET = (
    ("mqtt://joe:hunter2@host:1884", "mqtt://***@host:1884"),
    ("-mmqtt://joe:hunter2@host", "-mmqtt://***@host"),
    ("--maestro-url=mqtt+ssl://joe:hunter2@host", "--maestro-url=mqtt+ssl://***@host"),
    ("mqtts://joe:hun@ter2/ :hun@[::1]:8883", "mqtts://***@[::1]:8883"),
    ("mqtt://joe:hun\nter2@host", "mqtt://***@host"),
    ("mqtt://:hunter2@host", "mqtt://***@host"),
    ("joe:hunter2@host", "***@host"),
    ("-mjoe:hunter2@host", "-m***@host"),
    ("--maestro-urlmqtt://joe:hunter2@host", "***@host"),
    ("--x=joe:hunter2://hunter2@host", "--x=***@host"),
)

#: Arguments that are shown as they are.
OPEN = (
    ("mqtt://host:1883",),
    ("mqtt://joe@host:1883",),
    ("--maestro-url=mqtts://joe@[::1]:1883",),
    ("--config", "/etc/lab@home/exporter.conf"),
    ("--web.listen-address=[::1]:9120", "--interval=10s"),
    (),
)


class ProcessTitleTests(SynchronousTestCase):
    """The list of processes, with a fake of the library that changes it."""

    def setUp(self) -> None:
        self.titles: list[str] = []
        self.names: list[str] = []
        library = SimpleNamespace(
            setproctitle=self.titles.append,
            getthreadtitle=lambda: "maestro-exporte",
            setthreadtitle=self.names.append,
        )
        # In place: whoever runs the tests may have imported the real one.
        modules = patch.dict(sys.modules, {"setproctitle": library})
        modules.start()
        self.addCleanup(modules.stop)

    def run_with(self, *arguments: str) -> None:
        """Hide what is to be hidden of a command line."""
        self.patch(sys, "orig_argv", ["python", "maestro-exporter", *arguments])
        hide_passwords()

    def test_password(self) -> None:
        """It is replaced together with the user name; all else stays, and so does our name."""
        for argument, shown in SECRET:
            self.run_with("-m", argument, "--port=7")
            self.assertEqual(self.titles.pop(), f"python maestro-exporter -m {shown} --port=7")
            self.assertEqual(self.names.pop(), "maestro-exporte")

    def test_no_password(self) -> None:
        """Then nothing is touched, and the library is not even imported."""
        del sys.modules["setproctitle"]
        for arguments in OPEN:
            self.run_with(*arguments)
        self.assertEqual(self.titles, [])
        self.assertNotIn("setproctitle", sys.modules)
