"""What a raw file says of itself in its Parquet footer: its range, its schemas, and sums to account for its rows.

The footer is evidence: from the footers alone one knows which offsets of which log are archived, which sequences of
which writers they hold, and how many rows with which sum of digests fall into each hour and each identity bucket.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO, Final, TypeAlias

import attrs
import numpy as np
import numpy.typing as npt

from onepipe.errors import CorruptFile
from onepipe.evidence.digest import signed
from onepipe.lake.columns import NO_BUCKET
from onepipe.lake.footer import footer_metadata, parse_footer
from onepipe.schema.values import EPOCH

MAX_RUNS: Final = 4096
"""Most entries of `writers` in one footer; beyond, one entry a writer stands for all of its sequences in the file."""

NO_HOUR: Final = "none"
"""Stands in `hours` for rows without timestamp, or with one outside the years 1 to 9999."""

HOUR_MICROSECONDS: Final = 3_600_000_000
_UNTIMED: Final = 1 << 40
_LOW: Final = np.uint64(0xFFFFFFFF)
_HALF: Final = np.uint64(32)
_BUCKET_SHIFT: Final = np.uint64(58)

Int64s: TypeAlias = npt.NDArray[np.int64]
Bools: TypeAlias = npt.NDArray[np.bool_]


@attrs.frozen
class Sum:
    """Rows, and the lanes of the sum of their digests."""

    rows: int = 0
    hi: int = 0
    lo: int = 0

    def __add__(self, other: Sum) -> Sum:
        return Sum(self.rows + other.rows, signed(self.hi + other.hi), signed(self.lo + other.lo))


@attrs.frozen
class Run:
    """Records of one writer epoch, in one partition.

    Attributes:
        epoch: the writer epoch, hexadecimal.
        first: least sequence.
        last: greatest sequence. Where `sum.rows` is not `last - first + 1`, the rows say which sequences they are.
        sum: rows and digests.
    """

    epoch: str
    first: int
    last: int
    sum: Sum


@attrs.frozen
class RawFooter:
    """The footer metadata of a raw file.

    Attributes:
        topic: name of the topic.
        log: identity of the log.
        partition: number of the partition.
        first: first offset of the range the file stands for; the range of the file before it ends there.
        next: end of the range, exclusive. Offsets inside without row were not in the log (gaps are legal).
        rows: rows in the file.
        quarantined: rows among them with an error.
        schemas: the documents of the schemas the rows were written with, by schema id; by `Frame.named` where the
            messages name it otherwise.
        sums: the good rows by identity bucket (NO_BUCKET where the identity is not known).
        writers: the rows with audit header, quarantined ones too, by writer, in order of first appearance.
        hours: all rows by the UTC hour of the message's timestamp, as "2013-01-01T10", or NO_HOUR.
    """

    topic: str
    log: str
    partition: int
    first: int
    next: int
    rows: int
    quarantined: int
    schemas: Mapping[int | str, Any]
    sums: Mapping[int, Sum]
    writers: Sequence[Run]
    hours: Mapping[str, Sum]

    def document(self) -> dict[str, Any]:
        """The footer as JSON value."""
        return {
            **{name: getattr(self, name) for name in _PLAIN},
            "schemas": {str(number): document for number, document in self.schemas.items()},
            "sums": {str(bucket): [s.rows, s.hi, s.lo] for bucket, s in self.sums.items()},
            "writers": [[run.epoch, run.first, run.last, run.sum.rows, run.sum.hi, run.sum.lo] for run in self.writers],
            "hours": {hour: [s.rows, s.hi, s.lo] for hour, s in self.hours.items()},
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> RawFooter:
        """The footer that JSON value says."""
        return cls(
            **{name: document[name] for name in _PLAIN},
            schemas={n if ":" in n else int(n): schema for n, schema in document["schemas"].items()},
            sums={int(bucket): Sum(*s) for bucket, s in document["sums"].items()},
            writers=tuple(Run(epoch, first, last, Sum(*s)) for epoch, first, last, *s in document["writers"]),
            hours={hour: Sum(*s) for hour, s in document["hours"].items()},
        )

    def metadata(self) -> dict[bytes, bytes]:
        """The footer as Parquet key-value metadata."""
        return footer_metadata(self.document())


_PLAIN: Final = ("topic", "log", "partition", "first", "next", "rows", "quarantined")


def raw_footer(file: BinaryIO, path: str) -> RawFooter:
    """The footer of an open raw file.

    Args:
        file: the file; it can seek.
        path: what to call it in an error.

    Raises:
        CorruptFile: it has no such footer.
    """
    return parse_footer(file, path, "raw", RawFooter.from_document)


def join_footers(footers: Sequence[RawFooter]) -> RawFooter:
    """The footer of a file that holds the rows of several, which follow each other.

    Raises:
        CorruptFile: they are not of one log and partition, or do not follow each other.
    """
    for left, right in itertools.pairwise(footers):
        if (left.topic, left.log, left.partition, left.next) != (right.topic, right.log, right.partition, right.first):
            message = f"the file of offset {right.first} does not follow the one that ends at {left.next}"
            raise CorruptFile(message, topic=left.topic, partition=left.partition)
    tally = Tally()
    for footer in footers:
        tally.join(footer)
    head = footers[0]
    return tally.footer(
        topic=head.topic, log=head.log, partition=head.partition, first=head.first, next=footers[-1].next
    )


class Tally:
    """Sums up a footer while a file's rows are written."""

    def __init__(self) -> None:
        self.rows = 0
        self.quarantined = 0
        self.schemas: dict[int | str, Any] = {}
        self._sums: dict[int, Sum] = {}
        self._hours: dict[str, Sum] = {}
        self._runs: dict[str, list[Run]] = {}
        self._coarse = False

    def add(  # six columns of one table
        self, *, hi: Int64s, lo: Int64s, good: Bools, identity: Int64s, identified: Bools, micros: Int64s, timed: Bools
    ) -> None:
        """Count rows by bucket and hour; arrays of one length.

        Args:
            hi: first lanes of the digests.
            lo: second lanes.
            good: whether the row is not quarantined.
            identity: identity hashes, where `identified`.
            identified: whether the identity is known.
            micros: message timestamps, microseconds since 1970, where `timed`.
            timed: whether the message has a timestamp.
        """
        self.rows += len(hi)
        self.quarantined += len(hi) - int(good.sum())
        buckets = np.where(identified, (identity.view(np.uint64) >> _BUCKET_SHIFT).astype(np.int64), NO_BUCKET)
        for bucket, sum_ in _sums(buckets[good], hi[good], lo[good]):
            self._sums[bucket] = self._sums.get(bucket, Sum()) + sum_
        for hour, sum_ in _sums(np.where(timed, micros // HOUR_MICROSECONDS, _UNTIMED), hi, lo):
            name = NO_HOUR if hour == _UNTIMED else (EPOCH + dt.timedelta(hours=hour)).isoformat()[:13]
            self._hours[name] = self._hours.get(name, Sum()) + sum_

    def add_writer(self, epoch: str, sequences: Int64s, hi: Int64s, lo: Int64s) -> None:
        """Count rows of one writer epoch, in offset order."""
        run_numbers = np.concatenate(([0], np.cumsum(np.diff(sequences) != 1)))
        starts = np.flatnonzero(np.diff(run_numbers, prepend=-1))
        ends = np.append(starts[1:], len(sequences)) - 1
        for (number, sum_), start, end in zip(_sums(run_numbers, hi, lo), starts, ends, strict=True):
            del number
            self._extend(Run(epoch, int(sequences[start]), int(sequences[end]), sum_))
        self._bound()

    def join(self, footer: RawFooter) -> None:
        """Count the rows of a finished file that follow those counted so far."""
        self.rows += footer.rows
        self.quarantined += footer.quarantined
        self.schemas.update(footer.schemas)
        for bucket, sum_ in footer.sums.items():
            self._sums[bucket] = self._sums.get(bucket, Sum()) + sum_
        for hour, sum_ in footer.hours.items():
            self._hours[hour] = self._hours.get(hour, Sum()) + sum_
        for run in footer.writers:
            self._extend(run)
        self._bound()

    def footer(self, *, topic: str, log: str, partition: int, first: int, next: int) -> RawFooter:  # noqa: A002  (the footer's word)
        """The footer of the rows counted, which stand for the offsets from `first` up to but not including `next`."""
        return RawFooter(
            topic=topic,
            log=log,
            partition=partition,
            first=first,
            next=next,
            rows=self.rows,
            quarantined=self.quarantined,
            schemas=dict(sorted(self.schemas.items(), key=lambda item: (isinstance(item[0], str), item[0]))),
            sums=dict(sorted(self._sums.items())),
            writers=tuple(run for runs in self._runs.values() for run in runs),
            hours=dict(sorted(self._hours.items())),
        )

    def _extend(self, run: Run) -> None:
        runs = self._runs.setdefault(run.epoch, [])
        if runs and (self._coarse or _follows(runs[-1], run)):
            last = runs.pop()
            run = Run(run.epoch, min(last.first, run.first), max(last.last, run.last), last.sum + run.sum)
        runs.append(run)

    def _bound(self) -> None:
        if sum(map(len, self._runs.values())) <= MAX_RUNS:
            return
        self._coarse = True
        fine, self._runs = self._runs, {}
        for runs in fine.values():
            for run in runs:
                self._extend(run)


def _follows(left: Run, right: Run) -> bool:
    """Whether two runs without gaps make one without gaps."""
    return right.first == left.last + 1 and all(r.sum.rows == r.last - r.first + 1 for r in (left, right))


def _sums(groups: Int64s, hi: Int64s, lo: Int64s) -> list[tuple[int, Sum]]:
    """The sums by group, groups ascending."""
    if not len(groups):
        return []
    names, codes = np.unique(groups, return_inverse=True)
    counts = np.bincount(codes)
    lanes = [_lane_sums(codes, lane) for lane in (hi, lo)]
    return [
        (int(name), Sum(int(count), signed(high), signed(low)))
        for name, count, high, low in zip(names, counts, *lanes, strict=True)
    ]


def _lane_sums(codes: npt.NDArray[np.intp], lane: Int64s) -> list[int]:
    """Sums by code modulo 2**64; the halves of each lane are summed as floats, which is exact below 2**21 rows."""
    unsigned = lane.view(np.uint64)
    low = np.bincount(codes, weights=(unsigned & _LOW).astype(np.float64))
    high = np.bincount(codes, weights=(unsigned >> _HALF).astype(np.float64))
    return [int(left) + (int(right) << 32) for left, right in zip(low, high, strict=True)]
