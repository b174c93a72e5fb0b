"""Stream: the records of one writer epoch in one partition, numbered as they are sent, and counted in that order."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Final, cast

from onepipe.errors import DeliveryError
from onepipe.evidence.tally import Tally
from onepipe.transport import Outcome

if TYPE_CHECKING:
    from onepipe.publishing.receipt import Receipt
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
        account: the tally of the records that were counted; and the receipts of those that were not yet, in the order
            of their sequences, from the tally's `sequence_end` on. Both are replaced in one assignment, so that an
            interrupt finds each record in one of them.
        told: the log has a tally of the records of all sequences below this one.
    """

    __slots__ = ("account", "partition", "told", "topic")

    def __init__(self, description: TopicDescription, partition: int, *, named: bool) -> None:
        self.topic = description.name
        self.partition = partition
        tally = Tally(description.name, description.log, partition, named=named)
        self.account: tuple[Tally, list[Receipt]] = tally, []
        self.told = 0

    @property
    def tally(self) -> Tally:
        """The account of the records that were counted."""
        return self.account[0]

    @property
    def untold(self) -> bool:
        """Whether records were counted of which the log has no tally."""
        return self.tally.sequence_end > self.told

    def withdraw(self, receipt: Receipt, error: Exception) -> None:
        """Take back a record that surely was not sent; its sequence is used again if nobody has the next one."""
        waiting = self.account[1]
        if waiting and waiting[-1] is receipt:
            del waiting[-1]
        elif receipt in waiting:  # a callback sent another record while this one waited for room
            failed = DeliveryError(f"it was not sent: {error}", topic=self.topic, partition=self.partition)
            receipt._outcome = Outcome(None, None, failed)  # noqa: SLF001 - a receipt is a part of its sender

    def give_up(self) -> None:
        """Take those without outcome as indeterminate: once the writer told all it took, an interrupt left them so."""
        for receipt in self.account[1]:
            receipt._settle(interrupted())  # noqa: SLF001 - a receipt is a part of its sender

    def count_runs(self) -> None:
        """Count what is known where that is a whole run; costs little where it is not."""
        waiting = self.account[1]
        if len(waiting) >= RUN and waiting[0].done and waiting[RUN - 1].done:
            self.count()

    def count(self) -> None:
        """Count all records up to the first one whose outcome is open."""
        tally, waiting = self.account
        counted, end = tally.copy(), 0
        while receipts := waiting[end : end + RUN]:
            outcomes = [receipt._outcome for receipt in receipts]  # noqa: SLF001 - a receipt is a part of its sender
            if not all(outcomes):
                del receipts[outcomes.index(None) :]
                del outcomes[len(receipts) :]
            if receipts:
                _add(counted, receipts, cast("list[Outcome]", outcomes))
            end += len(receipts)
            if len(receipts) < RUN:
                break
        if end:
            self.account = counted, waiting[end:]

    def next_tally(self) -> Tally:
        """The tally to be published; the one after it is begun."""
        tally, waiting = self.account
        self.account = tally.next(), waiting
        return tally


def interrupted() -> Outcome:
    """The outcome of a record that may have been sent when an interrupt came."""
    return Outcome(None, None, DeliveryError("publishing was interrupted", indeterminate=True))


def _add(tally: Tally, receipts: Sequence[Receipt], outcomes: Sequence[Outcome]) -> None:
    offsets, times, errors = zip(*outcomes, strict=True)
    if not any(errors):
        _add_acknowledged(tally, receipts, offsets, times)
        return
    for kind, group in groupby(zip(receipts, outcomes, strict=True), key=_kind):
        some, known = zip(*group, strict=True)
        if kind == _ACKNOWLEDGED:
            offsets, times, _ = zip(*known, strict=True)
            _add_acknowledged(tally, some, offsets, times)
        else:
            tally.add_failed(len(some), indeterminate=kind == _INDETERMINATE)


def _add_acknowledged(
    tally: Tally, receipts: Sequence[Receipt], offsets: Sequence[int | None], times: Sequence[int | None]
) -> None:
    stamped = cast("Sequence[int]", times) if all(times) else [receipt.timestamp for receipt in receipts]
    digests = b"".join([receipt._digest for receipt in receipts])  # noqa: SLF001 - a receipt is a part of its sender
    keys = [receipt._key or b"" for receipt in receipts] if tally.named else ()  # noqa: SLF001 - as above
    tally.add(offsets, stamped, digests, keys)


_ACKNOWLEDGED: Final = "acknowledged"
_FAILED: Final = "failed"
_INDETERMINATE: Final = "indeterminate"


def _kind(record: tuple[Receipt, Outcome]) -> str:
    error = record[1].error
    if error is None:
        return _ACKNOWLEDGED
    return _INDETERMINATE if error.indeterminate else _FAILED
