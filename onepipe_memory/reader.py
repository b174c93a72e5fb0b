"""Readers of a log: of given partitions, and of those a group gives."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import attrs

from onepipe.errors import PositionLost
from onepipe.transport import Bounds, Message, RebalanceListener, Start, TopicPartition
from onepipe_memory.errors import closed, no_topic, not_assigned, replaced
from onepipe_memory.groups import Group
from onepipe_memory.log import Log
from onepipe_memory.partition import Partition
from onepipe_memory.store import Closable


@attrs.define
class _Cursor:
    """Where a reader stands in a partition."""

    held: Partition
    position: int
    paused: bool = False


class LogReader:
    """Reads given partitions. Used by one thread at a time."""

    def __init__(self, log: Log, partitions: Iterable[TopicPartition], on_close: Callable[[Closable], None]) -> None:
        self._log = log
        self._on_close = on_close
        self._closed = False
        self._cursors: dict[TopicPartition, _Cursor] = {}
        for partition in partitions:
            held = log.partition(partition)
            self._cursors[partition] = _Cursor(held, held.bounds().start)

    def assignment(self) -> frozenset[TopicPartition]:
        """The partitions this reader reads now."""
        self._check_open()
        return frozenset(self._cursors)

    def poll(self, max_messages: int = 500, timeout: float = 0.0) -> list[Message]:
        """Return messages in offset order by partition; an empty list when none came within `timeout` seconds."""
        messages = self._look(max_messages)
        if messages or timeout <= 0:
            return messages
        return self._log.wait(lambda: self._look(max_messages), timeout)

    def position(self, partition: TopicPartition) -> int:
        """The offset of the next message `poll` returns; the partition's end once no message is left before it."""
        return self._cursor(partition).position

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Go to an offset; the next `poll` returns the first message at or after it."""
        self._cursor(partition).position = offset

    def seek_time(self, partition: TopicPartition, timestamp: int) -> int:
        """Go to the first message stamped at or after `timestamp` (ms since 1970), else to the end; the offset."""
        cursor = self._cursor(partition)
        cursor.position = cursor.held.offset_at(timestamp)
        return cursor.position

    def bounds(self, partition: TopicPartition) -> Bounds:
        """The offsets the partition holds now."""
        return self._cursor(partition).held.bounds()

    def pause(self, partition: TopicPartition) -> None:
        """Stop returning messages of the partition, keeping its position."""
        self._cursor(partition).paused = True

    def resume(self, partition: TopicPartition) -> None:
        """Return messages of the partition again."""
        self._cursor(partition).paused = False

    def close(self) -> None:
        """Let go of every resource. May be called again."""
        if not self._closed:
            self._closed = True
            self._cursors.clear()
            self._log.wake()  # one that waits in another thread finds out that it is closed
            self._on_close(self)

    def _prepare(self) -> None:
        """What is to be done before messages are taken."""

    def _look(self, limit: int) -> list[Message]:
        self._check_open()
        self._prepare()
        return self._take(limit)

    def _take(self, limit: int) -> list[Message]:
        """Messages of one partition after the other; the next call begins with the partition after the last one."""
        taken: list[Message] = []
        for partition, cursor in list(self._cursors.items()):
            if cursor.paused:
                continue
            try:
                messages, cursor.position = self._read(partition, cursor, limit - len(taken))
            except PositionLost:
                if taken:
                    break
                raise
            if messages:
                taken = taken + messages if taken else messages
                self._cursors[partition] = self._cursors.pop(partition)
                if len(taken) >= limit:
                    break
        return taken

    def _read(self, partition: TopicPartition, cursor: _Cursor, limit: int) -> tuple[list[Message], int]:
        if cursor.held.deleted:
            raise (
                no_topic(partition.topic) if self._log.store.get(partition.topic) is None else replaced(partition.topic)
            )
        return cursor.held.read(cursor.position, limit)

    def _cursor(self, partition: TopicPartition) -> _Cursor:
        self._check_open()
        try:
            return self._cursors[partition]
        except KeyError:
            raise not_assigned(partition) from None

    def _check_open(self) -> None:
        if self._closed:
            raise closed("reader")
        self._log.check_usable()


class LogGroupReader(LogReader):
    """Reads the partitions its group gives it. Used by one thread at a time."""

    def __init__(
        self,
        log: Log,
        topics: Sequence[str],
        group: Group,
        start: Start,
        listener: RebalanceListener | None,
        on_close: Callable[[Closable], None],
    ) -> None:
        super().__init__(log, (), on_close)
        for topic in topics:
            log.topic(topic)
        self._topics = topics
        self._group = group
        self._start = start
        self._listener = listener
        self._member = group.join(topics)

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Store, for the group, the offset of the next message to handle by partition; all or none."""
        self._check_open()
        self._group.commit(self._member, offsets)

    def committed(self, partition: TopicPartition) -> int | None:
        """The group's stored offset for the partition, or None."""
        self._check_open()
        return self._group.committed(partition)

    def close(self) -> None:
        """Give the partitions back, telling the listener first, and leave the group. May be called again."""
        if self._closed:
            return
        try:
            if self._log.unusable is None:
                self._give_up(frozenset(self._cursors))
        finally:
            super().close()
            if self._log.unusable is None:
                self._group.leave(self._member)

    def _prepare(self) -> None:
        """Follow the group: lose what it took, give up what it wants, take what it gives."""
        if not self._group.note_poll(self._member):
            lost = self.assignment()
            self._cursors.clear()
            self._member = self._group.join(self._topics)
            if self._listener and lost:
                self._listener.lost(lost)
        self._give_up(self._group.leaving(self._member))
        gained = self._group.claim(self._member)
        for partition in sorted(gained):
            self._cursors[partition] = self._cursor_at_committed(partition)
        if self._listener and gained:
            self._listener.assigned(gained)

    def _give_up(self, partitions: frozenset[TopicPartition]) -> None:
        if not partitions:
            return
        try:
            if self._listener:
                self._listener.revoked(partitions)
        finally:
            for partition in partitions:
                self._cursors.pop(partition, None)
            self._group.release(self._member, partitions)

    def _cursor_at_committed(self, partition: TopicPartition) -> _Cursor:
        held = self._log.partition(partition)
        position = self._group.committed(partition)
        if position is None:
            bounds = held.bounds()
            position = bounds.start if self._start is Start.EARLIEST else bounds.end
        return _Cursor(held, position)
