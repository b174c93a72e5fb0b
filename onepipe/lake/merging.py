"""One run of the dedup plan in the engine: contributions in, chunks of clean rows out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np
import pyarrow as pa

from onepipe.lake import columns as c
from onepipe.lake.chunks import Day, cut, span
from onepipe.lake.engine import Engine, numbered_files
from onepipe.lake.index import UNDATED, Hashes
from onepipe.lake.plan import DAY, MergePlan, literal, quoted
from onepipe.lake.table import LakeFile, Snapshot
from onepipe.lake.unmerged import Unmerged

_FOLDED_AT_ONCE: Final = 2_000_000
"""Contributions whose versions, sums and states are held in memory at a time while they are folded."""


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
        self._files = 0
        self.arrivals = 0
        """Good raw rows added."""
        self.quarantined = 0
        """Raw rows passed over because of their error."""

    def add_raw(self, raw: Snapshot, batch: Unmerged) -> None:
        """Add the rows of raw files that are not merged yet."""
        if not batch.files:
            return
        columns = c.raw_schema(self._plan.topic)
        relation = self._numbered(raw, batch.files, columns)
        merged = [
            f"({quoted(c.LOG)}, {quoted(c.PARTITION)}) = ({literal(log)}, {partition}) AND {quoted(c.OFFSET)} < {done}"
            for log, partition, done in batch.merged
        ]
        if merged:
            relation = f"(SELECT * FROM {relation} WHERE NOT ({' OR '.join(merged)}))"
        self._engine.execute(f"CREATE TEMP VIEW arrivals AS {self._plan.arrivals(relation)}", "reading raw files")
        error = quoted(c.ERROR)
        counts = f"SELECT count(*) FILTER ({error} IS NULL), count({error}) FROM {relation}"
        self.arrivals, self.quarantined = self._engine.row(counts, "counting arrivals")
        self._contributions.append("arrivals")

    def places(self) -> tuple[Hashes, Hashes]:
        """Identity hash and day of the arrivals; UNDATED where there is none."""
        if not self._contributions:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        day = f"coalesce({self._plan.day()}, {UNDATED})::BIGINT AS day"
        sql = f"SELECT DISTINCT {quoted(c.IDENTITY)} AS hash, {day} FROM arrivals"
        table = self._engine.table(sql, "placing arrivals").combine_chunks()
        return table["hash"].to_numpy(), table["day"].to_numpy()

    def add_clean(self, clean: Snapshot, files: Sequence[LakeFile]) -> None:
        """Add the rows of clean files."""
        if not files:
            return
        relation = self._numbered(clean, files, self._plan.schema)
        self._engine.execute(f"CREATE TEMP VIEW clean_rows AS {self._plan.clean_rows(relation)}", "reading clean files")
        self._contributions.append("clean_rows")

    def chunks(self, target: int, chunks: Mapping[Day, Sequence[int]]) -> Iterator[tuple[Day, int, pa.Table]]:
        """Fold all that was added, and cut the rows into chunks; see `onepipe.lake.chunks.cut`."""
        if not self._contributions:
            return
        union = " UNION ALL BY NAME ".join(f"SELECT * FROM {name}" for name in self._contributions)
        self._engine.execute(f"CREATE TEMP VIEW contributions AS {union}", "joining arrivals and clean rows")
        repeated = self._plan.repeated("contributions")
        self._engine.execute(f"CREATE TEMP TABLE repeated AS {repeated}", "finding repeated identities")
        self._fold_ranges()
        rows = self._plan.merged("contributions", "repeated", "folded")
        ordered = f"{rows} ORDER BY {quoted(DAY)} NULLS FIRST, {quoted(c.IDENTITY)}"
        yield from cut(self._engine.stream(ordered, "merging"), target, chunks)

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

    def _numbered(self, snapshot: Snapshot, files: Sequence[LakeFile], columns: pa.Schema) -> str:
        relation = numbered_files(self._engine.local(snapshot.paths(files)), columns, self._files)
        self._files += len(files)
        return relation
