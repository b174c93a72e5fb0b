"""A writer epoch: the span in which one producer, in one process, numbers what it writes."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from typing import Any

from onepipe.audit.evidence import Kind
from onepipe.audit.tally import Settled, Tally
from onepipe.transport import TopicDescription


class WriterEpoch:
    """The tallies of one epoch. `settle` and `tallies` may be called from any thread; the rest by one at a time.

    Attributes:
        id: 16 random bytes.
    """

    def __init__(self, *, tally_every: float) -> None:
        """Begin an epoch.

        Args:
            tally_every: seconds between tallies.
        """
        self.id = os.urandom(16)
        self._tally_every = tally_every
        self._due = time.monotonic() + tally_every
        self._tallies: dict[str, list[Tally]] = {}
        self._lock = threading.Lock()

    @property
    def due(self) -> bool:
        """Whether it is time for tallies."""
        return time.monotonic() >= self._due

    def tallies(self, description: TopicDescription, *, named: bool) -> list[Tally]:
        """The tallies of a topic, one a partition; the same ones at each call."""
        with self._lock:
            tallies = self._tallies.get(description.name)
            if tallies is None:
                tallies = self._tallies[description.name] = [
                    Tally(description.name, description.log, partition, named=named)
                    for partition in range(description.partitions)
                ]
            return tallies

    def settle(self, tally: Tally, sequence: int, settled: Settled) -> None:
        """Note what became of a record."""
        with self._lock:
            tally.settle(sequence, settled)

    def outcomes(self) -> tuple[int, int, int]:
        """How many records were acknowledged, failed, and have no known outcome, of all topics."""
        with self._lock:
            all_ = [tally.outcomes for tallies in self._tallies.values() for tally in tallies]
        acknowledged, failed, indeterminate = (sum(counts) for counts in zip(*all_, strict=True)) if all_ else (0, 0, 0)
        return acknowledged, failed, indeterminate

    def opening(self, application: str | None) -> dict[str, Any]:
        """The evidence that the epoch begins."""
        return self._evidence({"kind": Kind.OPENED.value, "application": application})

    def closing(self) -> dict[str, Any]:
        """The evidence that the epoch ended."""
        return self._evidence({"kind": Kind.CLOSED.value})

    def next_tally(self, tally: Tally) -> dict[str, Any] | None:
        """The evidence of what settled since the previous tally, None where nothing did."""
        with self._lock:
            return self._evidence(tally.publish()) if tally.unpublished else None

    def next_tallies(self) -> list[dict[str, Any]]:
        """The evidence of every tally that has news; the next ones are due after the interval."""
        self._due = time.monotonic() + self._tally_every
        with self._lock:
            tallies = [tally for by_partition in self._tallies.values() for tally in by_partition]
        return [evidence for tally in tallies if (evidence := self.next_tally(tally)) is not None]

    def _evidence(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        return {"epoch": self.id, **fields}
