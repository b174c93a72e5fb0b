"""The reader whose partitions a group shares out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Self

from onepipe.transport import RebalanceListener, Start, TopicPartition
from onepipe_kafka.client import Client, Consumer
from onepipe_kafka.errors import commit_refused
from onepipe_kafka.logs import Closable, Logs, states
from onepipe_kafka.reader import KafkaReader

_NOTE: Final = "onepipe:"
"""Begins the note that goes with a committed offset; the identity of the topic follows."""


class KafkaGroupReader(KafkaReader):
    """Reads the partitions its group gives it. Used by one thread at a time, in which the listener is told too.

    Rebalances are cooperative (KIP-429): a partition that stays is read on meanwhile. Each committed offset says of
    which log it is, so that one of a topic that was deleted is not taken for one of its successor; offsets that other
    tools committed are taken as they are.
    """

    def __init__(
        self,
        consumer: Consumer,
        logs: Logs,
        ids: Mapping[str, str],
        group: str,
        on_close: Callable[[Closable], None],
    ) -> None:
        super().__init__(consumer, logs, ids, on_close)
        self._group = group
        self._told: int | None = None

    @classmethod
    def join(
        cls,
        client: Client,
        logs: Logs,
        topics: Sequence[str],
        group: str,
        start: Start,
        listener: RebalanceListener | None,
        on_close: Callable[[Closable], None],
    ) -> Self:
        """A member of a group. Errors as `KafkaReader.of`."""
        found = states(logs, topics)
        what = f"group {group!r} cannot be joined"
        consumer = logs.call(lambda: client.consumer(group), what)
        reader = cls(consumer, logs, {topic: state.id for topic, state in found.items()}, group, on_close)
        membership = _Membership(reader, start, listener)
        logs.call(lambda: consumer.subscribe(topics, membership), what)
        return reader

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Store, for the group, the offset of the next message to handle by partition; all or none.

        Raises:
            CommitRefused: a partition is another member's by now, or this one is none any more.
        """
        self._check_open()
        held = self._consumer.assignment()
        for partition in offsets:
            if partition not in held:
                raise commit_refused(partition, self._group)
        if not offsets:
            return
        noted = {p: (offset, f"{_NOTE}{self._watch.ids[p.topic]}") for p, offset in offsets.items()}
        first = next(iter(offsets))
        what = f"offsets of group {self._group!r} are not committed"
        self._logs.call(lambda: self._consumer.commit(noted), what, topic=first.topic, partition=first.partition)

    def committed(self, partition: TopicPartition) -> int | None:
        """The group's stored offset for the partition, or None."""
        self._check_open()
        return self._stored([partition]).get(partition)

    def _stored(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Committed offsets, those of other logs left out."""
        what = f"offsets of group {self._group!r} cannot be read"
        found = self._logs.call(lambda: self._consumer.committed(partitions), what)
        return {p: offset for p, (offset, note) in found.items() if self._is_of_this_log(p, note)}

    def _is_of_this_log(self, partition: TopicPartition, note: str) -> bool:
        return not note.startswith(_NOTE) or note == f"{_NOTE}{self._watch.ids.get(partition.topic)}"

    def _place(self, partitions: frozenset[TopicPartition], start: Start) -> None:
        """Go to where reading begins in partitions that were just given."""
        ordered = sorted(partitions)
        positions = self._stored(ordered)
        new = [partition for partition in ordered if partition not in positions]
        if new and start is Start.EARLIEST:
            positions |= self._watch.call(lambda: self._consumer.starts(new), "the partitions' bounds cannot be read")
        for partition in ordered:
            self.seek(partition, positions[partition] if partition in positions else self.bounds(partition).end)

    def _tell(self, tell: Callable[[frozenset[TopicPartition]], None], partitions: frozenset[TopicPartition]) -> None:
        """Call the listener, which may use this reader, even one that closes."""
        before, self._told = self._told, threading.get_ident()
        try:
            tell(partitions)
        finally:
            self._told = before

    def _may_be_used_while_closing(self) -> bool:
        return self._told == threading.get_ident()


class _Membership:
    """What the group's decisions mean for a reader and its listener; see `onepipe_kafka.client.Rebalance`."""

    def __init__(self, reader: KafkaGroupReader, start: Start, listener: RebalanceListener | None) -> None:
        self._reader = reader
        self._start = start
        self._listener = listener

    def assigned(self, partitions: frozenset[TopicPartition]) -> None:
        self._reader._place(partitions, self._start)  # noqa: SLF001 - the module's own class
        if self._listener is not None:
            self._reader._tell(self._listener.assigned, partitions)  # noqa: SLF001 - as above

    def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        if self._listener is not None:
            self._reader._tell(self._listener.revoked, partitions)  # noqa: SLF001 - as above

    def lost(self, partitions: frozenset[TopicPartition]) -> None:
        if self._listener is not None:
            self._reader._tell(self._listener.lost, partitions)  # noqa: SLF001 - as above
