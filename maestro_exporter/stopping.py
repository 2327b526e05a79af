"""What ends the exporter: SIGTERM and SIGINT, of which the first counts."""

from __future__ import annotations

import contextlib
import signal
from typing import Any

from twisted.internet.error import ReactorNotRunning
from twisted.logger import Logger

_log = Logger()


def stop_at_signals(reactor: Any) -> None:
    """Let SIGTERM and SIGINT stop the reactor once it runs, which is an ordinary end.

    Twisted's own handlers show a traceback at a second signal; and while Python ends, they are
    gone, so that it would kill the process.  twistd would end by SIGINT instead of with a status.
    """
    stopping = False

    def stop(number: int, _frame: object) -> None:
        nonlocal stopping
        if not stopping:
            stopping = True
            reactor.callFromThread(lambda: begin(signal.Signals(number).name))

    def begin(name: str) -> None:
        _log.info("Received {name}, shutting down", name=name)
        with contextlib.suppress(ReactorNotRunning):  # it has stopped for another reason
            reactor.stop()

    def ignore() -> None:
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, signal.SIG_IGN)

    def take_over() -> None:
        signal.signal(signal.SIGTERM, stop)
        if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:  # as in the background of a shell
            signal.signal(signal.SIGINT, stop)

    # Once the reactor runs: it puts its own handlers in place when it begins to.
    reactor.callLater(0, take_over)
    reactor.addSystemEventTrigger("after", "shutdown", ignore)
