"""Reading again what was archived while the registry did not know its schema.

A raw row holds its message verbatim, so it can be decoded once its schema is known. The file that holds it is written
anew, with the same offsets; rows that were read then stay as they are. One commit puts the new file in the old one's
place and counts the rewrite (`onepipe.lake.unmerged.REREAD`). The rows may lie below the clean table's progress, so the
next dedup sees the count, merges all rows anew, and commits the count with them. Killed at any point, both tables are
as before or as after; until that dedup, verification calls the clean table open.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from onepipe.errors import CommitConflict
from onepipe.lake import columns as c
from onepipe.lake import layout
from onepipe.lake.raw_files import RawFile, RawFileWriter
from onepipe.lake.raw_footer import RawFooter, raw_footer
from onepipe.lake.raw_headers import message_headers, read_audit
from onepipe.lake.raw_rows import RawRows, RowReader
from onepipe.lake.table import LakeFile, LakeTable
from onepipe.lake.unmerged import REREAD

if TYPE_CHECKING:
    from onepipe.declaring.topic import Topic
    from onepipe.lake import Lake
    from onepipe.lake.raw_values import Rows
    from onepipe.registry.port import SchemaSource

_BATCH: Final = 16_384
_PENDING_BYTES: Final = 64 << 20
_BEHIND: Final = f"{c.Quarantine.UNKNOWN_SCHEMA};"
"""Behind every error of an unknown schema, which goes on with ":", and before what comes after them."""


@attrs.frozen
class RereadReport:
    """What reading again did.

    Attributes:
        topic: name of the topic.
        rows: rows whose schema is known now.
        files: raw files written anew.
        conflicts: files left as they are, because another process had replaced them.
    """

    topic: str
    rows: int = 0
    files: int = 0
    conflicts: int = 0


def reread(lake: Lake, topic: Topic, registry: SchemaSource) -> RereadReport:
    """Decode the raw rows that were quarantined for an unknown schema, as far as the registry knows it by now.

    May run beside archives, dedups, maintenance and itself, and be killed at any point.

    Args:
        lake: where the table is; nothing is done where nothing was archived.
        topic: the current declaration, by which they are read.
        registry: where schemas are found.

    Raises:
        RegistryUnavailable: the registry cannot be asked; what was written before stays.
        CorruptFile: a file to be written anew holds other bytes than were written.
        LakeError: the storage failed, or a field has another type than its column.
    """
    report = RereadReport(topic.name)
    table = lake.raw(topic.name)
    if table is None:
        return report
    for file in table.snapshot().files:
        if not _may_be_unknown(table, file):
            continue
        try:
            rows = _Rereading(lake, table, topic, registry, file).run()
        except CommitConflict:
            report = attrs.evolve(report, conflicts=report.conflicts + 1)
            continue
        report = attrs.evolve(report, rows=report.rows + rows, files=report.files + bool(rows))
    return report


def _may_be_unknown(table: LakeTable, file: LakeFile) -> bool:
    """Whether a file may hold rows of unknown schema, by the bounds of its errors; reads its end alone."""
    try:
        with table.storage.open(f"{table.root}/{file.path}") as opened, pq.ParquetFile(opened) as parquet:
            metadata = parquet.metadata
            error = next(n for n in range(metadata.num_columns) if metadata.schema.column(n).path == c.ERROR)
            found = [metadata.row_group(group).column(error).statistics for group in range(metadata.num_row_groups)]
    except (pa.ArrowException, OSError):
        return False  # damaged: verification says so
    bounds = [(each.min, each.max) for each in found if each is not None and each.has_min_max]
    return any(least < _BEHIND and greatest >= c.Quarantine.UNKNOWN_SCHEMA for least, greatest in bounds)


class _Rereading:
    """One file that is read again."""

    def __init__(self, lake: Lake, table: LakeTable, topic: Topic, registry: SchemaSource, file: LakeFile) -> None:
        self.lake = lake
        self.table = table
        self.topic = topic
        self.registry = registry
        self.file = file

    def run(self) -> int:
        """Write the file anew and commit it; how many rows have a schema that is known now, 0 where nothing changed."""
        path = f"{self.table.root}/{self.file.path}"
        count = self.table.progress([REREAD])[REREAD]
        with self.lake.storage.copies() as copies:
            layout.check_copy(copies, path)
            local = Path(*copies.local([path]))
            with local.open("rb") as opened:
                footer = raw_footer(opened, path)
            known = self._known(local, footer)
            if not known:
                return 0
            self.lake.catalog.declare(self.topic)
            self.table.add_columns(c.raw_schema(self.topic))
            made = self._write(local, footer)
        self._commit(made, count, known)
        return known

    def _known(self, local: Path, footer: RawFooter) -> int:
        """How many rows' schemas are known by now."""
        reader = RowReader(self.topic, self.registry, footer.log)
        known = 0
        for batch in _batches(local):
            rows = _unknown(batch)
            if len(rows):
                known += len(rows) - len(_unknown(reader.read_again(batch.take(pa.array(rows))).table))
        return known

    def _write(self, local: Path, footer: RawFooter) -> RawFile:
        """Publish the file's rows, with those that are read again in their places."""
        columns = pa.unify_schemas([pq.read_schema(local).remove_metadata(), c.raw_schema(self.topic)])
        columns = pa.schema([field.remove_metadata() for field in columns])
        reader = RowReader(self.topic, self.registry, footer.log)
        place = footer.log, footer.partition, footer.first
        with RawFileWriter(self.lake.storage, self.topic, *place, columns) as writer:
            for batch in _batches(local):
                writer.add(_with_known(batch, reader, columns, footer))
                if writer.pending > _PENDING_BYTES:
                    writer.spill()
            return writer.finish(footer.next)

    def _commit(self, made: RawFile, count: int | None, known: int) -> None:
        note = {"reread": {"rows": known}}
        try:
            self.table.commit([made.file], [self.file.path], {REREAD: (count, (count or 0) + 1)}, note)
        except CommitConflict:
            self.lake.storage.delete(f"{self.table.root}/{made.file.path}")  # its mark makes it nobody else's
            raise


def _batches(local: Path) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(local) as parquet:
        yield from (batch for batch in parquet.iter_batches(_BATCH) if batch.num_rows)


def _unknown(rows: pa.RecordBatch | pa.Table) -> Rows:
    """Numbers of the rows that are quarantined for an unknown schema."""
    unknown = pc.fill_null(pc.starts_with(rows.column(c.ERROR), c.Quarantine.UNKNOWN_SCHEMA), False)
    numbers: Rows = np.flatnonzero(unknown.to_numpy(zero_copy_only=False))
    return numbers


def _with_known(batch: pa.RecordBatch, reader: RowReader, columns: pa.Schema, footer: RawFooter) -> RawRows:
    """Rows of a file, those of unknown schema as they are read now."""
    tables = [columns.empty_table(), pa.Table.from_batches([batch]).replace_schema_metadata(None)]
    places, schemas, rows = np.arange(batch.num_rows), dict(footer.schemas), _unknown(batch)
    if len(rows):
        again = reader.read_again(batch.take(pa.array(rows)))
        tables.append(again.table)
        schemas |= again.schemas
        places[rows] = batch.num_rows + np.arange(len(rows))
    joined = pa.concat_tables(tables, promote_options="default").select(columns.names)
    table = joined.combine_chunks().take(pa.array(places))
    hi, lo = (table.column(name).to_numpy() for name in (c.DIGEST_HI, c.DIGEST_LO))
    return RawRows(table, hi, lo, read_audit(message_headers(batch)), schemas)
