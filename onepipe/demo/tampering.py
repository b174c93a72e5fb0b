"""Tampering: records lost, repeated or altered behind the pipeline's back, in the log and in files of the lake.

What is done is chosen by the seed and told by nobody but the list it returns, so that the verdict can be held to it. No
identity is chosen twice: of a clean row that is lost together with the raw row it was made from, no file tells any more
which arrival it stood for.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final, Protocol

import attrs
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from onepipe.audit.verdict import Finding, Hop, Kind, Verdict
from onepipe.errors import ConfigurationError
from onepipe.lake import columns as c
from onepipe.schema.keys import key_values
from onepipe.transport import Message, TopicPartition

if TYPE_CHECKING:
    from onepipe.declaring.topic import Topic
    from onepipe.lake import Lake
    from onepipe.lake.storage import Storage
    from onepipe.lake.table import LakeTable
    from onepipe.transport import Transport

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

    def plan(self, seed: int, places: Sequence[Hop]) -> dict[Hop, list[Kind]]:
        """What to do in each place: each kind goes through the places in turn, from one that the seed chooses."""
        start = random.Random(seed).randrange(len(places))  # noqa: S311 - reproducible by its seed
        plan: dict[Hop, list[Kind]] = {place: [] for place in places}
        for shift, (kind, count) in enumerate(
            ((Kind.LOST, self.lose), (Kind.REPEATED, self.repeat), (Kind.ALTERED, self.alter))
        ):
            for number in range(count):
                plan[places[(start + shift + number) % len(places)]].append(kind)
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
    """Tamper with messages that a log in memory holds, each of another identity.

    Raises:
        ConfigurationError: there are fewer identities than `kinds`.
    """
    chance = random.Random(f"log {seed}")  # noqa: S311 - reproducible by its seed
    partitions = transport.describe_topic(topic.name).partitions
    messages = [message for number in range(partitions) for message in _messages(transport, topic.name, number)]
    chosen: dict[bytes | None, Message] = {}
    for message in chance.sample(messages, len(messages)):
        if len(chosen) == len(kinds):
            break
        chosen.setdefault(message.key, message)
    _require(len(chosen), kinds)
    done = []
    for kind, message in zip(kinds, chosen.values(), strict=True):
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


def tamper_with_raw(
    lake: Lake, topic: Topic, kinds: Sequence[Kind], seed: int, spared: Sequence[Tampered] = ()
) -> list[Tampered]:
    """Tamper with rows of raw files, each of another identity: the files keep their names.

    Raises:
        ConfigurationError: there are fewer identities than `kinds`, those of `spared` left out.
    """

    def describe(kind: Kind, row: Mapping[str, Any]) -> Tampered:
        return Tampered(kind, Hop.RAW, row[c.PARTITION], row[c.OFFSET], _identity(topic, row[c.KEY]))

    eligible = pc.field(c.ERROR).is_null()
    return _tamper_with_files(lake.storage, lake.raw(topic.name), kinds, f"raw {seed}", describe, eligible, spared)


def tamper_with_clean(
    lake: Lake, topic: Topic, kinds: Sequence[Kind], seed: int, spared: Sequence[Tampered] = ()
) -> list[Tampered]:
    """Tamper with rows of clean files: the files keep their names.

    Raises:
        ConfigurationError: there are fewer rows than `kinds`, those of `spared` left out.
    """

    def describe(kind: Kind, row: Mapping[str, Any]) -> Tampered:
        identity = {name: row[name] for name in topic.identity}
        return Tampered(kind, Hop.CLEAN, row[c.PARTITION], row[c.OFFSET], identity)

    eligible = ~pc.field(c.DELETED)
    return _tamper_with_files(lake.storage, lake.clean(topic.name), kinds, f"clean {seed}", describe, eligible, spared)


def _tamper_with_files(
    storage: Storage,
    table: LakeTable | None,
    kinds: Sequence[Kind],
    seed: str,
    describe: Callable[[Kind, Mapping[str, Any]], Tampered],
    eligible: pc.Expression,
    spared: Sequence[Tampered],
) -> list[Tampered]:
    if not kinds:
        return []
    files = table.snapshot().paths() if table else []
    chance = random.Random(seed)  # noqa: S311 - reproducible by its seed
    chosen = _choose(storage, files, kinds, chance, describe, eligible, spared)
    for file in {file for file, _ in chosen}:
        rows = {row: tampered.kind for (path, row), tampered in chosen.items() if path == file}
        _rewrite(storage, file, rows)
    return list(chosen.values())


def _rewrite(storage: Storage, file: str, kinds: Mapping[int, Kind]) -> None:
    """Put another file in a file's place, in which some rows, by number, were tampered with."""
    with storage.open(file) as content:
        table = pq.read_table(content)
    for row in sorted(kinds, reverse=True):
        table = _changed(table, row, kinds[row])
    with storage.temporary() as changed:
        pq.write_table(table, changed, compression="zstd")
        storage.delete(file)
        storage.publish(changed, file)


def _choose(
    storage: Storage,
    files: Sequence[str],
    kinds: Sequence[Kind],
    chance: random.Random,
    describe: Callable[[Kind, Mapping[str, Any]], Tampered],
    eligible: pc.Expression,
    spared: Sequence[Tampered],
) -> dict[tuple[str, int], Tampered]:
    """For each kind a row of a file, of all rows with the same chance, each of another identity."""
    ends = list(accumulate(_row_count(storage, file) for file in files))
    total = ends[-1] if ends else 0
    taken = [dict(tampered.identity) for tampered in spared]
    chosen: dict[tuple[str, int], Tampered] = {}
    for number in chance.sample(range(total), total):
        if len(chosen) == len(kinds):
            break
        at = bisect_right(ends, number)
        row = number - (ends[at - 1] if at else 0)
        found = _row(storage, files[at], row).filter(eligible).to_pylist()
        if found:
            tampered = describe(kinds[len(chosen)], found[0])
            if dict(tampered.identity) not in taken:
                taken.append(dict(tampered.identity))
                chosen[files[at], row] = tampered
    _require(len(chosen), kinds)
    return chosen


def _row_count(storage: Storage, file: str) -> int:
    with storage.open(file) as content:
        count: int = pq.read_metadata(content).num_rows
    return count


def _row(storage: Storage, file: str, number: int) -> pa.Table:
    """One row of a Parquet file."""
    with storage.open(file) as content:
        parquet = pq.ParquetFile(content)
        for group in range(parquet.num_row_groups):
            rows = parquet.metadata.row_group(group).num_rows
            if number < rows:
                return parquet.read_row_group(group).slice(number, 1)
            number -= rows
    raise IndexError(number)


def _require(found: int, kinds: Sequence[Kind]) -> None:
    if found < len(kinds):
        raise ConfigurationError(
            f"{len(kinds)} records cannot be tampered with, each of another identity: there are {found}",
            remedy="tamper with fewer, or take more flights",
        )


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
