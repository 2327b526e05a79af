"""Exporters for which names are resolved as a test wants it."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

#: The broker's name there; no server of the world knows it.
NAME = "broker.maestro.test"

_SERVER = "127.0.0.77"  # of names; nobody listens there
_DNS_PORT = 53
_MOUNT = 'mount --bind "$0" /etc/resolv.conf && mount --bind "$1" /etc/hosts && shift && exec "$@"'
# Where there are no namespaces: the same by Python's own means, up to the system's resolver.
_SITECUSTOMIZE = f"""
import os, socket, time
real = socket.getaddrinfo
def getaddrinfo(host, *arguments, **options):
    if host != {NAME!r}:
        return real(host, *arguments, **options)
    with open(os.environ["TEST_NAMES"]) as names:
        seconds = names.read()
    if seconds:
        time.sleep(float(seconds))
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    return real("127.0.0.1", *arguments, **options)
socket.getaddrinfo = getaddrinfo
"""


class Names:
    """What a program sees when it asks for `NAME`: nothing, until `mend_in`.

    The program is started in a mount namespace in which /etc/resolv.conf and /etc/hosts are
    files of the test.  Where the platform forbids that, Python's `socket.getaddrinfo` is replaced
    in it.

    Attributes:
        prefix: what to put before the command.
        env: what to add to its environment.
    """

    def __init__(self, folder: Path, *, silent: bool) -> None:
        hosts = folder / "hosts"
        self.prefix: Sequence[str] = ()
        self.env: dict[str, str] = {}
        flags = _namespace()
        if flags and (not silent or _may_be_silent()):
            resolv = folder / "resolv.conf"
            resolv.write_text(f"nameserver {_SERVER if silent else '127.0.0.78'}\n")
            hosts.write_text("127.0.0.1 localhost\n")
            self.prefix = ["unshare", *flags, "sh", "-c", _MOUNT, str(resolv), str(hosts)]
        else:
            hosts.write_text("10" if silent else "0")
            (folder / "sitecustomize.py").write_text(_SITECUSTOMIZE)
            self.env = {"PYTHONPATH": str(folder), "TEST_NAMES": str(hosts)}

    @staticmethod
    def mend_in(folder: Path) -> None:
        """Let the name be that of 127.0.0.1."""
        # The very file that is mounted.
        real = (folder / "resolv.conf").exists()
        (folder / "hosts").write_text(f"127.0.0.1 localhost {NAME}\n" if real else "")


@contextmanager
def silent_name_server() -> Iterator[None]:
    """Have a server of names that takes all questions and answers none, where that is allowed."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        with suppress(OSError):  # not allowed, or another test has one
            server.bind((_SERVER, _DNS_PORT))
        yield


def _may_be_silent() -> bool:
    """Tell whether a test may have that port; it is taken where the server is there already."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((_SERVER, _DNS_PORT))
        except PermissionError:
            return False
        except OSError:
            pass
    return True


@cache
def _namespace() -> Sequence[str]:
    """Give the options of `unshare` with which names can be told to programs; none if none can."""
    flags = ("-m",) if os.geteuid() == 0 else ("-r", "-m")
    with tempfile.TemporaryDirectory() as folder:
        resolv, hosts = Path(folder, "resolv.conf"), Path(folder, "hosts")
        resolv.write_text("nameserver 127.0.0.78\n")
        hosts.write_text(f"127.0.0.1 {NAME}\n")
        command = ["unshare", *flags, "sh", "-c", _MOUNT, str(resolv), str(hosts)]
        with suppress(OSError, subprocess.TimeoutExpired):
            answer = subprocess.run(
                [*command, "getent", "hosts", NAME], capture_output=True, timeout=60, check=False
            )
            if answer.stdout.split()[:1] == [b"127.0.0.1"]:
                return flags
    return ()
