"""Retention that passes who reads a real Kafka: an alarm that names the range, and a verdict that names the records."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient
from kafka import TopicPartition as Place
from services.kafka import Kafka

import onepipe as op
from onepipe.errors import PositionLost
from onepipe.plugins import open_transport
from onepipe.testing.transport_base import outgoing
from onepipe.transport import GroupReader, Reader, TopicPartition, Transport

pytestmark = pytest.mark.kafka

BOTH = pytest.mark.parametrize("scheme", ["kafka", "kafka+confluent"])
T0 = dt.datetime.now(dt.UTC).replace(microsecond=0)
POLLS = 300


@pytest.fixture
def expire(kafka: Kafka) -> Iterator[Callable[[str, int], None]]:
    """Lets retention take a topic's messages before an offset of partition 0, as Kafka's DeleteRecords does."""
    admin = KafkaAdminClient(bootstrap_servers=kafka.address)
    yield lambda topic, before: admin.delete_records({Place(topic, 0): before})
    admin.close()


@pytest.fixture
def transport(kafka: Kafka, scheme: str) -> Iterator[Transport]:
    transport = open_transport(f"{scheme}://{kafka.address}")
    yield transport
    transport.close()


def fill(transport: Transport, count: int) -> TopicPartition:
    name = f"lost-{uuid.uuid4().hex}"
    transport.create_topic(name, partitions=1, retention_ms=-1)
    writer = transport.writer()
    for number in range(count):
        writer.append(outgoing(name, number, partition=0), lambda _: None)
    assert writer.flush(30.0)
    return TopicPartition(name, 0)


def read_some(reader: Reader, least: int = 1) -> list[int]:
    """Offsets of messages that come."""
    offsets: list[int] = []
    for _ in range(POLLS):
        offsets += [message.offset for message in reader.poll(100, 0.1)]
        if len(offsets) >= least:
            return offsets
    raise AssertionError(f"no {least} messages within {POLLS} polls")


def assert_lost(error: PositionLost, partition: TopicPartition, offset: int, start: int) -> None:
    assert (error.topic, error.partition, error.offset) == (*partition, offset)
    assert f"retention took the messages before {start}" in str(error)


@BOTH
def test_a_reader_that_retention_passed_is_told_the_range(
    transport: Transport, expire: Callable[[str, int], None], scheme: str
) -> None:
    partition = fill(transport, 10)
    reader = transport.reader([partition])
    reader.seek(partition, 2)
    expire(partition.topic, 6)
    with pytest.raises(PositionLost) as lost:
        read_some(reader)
    assert_lost(lost.value, partition, 2, 6)
    reader.seek(partition, 6)
    assert read_some(reader, 4) == [6, 7, 8, 9]


@BOTH
def test_a_group_whose_committed_offset_retention_passed_is_told_and_never_reset(
    transport: Transport, expire: Callable[[str, int], None], scheme: str
) -> None:
    partition = fill(transport, 10)

    def join() -> GroupReader:
        return transport.group_reader([partition.topic], f"group-{partition.topic}")

    first = join()
    read_some(first)
    first.commit({partition: 3})
    first.close()
    expire(partition.topic, 8)
    for _ in range(2):  # the second member is told like the first: nothing moved the group's offset
        member = join()
        with pytest.raises(PositionLost) as lost:
            read_some(member)
        assert_lost(lost.value, partition, 3, 8)
        assert member.committed(partition) == 3
        member.close()


def declare() -> type[Any]:
    @op.record(topic=f"lost-{uuid.uuid4().hex}", name="Widget", merge=op.latest("updated"))
    class Widget:
        sid: str = op.field(identity=True)
        updated: dt.datetime

    return Widget


@BOTH
@pytest.mark.parametrize("group", [None, "archives"])
def test_an_archive_that_retention_passed_is_alarmed_goes_on_if_told_and_the_verdict_names_what_is_missing(
    kafka: Kafka, expire: Callable[[str, int], None], scheme: str, group: str | None, tmp_path: Path
) -> None:
    widget, registry = declare(), f"memory://{uuid.uuid4().hex}"
    url = f"{scheme}://{kafka.address}"
    with op.connect(url, lake=tmp_path / "old", registry=registry, partitions=1) as pipe:
        topic = pipe.register(widget).name
        publish(pipe, widget, range(10))
        assert pipe.archive(widget, group=group).rows == 10
        publish(pipe, widget, range(10, 30))
        expire(topic, 18)
        for _ in range(2):  # the alarm stays: nothing moved on
            with pytest.raises(PositionLost, match="offsets 18 to 30, the lake is at 10: retention passed it") as lost:
                pipe.archive(widget, group=group)
            assert (lost.value.topic, lost.value.partition, lost.value.offset) == (topic, 0, 10)
        report = pipe.archive(widget, group=group, on_lost="continue")
        assert (report.rows, report.lost) == (12, 8)
        pipe.dedup(widget)
        assert_named(pipe.verify(widget), 8)
    with op.connect(url, lake=tmp_path / "new", registry=registry) as pipe:
        assert pipe.archive(widget, group=group and "others").rows == 12
        pipe.dedup(widget)
        verdict = pipe.verify(widget)
    assert_named(verdict, 18)
    assert "before offset 18" in str(verdict)


def assert_named(verdict: op.Verdict, count: int) -> None:
    """A verdict that names so many records, lost at the log."""
    assert not verdict.balanced
    assert len(verdict.findings) == count
    assert {str(finding).partition(": ")[0] for finding in verdict.findings} == {"lost at the log hop"}


def publish(pipe: op.Pipeline, widget: type[Any], numbers: range) -> None:
    with pipe.producer() as producer:
        for number in numbers:
            producer.publish(widget(sid=f"W{number}", updated=T0))
