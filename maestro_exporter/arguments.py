"""What the subcommands' command lines share: argparse, with errors of one line."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NoReturn, TypeVar

from maestro_exporter import values

T = TypeVar("T")


class OneLineParser(argparse.ArgumentParser):
    """Ends the process with status 2 and one line that says what is wrong."""

    def error(self, message: str) -> NoReturn:
        """Write the line and exit."""
        line = values.one_line(" ".join(message.splitlines()))
        self.exit(values.USAGE_STATUS, f"{self.prog}: {line}; see {self.prog} --help\n")


def argument(parse: Callable[[str], T]) -> Callable[[str], T]:
    """Give a parser of values as argparse wants it: what is allowed is in its error."""

    def parse_argument(text: str) -> T:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f'"{values.shown(text)}": {error}') from None

    return parse_argument
