"""Stream: the records of one writer epoch in one partition, numbered as they are sent, and counted in that order."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Final, cast

from onepipe.audit.tally import Tally
from onepipe.errors import DeliveryError
from onepipe.transport import Outcome

if TYPE_CHECKING:
    from onepipe.receipt import Receipt
    from onepipe.transport import TopicDescription

RUN: Final = 256
"""Records counted at once: enough to count them fast, and few enough that they do not stay for long."""


class Stream:
    """The records of one writer epoch in one partition.

    A record's sequence is told by its place among those that wait to be counted. Their outcomes may come in any order,
    in any thread; they are counted from the oldest on, up to the first whose outcome is open. The rest is done by one
    thread at a time, which holds the sender's lock.

    Attributes:
        topic: name of the topic.
        partition: number of the partition.
        tally: the account of the records that were counted.
        waiting: those that were not counted yet, in the order of their sequences, from `tally.sequence_end` on.
    """

    __slots__ = ("partition", "tally", "topic", "waiting")

    def __init__(self, description: TopicDescription, partition: int, *, named: bool) -> None:
        self.topic = description.name
        self.partition = partition
        self.tally = Tally(description.name, description.log, partition, named=named)
        self.waiting: list[Receipt] = []

    def withdraw(self, receipt: Receipt, error: Exception) -> None:
        """Take back a record that surely was not sent; its sequence is used again if nobody has the next one."""
        if self.waiting and self.waiting[-1] is receipt:
            del self.waiting[-1]
        elif receipt in self.waiting:  # a callback sent another record while this one waited for room
            failed = DeliveryError(f"it was not sent: {error}", topic=self.topic, partition=self.partition)
            receipt._outcome = Outcome(None, None, failed)  # noqa: SLF001 - a receipt is a part of its sender

    def count_runs(self) -> None:
        """Count as many whole runs as are known; costs little where the oldest one is not."""
        waiting = self.waiting
        while len(waiting) >= RUN and waiting[0].done and waiting[RUN - 1].done and self._count_run():
            pass

    def count(self) -> None:
        """Count all records up to the first one whose outcome is open."""
        while self._count_run():
            pass

    def _count_run(self) -> bool:
        """Count up to RUN records; whether there were so many."""
        receipts = self.waiting[:RUN]
        outcomes = [receipt._outcome for receipt in receipts]  # noqa: SLF001 - a receipt is a part of its sender
        if not all(outcomes):
            del receipts[outcomes.index(None) :]
            del outcomes[len(receipts) :]
        if receipts:
            self._add(receipts, cast("list[Outcome]", outcomes))
            del self.waiting[: len(receipts)]
        return len(receipts) == RUN

    def _add(self, receipts: Sequence[Receipt], outcomes: Sequence[Outcome]) -> None:
        offsets, times, errors = zip(*outcomes, strict=True)
        if not any(errors):
            self._add_acknowledged(receipts, offsets, times)
            return
        for kind, group in groupby(zip(receipts, outcomes, strict=True), key=_kind):
            some, known = zip(*group, strict=True)
            if kind == _ACKNOWLEDGED:
                offsets, times, _ = zip(*known, strict=True)
                self._add_acknowledged(some, offsets, times)
            else:
                self.tally.add_failed(len(some), indeterminate=kind == _INDETERMINATE)

    def _add_acknowledged(
        self, receipts: Sequence[Receipt], offsets: Sequence[int | None], times: Sequence[int | None]
    ) -> None:
        stamped = cast("Sequence[int]", times) if all(times) else [receipt.timestamp for receipt in receipts]
        digests = b"".join([receipt._digest for receipt in receipts])  # noqa: SLF001 - a receipt is a part of its sender
        keys = [receipt._key or b"" for receipt in receipts] if self.tally.named else ()  # noqa: SLF001 - as above
        self.tally.add(offsets, stamped, digests, keys)


_ACKNOWLEDGED: Final = "acknowledged"
_FAILED: Final = "failed"
_INDETERMINATE: Final = "indeterminate"


def _kind(record: tuple[Receipt, Outcome]) -> str:
    error = record[1].error
    if error is None:
        return _ACKNOWLEDGED
    return _INDETERMINATE if error.indeterminate else _FAILED
