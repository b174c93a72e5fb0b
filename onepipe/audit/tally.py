"""Tallies: a writer's running account of what became of its records in one partition.

Sums cover exactly the sequences below `sequence_end`: an outcome that arrives ahead of an earlier one waits until the
gap before it has closed. Not thread-safe; the producer holds its lock.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from onepipe.audit.digest import Digest, signed
from onepipe.audit.evidence import Kind

_HOUR_MS: Final = 3_600_000
_FRESH: Final = 1024


class Settled(NamedTuple):
    """What became of one record.

    Attributes:
        offset: where the log stored it; None where it was not acknowledged.
        timestamp: milliseconds since 1970 of the message.
        digest: of the record.
        key: its identity key, where the topic is audited by name.
        indeterminate: not acknowledged, and yet perhaps in the log.
    """

    offset: int | None
    timestamp: int
    digest: Digest
    key: bytes
    indeterminate: bool


class Tally:
    """The account of one epoch, topic and partition."""

    def __init__(self, topic: str, log: str, partition: int, *, named: bool) -> None:
        self.topic = topic
        self.log = log
        self.partition = partition
        self.named = named
        self.next_sequence = 0
        self.sequence_end = 0
        self._ahead: dict[int, Settled] = {}
        self._acknowledged = 0
        self._hi = 0
        self._lo = 0
        self._last_offset: int | None = None
        self._failed: list[list[int]] = []
        self._indeterminate: list[list[int]] = []
        self._hours: dict[int, list[int]] = {}
        self._manifest: list[tuple[int, int, bytes, int, int]] = []
        self._fresh: list[tuple[int, int, int, int]] = []
        self._published = 0
        self._published_end = 0

    @property
    def unpublished(self) -> bool:
        """Whether something settled since the last tally."""
        return self.sequence_end > self._published_end

    @property
    def manifest_length(self) -> int:
        """Entries the next tally's manifest will have."""
        return len(self._manifest)

    @property
    def outcomes(self) -> tuple[int, int, int]:
        """How many records were acknowledged, failed, and have no known outcome; apart from those ahead of a gap."""
        failed, indeterminate = (
            sum(end - first for first, end in found) for found in (self._failed, self._indeterminate)
        )
        self._sum_up()
        return self._acknowledged, failed, indeterminate

    def settle(self, sequence: int, settled: Settled) -> None:
        """Note what became of a record; called once for each sequence, in any order."""
        if sequence != self.sequence_end:
            self._ahead[sequence] = settled
            return
        self._count(sequence, settled)
        while self._ahead and (following := self._ahead.pop(self.sequence_end, None)) is not None:
            self._count(self.sequence_end, following)

    def _count(self, sequence: int, settled: Settled) -> None:
        self.sequence_end = sequence + 1
        offset, timestamp, (hi, lo), key, indeterminate = settled
        if offset is None:
            _extend(self._indeterminate if indeterminate else self._failed, sequence)
            return
        self._fresh.append((offset, timestamp, hi, lo))
        if self.named:
            self._manifest.append((sequence, offset, key, hi, lo))
        if len(self._fresh) >= _FRESH:
            self._sum_up()

    def _sum_up(self) -> None:
        """Add what was acknowledged lately to the sums, many records at a time."""
        fresh, self._fresh = self._fresh, []
        if not fresh:
            return
        offsets, times, his, los = zip(*fresh, strict=True)
        last = max(offsets)
        self._last_offset = last if self._last_offset is None else max(last, self._last_offset)
        self._acknowledged += len(fresh)
        self._hi += sum(his)
        self._lo += sum(los)
        first_hour, last_hour = min(times) // _HOUR_MS, max(times) // _HOUR_MS
        if first_hour == last_hour:
            self._add_to_hour(first_hour, len(fresh), sum(his), sum(los))
            return
        for timestamp, hi, lo in zip(times, his, los, strict=True):
            self._add_to_hour(timestamp // _HOUR_MS, 1, hi, lo)

    def _add_to_hour(self, hour: int, rows: int, hi: int, lo: int) -> None:
        sums = self._hours.setdefault(hour, [0, 0, 0])
        sums[0] += rows
        sums[1] += hi
        sums[2] += lo

    def publish(self) -> dict[str, Any]:
        """The next tally's fields, without epoch and time; what it lists since the previous one starts anew."""
        self._sum_up()
        fields = {
            "kind": Kind.TALLY.value,
            "topic": self.topic,
            "log": self.log,
            "partition": self.partition,
            "number": self._published,
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
            "manifest": [
                {"sequence": sequence, "offset": offset, "key": key, "digest_hi": hi, "digest_lo": lo}
                for sequence, offset, key, hi, lo in self._manifest
            ],
        }
        self._hours, self._manifest = {}, []
        self._published += 1
        self._published_end = self.sequence_end
        return fields


def _extend(intervals: list[list[int]], sequence: int) -> None:
    if intervals and intervals[-1][1] == sequence:
        intervals[-1][1] = sequence + 1
    else:
        intervals.append([sequence, sequence + 1])
