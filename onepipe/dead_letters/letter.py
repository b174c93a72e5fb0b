"""A dead letter as it is read: what its messages say together."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import PurePath
from typing import Any, Final, NamedTuple

import attrs

from onepipe.dead_letters.topic import STATES, Stage, State
from onepipe.errors import Fault, InvalidRecord, OnepipeError
from onepipe.schema.framing import read_frame
from onepipe.transport import Message, TopicPartition

_LONGEST_DETAIL: Final = 1000


class Copy(NamedTuple):
    """Where a dead-letter topic holds a copy of what was set aside."""

    place: TopicPartition
    offset: int


@attrs.frozen
class DeadLetter:
    """A record that could not go on. It holds none of the record's values, except in `detail`.

    Attributes:
        name: the letter's own; the same for the same record and consumer.
        topic: name of the record's topic.
        state: how far it has come: unconfirmed, open, dropped or replayed.
        stage: where it could not go on: publish, consume, sink or archive.
        consumer: the consumer group or sink that failed on it.
        log: identity of the topic's log; None of a record that was never published.
        partition: the record's partition, likewise.
        offset: the record's offset, likewise.
        attempts: how often it was tried, in replays too.
        replays: how many replays of it failed.
        rule: the rule it breaks, or the class of the error.
        reason: what went wrong, without the record's values.
        schema_id: id of the schema it has, or was meant to have, where that is known.
        first_seen: when it was set aside first.
        last_seen: when it came to its state.
        faults: every way in which it breaks its declaration, where that is what is wrong.
        detail: what a foreign error said; it may hold the record's values.
        format: what its copy is: json, message, or none.
        copy: where that copy is.
    """

    name: str
    topic: str
    state: State
    stage: Stage
    consumer: str | None
    log: str | None
    partition: int | None
    offset: int | None
    attempts: int
    replays: int
    rule: str
    reason: str
    schema_id: int | None
    first_seen: dt.datetime
    last_seen: dt.datetime
    faults: tuple[Fault, ...] = ()
    detail: str | None = attrs.field(default=None, repr=False)
    format: str = "none"
    copy: Copy | None = attrs.field(default=None, repr=False)

    @property
    def version(self) -> int:
        """How far it has come, as a number that only grows."""
        return version(self.replays, self.state)


def version(replays: int, state: State) -> int:
    """The version of a letter in a state, after so many replays that failed."""
    return len(STATES) * replays + STATES.index(state)


def letter_name(stage: Stage, consumer: str, log: str, partition: int, offset: int) -> str:
    """The name of the letter of a record at a position; no two of them share one, as a log's identity has no slash."""
    return f"{stage}/{consumer}/{log}/{partition}/{offset}"


def reasons(error: Exception) -> dict[str, Any]:
    """What an error says, as attributes of a letter."""
    said = described(error)
    return {**said, "faults": tuple(Fault(**fault) for fault in said["faults"])}


def described(error: Exception) -> dict[str, Any]:
    """What an error says, as a letter's fields; what may hold values stands apart, as detail."""
    faults = [attrs.asdict(fault) for fault in error.faults] if isinstance(error, InvalidRecord) else []
    if isinstance(error, OnepipeError):
        return {"rule": type(error).__name__, "reason": error.message, "detail": None, "faults": faults}
    traceback, where = error.__traceback__, ""
    while traceback is not None:
        code = traceback.tb_frame.f_code
        where = f" in {code.co_name} ({PurePath(code.co_filename).name}:{traceback.tb_lineno})"
        traceback = traceback.tb_next
    reason = f"{type(error).__name__}{where}"
    return {"rule": type(error).__name__, "reason": reason, "detail": str(error)[:_LONGEST_DETAIL], "faults": faults}


def set_aside(
    message: Message, log: str, stage: Stage, consumer: str, error: Exception, attempts: int, at: dt.datetime
) -> dict[str, Any]:
    """What the dead-letter topic holds of a message that a consumer or sink fails on, with a copy of it."""
    return {
        "letter": letter_name(stage, consumer, log, message.partition, message.offset),
        "version": version(0, State.OPEN),
        "state": State.OPEN.value,
        "at": at,
        "stage": stage.value,
        "consumer": consumer,
        "log": log,
        "partition": message.partition,
        "offset": message.offset,
        "attempts": attempts,
        **described(error),
        "schema_id": _schema_id(message),
        "format": "message",
        "timestamp": message.timestamp,
        "key": message.key,
        "headers": [{"name": name, "value": value} for name, value in message.headers],
        "body": message.value,
    }


def without_copy(said: Mapping[str, Any]) -> dict[str, Any]:
    """The same without the copy of the message."""
    return {**said, "format": "none", "timestamp": None, "key": None, "headers": [], "body": None}


def moved(letter: DeadLetter, at: dt.datetime) -> dict[str, Any]:
    """What the dead-letter topic holds of a letter that came to another state."""
    fields = ("stage", "consumer", "log", "partition", "offset", "attempts", "rule", "reason", "detail", "schema_id")
    said = {
        "letter": letter.name,
        "version": letter.version,
        "state": letter.state.value,
        "at": at,
        **{name: getattr(letter, name) for name in fields},
        "faults": [attrs.asdict(fault) for fault in letter.faults],
    }
    return without_copy(said)


def fold(topic: str, said: Iterable[tuple[Mapping[str, Any], Copy]]) -> dict[str, DeadLetter]:
    """The letters that messages speak of, by name; the same for any order of the messages, and for repeated ones.

    Args:
        topic: name of the topic whose letters they are.
        said: each message, and where it stands.
    """
    letters: dict[str, DeadLetter] = {}
    for fields, where in said:
        letter = _read(topic, fields, where)
        known = letters.get(letter.name)
        letters[letter.name] = letter if known is None else joined(known, letter)
    return letters


def joined(one: DeadLetter, other: DeadLetter) -> DeadLetter:
    """What two messages, or two groups of them, say of one letter; associative, commutative and idempotent."""
    last = max(one, other, key=lambda letter: (letter.version, letter.last_seen, letter.attempts, letter.reason))
    copies = [letter for letter in (one, other) if letter.copy is not None]
    kept = min(copies, key=lambda letter: letter.copy or (), default=last)
    first_seen = min(one.first_seen, other.first_seen)
    return attrs.evolve(last, first_seen=first_seen, format=kept.format, copy=kept.copy)


def _read(topic: str, fields: Mapping[str, Any], where: Copy) -> DeadLetter:
    plain = ("consumer", "log", "partition", "offset", "attempts", "rule", "reason", "schema_id", "detail")
    return DeadLetter(
        name=fields["letter"],
        topic=topic,
        state=State(fields["state"]),
        stage=Stage(fields["stage"]),
        replays=fields["version"] // len(STATES),
        first_seen=fields["at"],
        last_seen=fields["at"],
        faults=tuple(Fault(**fault) for fault in fields["faults"]),
        format=fields["format"],
        copy=None if fields["format"] == "none" else where,
        **{name: fields[name] for name in plain},
    )


def _schema_id(message: Message) -> int | None:
    with suppress(OnepipeError):
        return read_frame(message.value, message.headers).schema_id if message.value is not None else None
    return None
