"""Writing raw files: one contiguous offset range of one partition each, streamed to a temporary file, then published.

Two files never have the same bytes, as each carries a random mark beside its footer. So a file that lost its commit is
nobody else's, and can be deleted.
"""

from __future__ import annotations

import datetime as dt
import secrets
from contextlib import ExitStack
from typing import Any, Final, Self

import attrs
import pyarrow as pa
import pyarrow.compute as pc

from onepipe.declaring.topic import Topic
from onepipe.errors import LakeError
from onepipe.lake import columns as c
from onepipe.lake import layout
from onepipe.lake.raw_footer import RawFooter, Tally
from onepipe.lake.raw_parquet import parquet_writer
from onepipe.lake.raw_rows import RawRows
from onepipe.lake.storage import Storage
from onepipe.lake.table import NewFile
from onepipe.schema.values import EPOCH

MARK_KEY: Final = b"onepipe.mark"
"""Key, in a raw file's Parquet metadata, of random bytes that no other file has."""


@attrs.frozen
class RawFile:
    """A published raw file.

    Attributes:
        file: what a commit adds.
        footer: what it says of itself.
    """

    file: NewFile
    footer: RawFooter


class RawFileWriter:
    """Writes one raw file. Used by one thread at a time; closed without `finish`, it leaves nothing.

    Args:
        storage: the lake's storage.
        topic: the topic; its fields are columns.
        log: identity of the log.
        partition: number of the partition.
        first: first offset of the file's range.
        columns: its columns, where they are more than the topic's raw ones.

    Attributes:
        first: first offset of the file's range.
        rows: rows added.
        pending: bytes in memory, of rows added and not yet written.
    """

    def __init__(
        self,
        storage: Storage,
        topic: Topic,
        log: str,
        partition: int,
        first: int,
        columns: pa.Schema | None = None,
    ) -> None:
        self.rows = 0
        self.pending = 0
        self.first = first
        self._storage = storage
        self._topic = topic
        self._log = log
        self._partition = partition
        self._tables: list[pa.Table] = []
        self._tally = Tally()
        self._statistics: dict[str, tuple[Any, Any]] = {c.LOG: (log, log), c.PARTITION: (partition, partition)}
        self._resources = ExitStack()
        self._path = self._resources.enter_context(storage.temporary())
        self._sink = self._resources.enter_context(pa.OSFile(str(self._path), "wb"))
        self._parquet = parquet_writer(self._sink, columns or c.raw_schema(topic))
        self._resources.callback(self._abandon)
        self._hour: dt.datetime | None = None

    @property
    def written(self) -> int:
        """Bytes in the temporary file."""
        return int(self._sink.tell())

    def add(self, rows: RawRows) -> None:
        """Take rows that follow those taken so far."""
        if self._hour is None:
            self._hour = rows.table.column(c.TIMESTAMP)[0].as_py() or EPOCH
        rows.count(self._tally)
        self._note_statistics(rows.table)
        self._tables.append(rows.table)
        self.rows += rows.table.num_rows
        self.pending += rows.table.nbytes

    def spill(self) -> None:
        """Write the rows in memory as a row group."""
        if self._tables:
            table = pa.concat_tables(self._tables)
            self._tables, self.pending = [], 0
            self._parquet.write_table(table, row_group_size=table.num_rows)

    def finish(self, next_offset: int) -> RawFile:
        """Publish the file, as holding all of the log's messages from `first` up to but not including `next_offset`.

        Raises:
            LakeError: no rows were added.
        """
        if self._hour is None:
            raise LakeError("a raw file needs rows", topic=self._topic.name, partition=self._partition)
        self.spill()
        footer = self._tally.footer(
            topic=self._topic.name, log=self._log, partition=self._partition, first=self.first, next=next_offset
        )
        self._parquet.add_key_value_metadata({**footer.metadata(), MARK_KEY: secrets.token_hex(16).encode()})
        self._parquet.close()
        self._sink.close()
        path = layout.raw_file(self._partition, self._hour, self.first, layout.file_hash(self._path))
        size = self._path.stat().st_size
        self._storage.publish(self._path, f"{layout.raw_table(self._topic.name)}/{path}")
        self.close()
        return RawFile(NewFile(path, self.rows, size, self._statistics), footer)

    def close(self) -> None:
        """Let go of the temporary file. May be called again."""
        self._tables = []
        self._resources.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def _note_statistics(self, table: pa.Table) -> None:
        wanted = [c.OFFSET, c.TIMESTAMP, *([self._topic.event_time] if self._topic.event_time else [])]
        found = {name: pc.min_max(table.column(name)).as_py() for name in wanted}
        for name, bounds in found.items():
            if bounds["min"] is not None:
                low, high = self._statistics.get(name, (bounds["min"], bounds["max"]))
                self._statistics[name] = min(low, bounds["min"]), max(high, bounds["max"])

    def _abandon(self) -> None:
        if self._parquet.is_open:
            self._parquet.close()
