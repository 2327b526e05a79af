"""What must be true of any input.  Whatever is not raises; nothing here knows a fuzzer."""

from __future__ import annotations

import json
import types
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from functools import cache
from typing import Any, NoReturn, Union, get_args, get_origin, get_type_hints

import msgpack
from twisted.logger import ILogObserver, LogEvent, Logger, LogLevel, formatEvent
from zope.interface import implementer

from maestro_exporter.cluster import Cluster
from maestro_exporter.deliveries import Delivery
from maestro_exporter.exposition import Encoder, encode
from maestro_exporter.ingest import Ingest
from maestro_exporter.metrics import cluster_page, exporter_page
from maestro_exporter.notes import (
    COMMANDS,
    MAX_PAYLOAD_BYTES,
    MAX_WORD_LENGTH,
    Decoder,
    Generation,
    Note,
    NoteError,
    Reason,
    Reply,
    Topic,
    decode,
)
from maestro_exporter.notes import encode as encode_note
from maestro_exporter.snapshot import Moment
from maestro_exporter.status import status
from tests.fuzz.mutations import change_objects
from tests.samples import exporter_state
from tests.servers import Samples, parse_samples
from tests.wire_vectors import CODES, find_vector, load_vectors

# ------------------------------------------------------------------ one payload

#: Where a payload can come, by the low three bits of an input's first byte.
PLACES = (
    Topic.RESPONSES,
    Topic.NOTIFICATIONS,
    Topic.PEERS,
    Topic.DAEMONS,
    Topic.WORKERS,
    f"{Topic.DAEMONS}/sender",
    "/mpt/logs",
    "",
)
#: Objects that are put behind a payload, by its high five bits: so that an input of few bytes
#: can be a payload of many.  Sizes around the limits, and those of msgpack's formats.
SIZES = (31, 32, 255, 256, MAX_WORD_LENGTH, MAX_WORD_LENGTH + 1, 65535, 65536)
LARGE = MAX_PAYLOAD_BYTES - 64
TAILS: tuple[bytes, ...] = (
    b"",
    *(msgpack.packb("x" * size) for size in SIZES),
    *(msgpack.packb(b"\xff" * size) for size in SIZES),
    msgpack.packb("\n" * 200),
    msgpack.packb("x" * LARGE),
    msgpack.packb(b"\xff" * LARGE),
    b"\xdb" + LARGE.to_bytes(4, "big") + b"\xed\xa0\x80" * (LARGE // 3) + b"x" * (LARGE % 3),
    bytes(MAX_PAYLOAD_BYTES),
)
#: Characters that an error may have: the longest now has 47.
MAX_ERROR_LENGTH = 99

Outcome = Note | tuple[Reason, str]

#: A payload that is decoded behind each other one.
_PROBE = find_vector(Generation.V1_5, "stats_busy_sender").payload
_PROBE_SAYS = repr(decode(_PROBE))
#: Decodes one input after the other.
_kept = Decoder()


def split_input(data: bytes) -> tuple[str, bytes]:
    """Give the topic and the payload that an input stands for."""
    first = data[0] if data else 0
    return PLACES[first & 7], data[1:] + TAILS[(first >> 3) % len(TAILS)]


def join_input(topic: str, payload: bytes) -> bytes:
    """Give the input that stands for a topic and a payload."""
    return bytes([PLACES.index(topic)]) + payload


def check_payload(data: bytes) -> Outcome:
    """Decode what an input stands for, and hold the outcome against all that must be true."""
    topic, payload = split_input(data)
    decoder = Decoder()
    outcome = outcome_of(decoder, payload, topic)
    said = repr(outcome)
    # A decoder must not keep anything of a payload: of this one, or of any before.
    assert repr(outcome_of(decoder, _PROBE, "")) == _PROBE_SAYS, "it kept a tail"
    assert repr(outcome_of(decoder, payload, topic)) == said, "another outcome the second time"
    assert repr(outcome_of(_kept, payload, topic)) == said, "another outcome after other payloads"
    assert repr(outcome_of(_kept, _PROBE, "")) == _PROBE_SAYS, "a tail was kept"
    if isinstance(outcome, Note):
        check_note(outcome, payload)
        check_round_trip(outcome, topic)
    return outcome


def outcome_of(decoder: Decoder, payload: bytes, topic: str) -> Outcome:
    """Give the note, or the reason and the text of the error; anything else comes through."""
    try:
        return decoder.decode(payload, topic)
    except NoteError as error:
        text = str(error)
        assert type(error.reason) is Reason, error.reason
        assert 0 < len(text) <= MAX_ERROR_LENGTH, f"an error of {len(text)} characters"
        assert text.isprintable(), f"an error of several lines: {text!r}"
        return error.reason, text


def check_note(note: Note, payload: bytes) -> None:
    """The fields hold what their annotations say, and the sender is the one in the payload."""
    assert type(note) in CODES, type(note)
    assert note.command in COMMANDS, note.command
    _check_fields(note)
    if not isinstance(note, Reply) or note.sender is None:
        return
    # Senders are remembered from one note to the next; here each is read anew.
    objects = msgpack.Unpacker(raw=False, unicode_errors="replace", max_buffer_size=2**31 - 1)
    objects.feed(payload)
    values = list(objects)
    sender = note.sender
    if note.generation is Generation.V1_5:
        role = values.pop(7)
        assert sender.role == (role if role in range(7) else 0), sender
        wanted = [sender.id, sender.member, sender.group, sender.name, sender.host]
        said = values[4:9]
    else:
        wanted = [sender.id, sender.name]
        said = values[2:4] if note.generation is Generation.V1_3 else values[4:6]
    assert wanted == [_as_text(each) for each in said], (wanted, said)
    assert max(map(len, wanted)) <= MAX_WORD_LENGTH, sender


def check_round_trip(note: Note, topic: str) -> None:
    """What is said again is heard again."""
    if isinstance(note, Reply) and note.sender is None:
        return  # what nobody says cannot be said again
    packed = encode_note(note)
    if len(packed) > MAX_PAYLOAD_BYTES:
        return  # one byte that is no UTF-8 has become three
    again = decode(packed, topic)
    # As texts, so that NaN is itself, and 0.0 is not -0.0.
    assert repr(again) == repr(note), f"{note!r:.300} came back as {again!r:.300}"
    assert encode_note(again) == packed, "the second time in other bytes"


def _as_text(value: object) -> object:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _check_fields(value: Any) -> None:
    kind: object = type(value)
    kinds = _kinds(kind)
    for each in fields(value):
        member = getattr(value, each.name)
        assert type(member) in kinds[each.name], f"{type(value).__name__}.{each.name}: {member!r}"
        if is_dataclass(member):
            _check_fields(member)
        elif isinstance(member, str):
            member.encode()  # it may become a label, which has to be UTF-8
            assert len(member) <= MAX_PAYLOAD_BYTES, each.name
        elif type(member) is int:
            assert -(2**63) <= member < 2**63, member


@cache
def _kinds(kind: Any) -> dict[str, tuple[object, ...]]:
    """Give the types that each field of a dataclass may have."""
    return {
        name: get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
        for name, hint in get_type_hints(kind).items()
    }


# -------------------------------------------------------------------- a history

#: Few, so that short histories come to the limits.
MAX_PEERS = 6
EXPIRY, FORGET = 30.0, 90.0
PAUSES = (0.0, 0.001, 0.25, 5.0, 10.0, 30.0, 60.0, 90.0)
STEP = 4  # bytes
#: Steps of one history; what is left of a longer input is not looked at.
MOST_STEPS = 120
#: Before the one at its end; they take most of the time.
MOST_SCRAPES = 3
#: Characters of a line about what is no note.
MAX_LINE_LENGTH = 400

_REPLIES = tuple(vector for vector in load_vectors() if vector.note["type_code"] != 0)


class _Strict(Cluster):
    """A cluster whose defects Ingest does not get to swallow."""

    def __init__(self) -> None:
        super().__init__(expiry=EXPIRY, forget=FORGET, max_peers=MAX_PEERS)
        self.defect: Exception | None = None

    def apply(self, note: Note, at: Moment) -> None:
        try:
            super().apply(note, at)
        except Exception as error:
            self.defect = self.defect or error
            raise


@implementer(ILogObserver)
class _Lines:
    """Collects what is logged."""

    def __init__(self, events: list[LogEvent]) -> None:
        self._events = events

    def __call__(self, event: LogEvent) -> None:
        self._events.append(event)


class History:
    """A cluster to which an input happens, four bytes for each step.

    The first byte says what happens, the next two to whom or how much, the last what exactly.
    """

    def __init__(self) -> None:
        self.cluster = _Strict()
        self.ingest = Ingest(self.cluster, lambda: Moment(self.now, self.now + self.wall))
        self.logged: list[LogEvent] = []
        self.ingest.log = Logger(observer=_Lines(self.logged))
        self.now, self.wall = 1000.0, 1_700_000_000.0
        self.asked: list[str] = []
        self.waiting: list[Delivery] = []
        self.delivered = 0
        self.scrapes = 0
        self.encoder = Encoder()
        self.before: Samples = {}

    def play(self, data: bytes) -> None:
        """Let all steps of an input happen, and look at the pages at the end."""
        at = steps = 0
        while at < len(data) and steps < MOST_STEPS:
            what, who, high, low = data[at : at + STEP].ljust(STEP, b"\0")
            at, steps = at + STEP, steps + 1
            if what % 16 == 15:  # what follows is a payload
                self.bring(data[at : at + high], PLACES[low % len(PLACES)])
                at += high
            else:
                self.STEPS[what % 16](self, who, high, low)
        self.look()

    # ------------------------------------------------------------- what happens

    def hear(self, who: int, high: int, low: int) -> None:
        """A peer says what upstream's vector says, in answer to one of the last rounds."""
        self.bring(self._said(high << 8 | low, who), Topic.RESPONSES)

    def hear_changed(self, who: int, high: int, low: int) -> None:
        """The same with some objects changed; the generation only is chosen, and how."""
        payload = self._said(high * 7, who)
        self.bring(change_objects(payload, low, (payload,)), Topic.RESPONSES)

    def hear_again(self, who: int, high: int, low: int) -> None:
        """What was delivered before is delivered again; perhaps as the broker kept it."""
        if self.waiting:
            again = self.waiting[who % len(self.waiting)]
            self.waiting.append(again._replace(arrived=self.now, retained=high % 4 == 3))

    def ask(self, who: int, high: int, low: int) -> None:
        self.take_in()
        self.asked.insert(0, f"round {len(self.asked)}")
        self.cluster.begin_round(self.asked[0], tuple(Generation)[who % 3], self.moment())

    def wait(self, who: int, high: int, low: int) -> None:
        self.now += PAUSES[who % len(PAUSES)]
        if high % 4 != 3:
            self.take_in()
            self.cluster.expire(self.moment())

    def change_link(self, who: int, high: int, low: int) -> None:
        self.take_in()
        self.cluster.link_changed(self.moment(), up=bool(who % 2))

    def set_the_wall_clock(self, who: int, high: int, low: int) -> None:
        self.wall += (-3600.0, 3600.0, -1e9, 1e9)[who % 4]

    def scrape(self, who: int, high: int, low: int) -> None:
        if self.scrapes < MOST_SCRAPES:
            self.scrapes += 1
            self.look()

    STEPS: tuple[Callable[[History, int, int, int], None], ...] = (
        *[hear] * 6,
        *[hear_changed] * 2,
        hear_again,
        *[ask] * 2,
        *[wait] * 2,
        change_link,
        scrape,
    )

    def bring(self, payload: bytes, topic: str) -> None:
        self.waiting.append(Delivery(topic, payload, retained=False, arrived=self.now))

    def moment(self) -> Moment:
        return Moment(self.now, self.now + self.wall)

    def _said(self, which: int, who: int) -> bytes:
        back = who >> 4
        correlation = self.asked[back] if back < len(self.asked) else f"theirs {back}"
        return _said_by(which % len(_REPLIES), who & 15, correlation)

    # -------------------------------------------------------------- what must be true

    def take_in(self) -> None:
        """Let the batch that has come be taken in: each delivery counts once, none is lost."""
        self.delivered += len(self.waiting)
        self.ingest.receive(self.waiting)
        self.waiting = []
        if self.cluster.defect is not None:
            raise self.cluster.defect
        counted = self.ingest.received.total() + self.ingest.rejected.total()
        assert counted == self.delivered, f"{self.delivered} deliveries, {counted} counted"
        for event in self.logged:
            line = formatEvent(event)
            assert event["log_level"] is LogLevel.warn, f"a note was lost: {event}"
            assert len(line) <= MAX_LINE_LENGTH, f"{len(line)} characters: {line:.300}"
            assert line.isprintable(), f"several lines: {line!r}"
        self.logged.clear()

    def look(self) -> None:
        """Read the pages: valid, bounded, and no counter falls."""
        self.take_in()
        snapshot = self.cluster.snapshot()
        known = [process for series in snapshot.series for process in series.processes]
        assert len(known) <= MAX_PEERS, f"{len(known)} processes"
        page = b"".join(self.encoder.encode(cluster_page(snapshot)))
        assert page == b"".join(encode(cluster_page(snapshot))), "a page with something of another"
        state = exporter_state(
            notes_received=dict(self.ingest.received),
            notes_sent={},
            notes_rejected=dict(self.ingest.rejected),
            max_peers=MAX_PEERS,
        )
        page += b"".join(encode(exporter_page(state)))
        samples = parse_samples(page.decode())
        growing = _growing()
        for (name, labels), value in self.before.items():
            assert name not in growing or samples[name, labels] >= value, f"{name} fell"
        self.before = samples
        json.loads(status(snapshot, state, self.moment()), parse_constant=_refuse)


def check_history(data: bytes) -> None:
    """Let an input happen to a cluster, and hold its pages against all that must be true."""
    History().play(data)


@cache
def _said_by(which: int, who: int, correlation: str) -> bytes:
    """Give a vector as another peer says it, to another request; 0 leaves the peer as it is."""
    note = decode(_REPLIES[which].payload)
    assert isinstance(note, Reply)
    assert note.sender is not None
    sender = note.sender
    if who:
        # Four have one name; one has no id.
        name = sender.name.partition("@")[0]
        at = "" if note.generation is Generation.V1_5 else f"@node{who % 4}"
        host = f"node{who % 4}" if note.generation is Generation.V1_5 else ""
        sender = replace(sender, id=str(who) if who < 15 else "", name=name + at, host=host)
    ids = {} if note.generation is Generation.V1_3 else {"correlation_id": correlation}
    said: Reply = replace(note, sender=sender, **ids)  # type: ignore[arg-type]
    return encode_note(said)


@cache
def _growing() -> frozenset[str]:
    """Name the samples that never fall."""
    pages = (*cluster_page(_Strict().snapshot()), *exporter_page(exporter_state()))
    suffixes = {"counter": [""], "histogram": ["_bucket", "_count", "_sum"]}
    return frozenset(
        family.name + suffix for family, _ in pages for suffix in suffixes.get(family.kind, [])
    )


def _refuse(constant: str) -> NoReturn:
    raise AssertionError(f"{constant} is no JSON")
