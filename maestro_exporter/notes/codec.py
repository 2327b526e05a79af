"""Payload bytes to notes and back, in all generations.

A payload is a plain concatenation of msgpack objects: no envelope, no version
number.  `decode` recognises the generation by the strings that follow the two
codes, then reads the fields that `layouts` gives for it.  The layouts were
taken from upstream's tags 1.2.7 to 1.5.5 and are held against 314 payloads
made by upstream's own serializers (`tests/wire/`).

The decoder takes what upstream's takes: any integer width that fits the
field's range, float32 for a double, bin for a string, invalid UTF-8 as U+FFFD,
objects after the note's last field (unless they make the header look like that
of a later generation).  It also takes what C peers and old Java peers really
send: see `Elapsed` and `Optional` in `fields`.
"""

from __future__ import annotations

from typing import Any

import msgpack

from maestro_exporter.notes.fields import MAX_PAYLOAD_BYTES, malformed
from maestro_exporter.notes.layouts import ENCODINGS, HEADERLESS, KNOWN_CODES, LAYOUTS
from maestro_exporter.notes.model import Generation, Note, NoteError, NoteType, Reason, Topic

#: Objects in one payload, those after the note included; the longest note has 19.
MAX_OBJECTS = 32

_V1_3, _V1_4, _V1_5 = Generation.V1_3, Generation.V1_4, Generation.V1_5

_NOTE_TYPES = tuple(NoteType)
# Codes that `_recognise_request` asks about.
_AGENT_SOURCE, _FLUSH, _DRAIN, _START_RECEIVER = 21, 6, 41, 0
_START_CODES = frozenset({0, 2})
_NEW_CODES = frozenset({50, 51, 60, 61})


class Decoder:
    """Decodes one payload after the other; not for several threads at once."""

    def __init__(self) -> None:
        self._unpacker = _new_unpacker()

    def decode(self, payload: bytes, topic: str = "") -> Note:
        """Give the note that a payload says.

        Args:
            payload: the MQTT message as it came.
            topic: where it came; decides between 1.4 and 1.5 where a request is the
                same bytes in both.  Without it such a request is taken as 1.5.

        Raises:
            NoteError: the payload is no note; never anything else, whatever the bytes.
        """
        return _read(self._unpack(payload), topic)

    def _unpack(self, payload: bytes) -> list[Any]:
        """Split a payload into its objects: whole, not nested, and bounded in number."""
        size = len(payload)
        if size > MAX_PAYLOAD_BYTES:
            raise NoteError(Reason.OVERSIZED, f"{size} bytes")
        unpacker = self._unpacker
        unpacker.feed(payload)
        end = unpacker.tell() + size
        objects: list[Any] = []
        try:
            while unpacker.tell() < end:
                if len(objects) == MAX_OBJECTS:
                    raise NoteError(Reason.OVERSIZED, f"more than {MAX_OBJECTS} objects")
                objects.append(unpacker.unpack())
        except Exception as error:
            # It would keep what is left of this payload and put it before the next one.
            self._unpacker = _new_unpacker()
            if isinstance(error, msgpack.OutOfData):
                raise malformed("it ends within an object") from None
            if isinstance(error, NoteError) or not isinstance(error, ValueError):
                raise
            # msgpack's FormatError and limits are ValueErrors.
            raise malformed(str(error) or "not msgpack") from None
        return objects


def decode(payload: bytes, topic: str = "") -> Note:
    """Give the note that a payload says; as a `Decoder`, which is quicker for many, gives it."""
    return Decoder().decode(payload, topic)


def encode(note: Note) -> bytes:
    """Give the payload that says a note in the note's own generation.

    Raises:
        ValueError: the generation has no such note, or a field does not fit the wire.
    """
    try:
        note_type, code, fields = ENCODINGS[type(note), note.generation]
    except KeyError:
        raise ValueError(f"{note.generation.value} has no {type(note).__name__}") from None
    objects: list[Any] = [int(note_type), code]
    for name, field in fields:
        field.write(getattr(note, name), objects)
    packer = msgpack.Packer(use_bin_type=True)
    return b"".join([packer.pack(each) for each in objects])


def _new_unpacker() -> Any:
    return msgpack.Unpacker(
        raw=False,
        unicode_errors="replace",
        max_buffer_size=MAX_PAYLOAD_BYTES,
        max_array_len=0,
        max_map_len=0,
        max_ext_len=0,
    )


def _read(objects: list[Any], topic: str) -> Note:
    """Give the note that some objects are."""
    if len(objects) < 2:
        raise malformed("fewer than two objects")
    note_type = _read_type(objects[0])
    code = _read_code(objects[1])
    if code not in KNOWN_CODES:
        raise NoteError(Reason.UNKNOWN_COMMAND, f"command {code}")
    generation = _recognise(note_type, code, objects, topic)
    if generation is None and (note_type, code) in HEADERLESS:
        return HEADERLESS[note_type, code](generation=_V1_3, sender=None)
    if generation is None:
        raise malformed("the header is of no generation")
    layout = LAYOUTS.get((note_type, code, generation))
    if layout is None:
        raise malformed(f"command {code} is no {note_type.name.lower()} of {generation.value}")
    rest = iter(objects[2:])
    # As a frozen dataclass's own __init__ does it, in half of the time.
    note: Note = object.__new__(layout.kind)
    for set_default, value in layout.defaults:
        set_default(note, value)
    try:
        for set_field, read in layout.readers:
            set_field(note, read(rest))
    except StopIteration:
        raise malformed("it ends before its last field") from None
    return note


def _read_type(value: object) -> NoteType:
    if type(value) is not int or not 0 <= value <= NoteType.DATA:
        raise malformed("the first object is no note type")
    return _NOTE_TYPES[value]


def _read_code(value: object) -> int:
    if type(value) is not int:
        raise malformed("the second object is no command")
    # Upstream looks commands up by their low 32 bits.
    return value & 0xFFFFFFFF


# ------------------------------------------------------- which generation


def _recognise(note_type: NoteType, code: int, objects: list[Any], topic: str) -> Generation | None:
    """Tell the generation by the number of strings after the codes, or None if it is none's."""
    strings = 0
    for each in objects[2:]:
        if type(each) is not str and type(each) is not bytes:
            break
        strings += 1
    if note_type is NoteType.REQUEST:
        return _recognise_request(code, strings, len(objects) - 2, topic)
    if note_type is NoteType.DATA:
        return _V1_5
    if strings == 5 and len(objects) > 7 and type(objects[7]) is int:
        return _V1_5
    if strings >= 4:
        return _V1_4
    if strings >= 2:
        return _V1_3
    return None


def _recognise_request(code: int, strings: int, objects: int, topic: str) -> Generation:
    # 1.3 has no ids, so strings that stand there are AGENT_SOURCE's url and branch.
    if strings < 2 or (code == _AGENT_SOURCE and strings == 2):
        return _V1_3
    has_body = objects > 2
    if code == _FLUSH or (code == _START_RECEIVER and not has_body):
        return _V1_4
    if code in _NEW_CODES or (code in _START_CODES and has_body):
        return _V1_5
    if code == _DRAIN:
        return _V1_5 if strings >= 6 else _V1_4
    return _V1_4 if topic.startswith(Topic.DAEMONS) else _V1_5
