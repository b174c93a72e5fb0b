"""Scanning a lake's table: which version, which files, which rows, batch by batch."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

import attrs
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from onepipe.declaring.topic import Topic
from onepipe.errors import CorruptFile
from onepipe.lake import columns as c
from onepipe.lake import layout
from onepipe.lake.chunks import date_of, day_of, parse_path
from onepipe.lake.engine import numbered_files
from onepipe.lake.plan import literal, quoted
from onepipe.lake.table import LakeFile, LakeTable, Snapshot

if TYPE_CHECKING:
    from onepipe.lake import Lake

_BATCH_ROWS: Final = 65_536
_TIME: Final = pa.timestamp("us", "UTC")


@attrs.frozen
class Scan:
    """Some rows of a topic's raw or clean table.

    Attributes:
        lake: where it is.
        topic: the topic.
        raw: whether of the raw table.
        version: a version's number, or a moment; the newest version where None.
        deleted: whether hidden rows of the clean table are among them.
        start: least event time, or that of the message where the topic has none; UTC. None for no bound.
        end: its end, exclusive.
    """

    lake: Lake
    topic: Topic
    raw: bool = False
    version: int | dt.datetime | None = None
    deleted: bool = False
    start: dt.datetime | None = None
    end: dt.datetime | None = None

    @property
    def columns(self) -> pa.Schema:
        """All columns there are, apart from hidden state."""
        return c.raw_schema(self.topic) if self.raw else c.clean_schema(self.topic)

    @property
    def ranged(self) -> bool:
        """Whether there is a bound in time."""
        return self.start is not None or self.end is not None

    def files(self) -> tuple[Snapshot | None, Sequence[LakeFile]]:
        """The version, and its files that may hold rows of the scan, by path; None where there is no table yet."""
        table = LakeTable.find(self.lake.storage, self._root)
        if table is None:
            return None, ()
        match self.version:
            case None:
                snapshot = table.snapshot()
            case int():
                snapshot = table.at(self.version)
            case moment:
                snapshot = table.as_of(moment)
        return snapshot, [file for file in snapshot.files if not self.ranged or self._may_hold(file)]

    def batches(self, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """The rows, with those of the named columns that their file has; about one batch is in memory at a time.

        Raises:
            CorruptFile: a file is missing or unreadable.
        """
        needed = dict.fromkeys([*names, *self._deciding(), c.PARTITION])  # a batch of no columns would have no rows
        for file in self.files()[1]:
            path = f"{self._root}/{file.path}"
            with self.lake.storage.open(path) as stream:
                try:
                    parquet = pq.ParquetFile(stream)
                    present = [name for name in needed if name in parquet.schema_arrow.names]
                    for batch in parquet.iter_batches(_BATCH_ROWS, columns=present):
                        yield self._filtered(batch)
                except (pa.ArrowException, OSError) as error:
                    raise CorruptFile(f"{path} is not a Parquet file", topic=self.topic.name) from error

    def sql(self, names: Sequence[str]) -> str:
        """The same as a query in DuckDB's SQL, over the files of a local storage."""
        snapshot, files = self.files()
        paths = snapshot.paths(files) if snapshot else []
        with self.lake.storage.copies() as copies:
            relation = numbered_files(copies.local(paths), self.columns)
        conditions = [f"NOT {quoted(c.DELETED)}"] if self._hides else []
        for operator, moment in ((">=", self.start), ("<", self.end)):
            if moment is not None:
                conditions.append(f"{quoted(self._time)} {operator} TIMESTAMPTZ {literal(moment.isoformat())}")
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        return f"SELECT {', '.join(map(quoted, names))} FROM {relation}{where}"

    @property
    def _root(self) -> str:
        return layout.raw_table(self.topic.name) if self.raw else layout.clean_table(self.topic.name)

    @property
    def _time(self) -> str:
        """The column the bounds are about."""
        return self.topic.event_time or c.TIMESTAMP

    @property
    def _hides(self) -> bool:
        return not self.raw and not self.deleted

    def _may_hold(self, file: LakeFile) -> bool:
        """Whether a file can have rows between the bounds: by its day, or a raw one by the commit's statistics."""
        if self.raw:
            least, greatest = file.statistics.get(self._time, (None, None))
            if not isinstance(least, dt.datetime) or not isinstance(greatest, dt.datetime):
                return True
            return (self.end is None or least < self.end) and (self.start is None or greatest >= self.start)
        place = parse_path(file.path)
        if place is None or place[0] is None:
            return False
        midnight = dt.datetime.combine(date_of(place[0]) or dt.date.min, dt.time(), dt.UTC)
        begins_late = self.end is not None and midnight >= self.end
        ends_early = self.start is not None and place[0] < day_of(self.start.date())
        return not begins_late and not ends_early

    def _deciding(self) -> list[str]:
        """The columns that decide which rows are among the scan's."""
        return [*([self._time] if self.ranged else []), *([c.DELETED] if self._hides else [])]

    def _filtered(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        if self._hides:
            batch = batch.filter(pc.invert(batch.column(c.DELETED)))
        if self.start is not None:
            batch = batch.filter(pc.greater_equal(batch.column(self._time), pa.scalar(self.start, _TIME)))
        if self.end is not None:
            batch = batch.filter(pc.less(batch.column(self._time), pa.scalar(self.end, _TIME)))
        return batch
