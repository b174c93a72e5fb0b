"""A pipeline over a lake whose log and files can be tampered with, and what is done to them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import onepipe as op
from onepipe.demo.tampering import Tampered, tamper_with_clean, tamper_with_log, tamper_with_raw

T0 = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def declare(audit: str) -> type:
    @op.record(topic="Trips", merge=op.latest("version"), event_time="day", audit=audit)
    class Trip:
        id: int = op.field(identity=True)
        version: int
        day: dt.datetime
        distance: int = 0

    return Trip


def trips(cls: type, count: int, identities: int = 40) -> list:
    return [
        cls(id=n % identities, version=n // identities, day=T0 + dt.timedelta(days=n % 3), distance=n)
        for n in range(count)
    ]


class World:
    """A pipeline over a lake in a folder, whose topic's files can be tampered with."""

    def __init__(self, folder: Path, audit: str = "named", partitions: int = 2) -> None:
        self.folder = folder
        self.cls = declare(audit)
        self.topic = op.topic_of(self.cls)
        self.pipe = op.connect("memory://", lake=folder, partitions=partitions)

    def publish(self, count: int = 200) -> None:
        with self.pipe.producer() as producer:
            for number, trip in enumerate(trips(self.cls, count)):
                producer.publish(trip, timestamp=1_767_225_600_000 + number * 60_000)

    def lake_it(self) -> None:
        self.pipe.archive(self.cls)
        self.pipe.dedup(self.cls)

    def verify(self, level: str = "proved") -> op.Verdict:
        return self.pipe.verify(self.cls, level=level)

    def tamper(self, log=(), raw=(), clean=(), seed: int = 1) -> list[Tampered]:
        """Tamper with the log before archiving, with the files after dedup."""
        done = []
        if log:
            done += tamper_with_log(self.pipe.transport, self.pipe.transport.faults, self.topic, log, seed)
        self.lake_it()
        done += tamper_with_raw(self.pipe.lake, self.topic, raw, seed, done)
        return done + tamper_with_clean(self.pipe.lake, self.topic, clean, seed, done)


def hops(verdict: op.Verdict) -> dict[str, str]:
    return {hop.hop.value: hop.state.value for hop in verdict.hops}


def rows(folder: Path, **wanted: object) -> list[dict]:
    """The rows of a table's files that have the wanted values."""
    found = []
    for file in _files(folder):
        table = pq.read_table(file, partitioning=None)
        found += table.filter(_mask(table, wanted)).to_pylist()
    return found


def lose(folder: Path, **wanted: object) -> None:
    """Take rows out of a table's files."""
    _rewrite(folder, wanted, lambda table: table.slice(0, 0))


def repeat(folder: Path, **wanted: object) -> None:
    """Have rows of a table's files twice."""
    _rewrite(folder, wanted, lambda table: pa.concat_tables([table, table]))


def alter(folder: Path, column: str, change: int = 1, **wanted: object) -> None:
    """Add to a number in rows of a table's files."""

    def altered(table: pa.Table) -> pa.Table:
        place = table.schema.get_field_index(column)
        value = pc.add(table[column], pa.scalar(change, table[column].type))
        return table.set_column(place, table.schema.field(place), value)

    _rewrite(folder, wanted, altered)


def _rewrite(folder: Path, wanted: dict[str, object], change: Callable[[pa.Table], pa.Table]) -> None:
    for file in _files(folder):
        table = pq.read_table(file, partitioning=None)
        rows = table.filter(_mask(table, wanted))
        if rows.num_rows:
            others = table.filter(pc.invert(_mask(table, wanted)))
            pq.write_table(pa.concat_tables([others, change(rows)]), file)


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*.parquet") if "_index" not in file.parts)


def _mask(table: pa.Table, wanted: dict[str, object]) -> pa.ChunkedArray:
    mask = pa.chunked_array([pa.array([True] * table.num_rows, pa.bool_())])
    for name, value in wanted.items():
        mask = pc.and_(mask, pc.equal(table[name], pa.scalar(value, table[name].type)))
    return mask
