"""Groups of readers: who reads which partition, and the offsets they committed. Thread-safe.

A rebalance is cooperative, as Kafka's incremental protocol (KIP-429): joining and leaving computes who shall read
what; a partition passes to its new reader once its present one has let go of it in `poll` or `close`, or has not polled
for `max_poll_interval_ms` and is taken for dead. So no two members ever read a partition at once, and what a member
commits for a partition it no longer has is refused.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

import attrs

from onepipe.transport import TopicPartition
from onepipe_memory.errors import commit_refused

if TYPE_CHECKING:
    from onepipe_memory.log import Log

Offsets: TypeAlias = dict[tuple[str, int], int]
"""Committed offsets by identity of the log and number of the partition."""


def assign(
    subscriptions: Mapping[int, Collection[str]],
    partitions: Sequence[TopicPartition],
    owners: Mapping[TopicPartition, int],
) -> dict[TopicPartition, int]:
    """Who shall read what: evenly, and every partition stays with its owner where that is even.

    Args:
        subscriptions: names of the topics each member wants, by member.
        partitions: all partitions of those topics.
        owners: who has partitions now.

    Returns:
        The member of each partition; with equal subscriptions, their numbers differ by one at most.
    """
    if not subscriptions:
        return {}
    fair, extra = divmod(len(partitions), len(subscriptions))
    load = dict.fromkeys(subscriptions, 0)
    targets: dict[TopicPartition, int] = {}
    kept = [p for p in partitions if p.topic in subscriptions.get(owners.get(p, -1), ())]
    for partition in kept:
        owner = owners[partition]
        beyond = load[owner] >= fair
        if load[owner] < fair or (load[owner] == fair and extra > 0):
            extra -= beyond
            targets[partition] = owner
            load[owner] += 1
    for partition in partitions:
        if partition not in targets:
            candidates = [member for member, topics in subscriptions.items() if partition.topic in topics]
            targets[partition] = min(candidates, key=load.__getitem__)
            load[targets[partition]] += 1
    return targets


@attrs.define
class _Member:
    topics: frozenset[str]
    polled: int


class Group:
    """The readers of one group in this process."""

    def __init__(self, name: str, log: Log) -> None:
        self.name = name
        self._log = log
        self._lock = threading.RLock()
        self._numbers = itertools.count()
        self._members: dict[int, _Member] = {}
        self._owners: dict[TopicPartition, int] = {}
        self._targets: dict[TopicPartition, int] = {}
        self._offsets: Offsets = {}

    def join(self, topics: Iterable[str]) -> int:
        """Become a member; the member's number.

        Raises:
            ConfigurationError: readers of this group run in another process.
        """
        with self._lock:
            if not self._members:
                self._offsets = dict(self._log.store.load_offsets(self.name))
            self._expel_idle()
            number = next(self._numbers)
            self._members[number] = _Member(frozenset(topics), self._log.config.clock())
            self._rebalance()
            return number

    def leave(self, member: int) -> None:
        """Stop being a member; its partitions are free."""
        with self._lock:
            if self._members.pop(member, None) is not None:
                self._free(member)

    def note_poll(self, member: int) -> bool:
        """Take a sign of life; False where the member was taken for dead."""
        with self._lock:
            self._expel_idle()
            if member in self._members:
                self._members[member].polled = self._log.config.clock()
            return member in self._members

    def leaving(self, member: int) -> frozenset[TopicPartition]:
        """The partitions a member has and shall give up."""
        with self._lock:
            return frozenset(p for p, m in self._owners.items() if m == member and self._targets.get(p) != member)

    def release(self, member: int, partitions: Iterable[TopicPartition]) -> None:
        """Give partitions up."""
        with self._lock:
            for partition in partitions:
                if self._owners.get(partition) == member:
                    del self._owners[partition]
        self._log.wake()

    def claim(self, member: int) -> frozenset[TopicPartition]:
        """Take the partitions that are meant for a member and free."""
        with self._lock:
            free = frozenset(p for p, m in self._targets.items() if m == member and p not in self._owners)
            self._owners.update(dict.fromkeys(free, member))
            return free

    def commit(self, member: int, offsets: Mapping[TopicPartition, int]) -> None:
        """Store offsets, all or none.

        Raises:
            CommitRefused: a partition is not the member's.
        """
        with self._lock:
            self._expel_idle()
            for partition in offsets:
                if self._owners.get(partition) != member:
                    raise commit_refused(partition, self.name)
            committed = {self._key(partition): offset for partition, offset in offsets.items()}
            self._log.store.save_offsets(self.name, {**self._offsets, **committed})
            self._offsets.update(committed)

    def committed(self, partition: TopicPartition) -> int | None:
        """The stored offset of a partition, or None."""
        with self._lock:
            return self._offsets.get(self._key(partition))

    def _key(self, partition: TopicPartition) -> tuple[str, int]:
        return self._log.topic(partition.topic).description.log, partition.partition

    def _expel_idle(self) -> None:
        limit = self._log.config.clock() - self._log.config.max_poll_interval_ms
        for number in [number for number, member in self._members.items() if member.polled < limit]:
            del self._members[number]
            self._free(number)

    def _free(self, member: int) -> None:
        """Free the partitions of one who is no member any more."""
        for partition in [p for p, m in self._owners.items() if m == member]:
            del self._owners[partition]
        self._rebalance()
        if not self._members:
            self._log.store.release_group(self.name)

    def _rebalance(self) -> None:
        subscriptions = {number: member.topics for number, member in self._members.items()}
        names = sorted(frozenset[str]().union(*subscriptions.values()))
        topics = [topic.description for name in names if (topic := self._log.store.get(name))]
        partitions = [TopicPartition(t.name, number) for t in topics for number in range(t.partitions)]
        self._targets = assign(subscriptions, partitions, {**self._targets, **self._owners})
        self._log.wake()
