"""Whether something is open: not closed, and not left behind by a fork."""

from __future__ import annotations

import os

from onepipe_kinesis.errors import closed


class Lifetime:
    """The lifetime of a transport, writer or reader. Thread-safe."""

    def __init__(self, what: str) -> None:
        """Begin; `what` it is the lifetime of, for messages."""
        self._what = what
        self._process = os.getpid()
        self._ended = False

    @property
    def over(self) -> bool:
        """Whether it is closed, or another process's."""
        return self._ended or os.getpid() != self._process

    def check(self) -> None:
        """Raise ClosedError where it is over."""
        if self._ended:
            raise closed(self._what, "it is closed")
        if os.getpid() != self._process:
            raise closed(self._what, "a fork leaves the parent's connections behind; connect again in the child")

    def end(self) -> bool:
        """End it; False where it was over before, or is the parent's."""
        if self.over:
            return False
        self._ended = True
        return True
