"""A clock for tests: it stands still until it is advanced."""

from __future__ import annotations

import threading


class ManualClock:
    """Milliseconds since 1970-01-01T00:00Z, as a function to pass as `clock`. Thread-safe."""

    def __init__(self, now: int = 1_700_000_000_000) -> None:
        self._now = now
        self._lock = threading.Lock()

    def __call__(self) -> int:
        """The time it shows."""
        return self._now

    def advance(self, milliseconds: int) -> None:
        """Let time pass."""
        with self._lock:
            self._now += milliseconds
