"""Tallies: a writer's running account of what became of its records in one partition.

Records are added in the order of their sequences, so that sums cover exactly those below `sequence_end`. Not
thread-safe; the sender holds its lock. A tally that others see is never added to, as an interrupt would leave half of
an account: a copy is, and takes its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from itertools import chain, count
from typing import Any, Final, NamedTuple, Self, cast

from onepipe.evidence.digest import lanes, signed, sum_of
from onepipe.evidence.records import Kind

_HOUR_MS: Final = 3_600_000


class _Entries(NamedTuple):
    """Entries of a manifest, of records with consecutive sequences: columns of one length."""

    first: int
    offsets: Sequence[int]
    keys: Sequence[bytes]
    digests: bytes


class Tally:
    """The account of one epoch, topic and partition.

    Attributes:
        topic: name of the topic.
        log: identity of the topic's log.
        partition: number of the partition.
        named: whether records are audited by name, so that tallies have manifests.
        sequence_end: the records of all sequences below this one are counted.
        manifest_length: entries the next tally's manifest will have.
    """

    def __init__(self, topic: str, log: str, partition: int, *, named: bool) -> None:
        self.topic = topic
        self.log = log
        self.partition = partition
        self.named = named
        self.sequence_end = 0
        self._acknowledged = 0
        self._hi = 0
        self._lo = 0
        self._last_offset: int | None = None
        self._failed: list[tuple[int, int]] = []
        self._indeterminate: list[tuple[int, int]] = []
        self._begin(0)

    def copy(self) -> Self:
        """A tally of the same records; adding to one leaves the other as it is."""
        other = copy(self)
        for name in ("_failed", "_indeterminate", "_hours", "_manifest"):
            setattr(other, name, getattr(self, name).copy())
        return other

    @property
    def outcomes(self) -> tuple[int, int, int]:
        """How many records were acknowledged, failed, and have no known outcome."""
        failed, indeterminate = (
            sum(end - first for first, end in found) for found in (self._failed, self._indeterminate)
        )
        return self._acknowledged, failed, indeterminate

    def add(
        self, offsets: Sequence[int | None], times: Sequence[int], digests: bytes, keys: Sequence[bytes] = ()
    ) -> None:
        """Add the records that come next, which were acknowledged; at least one.

        Args:
            offsets: where the log stored each; None of all where it does not tell.
            times: of each message, milliseconds since 1970.
            digests: of each record 16 bytes, one after another.
            keys: their identity keys, where the topic is audited by name.
        """
        rows = len(offsets)
        if self.named:
            self._manifest.append(_Entries(self.sequence_end, cast("Sequence[int]", offsets), keys, digests))
            self.manifest_length += rows
        last = _greatest(offsets)
        if last is not None:
            self._last_offset = last if self._last_offset is None else max(last, self._last_offset)
        self._acknowledged += rows
        self.sequence_end += rows
        hi, lo = sum_of(digests)
        self._hi += hi
        self._lo += lo
        first_hour, last_hour = min(times) // _HOUR_MS, max(times) // _HOUR_MS
        if first_hour == last_hour:
            self._add_to_hour(first_hour, rows, hi, lo)
            return
        for timestamp, (hi, lo) in zip(times, lanes(digests), strict=True):
            self._add_to_hour(timestamp // _HOUR_MS, 1, hi, lo)

    def add_failed(self, rows: int, *, indeterminate: bool) -> None:
        """Add the records that come next, which were not acknowledged.

        Args:
            rows: how many.
            indeterminate: whether they may be in the log nevertheless.
        """
        intervals = self._indeterminate if indeterminate else self._failed
        end = self.sequence_end + rows
        if intervals and intervals[-1][1] == self.sequence_end:
            intervals[-1] = intervals[-1][0], end
        else:
            intervals.append((self.sequence_end, end))
        self.sequence_end = end

    def _add_to_hour(self, hour: int, rows: int, hi: int, lo: int) -> None:
        before = self._hours.get(hour, (0, 0, 0))
        self._hours[hour] = before[0] + rows, before[1] + hi, before[2] + lo

    def next(self) -> Self:
        """The tally after this one, of the same records; what it lists since the previous one starts anew."""
        other = self.copy()
        other._begin(self._number + 1)  # noqa: SLF001 - of its own class
        return other

    def _begin(self, number: int) -> None:
        """Begin the lists of what comes after the previous tally."""
        self._number = number
        self._hours: dict[int, tuple[int, int, int]] = {}
        self._manifest: list[_Entries] = []
        self.manifest_length = 0

    def fields(self) -> dict[str, Any]:
        """What it says, without epoch and time."""
        return {
            "kind": Kind.TALLY.value,
            "topic": self.topic,
            "log": self.log,
            "partition": self.partition,
            "number": self._number,
            "sequence_end": self.sequence_end,
            "acknowledged": self._acknowledged,
            "digest_hi": signed(self._hi),
            "digest_lo": signed(self._lo),
            "last_offset": self._last_offset,
            "failed": [{"first": first, "end": end} for first, end in self._failed],
            "indeterminate": [{"first": first, "end": end} for first, end in self._indeterminate],
            "hours": [
                {"hour": hour, "rows": rows, "digest_hi": signed(hi), "digest_lo": signed(lo)}
                for hour, (rows, hi, lo) in sorted(self._hours.items())
            ],
            "manifest": list(chain.from_iterable(map(_named, self._manifest))),
        }


def _greatest(offsets: Sequence[int | None]) -> int | None:
    """The greatest offset; a log tells all of them or none."""
    return None if offsets[0] is None else max(cast("Sequence[int]", offsets))


def _named(entries: _Entries) -> list[dict[str, Any]]:
    """Entries as the evidence has them."""
    columns = zip(count(entries.first), entries.offsets, entries.keys, lanes(entries.digests), strict=False)
    return [
        {"sequence": sequence, "offset": offset, "key": key, "digest_hi": hi, "digest_lo": lo}
        for sequence, offset, key, (hi, lo) in columns
    ]
