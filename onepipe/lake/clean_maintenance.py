"""Maintenance of a clean table: small chunks that were split, or lost rows to other days, become one file again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import attrs
import pyarrow as pa
import pyarrow.parquet as pq

from onepipe.declaring.topic import Topic
from onepipe.errors import CommitConflict
from onepipe.lake import columns as c
from onepipe.lake import layout
from onepipe.lake.chunks import ROOT, Day, is_below, parse_path, span
from onepipe.lake.clean_files import write_chunks
from onepipe.lake.dedup import TARGET_ROWS, require_same_policy
from onepipe.lake.maintenance import CompactionReport, name_of
from onepipe.lake.plan import MergePlan
from onepipe.lake.table import LakeFile, LakeTable

if TYPE_CHECKING:
    from onepipe.lake import Lake


def compact_clean(lake: Lake, topic: Topic | str, *, target_rows: int = TARGET_ROWS) -> CompactionReport:
    """Join neighbouring chunks of a day that together have at most half of `target_rows`; rows stay as they are.

    Every file is checked against the hash in its name first. A dedup that runs at the same time wins: what it replaced
    first is left to the next compaction.

    Args:
        lake: where the table is.
        topic: the declaration that governed the merge; by name, the latest one that the lake has seen.
        target_rows: most rows of a clean file, as given to `dedup`.

    Raises:
        CorruptFile: a file to be joined holds other bytes than were written; what was joined before stays.
        LakeError: the table was merged under another policy.
    """
    report = CompactionReport(name_of(topic))
    table = lake.clean(report.topic)
    if table is None:
        return report
    topic = lake.topic(topic) if isinstance(topic, str) else topic
    plan, clean = MergePlan(topic), table.snapshot()
    require_same_policy(table, clean, plan)
    for day, chunk, files in _joinable(clean.files, target_rows // 2):
        try:
            rows = _join(table, plan, day, chunk, files)
        except CommitConflict:
            report = attrs.evolve(report, conflicts=report.conflicts + 1)
            continue
        report = attrs.evolve(
            report, before=report.before + len(files), after=report.after + 1, rows=report.rows + rows
        )
    return report


def _joinable(files: Sequence[LakeFile], most: int) -> Iterator[tuple[Day, int, list[LakeFile]]]:
    """By day, the largest ranges of several files with at most `most` rows."""
    days: dict[Day, list[tuple[int, LakeFile]]] = defaultdict(list)
    for file in files:
        if place := parse_path(file.path):
            days[place[0]].append((place[1], file))
    for day, chunks in days.items():
        pending = [ROOT]
        while pending:
            node = pending.pop()
            below = [(chunk, file) for chunk, file in chunks if is_below(chunk, node)]
            if len(below) < 2:
                continue
            if sum(file.rows for _, file in below) > most:
                pending += [2 * node + 1, 2 * node]
            else:
                yield day, node, [file for _, file in sorted(below, key=lambda held: span(held[0]))]


def _join(table: LakeTable, plan: MergePlan, day: Day, chunk: int, files: Sequence[LakeFile]) -> int:
    """Replace files by one in one commit; how many rows it has.

    Raises:
        CommitConflict: another process replaced one of them first.
        CorruptFile: one of them holds other bytes than were written.
    """
    paths = [f"{table.root}/{file.path}" for file in files]
    with table.storage.copies() as copies:
        local = copies.local(paths)
        for path in paths:
            layout.check_copy(copies, path)
        parts = [pq.read_table(file, partitioning=None) for file in local]
    rows = pa.concat_tables([plan.schema.empty_table(), *parts], promote_options="permissive").sort_by(c.IDENTITY)
    (joined,) = write_chunks(table.storage, plan, [(day, chunk, rows)])
    try:
        table.commit([joined], [file.path for file in files], note={"compaction": {"files": len(files)}})
    except CommitConflict:
        table.storage.delete(f"{table.root}/{joined.path}")
        raise
    return joined.rows
