"""YAML to fields, each of which knows its line: what the format of `config` is made of.

A parser takes a node and its place, and raises `PlacedError`.  A field that is null, or a
text that is blank, counts as not given.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import yaml

from maestro_exporter import values

_MOST = 10_000  # names and values; more would take seconds to parse
_DEEPEST = 8  # nodes in nodes; the format needs 4


class PlacedError(Exception):
    """What follows the file's name in a `WebConfigError`."""


class Place(NamedTuple):
    """Where in the file something stands: a line from 1, and names joined by dots."""

    line: int
    field: str = ""

    def inside(self, name: str, line: int) -> Place:
        """Give the place of a field in this one; what looks like no name is not repeated."""
        if not re.fullmatch(r"[A-Za-z0-9_.-]{1,40}", name):
            return Place(line, self.field)
        return Place(line, f"{self.field}.{name}" if self.field else name)

    def says(self, reason: str, value: str | None = None) -> str:
        """Give what follows the file's name in an error or a warning."""
        shown = [] if value is None else [f'"{values.shown(value)}"']
        return ": ".join([f":{self.line}", *filter(None, [self.field]), *shown, reason])

    def error(self, reason: str, value: str | None = None) -> PlacedError:
        return PlacedError(self.says(reason, value))


Parser = Callable[[yaml.Node, Place], Any]


@dataclass(frozen=True, slots=True)
class Section:
    """Fields of the file, parsed.

    Attributes:
        place: of the section itself.
        places: of all fields that are named, those that count as not given too.
        given: their values.
    """

    place: Place
    places: dict[str, Place] = field(default_factory=dict)
    given: dict[str, Any] = field(default_factory=dict)

    def section(self, name: str) -> Section:
        """Give a section in this one, empty if it is not given."""
        found: Section = self.given.get(name) or Section(self.missing(name))
        return found

    def missing(self, name: str) -> Place:
        """Give the place to blame for a field that is not given."""
        return self.places.get(name) or self.place.inside(name, self.place.line)


class _Loader(yaml.SafeLoader):
    """Makes nodes of a text, but not of one that would grow or take long."""

    nodes = depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()
        place = Place(event.start_mark.line + 1)
        if event.anchor is not None or getattr(event, "tag", None) is not None:
            raise place.error("give no anchors, aliases or tags")
        self.nodes += 1
        self.depth += 1
        if self.nodes > _MOST or self.depth > _DEEPEST:
            raise place.error("nested too deep" if self.depth > _DEEPEST else "too long")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def compose(text: str) -> yaml.Node | None:
    """Give the text's one document, or None if there is nothing in it."""
    try:
        loader = _Loader(text)
    except yaml.reader.ReaderError as error:
        place = Place(text.count("\n", 0, error.position) + 1)
        raise place.error("give text without control characters") from None
    try:
        node = loader.get_node() if loader.check_node() else None
        if loader.check_node():
            raise Place(loader.peek_event().start_mark.line + 1).error("give one document")
    except yaml.MarkedYAMLError as error:
        raise _syntax(error) from None
    except (ValueError, OverflowError):  # by escapes and versions with too large a number
        raise Place(loader.line + 1).error("not YAML: a number is too large") from None
    return node


def _syntax(error: yaml.MarkedYAMLError) -> PlacedError:
    """Say what is wrong, without what stands in the file: that might be part of a secret."""
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark else 1
    reason = re.sub(r" '(?!<)[^']{2,}'", "", error.problem or "cannot be read")
    return Place(line).error(f"not YAML: {reason}")


def optional(node: yaml.Node, place: Place, parse: Parser) -> Any:
    """Give a value, or None where there is null."""
    return None if node.tag == "tag:yaml.org,2002:null" else parse(node, place)


def entries(node: yaml.Node, place: Place) -> Iterator[tuple[str, Place, yaml.Node]]:
    """Give name, place and value of each field; names are text, however they look."""
    if not isinstance(node, yaml.MappingNode):
        raise place.error("give a mapping")
    names: set[str] = set()
    for key, value in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise Place(line, place.field).error("give text before the colon")
        inner = place.inside(key.value, line)
        if key.value in names:
            raise inner.error("given twice")
        names.add(key.value)
        yield key.value, inner, value


# ----------------------------------------------------------------- parsers


def section_of(fields: Mapping[str, Parser]) -> Parser:
    """Give a parser of a mapping that has no other fields than these."""

    def parse(node: yaml.Node, place: Place) -> Section:
        section = Section(place)
        for name, inner, value in entries(node, place):
            if name not in fields:
                raise inner.error(f"no such field; there are {', '.join(fields)}")
            section.places[name] = inner
            found = optional(value, inner, fields[name])
            if found is not None:
                section.given[name] = found
        return section

    return parse


def list_of(parse: Parser) -> Parser:
    """Give a parser of lists; each item has its own line in an error, and the list's field."""

    def items(node: yaml.Node, place: Place) -> tuple[Any, ...]:
        if not isinstance(node, yaml.SequenceNode):
            raise place.error("give a list of text")
        found = []
        for item in node.value:
            inner = Place(item.start_mark.line + 1, place.field)
            value = optional(item, inner, parse)
            if value is None:
                raise inner.error("an item is blank")
            found.append(value)
        return tuple(found)

    return items


def text_of(node: yaml.Node, place: Place) -> str | None:
    """Parse a text; one without quotes may look like a number or a boolean."""
    if not isinstance(node, yaml.ScalarNode):
        raise place.error("give text")
    text: str = node.value
    return text if text.strip() else None


def checked(check: Callable[[str], object], wanted: str, *, repeat: bool = True) -> Parser:
    """Give a parser of texts that pass a check; an error repeats the text, or does not."""

    def parse(node: yaml.Node, place: Place) -> str | None:
        text = text_of(node, place)
        if text is not None and not check(text):
            raise place.error(wanted, text if repeat else None)
        return text

    return parse


def word(*words: str) -> Parser:
    """Give a parser of words of a closed set."""
    wanted = " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
    return checked(words.__contains__, f"give {wanted}")


def boolean(node: yaml.Node, place: Place) -> bool:
    """Parse true or false, which YAML 1.1 also spells yes, no, on and off."""
    if node.tag != "tag:yaml.org,2002:bool":
        text = node.value if isinstance(node, yaml.ScalarNode) else None
        raise place.error("give true or false", text)
    return str(node.value).lower() in ("true", "yes", "on")
