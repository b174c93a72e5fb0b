"""Tampering: records lost, repeated or altered behind the pipeline's back, in the log and in files of the lake.

What is done is chosen by the seed and told by nobody but the list it returns, so that the verdict can be held to it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import attrs
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from onepipe.audit.verdict import Finding, Hop, Kind, Verdict
from onepipe.lake import columns as c
from onepipe.schema.keys import key_values
from onepipe.transport import Message, TopicPartition

if TYPE_CHECKING:
    from onepipe.topic import Topic
    from onepipe.transport import Transport

PLACES: Final = (Hop.LOG, Hop.RAW, Hop.CLEAN)
_CHANGED: Final = "distance"


class LogFaults(Protocol):
    """What a log in memory offers to have its messages tampered with."""

    def lose(self, topic: str, partition: int, offset: int) -> Message:
        """Take a stored message out."""

    def repeat(self, topic: str, partition: int, offset: int) -> int:
        """Store a message once more; where."""

    def alter(self, topic: str, partition: int, offset: int) -> Message:
        """Change the bytes of a stored message."""


@attrs.frozen
class Tampering:
    """How many records to tamper with.

    Attributes:
        lose: how many are lost.
        repeat: how many are repeated.
        alter: how many are altered.
    """

    lose: int = 0
    repeat: int = 0
    alter: int = 0

    def __bool__(self) -> bool:
        return bool(self.lose or self.repeat or self.alter)

    def plan(self, seed: int) -> dict[Hop, list[Kind]]:
        """What to do in each place: each kind goes through the places in turn, from one that the seed chooses."""
        start = random.Random(seed).randrange(len(PLACES))  # noqa: S311 - reproducible by its seed
        plan: dict[Hop, list[Kind]] = {place: [] for place in PLACES}
        for shift, (kind, count) in enumerate(
            ((Kind.LOST, self.lose), (Kind.REPEATED, self.repeat), (Kind.ALTERED, self.alter))
        ):
            for number in range(count):
                plan[PLACES[(start + shift + number) % len(PLACES)]].append(kind)
        return plan


@attrs.frozen
class Tampered:
    """A record that was tampered with.

    Attributes:
        kind: lost, repeated or altered.
        hop: where.
        partition: number of its partition.
        offset: its offset; of a repeated one in the log, that of the repetition.
        identity: its identity by field.
    """

    kind: Kind
    hop: Hop
    partition: int
    offset: int
    identity: Mapping[str, Any]

    def named_by(self, finding: Finding) -> bool:
        """Whether a finding is about this record, in every particular."""
        return (
            (self.kind, self.hop, self.partition, self.offset)
            == (finding.kind, finding.hop, finding.partition, finding.offset)
        ) and dict(self.identity) == dict(finding.identity or {})


def unnamed(tampered: Sequence[Tampered], verdict: Verdict) -> list[Tampered]:
    """The tampered records that a verdict does not name."""
    return [each for each in tampered if not any(map(each.named_by, verdict.findings))]


def tamper_with_log(
    transport: Transport, faults: LogFaults, topic: Topic, kinds: Sequence[Kind], seed: int
) -> list[Tampered]:
    """Tamper with messages that a log in memory holds, each at another offset."""
    chance = random.Random(f"log {seed}")  # noqa: S311 - reproducible by its seed
    partitions = transport.describe_topic(topic.name).partitions
    messages = [message for number in range(partitions) for message in _messages(transport, topic.name, number)]
    done = []
    for kind, message in zip(kinds, chance.sample(messages, len(kinds)), strict=True):
        offset = message.offset
        match kind:
            case Kind.LOST:
                faults.lose(topic.name, message.partition, offset)
            case Kind.REPEATED:
                offset = faults.repeat(topic.name, message.partition, offset)
            case Kind.ALTERED:
                faults.alter(topic.name, message.partition, offset)
        done.append(Tampered(kind, Hop.LOG, message.partition, offset, _identity(topic, message.key)))
    return done


def tamper_with_raw(folder: Path, topic: Topic, kinds: Sequence[Kind], seed: int) -> list[Tampered]:
    """Tamper with rows of raw files: the files keep their names."""

    def describe(kind: Kind, row: Mapping[str, Any]) -> Tampered:
        return Tampered(kind, Hop.RAW, row[c.PARTITION], row[c.OFFSET], _identity(topic, row[c.KEY]))

    return _tamper_with_files(folder, kinds, random.Random(f"raw {seed}"), describe, pc.field(c.ERROR).is_null())  # noqa: S311 - reproducible by its seed


def tamper_with_clean(folder: Path, topic: Topic, kinds: Sequence[Kind], seed: int) -> list[Tampered]:
    """Tamper with rows of clean files: the files keep their names."""

    def describe(kind: Kind, row: Mapping[str, Any]) -> Tampered:
        identity = {name: row[name] for name in topic.identity}
        return Tampered(kind, Hop.CLEAN, row[c.PARTITION], row[c.OFFSET], identity)

    return _tamper_with_files(folder, kinds, random.Random(f"clean {seed}"), describe, ~pc.field(c.DELETED))  # noqa: S311 - reproducible by its seed


def _tamper_with_files(
    folder: Path,
    kinds: Sequence[Kind],
    chance: random.Random,
    describe: Callable[[Kind, Mapping[str, Any]], Tampered],
    eligible: pc.Expression,
) -> list[Tampered]:
    files = sorted(file for file in folder.rglob("*.parquet") if not file.relative_to(folder).parts[0].startswith("_"))
    chosen: dict[Path, list[Kind]] = {}
    for kind in kinds:
        chosen.setdefault(chance.choice(files), []).append(kind)
    done: list[Tampered] = []
    for file, file_kinds in chosen.items():
        table = pq.read_table(file, partitioning=None)
        numbered = table.append_column("row", pa.array(range(table.num_rows)))
        rows = chance.sample(numbered.filter(eligible)["row"].to_pylist(), len(file_kinds))
        for kind, row in zip(file_kinds, sorted(rows, reverse=True), strict=True):
            done.append(describe(kind, table.slice(row, 1).to_pylist()[0]))
            table = _changed(table, row, kind)
        pq.write_table(table, file, compression="zstd")
    return done


def _changed(table: pa.Table, row: int, kind: Kind) -> pa.Table:
    before, it, after = table.slice(0, row), table.slice(row, 1), table.slice(row + 1)
    match kind:
        case Kind.LOST:
            return pa.concat_tables([before, after])
        case Kind.REPEATED:
            return pa.concat_tables([before, it, it, after])
        case Kind.ALTERED:
            place = it.schema.get_field_index(_CHANGED)
            changed = pc.add(it[_CHANGED], pa.scalar(1, it[_CHANGED].type))
            return pa.concat_tables([before, it.set_column(place, it.schema.field(place), changed), after])


def _messages(transport: Transport, topic: str, partition: int) -> list[Message]:
    place = TopicPartition(topic, partition)
    reader = transport.reader([place])
    end = reader.bounds(place).end
    messages: list[Message] = []
    while reader.position(place) < end:
        messages += reader.poll(100_000)
    reader.close()
    return messages


def _identity(topic: Topic, key: bytes | None) -> dict[str, Any]:
    return dict(zip(topic.identity, key_values(topic.schema, topic.identity, key or b""), strict=True))
