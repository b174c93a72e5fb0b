"""encode, decode, columnar: from objects to message bytes and back."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

import attrs
import fastavro
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from xxhash import xxh3_128_digest

import onepipe as op
from benchmarks.data import DataSet, data_sets, plain, plain_schema
from benchmarks.measure import Result, Subject, each, interleaved
from benchmarks.run import Run
from onepipe.bodies.decoder import MessageDecoder
from onepipe.declaring.record import record_info, topic_of
from onepipe.evidence.header import AUDIT_HEADER, packer
from onepipe.partitioner import partition_for
from onepipe.publishing.route import Route
from onepipe.publishing.stream import Stream
from onepipe.schema.columnar import compile_columnar
from onepipe.topics import Opened
from onepipe.transport import Message

FRAME_BYTES: Final = 5
BATCH: Final = 10_000

_EPOCH: Final = b"e" * 16
_TIMES: Final = 3
"""Runs are short: so many times more rounds than elsewhere even out what else the machine does."""


@attrs.frozen
class Sample:
    """Records of a data set in every form that a codec takes.

    Attributes:
        data: the data set.
        records: as objects.
        dicts: as ready dicts.
        messages: encoded by onepipe.
        pipe: a pipeline that knows the topic.
        schema: fastavro's parsed schema.
        serialize: Confluent's serializer, its schema cached.
        deserialize: Confluent's deserializer.
    """

    data: DataSet
    records: list[Any]
    dicts: list[dict[str, Any]]
    messages: list[Message]
    pipe: op.Pipeline
    schema: Any
    serialize: Callable[[Any], bytes]
    deserialize: Callable[[bytes], Any]

    def subject(self, name: str, what: str) -> Subject:
        """What is measured with it."""
        return Subject(name, what, self.data.name, len(self.records))


def samples(run: Run) -> Iterator[Sample]:
    """A sample of each data set; every codec must agree about it."""
    for data in data_sets(run.sizes.codec):
        records = [record for record, _ in data.events(0, data.length)]
        dicts = list(map(plain, records))
        with op.connect("memory://") as pipe:
            encode = publishing(pipe, data.record, partition=True)
            name = topic_of(data.record).name
            messages = [
                Message(name, partition, number, 0, key, value, headers)
                for number, (partition, key, value, headers) in enumerate(map(encode, records))
            ]
            schema = fastavro.parse_schema(plain_schema(data.record))
            yield Sample(data, records, dicts, messages, pipe, schema, *_confluent(data.record, dicts[0]))


def publishing(pipe: op.Pipeline, record: Any, *, partition: bool) -> Callable[[Any], tuple[int, bytes, bytes, Any]]:
    """What a producer does with a record before it hands it to the transport, with the producer's own parts.

    Args:
        pipe: gives the topic.
        record: class of the records.
        partition: whether to choose the partition too, as the producer does; other clients do that when they send.
    """
    topic = pipe.register(record)
    schema_id = pipe.registry.register(topic).schema_id
    description = pipe.transport.describe_topic(topic.name)
    opened = Opened(topic, description, record_info(record).classes, schema_id)
    route = Route.compile(opened, [Stream(description, n, named=False) for n in range(description.partitions)])
    pack = packer(_EPOCH)
    identity_key = route.key
    assert identity_key is not None

    def prepare(record: Any) -> tuple[int, bytes, bytes, Any]:
        value = route.encode(record)
        key = identity_key(record)
        number = route.partition(record, key) if partition else 0
        return number, key, value, ((AUDIT_HEADER, pack(0, xxh3_128_digest(value[FRAME_BYTES:], route.seed))),)

    return prepare


def encode(run: Run) -> Iterator[Result]:
    """Typed object → checked, encoded, framed, keyed, digested, audit header made."""
    for sample in samples(run):
        message = publishing(sample.pipe, sample.data.record, partition=False)
        placed = publishing(sample.pipe, sample.data.record, partition=True)
        bodies = [message.value[FRAME_BYTES:] for message in sample.messages if message.value]
        assert bodies == [_written(sample.schema, fields) for fields in sample.dicts], "fastavro encodes otherwise"
        assert bodies == [sample.serialize(fields)[FRAME_BYTES:] for fields in sample.dicts], "Confluent does"
        ours, ours_placed, fast, confluent = interleaved(
            _TIMES * run.rounds,
            each(message, sample.records),
            each(placed, sample.records, forget_partitions),
            each(partial(_written, sample.schema), sample.dicts),
            each(sample.serialize, sample.dicts),
        )
        subject = sample.subject("encode", "object → message")
        yield subject.speed(ours, fast, "fastavro schemaless_writer, ready dict", 1.3)
        yield subject.speed(ours, confluent, "Confluent AvroSerializer, ready dict", 1.7)
        subject = sample.subject("encode", "object → message and its partition")
        yield subject.speed(ours_placed, fast, "fastavro schemaless_writer, ready dict")


def decode(run: Run) -> Iterator[Result]:
    """Message → typed object, as a consumer does it."""
    for sample in samples(run):
        decoder = _consuming(sample.pipe, sample.data.record)
        values = [message.value or b"" for message in sample.messages]
        assert [decoder.decode(message).value for message in sample.messages] == sample.records
        ours, confluent, fast = interleaved(
            _TIMES * run.rounds,
            each(decoder.decode, sample.messages),
            each(sample.deserialize, values),
            each(partial(_read, sample.schema), values),
        )
        subject = sample.subject("decode", "message → object")
        yield subject.speed(ours, confluent, "Confluent AvroDeserializer, to dict", 2.5)
        yield subject.speed(ours, fast, "fastavro schemaless_reader, to dict")


def columnar(run: Run) -> Iterator[Result]:
    """Messages → Arrow by the batch, strict, as the archive does it."""
    for sample in samples(run):
        decoder = compile_columnar(topic_of(sample.data.record).schema)
        values = [message.value or b"" for message in sample.messages]
        batches = [values[at : at + BATCH] for at in range(0, len(values), BATCH)]
        assert not any(decoder.decode(batch, FRAME_BYTES).errors for batch in batches)
        ours, fast = interleaved(
            _TIMES * run.rounds,
            each(partial(decoder.decode, skip=FRAME_BYTES), batches),
            each(partial(_read, sample.schema), values),
        )
        subject = sample.subject("columnar", f"messages → Arrow, {BATCH:,} a batch")
        yield subject.speed(ours, fast, "fastavro schemaless_reader, to dicts", 9)


def forget_partitions() -> None:
    """Forget the partitions of keys seen in the run before: in a stream, they would be new."""
    partition_for.cache_clear()


def _consuming(pipe: op.Pipeline, record: Any) -> MessageDecoder:
    info = record_info(record)
    topic = topic_of(record)
    return MessageDecoder(pipe.registry, topic, reader=topic.schema, classes=info.classes)


def _written(schema: Any, fields: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema, fields)
    return out.getvalue()


def _read(schema: Any, value: bytes) -> Any:
    source = io.BytesIO(value)
    source.seek(FRAME_BYTES)
    return fastavro.schemaless_reader(source, schema, None)


def _confluent(record: Any, first: dict[str, Any]) -> tuple[Callable[[Any], bytes], Callable[[bytes], Any]]:
    """Confluent's serializer and deserializer over its own mock registry, with the schema in their caches."""
    client = SchemaRegistryClient.new_client({"url": "mock://"})
    serializer = AvroSerializer(client, json.dumps(plain_schema(record)))
    deserializer = AvroDeserializer(client)
    context = SerializationContext(topic_of(record).name, MessageField.VALUE)
    deserializer(serializer(first, context), context)
    return lambda fields: serializer(fields, context), lambda value: deserializer(value, context)
