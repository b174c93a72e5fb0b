"""The transport contract against a real Kinesis, with positions in DynamoDB and in SQLite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest
from services.kinesis import Kinesis

from onepipe.plugins import open_transport
from onepipe.testing.transport import TransportContract
from onepipe.transport import GroupReader, TopicPartition, Transport
from onepipe_kinesis.api import Fetched
from onepipe_kinesis.group import KinesisGroupReader
from onepipe_kinesis.transport import KinesisTransport

pytestmark = pytest.mark.kinesis

QUICK = {"fetch.interval.ms": "20", "topic.watch.ms": "0", "group.sync.ms": "0"}


class Trimming:
    """Kinesis, with records that retention took: the service here keeps all for a day at least."""

    def __init__(self, transport: KinesisTransport) -> None:
        self._api = transport._streams.api
        self._gone: set[int] = set()

    def __getattr__(self, name: str) -> object:
        return getattr(self._api, name)

    def trim(self, topic: str, partition: int, kept: int) -> None:
        """Keep the last records of a partition's one shard."""
        shard = next(shard for shard in self._api.shards(topic) if shard.number == partition)
        found = self._api.records(self._api.first_iterator(topic, shard), 10_000).records
        self._gone |= {record.sequence for record in found[:-kept]}

    def records(self, iterator: str, limit: int) -> Fetched:
        found = self._api.records(iterator, limit)
        return found._replace(records=[record for record in found.records if record.sequence not in self._gone])


class KinesisContract(TransportContract):
    patience = 60.0
    settings: ClassVar = QUICK
    url: str

    @pytest.fixture
    def transport(self, where: str) -> Iterator[Transport]:
        self.url = where
        transport = open_transport(where, self.settings)
        yield transport
        for name in transport.topics() if not transport._life.over else ():
            transport.delete_topic(name)
        transport.close()

    def reopen(self, transport: Transport) -> Transport:
        transport.close()
        return open_transport(self.url, self.settings)

    def presume_dead(self, transport: Transport, member: GroupReader) -> None:
        assert isinstance(member, KinesisGroupReader)
        member._change(lambda group: group.without([member.name]))


class TestDynamo(KinesisContract):
    @pytest.fixture
    def where(self, kinesis: Kinesis, dynamodb: str) -> str:
        return kinesis.url("dynamodb", **{"positions.endpoint": dynamodb})

    test_t33_expired_messages_are_reported_not_skipped = None  # records hold several messages: see TestRecordByRecord


class TestRecordByRecord(KinesisContract):
    """One message a record, so that retention takes single messages, and positions in SQLite."""

    settings: ClassVar = {**QUICK, "batch.bytes": "1"}

    @pytest.fixture
    def where(self, kinesis: Kinesis, tmp_path: Path) -> str:
        return kinesis.url(f"sqlite:///{tmp_path}/positions.db")

    def expire(self, transport: Transport, partition: TopicPartition, before: int) -> None:
        assert isinstance(transport, KinesisTransport)
        reader = transport.reader([partition])
        kept = reader.bounds(partition).end - before
        reader.close()
        trimming = Trimming(transport)
        trimming.trim(partition.topic, partition.partition, kept)
        transport._streams.api = trimming
