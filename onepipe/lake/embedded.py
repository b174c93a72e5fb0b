"""The embedded engine of dedup: DuckDB in this process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import attrs
import pyarrow as pa

from onepipe.lake import layout
from onepipe.lake.chunks import Day, cut
from onepipe.lake.clean_files import write_chunks
from onepipe.lake.dedup_engine import MergeRun, MergeTerms
from onepipe.lake.engine import Engine
from onepipe.lake.index import Hashes
from onepipe.lake.merging import Merging
from onepipe.lake.replaced import ReplacedRows, interleaved
from onepipe.lake.storage import Copies
from onepipe.lake.table import LakeFile, NewFile, Snapshot
from onepipe.lake.unmerged import Unmerged


@attrs.frozen
class EmbeddedEngine:
    """Folds in this process, bounded in memory; see `onepipe.lake.engine`."""

    @contextmanager
    def merge(self, terms: MergeTerms) -> Iterator[MergeRun]:
        """A context in which one merge is carried out; see DedupEngine."""
        with terms.storage.copies() as files, Engine(files, memory=terms.memory) as engine:
            yield _EmbeddedRun(terms, files, engine)


class _EmbeddedRun:
    def __init__(self, terms: MergeTerms, files: Copies, engine: Engine) -> None:
        self._terms = terms
        self._files = files
        self._merging = Merging(engine, terms.plan)

    @property
    def arrivals(self) -> int:
        return self._merging.arrivals

    @property
    def quarantined(self) -> int:
        return self._merging.quarantined

    def read(self, raw: Snapshot, batch: Unmerged) -> None:
        check_copies(self._files, raw.paths(batch.files))
        self._merging.add_raw(raw, batch)

    def places(self) -> tuple[Hashes, Hashes]:
        return self._merging.places()

    def write(
        self, clean: Snapshot, replaced: Sequence[LakeFile], touched: Hashes, nodes: Mapping[Day, Sequence[int]]
    ) -> list[NewFile]:
        plan = self._terms.plan
        if replaced:
            there = ReplacedRows(self._files, clean, plan.schema, replaced, touched)
            self._merging.add_clean(there.touched())
            rows: Iterator[pa.RecordBatch] = interleaved(self._merging.rows(), there.untouched())
        else:
            rows = self._merging.rows()
        return list(write_chunks(self._terms.storage, plan, cut(rows, self._terms.target_rows, nodes)))


def check_copies(files: Copies, paths: Sequence[str]) -> None:
    """Compare files with the hash in their names.

    Raises:
        CorruptFile: one is missing, or holds other bytes than were written.
    """
    files.local(paths)  # what has to be fetched, several at a time
    with ThreadPoolExecutor(2, "onepipe-check") as pool:
        for _ in pool.map(lambda path: layout.check_copy(files, path), paths):
            pass
