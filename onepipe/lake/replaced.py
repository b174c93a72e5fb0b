"""The rows of clean files that are replaced: few have arrivals and are folded, the others only change their file.

Each file is read once, and compared with the hash in its name. The rows without arrivals stay in memory as far as
there is room, else their file is read again; they are in the order of the new file already, so nothing sorts them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from onepipe.errors import CorruptFile
from onepipe.lake import layout
from onepipe.lake.chunks import UNDATED, Day, is_below, parse_path, span
from onepipe.lake.columns import IDENTITY
from onepipe.lake.in_turn import in_turn
from onepipe.lake.index import Hashes
from onepipe.lake.plan import DAY
from onepipe.lake.storage import Copies
from onepipe.lake.table import LakeFile, Snapshot

ROOM: Final = 1 << 28
"""Bytes of rows without arrivals that stay in memory between the two readings."""
_READERS: Final = 2
_BATCH_ROWS: Final = 1 << 16


class ReplacedRows:
    """The rows of clean files, in two parts: those with an identity hash of the arrivals, and the others.

    Args:
        copies: where the files are read.
        clean: the version of the clean table they are of.
        schema: the columns wanted; null where a file lacks one.
        files: the files, in any order.
        touched: identity hashes of the arrivals, ascending.
        room: bytes of untouched rows that may stay in memory; a few files come on top.
    """

    def __init__(
        self,
        copies: Copies,
        clean: Snapshot,
        schema: pa.Schema,
        files: Sequence[LakeFile],
        touched: Hashes,
        room: int = ROOM,
    ) -> None:
        self._copies = copies
        self._clean = clean
        self._schema = schema
        self._groups = list(_overlapping(files))
        copies.local(clean.paths(files))  # what has to be fetched, several at a time
        self._touched = touched
        self._room = room
        self._held: dict[int, pa.Table] = {}

    def touched(self) -> Iterator[pa.Table]:
        """The rows with a hash of the arrivals, by file; call it, and take all of them, before `untouched`.

        Raises:
            CorruptFile: a file is missing, or holds other bytes than were written.
        """
        for number, rows in enumerate(in_turn(self._read, self._groups, threads=_READERS, name="onepipe-replaced")):
            mask = self._has_arrivals(rows)
            if mask.any():
                yield rows.filter(pa.array(mask))
                rows = rows.filter(pa.array(~mask))
            if rows.nbytes <= self._room:
                self._room -= rows.nbytes
                self._held[number] = rows

    def untouched(self) -> Iterator[pa.RecordBatch]:
        """The other rows, with DAY; ordered by DAY, nulls first, and hash. Each is had once.

        Raises:
            CorruptFile: as `touched`.
        """
        groups = range(len(self._groups))
        for day, rows in in_turn(self._rest, groups, threads=_READERS, name="onepipe-untouched"):
            placed = rows.append_column(DAY, pa.repeat(pa.scalar(day, pa.int32()), rows.num_rows))
            yield from placed.to_batches(max_chunksize=_BATCH_ROWS)

    def _rest(self, number: int) -> tuple[Day, pa.Table]:
        rows = self._held.pop(number, None)
        if rows is None:
            rows = self._read(self._groups[number])
            rows = rows.filter(pa.array(~self._has_arrivals(rows)))
        return self._groups[number][0], rows

    def _read(self, group: tuple[Day, Sequence[LakeFile]]) -> pa.Table:
        """The rows of files of one day, ordered by hash."""
        _, files = group
        parts = [self._file(path) for path in self._clean.paths(files)]
        rows = pa.concat_tables([self._schema.empty_table(), *parts], promote_options="permissive")
        rows = rows.select(self._schema.names).cast(self._schema)
        return rows.sort_by(IDENTITY) if len(files) > 1 else rows

    def _file(self, path: str) -> pa.Table:
        data = layout.read_copy(self._copies, path)
        try:
            return pq.read_table(pa.BufferReader(data), use_threads=False).replace_schema_metadata(None)
        except (pa.ArrowException, OSError) as error:
            raise CorruptFile(f"{path} is not a Parquet file") from error

    def _has_arrivals(self, rows: pa.Table) -> npt.NDArray[np.bool_]:
        hashes = rows[IDENTITY].to_numpy()
        places = np.searchsorted(self._touched, hashes)
        found: npt.NDArray[np.bool_] = self._touched[np.minimum(places, len(self._touched) - 1)] == hashes
        return found


def _overlapping(files: Iterable[LakeFile]) -> Iterator[tuple[Day, list[LakeFile]]]:
    """The files with their day, in order; those together whose ranges of hashes overlap."""
    placed = [(*place, file) for file in files if (place := parse_path(file.path))]
    # Of a node of the tree and what lies below it, the node comes first: its range begins no later, its number is less.
    placed.sort(key=lambda it: (it[0] is not None, it[0] or 0, span(it[1])[0], it[1]))
    group: list[LakeFile] = []
    top: tuple[Day, int] | None = None
    for day, chunk, file in placed:
        if top is not None and top[0] == day and is_below(chunk, top[1]):
            group.append(file)
            continue
        if top is not None:
            yield top[0], group
        top, group = (day, chunk), [file]
    if top is not None:
        yield top[0], group


def interleaved(left: Iterable[pa.RecordBatch], right: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The rows of two sequences that are ordered by DAY, nulls first, and identity hash, in that order.

    Args:
        left: batches with DAY and the identity hash among their columns.
        right: batches of the same columns, in any order of columns. A batch or so of each is in memory at a time.
    """
    one, other = _Ordered(left), _Ordered(right)
    while one.more() and other.more():
        bound = min(one.last, other.last)
        parts = [part for part in (one.take(bound), other.take(bound)) if part.num_rows]
        yield parts[0] if len(parts) == 1 else _sorted(parts)
    for rest in (one, other):
        while rest.more():
            yield rest.take(rest.last)


class _Ordered:
    """Ordered rows, of which the first ones are taken again and again."""

    def __init__(self, batches: Iterable[pa.RecordBatch]) -> None:
        self._coming = iter(batches)
        self._rows = pa.RecordBatch.from_pydict({})
        self._days, self._hashes = np.empty(0, np.int64), np.empty(0, np.int64)

    def more(self) -> bool:
        """Whether there are rows; reads the next batch where none are held."""
        while not len(self._days):
            rows = next(self._coming, None)
            if rows is None:
                return False
            self._rows, (self._days, self._hashes) = rows, _places(rows)
        return True

    @property
    def last(self) -> tuple[int, int]:
        """Day and hash of the last row held."""
        return int(self._days[-1]), int(self._hashes[-1])

    def take(self, bound: tuple[int, int]) -> pa.RecordBatch:
        """Let go of the held rows up to a day and hash."""
        day, hash_ = bound
        low, high = np.searchsorted(self._days, day), np.searchsorted(self._days, day, side="right")
        count = int(low + np.searchsorted(self._hashes[low:high], hash_, side="right"))
        taken, self._rows = self._rows.slice(0, count), self._rows.slice(count)
        self._days, self._hashes = self._days[count:], self._hashes[count:]
        return taken


def _sorted(parts: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    names = parts[0].schema.names
    rows = pa.concat_batches([part.select(names) for part in parts])
    days, hashes = _places(rows)
    return rows.take(pa.array(np.lexsort((hashes, days))))


def _places(rows: pa.RecordBatch) -> tuple[npt.NDArray[np.int64], Hashes]:
    days = rows.column(DAY).fill_null(UNDATED).to_numpy().astype(np.int64)
    return days, rows.column(IDENTITY).to_numpy()
