"""The question behind a `?` in a URL: its parameters, what they may be, and a reply to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from maestro_exporter import values

#: Parameters by name, each with all its texts.
Query = Mapping[str, Sequence[str]]


class QueryError(ValueError):
    """A question cannot be answered; `str()` is one line: the parameter, and what is allowed."""

    def __init__(self, message: str) -> None:
        super().__init__(values.one_line(message))


class UnavailableError(Exception):
    """A question cannot be answered now; `str()` is one line that says why."""

    def __init__(self, message: str) -> None:
        super().__init__(values.one_line(message))


class Parameter(NamedTuple):
    """One thing that can be asked for.

    Attributes:
        name: as it stands in the URL.
        parse: text to value; raises ValueError saying what is allowed.
        default: the value where it is not given.
    """

    name: str
    parse: Callable[[str], Any]
    default: Any


class Reply(NamedTuple):
    """What is answered.

    Attributes:
        status: of HTTP.
        content_type: of the body.
        body: in pieces.
        compressed: whether that is one gzip member.
    """

    status: int
    content_type: str
    body: Sequence[bytes]
    compressed: bool = False


def answers(query: Query, parameters: Sequence[Parameter]) -> dict[str, Any]:
    """Give the value of each parameter.

    Raises:
        QueryError: a parameter is not known, is there twice, or is not as it should be.
    """
    known = {each.name: each for each in parameters}
    for name, texts in query.items():
        if name not in known:
            raise QueryError(
                f'"{values.shown(name)}" is no parameter; there are {", ".join(known)}'
            )
        if len(texts) != 1:
            raise QueryError(f"{name}: give it once")
    return {name: _value(each, query.get(name)) for name, each in known.items()}


def _value(parameter: Parameter, texts: Sequence[str] | None) -> Any:
    if texts is None:
        return parameter.default
    try:
        return parameter.parse(texts[0])
    except ValueError as error:
        raise QueryError(f'{parameter.name}: "{values.shown(texts[0])}": {error}') from None
