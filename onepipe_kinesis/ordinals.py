"""Counting the messages of one partition, so that every reader gives them the same offsets. See `anchors`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final, NamedTuple, TypeVar

from onepipe.errors import TransportError
from onepipe.transport import Bounds
from onepipe_kinesis.anchors import SPACING, Anchor, Ledger, Mark, Place
from onepipe_kinesis.store import update
from onepipe_kinesis.streams import Streams, backoff
from onepipe_kinesis.walk import LogPartition, Step, Trimmed, Walk

_ATTEMPTS: Final = 5
_REMEMBER_MS: Final = 300_000
"""How far what is remembered may be behind what was handed out."""


T = TypeVar("T")


class Counted(NamedTuple):
    """A walk, and the ordinal of the next message that it brings."""

    walk: Walk
    next: int


class _Start(NamedTuple):
    """What the log holds first.

    Attributes:
        ordinal: the first offset kept.
        first: its record, or None where there is none.
        counted: the walk that found it, to go on with.
        last: the last record that the walk passed.
        until: what arrived before was passed; milliseconds since 1970.
    """

    ordinal: int
    first: Place | None
    counted: Counted
    last: Place | None
    until: int


class Ordinals:
    """The count of one partition, shared by the readers of a transport. Thread-safe.

    Every method raises TransportError where Kinesis or the store refuses or cannot be reached, and TopicNotFound or
    PositionLost where the stream was deleted, or deleted and created again.
    """

    def __init__(self, streams: Streams, partition: LogPartition) -> None:
        self._streams = streams
        self._partition = partition
        self._name = f"partition/{partition.number}"
        self._ledger = Ledger()
        self._tail: Mark | None = None
        self._lock = threading.Lock()

    def start(self) -> int:
        """The first offset kept."""
        return self._firmly(self._find_start).ordinal

    def bounds(self) -> Bounds:
        """The offsets the partition holds now; what this transport did not count yet is read for that."""
        return self._firmly(self._bounds)

    def begin(self, offset: int) -> Counted | int:
        """A walk whose next message is at or before an offset, as near as is known.

        Returns:
            The walk; the first offset kept, where that is beyond `offset`.
        """
        return self._nearest(offset) or self._firmly(lambda: self._from_start(offset))

    def count(self, place: Place, ordinal: int) -> None:
        """Take note of a record, before its messages are handed out; now and then it becomes an anchor."""
        last = self._ledger.anchors[-1] if self._ledger.anchors else None
        if last is None or (place > last.place and ordinal - last.ordinal >= SPACING):
            self._change(lambda known: known.with_anchor(Anchor(place, ordinal)))

    def reached(self, next_: int, place: Place | None, time_: int) -> None:
        """Take note of how far was counted, before it is handed out.

        Args:
            next_: the ordinal of the message that comes next.
            place: the last record that was counted; None where none came since the last call.
            time_: every record that arrived before was counted; milliseconds since 1970.
        """
        known, tail = self._ledger.mark, self._tail
        if place is None:
            place = next((mark.place for mark in (tail, known) if mark is not None and mark.next == next_), None)
            if place is None:
                return
        mark = Mark(next_, place, time_)
        with self._lock:
            if tail is None or tail.next <= next_:
                self._tail = mark
        if known is None or time_ - known.time >= _REMEMBER_MS:
            self._change(lambda ledger: ledger.with_mark(mark))

    def _nearest(self, offset: int) -> Counted | None:
        """A walk from what is remembered next to an offset; None where that record is not kept."""
        ledger, tail = self._reload(), self._tail
        ends = [mark for mark in (ledger.mark, tail) if mark is not None and mark.next <= offset]
        end, anchor = max(ends, key=lambda mark: mark.next, default=None), ledger.before(offset)
        if end is not None and end.place is not None and (anchor is None or end.next >= anchor.ordinal):
            return self._proved(Walk(self._streams, self._partition, end.place), end.next)
        if anchor is None:
            return None
        return self._proved(Walk.begin_at(self._streams, self._partition, anchor.place), anchor.ordinal)

    def _from_start(self, offset: int) -> Counted | int:
        start = self._find_start()
        if offset < start.ordinal:
            return start.ordinal
        if start.first is None:
            return start.counted
        walk = Walk.begin_at(self._streams, self._partition, start.first)
        walk.prove()
        return Counted(walk, start.ordinal)

    def _proved(self, walk: Walk, ordinal: int) -> Counted | None:
        """The walk, where the record it begins with is kept."""
        try:
            walk.prove()
        except Trimmed:
            return None
        return Counted(walk, ordinal)

    def _bounds(self) -> Bounds:
        start = self._find_start()
        (walk, ordinal), place, tail = start.counted, start.last, self._tail
        until = start.until
        if not walk.at_end and tail is not None and tail.next > ordinal:
            ahead = self._proved(Walk(self._streams, self._partition, tail.place), tail.next)
            if ahead is not None:
                (walk, ordinal), place = ahead, tail.place
        while not walk.at_end:
            step = self._step(walk)
            until = step.until
            for found, content in step.records:
                self.count(found, ordinal)
                ordinal += len(content.messages)
                place = found
        self.reached(ordinal, place, until)
        return Bounds(start.ordinal, ordinal)

    def _find_start(self) -> _Start:
        """Read from the first record kept to the first one that is remembered, and count back from there.

        Raises:
            Trimmed: retention was faster.
        """
        ledger = self._reload()
        walk = Walk(self._streams, self._partition)
        first, passed = None, 0
        while True:
            now = _now()
            records, _, until = self._step(walk)
            if records and first is None:
                first = records[0][0]
                if ledger.last is None or first > ledger.last:
                    self._resume_at(first, now)
                    ledger = self._ledger
            found = None
            for place, content in records:
                if found is None:
                    found = _counted_back(ledger, place, passed, len(content.messages))
                passed += len(content.messages)
            if found is not None:
                return _Start(found, first, Counted(walk, found + passed), records[-1][0], until)
            if walk.at_end and first is None:
                ordinal = self._resume_empty(now)
                return _Start(ordinal, None, Counted(walk, ordinal), None, until)
            if walk.at_end:
                raise Trimmed  # what was remembered has just expired

    def _resume_at(self, first: Place, now: int) -> None:
        """Give the first record kept its ordinal, where nothing that is remembered is kept."""

        def begun(known: Ledger) -> Ledger:
            if known.last is not None and known.last >= first:
                return known  # another reader was faster
            ordinal = known.resumed(now, self._retention)
            return known.with_anchor(Anchor(first, ordinal)).without(first)

        self._change(begun)

    def _resume_empty(self, now: int) -> int:
        """The first offset to come, where nothing is kept; agreed upon before anybody hands it out."""

        def resumed(known: Ledger) -> Ledger:
            ordinal = known.resumed(now, self._retention)
            return known if ordinal == known.greatest else known.with_mark(Mark(ordinal, known.last, now))

        return self._change(resumed).greatest

    @property
    def _retention(self) -> int:
        return self._streams.layout(self._partition.topic).retention_ms

    def _step(self, walk: Walk) -> Step:
        """A step of a walk, taken again where it brought nothing though there is more."""
        attempt = 0
        while True:
            step = walk.step()
            if step.records or step.at_end:
                return step
            time.sleep(backoff(attempt))
            attempt += 1

    def _firmly(self, read: Callable[[], T]) -> T:
        """Read again where retention took, between two reads, what the second one was to begin with."""
        for attempt in range(_ATTEMPTS):
            try:
                return read()
            except Trimmed:
                time.sleep(backoff(attempt))
        raise TransportError(
            "retention takes records faster than they are counted",
            topic=self._partition.topic,
            partition=self._partition.number,
            remedy="try again",
        )

    def _reload(self) -> Ledger:
        found = self._streams.store.get(self._partition.log, self._name)
        self._ledger = Ledger.parse(None if found is None else found.text)
        return self._ledger

    def _change(self, change: Callable[[Ledger], Ledger]) -> Ledger:
        def replace(text: str | None) -> tuple[str | None, Ledger]:
            known = Ledger.parse(text)
            changed = change(known)
            return (None if changed == known else changed.document()), changed

        self._ledger = update(self._streams.store, self._partition.log, self._name, replace)
        return self._ledger


def _counted_back(ledger: Ledger, place: Place, passed: int, messages: int) -> int | None:
    """The first offset kept, `passed` messages before a record; None where that record is not remembered."""
    ordinal = ledger.ordinal_at(place)
    if ordinal is not None:
        return ordinal - passed
    mark = ledger.mark
    if mark is not None and mark.place == place:
        return mark.next - passed - messages
    return None


def _now() -> int:
    return time.time_ns() // 1_000_000
