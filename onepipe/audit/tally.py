"""Tallies: a writer's running account of what became of its records in one partition.

Sums cover exactly the sequences below `sequence_end`: an outcome that arrives ahead of an earlier one waits until the
gap before it has closed. Not thread-safe; the producer holds its lock.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from onepipe.audit.digest import Digest, signed
from onepipe.audit.evidence import Kind

_HOUR_MS: Final = 3_600_000


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
        self._manifest: list[dict[str, Any]] = []
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
        self._acknowledged += 1
        self._hi += hi
        self._lo += lo
        if self._last_offset is None or offset > self._last_offset:
            self._last_offset = offset
        hour = timestamp // _HOUR_MS
        sums = self._hours.get(hour)
        if sums is None:
            sums = self._hours[hour] = [0, 0, 0]
        sums[0] += 1
        sums[1] += hi
        sums[2] += lo
        if self.named:
            self._manifest.append(
                {"sequence": sequence, "offset": offset, "key": key, "digest_hi": hi, "digest_lo": lo}
            )

    def publish(self) -> dict[str, Any]:
        """The next tally's fields, without epoch and time; what it lists since the previous one starts anew."""
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
            "manifest": self._manifest,
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
