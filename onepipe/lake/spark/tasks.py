"""What the executors do. A task is pickled, with the lake's storage and the topic's document, and run by partition."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import attrs
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from onepipe.declaring.topic import Topic
from onepipe.errors import CorruptFile, LakeError, OnepipeError
from onepipe.lake import columns as c
from onepipe.lake import layout
from onepipe.lake.chunks import UNDATED, Day, cut
from onepipe.lake.clean_files import write_chunks
from onepipe.lake.engine import Engine, numbered_files
from onepipe.lake.index import Hashes
from onepipe.lake.merging import Merging
from onepipe.lake.plan import DAY, MergePlan, literal, quoted
from onepipe.lake.spark import blocks as b
from onepipe.lake.spark.units import Units
from onepipe.lake.storage import Storage
from onepipe.lake.table import NewFile

_BLOCK_ROWS: Final = 500_000
"""Most rows of a file that are parted at a time."""


@attrs.frozen
class Work:
    """What every task is told.

    Attributes:
        storage: where the lake is; each process connects by itself.
        declaration: the topic's document.
        memory: memory that a task folds in.
        threads: how many threads it folds in.
        level: the rows go to 2**level ranges of the identity hash.
    """

    storage: Storage
    declaration: Any
    memory: str
    threads: int
    level: int

    def plan(self) -> MergePlan:
        """The topic's plan."""
        return MergePlan(Topic.from_document(self.declaration))

    @contextmanager
    def engine(self) -> Iterator[Engine]:
        """An engine of one's own, over copies of the lake's files."""
        with self.storage.copies() as files, Engine(files, memory=self.memory, threads=self.threads) as engine:
            yield engine

    def keyed(self, kind: str, rows: pa.Table) -> Iterator[b.Keyed]:
        """The rows by the range of their identity hash."""
        ranges = b.hash_range(rows[c.IDENTITY].to_numpy(), self.level)
        for key, part in b.parted(rows, ranges):
            yield key, (kind, b.packed(part))


@attrs.frozen
class Survey:
    """What is known of the arrivals of one range.

    Attributes:
        good: good raw rows, of the files counted here.
        quarantined: rows with an error, likewise.
        days: how many identity hashes there are by day, or UNDATED.
        places: hash and day of the arrivals, each pair once, ordered by hash; None where not asked for.
        failures: errors of the tasks that read.
    """

    good: int
    quarantined: int
    days: Mapping[int, int]
    places: tuple[Hashes, Hashes] | None
    failures: Sequence[OnepipeError]


@attrs.frozen
class ReadRaw:
    """Reads raw files, each compared with the hash in its name: good rows by range, and counts.

    Attributes:
        work: what every task is told.
        merged: log, partition and offset below which rows are merged already.
    """

    work: Work
    merged: Sequence[tuple[str, int, int]]

    def __call__(self, files: Iterable[tuple[int, str]]) -> Iterator[b.Keyed]:
        """Blocks of some files, which are numbers and paths below the storage's root."""
        try:
            plan = self.work.plan()
            for number, path in files:
                with self.work.engine() as engine:
                    yield from self._file(engine, plan, number, path)
        except OnepipeError as error:
            yield 0, (b.FAILED, error)

    def _file(self, engine: Engine, plan: MergePlan, number: int, path: str) -> Iterator[b.Keyed]:
        (local,) = engine.local([path])
        with self.work.storage.copies() as files:
            layout.check_copy(files, path)
        relation = numbered_files([local], c.raw_schema(plan.topic), number)
        relation = f"(SELECT * FROM {relation} WHERE {self._unmerged()})"
        error = quoted(c.ERROR)
        counts = f"SELECT count(*) FILTER ({error} IS NULL), count({error}) FROM {relation}"
        good, quarantined = engine.row(counts, "counting arrivals")
        yield 0, (b.COUNTS, (good, quarantined))
        rows = f"SELECT *, coalesce({plan.day()}, {UNDATED})::BIGINT AS {quoted(DAY)} FROM ({plan.good(relation)})"
        for table in _tables(engine.stream(rows, "reading raw files")):
            yield from self.work.keyed(b.ARRIVALS, table)

    def _unmerged(self) -> str:
        merged = [
            f"({quoted(c.LOG)}, {quoted(c.PARTITION)}) = ({literal(log)}, {partition}) AND {quoted(c.OFFSET)} < {done}"
            for log, partition, done in self.merged
        ]
        return f"NOT ({' OR '.join(merged)})" if merged else "true"


@attrs.frozen
class ReadClean:
    """Reads clean files that are replaced, each compared with the hash in its name: their rows by range."""

    work: Work

    def __call__(self, paths: Iterable[str]) -> Iterator[b.Keyed]:
        """Blocks of some files, given by their paths below the storage's root."""
        try:
            schema = self.work.plan().schema
            with self.work.storage.copies() as files:
                for path in paths:
                    data = layout.read_copy(files, path)
                    yield from self.work.keyed(b.CLEAN, _clean_rows(data, path, schema))
        except OnepipeError as error:
            yield 0, (b.FAILED, error)


def _clean_rows(data: bytes, path: str, schema: pa.Schema) -> pa.Table:
    try:
        rows = pq.read_table(pa.BufferReader(data), use_threads=False).replace_schema_metadata(None)
    except (pa.ArrowException, OSError) as error:
        raise CorruptFile(f"{path} is not a Parquet file") from error
    rows = pa.concat_tables([schema.empty_table(), rows], promote_options="permissive")
    return rows.select(schema.names).cast(schema)


@attrs.frozen
class TakeSurvey:
    """Counts the arrivals of a range, and finds their places where asked for."""

    places: bool

    def __call__(self, keyed: Iterable[b.Keyed]) -> Iterator[Survey]:
        """The survey of a range."""
        good = quarantined = 0
        found = np.empty((0, 2), np.int64)
        failed: list[OnepipeError] = []
        for _, (kind, what) in keyed:
            if isinstance(what, bytes):
                rows = b.unpacked(what)
                pairs = np.column_stack([rows[c.IDENTITY].to_numpy(), rows[DAY].to_numpy()])
                found = np.unique(np.concatenate([found, pairs]), axis=0)
            elif kind == b.COUNTS and isinstance(what, tuple):
                good, quarantined = good + what[0], quarantined + what[1]
            else:
                failed += b.failures([(kind, what)])
        days, counts = np.unique(found[:, 1], return_counts=True)
        places = (found[:, 0].copy(), found[:, 1].copy()) if self.places else None
        yield Survey(good, quarantined, dict(zip(days.tolist(), counts.tolist(), strict=True)), places, failed)


@attrs.frozen
class Fold:
    """Folds the arrivals of a range with its rows of clean files: clean rows, by the task that writes them."""

    work: Work
    units: Units

    def __call__(self, keyed: Iterable[b.Keyed]) -> Iterator[b.Keyed]:
        """Blocks of clean rows, with their DAY."""
        try:
            yield from self._folded(block for _, block in keyed)
        except OnepipeError as error:
            yield 0, (b.FAILED, error)

    def _folded(self, coming: Iterator[b.Block]) -> Iterator[b.Keyed]:
        plan = self.work.plan()
        with self.work.engine() as engine:
            merging = Merging(engine, plan)
            clean = _Later(coming)
            merging.add_arrivals(clean.before())
            merging.add_clean(clean.rows())
            for rows in merging.rows():
                for task, part in b.parted(pa.table(rows), self.units.tasks(rows)):
                    yield task, (b.CLEAN, b.packed(part))


class _Later:
    """Blocks in two parts: arrivals, which come first as they were joined first, and clean rows behind them."""

    def __init__(self, coming: Iterator[b.Block]) -> None:
        self._coming = coming
        self._first: list[pa.Table] = []

    def before(self) -> Iterator[pa.Table]:
        for kind, what in self._coming:
            if kind == b.ARRIVALS and isinstance(what, bytes):
                yield b.unpacked(what).drop_columns([DAY])
            elif kind == b.CLEAN and isinstance(what, bytes):
                self._first.append(b.unpacked(what))
                return
            else:
                _require_none_failed([(kind, what)])

    def rows(self) -> Iterator[pa.Table]:
        yield from self._first
        for kind, what in self._coming:
            if kind == b.CLEAN and isinstance(what, bytes):
                yield b.unpacked(what)
                continue
            _require_none_failed([(kind, what)])
            if kind == b.ARRIVALS:
                raise LakeError("arrivals came behind rows of the clean table")


@attrs.frozen
class Write:
    """Sorts the clean rows of some nodes, cuts them into chunks and publishes these."""

    work: Work
    units: Units
    target_rows: int

    def __call__(self, task: int, keyed: Iterable[b.Keyed]) -> Iterator[NewFile | OnepipeError]:
        """The files, which are durable, or the error that kept it from writing them."""
        try:
            yield from self._written(task, (block for _, block in keyed))
        except OnepipeError as error:
            yield error

    def _written(self, task: int, coming: Iterator[b.Block]) -> Iterator[NewFile]:
        plan, storage = self.work.plan(), self.work.storage
        schema = plan.schema.append(pa.field(DAY, pa.int32()))
        with self.work.engine() as engine:
            empty = f"SELECT * EXCLUDE (_op_row) FROM {numbered_files([], schema)}"
            engine.execute(f"CREATE TEMP TABLE folded AS {empty}", "making room for rows")
            for kind, what in coming:
                _require_none_failed([(kind, what)])
                if isinstance(what, bytes):
                    engine.register("part", b.unpacked(what))
                    engine.execute("INSERT INTO folded BY NAME SELECT * FROM part", "taking rows in")
            ordered = f"SELECT * FROM folded ORDER BY {quoted(DAY)} NULLS FIRST, {quoted(c.IDENTITY)}"
            batches = (rows.select(schema.names).cast(schema) for rows in engine.stream(ordered, "sorting"))
            nodes: Mapping[Day, Sequence[int]] = self.units.nodes[task]
            for file in write_chunks(storage, plan, cut(batches, self.target_rows, nodes)):
                storage.make_durable(f"{layout.clean_table(plan.topic.name)}/{file.path}")
                yield file


def _require_none_failed(blocks: Iterable[b.Block]) -> None:
    for error in b.failures(blocks):
        raise error


def _tables(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """The batches, several together."""
    waiting: list[pa.RecordBatch] = []
    for batch in batches:
        waiting.append(batch)
        if sum(each.num_rows for each in waiting) >= _BLOCK_ROWS:
            yield pa.Table.from_batches(waiting)
            waiting = []
    if waiting:
        yield pa.Table.from_batches(waiting)
