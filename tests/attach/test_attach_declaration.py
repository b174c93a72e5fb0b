"""Declaring a topic that others write: what is asked of whom, what is refused, and what travels in the document."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest
from foreign_world import MICROS_TYPE, MILLIS_TYPE, World, avro, record, world
from hypothesis import given
from hypothesis import strategies as st

import onepipe as op
from onepipe.declaring.source import Source
from onepipe.errors import ConfigurationError, DeclarationError, Incompatible, NotRegistered, TopicNotFound

ORDER = record(
    "Order",
    order_id=(["null", "string"], None),
    customer=record("Customer", id="long", kind={"type": "enum", "name": "Kind", "symbols": ["A"]}),
    updated=MILLIS_TYPE,
)
ROW = record("Value", id="long", name=(["null", "string"], None))
EVENT = record(
    "Envelope", before=(["null", ROW], None), after=(["null", "Value"], None), op="string", ts_ms=["null", "long"],
    source=record("Source", lsn="long"),
)  # fmt: skip


@op.record
class Shipment:
    sid: str | None = None
    updated: dt.datetime
    count: int = 0


@pytest.fixture
def company(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as company:
        company.register("shop.orders-value", ORDER)
        yield company


def orders(company: World, **declared: object) -> op.Topic:
    declared = {"identity": "order_id", "merge": op.latest("updated"), "registry": company.company.url} | declared
    return op.Topic.attach("shop.orders", value="registry", **declared)


def test_the_fields_are_those_of_the_registrys_latest_schema(company: World) -> None:
    company.register(
        "shop.orders-value", {**ORDER, "fields": [*ORDER["fields"], {"name": "n", "type": "int", "default": 0}]}
    )
    topic = orders(company, event_time="updated", owner="shop")
    assert [field.name for field in topic.record.fields] == ["order_id", "customer", "updated", "n"]
    assert topic.record.name == "Order"
    assert topic.record.field("order_id").type.name == "string"
    assert (topic.event_time, topic.owner) == ("updated", "shop")


def test_a_declaration_travels_in_its_document(company: World) -> None:
    topic = orders(company, lift={"customer_id": "customer.id", "kind": ["customer.kind"], "at": "$timestamp"})
    assert op.Topic.from_document(topic.document()) == topic
    assert topic.evolve(owner="me").source == topic.source
    assert [topic.record.field(n).type.name for n in ("customer_id", "kind", "at")] == ["long", "string", "long"]


SOURCES = st.builds(
    Source,
    value=st.sampled_from(["registry", "json"]),
    key=st.sampled_from(["text", "json", "registry"]),
    envelope=st.none() | st.just("debezium"),
    registry=st.none() | st.just("https://registry:8081"),
    subjects=st.lists(st.text()).map(tuple),
    types=st.dictionaries(st.text(), st.text()),
    lift=st.dictionaries(
        st.text(), st.lists(st.sampled_from(["a", "a.b", "$key", "$key.a", "$timestamp"]), min_size=1).map(tuple)
    ),
    tombstones=st.sampled_from(["quarantine", "delete", "oldest"]),
)


@pytest.mark.slow
@given(SOURCES)
def test_every_source_comes_back_from_its_document(source: Source) -> None:
    assert Source.from_document(source.document()) == source


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda s: st.lists(s) | st.dictionaries(st.text(), s)
)


@pytest.mark.slow
@given(
    st.dictionaries(st.sampled_from([*Source("json").document(), "lift", "types", "subjects", "key", "x"]), JSON) | JSON
)
def test_a_hostile_document_is_refused(document: object) -> None:
    try:
        source = Source.from_document(document)
    except DeclarationError:
        return
    assert Source.from_document(source.document()) == source


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ({"identity": "order_ids"}, "did you mean 'order_id'"),
        ({"merge": op.latest("update")}, "did you mean 'updated'"),
        ({"event_time": "updatd"}, "did you mean 'updated'"),
        ({"identity": "customer"}, "cannot identify"),
        ({"lift": {"x": "customer.kin"}}, "did you mean 'kind'"),
        ({"lift": {"x": "customr.id"}}, "did you mean 'customer'"),
        ({"lift": {"x": "customer"}}, "no single value"),
        ({"lift": {"x": "updated.x"}}, "in no record"),
        ({"lift": {"x": "$kee"}}, "did you mean '\\$key'"),
        ({"lift": {"x": "$timestamp.x"}}, "no part of a message"),
        ({"lift": {"x": "a..b"}}, "not a path"),
        ({"lift": {"x": []}}, "no path"),
        ({"lift": {"x": "$key"}}, "key=…"),
        ({"lift": {"x": "$key.id"}, "key": "json"}, "key='registry'"),
        ({"lift": {"x": ["customer.id", "order_id"]}}, "different types"),
        ({"tombstones": "oldest"}, "key=…"),
        ({"tombstones": "delete", "key": "text"}, "lift={'written': '\\$timestamp'}"),
        ({"tombstones": "oldest", "key": "text", "merge": op.first("updated")}, "latest"),
        ({"tombstones": "olds", "key": "text"}, "did you mean 'oldest'"),
        ({"envelope": "debezium"}, "change events"),
        ({"schema": ORDER}, "leave the schema out"),
    ],
)
def test_a_wrong_declaration_says_what_is_right(company: World, declared: dict, said: str) -> None:
    with pytest.raises(DeclarationError, match=said):
        orders(company, **declared)


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ({"value": "jsn"}, "did you mean 'json'"),
        ({"key": "txt"}, "did you mean 'text'"),
        ({"envelope": "debezum"}, "did you mean 'debezium'"),
    ],
)
def test_a_wrong_word_says_the_nearest(declared: dict, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        op.Topic.attach("t", Shipment, **{"value": "json", **declared})


def test_a_missing_subject_says_the_nearest_topic(company: World) -> None:
    with pytest.raises(NotRegistered, match=r"did you mean 'shop\.orders'"):
        op.Topic.attach("shop.order", value="registry", registry=company.company.url)


def test_values_of_a_registry_need_one(monkeypatch: pytest.MonkeyPatch, company: World) -> None:
    monkeypatch.delenv("ONEPIPE_REGISTRY", raising=False)
    with pytest.raises(DeclarationError, match="needs a registry"):
        op.Topic.attach("t", value="registry")
    monkeypatch.setenv("ONEPIPE_REGISTRY", company.company.url)
    topic = op.Topic.attach("shop.orders", value="registry")
    assert topic.source.registry == company.company.url


@pytest.mark.parametrize("url", ["http://u:secret@h", "http://h?token=secret"])
def test_no_secret_enters_a_declaration(url: str) -> None:
    with pytest.raises(ConfigurationError, match="password_env") as refused:
        op.Topic.attach("t", value="registry", registry=url)
    assert "secret@" not in str(refused.value)
    assert "=secret" not in str(refused.value)


def test_secrets_by_reference_travel(company: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SR_PASSWORD", "s3cret")
    company.company.registry.login = ("svc", "s3cret")
    topic = orders(company, registry=f"{company.company.url}?user=svc&password_env=SR_PASSWORD")
    assert "s3cret" not in str(topic.document())
    order = {"order_id": "a", "customer": {"id": 1, "kind": "A"}, "updated": dt.datetime(2026, 1, 1, tzinfo=dt.UTC)}
    company.write((b"k", avro(1, ORDER, order)))
    again = op.Topic.from_document(topic.document())
    assert company.pipe.archive(again).quarantined == 0


def test_json_takes_a_class_a_schema_or_a_document() -> None:
    by_class = op.Topic.attach("s", Shipment, value="json", identity="sid", merge=op.latest("updated"))
    document = op.record_class(by_class.evolve(source=None)).__name__
    assert document == "Shipment"
    assert by_class.record.field("sid").type.name == "string"
    assert op.Topic.from_document(by_class.document()) == by_class
    for schema in (by_class.schema, by_class.schema.document(), by_class.schema.text):
        assert op.Topic.attach("s", schema, value="json", identity="sid", merge=op.latest("updated")) == by_class
    with pytest.raises(DeclarationError, match="record class or a schema"):
        op.Topic.attach("s", value="json")
    with pytest.raises(DeclarationError, match="is a record"):
        op.Topic.attach("s", '"string"', value="json")


def test_change_events_have_the_fields_of_their_row(company: World) -> None:
    company.register("db-value", EVENT)
    company.register("db-key", record("Key", id="long"))
    topic = op.Topic.attach("db", value="registry", registry=company.company.url, envelope="debezium", identity="id",
                            merge=op.latest("lsn"), lift={"lsn": "source.lsn", "changed": "ts_ms"})  # fmt: skip
    assert [field.name for field in topic.record.fields] == ["id", "name", "lsn", "changed"]
    assert (topic.source.key, topic.source.tombstones) == ("registry", "oldest")
    assert op.Topic.from_document(topic.document()) == topic
    with pytest.raises(DeclarationError, match=r"lift=.*'ts_ms'"):
        op.Topic.attach("db", value="registry", registry=company.company.url, envelope="debezium", identity="id",
                        merge=op.latest("name"))  # fmt: skip


def test_nothing_is_registered_where_others_register(company: World) -> None:
    topic = orders(company)
    before = list(company.company.registry.requests)
    company.pipe.archive(topic)
    company.pipe.register(topic)
    asked = [method for method, _ in company.company.registry.requests[len(before) :]]
    assert set(asked) <= {"GET"}
    assert company.pipe.registry.topic("shop.orders") == topic


def test_a_pipeline_on_the_companys_registry_leaves_it_as_it_is(company: World, tmp_path: Path) -> None:
    url = company.company.url
    with op.connect("memory://", lake=tmp_path / "other", registry=url) as pipe:
        pipe.transport.create_topic("shop.orders", partitions=1)
        for registry in (url, pipe.registry):
            topic = orders(company, registry=registry)
            pipe.archive(topic)
            pipe.register(topic)
        assert pipe.registry.versions("shop.orders") == (1,)
        assert topic.source.registry is None
        assert op.Topic.from_document(topic.document()) == topic
        declared = orders(company, registry=pipe.registry, identity=(), merge=None)
        pipe.registry.register(declared)  # asked for in so many words
        assert pipe.registry.topic("shop.orders") == declared


def test_a_registered_topic_is_found_by_its_name(company: World) -> None:
    company.pipe.register(orders(company))
    assert company.pipe.archive("shop.orders").rows == 0


def test_others_create_their_topics(company: World) -> None:
    topic = op.Topic.attach("elsewhere", Shipment, value="json")
    with pytest.raises(TopicNotFound, match="theirs to create"):
        company.pipe.archive(topic)
    with pytest.raises(TopicNotFound):
        company.pipe.transport.describe_topic("elsewhere")


def test_an_attached_topic_is_not_published_to(company: World) -> None:
    topic = orders(company)
    with company.pipe.producer() as producer, pytest.raises(DeclarationError, match="written by others"):
        producer.publish({"order_id": "x"}, topic=topic)


def test_another_source_is_asked_for(company: World) -> None:
    company.pipe.register(orders(company))
    other = orders(company, key="text")
    with pytest.raises(Incompatible, match=r"allow=\('source',\)"):
        company.pipe.register(other)
    company.pipe.register(other, allow=["source"])
    assert company.pipe.registry.topic("shop.orders").source.key == "text"


def test_a_topic_that_onepipe_writes_has_no_source() -> None:
    topic = op.Topic.attach("s", Shipment, value="json")
    with pytest.raises(DeclarationError, match="for topics that onepipe writes"):
        topic.evolve(partition_key="updated")
    with pytest.raises(DeclarationError, match="lift names 'x'"):
        topic.evolve(source=Source("json", lift={"x": ("a",)}))
    assert MICROS_TYPE["logicalType"] in str(topic.document())
