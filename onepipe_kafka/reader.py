"""The reader of given partitions. What it reads is committed, and of the very log that was there when it was opened."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Self, TypeVar

from onepipe.transport import Bounds, Message, TopicPartition
from onepipe_kafka.client import Client, Consumer
from onepipe_kafka.errors import (
    UNKNOWN_TOPIC,
    Failure,
    closed,
    no_partition,
    not_assigned,
    position_lost,
    translated,
)
from onepipe_kafka.lifetime import Lifetime
from onepipe_kafka.logs import Closable, Logs, LogWatch, states

_SLICE_SECONDS: Final = 0.5
"""Longest wait at a time: others may close the reader between two."""

T = TypeVar("T")


class KafkaReader:
    """Reads given partitions. Used by one thread at a time; may be closed by another."""

    def __init__(
        self, consumer: Consumer, logs: Logs, ids: Mapping[str, str], on_close: Callable[[Closable], None]
    ) -> None:
        self._consumer = consumer
        self._logs = logs
        self._watch = LogWatch(logs, ids)
        self._on_close = on_close
        self._life = Lifetime("reader", consumer)
        self._closing = False
        self._lost: dict[TopicPartition, None] = {}
        self._lock = threading.RLock()

    @classmethod
    def of(
        cls,
        client: Client,
        logs: Logs,
        partitions: Sequence[TopicPartition],
        on_close: Callable[[Closable], None],
    ) -> Self:
        """A reader of these partitions, at the first offset each one holds.

        Raises:
            TopicNotFound: there is no such topic or partition.
            NotAuthorized: this client may not read one.
        """
        found = states(logs, {partition.topic for partition in partitions})
        for topic, number in partitions:
            if not 0 <= number < found[topic].partitions:
                raise no_partition(topic, number, found[topic].partitions)
        what = "the partitions cannot be read"
        consumer = logs.call(lambda: client.consumer(None), what)
        ids = {topic: state.id for topic, state in found.items()}
        consumer.assign(LogWatch(logs, ids).call(lambda: consumer.starts(partitions), what))
        return cls(consumer, logs, ids, on_close)

    def assignment(self) -> frozenset[TopicPartition]:
        """The partitions this reader reads now."""
        self._check_open()
        return self._consumer.assignment()

    def poll(self, max_messages: int = 500, timeout: float = 0.0) -> list[Message]:
        """Return messages in offset order by partition; an empty list when none came within `timeout` seconds.

        Raises:
            PositionLost: a position is outside of the log, until it is sought elsewhere; or the topic was deleted and
                created again, which is found out within a second.
            TopicNotFound: a topic was deleted, which is found out within a second.
            NotAuthorized: this client may not read.
        """
        deadline = time.monotonic() + timeout
        while True:
            with self._lock:
                self._check_open()
                messages = self._poll(max_messages, min(_SLICE_SECONDS, max(0.0, deadline - time.monotonic())))
            if messages or time.monotonic() >= deadline:
                return messages

    def position(self, partition: TopicPartition) -> int:
        """The offset of the next message `poll` returns; the partition's end once no message is left before it."""
        self._require(partition)
        return self._consumer.position(partition)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Go to an offset; the next `poll` returns the first message at or after it."""
        self._require(partition)
        self._lost.pop(partition, None)
        self._consumer.seek(partition, offset)

    def seek_time(self, partition: TopicPartition, timestamp: int) -> int:
        """Go to the first message stamped at or after `timestamp` (ms since 1970), else to the end; the offset."""
        self._require(partition)
        offset = self._ask(lambda: self._consumer.offset_at(partition, timestamp), partition)
        if offset is None:
            offset = self.bounds(partition).end
        self.seek(partition, offset)
        return offset

    def bounds(self, partition: TopicPartition) -> Bounds:
        """The offsets the partition holds now; the end is that of what is committed."""
        self._require(partition)
        return self._ask(lambda: self._consumer.bounds(partition), partition)

    def pause(self, partition: TopicPartition) -> None:
        """Stop returning messages of the partition, keeping its position."""
        self._require(partition)
        self._consumer.pause(partition)

    def resume(self, partition: TopicPartition) -> None:
        """Return messages of the partition again."""
        self._require(partition)
        self._consumer.resume(partition)

    def close(self) -> None:
        """Let go of every resource. May be called again."""
        if self._life.ended is not None or self._closing:
            return
        self._closing = True
        with self._lock:
            try:
                self._consumer.close()
            finally:
                self._life.end()
                self._on_close(self)

    def _poll(self, max_messages: int, timeout: float) -> list[Message]:
        """What comes in one slice of time. A lost position is reported once what was read beside it is out."""
        if self._lost:
            self._raise_lost()
        try:
            messages = self._consumer.poll(max_messages, timeout)
        except Failure as failure:
            if failure.code not in UNKNOWN_TOPIC:
                raise translated(failure, "reading failed") from failure
            self._watch.look()  # raises where the topic is gone; else its brokers do not all know it yet
            messages = []
        self._watch.confirm()
        self._lost.update(dict.fromkeys(self._consumer.take_lost()))
        if self._lost and not messages:
            self._raise_lost()
        return messages

    def _raise_lost(self) -> None:
        assigned = self._consumer.assignment()
        for partition in list(self._lost):
            if partition in assigned:
                self._watch.look()
                raise position_lost(partition, self._consumer.position(partition), self.bounds(partition))
            del self._lost[partition]

    def _ask(self, call: Callable[[], T], partition: TopicPartition) -> T:
        what = "the partition's offsets cannot be read"
        return self._watch.call(call, what, topic=partition.topic, partition=partition.partition)

    def _require(self, partition: TopicPartition) -> None:
        self._check_open()
        if partition not in self._consumer.assignment():
            raise not_assigned(partition)

    def _check_open(self) -> None:
        self._life.check()
        if self._closing and not self._may_be_used_while_closing():
            raise closed("reader")

    def _may_be_used_while_closing(self) -> bool:
        return False
