"""The contract of a transport, as a suite to inherit: a class is a transport when every scenario passes.

    class TestMyTransport(TransportContract):
        @pytest.fixture
        def transport(self):
            transport = …
            yield transport
            transport.close()

Scenarios are numbered T01 to T69, and listed in docs/reference/transport-contract.md. A scenario of a capability the
transport does not claim is skipped, with that as reason. What a transport lets happen in its own way (retention, the
death of a group's member, opening a log anew) is a method to override.
"""

from __future__ import annotations

import re

import pytest

from onepipe.errors import ClosedError, ConfigurationError, PositionLost, TopicNotFound
from onepipe.testing.transport_base import PARTITIONS, TransportSuite, numbers, outgoing
from onepipe.testing.transport_groups import GroupScenarios
from onepipe.testing.transport_log import AppendScenarios, ReadScenarios
from onepipe.transport import (
    Capability,
    GroupReader,
    Message,
    Outcome,
    Reader,
    TopicDescription,
    TopicPartition,
    Transport,
    Writer,
)


class TopicScenarios(TransportSuite):
    """What holds for topics."""

    def test_t60_a_topic_is_described(self, transport: Transport, topic: TopicDescription) -> None:
        """T60: name, partitions, and an identity of the log that is safe in paths and stays the same."""
        assert transport.describe_topic(topic.name) == topic
        assert topic.partitions == PARTITIONS
        assert re.fullmatch(r"[A-Za-z0-9._-]+", topic.log)
        assert topic.name in transport.topics()
        assert list(transport.topics()) == sorted(transport.topics())

    def test_t61_creating_a_topic_again_changes_nothing(self, transport: Transport, topic: TopicDescription) -> None:
        """T61 (CREATE_TOPICS): the existing topic is returned as it is, whatever was wanted."""
        self.require(transport, Capability.CREATE_TOPICS)
        self.fill(transport, topic.name, 1)
        assert transport.create_topic(topic.name, partitions=PARTITIONS + 4) == topic
        assert numbers(self.read_to_end(transport.reader([TopicPartition(topic.name, 0)]))) == [0]

    def test_t62_a_deleted_topic_is_gone(self, transport: Transport, topic: TopicDescription) -> None:
        """T62 (CREATE_TOPICS): describing, deleting, reading and appending raise TopicNotFound."""
        self.require(transport, Capability.CREATE_TOPICS)
        writer, reader = transport.writer(), transport.reader([TopicPartition(topic.name, 0)])
        transport.delete_topic(topic.name)
        assert topic.name not in transport.topics()
        with pytest.raises(TopicNotFound):
            transport.describe_topic(topic.name)
        with pytest.raises(TopicNotFound):
            transport.delete_topic(topic.name)
        with pytest.raises(TopicNotFound):
            writer.append(outgoing(topic.name, 0), lambda _: None)
        with pytest.raises(TopicNotFound):
            self.until(lambda: bool(reader.poll(10, 0.1)), "the reader finds out")

    def test_t63_a_topic_created_again_is_another_log(self, transport: Transport, topic: TopicDescription) -> None:
        """T63 (CREATE_TOPICS): it has another identity and no messages, and no reader of the old one goes on in it."""
        self.require(transport, Capability.CREATE_TOPICS)
        self.fill(transport, topic.name, 3)
        old = transport.reader([TopicPartition(topic.name, 0)])
        writer = transport.writer()
        self.append(writer, [outgoing(topic.name, 3)])
        transport.delete_topic(topic.name)
        again = transport.create_topic(topic.name, partitions=1)
        assert again.log != topic.log
        self.append(writer, [outgoing(topic.name, number) for number in range(10, 15)])
        with pytest.raises((PositionLost, TopicNotFound)):
            self.until(lambda: bool(old.poll(10, 0.1)), "the old reader finds out")
        assert numbers(self.read_to_end(transport.reader([TopicPartition(topic.name, 0)]))) == [10, 11, 12, 13, 14]

    def test_t64_committed_offsets_go_with_the_log(self, transport: Transport, topic: TopicDescription) -> None:
        """T64 (CREATE_TOPICS, GROUPS): a topic created again has no committed offsets of the old log."""
        self.require(transport, Capability.CREATE_TOPICS)
        self.require(transport, Capability.GROUPS)
        group = self.new_name()
        reader = transport.group_reader([topic.name], group)
        self.settle([reader])
        reader.commit({TopicPartition(topic.name, 0): 2})
        reader.close()
        transport.delete_topic(topic.name)
        transport.create_topic(topic.name, partitions=PARTITIONS)
        self.fill(transport, topic.name, 3)
        again = transport.group_reader([topic.name], group)
        assert numbers(self.settle([again]) + self.read_to_end(again)) == [0, 1, 2]

    def test_t65_an_unknown_setting_is_refused(self, transport: Transport) -> None:
        """T65 (CREATE_TOPICS): ConfigurationError, and nothing is created."""
        self.require(transport, Capability.CREATE_TOPICS)
        name = self.new_name()
        with pytest.raises(ConfigurationError):
            transport.create_topic(name, partitions=1, settings={"no.such.setting": "1"})
        assert name not in transport.topics()


class LifecycleScenarios(TransportSuite):
    """What holds when things are opened and closed."""

    def test_t66_everything_fits_the_port(self, transport: Transport, topic: TopicDescription) -> None:
        """T66: transport, writer and readers have the methods of the port."""
        assert isinstance(transport, Transport)
        assert isinstance(transport.writer(), Writer)
        assert isinstance(transport.reader([TopicPartition(topic.name, 0)]), Reader)
        if Capability.GROUPS in transport.capabilities:
            assert isinstance(transport.group_reader([topic.name], self.new_name()), GroupReader)

    def test_t67_closing_twice_is_nothing_and_use_after_it_is_refused(
        self, transport: Transport, topic: TopicDescription
    ) -> None:
        """T67: close may be called again; every other method raises ClosedError, of readers and writers too."""
        partition = TopicPartition(topic.name, 0)
        own_writer, own_reader = transport.writer(), transport.reader([partition])
        for one in (own_writer, own_reader):
            one.close()
            one.close()
        kept_writer, kept_reader = transport.writer(), transport.reader([partition])
        for writer in (own_writer, kept_writer):
            if writer is kept_writer:
                transport.close()
                transport.close()
            for use in (writer.poll, writer.flush, lambda: writer.append(outgoing(topic.name, 0), lambda _: None)):  # noqa: B023 - called at once
                with pytest.raises(ClosedError):
                    use()
        for reader in (own_reader, kept_reader):
            for read in (reader.poll, reader.assignment, lambda: reader.position(partition)):  # noqa: B023 - called at once
                with pytest.raises(ClosedError):
                    read()
        with pytest.raises(ClosedError):
            transport.topics()
        with pytest.raises(ClosedError):
            transport.writer()

    def test_t68_closing_leaves_no_message_without_outcome(self, transport: Transport, topic: TopicDescription) -> None:
        """T68: what was not flushed gets one outcome at close; one acknowledged is in the log, one failed is not."""
        writer, told = transport.writer(), [list[Outcome]() for _ in range(20)]
        for number, outcomes in enumerate(told):
            writer.append(outgoing(topic.name, number), outcomes.append)
        writer.close()
        assert [len(outcomes) for outcomes in told] == [1] * 20
        stored = set(numbers(self.read_to_end(transport.reader([TopicPartition(topic.name, 0)]))))
        for number, (outcome,) in enumerate(told):
            if outcome.error is None:
                assert number in stored
            elif not outcome.error.indeterminate:
                assert number not in stored

    def test_t69_acknowledged_messages_survive_the_transport(
        self, transport: Transport, topic: TopicDescription
    ) -> None:
        """T69 (DURABLE): topics, identities, messages and committed offsets are there when the log is opened anew."""
        self.require(transport, Capability.DURABLE)
        offsets = self.fill(transport, topic.name, 10)
        group = self.new_name()
        if Capability.GROUPS in transport.capabilities:
            member = transport.group_reader([topic.name], group)
            self.settle([member])
            member.commit({TopicPartition(topic.name, 0): offsets[5]})
        again = self.reopen(transport)
        try:
            assert again.describe_topic(topic.name) == topic
            read: list[Message] = self.read_to_end(again.reader([TopicPartition(topic.name, 0)]))
            assert [message.offset for message in read] == offsets
            assert self.fill(again, topic.name, 1, first=10)[0] > offsets[-1]
            if Capability.GROUPS in again.capabilities:
                member = again.group_reader([topic.name], group)
                assert numbers(self.settle([member]) + self.read_to_end(member)) == [5, 6, 7, 8, 9, 10]
        finally:
            again.close()


class TransportContract(AppendScenarios, ReadScenarios, GroupScenarios, TopicScenarios, LifecycleScenarios):
    """The whole contract. Inherit it, and give a fixture `transport`."""
