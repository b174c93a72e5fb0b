"""Counting refused records, so that observers are told of many at once."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable

from onepipe.observe.events import Event, RecordsRejected


class Rejections:
    """Counts a producer's refused records by topic, and tells them at most once in an interval. Thread-safe."""

    def __init__(self, tell: Callable[[Event], None], every: float) -> None:
        """Begin to count.

        Args:
            tell: told of what was counted.
            every: seconds after which `count` tells by itself.
        """
        self._notify = tell
        self._every = every
        self._due = time.monotonic() + every
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def count(self, topic: str) -> None:
        """Count a refused record."""
        with self._lock:
            self._counts[topic] += 1
        if time.monotonic() >= self._due:
            self.tell()

    def tell(self) -> None:
        """Tell what was counted since the last time, if anything was."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
            self._due = time.monotonic() + self._every
        for topic, count in counts.items():
            self._notify(RecordsRejected(topic, count=count))
