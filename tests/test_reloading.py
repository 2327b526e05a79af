"""Files that change, in a folder of the test; their times are set, not waited for."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from maestro_exporter.reloading import PERIOD, FileWatch


class FileWatchTests(SynchronousTestCase):
    """When changed files are taken over."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.one, self.two = self.folder / "one", self.folder / "two"
        self.files: Sequence[Path] = [self.one]
        self.clock = Clock()
        self.calls = 0
        self.when_called: Callable[[], object] = lambda: None
        self.time = 1_000_000_000
        self.write(self.one, "1")
        self.watch = FileWatch(lambda: list(self.files), self.called, self.clock)

    def called(self) -> None:
        self.calls += 1
        self.when_called()

    def write(self, path: Path, text: str) -> None:
        """Write a file, with a time of its own."""
        path.write_text(text)
        self.time += 1
        os.utime(path, ns=(self.time, self.time))

    def looks(self, number: int) -> int:
        """Let that many looks happen; tell how often files were taken over meanwhile."""
        before = self.calls
        self.clock.pump([PERIOD] * number)
        return self.calls - before

    def start(self) -> None:
        """Begin, and end with the test."""
        self.watch.startService()
        self.addCleanup(self.watch.stopService)

    def test_nothing_changes(self) -> None:
        """Nothing is called; the files count as known from the start."""
        self.start()
        self.assertEqual(self.looks(10), 0)

    def test_change_before_the_start(self) -> None:
        """What changes while it is being read for the first time is taken over."""
        self.write(self.one, "2")
        self.start()
        self.assertEqual(self.looks(2), 1)
        self.assertEqual(self.looks(10), 0)

    def test_file_that_is_named_by_another(self) -> None:
        """One that is only known once the first was read counts as known from the start."""
        self.write(self.two, "1")
        self.files = [self.one, self.two]
        self.start()
        self.assertEqual(self.looks(10), 0)

    def test_change(self) -> None:
        """A change is taken over once, when a second look found the same."""
        self.start()
        self.write(self.one, "2")
        self.assertEqual(self.looks(1), 0)
        self.assertEqual(self.looks(1), 1)
        self.assertEqual(self.looks(10), 0)

    def test_period(self) -> None:
        """Looks are a period apart."""
        self.start()
        self.write(self.one, "2")
        self.clock.pump([PERIOD * 0.9, PERIOD * 0.9])
        self.assertEqual(self.calls, 0)
        self.clock.advance(PERIOD * 0.2)
        self.assertEqual(self.calls, 1)

    def test_change_that_goes_on(self) -> None:
        """A file that is being written is not taken over."""
        self.start()
        for each in range(5):
            self.write(self.one, str(each))
            self.assertEqual(self.looks(1), 0)
        self.assertEqual(self.looks(1), 1)

    def test_change_that_is_taken_back(self) -> None:
        """A file that is again as it was is not taken over."""
        before = os.stat(self.one).st_mtime_ns
        self.start()
        self.write(self.one, "2")
        self.looks(1)
        self.one.write_text("1")
        os.utime(self.one, ns=(before, before))
        self.assertEqual(self.looks(3), 0)

    def test_what_is_a_change(self) -> None:
        """A change of size, of time, and of the file itself under its name is one."""
        self.start()
        at = os.stat(self.one).st_mtime_ns
        self.one.write_text("longer")
        os.utime(self.one, ns=(at, at))
        self.assertEqual(self.looks(2), 1)
        os.utime(self.one, ns=(at, at + 1))
        self.assertEqual(self.looks(2), 1)
        other = self.folder / "other"
        other.write_text("LONGER")
        os.utime(other, ns=(at, at + 1))
        other.replace(self.one)
        self.assertEqual(self.looks(2), 1)

    def test_link(self) -> None:
        """A link that leads elsewhere is a change, as Kubernetes replaces files."""
        self.write(self.two, "1")
        link = self.folder / "link"
        link.symlink_to(self.one)
        self.files = [link]
        self.start()
        link.unlink()
        link.symlink_to(self.two)
        self.assertEqual(self.looks(2), 1)

    def test_missing_file(self) -> None:
        """Also that a file goes, and that it comes back."""
        self.start()
        self.one.unlink()
        self.assertEqual(self.looks(2), 1)
        self.assertEqual(self.looks(5), 0)
        self.write(self.one, "2")
        self.assertEqual(self.looks(2), 1)

    def test_second_file(self) -> None:
        """All files are watched."""
        self.files = [self.one, self.two]
        self.start()
        self.write(self.two, "1")
        self.assertEqual(self.looks(2), 1)
        self.write(self.two, "2")
        self.assertEqual(self.looks(2), 1)

    def test_other_files(self) -> None:
        """Files that a reload adds are watched from then on; they are no change by themselves."""
        self.write(self.two, "1")
        self.start()

        def add() -> None:
            self.files = [self.one, self.two]

        self.when_called = add
        self.write(self.one, "2")
        self.assertEqual(self.looks(2), 1)
        self.assertEqual(self.looks(5), 0)
        self.write(self.two, "2")
        self.assertEqual(self.looks(2), 1)

    def test_change_during_a_reload(self) -> None:
        """A file that changes while it is read is read again."""
        self.start()

        def write_once() -> None:
            if self.calls == 1:
                self.write(self.one, "3")

        self.when_called = write_once
        self.write(self.one, "2")
        self.assertEqual(self.looks(2), 1)
        self.assertEqual(self.looks(5), 1)

    def test_reload(self) -> None:
        """Told to, it calls at once; what has changed is known then."""
        self.start()
        self.watch.reload()
        self.assertEqual(self.calls, 1)
        self.write(self.one, "2")
        self.watch.reload()
        self.assertEqual(self.calls, 2)
        self.assertEqual(self.looks(5), 0)

    def test_exception(self) -> None:
        """One that is raised is logged, and the looks go on; the same files are not tried again."""
        self.start()
        self.when_called = lambda: 1 // 0
        self.write(self.one, "2")
        self.assertEqual(self.looks(2), 1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.looks(5), 0)
        self.write(self.one, "3")
        self.assertEqual(self.looks(2), 1)
        self.watch.reload()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)

    def test_stop(self) -> None:
        """Nothing happens any more; to stop again is no error."""
        self.watch.startService()
        self.assertTrue(self.watch.running)
        self.watch.stopService()
        self.assertFalse(self.watch.running)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.watch.stopService()
