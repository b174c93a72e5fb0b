"""Avro of other producers: every framing, schemas that change, several types of records, keys, what is unreadable."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from confluent_kafka.schema_registry import (
    SchemaRegistryClient,
    header_schema_id_serializer,
    record_subject_name_strategy,
)
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from foreign_world import MILLIS_TYPE, World, avro, body, record, world
from raw_messages import single_object

import onepipe as op
from onepipe.audit.inventory import take_inventory
from onepipe.audit.proof import contradictions
from onepipe.lake.archive import ArchiveLimits
from onepipe.lake.maintenance import compact_raw
from onepipe.schema.framing import VALUE_HEADER, frame
from onepipe.schema.model import Schema

T0 = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
ORDER = record("Order", order_id=(["null", "string"], None), amount="int", updated=MILLIS_TYPE)
WIDER = record(
    "Order", note=("string", ""), order_id=(["null", "string"], None), amount="int", updated=MILLIS_TYPE
)  # fmt: skip


@pytest.fixture
def company(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as company:
        yield company


@pytest.fixture
def client(company: World) -> Iterator[SchemaRegistryClient]:
    with SchemaRegistryClient({"url": company.company.url}) as client:
        yield client


def orders(company: World, **declared: object) -> op.Topic:
    declared = {"identity": "order_id", "merge": op.latest("updated"), "registry": company.company.url} | declared
    return op.Topic.attach("shop.orders", value="registry", **declared)


def order(number: int, **more: object) -> dict:
    return {"order_id": f"O{number % 3}", "amount": number, "updated": T0 + dt.timedelta(seconds=number), **more}


def consumed(company: World, topic: op.Topic) -> list:
    with company.pipe.consumer(topic, until="end", on_undecodable="yield") as consumer:
        return [(m.partition, m.offset, m.record, m.deleted) for m in consumer]


def test_every_framing_of_one_record_gives_the_same_row(company: World) -> None:
    schema_id = company.register("shop.orders-value", ORDER)
    plain = body(ORDER, order(1))
    guid = b"\x01" + UUID(company.guid(schema_id)).bytes
    company.write(
        (b"k", frame(schema_id) + plain),
        (b"k", plain, ((VALUE_HEADER, guid),)),
        (b"k", plain, ((VALUE_HEADER, b"\0" + schema_id.to_bytes(4, "big")),)),
        (b"k", single_object(Schema.parse(ORDER).fingerprint) + plain),
    )
    topic = orders(company)
    company.lake_it(topic)
    assert company.errors(topic) == [None] * 4
    rows = company.rows(topic)
    assert {(row["order_id"], row["amount"], row["updated"], row["_op_digest_hi"]) for row in rows} == {
        ("O1", 1, T0 + dt.timedelta(seconds=1), rows[0]["_op_digest_hi"])
    }
    assert sorted(str(row["_op_schema"]) for row in rows) == ["1", "1", "None", "None"]
    assert company.clean(topic) == [order(1)]
    assert [value for *_, value, _ in consumed(company, topic)] == [order(1)] * 4
    company.require_balanced(topic)


def test_what_confluents_serializers_write_is_archived(company: World, client: SchemaRegistryClient) -> None:
    schema = Schema.parse(ORDER).text
    prefixed = AvroSerializer(client, schema)
    headed = AvroSerializer(client, schema, conf={"schema.id.serializer": header_schema_id_serializer})
    messages = []
    for serialize in (prefixed, headed):
        headers: list = []
        context = SerializationContext("shop.orders", MessageField.VALUE, headers)
        messages.append((b"k", serialize(order(1), context), tuple(headers)))
    assert [bool(headers) for *_, headers in messages] == [False, True]
    company.write(*messages)
    topic = orders(company)
    company.lake_it(topic)
    assert company.errors(topic) == [None, None]
    assert company.clean(topic) == [order(1)]
    company.require_balanced(topic)


def test_what_cannot_be_read_is_kept_with_its_reason(company: World) -> None:
    schema_id = company.register("shop.orders-value", ORDER)
    other = company.register("other-value", record("Other", x="string"))
    foreign = company.register("proto-value", "{}", schemaType="JSON")
    good = avro(schema_id, ORDER, order(1))
    company.write(
        (b"k", good),
        (b"k", avro(schema_id, ORDER, order(2, order_id=None))),
        (b"k", good + b"!"),
        (b"k", good[:-1]),
        (b"k", frame(4711) + good[5:]),
        (b"k", frame(other) + b"\x02x"),
        (b"k", frame(foreign) + b"{}"),
        (b"k", b"junk"),
        (b"k", b""),
        (b"k", good[5:], ((VALUE_HEADER, b"\x01" + bytes(16)),)),
        (b"k", good[5:], ((VALUE_HEADER, b"\x07"),)),
        (b"k", single_object(7) + good[5:]),
        (b"O1", None),
        (None, None),
    )
    topic = orders(company)
    company.lake_it(topic)
    by_offset = sorted(
        ((row["_op_offset"], row["_op_partition"], row) for row in company.rows(topic)), key=lambda r: r[:2]
    )
    reasons = [str(row["_op_error"]).split(":")[0] for *_, row in by_offset]
    unread, unknown = "unreadable", "unknown schema"
    assert reasons[:7] == ["None", unread, unread, unread, unknown, unread, unknown]
    assert reasons[7:] == [*[unknown] * 5, "tombstone", "tombstone"]
    assert company.clean(topic) == [order(1)]
    company.require_balanced(topic)
    read = consumed(company, topic)
    assert [value for *_, value, _ in read if value is not None] == [order(1)]
    assert len(read) == 14


def test_writers_schemas_may_change(company: World) -> None:
    first = company.register("shop.orders-value", ORDER)
    company.write((b"k", avro(first, ORDER, order(1))))
    topic = orders(company)
    company.lake_it(topic)
    second = company.register("shop.orders-value", WIDER)
    company.write((b"k", avro(second, WIDER, order(2, amount=7, note="x"))))
    company.lake_it(topic)
    company.require_balanced(topic)
    wider = orders(company)
    company.lake_it(wider)
    assert [row["note"] for row in company.clean(wider)] == [None, None]
    company.pipe.dedup(wider, rebuild=True)
    company.require_balanced(wider)
    company.write((b"k", avro(second, WIDER, order(5, note="y"))))
    company.lake_it(wider)
    assert {row["order_id"]: row["note"] for row in company.clean(wider)} == {"O1": None, "O2": "y"}
    company.require_balanced(wider)


def test_a_schema_id_that_is_known_later_accuses_no_earlier_file(company: World) -> None:
    """Rows that were archived while their schema was not known stay proved once later rows were written with it."""
    first = company.register("shop.orders-value", ORDER)
    company.write((b"k", avro(first, ORDER, order(1))), (b"k", avro(first + 1, WIDER, order(2))))
    topic = orders(company)
    company.lake_it(topic)
    assert company.register("shop.orders-value", WIDER) == first + 1
    company.write((b"k", avro(first + 1, WIDER, order(3))), (b"k", avro(first + 1, WIDER, order(4))))
    company.lake_it(topic)
    assert [bool(error) for error in company.errors(topic)].count(True) == 1
    company.require_balanced(topic)


def test_a_schema_id_that_is_known_later_accuses_no_row_of_a_joined_file(company: World) -> None:
    first = company.register("shop.orders-value", ORDER)
    early = [avro(first, ORDER, order(1)), avro(first + 1, WIDER, order(2, note=""))]
    company.write(*((b"k", value) for value in early for _ in range(2)))
    topic = orders(company)
    company.lake_it(topic)
    assert company.register("shop.orders-value", WIDER) == first + 1
    company.write(*((b"k", avro(first + 1, WIDER, order(number, note=""))) for number in (3, 4)))
    company.lake_it(topic)
    assert compact_raw(company.pipe.lake, topic).after == 2
    assert [bool(error) for error in company.errors(topic)].count(True) == 2
    company.require_balanced(topic)


def test_a_schema_id_that_becomes_known_while_a_file_is_written_accuses_none_of_its_rows(company: World) -> None:
    first = company.register("shop.orders-value", ORDER)
    topic = orders(company)
    company.write(*((b"k", avro(first + 1, WIDER, order(number, note=""))) for number in range(1, 5)))

    def learn(_count: int) -> None:
        company.register("shop.orders-value", WIDER)

    company.pipe.archive(topic, limits=ArchiveLimits(batch=1), progress=learn)
    company.pipe.dedup(topic)
    errors = company.errors(topic)
    assert 0 < [bool(error) for error in errors].count(True) < len(errors)
    company.require_balanced(topic)


def test_a_keys_schema_that_is_known_later_accuses_no_row_of_a_joined_file(company: World) -> None:
    schema_id = company.register("shop.orders-value", ORDER)
    key_id = company.register("shop.orders-key", '"string"')
    topic = orders(company, key="registry", lift={"sku": "$key"}, identity="sku")
    value = avro(schema_id, ORDER, order(1))
    keys = [avro(number, "string", "a") for number in (key_id, key_id + 1)]
    for _ in range(2):
        company.write(*((key, value) for key in keys for _ in range(2)))
        company.lake_it(topic)
        assert company.register("shop.orders-key", '{"type": "string", "note": "later"}') == key_id + 1
    assert [bool(error) for error in company.errors(topic)].count(True) == 2
    assert compact_raw(company.pipe.lake, topic).after == 2
    company.require_balanced(topic)


def test_a_row_that_only_claims_an_unknown_schema_is_accused(company: World) -> None:
    """What it holds beside its error is not what a message gives that is not decoded."""
    schema_id = company.register("shop.orders-value", ORDER)
    company.write(*((b"k", avro(schema_id, ORDER, order(number))) for number in (1, 2, 4)))
    topic = orders(company)
    company.lake_it(topic)
    lake = company.pipe.lake
    table = lake.raw(topic.name)
    file = take_inventory(lake.storage, table.snapshot(), table.root).files[0]
    assert contradictions(lake.storage, file, [topic], file.footer.schemas) == {}
    path = Path(lake.storage.uri(file.path).removeprefix("file://"))
    rows = pq.read_table(path, partitioning=None)
    for claimed, wrong in (("unknown schema: the registry gave no schema id 1", {0}), (None, set())):
        errors = pa.array([claimed, *[None] * (rows.num_rows - 1)], pa.string())
        changed = rows.set_column(rows.schema.get_field_index("_op_error"), "_op_error", errors)
        pq.write_table(changed, path)
        assert contradictions(lake.storage, file, [topic], file.footer.schemas).keys() == wrong


def test_referenced_schemas_are_resolved(company: World) -> None:
    customer = {**record("Customer", id="long"), "namespace": "shop"}
    whole = record("Order", order_id="string", customer=customer, updated=MILLIS_TYPE)
    company.register("customer", customer)
    reference = {"name": "shop.Customer", "subject": "customer", "version": 1}
    schema_id = company.register(
        "shop.orders-value", record("Order", order_id="string", customer="shop.Customer", updated=MILLIS_TYPE),
        references=[reference],
    )  # fmt: skip
    company.write((b"k", avro(schema_id, whole, {"order_id": "A", "customer": {"id": 3}, "updated": T0})))
    topic = orders(company, lift={"customer_id": "customer.id"})
    company.lake_it(topic)
    assert company.clean(topic) == [{"order_id": "A", "customer": {"id": 3}, "updated": T0, "customer_id": 3}]
    company.require_balanced(topic)


NESTED = record(
    "Placed",
    order=record(
        "Order", id=(["null", "long"], None), kind={"type": "enum", "name": "Kind", "symbols": ["NEW", "OLD"]}
    ),
    total={"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2},
)


def test_an_identity_may_stand_inside_and_a_version_outside(company: World) -> None:
    from decimal import Decimal

    schema_id = company.register("shop.orders-value", NESTED)
    values = [
        {"order": {"id": number, "kind": "NEW"}, "total": Decimal(number).scaleb(-2)} for number in (1, 2, 1)
    ] + [{"order": {"id": None, "kind": "OLD"}, "total": Decimal(0)}]  # fmt: skip
    company.write(*((b"any", avro(schema_id, NESTED, value)) for value in values))
    topic = orders(
        company, identity=("order_id", "kind"), merge=op.latest("written"),
        lift={"order_id": "order.id", "kind": "order.kind", "written": "$timestamp"},
    )  # fmt: skip
    company.lake_it(topic)
    assert [(r["order_id"], r["kind"], r["total"], r["written"]) for r in company.clean(topic)] == [
        (1, "NEW", Decimal("0.01"), T0 + dt.timedelta(milliseconds=2)),
        (2, "NEW", Decimal("0.02"), T0 + dt.timedelta(milliseconds=1)),
    ]
    assert [bool(error) for error in company.errors(topic)].count(True) == 1
    assert [v["order_id"] for *_, v, _ in consumed(company, topic) if v] == [1, 1, 2]
    company.require_balanced(topic)


@pytest.mark.parametrize("how", ["text", "registry"])
def test_an_identity_may_be_the_messages_key(company: World, how: str) -> None:
    value = record("Stock", count="long")
    schema_id = company.register("shop.orders-value", value)
    key_id = company.register("shop.orders-key", '"string"')
    keys = [b"a", b"b"] if how == "text" else [avro(key_id, "string", name) for name in "ab"]
    counts = [(key, avro(schema_id, value, {"count": n})) for n, key in enumerate(keys * 2)]
    odd = [(key, avro(schema_id, value, {"count": 9})) for key in (None, b"\xff")]
    company.write(*counts, *odd, (keys[0], None))
    lift = {"sku": "$key", "at": "$timestamp"}
    topic = orders(company, identity="sku", merge=op.latest("at"), key=how, lift=lift, tombstones="delete")
    company.lake_it(topic)
    assert [(row["sku"], row["count"]) for row in company.clean(topic)] == [("b", 3)]
    assert [bool(error) for error in company.errors(topic)].count(True) == 2
    assert sum(deleted for *_, deleted in consumed(company, topic)) == 1
    company.require_balanced(topic)


PLACED = {**record("Placed", order_id="string", at=MILLIS_TYPE, amount="long"), "namespace": "shop"}
SHIPPED = {**record("Shipped", order_id=(["null", "string"], None), at=MILLIS_TYPE), "namespace": "shop"}
LIFT = {"order_id": ["Placed.order_id", "Shipped.order_id"], "at": ["Placed.at", "Shipped.at"]}


def require_both_types(company: World, topic: op.Topic) -> None:
    company.lake_it(topic)
    assert company.errors(topic).count(None) == 3
    placed, shipped = {"order_id": "A", "at": T0, "amount": 3}, {"order_id": "A", "at": T0 + dt.timedelta(seconds=1)}
    assert company.clean(topic) == [
        {"Placed": None, "Shipped": shipped, "order_id": "A", "at": shipped["at"]},
        {"Placed": {**placed, "order_id": "B"}, "Shipped": None, "order_id": "B", "at": T0},
    ]
    good = [value for *_, value, _ in consumed(company, topic) if value]
    assert sorted(value["order_id"] for value in good) == ["A", "A", "B"]
    company.require_balanced(topic)


def test_a_topic_may_hold_the_types_of_a_union(company: World) -> None:
    union = [PLACED, SHIPPED, "string"]
    schema_id = company.register("shop.orders-value", union)
    placed, shipped = {"order_id": "A", "at": T0, "amount": 3}, {"order_id": "A", "at": T0 + dt.timedelta(seconds=1)}
    company.write(
        (b"k", frame(schema_id) + b"\x00" + body(PLACED, placed)),
        (b"k", frame(schema_id) + b"\x02" + body(SHIPPED, shipped)),
        (b"k", frame(schema_id) + b"\x00" + body(PLACED, {**placed, "order_id": "B"})),
        (b"k", frame(schema_id) + b"\x04\x02x"),
        (b"k", frame(schema_id) + b"\x06"),
        (b"k", frame(schema_id)),
        (b"k", frame(schema_id) + b"\x02" + body(SHIPPED, {**shipped, "order_id": None})),
    )
    topic = orders(company, merge=op.latest("at"), lift=LIFT)
    require_both_types(company, topic)


def test_a_topic_may_hold_records_of_several_subjects(company: World, client: SchemaRegistryClient) -> None:
    settings = {"subject.name.strategy": record_subject_name_strategy}
    context = SerializationContext("shop.orders", MessageField.VALUE)
    writers = [AvroSerializer(client, Schema.parse(d).text, conf=settings) for d in (PLACED, SHIPPED)]
    placed, shipped = {"order_id": "A", "at": T0, "amount": 3}, {"order_id": "A", "at": T0 + dt.timedelta(seconds=1)}
    other = company.register("other", record("Other", x="long"))
    company.write(
        (b"k", writers[0](placed, context)),
        (b"k", writers[1](shipped, context)),
        (b"k", writers[0]({**placed, "order_id": "B"}, context)),
        (b"k", avro(other, record("Other", x="long"), {"x": 1})),
    )
    topic = orders(company, subject=["shop.Placed", "shop.Shipped"], merge=op.latest("at"), lift=LIFT)
    require_both_types(company, topic)


def test_types_of_one_last_name_are_refused(company: World) -> None:
    for space in ("one", "two"):
        company.register(space, {**record("Placed", x="long"), "namespace": space})
    with pytest.raises(op.errors.DeclarationError, match=r"one\.Placed and two\.Placed"):
        orders(company, subject=["one", "two"], identity=(), merge=None)


def test_headers_of_others_prove_nothing(company: World) -> None:
    """A foreign message with a header that looks like a delete's is a tombstone all the same."""
    schema_id = company.register("shop.orders-value", ORDER)
    header = ("onepipe-delete", b'{"schema": 1, "version": [1]}')
    company.write((b"O1", avro(schema_id, ORDER, order(1))), (b"O1", None, (header,)))
    topic = orders(company)
    company.lake_it(topic)
    assert [str(error).split(":")[0] for error in company.errors(topic)] == ["None", "tombstone"]
    company.require_balanced(topic)


def test_an_outage_of_the_registry_leaves_what_it_was_not_asked_about_for_maintenance(company: World) -> None:
    schema_id = company.register("shop.orders-value", ORDER)
    topic = orders(company, registry=f"{company.company.url}?attempts=1")
    company.write((b"k", avro(schema_id, ORDER, order(1))))
    company.lake_it(topic)
    late = company.register("shop.orders-value", {**ORDER, "doc": "later"})
    company.company.registry.faults += [503]
    company.write((b"k", avro(schema_id, ORDER, order(2))))
    company.write((b"k", avro(late, ORDER, order(3))))
    company.write((b"k", avro(4711, ORDER, order(4))))
    company.lake_it(topic)
    assert company.errors(topic).count(None) == 2
    company.require_balanced(topic)
    assert company.pipe.maintain(topic).reread.rows == 1
    company.pipe.dedup(topic)
    assert [error for error in company.errors(topic) if error] == [
        "unknown schema: the registry gave no schema id 4711"
    ]
    company.require_balanced(topic)


@pytest.mark.parametrize("on_new_log", ["continue", "raise"])
def test_a_log_that_was_replaced_is_noticed(tmp_path: Path, on_new_log: str) -> None:
    with world(tmp_path) as first:
        url = first.company.url
        schema_id = first.register("shop.orders-value", ORDER)
        topic = orders(first)
        first.write((b"k", avro(schema_id, ORDER, order(1))), (b"k", avro(schema_id, ORDER, order(2))))
        first.lake_it(topic)
        with op.connect("memory://", lake=tmp_path / "lake") as pipe:
            again = World(pipe, first.company)
            pipe.transport.create_topic("shop.orders", partitions=2)
            again.write((b"k", avro(schema_id, ORDER, order(4))))
            if on_new_log == "raise":
                with pytest.raises(op.errors.PositionLost, match="other log"):
                    pipe.archive(topic, on_new_log="raise")
                return
            again.lake_it(topic)
            assert len({row["_op_log"] for row in again.rows(topic)}) == 2
            assert [row["amount"] for row in again.clean(topic)] == [4, 2]
            again.require_balanced(topic)
        assert topic.source.registry == url


def test_plain_records_are_read_as_columns(company: World) -> None:
    schema_id = company.register("shop.orders-value", ORDER)
    company.write((b"k", avro(schema_id, ORDER, order(1))))
    with company.pipe.consumer(orders(company), until="end") as consumer:
        assert [batch.num_rows for batch in consumer.arrow_batches()] == [1]


def test_records_with_lifted_fields_are_read_message_by_message(company: World) -> None:
    company.register("shop.orders-value", ORDER)
    lifted = orders(company, lift={"at": "$timestamp"})
    with (
        company.pipe.consumer(lifted, until="end") as consumer,
        pytest.raises(op.errors.ConfigurationError, match="message by message"),
    ):
        list(consumer.arrow_batches())


def test_a_key_whose_schema_is_not_known_is_asked_for_once(company: World) -> None:
    schema_id = company.register("shop.orders-value", ORDER)
    key_id = company.register("shop.orders-key", '"string"')
    other_id = company.register("other", "{}", schemaType="JSON")
    value = avro(schema_id, ORDER, order(1))
    keys = [frame(4711), frame(other_id), b"", avro(key_id, "string", "a")]
    company.write(*((key, value) for key in keys for _ in range(4)))
    topic = orders(company, key="registry", lift={"sku": "$key"}, identity="sku")
    company.company.registry.requests.clear()
    company.lake_it(topic)
    assert company.company.registry.requests.count(("GET", "/schemas/ids/4711")) == 1
    reasons = sorted(str(error).split(":")[0] for error in company.errors(topic))
    assert reasons == [*["None"] * 4, *["unknown schema"] * 8, *["unreadable"] * 4]
    company.require_balanced(topic)
