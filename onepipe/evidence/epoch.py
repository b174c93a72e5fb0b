"""A writer epoch: the span in which one producer, in one process, numbers what it writes."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from onepipe.evidence.records import Kind

if TYPE_CHECKING:
    from onepipe.evidence.tally import Tally


class WriterEpoch:
    """One epoch: its name, its evidence, and when its next tallies are due.

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
        self.postpone()

    @property
    def due(self) -> bool:
        """Whether it is time for tallies."""
        return time.monotonic() >= self._due

    def postpone(self) -> None:
        """Let the next tallies be due after the interval."""
        self._due = time.monotonic() + self._tally_every

    def opening(self, topic: str, application: str | None) -> dict[str, Any]:
        """The evidence that the epoch begins in a topic."""
        return self._evidence({"kind": Kind.OPENED.value, "topic": topic, "application": application})

    def closing(self) -> dict[str, Any]:
        """The evidence that the epoch ended."""
        return self._evidence({"kind": Kind.CLOSED.value})

    def tally(self, tally: Tally) -> dict[str, Any]:
        """The evidence of what became of records in one partition."""
        return self._evidence(tally.fields())

    def _evidence(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        return {"epoch": self.id, **fields}
