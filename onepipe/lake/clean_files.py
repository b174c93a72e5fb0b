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
import pyarrow.parquet as pq

from onepipe.audit.digest import signed
from onepipe.lake import columns as c
from onepipe.lake import layout
from onepipe.lake.chunks import Day, date_of
from onepipe.lake.footer import footer_metadata, parse_footer
from onepipe.lake.in_turn import in_turn
from onepipe.lake.plan import MergePlan
from onepipe.lake.raw_files import MARK_KEY
from onepipe.lake.raw_footer import Sum
from onepipe.lake.raw_parquet import parquet_leaves
from onepipe.lake.storage import Storage
from onepipe.lake.table import NewFile

_WRITERS: Final = 3
"""Files encoded at a time; pyarrow encodes each one in one thread."""
_ROW_GROUP: Final = 1 << 17
_SAMPLE: Final = 2048
_RANDOM: Final = frozenset({c.IDENTITY, c.DIGEST_HI, c.DIGEST_LO, c.SUM_HI, c.SUM_LO})
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
    return in_turn(lambda chunk: _write(storage, plan, *chunk), chunks, threads=_WRITERS, name="onepipe-clean")


def _write(storage: Storage, plan: MergePlan, day: Day, chunk: int, rows: pa.Table) -> NewFile:
    rows = rows.select(plan.schema.names).cast(plan.schema)
    date = date_of(day)
    footer = CleanFooter(
        topic=plan.topic.name,
        day=date.isoformat() if date else None,
        chunk=chunk,
        rows=rows.num_rows,
        deleted=pc.sum(rows[c.DELETED]).as_py(),
        sums=bucket_sums(rows),
        declaration=plan.topic.document(),
    )
    with storage.temporary() as temporary:
        pq.write_table(
            rows.replace_schema_metadata({**footer.metadata(), MARK_KEY: secrets.token_hex(16).encode()}),
            temporary,
            row_group_size=_ROW_GROUP,
            **_encoding(rows),
        )
        path = layout.clean_file(date, chunk, layout.file_hash(temporary))
        size = temporary.stat().st_size
        storage.publish(temporary, f"{layout.clean_table(plan.topic.name)}/{path}")
    return NewFile(path, rows.num_rows, size, dict(_statistics(plan, day, rows)))


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
    yield c.IDENTITY, tuple(pc.min_max(rows[c.IDENTITY]).as_py().values())
    if plan.topic.event_time and day is not None and day >= 0:  # readers disagree about how to write earlier times
        yield plan.topic.event_time, tuple(pc.min_max(rows[plan.topic.event_time]).as_py().values())


def _encoding(rows: pa.Table) -> dict[str, Any]:
    """How columns are written: random numbers as they are, which nothing makes smaller, the others compressed."""
    paths = [(field.name, path) for field in rows.schema for path, _ in parquet_leaves(field.name, field.type)]
    return {
        "compression": {path: "none" if name in _RANDOM else "zstd" for name, path in paths},
        "compression_level": {path: 1 for name, path in paths if name not in _RANDOM},
        "use_dictionary": list(_repetitive(rows)),
        "write_statistics": [path for name, path in paths if name not in _RANDOM or name == c.IDENTITY],
    }


def _repetitive(rows: pa.Table) -> Iterator[str]:
    """Parquet paths of the text and binary columns whose first rows hold few distinct values: worth a dictionary."""
    for field, column in zip(rows.schema, rows.itercolumns(), strict=True):
        values, path = column, field.name
        if pa.types.is_list(field.type):
            values, path = pc.list_flatten(column.slice(0, _SAMPLE)), f"{path}.list.element"
        if not (pa.types.is_string(values.type) or pa.types.is_binary(values.type)):
            continue
        sample = values.slice(0, _SAMPLE)
        if len(sample) and 4 * pc.count_distinct(sample).as_py() <= len(sample):
            yield path


def total(sums: Iterable[Mapping[int, Sum]]) -> dict[int, Sum]:
    """The sums of several footers, by bucket."""
    totals: dict[int, Sum] = {}
    for bucket, sum_ in itertools.chain.from_iterable(part.items() for part in sums):
        totals[bucket] = totals.get(bucket, Sum()) + sum_
    return totals
