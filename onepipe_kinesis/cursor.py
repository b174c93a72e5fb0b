"""Where a reader stands in one partition: a position, and the messages fetched from there on."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from onepipe.errors import PositionLost
from onepipe.transport import Bounds, Message, TopicPartition
from onepipe_kinesis.envelope import Content
from onepipe_kinesis.errors import position_lost
from onepipe_kinesis.ordinals import Counted, Ordinals
from onepipe_kinesis.records import Contents
from onepipe_kinesis.walk import Trimmed

_WRITERS: Final = 4096
"""Writers of a partition whose last batch is remembered; those seen longest ago are forgotten."""


class Cursor:
    """A position in a partition. Used by one thread at a time.

    A batch that was put twice, as an attempt had no answer, is given once: its copy is known by writer and number.

    Attributes:
        ordinals: the count of the partition.
        paused: whether its messages are held back.
        due: when to fetch next, by `time.monotonic`.
    """

    def __init__(self, place: TopicPartition, ordinals: Ordinals, position: int, interval: float) -> None:
        """Stand at a position; seconds of `interval` pass between looks at the log's end."""
        self.ordinals = ordinals
        self.paused = False
        self.due = 0.0
        self._place = place
        self._interval = interval
        self._position = position
        self._counted: Counted | None = None
        self._queue: deque[Message] = deque()
        self._queued_from: int | None = None
        self._batches: dict[bytes, int] = {}

    @property
    def position(self) -> int:
        """The offset of the next message; the partition's end once no message is left before it."""
        return self._queue[0].offset if self._queue else self._position

    @property
    def shard(self) -> int | None:
        """Number of the shard that its next message is of, or may be of; None before it begins to read."""
        if self._queue:
            return self._queued_from
        return self._counted.walk.shard if self._counted is not None else None

    def begin(self) -> None:
        """Find the record to read on from, where it is not known, so that `shard` is; nothing where that is lost."""
        if self._counted is None and not self._queue and time.monotonic() >= self.due:
            with suppress(PositionLost):  # `take` will say so
                self._counted = self._begin()

    def seek(self, offset: int) -> None:
        """Go to an offset."""
        self._position = offset
        self._counted = None
        self._queue.clear()
        self._batches.clear()
        self.due = 0.0

    def bounds(self) -> Bounds:
        """The offsets the partition holds now."""
        return self.ordinals.bounds()

    def seek_time(self, timestamp: int) -> int:
        """Go to the first message stamped at or after a moment, else to the end; the offset.

        Producers stamp messages as they like, so every one is looked at, from the first one kept on.
        """
        start, end = self.bounds()
        self.seek(start)
        while self._position < end:
            self.fetch()
            while self._queue:
                if self._queue[0].timestamp >= timestamp:
                    return self.position
                self._position = self._queue.popleft().offset + 1
            self._position = max(self._position, self._counted.next if self._counted else self._position)
            self._wait()
        return self._position

    def take(self, limit: int) -> list[Message]:
        """Up to `limit` messages; fetches where none are left and it is time for that.

        Raises:
            PositionLost: the position is before the first offset kept or beyond the end; it stays.
        """
        if not self._queue and time.monotonic() >= self.due:
            self.fetch()
        queue = self._queue
        taken = [queue.popleft() for _ in range(min(limit, len(queue)))]
        if taken:
            self._position = taken[-1].offset + 1
        if not queue and self._counted is not None:
            self._position = max(self._position, self._counted.next)
        return taken

    def fetch(self) -> None:
        """Read on from the log.

        Raises:
            PositionLost: as `take`.
        """
        walk, next_ = self._counted or self._begin()
        try:
            step = walk.step()
        except Trimmed:
            self._counted = None  # begin anew, from the position, which may be kept yet
            return
        last = None
        for place, content in step.records:
            self.ordinals.count(place, next_)
            self._keep(content, next_)
            next_ += len(content.messages)
            last = place
            self._queued_from = place.shard
        if step.at_end and next_ < self._position:
            self._counted = None
            raise position_lost(self._place, self._position, 0, next_)
        if last is not None or step.at_end:
            self.ordinals.reached(next_, last, step.until)
        self._counted = Counted(walk, next_)
        self.due = 0.0 if step.records else time.monotonic() + self._interval

    def _begin(self) -> Counted:
        found = self.ordinals.begin(self._position)
        if isinstance(found, int):
            raise position_lost(self._place, self._position, found, None)
        return found

    def _keep(self, content: Contents, ordinal: int) -> None:
        """Queue the messages of a record from the position on, unless it is a copy of a batch that was seen."""
        if content.batch is not None:
            writer, number = content.batch
            seen = self._batches.pop(writer, -1)
            self._batches[writer] = max(seen, number)
            if number <= seen:
                return
            if len(self._batches) > _WRITERS:
                del self._batches[next(iter(self._batches))]
        self._queue.extend(self._messages(content.messages, ordinal))

    def _messages(self, messages: Iterable[Content], ordinal: int) -> Iterable[Message]:
        topic, partition = self._place
        for offset, (key, value, headers, timestamp) in enumerate(messages, ordinal):
            if offset >= self._position:
                yield Message(topic, partition, offset, timestamp, key, value, headers)

    def _wait(self) -> None:
        pause = self.due - time.monotonic()
        if pause > 0:
            time.sleep(pause)
