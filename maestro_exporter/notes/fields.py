"""How one field of a note stands on the wire: the msgpack objects it is made of."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from itertools import chain, islice
from typing import Any, Protocol

from maestro_exporter.notes.model import ErrorCode, NoteError, Reason, Role

#: Larger payloads are not looked at.  The largest notes on the topics that a
#: monitor hears are failures that quote a stack trace: some kilobytes.
MAX_PAYLOAD_BYTES = 1024 * 1024
#: Characters of a string that identifies something; a host name has at most 253.
MAX_WORD_LENGTH = 1024
#: Records that are remembered at a time, and characters in one of them.
MOST_REMEMBERED = 20_000
MOST_REMEMBERED_LENGTH = 512


def malformed(detail: str) -> NoteError:
    """Give the error for bytes that no decoder could take for a note."""
    return NoteError(Reason.MALFORMED, detail)


class Field(Protocol):
    """How one field stands on the wire.

    `read` takes its objects from the iterator; it raises StopIteration when they
    are missing and NoteError when they are of the wrong kind or out of range.
    """

    def read(self, objects: Iterator[Any]) -> Any: ...

    def write(self, value: Any, objects: list[Any]) -> None: ...


Fields = tuple[tuple[str, Field], ...]


class Int:
    """A signed integer of so many bits, in whatever width it was packed."""

    def __init__(self, bits: int) -> None:
        self._low, self._high = -(1 << bits - 1), (1 << bits - 1) - 1

    def read(self, objects: Iterator[Any]) -> int:
        value = next(objects)
        if type(value) is not int:
            raise malformed(f"{type(value).__name__} where an integer should be")
        if not self._low <= value <= self._high:
            raise malformed("an integer is out of range")
        return value

    def write(self, value: int, objects: list[Any]) -> None:
        if not isinstance(value, int) or not self._low <= value <= self._high:
            raise ValueError(f"{value!r} is no integer of this field")
        objects.append(int(value))


class Elapsed(Int):
    """PING's time in ms.  C peers write it unsigned, so that a negative one is 2^63 or more."""

    def __init__(self) -> None:
        super().__init__(64)

    def read(self, objects: Iterator[Any]) -> int:
        value = next(objects)
        if type(value) is int and value > self._high:
            value -= 1 << 64
        return super().read(iter((value,)))


class Text:
    """A string; bin is taken for one too, as upstream does."""

    def __init__(self, longest: int) -> None:
        self._longest = longest

    def read(self, objects: Iterator[Any]) -> str:
        value = next(objects)
        if type(value) is bytes:
            value = value.decode("utf-8", "replace")
        if not isinstance(value, str):
            raise malformed(f"{type(value).__name__} where a string should be")
        if len(value) > self._longest:
            raise NoteError(Reason.OVERSIZED, f"a string of {len(value)} characters")
        return value

    def write(self, value: str, objects: list[Any]) -> None:
        if not isinstance(value, str) or len(value) > self._longest:
            raise ValueError(f"{value!r:.100} is no string of this field")
        objects.append(value)


class Scalar:
    """A value of one type and no other; where a double should be, upstream refuses integers."""

    def __init__(self, kind: type) -> None:
        self._kind = kind

    def read(self, objects: Iterator[Any]) -> Any:
        value = next(objects)
        if type(value) is not self._kind:
            raise malformed(f"{type(value).__name__} where {self._kind.__name__} should be")
        return value

    def write(self, value: Any, objects: list[Any]) -> None:
        if self._kind is float and type(value) is int:
            value = float(value)  # an int is a float to Python's types, not to the wire
        if type(value) is not self._kind:
            raise ValueError(f"{value!r:.100} is no {self._kind.__name__}")
        objects.append(value)


class Code:
    """An integer that stands for something; unknown ones stand for the default."""

    def __init__(self, default: IntEnum) -> None:
        self._default = default
        self._known = {int(each): each for each in type(default)}

    def read(self, objects: Iterator[Any]) -> IntEnum:
        return self._known.get(INT32.read(objects), self._default)

    def write(self, value: IntEnum, objects: list[Any]) -> None:
        INT32.write(value, objects)


class Record:
    """Several objects that make one value."""

    def __init__(self, kind: type, fields: Fields) -> None:
        self._kind, self._fields = kind, fields

    def read(self, objects: Iterator[Any]) -> Any:
        return self._kind(**{name: field.read(objects) for name, field in self._fields})

    def write(self, value: Any, objects: list[Any]) -> None:
        if value is None:
            raise ValueError(f"a {self._kind.__name__} is needed")
        for name, field in self._fields:
            field.write(getattr(value, name), objects)


class Remembered:
    """A record that comes again and again, such as who speaks: made and checked once.

    Args:
        record: it.
        types: of the objects that it nearly always comes in; else it is not remembered.
    """

    def __init__(self, record: Record, *types: type) -> None:
        self._record, self._types = record, types
        self._known: dict[tuple[Any, ...], Any] = {}

    def read(self, objects: Iterator[Any]) -> Any:
        taken = tuple(islice(objects, len(self._types)))
        if tuple(map(type, taken)) != self._types:  # also since 1, 1.0 and True are one key
            return self._record.read(iter(taken))
        return self._known.get(taken) or self._remember(taken)

    def write(self, value: Any, objects: list[Any]) -> None:
        self._record.write(value, objects)

    def _remember(self, taken: tuple[Any, ...]) -> Any:
        value = self._record.read(iter(taken))
        if sum(len(each) for each in taken if type(each) is str) <= MOST_REMEMBERED_LENGTH:
            if len(self._known) >= MOST_REMEMBERED:
                self._known.clear()
            self._known[taken] = value
        return value


class Optional:
    """Last fields that some releases, or some notes, leave out: None then."""

    def __init__(self, field: Field) -> None:
        self._field = field

    def read(self, objects: Iterator[Any]) -> Any:
        for first in objects:
            return self._field.read(chain((first,), objects))
        return None

    def write(self, value: Any, objects: list[Any]) -> None:
        if value is not None:
            self._field.write(value, objects)


class Flagged:
    """A boolean, and a value behind it only if that is true."""

    def __init__(self, field: Field) -> None:
        self._field = field

    def read(self, objects: Iterator[Any]) -> Any:
        return self._field.read(objects) if BOOL.read(objects) else None

    def write(self, value: Any, objects: list[Any]) -> None:
        objects.append(value is not None)
        if value is not None:
            self._field.write(value, objects)


INT16, INT32, INT64 = Int(16), Int(32), Int(64)
ELAPSED = Elapsed()
WORD = Text(MAX_WORD_LENGTH)
TEXT = Text(MAX_PAYLOAD_BYTES)
DOUBLE, BOOL, BINARY = Scalar(float), Scalar(bool), Scalar(bytes)
ROLE, ERROR_CODE = Code(Role.OTHER), Code(ErrorCode.UNSPECIFIED)
