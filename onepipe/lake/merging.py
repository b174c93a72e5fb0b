"""One run of the dedup plan in the engine: contributions in, clean rows out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np
import pyarrow as pa

from onepipe.lake import columns as c
from onepipe.lake.chunks import UNDATED, span
from onepipe.lake.engine import Engine, numbered_files
from onepipe.lake.index import Hashes
from onepipe.lake.plan import DAY, ROW, MergePlan, literal, quoted
from onepipe.lake.table import Snapshot
from onepipe.lake.unmerged import Unmerged

_FOLDED_AT_ONCE: Final = 2_000_000
"""Contributions whose versions, sums and states are held in memory at a time while they are folded."""
_KEPT: Final = 1_000_000
"""Raw rows that are kept in the engine once read; files of more are read anew in each step instead."""
_INSERTED: Final = 100_000
"""About how many clean rows are given to the engine at a time."""


class Merging:
    """Folds raw files and clean files of one topic. Used once.

    Args:
        engine: does the work; its tables are taken.
        plan: the topic's plan.
    """

    def __init__(self, engine: Engine, plan: MergePlan) -> None:
        self._engine = engine
        self._plan = plan
        self._contributions: list[str] = []
        self.arrivals = 0
        """Good raw rows added."""
        self.quarantined = 0
        """Raw rows passed over because of their error."""

    def add_raw(self, raw: Snapshot, batch: Unmerged) -> None:
        """Add the rows of raw files that are not merged yet."""
        if not batch.files:
            return
        columns = c.raw_schema(self._plan.topic)
        relation = numbered_files(self._engine.local(raw.paths(batch.files)), columns)
        merged = [
            f"({quoted(c.LOG)}, {quoted(c.PARTITION)}) = ({literal(log)}, {partition}) AND {quoted(c.OFFSET)} < {done}"
            for log, partition, done in batch.merged
        ]
        if merged:
            relation = f"(SELECT * FROM {relation} WHERE NOT ({' OR '.join(merged)}))"
        kept = "TABLE" if sum(file.rows for file in batch.files) <= _KEPT else "VIEW"
        arrivals = f"CREATE TEMP {kept} arrivals AS {self._plan.arrivals(relation)}"
        self._engine.execute(arrivals, "reading raw files")
        self._contributions.append("arrivals")
        error = quoted(c.ERROR)
        counts = f"SELECT count(*) FILTER ({error} IS NULL), count({error}) FROM {relation}"
        self.arrivals, self.quarantined = self._engine.row(counts, "counting arrivals")

    def places(self) -> tuple[Hashes, Hashes]:
        """Identity hash and day of the arrivals, each pair once, ordered by hash; UNDATED where there is no day."""
        if not self._contributions:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        day = f"coalesce({self._plan.day()}, {UNDATED})::BIGINT AS day"
        sql = f"SELECT DISTINCT {quoted(c.IDENTITY)} AS hash, {day} FROM arrivals ORDER BY hash"
        table = self._engine.table(sql, "placing arrivals").combine_chunks()
        return table["hash"].to_numpy(), table["day"].to_numpy()

    def add_arrivals(self, parts: Iterable[pa.Table]) -> None:
        """Add good raw rows that were read elsewhere, with the columns of the plan's `good_schema` and ROW."""
        added = self._insert("arrived", self._plan.good_schema, _joined(parts, _INSERTED))
        if added:
            arrivals = f"CREATE TEMP VIEW arrivals AS {self._plan.contributed('arrived')}"
            self._engine.execute(arrivals, "reading arrivals")
            self._contributions.append("arrivals")
            self.arrivals += added

    def add_clean(self, parts: Iterable[pa.Table]) -> None:
        """Add rows of the clean table, with the columns of its schema; a few tables are in memory at a time."""
        self._insert("clean_rows", self._plan.schema, _numbered(_joined(parts, _INSERTED)))
        self._contributions.append(f"({self._plan.clean_rows('clean_rows')})")

    def _insert(self, name: str, schema: pa.Schema, parts: Iterable[pa.Table]) -> int:
        """Make a table of rows that are numbered as ROW; how many there are."""
        empty = f"SELECT * FROM {numbered_files([], schema)}"
        self._engine.execute(f"CREATE TEMP TABLE {name} AS {empty}", "making room for rows")
        added = 0
        for rows in parts:
            self._engine.register("rows_part", rows)
            self._engine.execute(f"INSERT INTO {name} BY NAME SELECT * FROM rows_part", "taking rows in")
            added += rows.num_rows
        return added

    def rows(self) -> Iterator[pa.RecordBatch]:
        """Fold all that was added: clean rows and DAY, ordered by DAY, nulls first, and identity hash."""
        if not self._contributions:
            return
        union = " UNION ALL BY NAME ".join(f"SELECT * FROM {name}" for name in self._contributions)
        self._engine.execute(f"CREATE TEMP VIEW contributions AS {union}", "joining arrivals and clean rows")
        repeated = self._plan.repeated("contributions")
        self._engine.execute(f"CREATE TEMP TABLE repeated AS {repeated}", "finding repeated identities")
        self._fold_ranges()
        rows = self._plan.merged("contributions", "folded")
        ordered = f"{rows} ORDER BY {quoted(DAY)} NULLS FIRST, {quoted(c.IDENTITY)}"
        schema = self._plan.schema.append(pa.field(DAY, pa.int32()))
        for batch in self._engine.stream(ordered, "merging"):
            yield batch.select(schema.names).cast(schema)

    def _fold_ranges(self) -> None:
        """Make the table `folded`, one range of the identity hash after the other."""
        (count,) = self._engine.row("SELECT count(*) FROM repeated", "counting repeated identities")
        level = max(0, (count // _FOLDED_AT_ONCE).bit_length())
        for node in range(1 << level, 2 << level):
            low, high = span(node)
            part = (
                f"(SELECT * FROM repeated WHERE {quoted(c.IDENTITY)} BETWEEN {low} AND {high - 1})"
                if level
                else "repeated"
            )
            folded = self._plan.folded("contributions", part)
            first = node == 1 << level
            self._engine.execute(
                f"CREATE TEMP TABLE folded AS {folded}" if first else f"INSERT INTO folded {folded}", "folding"
            )


def _joined(parts: Iterable[pa.Table], least: int) -> Iterator[pa.Table]:
    """Tables of at least so many rows, apart from the last, made of smaller ones."""
    waiting: list[pa.Table] = []
    for part in parts:
        waiting.append(part)
        if sum(table.num_rows for table in waiting) >= least:
            yield pa.concat_tables(waiting)
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting)


def _numbered(parts: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The tables with numbers as ROW: negative ones, apart from those of raw rows."""
    first = -1
    for rows in parts:
        yield rows.append_column(ROW, pa.array(np.arange(first, first - rows.num_rows, -1)))
        first -= rows.num_rows
