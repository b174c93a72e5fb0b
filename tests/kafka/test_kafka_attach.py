"""Topics of a real Kafka that others write, with others' clients and serializers: archived, merged, verified, read."""

from __future__ import annotations

import datetime as dt
import io
import json
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import redirect_stdout
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from confluent_kafka.schema_registry import (
    SchemaRegistryClient,
    header_schema_id_serializer,
    record_subject_name_strategy,
)
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from confluent_registry import RunningRegistry
from doc_pages import DOCS, blocks
from foreign_world import MICROS_TYPE, MILLIS_TYPE, World, record, text
from services.kafka import Kafka

import onepipe as op
from onepipe.errors import PositionLost, TopicNotFound, TransportError
from onepipe.lake.archive import ArchiveLimits

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),  # kafka-python leaves refused ones
]

PARTITIONS = 2
PATIENCE = 30.0
T0 = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
ORDER = record("Order", order_id=(["null", "string"], None), amount="double", updated=MILLIS_TYPE)


class Company(World):
    """A company's topic on Kafka and the registry it registers in, with the tools it writes by.

    The pipeline over them has a registry of its own, which nothing else on the broker knows.
    """

    def __init__(
        self, pipe: op.Pipeline, url: str, company: RunningRegistry, client: SchemaRegistryClient, kafka: Kafka
    ) -> None:
        super().__init__(pipe, company)
        self.url = url
        self.client = client
        self.kafka = kafka
        self.admin = AdminClient({"bootstrap.servers": kafka.address})
        self.name = f"company-{uuid.uuid4().hex}"
        self.create()

    def create(self) -> None:
        done(self.admin.create_topics([NewTopic(self.name, PARTITIONS, 1)]))

    def delete(self) -> None:
        done(self.admin.delete_topics([self.name], operation_timeout=PATIENCE))

    def create_again(self) -> None:
        """Delete the topic, and make another of its name."""
        self.delete()
        self.create()

    def serializer(self, document: Any, **settings: Any) -> AvroSerializer:
        return AvroSerializer(self.client, json.dumps(document), conf=settings)

    def produce(self, *messages: tuple[bytes | None, bytes | None, list]) -> None:
        """Write messages of key, value and headers with Confluent's client; all are acknowledged."""
        producer = Producer({"bootstrap.servers": self.kafka.address})
        told: list[Any] = []
        for key, value, headers in messages:
            producer.produce(
                self.name, value, key, headers=headers, on_delivery=lambda error, _message: told.append(error)
            )
        assert producer.flush(PATIENCE) == 0
        assert told == [None] * len(messages)

    def write_records(self, serialize: AvroSerializer, records: Iterable[Mapping[str, Any]]) -> None:
        made = []
        for each in records:
            headers: list = []
            value = serialize(each, SerializationContext(self.name, MessageField.VALUE, headers))
            made.append((str(each.get("order_id")).encode(), value, headers))
        self.produce(*made)

    def attach(self, **declared: Any) -> op.Topic:
        declared = {"identity": "order_id", "merge": op.latest("updated"), "registry": self.company.url} | declared
        return op.Topic.attach(self.name, value="registry", **declared)


def done(futures: Mapping[str, Any]) -> None:
    for future in futures.values():
        future.result(PATIENCE)


@pytest.fixture(params=["kafka", "kafka+confluent"])
def company(kafka: Kafka, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Company]:
    url = f"{request.param}://{kafka.address}"
    with (
        RunningRegistry() as registry,
        SchemaRegistryClient({"url": registry.url}) as client,
        op.connect(url, lake=tmp_path / "lake", registry="memory://") as pipe,
    ):
        yield Company(pipe, url, registry, client, kafka)


def order(number: int, amount: float, **more: Any) -> dict[str, Any]:
    return {"order_id": f"O{number}", "amount": amount, "updated": T0 + dt.timedelta(seconds=amount), **more}


def test_what_confluents_serializer_writes_in_either_framing_is_archived_merged_and_balanced(company: Company) -> None:
    prefixed = company.serializer(ORDER)
    headed = company.serializer(ORDER, **{"schema.id.serializer": header_schema_id_serializer})
    company.write_records(prefixed, [order(1, 1.0), order(2, 2.0), order(1, 5.0)])
    company.write_records(headed, [order(2, 4.0), order(3, 3.0), order(1, 5.0)])
    company.write_records(prefixed, [order(4, 1.0, order_id=None)])
    company.produce((b"O9", b"no Avro", []), (b"O9", None, []))
    topic = company.attach()
    company.lake_it(topic)
    rows = company.rows(topic)
    assert sorted(str(row["_op_error"]).split(":")[0] for row in rows) == [
        *["None"] * 6, "tombstone", "unknown schema", "unreadable",
    ]  # fmt: skip
    assert {len(row["_op_headers"] or ()) for row in rows} == {0, 1}
    assert company.clean(topic) == [order(1, 5.0), order(2, 4.0), order(3, 3.0)]
    company.require_balanced(topic)
    with company.pipe.consumer(topic, until="end", on_undecodable="yield") as consumer:
        read = [message.record for message in consumer]
    assert len(read) == len(rows)
    assert sorted(filter(None, read), key=lambda each: (each["order_id"], each["amount"])) == [
        order(1, 1.0), order(1, 5.0), order(1, 5.0), order(2, 2.0), order(2, 4.0), order(3, 3.0),
    ]  # fmt: skip


def test_json_of_javas_console_producer_is_archived_merged_and_balanced(company: Company) -> None:
    lines = [
        {"number": "P1", "paid": "2026-01-01T12:00:00Z", "total": "12.50", "more": [4]},
        {"number": "P2", "paid": "2026-01-01T12:05:00+01:00", "total": 3},
        {"number": "P1", "paid": "2026-01-01T13:00:00Z", "total": 0.1},
        {"number": "P3", "paid": "yesterday", "total": 1},
    ]
    company.kafka.tool(
        "kafka-console-producer", "--topic", company.name, "--property", "parse.key=true",
        "--property", "key.separator=|", stdin=b"".join(b"%s|%s\n" % (b"k", text(line)) for line in lines),
    )  # fmt: skip
    total = {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}
    schema = record("Payment", number="string", paid=MICROS_TYPE, total=total, till="string")
    topic = op.Topic.attach(
        company.name, schema, value="json", identity="number", merge=op.latest("paid"), event_time="paid",
        key="text", lift={"till": "$key"},
    )  # fmt: skip
    company.lake_it(topic)
    assert [(row["number"], row["paid"].hour, row["total"], row["till"]) for row in company.clean(topic)] == [
        ("P1", 13, Decimal("0.10"), "k"), ("P2", 11, Decimal("3.00"), "k"),
    ]  # fmt: skip
    assert [error is None for error in company.errors(topic)].count(False) == 1
    company.require_balanced(topic)


ROW = {**record("Value", id="long", name=(["null", "string"], None)), "connect.name": "shop.public.orders.Value"}
CHANGE = {
    **record(
        "Envelope",
        before=(["null", ROW], None),
        after=(["null", "Value"], None),
        source={
            **record("Source", connector="string", ts_ms="long", snapshot=(["null", "string"], "false"),
                     lsn=(["null", "long"], None)),
            "namespace": "io.debezium.connector.postgresql",
        },
        op="string",
        ts_ms=(["null", "long"], None),
    ),
    "namespace": "shop.public.orders",
    "connect.version": 2,
    "connect.name": "shop.public.orders.Envelope",
}  # fmt: skip
KEY = {**record("Key", id="long"), "namespace": "shop.public.orders"}


def change(kind: str, row: int, name: str | None, lsn: int) -> dict[str, Any]:
    image = {"id": row, "name": name}
    return {
        "before": {"id": row, "name": None} if kind == "d" else None,
        "after": None if kind == "d" else image,
        "source": {"connector": "postgresql", "ts_ms": lsn, "snapshot": "false", "lsn": lsn},
        "op": kind,
        "ts_ms": lsn,
    }


CHANGES = [
    change("r", 1, "Ann", 10),
    change("r", 2, "Bo", 10),
    change("c", 3, "Cy", 11),
    change("u", 1, "Anna", 12),
    change("d", 2, None, 13),
    change("d", 3, None, 14),
    change("c", 3, "Cyd", 15),
]


@pytest.mark.parametrize("how", ["avro", "json"])
def test_change_events_as_debezium_writes_them_give_the_rows_as_they_are_now(company: Company, how: str) -> None:
    """Deletes and the tombstones behind them included; JSON is wrapped as Kafka Connect does with schemas enabled."""
    if how == "avro":
        key_context = SerializationContext(company.name, MessageField.KEY)
        value_context = SerializationContext(company.name, MessageField.VALUE)
        keys, values = company.serializer(KEY), company.serializer(CHANGE)
        written = [(keys({"id": row_of(c)}, key_context), values(c, value_context)) for c in CHANGES]
    else:
        written = [(wrapped({"id": row_of(c)}), wrapped(c)) for c in CHANGES]
    for (key, value), each in zip(written, CHANGES, strict=True):
        company.produce((key, value, []), *([(key, None, [])] if each["op"] == "d" else []))
    declared = {"identity": "id", "merge": op.latest("lsn"), "envelope": "debezium", "lift": {"lsn": "source.lsn"}}
    if how == "avro":
        topic = company.attach(**declared)
    else:
        schema = record("Row", id="long", name=["null", "string"], lsn=["null", "long"])
        topic = op.Topic.attach(company.name, schema, value="json", **declared)
    company.lake_it(topic)
    assert company.clean(topic) == [{"id": 1, "name": "Anna", "lsn": 12}, {"id": 3, "name": "Cyd", "lsn": 15}]
    assert company.errors(topic) == [None] * 9
    company.require_balanced(topic)


def row_of(event: Mapping[str, Any]) -> int:
    return (event["after"] or event["before"])["id"]


def wrapped(payload: Any) -> bytes:
    return text({"schema": {"type": "struct", "optional": False}, "payload": payload})


PLACED = {**record("Placed", order_id="string", at=MILLIS_TYPE, amount="long"), "namespace": "shop"}
SHIPPED = {**record("Shipped", order_id="string", at=MILLIS_TYPE), "namespace": "shop"}


def test_records_of_several_types_in_one_topic_are_merged_by_what_they_share(company: Company) -> None:
    by_record = {"subject.name.strategy": record_subject_name_strategy}
    placed, shipped = (company.serializer(each, **by_record) for each in (PLACED, SHIPPED))
    company.write_records(placed, [{"order_id": name, "at": T0, "amount": 3} for name in "AB"])
    later = T0 + dt.timedelta(seconds=1)
    company.write_records(shipped, [{"order_id": "A", "at": later}])
    topic = company.attach(
        subject=["shop.Placed", "shop.Shipped"],
        merge=op.latest("at"),
        lift={"order_id": ["Placed.order_id", "Shipped.order_id"], "at": ["Placed.at", "Shipped.at"]},
    )
    company.lake_it(topic)
    assert company.clean(topic) == [
        {"Placed": None, "Shipped": {"order_id": "A", "at": later}, "order_id": "A", "at": later},
        {"Placed": {"order_id": "B", "at": T0, "amount": 3}, "Shipped": None, "order_id": "B", "at": T0},
    ]
    company.require_balanced(topic)


def test_a_topic_that_was_deleted_and_made_again_is_another_log_beside_the_first(company: Company) -> None:
    serialize = company.serializer(ORDER)
    company.write_records(serialize, [order(1, 1.0), order(2, 2.0)])
    topic = company.attach()
    company.lake_it(topic)
    company.create_again()
    company.write_records(serialize, [order(1, 3.0), order(3, 3.0)])
    with pytest.raises(PositionLost, match="other log"):
        company.pipe.archive(topic, on_new_log="raise")
    assert len(company.rows(topic)) == 2
    company.lake_it(topic)
    assert len({row["_op_log"] for row in company.rows(topic)}) == 2
    assert company.clean(topic) == [order(1, 3.0), order(2, 2.0), order(3, 3.0)]
    company.require_balanced(topic)
    assert company.pipe.archive(topic, on_new_log="raise").rows == 0


@pytest.mark.parametrize("again", [True, False])
def test_a_topic_deleted_while_it_is_followed_ends_the_archive_with_what_it_had_read(
    company: Company, again: bool
) -> None:
    """No log holds these messages any more: the archive commits them before it says so."""
    serialize = company.serializer(ORDER)
    company.write_records(serialize, [order(1, 1.0), order(2, 2.0)])
    topic = company.attach()
    seen, failures, stop = Read(2), list[Exception](), threading.Event()

    def follow() -> None:
        try:
            company.pipe.archive(topic, until="stopped", stop=stop, progress=seen.add, limits=ArchiveLimits(batch=1))
        except TransportError as error:
            failures.append(error)

    archive = threading.Thread(target=follow)
    archive.start()
    read = seen.enough.wait(PATIENCE)
    company.delete()
    if again:
        company.create()
    archive.join(PATIENCE)
    stop.set()
    archive.join(PATIENCE)
    assert read
    assert [type(each) for each in failures] in ([[PositionLost], [TopicNotFound]] if again else [[TopicNotFound]])
    assert len(company.rows(topic)) == 2


class Read:
    """Tells when so many messages were read."""

    def __init__(self, wanted: int) -> None:
        self.left = wanted
        self.enough = threading.Event()

    def add(self, count: int) -> None:
        self.left -= count
        if self.left <= 0:
            self.enough.set()


def test_the_guides_five_minutes_pass_as_they_stand(
    company: Company, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first snippet, with no more changed than where broker and registry are, and what the topic is called."""
    company.write_records(company.serializer(ORDER), [order(1, 1.0), order(1, 2.0), order(2, 2.0)])
    company.company.registry.login = ("onepipe", "hush")
    guide = next(blocks(DOCS / "how-to/attach-an-existing-topic.md"))
    snippet = guide.text
    for said, here in (
        ("https://registry.example:8081", company.company.url),
        ("kafka://broker:9092", company.url),
        ("shop.orders", company.name),
    ):
        assert said in snippet
        snippet = snippet.replace(said, here)
    monkeypatch.setenv("REGISTRY_PASSWORD", "hush")
    monkeypatch.chdir(tmp_path)
    with redirect_stdout(io.StringIO()) as printed:
        exec(compile(snippet, "guide", "exec"), {})  # noqa: S102 - our own page
    states = [line.split()[-1] for line in printed.getvalue().splitlines() if line.startswith("  clean ")]
    assert printed.getvalue().startswith(f"{company.name}: not covered"), printed.getvalue()
    assert states == ["balanced"]
