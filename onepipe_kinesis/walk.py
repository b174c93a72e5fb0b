"""Walking the records of one partition in order: through its shards, parents before children.

Whatever is asked of the walk, it never skips a record in silence: where it goes on from a record, it begins to read at
that very record and sees whether it is still there.
"""

from __future__ import annotations

import time
from typing import Final, NamedTuple

import attrs

from onepipe_kinesis.anchors import Place
from onepipe_kinesis.api import Fetched
from onepipe_kinesis.errors import EXPIRED, INVALID, NOT_FOUND, PASSING, THROTTLED, Failure, translated
from onepipe_kinesis.points import Shard, lineage, partition_of
from onepipe_kinesis.records import Contents, Record, contents
from onepipe_kinesis.streams import Layout, Streams, backoff

_LIMIT: Final = 10_000
_MARGIN_MS: Final = 600_000
"""A walk so near to what retention takes next looks at each step whether it took something."""
_STALE_SECONDS: Final = 240.0
"""Iterators expire after 5 minutes."""


class Trimmed(Exception):
    """The record to go on from has expired; what came between it and the first record kept is unknown."""


class Step(NamedTuple):
    """What came of one read.

    Attributes:
        records: the partition's, in their order.
        at_end: whether the end of the log was seen behind them.
        until: what arrived before was read; milliseconds since 1970.
    """

    records: list[tuple[Place, Contents]]
    at_end: bool
    until: int


@attrs.frozen
class LogPartition:
    """One partition of one incarnation of a stream."""

    topic: str
    log: str
    number: int


class Walk:
    """A walk along one partition. Used by one thread at a time.

    Attributes:
        at: number of the shard it reads on in, or None before the first.
        at_end: whether the last step saw the end of the log.
    """

    def __init__(self, streams: Streams, partition: LogPartition, after: Place | None = None) -> None:
        """Begin at the first record that is kept, or after a record."""
        self.at: int | None = None if after is None else after.shard
        self.at_end = False
        self._streams = streams
        self._partition = partition
        self._ahead: Step | None = None
        self._after: int | None = None if after is None else after.sequence
        self._inclusive = False
        self._iterator: str | None = None
        self._expected: int | None = None
        self._opened = 0.0
        self._seen_any = False
        self._seen_until = 0
        self._failing_since: float | None = None

    @property
    def shard(self) -> int | None:
        """Number of the shard that the next step's records are of, as far as is known; None before the first."""
        if self._ahead is not None and self._ahead.records:
            return self._ahead.records[0][0].shard
        return self.at

    @classmethod
    def begin_at(cls, streams: Streams, partition: LogPartition, place: Place) -> Walk:
        """A walk that begins with a record."""
        walk = cls(streams, partition, place)
        walk._inclusive = True
        return walk

    def prove(self) -> None:
        """See that the record it begins with is still there, for `step` to go on. Raises as `step`."""
        attempt = 0
        while self._ahead is None:
            step = self._step()
            if self._seen_any:
                self._ahead = step
            else:
                time.sleep(backoff(attempt))
                attempt += 1

    def step(self) -> Step:
        """Read on; little may come though there is more.

        Raises:
            Trimmed: retention passed the walk.
            TopicNotFound: the stream was deleted.
            PositionLost: it was deleted and created again.
            TransportError: Kinesis refused, or cannot be reached.
        """
        step, self._ahead = self._ahead or self._step(), None
        self.at_end = step.at_end
        return step

    def _step(self) -> Step:
        layout = self._streams.of_log(self._partition.topic, self._partition.log)
        shard = self._shard(layout)
        if shard is None and self.at is not None:  # another client knows of newer ones
            layout = self._streams.of_log(self._partition.topic, self._partition.log, anew=True)
            shard = self._shard(layout)
            if shard is None:  # retention took the whole shard
                raise Trimmed
        if shard is None:
            return Step([], at_end=True, until=0)
        started = time.time_ns() // 1_000_000
        try:
            iterator = self._iterator
            if iterator is None or self._must_open(started, layout.retention_ms):
                iterator = self._open(shard, started - layout.retention_ms)
            found = self._streams.api.records(iterator, _LIMIT)
        except Failure as failure:
            return self._after_failure(failure)
        self._failing_since = None
        return self._take(found, shard, layout, started)

    def _take(self, found: Fetched, shard: Shard, layout: Layout, started: int) -> Step:
        """Go on behind what was read."""
        records = found.records
        if self._expected is not None:
            records = self._checked(records, closed=found.next is None, behind=found.behind_ms)
        if records:
            self._after, self._inclusive = records[-1].sequence, False
        at_end = found.behind_ms == 0
        if at_end and found.next is not None:
            self._seen_until = started
        elif records:
            self._seen_until = records[-1].arrival
        self._iterator = found.next
        read = [(Place(shard.number, record.sequence), contents(record)) for record in records]
        own = [one for one in read if partition_of(layout.points, shard, one[1].claimed) == self._partition.number]
        if found.next is None:
            at_end = not self._go_on(shard)
        return Step(own, at_end, self._seen_until)

    def _shard(self, layout: Layout) -> Shard | None:
        """The shard it is in: the first of the lineage, at the beginning."""
        line = self._lineage(layout)
        if self.at is None and line:
            self.at = line[0].number
        return next((shard for shard in line if shard.number == self.at), None)

    def _lineage(self, layout: Layout) -> list[Shard]:
        return lineage(layout.points[self._partition.number], layout.shards)

    def _later(self, layout: Layout, shard: Shard) -> list[Shard]:
        return [other for other in self._lineage(layout) if other.number > shard.number]

    def _must_open(self, now: int, retention_ms: int) -> bool:
        """Whether an iterator is to be replaced: one that retention may have passed is not trusted."""
        if time.monotonic() - self._opened > _STALE_SECONDS:
            return True
        return self._after is not None and self._seen_until < now - retention_ms + _MARGIN_MS

    def _open(self, shard: Shard, horizon: int) -> str:
        api, topic = self._streams.api, self._partition.topic
        if self._after is None:
            if 0 < self._seen_until < horizon:  # what came after the shard before this one may have expired
                raise Trimmed
            iterator, self._expected = api.first_iterator(topic, shard), None
        else:
            iterator, self._expected = api.iterator_at(topic, shard, self._after), self._after
        self._opened = time.monotonic()
        return iterator

    def _after_failure(self, failure: Failure) -> Step:
        """Go on after a failure, unless nothing else has come for too long.

        What a limit or a fault of the service kept from being read is read at the next step.
        """
        topic = self._partition.topic
        now = time.monotonic()
        self._failing_since = self._failing_since or now
        if failure.code not in THROTTLED:
            self._iterator = None
        if failure.code in PASSING | {EXPIRED} and now - self._failing_since < self._streams.timeout:
            return Step([], at_end=False, until=0)
        if failure.code == NOT_FOUND or failure.code in INVALID:
            self._streams.confirm(topic, self._partition.log)
            if failure.code == NOT_FOUND or self._after is not None:
                self._streams.forget(topic)
                raise Trimmed
        raise translated(failure, "reading failed", topic=topic, partition=self._partition.number) from failure

    def _checked(self, records: list[Record], *, closed: bool, behind: int) -> list[Record]:
        """Records without the one the walk goes on from, which must be the first."""
        if not records:
            if closed or behind == 0:
                raise Trimmed
            return records
        if records[0].sequence != self._expected:
            raise Trimmed
        self._expected, self._seen_any = None, True
        return records if self._inclusive else records[1:]

    def _go_on(self, shard: Shard) -> bool:
        """Enter the shard that follows a closed one which was read whole; False where none is known yet."""
        topic, log = self._partition.topic, self._partition.log
        later = self._later(self._streams.of_log(topic, log), shard)
        if not later:
            later = self._later(self._streams.of_log(topic, log, anew=True), shard)
        if not later:
            return False
        self.at, self._after, self._inclusive = later[0].number, None, False
        return True
