"""The pipeline over a real Kafka: what is written here others read, and the other way, through a broker's death too."""

from __future__ import annotations

import contextlib
import datetime as dt
import gc
import json
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from services.kafka import Kafka, KafkaProcess, kafka_process
from services.service import start_own

import onepipe as op
from onepipe.errors import NotAuthorized, RecordTooLarge, TopicNotFound
from onepipe.plugins import open_transport
from onepipe.testing.transport_base import T0 as FIRST_SENT
from onepipe.testing.transport_base import outgoing
from onepipe.transport import Bounds, TopicPartition

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),  # kafka-python leaves refused ones
]

BOTH = pytest.mark.parametrize("scheme", ["kafka", "kafka+confluent"])
T0 = dt.datetime.now(dt.UTC).replace(microsecond=0)


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    """What a client leaves open is noticed in the test that it belongs to."""
    yield
    gc.collect()


def new_name() -> str:
    return f"pipeline-{uuid.uuid4().hex}"


def declare(topic: str) -> type[Any]:
    @op.record(topic=topic, name="Widget", merge=op.latest("updated"), event_time="updated")
    class Widget:
        sid: str = op.field(identity=True)
        status: str
        updated: dt.datetime

    return Widget


@BOTH
def test_a_pipeline_over_kafka_is_balanced(kafka: Kafka, scheme: str, tmp_path: Path) -> None:
    widget = declare(new_name())
    with op.connect(f"{scheme}://{kafka.address}", lake=tmp_path, registry="memory://") as pipe:
        with pipe.producer() as producer:
            receipts = [
                producer.publish(widget(sid=f"W{n % 50}", status="queued", updated=T0 + dt.timedelta(seconds=n)))
                for n in range(200)
            ]
            producer.delete(widget, sid="W7", updated=T0 + dt.timedelta(hours=1))
        assert all(receipt.result(60.0).error is None for receipt in receipts)
        assert pipe.archive(widget).rows == 201
        pipe.dedup(widget)
        verdict = pipe.verify(widget)
        assert verdict.balanced, str(verdict)
        assert pipe.table(widget).to_arrow().num_rows == 49
        consumed = list(pipe.consumer(widget, until="end"))
        assert len(consumed) == 201


@pytest.fixture
def own_kafka() -> Iterator[KafkaProcess]:
    """A broker of the test's own, to be killed."""
    with contextlib.ExitStack() as stack:
        yield start_own("Kafka", lambda: stack.enter_context(kafka_process()))


@pytest.mark.slow
@BOTH
def test_nothing_acknowledged_is_lost_when_the_broker_is_killed(
    own_kafka: KafkaProcess, scheme: str, tmp_path: Path
) -> None:
    widget = declare(new_name())
    with op.connect(f"{scheme}://{own_kafka.address}", lake=tmp_path, registry="memory://") as pipe:
        producer = pipe.producer()
        half = threading.Event()

        def restart() -> None:
            half.wait()
            own_kafka.kill()
            own_kafka.start()

        killer = threading.Thread(target=restart)
        killer.start()
        receipts = []
        for number in range(3000):
            if number == 1500:
                half.set()
            receipts.append(producer.publish(widget(sid=f"W{number}", status="queued", updated=T0)))
            if number == 1500:
                own_kafka.process and own_kafka.process.wait()  # the rest meets a dead broker
        killer.join()
        producer.close()
        assert len(receipts) == 3000
        assert all(receipt.result(60.0).error is None for receipt in receipts)
        assert pipe.archive(widget).rows == 3000
        pipe.dedup(widget)
        verdict = pipe.verify(widget)
        assert verdict.balanced, str(verdict)


@BOTH
def test_java_reads_what_was_written_here_and_is_read(kafka: Kafka, scheme: str) -> None:
    transport = open_transport(f"{scheme}://{kafka.address}")
    topic = transport.create_topic(new_name(), partitions=1).name
    writer = transport.writer()
    writer.append(outgoing(topic, 1, key=b"k", value=b"from Python", headers=(("h", b"x"),)), lambda _: None)
    assert writer.flush(30.0)
    shown = ["--property", "print.key=true", "--property", "print.headers=true", "--property", "print.timestamp=true"]
    ends = ["--from-beginning", "--max-messages", "1", "--timeout-ms", "20000"]
    printed = kafka.tool("kafka-console-consumer", "--topic", topic, *ends, *shown)
    assert printed.split(b"\t") == [b"CreateTime:%d" % (FIRST_SENT + 1000), b"h:x", b"k", b"from Python\n"]
    kafka.tool("kafka-console-producer", "--topic", topic, stdin=b"from Java\n")
    partition = TopicPartition(topic, 0)
    assert read(transport.reader([partition]), partition) == [b"from Python", b"from Java"]
    transport.close()


@BOTH
def test_confluents_avro_is_read_and_reads(kafka: Kafka, scheme: str) -> None:
    widget = declare(new_name())
    with op.connect(f"{scheme}://{kafka.address}", registry="memory://") as pipe:
        topic = pipe.register(widget, partitions=1).name
        with pipe.producer() as producer:
            producer.publish(widget(sid="W1", status="ours", updated=T0))
        partition = TopicPartition(topic, 0)
        reader = pipe.transport.reader([partition])
        (value,) = read(reader, partition)
        document = json.dumps(op.topic_of(widget).schema.document())
        theirs = registry_with(document, int.from_bytes((value or b"")[1:5], "big"))
        context = SerializationContext(topic, MessageField.VALUE)
        decoded = AvroDeserializer(theirs)(value, context)
        assert decoded == {"sid": "W1", "status": "ours", "updated": T0}
        serialize = AvroSerializer(theirs, document, conf={"auto.register.schemas": False})
        outside = Producer({"bootstrap.servers": kafka.address})
        outside.produce(topic, serialize({"sid": "W2", "status": "theirs", "updated": T0}, context), b"W2")
        outside.flush()
        records = [received.record for received in pipe.consumer(widget, until="end")]
        assert records == [
            widget(sid="W1", status="ours", updated=T0),
            widget(sid="W2", status="theirs", updated=T0),
        ]


def registry_with(document: str, schema_id: int) -> SchemaRegistryClient:
    """Confluent's own registry for tests, which has a schema under an id."""
    registry = SchemaRegistryClient.new_client({"url": f"mock://{uuid.uuid4().hex}"})
    for number in range(1, schema_id):
        other = {"type": "record", "name": f"Other{number}", "fields": []}
        registry.register_schema(f"other-{number}", Schema(json.dumps(other), "AVRO"))
    topic = json.loads(document)["onepipe"]["topic"]
    assert registry.register_schema(f"{topic}-value", Schema(document, "AVRO")) == schema_id
    return registry


@BOTH
def test_messages_of_transactions_are_read_once_committed_and_their_markers_passed(kafka: Kafka, scheme: str) -> None:
    transport = open_transport(f"{scheme}://{kafka.address}")
    topic = transport.create_topic(new_name(), partitions=1).name
    writer = Producer({"bootstrap.servers": kafka.address, "transactional.id": topic})
    writer.init_transactions()

    def begin(value: bytes) -> None:
        """Write in a new transaction, which the broker allows once it has marked the end of the one before."""
        writer.begin_transaction()
        writer.produce(topic, value)
        writer.flush()

    begin(b"0")
    writer.commit_transaction()
    begin(b"1")
    writer.abort_transaction()
    begin(b"2")
    partition = TopicPartition(topic, 0)
    reader = transport.reader([partition])
    assert reader.bounds(partition) == Bounds(0, 4)  # a record and a marker each; the open transaction is not the log's
    assert read(reader, partition) == [b"0"]
    writer.commit_transaction()
    begin(b"3")
    assert reader.bounds(partition).end == 6
    assert read(reader, partition) == [b"2"]
    writer.abort_transaction()
    transport.close()


def read(reader: Any, partition: TopicPartition) -> list[bytes | None]:
    """The values up to the end the partition has now."""
    end, values = reader.bounds(partition).end, list[bytes | None]()
    while reader.position(partition) < end:
        values += [message.value for message in reader.poll(10, 1.0)]
    return values


@BOTH
def test_what_the_topic_takes_is_known_at_the_call(kafka: Kafka, scheme: str) -> None:
    transport = open_transport(f"{scheme}://{kafka.address}")
    topic = transport.create_topic(new_name(), partitions=1, settings={"max.message.bytes": "2000"}).name
    writer, told = transport.writer(), list[Any]()
    with pytest.raises(RecordTooLarge, match="2001 bytes, the topic takes messages of 2000"):
        writer.append(outgoing(topic, 0, value=bytes(2001)), told.append)
    with pytest.raises(TopicNotFound, match="no such topic"):
        writer.append(outgoing(new_name(), 0), told.append)
    writer.append(outgoing(topic, 0, value=bytes(1990)), told.append)  # with what Kafka adds it is too large after all
    writer.append(outgoing(topic, 1), told.append)
    assert writer.flush(30.0)
    refused = next(outcome.error for outcome in told if outcome.error is not None)
    assert not refused.indeterminate
    assert len(told) == 2
    transport.close()


@BOTH
def test_topics_are_made_as_declared_and_compared(kafka: Kafka, scheme: str, caplog: pytest.LogCaptureFixture) -> None:
    settings = {"topic.creation.default.replication.factor": "1", "topic.creation.default.cleanup.policy": "compact"}
    transport = open_transport(f"{scheme}://{kafka.address}", settings)
    name = new_name()
    made = transport.create_topic(name, partitions=2, retention_ms=60_000, settings={"segment.ms": "30000"})
    assert (made.partitions, made.retention_ms) == (2, 60_000)
    wanted = {"cleanup.policy": "compact", "replication.factor": "1", "segment.ms": "30000"}
    assert wanted.items() <= made.settings.items()
    assert transport.create_topic(name, partitions=2, retention_ms=5) == made
    said = [record.getMessage() for record in caplog.records if record.name == "onepipe_kafka.transport"]
    assert said == [f"topic {name} exists with retention.ms=60000, not 5"]
    transport.close()


def expired_warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "onepipe_kafka.logs"]


@BOTH
def test_a_message_older_than_the_topic_keeps_them_is_warned_of_once_a_topic(
    kafka: Kafka, scheme: str, caplog: pytest.LogCaptureFixture
) -> None:
    widget = declare(new_name())
    old = T0 - dt.timedelta(days=8)
    with op.connect(f"{scheme}://{kafka.address}", registry="memory://") as pipe:
        pipe.register(widget, retention=dt.timedelta(days=7))
        with pipe.producer() as producer:
            producer.publish(widget(sid="a", status="ok", updated=old))
            assert expired_warnings(caplog) == []
            for _ in range(3):
                producer.publish(widget(sid="a", status="ok", updated=old), timestamp=old)
    (said,) = expired_warnings(caplog)
    assert f"topic {op.topic_of(widget).name} keeps messages by their timestamps" in said
    assert "longer retention, or publish without timestamp=" in said


@BOTH
@pytest.mark.parametrize(
    "kept",
    [{"retention.ms": "-1"}, {"cleanup.policy": "compact"}, {"message.timestamp.type": "LogAppendTime"}],
    ids=str,
)
def test_a_topic_that_deletes_nothing_by_messages_own_times_takes_old_ones_in_silence(
    kafka: Kafka, scheme: str, kept: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    widget = declare(new_name())
    old = T0 - dt.timedelta(days=3650)
    with op.connect(f"{scheme}://{kafka.address}", registry="memory://") as pipe:
        pipe.register(widget, settings=kept)
        with pipe.producer() as producer:
            producer.publish(widget(sid="a", status="ok", updated=old), timestamp=old)
    assert expired_warnings(caplog) == []


RIGHTS = {
    "listeners": "SASL_PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
    "inter.broker.listener.name": "SASL_PLAINTEXT",
    "sasl.enabled.mechanisms": "PLAIN",
    "sasl.mechanism.inter.broker.protocol": "PLAIN",
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "super.users": "User:root;User:ANONYMOUS",
    "listener.name.sasl_plaintext.plain.sasl.jaas.config": (
        "org.apache.kafka.common.security.plain.PlainLoginModule required "
        'username="root" password="r" user_root="r" user_guest="g";'
    ),
}


@pytest.fixture(scope="module")
def guarded_kafka() -> Iterator[KafkaProcess]:
    """A broker that wants a login, and grants rights to `root` alone."""
    with contextlib.ExitStack() as stack:
        yield start_own("Kafka", lambda: stack.enter_context(kafka_process(RIGHTS)))


@pytest.mark.slow
@BOTH
def test_a_missing_right_is_said_at_the_call(guarded_kafka: KafkaProcess, scheme: str) -> None:
    address = f"{guarded_kafka.address}?security.protocol=SASL_PLAINTEXT"
    root = open_transport(f"{scheme}://root:r@{address}")
    topic = root.create_topic(new_name(), partitions=1).name
    guest = open_transport(f"{scheme}://guest:g@{address}")
    for use in (
        lambda: guest.describe_topic(topic),
        lambda: guest.create_topic(new_name(), partitions=1),
        lambda: guest.writer().append(outgoing(topic, 0), lambda _: None),
        lambda: guest.reader([TopicPartition(topic, 0)]),
        lambda: guest.group_reader([topic], "group"),
    ):
        with pytest.raises(NotAuthorized):
            use()
    assert topic not in guest.topics()
    guest.close()
    root.close()


@pytest.mark.slow
@BOTH
def test_a_refused_login_is_said_when_connecting_without_the_password(
    guarded_kafka: KafkaProcess, scheme: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    with pytest.raises(NotAuthorized) as refused:
        open_transport(f"{scheme}://guest:hush-hush@{guarded_kafka.address}?security.protocol=SASL_PLAINTEXT")
    assert "hush" not in f"{refused.value!r} {refused.value}"
    assert "hush" not in caplog.text


FORKING = """
import os, sys, warnings
from onepipe.errors import ClosedError
from onepipe.plugins import open_transport
from onepipe.testing.transport_base import T0 as FIRST_SENT
from onepipe.testing.transport_base import outgoing
from onepipe.transport import TopicPartition

url, topic = sys.argv[1:]
warnings.simplefilter("ignore", DeprecationWarning)  # that a process with threads forks is what is tried
transport = open_transport(url)
partition = TopicPartition(topic, 0)
writer, reader = transport.writer(), transport.reader([partition])
writer.append(outgoing(topic, 0), lambda _: None)
assert writer.flush(30.0)
child = os.fork()
if child == 0:
    for use in (transport.topics, reader.poll, lambda: writer.append(outgoing(topic, 1), print), writer.flush):
        try:
            use()
        except ClosedError as error:
            assert "fork" in str(error)
        else:
            sys.exit("what the parent opened was used")
    transport.close()
    own = open_transport(url)
    assert own.reader([partition]).bounds(partition).end == 1
    own.close()
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
writer.append(outgoing(topic, 2), lambda _: None)
assert writer.flush(30.0)
while reader.position(partition) < 2:
    reader.poll(10, 1.0)
transport.close()
"""


@BOTH
def test_a_forked_child_uses_nothing_of_its_parents_and_ends(kafka: Kafka, scheme: str) -> None:
    url = f"{scheme}://{kafka.address}"
    transport = open_transport(url)
    topic = transport.create_topic(new_name(), partitions=1).name
    transport.close()
    done = subprocess.run([sys.executable, "-c", FORKING, url, topic], capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
