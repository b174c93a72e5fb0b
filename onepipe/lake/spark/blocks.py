"""Blocks: rows on their way between tasks, as Arrow's stream format, so that Spark need not know their types."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from onepipe.errors import OnepipeError

ARRIVALS: Final = "arrivals"
"""Kind of a block of good raw rows."""
CLEAN: Final = "clean"
"""Kind of a block of rows of the clean table."""
COUNTS: Final = "counts"
"""Kind of a pair: how many raw rows of a file are good, and how many have an error."""
FAILED: Final = "failed"
"""Kind of an error that a task met; it travels as a value, as trying again would not help."""

Block: TypeAlias = "tuple[str, bytes | tuple[int, int] | OnepipeError]"
"""A kind, and what it is of."""
Keyed: TypeAlias = "tuple[int, Block]"
"""A block with the partition it goes to."""


def packed(rows: pa.Table | pa.RecordBatch) -> bytes:
    """Rows as bytes."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write(rows)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def unpacked(data: bytes) -> pa.Table:
    """The rows that bytes are."""
    return pa.ipc.open_stream(data).read_all()


def hash_range(hashes: npt.NDArray[np.int64], level: int) -> npt.NDArray[np.int64]:
    """Which of the 2**level equal ranges of signed 64-bit numbers each one is in, from the least."""
    if level == 0:
        return np.zeros(len(hashes), np.int64)
    shifted = (hashes.view(np.uint64) ^ np.uint64(1 << 63)) >> np.uint64(64 - level)
    return shifted.astype(np.int64)


def parted(rows: pa.Table, keys: npt.NDArray[np.int64]) -> Iterator[tuple[int, pa.Table]]:
    """The rows by their key, in their order."""
    order = np.argsort(keys, kind="stable")
    sorted_keys = keys[order]
    taken = rows.take(pa.array(order))
    edges = [0, *(np.flatnonzero(np.diff(sorted_keys)) + 1).tolist(), len(keys)]
    for start, stop in itertools.pairwise(edges):
        if start < stop:
            yield int(sorted_keys[start]), taken.slice(start, stop - start)


def failures(blocks: Iterable[Block]) -> list[OnepipeError]:
    """The errors among blocks."""
    return [what for kind, what in blocks if kind == FAILED and isinstance(what, OnepipeError)]
