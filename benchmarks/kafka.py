"""kafka: publishing to a real Kafka, acknowledged, and archiving from it, beside its bare clients and frameworks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from typing import Any, Final

import attrs

import onepipe as op
from benchmarks import kafka_peers as peers
from benchmarks.broker import broker
from benchmarks.codec import forget_partitions
from benchmarks.data import Synthetic, plain
from benchmarks.kafka_frameworks import ReadTopic, quix, spark
from benchmarks.kafka_peers import Encoded
from benchmarks.measure import Result, Subject, Work, interleaved
from benchmarks.run import Run
from onepipe.declaring.record import topic_of

_PARTITIONS: Final = 4
_SLOW: Final = 5
"""So many times fewer records for the client in pure Python, whose rate is told as well by them."""
_CLIENTS: Final = {"confluent-kafka": "kafka+confluent", "kafka-python": "kafka"}


@attrs.frozen
class Place:
    """A Kafka, and the client that reaches it.

    Attributes:
        address: where clients bootstrap.
        client: name of the client.
    """

    address: str
    client: str

    def connect(self, lake: Path | None = None) -> op.Pipeline:
        """A pipeline over it, with a registry of its own."""
        return op.connect(
            f"{_CLIENTS[self.client]}://{self.address}", registry="memory://", lake=lake, partitions=_PARTITIONS
        )

    def subject(self, what: str, data: Synthetic) -> Subject:
        """What is measured with it."""
        return Subject("kafka", f"{what}, {self.client}", data.name, data.length)


def kafka(run: Run) -> Iterator[Result]:
    """Publishing and archiving by each client; nothing where there is no Kafka."""
    with broker() as address:
        if address is None:
            return
        fast, slow = (Place(address, client) for client in _CLIENTS)
        yield from _publish(run, fast, Synthetic(run.sizes.publish))
        yield from _publish_in_python(run, slow, Synthetic(run.sizes.publish // _SLOW))
        yield from _archive(run, fast, Synthetic(run.sizes.archive))
        yield from _archive_beside_spark(run, fast, Synthetic(run.sizes.archive))
        yield from _archive_beside_quix(run, fast, Synthetic(run.sizes.archive // _SLOW))
        yield from _archive(run, slow, Synthetic(run.sizes.archive // _SLOW**2))


def _publish(run: Run, place: Place, data: Synthetic) -> Iterator[Result]:
    """Typed objects, checked, audited and acknowledged, beside other ways of sending the same records."""
    records = [record for record, _ in data.events(0, data.length)]
    ready = _encoded(place, data, records)
    subject = place.subject("publish, acknowledged", data)
    ours, serializing, framework, bare = interleaved(
        run.rounds,
        _publishing(place, records),
        peers.serializing_producer(place.address, ready.topic, data.record, [plain(record) for record in records]),
        peers.faststream(place.address, ready.topic, records),
        peers.confluent_produce(place.address, ready),
    )
    yield subject.speed(ours, serializing, "Confluent SerializingProducer, ready dict", 1.2)
    yield subject.speed(ours, framework, "FastStream, pydantic model to JSON", 4)
    yield subject.speed(ours, bare, "bare produce of ready bytes")


def _publish_in_python(run: Run, place: Place, data: Synthetic) -> Iterator[Result]:
    records = [record for record, _ in data.events(0, data.length)]
    ready = _encoded(place, data, records)
    ours, bare = interleaved(run.rounds, _publishing(place, records), peers.kafka_python_produce(place.address, ready))
    yield place.subject("publish, acknowledged", data).speed(ours, bare, "bare send of ready bytes")


def _publishing(place: Place, records: list[Any]) -> Work:
    def prepare() -> tuple[op.Pipeline, op.Producer]:
        pipe = place.connect()
        producer = pipe.producer()
        producer.publish(records[0])  # compiles the route, and opens the epoch
        producer.flush()
        forget_partitions()
        return pipe, producer

    def run(prepared: Any) -> None:
        _, producer = prepared
        send = producer.publish
        for record in records:
            send(record)
        producer.close()

    return Work(run, prepare, lambda prepared: prepared[0].close())


def _encoded(place: Place, data: Synthetic, records: list[Any]) -> Encoded:
    """The records' messages as onepipe writes them, with the topic that peers write: empty, of as many partitions."""
    name = f"{topic_of(data.record).name}-peers"
    with op.connect("memory://", partitions=_PARTITIONS) as memory, memory.producer(audit=True) as producer:
        producer.publish_many(records)
        producer.flush()
        topic = memory.transport.describe_topic(topic_of(data.record).name)
        reader = memory.transport.reader([op.TopicPartition(topic.name, number) for number in range(topic.partitions)])
        messages = reader.poll(len(records))
    assert len(messages) == len(records)
    with place.connect() as pipe:
        pipe.transport.create_topic(name, partitions=_PARTITIONS)
    return Encoded(name, messages)


def _archive(run: Run, place: Place, data: Synthetic) -> Iterator[Result]:
    """From the log into Parquet files, committed and audited, beside a reader that throws everything away."""
    with _published(place, data) as pipe:
        name = topic_of(data.record).name
        ours, bare = interleaved(
            run.rounds,
            _archiving(run, pipe, data),
            peers.CONSUMES[place.client](place.address, name, _PARTITIONS, data.length),
        )
    goal = 0.7 if place.client == "confluent-kafka" else None
    yield _into_lake(place, data).speed(ours, bare, "bare consume and discard", goal)


def _archive_beside_spark(run: Run, place: Place, data: Synthetic) -> Iterator[Result]:
    with _published(place, data) as pipe, spark(_to_read(place, data)) as peer:
        ours, theirs = interleaved(run.rounds, _archiving(run, pipe, data), peer.work(run))
    yield _into_lake(place, data).speed(ours, theirs, "Spark 4 batch read to Parquet, warm", 3)


def _archive_beside_quix(run: Run, place: Place, data: Synthetic) -> Iterator[Result]:
    with _published(place, data) as pipe, quix(_to_read(place, data)) as peer:
        ours, theirs = interleaved(run.rounds, _archiving(run, pipe, data), peer.work(run))
    yield _into_lake(place, data).speed(ours, theirs, "Quix Streams to its Parquet sink", 12)


@contextmanager
def _published(place: Place, data: Synthetic) -> Iterator[op.Pipeline]:
    """A pipeline over a topic that holds the records, and nothing that was sent before."""
    with place.connect() as pipe:
        name = topic_of(data.record).name
        if name in pipe.transport.topics():
            pipe.transport.delete_topic(name)
        with pipe.producer() as producer:
            producer.publish_many(record for record, _ in data.events(0, data.length))
        yield pipe


def _to_read(place: Place, data: Synthetic) -> ReadTopic:
    topic = topic_of(data.record)
    return ReadTopic(place.address, topic.name, topic.schema.document(), data.length)


def _into_lake(place: Place, data: Synthetic) -> Subject:
    return place.subject("log → raw lake", data)


def _archiving(run: Run, pipe: op.Pipeline, data: Synthetic) -> Work:
    def work(lake: Path) -> None:
        report = op.Pipeline(pipe.transport, pipe.registry, lake=lake).archive(data.record)
        assert (report.rows, report.quarantined) == (data.length, 0)

    return Work(work, run.new_folder, rmtree)
