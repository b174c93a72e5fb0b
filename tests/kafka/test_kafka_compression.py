"""Each codec of a real Kafka by both clients: written smaller, read by the other, and said where it cannot be."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from kafka import KafkaAdminClient
from kafka import codec as codecs
from services.kafka import Kafka

from onepipe.errors import ConfigurationError, MissingDependency, TransportError
from onepipe.plugins import open_transport
from onepipe.testing.transport_base import outgoing
from onepipe.transport import TopicPartition

pytestmark = pytest.mark.kafka

BOTH = pytest.mark.parametrize("scheme", ["kafka", "kafka+confluent"])
OTHER = {"kafka": "kafka+confluent", "kafka+confluent": "kafka"}
COUNT = 200
VALUE = b"the same words again, " * 50
POLLS = 100


@pytest.fixture
def admin(kafka: Kafka) -> Iterator[KafkaAdminClient]:
    admin = KafkaAdminClient(bootstrap_servers=kafka.address)
    yield admin
    admin.close()


def write(url: str, topic: str, settings: dict[str, Any]) -> None:
    transport = open_transport(url, {"linger.ms": 50, **settings})
    transport.create_topic(topic, partitions=1)
    writer, errors = transport.writer(), list[Any]()
    for number in range(COUNT):
        message = outgoing(topic, number, partition=0, value=b"%d %s" % (number, VALUE))
        writer.append(message, lambda outcome: errors.append(outcome.error))
    assert writer.flush(60.0)
    transport.close()
    assert errors == [None] * COUNT


def read(url: str, topic: str) -> list[bytes | None]:
    transport = open_transport(url)
    reader = transport.reader([TopicPartition(topic, 0)])
    values: list[bytes | None] = []
    try:
        for _ in range(POLLS):
            values += [message.value for message in reader.poll(COUNT, 0.5)]
            if len(values) >= COUNT:
                break
    finally:
        transport.close()
    return values


def stored_bytes(admin: KafkaAdminClient, topic: str) -> int:
    """What the broker's log of a topic takes on its disk."""
    found: list[int] = []

    def look(node: Any) -> None:
        if isinstance(node, dict):
            if node.get("name") == topic or node.get("topic") == topic:
                found.extend(partition["partition_size"] for partition in node["partitions"])
            for value in node.values():
                look(value)
        elif isinstance(node, list | tuple):
            for value in node:
                look(value)

    look(admin.describe_log_dirs())
    assert len(found) == 1
    return found[0]


@BOTH
@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_what_one_client_compresses_the_other_reads(
    kafka: Kafka, admin: KafkaAdminClient, scheme: str, codec: str
) -> None:
    topic = f"compressed-{codec}-{uuid.uuid4().hex}"
    write(f"{scheme}://{kafka.address}", topic, {"compression.type": codec})
    plain = COUNT * len(VALUE)
    assert (stored_bytes(admin, topic) < plain / 4) == (codec != "none")
    expected = [b"%d %s" % (number, VALUE) for number in range(COUNT)]
    for reads in (OTHER[scheme], scheme):
        assert read(f"{reads}://{kafka.address}", topic) == expected


@BOTH
def test_a_codec_that_there_is_not_is_a_wrong_setting(kafka: Kafka, scheme: str) -> None:
    transport = open_transport(f"{scheme}://{kafka.address}?producer.compression.type=brotli")
    with pytest.raises(ConfigurationError, match=r"brotli|compress"):
        transport.writer()
    transport.close()


def test_a_codec_whose_package_is_not_installed_is_said_when_writing_and_when_reading(
    kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic, url = f"compressed-{uuid.uuid4().hex}", f"{kafka.address}?producer.compression.type=zstd"
    write(f"kafka+confluent://{url}", topic, {})
    monkeypatch.setattr(codecs, "zstd", None)
    transport = open_transport(f"kafka://{url}")
    with pytest.raises(MissingDependency, match="zstd") as missing:
        transport.writer()
    assert "zstandard" in (missing.value.remedy or "")
    transport.close()
    with pytest.raises(TransportError, match="zstd"):
        read(f"kafka://{kafka.address}", topic)
