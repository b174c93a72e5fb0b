"""A partition of a log: what a log's readers and writers need of it, and the partition in memory."""

from __future__ import annotations

import threading
from bisect import bisect_left
from operator import attrgetter
from typing import Final, NamedTuple, Protocol

from onepipe.transport import Bounds, Headers, Message, Outgoing
from onepipe_memory.config import MemoryConfig
from onepipe_memory.errors import full, no_topic, position_lost, too_large

_OFFSET: Final = attrgetter("offset")
_new = tuple.__new__


class Chunk(NamedTuple):
    """What a partition gave: messages in offset order, and the position after them (past gaps at the end)."""

    messages: list[Message]
    next: int


class Partition(Protocol):
    """One partition of one incarnation of a topic. Thread-safe."""

    @property
    def deleted(self) -> bool:
        """Whether the topic was deleted."""

    def bounds(self) -> Bounds:
        """The offsets it holds now."""

    def read(self, offset: int, limit: int) -> Chunk:
        """Up to `limit` messages from the first one at or after `offset` on.

        Raises:
            PositionLost: the offset is before the first one kept, or beyond the end.
        """

    def offset_at(self, timestamp: int) -> int:
        """The first offset stamped at or after `timestamp` (ms since 1970), else the end."""

    def trim(self, before: int) -> None:
        """Forget the messages before an offset, at most up to the end."""


def payload_bytes(key: bytes | None, value: bytes | None, headers: Headers) -> int:
    """Bytes of key, value and headers together."""
    size = (len(key) if key else 0) + (len(value) if value else 0)
    for name, data in headers:
        size += len(name) + len(data)
    return size


class MemoryPartition:
    """A partition in memory: messages in a list. Thread-safe."""

    def __init__(self, topic: str, number: int, retention_ms: int | None, config: MemoryConfig) -> None:
        self._topic = topic
        self._number = number
        self._retention_ms = retention_ms
        self._config = config
        self._max_bytes = config.max_message_bytes
        self._capacity = config.capacity_bytes
        self._lock = threading.Lock()
        self._messages: list[Message] = []
        self._start = 0
        self._end = 0
        self._bytes = 0
        self.deleted = False

    def append(self, message: Outgoing) -> int:
        """Store a message; its offset.

        Raises:
            TopicNotFound: the topic was deleted.
            RecordTooLarge: larger than the log takes.
            BufferFull: the partition holds all it may.
        """
        topic, number, key, value, headers, timestamp = message
        size = (len(key) if key else 0) + (len(value) if value else 0)
        for name, data in headers:  # not by payload_bytes: a call would cost a tenth of this method
            size += len(name) + len(data)
        if size > self._max_bytes:
            raise too_large(topic, number, size, self._max_bytes)
        with self._lock:
            if self.deleted:
                raise no_topic(topic)
            if self._retention_ms is not None:
                self._expire()
            if self._capacity is not None and self._bytes + size > self._capacity:
                raise full(topic, number, self._capacity)
            offset = self._end
            self._messages.append(_new(Message, (topic, number, offset, timestamp, key, value, headers)))
            self._end = offset + 1
            self._bytes += size
        return offset

    def delete(self) -> None:
        """Take no more messages, as the topic was deleted."""
        with self._lock:
            self.deleted = True

    def bounds(self) -> Bounds:
        """The offsets it holds now."""
        with self._lock:
            self._expire()
            return Bounds(self._start, self._end)

    def read(self, offset: int, limit: int) -> Chunk:
        """Up to `limit` messages from the first one at or after `offset` on.

        Raises:
            PositionLost: the offset is before the first one kept, or beyond the end.
        """
        with self._lock:
            self._expire()
            if not self._start <= offset <= self._end:
                raise position_lost(self._topic, self._number, offset, self._start, self._end)
            first = self._index(offset)
            messages = self._messages[first : first + limit]
            at_end = first + len(messages) == len(self._messages)
            return Chunk(messages, self._end if at_end else messages[-1].offset + 1 if messages else offset)

    def offset_at(self, timestamp: int) -> int:
        """The first offset stamped at or after `timestamp` (ms since 1970), else the end."""
        with self._lock:
            self._expire()
            return next((message.offset for message in self._messages if message.timestamp >= timestamp), self._end)

    def trim(self, before: int) -> None:
        """Forget the messages before an offset, at most up to the end."""
        with self._lock:
            if before > self._start:
                self._forget(self._index(before))
                self._start = min(before, self._end)

    def replace(self, offset: int, message: Message | None) -> Message | None:
        """Put `message` at an offset instead of what is there, None for a gap; what was there, None for a gap."""
        with self._lock:
            index = self._index(offset)
            held = index < len(self._messages) and self._messages[index].offset == offset
            before = self._messages[index] if held else None
            self._messages[index : index + held] = [] if message is None else [message]
            self._bytes += _stored_bytes(message) - _stored_bytes(before)
            return before

    def _index(self, offset: int) -> int:
        """Index of the first message at or after an offset."""
        index = offset - self._start
        messages = self._messages
        if index < len(messages) and messages[index].offset == offset:
            return index
        return bisect_left(messages, offset, key=_OFFSET)

    def _expire(self) -> None:
        if self._retention_ms is None:
            return
        limit = self._config.clock() - self._retention_ms
        kept = 0
        while kept < len(self._messages) and self._messages[kept].timestamp < limit:
            kept += 1
        if kept:
            self._start = self._messages[kept - 1].offset + 1
            self._forget(kept)

    def _forget(self, count: int) -> None:
        self._bytes -= sum(map(_stored_bytes, self._messages[:count]))
        del self._messages[:count]


def _stored_bytes(message: Message | None) -> int:
    return 0 if message is None else payload_bytes(message.key, message.value, message.headers)
