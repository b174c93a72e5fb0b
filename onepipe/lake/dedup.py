"""Dedup: the way from the raw table to the clean one, incremental or whole, in one commit with its progress.

Incremental dedup reads the raw files beyond the clean table's progress, finds the chunks in which their identities may
already have rows, folds both, and replaces just these chunks. A rebuild folds all raw files into a new set of chunks.
Both give the same rows. Files, removals and progress are one commit of the clean table, guarded by the progress they
started from: a process that dies leaves files nobody refers to, and of two that run at once one commits while the other
starts over from what it finds.
"""

from __future__ import annotations

import itertools
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import attrs
import numpy as np

from onepipe.declaring.topic import Topic
from onepipe.errors import CommitConflict, LakeError
from onepipe.lake import layout
from onepipe.lake.chunks import UNDATED, Day, free_chunk, is_below, parse_path, topmost, within
from onepipe.lake.clean_files import read_clean_footer
from onepipe.lake.dedup_engine import DedupEngine, MergeTerms
from onepipe.lake.embedded import EmbeddedEngine
from onepipe.lake.engine import DEFAULT_MEMORY
from onepipe.lake.index import Hashes, IdentityIndex, find_days
from onepipe.lake.plan import MergePlan
from onepipe.lake.table import LakeFile, LakeTable, NewFile, Snapshot
from onepipe.lake.unmerged import is_outdated, unmerged

if TYPE_CHECKING:
    from onepipe.lake import Lake

TARGET_ROWS: Final = 500_000
"""Most rows of a clean file unless told otherwise."""
EMBEDDED: Final = EmbeddedEngine()
"""The engine of dedup unless told otherwise."""
ATTEMPTS: Final = 5
"""How often a dedup tries, starting over where another process committed first."""


@attrs.frozen
class DedupReport:
    """What one dedup did.

    Attributes:
        topic: name of the topic.
        version: version of the clean table it left; None where nothing has been archived yet.
        rebuilt: whether all raw files were folded anew.
        arrivals: good raw rows that were folded.
        quarantined: raw rows that were passed over because of their error.
        identities: by how many rows the clean table grew, hidden ones included.
        read: raw files read.
        added: clean files added.
        removed: clean files removed.
        seconds: how long it took.
    """

    topic: str
    version: int | None
    rebuilt: bool
    arrivals: int = 0
    quarantined: int = 0
    identities: int = 0
    read: int = 0
    added: int = 0
    removed: int = 0
    seconds: float = 0.0


def dedup(
    lake: Lake,
    topic: Topic,
    *,
    rebuild: bool = False,
    target_rows: int = TARGET_ROWS,
    memory: str = DEFAULT_MEMORY,
    engine: DedupEngine = EMBEDDED,
) -> DedupReport:
    """Bring the clean table up to what is archived.

    Args:
        lake: where the tables are.
        topic: the declaration that governs the merge.
        rebuild: fold all raw files anew, instead of those beyond the clean table's progress; done in any case where
            rows were read again (`onepipe.lake.reread`) since the last dedup.
        target_rows: most rows of a clean file, from 1.
        memory: the engine's memory limit; on Spark that of each task.
        engine: who folds; the rows, and what is committed with them, are the same with each.

    Raises:
        DeclarationError: the topic has no merge policy, or one that cannot be folded.
        CorruptFile: a raw file, or a clean one to be replaced, holds other bytes than were written; nothing of it was
            merged.
        CommitConflict: other processes kept committing first.
        LakeError: the clean table was merged under another policy and needs a rebuild, or the engine failed.
        MissingDependency: duckdb or deltalake is not installed.
    """
    started = time.perf_counter()
    terms = MergeTerms(lake.storage, MergePlan(topic), max(1, target_rows), memory)
    run = _Dedup(lake, terms, engine, rebuild=rebuild)
    for _ in range(ATTEMPTS - 1):
        with suppress(CommitConflict):
            return attrs.evolve(run.attempt(), seconds=time.perf_counter() - started)
    return attrs.evolve(run.attempt(), seconds=time.perf_counter() - started)


class _Dedup:
    """One dedup of one topic; `attempt` starts from the tables as they are."""

    def __init__(self, lake: Lake, terms: MergeTerms, engine: DedupEngine, *, rebuild: bool) -> None:
        self.lake = lake
        self.storage = lake.storage
        self.plan = terms.plan
        self.topic = terms.plan.topic.name
        self.terms = terms
        self.engine = engine
        self.rebuild = rebuild

    def attempt(self) -> DedupReport:
        raw_table = self.lake.raw(self.topic)
        if raw_table is None:
            return DedupReport(self.topic, None, self.rebuild)
        table = LakeTable.ensure(self.storage, layout.clean_table(self.topic), self.plan.schema)
        clean, raw = table.snapshot(), raw_table.snapshot()
        if not self.rebuild:
            require_same_policy(table, clean, self.plan)
        rebuild = self.rebuild or is_outdated(raw, clean)
        batch = unmerged(raw, clean, rebuild=rebuild)
        report = DedupReport(self.topic, clean.version, rebuild, read=len(batch.files))
        if not batch.advances and not rebuild:
            return report
        places: _Places | None = None
        with self.engine.merge(self.terms) as run:
            run.read(raw, batch)
            if rebuild or not clean.files:
                replaced: Sequence[LakeFile] = clean.files
                added = run.write(clean, (), np.empty(0, np.int64), {})
            else:
                places = _Places(table, clean, run.places(), self.plan)
                replaced, nodes = touched_files(clean.files, places.arrivals, places.known)
                added = run.write(clean, replaced, places.hashes, nodes)
            report = attrs.evolve(report, arrivals=run.arrivals, quarantined=run.quarantined)
        report = self._commit(table, report, added, replaced, batch.progress)
        if places is not None and report.version == clean.version + 1:
            places.store(report.version)
        return report

    def _commit(
        self,
        table: LakeTable,
        report: DedupReport,
        added: Sequence[NewFile],
        replaced: Sequence[LakeFile],
        progress: Mapping[str, tuple[int | None, int]],
    ) -> DedupReport:
        report = attrs.evolve(
            report,
            identities=sum(file.rows for file in added) - sum(file.rows for file in replaced),
            added=len(added),
            removed=len(replaced),
        )
        note = {"dedup": {name: getattr(report, name) for name in ("rebuilt", "arrivals", "quarantined")}}
        try:
            version = table.commit(added, [file.path for file in replaced], progress, note)
        except CommitConflict:
            for file in added:
                self.storage.delete(f"{table.root}/{file.path}")  # its mark makes it nobody else's
            raise
        return attrs.evolve(report, version=version)


class _Places:
    """Where the arrivals of one incremental dedup belong, and where their identities may have rows already.

    Args:
        table: the clean table.
        clean: the version of it that is merged with.
        arrivals: identity hashes, ascending, and the day of each.
        plan: the topic's plan.

    Attributes:
        arrivals: as given.
        hashes: the hashes among them, each once.
        known: hashes and days of the rows there may be; none where an identity's day cannot change.
    """

    def __init__(self, table: LakeTable, clean: Snapshot, arrivals: tuple[Hashes, Hashes], plan: MergePlan) -> None:
        self.arrivals = arrivals
        self.hashes = np.unique(arrivals[0])
        self.known = self.hashes[:0], self.hashes[:0]
        self._index = IdentityIndex(table, plan.topic.name) if plan.moves else None
        if self._index is not None:
            self._runs = self._index.runs(clean)
            self.known = find_days(self._runs, self.hashes)

    def store(self, version: int) -> None:
        """Tell the index where the rows of the next version are: on days it knows, or on those of the arrivals."""
        if self._index is not None:
            self._index.extend(self._runs, version, *self.arrivals)


def require_same_policy(table: LakeTable, clean: Snapshot, plan: MergePlan) -> None:
    """Raise LakeError where the rows of a clean table were merged under another policy than the plan's."""
    if not clean.files:
        return
    path = f"{table.root}/{clean.files[0].path}"
    footer = read_clean_footer(table.storage, path)
    if footer.declaration == plan.topic.document():
        return
    layout.check_content(table.storage, path)  # the footer may say something else because it is damaged
    governed = MergePlan(Topic.from_document(footer.declaration)).pinned
    if changed := [name for name, value in plan.pinned.items() if governed[name] != value]:
        raise LakeError(
            f"the clean table was merged under another declaration of {', '.join(changed)}",
            topic=plan.topic.name,
            remedy="rebuild it: dedup(…, rebuild=True)",
        )


def touched_files(
    files: Sequence[LakeFile], arrivals: tuple[Hashes, Hashes], known: tuple[Hashes, Hashes]
) -> tuple[Sequence[LakeFile], Mapping[Day, Sequence[int]]]:
    """The files whose chunks hold a place of an arrival or a known row, and by day these chunks and new ones.

    Args:
        files: the clean table's.
        arrivals: hashes, and the days the arrivals would be on: where there is no chunk for one, it needs a new one.
        known: hashes, and the days where their rows may be.
    """
    by_day: dict[Day, list[tuple[int, LakeFile]]] = defaultdict(list)
    for file in files:
        if place := parse_path(file.path):
            by_day[place[0]].append((place[1], file))
    chunks: dict[Day, set[int]] = defaultdict(set)
    for (hashes, days), new in ((arrivals, True), (known, False)):
        for number, there in _grouped(hashes, days):
            day = None if number == UNDATED else number
            present = topmost({chunk for chunk, _ in by_day[day]} | chunks[day])
            chunks[day].update(_chunks_of(there, present, new=new))
    replaced = [
        file
        for day, wanted in chunks.items()
        for chunk, file in by_day[day]
        if any(is_below(chunk, node) for node in wanted)
    ]
    return replaced, {day: tuple(wanted) for day, wanted in chunks.items() if wanted}


def _grouped(hashes: Hashes, days: Hashes) -> Iterator[tuple[int, Hashes]]:
    """The hashes by day, ascending."""
    order = np.lexsort((hashes, days))
    hashes, days = hashes[order], days[order]
    starts = np.flatnonzero(np.diff(days, prepend=days[:1] - 1)).tolist()
    for start, stop in itertools.pairwise([*starts, len(days)]):
        yield int(days[start]), hashes[start:stop]


def _chunks_of(hashes: Hashes, present: Set[int], *, new: bool) -> Iterator[int]:
    """The present chunks that hold some of the hashes, ascending, and new ones for the others where wanted."""
    taken = set(present)
    rest = hashes
    for chunk in present:
        low, high = within(rest, chunk)
        if low < high:
            yield chunk
            rest = np.delete(rest, slice(low, high))
    while new and len(rest):
        chunk = free_chunk(int(rest[0]), taken)
        taken.add(chunk)
        yield chunk
        low, high = within(rest, chunk)
        rest = np.delete(rest, slice(low, high))
