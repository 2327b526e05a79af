"""`maestro-exporter once`: the metrics as they are now, for standard output or a file."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from maestro_exporter import values
from maestro_exporter.arguments import argument
from maestro_exporter.commands.survey import (
    INTERRUPTED_STATUS,
    NO_BROKER_STATUS,
    Survey,
    SurveyParser,
    write,
)
from maestro_exporter.exposition import encode
from maestro_exporter.metrics import cluster_page, exporter_page

_READABLE = 0o644  # by node_exporter, which is another user


def main(arguments: Sequence[str]) -> int:
    """Print; give the exit status: 0 done, 1 cannot be written, 2 bad usage, 3 no broker."""
    parser = _parser()
    given = parser.parse_args(arguments)
    settings = parser.settings(given, os.environ)

    from twisted.internet import reactor

    survey = Survey(settings, given.timeout, reactor)
    collector = survey.collector

    def conclude() -> tuple[bytes, str]:
        # Nothing of this process: node_exporter says that of its own, by the same names.
        pages = (cluster_page(collector.cluster.snapshot()), exporter_page(collector.state()))
        trouble = "" if collector.bridge.status.up else collector.unready()
        return b"".join(text for page in pages for text in encode(page)), trouble

    result = survey.run(conclude)
    if result is None:
        return INTERRUPTED_STATUS
    page, trouble = result
    try:
        if given.output is None:
            write(page)
        else:
            with _replacing(given.output) as stream:
                stream.write(page)
    except OSError as error:
        place = given.output or "standard output"
        sys.stderr.write(f"{parser.prog}: {place}: {error.strerror}\n")
        return values.FAILED_STATUS
    if trouble:
        sys.stderr.write(f"{parser.prog}: {values.printable(trouble)}\n")
        return NO_BROKER_STATUS
    return 0


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    """Write a file that takes the place of another only when it is whole.

    Its name ends otherwise until then: node_exporter reads all that ends in `.prom`.
    """
    handle, name = tempfile.mkstemp(prefix=f"{path.name}.", suffix=".new", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
            stream.flush()
            os.fchmod(stream.fileno(), _READABLE)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _parser() -> SurveyParser:
    parser = SurveyParser(
        "once",
        "Asks the peers of a Maestro cluster for a few seconds, prints the metrics that the "
        "exporter would show, and ends: with 0; with 3 if there is no broker, after printing "
        "maestro_up 0; with 1 if the metrics cannot be written; with 2 for bad usage.",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=argument(values.file),
        metavar="FILE",
        help="replace this file, once all is there, instead of printing; for the folder of "
        "node_exporter's textfile collector let it end in .prom",
    )
    parser.add_common_arguments()
    return parser
