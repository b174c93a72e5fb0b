"""The reader of given partitions. What it reads is of the very log that was there when it was opened."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Self

import attrs

from onepipe.errors import PositionLost
from onepipe.transport import Bounds, Message, TopicPartition
from onepipe_kinesis.config import KinesisConfig
from onepipe_kinesis.cursor import Cursor
from onepipe_kinesis.errors import no_partition, not_assigned
from onepipe_kinesis.lifetime import Lifetime
from onepipe_kinesis.ordinals import Ordinals
from onepipe_kinesis.streams import Closable, Streams
from onepipe_kinesis.walk import LogPartition

_SLICE_SECONDS: Final = 0.2
"""Longest sleep at a time: others may close the reader."""


class Counts:
    """The counts of partitions, shared by the readers of a transport. Thread-safe."""

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        self._known: dict[LogPartition, Ordinals] = {}
        self._lock = threading.Lock()

    def of(self, topic: str, log: str, number: int) -> Ordinals:
        """The count of one partition."""
        partition = LogPartition(topic, log, number)
        with self._lock:
            found = self._known.get(partition)
            if found is None:
                found = self._known[partition] = Ordinals(self._streams, partition)
            return found


@attrs.frozen
class Sources:
    """What readers read from."""

    streams: Streams
    counts: Counts
    config: KinesisConfig


class KinesisReader:
    """Reads given partitions. Used by one thread at a time; may be closed by another.

    A shard is read once the reader has handed out what it reads of the shard's parents, so that keys of others, whose
    partition a split or a merge may change, keep their order too, among the partitions of one reader.
    """

    def __init__(self, sources: Sources, on_close: Callable[[Closable], None]) -> None:
        self._sources = sources
        self._on_close = on_close
        self._life = Lifetime("reader")
        self._cursors: dict[TopicPartition, Cursor] = {}
        self._logs: dict[str, str] = {}
        self._confirmed = -math.inf

    @classmethod
    def of(cls, sources: Sources, partitions: Sequence[TopicPartition], on_close: Callable[[Closable], None]) -> Self:
        """A reader of these partitions, at the first offset each one holds.

        Raises:
            TopicNotFound: there is no such topic or partition.
        """
        reader = cls(sources, on_close)
        reader._follow(topic for topic, _ in partitions)
        for partition in partitions:
            reader._cursors[partition] = reader._cursor(partition)
        return reader

    def assignment(self) -> frozenset[TopicPartition]:
        """The partitions this reader reads now."""
        self._life.check()
        return frozenset(self._cursors)

    def poll(self, max_messages: int = 500, timeout: float = 0.0) -> list[Message]:
        """Return messages in offset order by partition; an empty list when none came within `timeout` seconds.

        Raises:
            PositionLost: a position is outside of the log, until it is sought elsewhere; or the topic was deleted and
                created again.
            TopicNotFound: a topic was deleted.
        """
        deadline = time.monotonic() + timeout
        while True:
            self._life.check()
            self._prepare()
            messages = self._take(max_messages)
            left = deadline - time.monotonic()
            if messages or left <= 0:
                return messages
            self._wait(left)

    def position(self, partition: TopicPartition) -> int:
        """The offset of the next message `poll` returns; the partition's end once no message is left before it."""
        return self._require(partition).position

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Go to an offset; the next `poll` returns the first message at or after it."""
        self._require(partition).seek(offset)

    def seek_time(self, partition: TopicPartition, timestamp: int) -> int:
        """Go to the first message stamped at or after `timestamp` (ms since 1970), else to the end; the offset.

        Every message kept before it is read for that: producers stamp them as they like.
        """
        return self._require(partition).seek_time(timestamp)

    def bounds(self, partition: TopicPartition) -> Bounds:
        """The offsets the partition holds now; what was not counted yet is read for that."""
        return self._require(partition).bounds()

    def pause(self, partition: TopicPartition) -> None:
        """Stop returning messages of the partition, keeping its position."""
        self._require(partition).paused = True

    def resume(self, partition: TopicPartition) -> None:
        """Return messages of the partition again."""
        self._require(partition).paused = False

    def close(self) -> None:
        """Let go of every resource. May be called again."""
        if self._life.end():
            self._on_close(self)

    def _prepare(self) -> None:
        """What is to be done before messages are taken."""

    def _follow(self, topics: Iterable[str]) -> None:
        """Read these topics, as they are now, from now on."""
        for topic in sorted(set(topics)):
            self._logs[topic] = self._sources.streams.refresh(topic).log

    def _cursor(self, partition: TopicPartition, position: int | None = None) -> Cursor:
        """A cursor at a position, at the first offset kept where None."""
        topic, number = partition
        points = self._sources.streams.layout(topic).points
        if not 0 <= number < len(points):
            raise no_partition(topic, number, len(points))
        ordinals = self._sources.counts.of(topic, self._logs[topic], number)
        position = ordinals.start() if position is None else position
        return Cursor(partition, ordinals, position, self._sources.config.fetch_interval_ms / 1000)

    def _take(self, limit: int) -> list[Message]:
        """Messages of one partition after the other; the next call begins with the partition after the last one."""
        taken: list[Message] = []
        reading = self._shards_in_hand()
        for partition, cursor in list(self._cursors.items()):
            if cursor.paused or self._waits_for_parents(partition.topic, cursor, reading):
                continue
            try:
                messages = cursor.take(limit - len(taken))
            except PositionLost:
                if taken:
                    break
                raise
            if messages:
                taken += messages
                self._cursors[partition] = self._cursors.pop(partition)
                if len(taken) >= limit:
                    break
        if taken:
            self._confirm()
        return taken

    def _shards_in_hand(self) -> set[tuple[str, int | None]]:
        """The shards, by topic, of which messages are read or handed out next."""
        active = [(partition, cursor) for partition, cursor in self._cursors.items() if not cursor.paused]
        for _, cursor in active:
            cursor.begin()
        return {(partition.topic, cursor.shard) for partition, cursor in active}

    def _waits_for_parents(self, topic: str, cursor: Cursor, reading: set[tuple[str, int | None]]) -> bool:
        """Whether a cursor is about to read a shard of whose parents another one, that goes on, is reading."""
        layout = self._sources.streams.known(topic)
        if layout is None or cursor.shard is None:
            return False
        return any((topic, parent) in reading for parent in layout.parents.get(cursor.shard, ()))

    def _confirm(self) -> None:
        """Look before the first messages are handed out, and now and then, whether the topics are still these logs."""
        if time.monotonic() - self._confirmed >= self._sources.config.topic_watch_ms / 1000:
            for topic, log in self._logs.items():
                self._sources.streams.confirm(topic, log)
            self._confirmed = time.monotonic()

    def _wait(self, left: float) -> None:
        due = min((cursor.due for cursor in self._cursors.values() if not cursor.paused), default=math.inf)
        time.sleep(max(0.001, min(left, _SLICE_SECONDS, due - time.monotonic())))

    def _require(self, partition: TopicPartition) -> Cursor:
        self._life.check()
        try:
            return self._cursors[partition]
        except KeyError:
            raise not_assigned(partition) from None
