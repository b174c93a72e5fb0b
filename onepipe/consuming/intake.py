"""The intake of a consumer: what it has read ahead, handed out, handled and committed, by partition."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from onepipe.errors import ConfigurationError
from onepipe.transport import GroupReader, Message, Reader, Start, TopicPartition

if TYPE_CHECKING:
    from onepipe.topics import Readable
    from onepipe.transport import Transport

_POLL_MESSAGES: Final = 500
_JOIN_SECONDS: Final = 10.0
"""A member that its group gave nothing for so long has nothing to read; Kafka's brokers begin to share after 3 s."""


class Intake:
    """Takes messages from a reader, in offset order by partition, and keeps account of them. Used by one thread.

    A message is *read ahead*, then *handed out* by `take`, and *handled* once the next ones are taken. Within a group,
    what is handled is committed every `commit_every` seconds, and when partitions are taken away.
    """

    def __init__(
        self,
        topics: Sequence[Readable],
        transport: Transport,
        *,
        group: str | None,
        start: Start | int,
        auto_commit: bool,
        commit_every: float,
    ) -> None:
        """Open a reader, and go to where it begins.

        Args:
            topics: what to read.
            transport: where to read it.
            group: name of the group to share partitions with; None reads all partitions alone.
            start: where to begin in a partition without a committed offset: its start, its end, or a moment in
                milliseconds since 1970.
            auto_commit: whether to commit for the group what was handled.
            commit_every: seconds between such commits.
        """
        self._start = start
        self._auto_commit = auto_commit and group is not None
        self._commit_every = commit_every
        self._commit_due = time.monotonic() + commit_every
        self._ahead: deque[Message] = deque()
        self._handed_out: list[Message] = []
        self._handled: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._joins_until = time.monotonic() + (-math.inf if group is None else _JOIN_SECONDS)
        self._reader = self._join(topics, transport, group) if group is not None else self._read_all(topics, transport)

    def _join(self, topics: Sequence[Readable], transport: Transport, group: str) -> Reader:
        start = self._start if isinstance(self._start, Start) else Start.EARLIEST
        names = [entry.topic.name for entry in topics]
        return transport.group_reader(names, group, start=start, listener=_Rebalance(self))

    def _read_all(self, topics: Sequence[Readable], transport: Transport) -> Reader:
        places = [
            TopicPartition(entry.topic.name, number)
            for entry in topics
            for number in range(entry.description.partitions)
        ]
        reader = transport.reader(places)
        for place in places:
            if not isinstance(self._start, Start):
                reader.seek_time(place, self._start)
            elif self._start is Start.LATEST:
                reader.seek(place, reader.bounds(place).end)
        return reader

    def take(self, most: int, timeout: float) -> list[Message]:
        """Hand out up to `most` messages that come within `timeout` seconds; those of the previous call are handled."""
        self._note_handled()
        if self._auto_commit and time.monotonic() >= self._commit_due:
            self.commit_handled()
        if not self._ahead:
            self._ahead.extend(self._reader.poll(max(most, _POLL_MESSAGES), timeout))
        self._handed_out = [self._ahead.popleft() for _ in range(min(most, len(self._ahead)))]
        return self._handed_out

    def give_back(self, count: int) -> None:
        """Take back the last `count` messages handed out; the next call of `take` begins with them."""
        kept = len(self._handed_out) - count
        self._ahead.extendleft(reversed(self._handed_out[kept:]))
        self._handed_out = self._handed_out[:kept]

    def skip(self, message: Message) -> None:
        """Count a message as handled, if it is still the next one read ahead."""
        if self._ahead and self._ahead[0] is message:
            self._ahead.popleft()
            self._handled[_place(message)] = message.offset + 1

    def finish(self) -> None:
        """Count what was handed out as handled, and commit it where that is automatic."""
        self._note_handled()
        self.commit_handled()

    def commit(self) -> None:
        """Commit for the group what was handled, what is handed out included.

        Raises:
            ConfigurationError: there is no group.
            CommitRefused: a partition belongs to another reader by now.
        """
        if not isinstance(self._reader, GroupReader):
            raise ConfigurationError("offsets are committed for a group", remedy="pipe.consumer(…, group=…)")
        self._note_handled()
        self._reader.commit(self._handled)
        self._handled = {}

    def commit_handled(self) -> None:
        """Commit what was handled, where that is automatic."""
        self._commit_due = time.monotonic() + self._commit_every
        if self._auto_commit and self._handled and isinstance(self._reader, GroupReader):
            handled, self._handled = self._handled, {}
            self._reader.commit(handled)

    def begin(self, places: Iterable[TopicPartition]) -> None:
        """Go to the moment to start at in new partitions for which the group has committed nothing."""
        self._joins_until = -math.inf
        if isinstance(self._start, Start) or not isinstance(self._reader, GroupReader):
            return
        for place in places:
            if self._reader.committed(place) is None:
                self._reader.seek_time(place, self._start)

    def forget(self, places: frozenset[TopicPartition]) -> None:
        """Drop what is known of the messages of partitions that move or leave."""
        self._drop_ahead(places)
        self._handed_out = [message for message in self._handed_out if _place(message) not in places]
        self._handled = {place: offset for place, offset in self._handled.items() if place not in places}

    def seek(self, place: TopicPartition, offset: int) -> None:
        """Go to an offset of a partition."""
        self.forget(frozenset([place]))
        self._reader.seek(place, offset)

    def seek_time(self, timestamp: int) -> None:
        """Go, in every partition at hand, to the first message at or after a moment (ms since 1970), or the end."""
        places = self._reader.assignment()
        self.forget(places)
        for place in places:
            self._reader.seek_time(place, timestamp)

    def pause(self, place: TopicPartition) -> None:
        """Hand out no more messages of a partition until `resume`, keeping its position."""
        self._paused.add(place)
        self._reader.pause(place)
        first = self._first_ahead(place)
        if first is not None:
            self._reader.seek(place, first)
        self._drop_ahead(frozenset([place]))

    def resume(self, place: TopicPartition) -> None:
        """Hand out messages of a paused partition again."""
        self._paused.discard(place)
        self._reader.resume(place)

    def lag(self) -> dict[TopicPartition, int]:
        """By partition at hand, how many offsets lie between the next message and the end of the log."""
        return {
            place: max(0, self._reader.bounds(place).end - self._position(place)) for place in self._reader.assignment()
        }

    def caught_up(self) -> bool:
        """Whether every partition that is not paused was handed out to its end; not while a group is being joined."""
        if time.monotonic() < self._joins_until:
            return False
        return not self._ahead and all(
            self._reader.position(place) >= self._reader.bounds(place).end
            for place in self._reader.assignment()
            if place not in self._paused
        )

    def close(self) -> None:
        """Commit what was handled, where that is automatic, and let go of the reader."""
        try:
            self.commit_handled()
        finally:
            self._reader.close()

    def _drop_ahead(self, places: frozenset[TopicPartition]) -> None:
        self._ahead = deque(message for message in self._ahead if _place(message) not in places)

    def _note_handled(self) -> None:
        for message in self._handed_out:
            self._handled[TopicPartition(message.topic, message.partition)] = message.offset + 1
        self._handed_out = []

    def _position(self, place: TopicPartition) -> int:
        first = self._first_ahead(place)
        return self._reader.position(place) if first is None else first

    def _first_ahead(self, place: TopicPartition) -> int | None:
        return next((message.offset for message in self._ahead if _place(message) == place), None)


class _Rebalance:
    """Begins partitions at the wanted moment, commits what was handled before they leave, and drops what is theirs."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    def assigned(self, partitions: frozenset[TopicPartition]) -> None:
        self._intake.begin(partitions)

    def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        self._intake.commit_handled()
        self._intake.forget(partitions)

    def lost(self, partitions: frozenset[TopicPartition]) -> None:
        self._intake.forget(partitions)


def _place(message: Message) -> TopicPartition:
    return TopicPartition(message.topic, message.partition)
