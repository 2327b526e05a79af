"""Keeps a password on the command line out of the lists of processes, which everybody can read."""

from __future__ import annotations

import re
import sys

from maestro_exporter import start

#: What stands before a user name and password in an argument, as `--maestro-url=mqtt://`.
_BEFORE = re.compile(r"(?:--[^=:@]*=|-[a-z])?(?:[a-z+]+://)?", re.IGNORECASE)


def hide_passwords() -> None:
    """Show the command line of this process without user names that have passwords, and those."""
    arguments = [_without_password(argument) for argument in sys.orig_argv]
    if arguments == sys.orig_argv:
        return
    import setproctitle  # for those few who need it

    start.environment()  # which the title overwrites
    name = setproctitle.getthreadtitle()
    setproctitle.setproctitle(" ".join(arguments))
    setproctitle.setthreadtitle(name)  # by which killall finds us; the line before has changed it


def _without_password(argument: str) -> str:
    before = _BEFORE.match(argument)
    start = before.end() if before else 0
    # A password may have an '@' in it, a host may not.
    user, at, host = argument[start:].rpartition("@")
    return f"{argument[:start]}***@{host}" if at and ":" in user else argument
