from __future__ import annotations

import datetime as dt
import enum
import json
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from json_codec import JsonCodec, JsonPlugin
from raw_messages import raw_rows
from strategies import plain, schemas, values

import onepipe as op
from onepipe import codec as codecs
from onepipe import plugins
from onepipe.audit.verdict import Kind
from onepipe.bodies.decoder import MessageDecoder
from onepipe.bodies.transcode import avro_from_body, body_decoder, body_encoder
from onepipe.bodies.transcode_columns import columns_decoder
from onepipe.codec import Codec, find_codec, register_codec
from onepipe.declaring.record import record_info
from onepipe.declaring.topic import Topic
from onepipe.errors import DeclarationError, DecodeError, Incompatible, InvalidRecord
from onepipe.hookspecs import hookimpl
from onepipe.lake.archive import archive
from onepipe.plugins import Plugins
from onepipe.schema.model import Schema
from onepipe.transport import Message, Outgoing

T0 = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


class Shade(enum.Enum):
    LIGHT = "light"
    DARK = "dark"


@op.record
class Box:
    width: int
    labels: dict[str, str] = op.field(factory=dict)


@op.record(topic="Paints", merge=op.latest("updated"), event_time="updated", audit="named", codec="json")
class Paint:
    sid: str = op.field(identity=True)
    updated: dt.datetime
    price: Annotated[Decimal, op.decimal(12, 2)] | None = op.field(default=None, ge=0)
    shade: Shade = Shade.LIGHT
    maker: UUID | None = None
    sample: bytes = b""
    box: Box | None = None
    notes: list[str | int] = op.field(factory=list)


def paint(number: int, **changes: object) -> Paint:
    made = Paint(
        sid=f"P{number}",
        updated=T0 + dt.timedelta(seconds=number),
        price=Decimal(number).scaleb(-2),
        maker=UUID(int=number),
        sample=bytes([number]),
        box=Box(width=number, labels={"b": "2", "a": "1"}),
        notes=["ü", number],
    )
    return op.evolve(made, **changes)


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[op.Pipeline]:
    with op.connect("memory://", lake=tmp_path / "lake", partitions=2, plugins=[JsonPlugin()]) as pipe:
        yield pipe


def messages(pipe: op.Pipeline) -> list[Message]:
    reader = pipe.transport.reader([op.TopicPartition("Paints", number) for number in range(2)])
    found = []
    while batch := reader.poll(10_000):
        found += batch
    reader.close()
    return found


def corrupt(pipe: op.Pipeline, value: bytes) -> None:
    writer = pipe.transport.writer()
    writer.append(Outgoing("Paints", 0, b"P", value, (), 0), lambda _: None)
    assert writer.flush(10)
    writer.close()


@pytest.mark.slow
@pytest.mark.parametrize("level", ["accounted", "proved", "deep"])
def test_records_travel_all_the_way_in_another_form_than_avro(pipe: op.Pipeline, level: str) -> None:
    sent = [paint(number) for number in range(20)]
    with pipe.producer() as producer:
        producer.publish_many(sent)
        producer.publish_many([op.evolve(each, shade=Shade.DARK, updated=T0 + dt.timedelta(days=1)) for each in sent])
        producer.delete(Paint, sid="P3", updated=T0 + dt.timedelta(days=2))
    body = json.loads(messages(pipe)[0].value[5:])
    number = int(body["sid"][1:])
    assert body == {
        "sid": f"P{number}",
        "updated": (T0 + dt.timedelta(seconds=number)).isoformat(),
        "price": str(Decimal(number).scaleb(-2)),
        "shade": "light",
        "maker": str(UUID(int=number)),
        "sample": body["sample"],
        "box": {"width": number, "labels": {"b": "2", "a": "1"}},
        "notes": [{"string": "ü"}, {"long": number}],
    }
    with pipe.consumer(Paint, until="end") as consumer:
        received = list(consumer)
    assert sorted((r.record for r in received if not r.deleted), key=key)[:40:2] == sorted(sent, key=key)
    with pipe.consumer(Paint, until="end") as consumer:
        assert sum(batch.num_rows for batch in consumer.arrow_batches()) == 40
    assert pipe.archive(Paint).quarantined == 0
    pipe.dedup(Paint)
    verdict = pipe.verify(Paint, level=level)
    assert verdict.balanced, str(verdict)
    rows = {row["sid"]: row for row in pipe.table(Paint).to_arrow().to_pylist()}
    assert sorted(rows) == sorted(each.sid for each in sent if each.sid != "P3")
    assert rows["P7"]["price"] == Decimal("0.07")
    assert rows["P7"]["box"]["width"] == 7
    assert {row["shade"] for row in rows.values()} == {"dark"}


def key(record: Paint) -> tuple[int, dt.datetime]:
    return int(record.sid[1:]), record.updated


def test_what_the_codec_cannot_read_is_quarantined_and_named_by_every_reader(pipe: op.Pipeline) -> None:
    with pipe.producer() as producer:
        producer.publish(paint(1))
    frame = messages(pipe)[0].value[:5]
    for body in (b"{", b"[]", b'{"sid": "P2"}', b'{"sid": 2, "updated": 3}'):
        corrupt(pipe, frame + body)
    with pipe.consumer(Paint, until="end", on_undecodable="yield") as consumer:
        errors = [received.error for received in consumer if received.error]
    assert len(errors) == 4
    assert all(isinstance(error, DecodeError) and error.topic == "Paints" for error in errors)
    with pipe.consumer(Paint, until="end") as consumer, pytest.raises(DecodeError, match="codec 'json'"):
        list(consumer.arrow_batches())
    report = pipe.archive(Paint)
    assert (report.rows, report.quarantined) == (5, 4)
    wrong = [row["_op_error"] for row in raw_rows(pipe.lake, "Paints") if row["_op_error"]]
    assert all(text.startswith("unreadable: codec 'json' cannot read it: ") for text in wrong)
    pipe.dedup(Paint)
    assert pipe.table(Paint).count() == 1
    assert not pipe.verify(Paint).findings


@pytest.mark.parametrize("change", [lambda value: value + b" ", lambda value: value[:-1]], ids=["readable", "not"])
def test_a_body_altered_in_the_log_is_found_as_avro_bodies_are(
    pipe: op.Pipeline, change: Callable[[bytes], bytes]
) -> None:
    with pipe.producer() as producer:
        producer.publish_many(paint(number) for number in range(10))
    place = messages(pipe)[0]
    pipe.transport.faults.alter("Paints", place.partition, place.offset, change)
    pipe.archive(Paint)
    (finding,) = pipe.verify(Paint).findings
    assert (finding.kind, finding.offset) == (Kind.ALTERED, place.offset)


def test_a_reader_with_another_schema_reads_through_resolution(pipe: op.Pipeline) -> None:
    with pipe.producer() as producer:
        producer.publish(paint(5))

    @op.record(topic="Paints", codec="json", aliases=("Paint",))
    class Priced:
        sid: str = op.field(identity=True)
        price: Annotated[Decimal, op.decimal(12, 2)] | None = None
        stock: int = 7

    with pipe.consumer(Priced, until="end") as consumer:
        assert list(consumer.records()) == [Priced(sid="P5", price=Decimal("0.05"))]
    with pipe.consumer("Paints", until="end", resolve=False) as consumer:
        assert next(iter(consumer)).record["box"]["labels"] == {"a": "1", "b": "2"}


def test_rules_and_types_are_checked_before_the_codec_sees_a_record(pipe: op.Pipeline) -> None:
    with pipe.producer() as producer:
        with pytest.raises(InvalidRecord) as refused:
            producer.publish(paint(1, price=Decimal(-1), sample="text"))
        assert {fault.field for fault in refused.value.faults} == {"price", "sample"}
    assert messages(pipe) == []


def test_the_codec_of_a_topic_is_not_changed(pipe: op.Pipeline) -> None:
    pipe.register(Paint)
    with pytest.raises(Incompatible, match="the codec changes from json to Avro"):
        pipe.register(op.topic_of(Paint).evolve(codec=None))


def test_a_codec_travels_in_the_schema_document() -> None:
    topic = op.topic_of(Paint)
    assert topic.codec == "json"
    assert topic.document()["onepipe"]["codec"] == "json"
    assert Topic.from_document(topic.document()) == topic
    assert "codec" not in topic.evolve(codec=None).document()["onepipe"]
    with pytest.raises(DeclarationError, match="'codec' is text"):
        Topic.from_document({**topic.document(), "onepipe": {"version": 1, "topic": "Paints", "codec": 7}})


def test_an_unknown_codec_is_refused_before_the_topic_is_registered(pipe: op.Pipeline) -> None:
    topic = op.topic_of(Paint).evolve(name="Others", codec="jsn")
    with pytest.raises(DeclarationError, match=r"there is no codec 'jsn'; did you mean 'json'\?.*for Avro name none"):
        pipe.register(topic)
    assert pipe.registry.topics() == ()


def test_an_installed_codec_is_loaded_when_it_is_first_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("installed_codec")
    module.onepipe_codecs = JsonPlugin().onepipe_codecs
    monkeypatch.setitem(sys.modules, "installed_codec", module)
    monkeypatch.setattr(codecs, "_registered", {})
    installed = Plugins(lambda: [EntryPoint("json", "installed_codec", "onepipe")])
    monkeypatch.setattr(plugins, "default_plugins", lambda: installed)
    assert isinstance(find_codec("json"), JsonCodec)
    assert isinstance(find_codec("json"), Codec)
    with pytest.raises(DeclarationError, match="did you mean 'json'"):
        find_codec("jason")


def test_without_the_codec_the_lake_is_read_and_nothing_is_archived(
    pipe: op.Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pipe.producer() as producer:
        producer.publish(paint(1))
    pipe.archive(Paint)
    with pipe.producer() as producer:
        producer.publish(paint(2))
    monkeypatch.setattr(codecs, "_registered", {})
    with pytest.raises(DeclarationError, match="there is no codec 'json'"):
        archive(op.topic_of(Paint), pipe.transport, pipe.lake, pipe.registry)
    pipe.dedup(Paint)
    assert pipe.table("Paints").count() == 1


class Broken(JsonCodec):
    """A codec that goes wrong in one way or another."""

    def __init__(self, fault: str) -> None:
        self.fault = fault

    def encode(self, schema: Schema, record: Mapping[str, Any]) -> bytes:
        if self.fault == "raises":
            raise ZeroDivisionError("secret")
        if self.fault == "text":
            return "text"  # type: ignore[return-value]  # what it gets wrong
        return b"{" if self.fault == "unreadable" else super().encode(schema, record)

    def decode(self, schema: Schema, body: bytes) -> Mapping[str, Any]:
        record = dict(super().decode(schema, body))
        return {**record, "sid": "other"} if self.fault == "other" else record


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("raises", "cannot write it: ZeroDivisionError"),
        ("text", "cannot write it: TypeError"),
        ("unreadable", "does not read what it wrote"),
        ("other", "does not give back what it was given"),
    ],
)
def test_a_record_that_the_codec_does_not_give_back_is_refused(fault: str, said: str) -> None:
    class Plugin:
        @hookimpl
        def onepipe_codecs(self) -> Mapping[str, Codec]:
            return {"broken": Broken(fault)}

    topic = op.topic_of(Paint).evolve(codec="broken")
    record = {"sid": "P", "updated": T0}
    with op.connect("memory://", plugins=[Plugin()]) as pipe, pipe.producer() as producer:
        with pytest.raises(InvalidRecord, match=f"codec 'broken' {said}") as refused:
            producer.publish(record, topic=topic)
        assert "secret" not in str(refused.value)


def test_a_codec_may_give_maps_back_in_another_order() -> None:
    class Sorting(JsonCodec):
        def encode(self, schema: Schema, record: Mapping[str, Any]) -> bytes:
            return json.dumps(json.loads(super().encode(schema, record)), sort_keys=True).encode()

    register_codec("sorting", Sorting())
    schema = op.topic_of(Paint).evolve(codec="sorting").schema
    encode = body_encoder(schema, classes=record_info(Paint).classes, **NO_RULES)
    assert b'{"a": "1", "b": "2"}' in encode(paint(1))


NO_RULES: dict[str, Any] = {"prefix": b"", "checks": (), "topic": "T"}


def shown(records: list[Any]) -> str:
    """Records as text, in which NaN equals itself; a time's fold means nothing without a zone."""
    return repr(records).replace(", fold=1", "")


def with_codec(schema: Schema) -> Schema:
    """A record schema that holds another type, and asks for the codec."""
    fields = [{"name": "key", "type": "long"}, {"name": "inner", "type": schema.document()}]
    return Schema.parse({"type": "record", "name": "Outer_", "fields": fields, "onepipe": {"codec": "json"}})


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.data())
def test_any_value_of_any_schema_comes_back_by_row_and_by_column(data: st.DataObject) -> None:
    register_codec("json", JsonCodec())
    inner = data.draw(schemas(recursive=False, defaults=False))
    schema = with_codec(inner)
    drawn = [{"key": n, "inner": data.draw(values(inner))} for n in range(data.draw(st.integers(0, 3)))]
    encode = body_encoder(schema, classes={}, **NO_RULES)
    bodies = [encode(value) for value in drawn]
    decode = body_decoder(schema, reader=None, classes={})
    assert shown([decode(body, 0) for body in bodies]) == shown([plain(schema, value) for value in drawn])
    avro = with_codec(inner).document()
    del avro["onepipe"]
    to_avro = avro_from_body(schema)
    same = columns_decoder(Schema.parse(avro), Schema.parse(avro))([to_avro(body) for body in bodies], 0)
    held = columns_decoder(schema, schema)([b"frame" + body for body in bodies], 5)
    assert not held.errors
    assert repr(held.columns.to_pylist()) == repr(same.columns.to_pylist())


def test_unreadable_bodies_leave_their_neighbours_alone() -> None:
    register_codec("json", JsonCodec())
    schema = with_codec(Schema.parse("long"))
    decoded = columns_decoder(schema, schema)([b'{"key": 1, "inner": 2}', b"x", b'{"key": 3, "inner": null}', b"{}"], 0)
    assert decoded.columns.to_pylist()[0] == {"key": 1, "inner": 2}
    assert decoded.columns.to_pylist()[1:] == [{"key": None, "inner": None}] * 3
    assert sorted(decoded.errors) == [1, 2, 3]


def test_messages_written_before_the_topic_was_declared_are_read_as_avro(pipe: op.Pipeline) -> None:
    document = {"type": "record", "name": "Plain", "fields": [{"name": "n", "type": "long"}]}
    schema_id = pipe.registry.register_schema("Plains-value", Schema.parse(document)).schema_id
    declared = Topic.declare("Plains", Schema.parse(document), codec="json")
    later = pipe.registry.register(declared).schema_id
    decoder = MessageDecoder(pipe.registry, declared, reader=declared.schema, classes={})
    for number, body in ((schema_id, b"\x0e"), (later, b'{"n": 7}')):
        message = Message("Plains", 0, 0, 0, None, number.to_bytes(5, "big") + body, ())
        assert decoder.decode(message).value == {"n": 7}
