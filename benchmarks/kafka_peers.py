"""Other ways to send to a Kafka and to read from it: the bare clients, and what is built on them.

Producers wait for all replicas in sync and store no message twice, as onepipe's do. They are connected, and have sent a
message, before they are timed; consumers connect within their time, as an archive does.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any, Final, get_type_hints

import attrs
import confluent_kafka as ck
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import StringSerializer

from benchmarks.data import plain, plain_schema
from benchmarks.measure import Work
from onepipe.declaring.record import topic_of
from onepipe.transport import Message

_BATCH: Final = 10_000
_CONFIRM_AT_ONCE: Final = 10_000
_SERVE_EVERY: Final = 1000
_SECONDS: Final = 1.0
_ROOM: Final = 1_000_000
"""Messages that may wait in a peer's queue: more than a run sends, so that it need not look after a full one."""


@attrs.frozen
class Encoded:
    """Messages with keys, values and headers made, and the topic to send them to."""

    topic: str
    messages: Sequence[Message]


class Acknowledgments:
    """Counts what was acknowledged, told by a callback a message, as an application does that wants to know."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, error: ck.KafkaError | None, _: ck.Message) -> None:
        """Take the outcome of one message."""
        assert error is None, error
        self.count += 1


def confluent_produce(address: str, encoded: Encoded) -> Work:
    """confluent-kafka's Producer, with ready bytes and partitions."""

    def send(producer: Any, message: Message, told: Acknowledgments) -> None:
        _, partition, _, timestamp, key, value, headers = message
        producer.produce(
            encoded.topic, value, key, partition, on_delivery=told, timestamp=timestamp, headers=list(headers)
        )

    return _producing(lambda: ck.Producer(_durable(address)), send, encoded.messages)


def serializing_producer(address: str, topic: str, record: Any, dicts: Sequence[dict[str, Any]]) -> Work:
    """Confluent's SerializingProducer, with ready dicts, and its schema in a mock registry."""
    (key,) = topic_of(record).identity

    def connect() -> ck.SerializingProducer:
        client = SchemaRegistryClient.new_client({"url": "mock://"})
        serializer = AvroSerializer(client, json.dumps(plain_schema(record)))
        serializers = {"key.serializer": StringSerializer(), "value.serializer": serializer}
        return ck.SerializingProducer({**_durable(address), **serializers})

    def send(producer: Any, fields: dict[str, Any], told: Acknowledgments) -> None:
        producer.produce(topic, fields[key], fields, on_delivery=told)

    return _producing(connect, send, dicts)


def _producing(
    connect: Callable[[], Any], send: Callable[[Any, Any, Acknowledgments], None], what: Sequence[Any]
) -> Work:
    def prepare() -> Any:
        producer = connect()
        send(producer, what[0], Acknowledgments())
        producer.flush()
        return producer

    def run(producer: Any) -> None:
        told = Acknowledgments()
        for number, one in enumerate(what):
            send(producer, one, told)
            if not number % _SERVE_EVERY:
                producer.poll(0)
        producer.flush()
        assert told.count == len(what)

    return Work(run, prepare)


def faststream(address: str, topic: str, records: Sequence[Any]) -> Work:
    """FastStream's broker over confluent-kafka, with pydantic models made before, confirmed thousands at a time."""
    import pydantic
    from faststream.confluent import KafkaBroker

    kind = type(records[0])
    (key,) = topic_of(kind).identity
    fields: dict[str, Any] = {name: (hint, ...) for name, hint in get_type_hints(kind).items()}
    model = pydantic.create_model(kind.__name__, **fields)
    models = [model(**plain(record)) for record in records]

    async def send(app: KafkaBroker, some: Sequence[Any]) -> None:
        for start in range(0, len(some), _CONFIRM_AT_ONCE):
            sent = [
                await app.publish(one, topic, key=getattr(one, key), no_confirm=True)
                for one in some[start : start + _CONFIRM_AT_ONCE]
            ]
            await asyncio.gather(*sent)

    def prepare() -> tuple[asyncio.Runner, KafkaBroker]:
        runner = asyncio.Runner()
        app = KafkaBroker(address, acks="all", enable_idempotence=True, logger=None)
        runner.run(app.start())
        runner.run(app.publish(models[0], topic, key=getattr(models[0], key)))
        return runner, app

    def run(prepared: tuple[asyncio.Runner, KafkaBroker]) -> None:
        runner, app = prepared
        runner.run(send(app, models))

    def finish(prepared: tuple[asyncio.Runner, KafkaBroker]) -> None:
        runner, app = prepared
        runner.run(app.stop())
        runner.close()

    return Work(run, prepare, finish)


def kafka_python_produce(address: str, encoded: Encoded) -> Work:
    """kafka-python's producer, with ready bytes and partitions."""
    from kafka import KafkaProducer

    def send(producer: Any, message: Message) -> Any:
        _, partition, _, timestamp, key, value, headers = message
        return producer.send(encoded.topic, value, key, list(headers), partition, timestamp)

    def prepare() -> Any:
        producer = KafkaProducer(bootstrap_servers=address, acks="all", enable_idempotence=True)
        send(producer, encoded.messages[0]).get(60.0)
        return producer

    def run(producer: Any) -> None:
        sent = [send(producer, message) for message in encoded.messages]
        producer.flush()
        assert all(future.succeeded() for future in sent)

    return Work(run, prepare, lambda producer: producer.close())


def confluent_consume(address: str, topic: str, partitions: int, count: int) -> Work:
    """confluent-kafka's Consumer: takes messages, looks at none."""

    def run(_: object) -> None:
        consumer = ck.Consumer({"bootstrap.servers": address, "group.id": "bare", "enable.auto.commit": False})
        consumer.assign([ck.TopicPartition(topic, number, 0) for number in range(partitions)])
        taken = 0
        while taken < count:
            taken += len(consumer.consume(min(_BATCH, count - taken), _SECONDS))
        consumer.close()

    return Work(run)


def kafka_python_consume(address: str, topic: str, partitions: int, count: int) -> Work:
    """kafka-python's consumer: takes messages, looks at none."""
    from kafka import KafkaConsumer, TopicPartition

    def run(_: object) -> None:
        consumer = KafkaConsumer(bootstrap_servers=address, auto_offset_reset="earliest", enable_auto_commit=False)
        consumer.assign([TopicPartition(topic, number) for number in range(partitions)])
        taken = 0
        while taken < count:
            taken += sum(map(len, consumer.poll(_SECONDS * 1000, max_records=_BATCH).values()))
        consumer.close()

    return Work(run)


CONSUMES: Final[dict[str, Callable[[str, str, int, int], Work]]] = {
    "confluent-kafka": confluent_consume,
    "kafka-python": kafka_python_consume,
}
"""How a client's own consumer reads a topic, by the client's name."""


def _durable(address: str) -> dict[str, Any]:
    return {
        "bootstrap.servers": address,
        "enable.idempotence": True,
        "acks": "all",
        "queue.buffering.max.messages": _ROOM,
    }
