"""What ends the exporter: SIGTERM and SIGINT, of which the first counts."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from typing import Any


def end_at_signals() -> None:
    """Let SIGTERM and SIGINT end the process at once, until it has handlers of its own for them.

    Nothing has begun by then that must be ended in order.  An exception from a handler would not
    do: what is just being imported may turn it into an error of its own.
    """
    _handle(lambda *_: os._exit(0))


def stop_at_signals(reactor: Any) -> None:
    """Let SIGTERM and SIGINT stop the reactor once it runs, which is an ordinary end.

    Twisted's own handlers show a traceback at a second signal; and while Python ends, they are
    gone, so that it would kill the process.  twistd would end by SIGINT instead of with a status.
    """
    # Not before `end_at_signals`, since it takes a while.
    from twisted.internet.error import ReactorNotRunning
    from twisted.logger import Logger

    log = Logger()
    stopping = False

    def stop(number: int, _frame: object) -> None:
        nonlocal stopping
        if not stopping:
            stopping = True
            reactor.callFromThread(lambda: begin(signal.Signals(number).name))

    def begin(name: str) -> None:
        log.info("Received {name}, shutting down", name=name)
        with contextlib.suppress(ReactorNotRunning):  # it has stopped for another reason
            reactor.stop()

    def ignore() -> None:
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, signal.SIG_IGN)

    # Once the reactor runs: it puts its own handlers in place when it begins to.
    reactor.callLater(0, _handle, stop)
    reactor.addSystemEventTrigger("after", "shutdown", ignore)


def _handle(handler: Callable[..., None]) -> None:
    signal.signal(signal.SIGTERM, handler)
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:  # as in the background of a shell
        signal.signal(signal.SIGINT, handler)
