"""The files of a clean table: one chunk of one day's rows each, sorted by identity hash, with sums in the footer.

As among raw files, no two have the same bytes: each carries a random mark beside its footer.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO, Final

import attrs
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from onepipe.evidence.digest import signed
from onepipe.lake import columns as c
from onepipe.lake import layout
from onepipe.lake.chunks import Day, date_of
from onepipe.lake.clean_parquet import CleanParquet
from onepipe.lake.footer import footer_metadata, parse_footer
from onepipe.lake.in_turn import in_turn
from onepipe.lake.plan import MergePlan
from onepipe.lake.raw_files import MARK_KEY
from onepipe.lake.raw_footer import Sum
from onepipe.lake.storage import Storage
from onepipe.lake.table import NewFile

_WRITERS: Final = 3
"""Files encoded at a time; pyarrow encodes each one in one thread."""
_BUCKET_SHIFT: Final = np.uint64(58)


@attrs.frozen
class CleanFooter:
    """The footer metadata of a clean file.

    Attributes:
        topic: name of the topic.
        day: ISO date of the event time's UTC day, None where the rows have none.
        chunk: number of the chunk in the day; see `onepipe.lake.chunks`.
        rows: rows in the file.
        deleted: hidden rows among them.
        sums: by identity bucket, raw arrivals the rows stand for, and the sum of their digests.
        declaration: document of the topic that governed the merge.
    """

    topic: str
    day: str | None
    chunk: int
    rows: int
    deleted: int
    sums: Mapping[int, Sum]
    declaration: Any

    def metadata(self) -> dict[bytes, bytes]:
        """The footer as Parquet key-value metadata."""
        sums = {str(bucket): [s.rows, s.hi, s.lo] for bucket, s in self.sums.items()}
        return footer_metadata({**attrs.asdict(self, recurse=False), "sums": sums})

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> CleanFooter:
        """The footer that JSON value says."""
        return cls(**{**document, "sums": {int(bucket): Sum(*s) for bucket, s in document["sums"].items()}})


def read_clean_footer(storage: Storage, path: str) -> CleanFooter:
    """The footer of a clean file.

    Args:
        storage: where it is.
        path: path below the storage's root.

    Raises:
        CorruptFile: there is no such file, or it has no such footer.
    """
    with storage.open(path) as file:
        return clean_footer(file, path)


def clean_footer(file: BinaryIO, path: str) -> CleanFooter:
    """The footer of an open clean file.

    Args:
        file: the file; it can seek.
        path: what to call it in an error.

    Raises:
        CorruptFile: it has no such footer.
    """
    return parse_footer(file, path, "clean", CleanFooter.from_document)


def write_chunks(storage: Storage, plan: MergePlan, chunks: Iterable[tuple[Day, int, pa.Table]]) -> Iterator[NewFile]:
    """Publish chunks as files below the topic's clean table, a few at a time, in their order.

    Args:
        storage: where to.
        plan: gives columns and declaration.
        chunks: day, number and rows, sorted by identity hash.
    """
    files = _CleanFiles(storage, plan)
    return in_turn(lambda chunk: files.write(*chunk), chunks, threads=_WRITERS, name="onepipe-clean")


class _CleanFiles:
    """Publishes the chunks of one dedup. Thread-safe."""

    def __init__(self, storage: Storage, plan: MergePlan) -> None:
        self._storage = storage
        self._plan = plan
        self._root = layout.clean_table(plan.topic.name)
        self._declaration = plan.topic.document()
        self._parquet = CleanParquet(plan.schema)

    def write(self, day: Day, chunk: int, rows: pa.Table) -> NewFile:
        if rows.schema != self._plan.schema:
            rows = rows.select(self._plan.schema.names).cast(self._plan.schema)
        date = date_of(day)
        footer = CleanFooter(
            topic=self._plan.topic.name,
            day=date.isoformat() if date else None,
            chunk=chunk,
            rows=rows.num_rows,
            deleted=pc.sum(rows[c.DELETED]).as_py(),
            sums=bucket_sums(rows),
            declaration=self._declaration,
        )
        with self._storage.temporary() as temporary:
            self._parquet.write(rows, {**footer.metadata(), MARK_KEY: secrets.token_hex(16).encode()}, temporary)
            path = layout.clean_file(date, chunk, layout.file_hash(temporary))
            size = temporary.stat().st_size
            self._storage.publish(temporary, f"{self._root}/{path}")
        return NewFile(path, rows.num_rows, size, dict(_statistics(self._plan, day, rows)))


def bucket_sums(rows: pa.Table) -> dict[int, Sum]:
    """Arrivals and digest sums by identity bucket of rows sorted by identity hash."""
    buckets = rows[c.IDENTITY].to_numpy().view(np.uint64) >> _BUCKET_SHIFT
    starts = np.flatnonzero(np.diff(buckets, prepend=~buckets[:1]))
    arrivals, hi, lo = (
        np.add.reduceat(rows[name].to_numpy().view(np.uint64), starts).tolist()  # unsigned addition wraps at 2**64
        for name in (c.ARRIVALS, c.SUM_HI, c.SUM_LO)
    )
    return {
        int(bucket): Sum(count, signed(high), signed(low))
        for bucket, count, high, low in zip(buckets[starts], arrivals, hi, lo, strict=True)
    }


def _statistics(plan: MergePlan, day: Day, rows: pa.Table) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Least and greatest identity hash and event time, by which readers skip files."""
    hashes = rows[c.IDENTITY]
    yield c.IDENTITY, (hashes[0].as_py(), hashes[-1].as_py())  # they are sorted by it
    if plan.topic.event_time and day is not None and day >= 0:  # readers disagree about how to write earlier times
        yield plan.topic.event_time, tuple(pc.min_max(rows[plan.topic.event_time]).as_py().values())


def total(sums: Iterable[Mapping[int, Sum]]) -> dict[int, Sum]:
    """The sums of several footers, by bucket."""
    totals: dict[int, Sum] = {}
    for bucket, sum_ in itertools.chain.from_iterable(part.items() for part in sums):
        totals[bucket] = totals.get(bucket, Sum()) + sum_
    return totals
