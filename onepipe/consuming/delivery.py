"""Delivering batches to a sink that fails at times: again after pauses, then in halves, until the record is found."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, Protocol

import attrs

from onepipe.consuming.backoff import NEVER, Backoff, Failure, attempt
from onepipe.errors import CommitConflict

if TYPE_CHECKING:
    from onepipe.sink import SinkBatch
    from onepipe.transport import Message


OnFailure = Literal["raise", "dead_letter"]
"""What becomes of a record that a consumer or sink fails on: the failure is raised, or it goes to the dead letters."""


class SetAside(Protocol):
    """Keeps what a sink fails on."""

    def failed(self, message: Message, log: str, failure: Failure) -> None:
        """Keep a message durably, with the reason and the identity of its log, before the sink goes on without it."""

    def passed(self, message: Message, log: str) -> None:
        """The sink went on without a message that was kept."""


@attrs.frozen
class Delivery:
    """How batches are delivered.

    Attributes:
        write: stores a batch in the sink, and its progress.
        retry: how often a batch, and then a single record, is tried again.
        set_aside: keeps a record that the sink fails on; None raises the failure.
        stop: once set, nothing is tried again.
    """

    write: Callable[[SinkBatch[Any]], None]
    retry: Backoff
    set_aside: SetAside | None
    stop: threading.Event

    def deliver(self, batch: SinkBatch[Any]) -> bool:
        """Deliver a batch; False where it was stopped between two attempts, and the rest is left for the next run.

        Raises:
            CommitConflict: another process was faster.
            Exception: what the sink raised last, where no record is kept aside, or none may be what it failed on.
        """
        return self._deliver(batch, self.retry)

    def _deliver(self, batch: SinkBatch[Any], retry: Backoff) -> bool:
        failure = attempt(lambda: self.write(batch), retry, wait=self.stop.wait, at_once=(CommitConflict,))
        if failure is None:
            return True
        if failure.stopped:
            return False
        if self.set_aside is None or not failure.is_of_the_record or not batch.messages:
            raise failure.error
        if len(batch.messages) == 1:
            self._pass_over(batch, failure, self.set_aside)
            return True
        return all(self._deliver(half, self.retry if len(half.messages) == 1 else NEVER) for half in _halves(batch))

    def _pass_over(self, batch: SinkBatch[Any], failure: Failure, aside: SetAside) -> None:
        """Keep the batch's only message, and let the sink go on behind it."""
        (message,) = batch.messages
        aside.failed(message, batch.log, failure)
        self.write(attrs.evolve(batch, messages=(), records=()))
        aside.passed(message, batch.log)


def _halves(batch: SinkBatch[Any]) -> tuple[SinkBatch[Any], SinkBatch[Any]]:
    middle = len(batch.messages) // 2
    bound = batch.messages[middle].offset
    first = attrs.evolve(batch, next=bound, messages=batch.messages[:middle], records=batch.records[:middle])
    second = attrs.evolve(batch, first=bound, messages=batch.messages[middle:], records=batch.records[middle:])
    return first, second
