"""Receipts: what became of a published record, to be waited for or awaited."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Generator
from typing import Any, Final, Protocol

from onepipe.arguments import require_callable, require_seconds
from onepipe.errors import DeliveryError, Fault, OnepipeError
from onepipe.transport import Outcome

_LOG = logging.getLogger(__name__)
_POLL_SECONDS: Final = 0.05
_AWAIT_SECONDS: Final = 0.001


class _Owner(Protocol):
    """What a receipt needs of its sender."""

    def serve(self, timeout: float) -> None: ...

    def observed(self, receipt: Receipt) -> None: ...


class Receipt:
    """What became of one published record. Thread-safe.

    A record counts as published when the transport has acknowledged it; until then `done` is False.

    Attributes:
        topic: name of the topic it went to.
        partition: partition it went to.
        offset: offset the log stored it at, once acknowledged.
        timestamp: milliseconds since 1970-01-01T00:00Z of the message.
        rejected: faults for which it went to the dead letters instead, where that was asked for.
    """

    __slots__ = (
        "__weakref__",
        "_callbacks",
        "_lock",
        "_outcome",
        "_owner",
        "partition",
        "rejected",
        "timestamp",
        "topic",
    )

    def __init__(self, owner: _Owner, lock: threading.Lock, topic: str, partition: int, timestamp: int) -> None:
        self._owner = owner
        self._lock = lock
        self._outcome: Outcome | None = None
        self._callbacks: list[Callable[[Receipt], object]] | None = None
        self.topic = topic
        self.partition = partition
        self.timestamp = timestamp
        self.rejected: tuple[Fault, ...] = ()

    @property
    def done(self) -> bool:
        """Whether the outcome is known."""
        return self._outcome is not None

    @property
    def offset(self) -> int | None:
        """Offset in the partition once acknowledged; None before that, and where it was not."""
        return self._outcome.offset if self._outcome else None

    @property
    def error(self) -> OnepipeError | None:
        """Why the record was not acknowledged; None while that is open, and where it was."""
        return self._outcome.error if self._outcome else None

    def result(self, timeout: float | None = None) -> Receipt:
        """Wait for the acknowledgment.

        Args:
            timeout: seconds to wait at most; None waits as long as the transport takes.

        Returns:
            This receipt, with its offset.

        Raises:
            DeliveryError: it was not acknowledged, or not within `timeout` (then it is indeterminate, and may come
                through yet).
        """
        require_seconds("timeout", timeout, optional=True)
        deadline = None if timeout is None else time.monotonic() + timeout
        while self._outcome is None:
            left = _POLL_SECONDS if deadline is None else deadline - time.monotonic()
            if left <= 0:
                raise DeliveryError(
                    f"no acknowledgment within {timeout} s",
                    topic=self.topic,
                    partition=self.partition,
                    indeterminate=True,
                    remedy="wait longer, or publish it again: equal records are merged",
                )
            self._owner.serve(min(left, _POLL_SECONDS))
        self._owner.observed(self)
        if self._outcome.error is not None:
            raise self._outcome.error
        return self

    def add_done_callback(self, callback: Callable[[Receipt], object]) -> None:
        """Call `callback(receipt)` once the outcome is known, at once if it is; perhaps in another thread.

        What it raises is logged, not raised: it is called amid the publishing of other records.
        """
        require_callable("callback", callback)
        with self._lock:
            if self._outcome is None:
                self._callbacks = [*(self._callbacks or ()), callback]
                return
        self._call(callback)

    def _call(self, callback: Callable[[Receipt], object]) -> None:
        try:
            callback(self)
        except Exception:
            _LOG.exception("a receipt's callback failed")

    def __await__(self) -> Generator[Any, None, Receipt]:
        """Wait for the acknowledgment without blocking the running loop."""
        import asyncio

        while self._outcome is None:
            self._owner.serve(0.0)
            yield from asyncio.sleep(_AWAIT_SECONDS).__await__()
        return self.result(0.0)

    def _settle(self, outcome: Outcome) -> None:
        with self._lock:
            self._outcome = outcome
            if outcome.timestamp is not None:
                self.timestamp = outcome.timestamp
            callbacks, self._callbacks = self._callbacks, None
        for callback in callbacks or ():
            self._call(callback)

    def __repr__(self) -> str:
        state = "pending" if self._outcome is None else f"offset {self.offset}" if not self.error else "not delivered"
        return f"<Receipt {self.topic}[{self.partition}] {state}>"
