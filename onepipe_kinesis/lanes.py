"""What waits to be put into one stream: a lane for each partition, with one batch at a time on its way.

Kinesis stores the records of a call one by one, and may refuse some of them. So that none overtakes another, a call has
at most one record of a partition, and the next one is made of what waits once that one is stored, or given up.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from typing import Final, NamedTuple

import attrs

from onepipe.transport import OnOutcome
from onepipe_kinesis.api import Put
from onepipe_kinesis.envelope import OVERHEAD, seal
from onepipe_kinesis.points import Point
from onepipe_kinesis.streams import backoff

CALL_RECORDS: Final = 500
CALL_BYTES: Final = 5 << 20
"""Limits of PutRecords; the bytes include partition keys."""


class Waiting(NamedTuple):
    """A message that has no outcome yet: encoded, with the time it is stamped with."""

    encoded: bytes
    timestamp: int
    on_outcome: OnOutcome


@attrs.define(eq=False)
class Lane:
    """Messages of one partition, in order.

    Attributes:
        partition: its number.
        point: where it lies.
        queue: messages that wait.
        sent: messages of the batch on its way.
        record: that batch, or None.
        number: of the next batch.
        attempt: how often the batch was tried.
        not_before: when to try it again, by `time.monotonic`.
        deadline: when to give it up.
        uncertain: whether an attempt had no answer, so that it may be stored.
    """

    partition: int
    point: Point
    queue: deque[Waiting] = attrs.field(factory=deque)
    sent: list[Waiting] = attrs.field(factory=list)
    record: Put | None = None
    number: int = 0
    attempt: int = 0
    not_before: float = 0.0
    deadline: float = 0.0
    uncertain: bool = False

    def load(self, writer: bytes, batch_bytes: int, timeout: float) -> Put | None:
        """The record to be tried now: the one on its way, if it is time, else one of what waits.

        Args:
            writer: names who puts it.
            batch_bytes: a batch takes messages as long as it has fewer bytes than this with them, but one at least.
            timeout: seconds for which it is tried.
        """
        now = time.monotonic()
        if self.record is not None:
            return self.record if now >= self.not_before else None
        if not self.queue:
            return None
        size = 0
        while self.queue and (not self.sent or size + len(self.queue[0].encoded) <= batch_bytes):
            size += len(self.queue[0].encoded)
            self.sent.append(self.queue.popleft())
        data = seal(writer, self.number, self.partition, [message.encoded for message in self.sent])
        self.number += 1
        self.attempt, self.not_before, self.deadline, self.uncertain = 0, 0.0, now + timeout, False
        self.record = Put(str(self.partition), self.point.key, data)
        return self.record

    def retry(self) -> bool:
        """Try the batch again later; False where its time is over."""
        now = time.monotonic()
        self.not_before = now + backoff(self.attempt)
        self.attempt += 1
        return now < self.deadline

    def settle(self) -> list[Waiting]:
        """The messages of the batch, which is not on its way any more."""
        sent, self.sent, self.record = self.sent, [], None
        return sent

    def due(self) -> float | None:
        """When there is something to be tried, by `time.monotonic`; None where nothing waits."""
        if self.record is not None:
            return self.not_before
        return 0.0 if self.queue else None


def room_for(size: int, record_bytes: int, partition: int) -> bool:
    """Whether a message of this size, encoded, fits into a record."""
    return size + OVERHEAD + len(str(partition)) <= record_bytes


def one_call(lanes: Iterable[Lane], writer: bytes, batch_bytes: int, timeout: float) -> list[tuple[Lane, Put]]:
    """The records to be put by one call, and their lanes."""
    chosen: list[tuple[Lane, Put]] = []
    size = 0
    for lane in lanes:
        record = lane.load(writer, batch_bytes, timeout)
        if record is None:
            continue
        size += len(record.data) + len(record.partition_key)
        if chosen and (size > CALL_BYTES or len(chosen) == CALL_RECORDS):
            break
        chosen.append((lane, record))
    return chosen
