"""The transport contract, by both clients, against a real broker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kafka import KafkaAdminClient
from kafka import TopicPartition as Place
from kafka.admin import MemberToRemove
from services.kafka import Kafka

from onepipe.plugins import open_transport
from onepipe.testing.transport import TransportContract
from onepipe.testing.transport_base import TransportSuite
from onepipe.testing.transport_groups import GroupScenarios
from onepipe.transport import GroupReader, TopicPartition, Transport

pytestmark = pytest.mark.kafka

SETTINGS = {
    "topic.creation.default.retention.ms": "-1",  # the messages of the suite are years old
    "consumer.fetch.wait.max.ms": "50",  # a seek waits for the fetch under way
    "consumer.heartbeat.interval.ms": "300",  # that tells of a rebalance
}
NEW_PROTOCOL = {  # in which heartbeats are the broker's to time (KIP-848)
    "topic.creation.default.retention.ms": "-1",
    "consumer.fetch.wait.max.ms": "50",
    "consumer.group.protocol": "consumer",
}


class KafkaSuite(TransportSuite):
    scheme: str
    settings = SETTINGS
    patience = 60.0

    @pytest.fixture
    def admin(self, kafka: Kafka) -> Iterator[KafkaAdminClient]:
        self.address = kafka.address
        self.administration = KafkaAdminClient(bootstrap_servers=kafka.address)
        yield self.administration
        self.administration.close()

    @pytest.fixture
    def transport(self, admin: KafkaAdminClient) -> Iterator[Transport]:
        transport = self.open()
        yield transport
        transport.close()

    def open(self) -> Transport:
        return open_transport(f"{self.scheme}://{self.address}", self.settings)

    def reopen(self, transport: Transport) -> Transport:
        transport.close()
        return self.open()

    def expire(self, transport: Transport, partition: TopicPartition, before: int) -> None:
        self.administration.delete_records({Place(*partition): before})

    def presume_dead(self, transport: Transport, member: GroupReader) -> None:
        group = member._group
        described = self.administration.describe_groups([group])
        members = [MemberToRemove(member_id=one["member_id"]) for one in described[group]["members"]]
        assert members
        self.administration.remove_group_members(group, members)


class TestConfluent(KafkaSuite, TransportContract):
    scheme = "kafka+confluent"


class TestKafkaPython(KafkaSuite, TransportContract):
    scheme = "kafka"


class TestConfluentWhereTheBrokerAssigns(KafkaSuite, GroupScenarios):
    scheme = "kafka+confluent"
    settings = NEW_PROTOCOL
    test_t47_a_dead_member_cannot_commit = None  # members of such a group cannot be expelled by others
