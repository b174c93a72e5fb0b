"""Scenarios T40 to T59 of the transport contract: groups of readers."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from onepipe.errors import CommitRefused, TopicNotFound
from onepipe.testing.transport_base import PARTITIONS, T0, TransportSuite, numbers
from onepipe.transport import Capability, GroupReader, Start, TopicDescription, TopicPartition, Transport


class Listener:
    """Notes what a reader is told, and seeks and commits where it is asked to."""

    def __init__(self) -> None:
        self.told: list[tuple[str, frozenset[TopicPartition]]] = []
        self.reader: GroupReader | None = None
        self.to_commit: dict[TopicPartition, int] = {}
        self.seek: Callable[[TopicPartition], object] | None = None

    def assigned(self, partitions: frozenset[TopicPartition]) -> None:
        """Note it, and seek."""
        self.told.append(("assigned", partitions))
        if self.seek is not None:
            for partition in partitions:
                self.seek(partition)

    def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        """Note it, and commit."""
        self.told.append(("revoked", partitions))
        if self.reader is not None:
            self.reader.commit({p: offset for p, offset in self.to_commit.items() if p in partitions})

    def lost(self, partitions: frozenset[TopicPartition]) -> None:
        """Note it."""
        self.told.append(("lost", partitions))

    def held(self) -> frozenset[TopicPartition]:
        """The partitions one has who was told all this."""
        held = frozenset[TopicPartition]()
        for what, partitions in self.told:
            held = held | partitions if what == "assigned" else held - partitions
        return held


class GroupScenarios(TransportSuite):
    """What holds for readers that share partitions. All need GROUPS."""

    @pytest.fixture(autouse=True)
    def _needs_groups(self, request: pytest.FixtureRequest) -> None:
        if "group" in request.fixturenames:
            self.require(request.getfixturevalue("transport"), Capability.GROUPS)

    @pytest.fixture
    def group(self) -> str:
        """A group name not used before."""
        return self.new_name()

    def test_t40_a_member_alone_reads_everything(
        self, transport: Transport, topic: TopicDescription, group: str
    ) -> None:
        """T40: partitions come with poll; one member gets all of them, from the first offset on."""
        for partition in range(PARTITIONS):
            self.fill(transport, topic.name, 5, partition=partition, first=10 * partition)
        reader = transport.group_reader([topic.name], group)
        read = self.settle([reader])
        assert reader.assignment() == {TopicPartition(topic.name, number) for number in range(PARTITIONS)}
        read += self.read_to_end(reader)
        assert sorted(numbers(read)) == [0, 1, 2, 3, 4, 10, 11, 12, 13, 14, 20, 21, 22, 23, 24]

    def test_t41_members_share_the_partitions(self, transport: Transport, topic: TopicDescription, group: str) -> None:
        """T41: each partition is one member's, evenly; each message is read by one member."""
        readers = [transport.group_reader([topic.name], group) for _ in range(PARTITIONS)]
        read = self.settle(readers)
        held = [partition for reader in readers for partition in reader.assignment()]
        assert sorted(held) == [TopicPartition(topic.name, number) for number in range(PARTITIONS)]
        for partition in range(PARTITIONS):
            self.fill(transport, topic.name, 2, partition=partition, first=10 * partition)
        for reader in readers:
            read += self.read_to_end(reader)
        assert sorted(numbers(read)) == [0, 1, 10, 11, 20, 21]

    def test_t42_a_new_member_takes_over_partitions(
        self, transport: Transport, topic: TopicDescription, group: str
    ) -> None:
        """T42: joining moves partitions; both are told; at no time do two members have one partition."""
        tellings = [Listener(), Listener()]
        first = transport.group_reader([topic.name], group, listener=tellings[0])
        self.settle([first])
        second = transport.group_reader([topic.name], group, listener=tellings[1])
        overlap: list[frozenset[TopicPartition]] = []

        def look() -> bool:
            for reader in (first, second):
                reader.poll(10, 0.01)
                overlap.append(first.assignment() & second.assignment())
            return bool(second.assignment()) and len(first.assignment() | second.assignment()) == PARTITIONS

        self.until(look, "the second member has partitions")
        assert not any(overlap)
        assert ("revoked", second.assignment()) in tellings[0].told
        assert [listener.held() for listener in tellings] == [first.assignment(), second.assignment()]

    def test_t43_a_leaving_member_frees_its_partitions(
        self, transport: Transport, topic: TopicDescription, group: str
    ) -> None:
        """T43: closing a member gives its partitions to the others, after it was told."""
        listener = Listener()
        first = transport.group_reader([topic.name], group)
        second = transport.group_reader([topic.name], group, listener=listener)
        self.settle([first, second])
        second.close()
        assert listener.held() == frozenset()
        assert listener.told[-1][0] == "revoked"
        self.settle([first])
        assert len(first.assignment()) == PARTITIONS

    def test_t44_committed_offsets_are_kept(self, transport: Transport, topic: TopicDescription, group: str) -> None:
        """T44: committed says what commit stored, by partition, None before; committing again replaces it."""
        offsets = self.fill(transport, topic.name, 5)
        reader = transport.group_reader([topic.name], group)
        self.settle([reader])
        partition, other = TopicPartition(topic.name, 0), TopicPartition(topic.name, 1)
        assert reader.committed(partition) is None
        reader.commit({partition: offsets[3]})
        assert reader.committed(partition) == offsets[3]
        reader.commit({partition: offsets[1]})
        assert reader.committed(partition) == offsets[1]
        assert reader.committed(other) is None

    def test_t45_a_group_goes_on_where_it_committed(
        self, transport: Transport, topic: TopicDescription, group: str
    ) -> None:
        """T45: a member begins at the committed offset, of a partition without one at its first offset."""
        for partition in range(2):
            self.fill(transport, topic.name, 5, partition=partition, first=10 * partition)
        reader = transport.group_reader([topic.name], group)
        read = self.settle([reader]) + self.read_to_end(reader)
        done = next(message for message in read if message.value == b"2")
        reader.commit({TopicPartition(topic.name, 0): done.offset + 1})
        reader.close()
        again = transport.group_reader([topic.name], group)
        read = self.settle([again]) + self.read_to_end(again)
        assert sorted(numbers(read)) == [3, 4, 10, 11, 12, 13, 14]

    def test_t46_what_was_taken_cannot_be_committed(
        self, transport: Transport, topic: TopicDescription, group: str
    ) -> None:
        """T46: CommitRefused for a partition that passed to another member; nothing of that commit is stored."""
        self.fill(transport, topic.name, 5)
        first = transport.group_reader([topic.name], group)
        self.settle([first])
        second = transport.group_reader([topic.name], group)
        self.settle([first, second])
        (taken, *_), (own, *_) = second.assignment(), first.assignment()
        with pytest.raises(CommitRefused) as refused:
            first.commit({own: 0, taken: 0})
        assert (refused.value.topic, refused.value.partition) == taken
        assert second.committed(taken) is None
        assert first.committed(own) is None

    def test_t47_a_dead_member_cannot_commit(self, transport: Transport, topic: TopicDescription, group: str) -> None:
        """T47: who was taken for dead cannot commit, is told `lost` when it polls again, and joins anew."""
        listener = Listener()
        zombie = transport.group_reader([topic.name], group, listener=listener)
        self.settle([zombie])
        held = zombie.assignment()
        self.presume_dead(transport, zombie)
        with pytest.raises(CommitRefused):
            zombie.commit(dict.fromkeys(held, 0))
        successor = transport.group_reader([topic.name], group)
        self.settle([successor])
        assert all(successor.committed(partition) is None for partition in held)
        self.settle([zombie, successor])
        assert ("lost", held) in listener.told
        assert listener.held() == zombie.assignment()

    def test_t48_groups_do_not_disturb_each_other(
        self, transport: Transport, topic: TopicDescription, group: str
    ) -> None:
        """T48: each group reads everything and has its own committed offsets."""
        offsets = self.fill(transport, topic.name, 5)
        one, other = (transport.group_reader([topic.name], name) for name in (group, self.new_name()))
        read = self.settle([one]) + self.read_to_end(one)
        one.commit({TopicPartition(topic.name, 0): offsets[-1] + 1})
        assert numbers(read) == list(range(5))
        assert numbers(self.settle([other]) + self.read_to_end(other)) == list(range(5))
        assert other.committed(TopicPartition(topic.name, 0)) is None

    def test_t49_a_new_group_may_begin_at_the_end(
        self, transport: Transport, topic: TopicDescription, group: str
    ) -> None:
        """T49: with Start.LATEST, a partition without committed offset begins at its end."""
        self.fill(transport, topic.name, 5)
        reader = transport.group_reader([topic.name], group, start=Start.LATEST)
        assert self.settle([reader]) == []
        self.fill(transport, topic.name, 2, first=5)
        assert numbers(self.read_to_end(reader)) == [5, 6]

    def test_t50_revoked_partitions_can_still_be_committed(
        self, transport: Transport, topic: TopicDescription, group: str
    ) -> None:
        """T50: offsets committed in `revoked` are where the next member begins; so when joined, so when closed."""
        for partition in range(PARTITIONS):
            self.fill(transport, topic.name, 5, partition=partition, first=10 * partition)
        listener = Listener()
        first = transport.group_reader([topic.name], group, listener=listener)
        self.settle([first])
        self.read_to_end(first)
        listener.reader = first
        listener.to_commit = {partition: first.position(partition) for partition in first.assignment()}
        second = transport.group_reader([topic.name], group)
        assert self.settle([first, second]) == []
        first.close()
        assert self.settle([second]) == []

    def test_t51_a_group_reads_several_topics(self, transport: Transport, topic: TopicDescription, group: str) -> None:
        """T51: the partitions of all topics of a member are shared out."""
        self.require(transport, Capability.CREATE_TOPICS)
        other = transport.create_topic(self.new_name(), partitions=2)
        readers = [transport.group_reader([topic.name, other.name], group) for _ in range(2)]
        self.settle(readers, PARTITIONS + 2)
        topics = {partition.topic for reader in readers for partition in reader.assignment()}
        assert topics == {topic.name, other.name}

    def test_t52_a_group_of_an_unknown_topic_is_refused(self, transport: Transport, group: str) -> None:
        """T52: TopicNotFound when it is opened."""
        with pytest.raises(TopicNotFound):
            transport.group_reader([self.new_name()], group)

    def test_t53_seek_and_pause_work_in_a_group(
        self, transport: Transport, topic: TopicDescription, group: str
    ) -> None:
        """T53: a member seeks and pauses the partitions it has."""
        offsets = self.fill(transport, topic.name, 5)
        partition = TopicPartition(topic.name, 0)
        reader = transport.group_reader([topic.name], group)
        self.settle([reader])
        self.read_to_end(reader)
        reader.pause(partition)
        reader.seek(partition, offsets[3])
        assert reader.poll(10, 0.01) == []
        reader.resume(partition)
        assert numbers(self.read_to_end(reader)) == [3, 4]

    def test_t54_a_partition_may_be_sought_as_it_is_assigned(
        self, transport: Transport, topic: TopicDescription, group: str
    ) -> None:
        """T54: in `assigned` each position is set already, and may be sought: reading begins there."""
        places = [TopicPartition(topic.name, number) for number in range(PARTITIONS)]
        offsets = {
            place: self.fill(transport, topic.name, 5, partition=place.partition, first=10 * place.partition)
            for place in places
        }
        earlier = transport.group_reader([topic.name], group)
        self.settle([earlier])
        earlier.commit({places[0]: offsets[places[0]][1]})
        earlier.close()
        listener, found = Listener(), dict[TopicPartition, tuple[int | None, int]]()
        reader = transport.group_reader([topic.name], group, listener=listener)

        def seek(place: TopicPartition) -> None:
            found[place] = reader.committed(place), reader.position(place)
            if place != places[2]:
                reader.seek(place, offsets[place][3])

        listener.seek = seek
        read = self.settle([reader]) + self.read_to_end(reader)
        assert sorted(numbers(read)) == [3, 4, 13, 14, 20, 21, 22, 23, 24]
        committed, first = offsets[places[0]][1], [offsets[place][0] for place in places]
        assert found == {places[0]: (committed, committed), places[1]: (None, first[1]), places[2]: (None, first[2])}

    def test_t55_a_moment_may_be_sought_as_a_partition_is_assigned(
        self, transport: Transport, topic: TopicDescription, group: str
    ) -> None:
        """T55 (SEEK_TIME): a moment sought in `assigned` is where reading begins, of partitions that come later too."""
        self.require(transport, Capability.SEEK_TIME)
        for partition in range(PARTITIONS):
            self.fill(transport, topic.name, 5, partition=partition, first=partition)
        listeners = [Listener(), Listener()]
        first, second = (transport.group_reader([topic.name], group, listener=listener) for listener in listeners)
        listeners[0].seek = lambda place: first.seek_time(place, T0 + 4000)
        listeners[1].seek = lambda place: second.seek_time(place, T0 + 4000)
        read = self.settle([first, second])
        for reader in (first, second):
            read += self.read_to_end(reader)
        assert set(numbers(read)) == {4, 5, 6}
        first.close()
        assert min(numbers(self.settle([second]) + self.read_to_end(second))) == 4
