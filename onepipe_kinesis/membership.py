"""Who reads what in a group, and what it committed: one document that all members share, in the store.

Its leases are what Kinesis's own client library keeps by shard; here they are of partitions, which stay. Joining and
leaving computes who shall read what; a partition passes to its new reader once its present one has let go of it in
`poll` or `close`, or has given no sign of life for `session.timeout.ms`. As every change replaces the document that it
was computed from, no two members ever have one partition, and a commit is stored whole or not at all. No clocks are
compared: a member watches how long the others' signs of life do not change, by its own clock.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Final, Self

import attrs

from onepipe.transport import TopicPartition

_FORMAT: Final = 1


@attrs.frozen
class Member:
    """A reader of the group.

    Attributes:
        topics: what it reads.
        beat: its signs of life, counted.
    """

    topics: tuple[str, ...]
    beat: int = 0


@attrs.frozen
class Membership:
    """A group, at a time.

    Attributes:
        members: by identity.
        leases: who has a partition.
        offsets: what was committed, by log and number of the partition.
    """

    members: Mapping[str, Member] = attrs.field(factory=dict)
    leases: Mapping[TopicPartition, str] = attrs.field(factory=dict)
    offsets: Mapping[str, int] = attrs.field(factory=dict)

    @classmethod
    def parse(cls, text: str | None) -> Self:
        """A group of its document; an empty one of None."""
        if text is None:
            return cls()
        said = json.loads(text)
        return cls(
            {name: Member(tuple(topics), beat) for name, topics, beat in said["members"]},
            {TopicPartition(topic, number): name for topic, number, name in said["leases"]},
            said["offsets"],
        )

    def document(self) -> str:
        """The group as a document."""
        return json.dumps(
            {
                "format": _FORMAT,
                "members": [[name, m.topics, m.beat] for name, m in sorted(self.members.items())],
                "leases": [[*partition, name] for partition, name in sorted(self.leases.items())],
                "offsets": dict(sorted(self.offsets.items())),
            },
            separators=(",", ":"),
        )

    def of(self, name: str) -> frozenset[TopicPartition]:
        """The partitions that a member has."""
        return frozenset(partition for partition, owner in self.leases.items() if owner == name)

    def with_member(self, name: str, topics: Sequence[str]) -> Membership:
        """The group with one more member."""
        return attrs.evolve(self, members={**self.members, name: Member(tuple(topics))})

    def without(self, names: Collection[str]) -> Membership:
        """The group without members, whose partitions are free."""
        return attrs.evolve(
            self,
            members={name: member for name, member in self.members.items() if name not in names},
            leases={partition: name for partition, name in self.leases.items() if name not in names},
        )

    def alive(self, name: str) -> Membership:
        """The group with one more sign of life of a member."""
        member = self.members[name]
        return attrs.evolve(self, members={**self.members, name: attrs.evolve(member, beat=member.beat + 1)})

    def released(self, name: str, partitions: Collection[TopicPartition]) -> Membership:
        """The group once a member let go of partitions."""
        kept = {p: owner for p, owner in self.leases.items() if owner != name or p not in partitions}
        return attrs.evolve(self, leases=kept)

    def claimed(self, name: str, partitions: Sequence[TopicPartition]) -> Membership:
        """The group once a member took the partitions that are meant for it and free."""
        targets = assign({m: member.topics for m, member in self.members.items()}, partitions, self.leases)
        free = {p: name for p, owner in targets.items() if owner == name and p not in self.leases}
        return attrs.evolve(self, leases={**self.leases, **free})

    def leaving(self, name: str, partitions: Sequence[TopicPartition]) -> frozenset[TopicPartition]:
        """The partitions a member has and shall give up."""
        targets = assign({m: member.topics for m, member in self.members.items()}, partitions, self.leases)
        return frozenset(p for p in self.of(name) if targets.get(p) != name)

    def committed(self, offsets: Mapping[str, int]) -> Membership:
        """The group once offsets were committed."""
        return attrs.evolve(self, offsets={**self.offsets, **offsets})


def assign(
    subscriptions: Mapping[str, Collection[str]],
    partitions: Sequence[TopicPartition],
    owners: Mapping[TopicPartition, str],
) -> dict[TopicPartition, str]:
    """Who shall read what: evenly, and every partition stays with its owner where that is even.

    The same for everyone who computes it of the same document.

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
    load = dict.fromkeys(sorted(subscriptions), 0)
    targets: dict[TopicPartition, str] = {}
    for partition in sorted(partitions):
        owner = owners.get(partition, "")
        if partition.topic not in subscriptions.get(owner, ()):
            continue
        if load[owner] < fair or (load[owner] == fair and extra > 0):
            extra -= load[owner] == fair
            load[owner] += 1
            targets[partition] = owner
    for partition in sorted(partitions):
        if partition not in targets:
            candidates = [member for member in load if partition.topic in subscriptions[member]]
            if candidates:
                targets[partition] = min(candidates, key=load.__getitem__)
                load[targets[partition]] += 1
    return targets
