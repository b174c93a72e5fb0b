"""Chunks: how the rows of one day are shared out to files, by ranges of the identity hash.

The ranges are the nodes of a binary tree over all signed 64-bit hashes: chunk 1 is the whole range, chunk N has the
halves 2N and 2N + 1. A day of few rows is chunk 1; a chunk that grows too large is split into nodes below it, and the
others stay as they are. A chunk's number alone says its range, so finding an identity's chunk reads no file.
"""

from __future__ import annotations

import datetime as dt
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from onepipe.lake.columns import IDENTITY
from onepipe.lake.plan import DAY
from onepipe.schema.values import EPOCH_ORDINAL

ROOT: Final = 1
"""The chunk that is the whole range."""
LEAST: Final = -(1 << 63)
"""The least identity hash."""
END: Final = 1 << 63
"""One more than the greatest identity hash."""
MAX_LEVEL: Final = 24
"""Halvings at most: rows that no more than this many bits tell apart stay together, however many."""

Day: TypeAlias = int | None
"""A day of event time: days since 1970-01-01 UTC, or None for rows without event time of years 1 to 9999."""
UNDATED: Final = -(1 << 31)
"""Stands for a null day where days are numbers; no day of years 1 to 9999 is that far back."""

_PATH: Final = re.compile(r"(?:(\d{4})/(\d\d)/(\d\d)|undated)/chunk(\d+)-[0-9a-f]{32}\.parquet\Z")


def date_of(day: Day) -> dt.date | None:
    """The date of a day."""
    return None if day is None else dt.date.fromordinal(day + EPOCH_ORDINAL)


def day_of(date: dt.date) -> int:
    """The day of a date."""
    return date.toordinal() - EPOCH_ORDINAL


def parse_path(path: str) -> tuple[Day, int] | None:
    """The day and chunk a clean file's path says, or None for another kind of path."""
    found = _PATH.search(path)
    if found is None:
        return None
    year, month, day, chunk = found.groups()
    return (day_of(dt.date(int(year), int(month), int(day))) if year else None), int(chunk)


def span(chunk: int) -> tuple[int, int]:
    """The range of a chunk: its least hash, and the end, exclusive."""
    level = chunk.bit_length() - 1
    width = 1 << (64 - level)
    low = LEAST + (chunk - (1 << level)) * width
    return low, low + width


def free_chunk(hash_: int, taken: Iterable[int]) -> int:
    """The largest chunk with a hash that overlaps no taken chunk; no taken one may hold the hash."""
    taken = list(taken)
    node = ROOT
    while any(is_below(other, node) for other in taken):
        middle = span(2 * node)[1]
        node = 2 * node + (hash_ >= middle)
    return node


def is_below(chunk: int, node: int) -> bool:
    """Whether a chunk is a node of the tree, or lies below it."""
    levels = chunk.bit_length() - node.bit_length()
    return levels >= 0 and chunk >> levels == node


def topmost(chunks: Iterable[int]) -> set[int]:
    """The chunks that lie below no other one."""
    kept: set[int] = set()
    for chunk in sorted(chunks):  # a node's number is less than those below it
        if not any(is_below(chunk, node) for node in kept):
            kept.add(chunk)
    return kept


def within(hashes: npt.NDArray[np.int64], chunk: int) -> tuple[int, int]:
    """Where a chunk's hashes begin and end among ascending ones."""
    low, high = span(chunk)
    return _below(hashes, low), _below(hashes, high)


def cut(
    batches: Iterable[pa.RecordBatch], target: int, chunks: Mapping[Day, Sequence[int]]
) -> Iterator[tuple[Day, int, pa.Table]]:
    """Cut rows into chunks of at most `target` rows, in their order; about so many are held at a time.

    Args:
        batches: rows ordered by DAY, nulls anywhere but together, and by identity hash.
        target: most rows of a chunk, from 1.
        chunks: by day, the disjoint chunks that all its rows lie in, and are cut below; ROOT where a day has none.

    Yields:
        Day, chunk and its rows, without the column DAY.
    """
    for (day, chunk), run in itertools.groupby(_by_range(batches, chunks), key=itemgetter(0, 1)):
        rows = _Rows(batch for _, _, batch in run)
        for node, table in _split(rows, chunk, target):
            yield day, node, table


def _by_range(
    batches: Iterable[pa.RecordBatch], chunks: Mapping[Day, Sequence[int]]
) -> Iterator[tuple[Day, int, pa.RecordBatch]]:
    """The rows by day and the chunk they lie in."""
    ordered = {day: sorted(chunks[day], key=span) for day in chunks}
    for batch in batches:
        days = batch.column(DAY).fill_null(UNDATED).to_numpy()
        hashes = batch.column(IDENTITY).to_numpy()
        rows = batch.drop_columns([DAY])
        edges = [0, *(np.flatnonzero(np.diff(days)) + 1).tolist(), len(days)]
        for start, stop in itertools.pairwise(edges):
            day = None if days[start] == UNDATED else int(days[start])
            for chunk in ordered.get(day, (ROOT,)):
                first, last = within(hashes[start:stop], chunk)
                if first < last:
                    yield day, chunk, rows.slice(start + first, last - first)


def _split(rows: _Rows, node: int, target: int) -> Iterator[tuple[int, pa.Table]]:
    """Take the rows of a node: whole where they are few enough, else its halves one after the other."""
    end = span(node)[1]
    rows.hold(target + 1)
    count = rows.below(end)
    if count > target and node.bit_length() <= MAX_LEVEL:
        yield from _split(rows, 2 * node, target)
        yield from _split(rows, 2 * node + 1, target)
        return
    while count == rows.held and rows.hold(count + 1):
        count = rows.below(end)
    if count:
        yield node, rows.take(count)


class _Rows:
    """Rows ordered by identity hash, read from batches as far as needed."""

    def __init__(self, batches: Iterator[pa.RecordBatch]) -> None:
        self._coming = batches
        self._batches: list[pa.RecordBatch] = []
        self.held = 0

    def hold(self, count: int) -> bool:
        """Read until `count` rows are held; False where there are not so many."""
        while self.held < count:
            batch = next(self._coming, None)
            if batch is None:
                return False
            self._batches.append(batch)
            self.held += batch.num_rows
        return True

    def below(self, end: int) -> int:
        """How many of the held rows have a hash below `end`."""
        return sum(_below(batch.column(IDENTITY).to_numpy(), end) for batch in self._batches)

    def take(self, count: int) -> pa.Table:
        """Let go of the first rows."""
        held = pa.Table.from_batches(self._batches)
        rest = held.slice(count)
        self._batches = rest.to_batches()
        self.held = rest.num_rows
        return held.slice(0, count)


def _below(hashes: npt.NDArray[np.int64], end: int) -> int:
    """How many of the ascending hashes are below `end`, which may be one more than an int64 can be."""
    return len(hashes) if end == END else int(np.searchsorted(hashes, end))
