"""What damaged files still hold: their readable rows, copied to files that an engine can read.

A damaged file may be anything. Reading it must neither fail a verification nor let rows into it that cannot be the
file's own: rows of another place, of another time than there is, of an identity that is not theirs. So such rows, and
row groups that cannot be read or are not sound, are left out of the copy.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import secrets
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple, Self, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from onepipe.errors import CorruptFile
from onepipe.lake import columns as c
from onepipe.lake.plan import MergePlan
from onepipe.lake.raw_identity import column_keys, identity_hashes
from onepipe.schema.values import EPOCH, EPOCH_ORDINAL

if TYPE_CHECKING:
    from onepipe.declaring.topic import Topic

_TIMES: Final = (
    dt.datetime.min.replace(tzinfo=dt.UTC),
    dt.datetime.max.replace(microsecond=0, tzinfo=dt.UTC),
)


Source: TypeAlias = Callable[[], BinaryIO]
"""Opens a damaged file."""


class Salvaged(NamedTuple):
    """A copy of what could be read.

    Attributes:
        file: the local file.
        rows: rows in it.
    """

    file: str
    rows: int


class Salvage:
    """Copies of damaged files of one topic, in a folder of their own. Close it, or use it as a context.

    Attributes:
        folder: where the copies are.
    """

    def __init__(self, topic: Topic, declarations: Sequence[Topic]) -> None:
        """Make the folder.

        Args:
            topic: the latest declaration.
            declarations: every declaration the topic's files may have been written under.
        """
        self._topic = topic
        self._declarations = declarations
        self._temporary = tempfile.TemporaryDirectory(prefix="onepipe-salvage-")
        self.folder = self._temporary.name

    def raw(self, source: Source, log: str, partition: int, first: int, last: int) -> Salvaged | None:
        """Copy the rows of a raw file that are of its place and range of offsets; None where there are none."""

        def sound(rows: pa.Table) -> pa.ChunkedArray:
            offset = rows[c.OFFSET]
            in_range = pc.and_(pc.greater_equal(offset, first), pc.less_equal(offset, last))
            here = pc.and_(pc.equal(rows[c.LOG], log), pc.equal(rows[c.PARTITION], partition))
            digest = pc.and_(pc.is_valid(rows[c.DIGEST_HI]), pc.is_valid(rows[c.DIGEST_LO]))
            return pc.and_(pc.and_(in_range, here), digest)

        return self._copy(source, [c.raw_schema(declared) for declared in self._declarations], sound)

    def clean(self, source: Source, least: int, greatest: int) -> Salvaged | None:
        """Copy the rows of a clean file whose identity hash is theirs and in its range; None where there are none."""
        topic = self._topic

        def sound(rows: pa.Table) -> pa.ChunkedArray:
            hashed = rows[c.IDENTITY]
            mask = pc.and_(pc.greater_equal(hashed, least), pc.less_equal(hashed, greatest))
            for name in (*topic.identity, c.ARRIVALS, c.SUM_HI, c.SUM_LO):
                mask = pc.and_(mask, pc.is_valid(rows[name]))
            kept = rows.filter(mask)
            keys = column_keys(topic, [kept[name].combine_chunks() for name in topic.identity])
            flags = np.asarray(mask.fill_null(False).to_numpy(zero_copy_only=False), bool).copy()
            flags[flags] = identity_hashes(keys) == kept[c.IDENTITY].to_numpy()
            return pa.chunked_array([pa.array(flags)])

        return self._copy(source, [MergePlan(declared).schema for declared in self._merged()], sound)

    def close(self) -> None:
        """Delete the copies."""
        self._temporary.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _merged(self) -> Iterator[Topic]:
        return (declared for declared in self._declarations if declared.merge is not None)

    def _copy(
        self, source: Source, schemas: Sequence[pa.Schema], sound: Callable[[pa.Table], pa.ChunkedArray]
    ) -> Salvaged | None:
        target = Path(self.folder, f"{secrets.token_hex(8)}.parquet")
        count = 0
        with contextlib.ExitStack() as stack:
            writer: pq.ParquetWriter | None = None
            for rows in _row_groups(source, schemas, sound):
                if writer is None:
                    writer = stack.enter_context(pq.ParquetWriter(target, rows.schema, compression="lz4"))
                writer.write_table(rows)
                count += rows.num_rows
        return Salvaged(str(target), count) if count else None


def _row_groups(
    source: Source, schemas: Sequence[pa.Schema], sound: Callable[[pa.Table], pa.ChunkedArray]
) -> Iterator[pa.Table]:
    """The sound rows of each row group that can be read, as the declared columns."""
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(pq.ParquetFile(stack.enter_context(source())))
            schema = _declared(file.schema_arrow.names, schemas)
            numbers = range(file.num_row_groups)
        except Exception:  # a damaged file fails in any way
            return
        for number in numbers:
            found = None
            with contextlib.suppress(Exception):  # a damaged file fails in any way
                rows = file.read_row_group(number).select(schema.names).cast(schema)
                rows.validate(full=True)
                found = rows.filter(_timely(rows, sound(rows)))
            if found is not None and found.num_rows:
                yield found


def _declared(names: Sequence[str], schemas: Sequence[pa.Schema]) -> pa.Schema:
    """The declared types of a file's columns.

    Raises:
        CorruptFile: they are not those of any declaration, nor of several together.
    """
    types: dict[str, pa.Field] = {}
    for schema in schemas:
        for field in schema:
            types.setdefault(field.name, field)
    found = set(names)
    if not found <= types.keys() or not any(found.issuperset(schema.names) for schema in schemas):
        raise CorruptFile("its columns are not declared")
    return pa.schema([types[name] for name in names])


def _timely(rows: pa.Table, mask: pa.ChunkedArray) -> pa.ChunkedArray:
    """A mask without rows that have a time beyond the calendar."""
    for field, column in zip(rows.schema, rows.itercolumns(), strict=True):
        if pa.types.is_timestamp(field.type) or pa.types.is_date(field.type):
            whole = column.cast(pa.int32() if pa.types.is_date32(field.type) else pa.int64())
            bounds = [_number(moment, field.type) for moment in _TIMES]
            inside = pc.and_(pc.greater_equal(whole, bounds[0]), pc.less_equal(whole, bounds[1]))
            mask = pc.and_(mask, pc.or_(inside.fill_null(True), pc.is_null(column)))
    return mask


def _number(moment: dt.datetime, type_: pa.DataType) -> int:
    if pa.types.is_date(type_):
        return moment.date().toordinal() - EPOCH_ORDINAL
    seconds = (moment - EPOCH) // dt.timedelta(seconds=1)
    return seconds * {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[type_.unit]
