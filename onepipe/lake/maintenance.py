"""Keeping a lake fast and small: merging small raw files, deleting what nothing refers to, checkpoints.

All of it may run beside archives, dedups and readers. Rows, progress and what older snapshots refer to stay as they
are.
"""

from __future__ import annotations

import datetime as dt
import itertools
import secrets
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Final

import attrs
import pyarrow as pa
import pyarrow.parquet as pq

from onepipe.declaring.topic import Topic
from onepipe.errors import CommitConflict, ConfigurationError, CorruptFile
from onepipe.lake import Lake, layout
from onepipe.lake.columns import LOG, OFFSET, PARTITION
from onepipe.lake.raw_files import MARK_KEY
from onepipe.lake.raw_footer import RawFooter, join_footers, raw_footer
from onepipe.lake.raw_parquet import parquet_writer
from onepipe.lake.table import LakeFile, LakeTable, NewFile, Statistics

TARGET_BYTES: Final = 128 << 20
"""Bytes a merged file has at most, about."""
KEEP: Final = dt.timedelta(days=7)
"""For how long files stay that nothing refers to any more."""
_MAX_KEEP: Final = dt.timedelta(days=30)
_GROUP_BYTES: Final = 64 << 20


@attrs.frozen
class CompactionReport:
    """What a compaction did.

    Attributes:
        topic: name of the topic.
        before: files merged.
        after: files they became.
        rows: rows in them.
        conflicts: merges given up because another process had replaced the files.
    """

    topic: str
    before: int = 0
    after: int = 0
    rows: int = 0
    conflicts: int = 0


def name_of(topic: Topic | str) -> str:
    """The name of a topic, which may be given by name."""
    return topic if isinstance(topic, str) else topic.name


def require_keep(keep: object) -> None:
    """Require a span for which a table's log says what it was.

    Raises:
        ConfigurationError: not a timedelta from 0 to 30 days.
    """
    if not isinstance(keep, dt.timedelta) or not dt.timedelta(0) <= keep <= _MAX_KEEP:
        remedy = "datetime.timedelta(days=…): for so long the log of a table says what it was"
        raise ConfigurationError("keep is from 0 to 30 days", remedy=remedy)


def compact_raw(
    lake: Lake, topic: Topic | str, *, target_bytes: int = TARGET_BYTES, least: int = 2
) -> CompactionReport:
    """Merge small raw files of one partition that follow each other into larger ones.

    Rows keep their bytes and their order; the new footer is the sum of the old ones. Every file is checked against the
    hash in its name first, so that damage is never written anew under a good name.

    Args:
        lake: where the table is.
        topic: the topic, or its name; nothing is done where nothing was archived.
        target_bytes: bytes a merged file has at most, about; files of more than half of that stay.
        least: how many files are worth merging, from 2.

    Raises:
        CorruptFile: a file to be merged holds other bytes than were written; what was merged before stays.
    """
    name = name_of(topic)
    table = lake.raw(name)
    report = CompactionReport(name)
    if table is None:
        return report
    for files in _small_runs(table, target_bytes, max(2, least)):
        try:
            rows = _merge(table, files)
        except CommitConflict:
            report = attrs.evolve(report, conflicts=report.conflicts + 1)
            continue
        report = attrs.evolve(
            report, before=report.before + len(files), after=report.after + 1, rows=report.rows + rows
        )
    return report


def vacuum(lake: Lake, topic: Topic | str, *, keep: dt.timedelta = KEEP) -> list[str]:
    """Delete the topic's data files that nothing has referred to for `keep`, and the lake's abandoned temporary files.

    Args:
        lake: where the tables are.
        topic: the topic, or its name.
        keep: how far back a table can still be read, and how long a commit may take; up to 30 days.

    Returns:
        Paths of the deleted data files, below the lake's root.

    Raises:
        ConfigurationError: `keep` is not from 0 to 30 days.
    """
    require_keep(keep)
    name = name_of(topic)
    before = dt.datetime.now(dt.UTC) - keep
    lake.storage.abandoned(before.timestamp())
    tables = [table for table in (lake.raw(name), lake.clean(name)) if table is not None]
    return [f"{table.root}/{path}" for table in tables for path in table.vacuum(keep)]


def checkpoint(lake: Lake, topic: Topic | str) -> None:
    """Write checkpoints of the topic's tables, and delete log entries of more than 30 days they stand for."""
    name = name_of(topic)
    for table in (lake.raw(name), lake.clean(name)):
        if table is not None:
            table.checkpoint()
            table.clean_log()


def _small_runs(table: LakeTable, target_bytes: int, least: int) -> Iterator[list[LakeFile]]:
    """Files that follow each other in their partition, small enough to be merged together."""
    partitions: dict[tuple[Any, Any], list[LakeFile]] = defaultdict(list)
    for file in table.snapshot().files:
        partitions[file.bounds(LOG)[0], file.bounds(PARTITION)[0]].append(file)
    for files in partitions.values():
        files.sort(key=lambda file: file.bounds(OFFSET))
        for small, group in itertools.groupby(files, lambda file: 2 * file.size <= target_bytes):
            if small:
                yield from (run for run in _packed(list(group), target_bytes) if len(run) >= least)


def _packed(files: Sequence[LakeFile], target_bytes: int) -> Iterator[list[LakeFile]]:
    """The files in groups of at most `target_bytes`."""
    run: list[LakeFile] = []
    for file in files:
        if run and sum(f.size for f in run) + file.size > target_bytes:
            yield run
            run = []
        run.append(file)
    if run:
        yield run


def _merge(table: LakeTable, files: Sequence[LakeFile]) -> int:
    """Replace files by one in one commit; how many rows it has.

    Raises:
        CommitConflict: another process replaced one of them first.
        CorruptFile: one of them holds other bytes than were written.
    """
    storage = table.storage
    paths = [f"{table.root}/{file.path}" for file in files]
    with storage.copies() as copies, storage.temporary() as temporary:
        local = copies.local(paths)
        for path in paths:
            layout.check_copy(copies, path)
        footer = join_footers([_footer(*found) for found in zip(local, paths, strict=True)])
        _write_merged(local, footer, temporary)
        name = layout.raw_file_name(footer.first, layout.file_hash(temporary))
        path = str(PurePosixPath(files[0].path).parent / name)
        size = temporary.stat().st_size
        storage.publish(temporary, f"{table.root}/{path}")
    new = NewFile(path, footer.rows, size, _joined_statistics(files))
    note = {"compact": {"files": len(files), "rows": footer.rows}}
    try:
        table.commit([new], [file.path for file in files], note=note)
    except CommitConflict:
        storage.delete(f"{table.root}/{path}")  # its mark makes it nobody else's
        raise
    return footer.rows


def _footer(local: str, path: str) -> RawFooter:
    with Path(local).open("rb") as file:
        return raw_footer(file, path)


def _write_merged(files: Sequence[str], footer: RawFooter, target: Path) -> None:
    schema = pa.unify_schemas([pq.read_schema(file).remove_metadata() for file in files])
    rows = 0
    with pa.OSFile(str(target), "wb") as sink, parquet_writer(sink, schema) as writer:
        for table in _row_groups(files, schema):
            writer.write_table(table, row_group_size=max(1, table.num_rows))
            rows += table.num_rows
        writer.add_key_value_metadata({**footer.metadata(), MARK_KEY: secrets.token_hex(16).encode()})
    if rows != footer.rows:
        message = f"the files from offset {footer.first} on have {rows} rows, and {footer.rows} by their footers"
        raise CorruptFile(message, topic=footer.topic, partition=footer.partition)


def _row_groups(files: Sequence[str], schema: pa.Schema) -> Iterator[pa.Table]:
    """The rows of some files in order, with all columns, in tables of about _GROUP_BYTES."""
    waiting: list[pa.Table] = []
    for file in files:
        with pq.ParquetFile(file) as parquet:
            for number in range(parquet.num_row_groups):
                waiting.append(parquet.read_row_group(number).replace_schema_metadata(None))
                if sum(table.nbytes for table in waiting) >= _GROUP_BYTES:
                    yield _aligned(waiting, schema)
                    waiting = []
    if waiting:
        yield _aligned(waiting, schema)


def _aligned(tables: Sequence[pa.Table], schema: pa.Schema) -> pa.Table:
    """One table of several, null in the columns and members that one of them lacks."""
    return pa.concat_tables([schema.empty_table(), *tables], promote_options="default").select(schema.names)


def _joined_statistics(files: Sequence[LakeFile]) -> Statistics:
    """The bounds of the columns that all files have bounds of."""
    common = set.intersection(*(set(file.statistics) for file in files))
    found: dict[str, Any] = {}
    for column in sorted(common):
        bounds: list[Any] = [file.statistics[column] for file in files]
        found[column] = min(low for low, _ in bounds), max(high for _, high in bounds)
    return found
