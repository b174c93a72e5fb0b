"""Receipts: what became of a published record, to be waited for or awaited."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Final

from onepipe.arguments import require_callable, require_seconds
from onepipe.errors import DeliveryError, Fault, OnepipeError

if TYPE_CHECKING:
    from onepipe.publishing.sender import Sender
    from onepipe.publishing.stream import Stream
    from onepipe.transport import Outcome

_LOG = logging.getLogger(__name__)
_POLL_SECONDS: Final = 0.05
_AWAIT_SECONDS: Final = 0.001


class Receipt:
    """What became of one published record. Thread-safe.

    A record counts as published when the transport has acknowledged it; until then `done` is False.

    Attributes:
        rejected: faults for which it went to the dead letters instead, where that was asked for.
    """

    __slots__ = (
        "__weakref__",
        "_callbacks",
        "_digest",
        "_key",
        "_outcome",
        "_sender",
        "_stream",
        "_timestamp",
        "rejected",
    )

    def __init__(self, sender: Sender, stream: Stream, timestamp: int, key: bytes | None, digest: bytes) -> None:
        self._sender = sender
        self._stream = stream
        self._timestamp = timestamp
        self._key = key
        self._digest = digest
        self._outcome: Outcome | None = None
        self._callbacks: list[Callable[[Receipt], object]] | None = None
        self.rejected: tuple[Fault, ...] = ()

    @property
    def topic(self) -> str:
        """Name of the topic it went to."""
        return self._stream.topic

    @property
    def partition(self) -> int:
        """Partition it went to."""
        return self._stream.partition

    @property
    def timestamp(self) -> int:
        """Milliseconds since 1970-01-01T00:00Z of the message; the log's own once acknowledged, where it gives one."""
        stored = self._outcome[1] if self._outcome is not None else None
        return self._timestamp if stored is None else stored

    @property
    def done(self) -> bool:
        """Whether the outcome is known."""
        return self._outcome is not None

    @property
    def offset(self) -> int | None:
        """Offset in the partition once acknowledged; None before that, where it was not, and of logs that tell none."""
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
            This receipt, with its offset where the log tells one.

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
            self._sender.serve(min(left, _POLL_SECONDS))
        self._sender.undelivered.observed(self)
        if self._outcome.error is not None:
            raise self._outcome.error
        return self

    def add_done_callback(self, callback: Callable[[Receipt], object]) -> None:
        """Call `callback(receipt)` once the outcome is known, at once if it is; perhaps in another thread.

        What it raises is logged, not raised: it is called amid the publishing of other records.
        """
        require_callable("callback", callback)
        with self._sender.callbacks:
            self._callbacks = [*(self._callbacks or ()), callback]
        if self._outcome is not None:  # it may have come just now, and nobody calls back but here
            self._call_back()

    def _call_back(self) -> None:
        with self._sender.callbacks:
            callbacks, self._callbacks = self._callbacks, None
        if callbacks:
            with self._sender.calling_back():
                for callback in callbacks:
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
            self._sender.serve(0.0)
            yield from asyncio.sleep(_AWAIT_SECONDS).__await__()
        return self.result(0.0)

    def _settle(self, outcome: Outcome) -> None:
        """Take the outcome, the first one alone: a record whose sending was interrupted has one already."""
        if self._outcome is not None:
            return
        if outcome[2] is not None:
            self._sender.undelivered.add(self)
        self._outcome = outcome
        if self._callbacks is not None:
            self._call_back()

    def __repr__(self) -> str:
        acknowledged = "acknowledged" if self.offset is None else f"offset {self.offset}"
        state = "pending" if self._outcome is None else acknowledged if not self.error else "not delivered"
        return f"<Receipt {self.topic}[{self.partition}] {state}>"
