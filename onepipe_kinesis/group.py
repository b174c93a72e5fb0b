"""The reader whose partitions a group shares out."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Self

from onepipe.errors import TopicNotFound
from onepipe.transport import RebalanceListener, Start, TopicPartition
from onepipe_kinesis.errors import commit_refused
from onepipe_kinesis.membership import Membership
from onepipe_kinesis.reader import KinesisReader, Sources
from onepipe_kinesis.store import update
from onepipe_kinesis.streams import Closable

SPACE: Final = "groups"
"""Space of the store in which groups stand, by name."""

_LOOK_SECONDS: Final = 10.0


class KinesisGroupReader(KinesisReader):
    """Reads the partitions its group gives it. Used by one thread at a time, in which the listener is told too.

    Who neither polls nor commits for `session.timeout.ms` is taken for dead by the other members.
    """

    def __init__(
        self,
        sources: Sources,
        topics: Sequence[str],
        group: str,
        start: Start,
        listener: RebalanceListener | None,
        on_close: Callable[[Closable], None],
    ) -> None:
        super().__init__(sources, on_close)
        self.group = group
        self.name = uuid.uuid4().hex
        self._topics = tuple(topics)
        self._start = start
        self._listener = listener
        self._synced = self._looked = -math.inf
        self._beats: dict[str, tuple[int, float]] = {}

    @classmethod
    def join(
        cls,
        sources: Sources,
        topics: Sequence[str],
        group: str,
        start: Start,
        listener: RebalanceListener | None,
        on_close: Callable[[Closable], None],
    ) -> Self:
        """A member of a group.

        Raises:
            TopicNotFound: there is no topic of one of these names.
        """
        reader = cls(sources, topics, group, start, listener, on_close)
        reader._follow(topics)
        reader._change(lambda group: group.with_member(reader.name, reader._topics))
        return reader

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Store, for the group, the offset of the next message to handle by partition; all or none.

        Raises:
            CommitRefused: a partition is another member's by now, or this one is none any more.
        """
        self._life.check()

        def committed(group: Membership) -> Membership:
            for partition in offsets:
                if group.leases.get(partition) != self.name:
                    raise commit_refused(partition, self.group)
            return group.alive(self.name).committed({self._key(p): offset for p, offset in offsets.items()})

        if offsets:
            self._change(committed)

    def committed(self, partition: TopicPartition) -> int | None:
        """The group's stored offset for the partition, or None."""
        self._life.check()
        return self._read().offsets.get(self._key(partition))

    def close(self) -> None:
        """Give the partitions back, telling the listener first, and leave the group. May be called again."""
        if self._life.over:
            return
        try:
            if self._listener is not None and self._cursors and self.name in self._read().members:
                self._listener.revoked(frozenset(self._cursors))
        finally:
            self._cursors.clear()
            super().close()
            self._change(lambda group: group.without([self.name]))

    def _prepare(self) -> None:
        """Follow the group now and then: lose what it took, give up what it wants, take what it gives."""
        if time.monotonic() - self._synced < self._sources.config.group_sync_ms / 1000:
            return
        group = self._change(self._renewed)
        if self.name not in group.members:
            self._rejoin()
            group = self._read()
        partitions = self._partitions(group)
        self._give_up(group.leaving(self.name, partitions))
        group = self._change(lambda g: g.claimed(self.name, partitions) if self.name in g.members else g)
        self._take_over(group.of(self.name) - self._cursors.keys(), group)
        self._synced = time.monotonic()

    def _renewed(self, group: Membership) -> Membership:
        """The group with a sign of life of this member, and without members that gave none for too long."""
        if self.name in group.members:
            group = group.alive(self.name)
        return group.without(self._silent(group))

    def _silent(self, group: Membership) -> list[str]:
        now = time.monotonic()
        self._beats = {
            name: seen if (seen := self._beats.get(name)) is not None and seen[0] == member.beat else (member.beat, now)
            for name, member in group.members.items()
        }
        limit = self._sources.config.session_timeout_ms / 1000
        return [name for name, (_, since) in self._beats.items() if name != self.name and now - since > limit]

    def _rejoin(self) -> None:
        """This member was taken for dead: it lost all it had, and joins anew."""
        lost = frozenset(self._cursors)
        self._cursors.clear()
        self._change(lambda group: group.with_member(self.name, self._topics))
        if self._listener is not None and lost:
            self._listener.lost(lost)

    def _give_up(self, partitions: frozenset[TopicPartition]) -> None:
        if not partitions:
            return
        try:
            if self._listener is not None:
                self._listener.revoked(partitions & self._cursors.keys())
        finally:
            for partition in partitions:
                self._cursors.pop(partition, None)
            self._change(lambda group: group.released(self.name, partitions))

    def _take_over(self, partitions: frozenset[TopicPartition], group: Membership) -> None:
        for partition in sorted(partitions):
            committed = group.offsets.get(self._key(partition))
            cursor = self._cursor(partition, committed)
            if committed is None and self._start is Start.LATEST:
                cursor.seek(cursor.bounds().end)
            self._cursors[partition] = cursor
        if self._listener is not None and partitions:
            self._listener.assigned(partitions)

    def _partitions(self, group: Membership) -> list[TopicPartition]:
        """All partitions of the members' topics; new ones that a split made are seen within some seconds."""
        streams = self._sources.streams
        names = {name for member in group.members.values() for name in member.topics}
        again = time.monotonic() - self._looked >= _LOOK_SECONDS
        partitions = []
        for name in sorted(names):
            try:
                layout = streams.refresh(name) if again else streams.layout(name)
            except TopicNotFound:  # of another member, or found out by what reads it
                continue
            partitions += [TopicPartition(name, number) for number in range(len(layout.points))]
        if again:
            self._looked = time.monotonic()
        return partitions

    def _key(self, partition: TopicPartition) -> str:
        log = self._logs.get(partition.topic) or self._sources.streams.layout(partition.topic).log
        return f"{log}/{partition.partition}"

    def _read(self) -> Membership:
        found = self._sources.streams.store.get(SPACE, self.group)
        return Membership.parse(None if found is None else found.text)

    def _change(self, change: Callable[[Membership], Membership]) -> Membership:
        def replace(text: str | None) -> tuple[str | None, Membership]:
            known = Membership.parse(text)
            changed = change(known)
            return (None if changed == known else changed.document()), changed

        return update(self._sources.streams.store, SPACE, self.group, replace)
