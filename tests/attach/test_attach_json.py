"""JSON of other producers: what each type takes, what is refused, and that hostile bytes are kept aside, never more."""

from __future__ import annotations

import base64
import datetime as dt
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import pytest
from foreign_world import MICROS_TYPE, MILLIS_TYPE, World, record, text, world
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import schemas, values

import onepipe as op
from onepipe.attached.json_text import MAX_BYTES, MAX_DEPTH, MAX_DIGITS, parse_json
from onepipe.attached.json_values import compile_json
from onepipe.errors import DecodeError, InvalidRecord
from onepipe.schema.encode import compile_encoder
from onepipe.schema.model import Schema
from onepipe.schema.values import Duration

T0 = dt.datetime(2026, 1, 1, 12, 30, tzinfo=dt.UTC)
DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}


def convert(type_: Any, value: Any) -> Any:
    schema = Schema.parse(type_)
    return compile_json(schema, schema.root)(parse_json(value if isinstance(value, bytes) else text(value)))


def logical(base: str, name: str) -> dict:
    return {"type": base, "logicalType": name}


@pytest.mark.parametrize(
    ("type_", "given_", "wanted"),
    [
        ("boolean", True, True),
        ("long", -(1 << 63), -(1 << 63)),
        ("double", b"1", 1.0),
        ("double", b"1e-3", 0.001),
        ("string", "ü😀", "ü😀"),
        ("bytes", "AAH/", b"\x00\x01\xff"),
        (DECIMAL, "12.50", Decimal("12.50")),
        (DECIMAL, b"12.5", Decimal("12.5")),
        (DECIMAL, b"0.1", Decimal("0.1")),
        (DECIMAL, b"7", Decimal(7)),
        (DECIMAL, "1e2", Decimal(100)),
        (logical("string", "uuid"), str(UUID(int=7)), UUID(int=7)),
        (logical("int", "date"), "2026-01-01", dt.date(2026, 1, 1)),
        (logical("int", "date"), 20454, dt.date(2026, 1, 1)),
        (logical("long", "time-micros"), "12:30", dt.time(12, 30)),
        (logical("int", "time-millis"), "12:30:01.5", dt.time(12, 30, 1, 500_000)),
        (MICROS_TYPE, "2026-01-01T12:30:00Z", T0),
        (MICROS_TYPE, "2026-01-01 14:30:00.000000+02:00", T0),
        (MICROS_TYPE, "2026-01-01T12:30:00.000000000Z", T0),
        (MICROS_TYPE, int(T0.timestamp()) * 1_000_000, T0),
        (MILLIS_TYPE, int(T0.timestamp()) * 1000, T0),
        (logical("long", "local-timestamp-micros"), "2026-01-01T12:30:00", T0.replace(tzinfo=None)),
        ({"type": "enum", "name": "E", "symbols": ["A", "B"]}, "B", "B"),
        ({"type": "enum", "name": "E", "symbols": ["A", "B"], "default": "A"}, "C", "A"),
        ({"type": "array", "items": "int"}, [1, 2], [1, 2]),
        ({"type": "map", "values": "int"}, {"a": 1}, {"a": 1}),
        (["null", "string"], None, None),
        (["null", "string"], "x", "x"),
        (["null", "int", "string"], "x", ("string", "x")),
        (record("R", a="int", b=("int", 7), c=["null", "int"]), {"a": 1, "z": 2}, {"a": 1, "c": None}),
        ({"type": "fixed", "name": "D", "size": 12, "logicalType": "duration"},
         {"months": 1, "days": 2, "milliseconds": 3}, Duration(1, 2, 3)),
    ],
)  # fmt: skip
def test_each_type_takes_what_json_has_for_it(type_: Any, given_: Any, wanted: Any) -> None:
    found = convert(type_, given_)
    assert (found, type(found)) == (wanted, type(wanted))


@pytest.mark.parametrize(
    ("type_", "given_"),
    [
        ("boolean", 1),
        ("boolean", "true"),
        ("int", 1 << 31),
        ("int", True),
        ("int", b"1.0"),
        ("int", "1"),
        ("long", 1 << 63),
        ("long", b"1e3"),
        ("double", "1"),
        ("double", b"1e999"),
        ("double", 10**400),
        ("float", b"1e300"),
        ("string", 1),
        ("string", None),
        ("string", b'"\\ud800"'),
        ("bytes", "not base64!"),
        ("bytes", "AA=A"),
        (DECIMAL, "12.505"),
        (DECIMAL, "12345678901"),
        (DECIMAL, "NaN"),
        (DECIMAL, "Infinity"),
        (DECIMAL, "1_0"),
        (DECIMAL, "٣"),
        (DECIMAL, b"1e1001"),
        (logical("string", "uuid"), "{00000000-0000-0000-0000-000000000007}"),
        (logical("int", "date"), "20260101"),
        (logical("int", "date"), "2026-02-30"),
        (logical("int", "date"), 10**9),
        (logical("long", "time-micros"), "24:00"),
        (MICROS_TYPE, "2026-01-01T12:30:00"),
        (MICROS_TYPE, "2026-01-01T12:30:00.0000001Z"),
        (MICROS_TYPE, "0001-01-01T00:00:00+01:00"),
        (MICROS_TYPE, 1 << 63),
        (MICROS_TYPE, b"1.5"),
        (MILLIS_TYPE, "2026-01-01T12:30:00.0001Z"),
        (logical("long", "local-timestamp-micros"), "2026-01-01T12:30:00Z"),
        ({"type": "enum", "name": "E", "symbols": ["A", "B"]}, "C"),
        ({"type": "fixed", "name": "F", "size": 2}, "AA=="),
        ({"type": "array", "items": "int"}, {"0": 1}),
        ({"type": "map", "values": "int"}, [1]),
        (["null", "int"], "x"),
        (["null", "int", "string"], [1]),
        (record("R", a="int"), {}),
        (record("R", a="int"), {"a": None}),
        (record("R", a=("int", 7)), {"a": None}),
        (record("R", a="int"), [1]),
    ],
)
def test_each_type_refuses_the_rest(type_: Any, given_: Any) -> None:
    with pytest.raises((DecodeError, InvalidRecord)) as refused:
        value = convert(type_, given_)
        compile_encoder(Schema.parse(type_))(value)
    assert "12345678901" not in str(refused.value)


@pytest.mark.parametrize(
    "data",
    [
        b"", b" ", b"nul", b"{", b"[1,]", b"{'a': 1}", b"NaN", b"[Infinity]", b"-Infinity", b'{"a": 1, "a": 2}',
        b'{"a": {"b": 1, "b": 1}}', b"\xff", b'"\xc3"', b"\xef\xbb\xbf1", b"1 2", b"01", b"1e", b'"\x00"', b"\x00",
        b"9" * (MAX_DIGITS + 1), b"0." + b"1" * MAX_DIGITS, b"1e%d" % (MAX_DIGITS + 1), b"1e-9999999999999999999",
        b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), b"[" * 10_000_000, b'{"a":' * 1000, b'"' + b"[" * 100,
    ],
)  # fmt: skip
def test_what_is_no_strict_json_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        parse_json(data)


def test_the_bounds_of_json_are_where_they_are_said_to_be() -> None:
    deep = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
    parse_json(deep)
    parse_json(text(["[" * 1000, '\\"[[[' * 50, *([[]] * 200)]))
    assert parse_json(b"9" * MAX_DIGITS) == 10**MAX_DIGITS - 1
    with pytest.raises(DecodeError, match="bytes"):
        parse_json(b" " * (MAX_BYTES + 1))


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
))  # fmt: skip
def test_json_comes_back_as_the_standard_library_says(value: object) -> None:
    assert parse_json(text(value)) == value
    assert parse_json(json.dumps(value, indent=1).encode()) == value


def as_json(value: Any) -> Any:
    """A logical value as JSON has it."""
    match value:
        case dict():
            return {name: as_json(each) for name, each in value.items()}
        case list():
            return [as_json(each) for each in value]
        case bytes():
            return base64.b64encode(value).decode()
        case Decimal():
            return format(value, "f")
        case UUID():
            return str(value)
        case dt.datetime() | dt.date() | dt.time():
            return value.isoformat()
        case Duration():
            return {"months": value.months, "days": value.days, "milliseconds": value.milliseconds}
        case _:
            return value


def plain_unions(schema: Schema) -> bool:
    """Whether JSON says of every value which type it is of."""
    return all(getattr(node, "nullable", node) is not None for node in schema.walk() if hasattr(node, "branches"))


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much], deadline=None)
@given(st.data())
def test_every_value_written_as_json_is_read_as_it_was(data: st.DataObject) -> None:
    schema = data.draw(schemas().filter(plain_unions))
    value = data.draw(values(schema, finite=True))
    encode = compile_encoder(schema)
    written = text(as_json(value))
    assert encode(compile_json(schema, schema.root)(parse_json(written))) == encode(value)


@op.record
class Box:
    width: int
    label: str | None = None


@op.record
class Shipment:
    sid: str | None = None
    updated: dt.datetime
    price: Annotated[Decimal, op.decimal(9, 2)] | None = None
    box: Box | None = None


@pytest.fixture
def company(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path, partitions=1) as company:
        yield company


def shipments(**declared: Any) -> op.Topic:
    declared = {"identity": "sid", "merge": op.latest("updated"), "event_time": "updated"} | declared
    return op.Topic.attach("shop.orders", Shipment, value="json", **declared)


def shipment(sid: str | None, second: int, **more: Any) -> bytes:
    return text({"sid": sid, "updated": (T0 + dt.timedelta(seconds=second)).isoformat(), **more})


def test_json_is_archived_merged_and_proved(company: World) -> None:
    company.write(
        (b"k", shipment("A", 1, price="1.25")),
        (b"k", shipment("A", 2, price=2, box={"width": 3, "colour": "red"})),
        (b"k", shipment("B", 1)),
        (b"k", b"\0\0\0\0\7" + shipment("C", 1)),
        (b"k", shipment(None, 1)),
        (b"k", shipment("A", 3, price=1.234)),
        (b"k", b'{"sid": "A"}'),
        (b"k", b"[]"),
        (b"k", b""),
        (b"A", None),
    )
    topic = shipments()
    company.lake_it(topic)
    assert [(row["sid"], row["price"], row["box"]) for row in company.clean(topic)] == [
        ("A", Decimal("2.00"), {"width": 3, "label": None}),
        ("B", None, None),
        ("C", None, None),
    ]
    reasons = [str(error).split(":")[0] for error in company.errors(topic)]
    assert reasons == [*["None"] * 4, *["unreadable"] * 5, "tombstone"]
    assert all("1.234" not in str(error) for error in company.errors(topic))
    company.require_balanced(topic)
    with company.pipe.consumer(topic, until="end", on_undecodable="yield") as consumer:
        assert [m.record["sid"] for m in consumer if m.error is None] == ["A", "A", "B", "C"]


def test_an_identity_inside_json_and_in_its_key(company: World) -> None:
    schema = record("Order", id="long", shop="string", at=MILLIS_TYPE, total="double")
    topic = op.Topic.attach(
        "shop.orders", schema, value="json", key="json", identity=("shop", "id"), merge=op.latest("at"),
        lift={"id": ["order.id", "order.number"], "shop": "$key.shop", "at": "$timestamp"},
    )  # fmt: skip
    company.write(
        (text({"shop": "x"}), text({"order": {"id": 1}, "total": 1.5})),
        (text({"shop": "x"}), text({"order": {"number": 1}, "total": 2})),
        (text({"shop": "y"}), text({"order": {"id": 1}, "total": 3})),
        (text({}), text({"order": {"id": 1}, "total": 3})),
        (b"x", text({"order": {"id": 1}, "total": 3})),
        (None, text({"order": {"id": 1}, "total": 3})),
        (text({"shop": "x"}), text({"order": [], "total": 3})),
    )
    company.lake_it(topic)
    assert [(r["shop"], r["id"], r["total"]) for r in company.clean(topic)] == [("x", 1, 2.0), ("y", 1, 3.0)]
    assert [error is None for error in company.errors(topic)] == [True] * 3 + [False] * 4
    company.require_balanced(topic)


@pytest.mark.parametrize("key", ["42", "042", " 42", "x"])
def test_an_integer_may_be_a_text_key(company: World, key: str) -> None:
    schema = record("Count", id="long", n="long", at=MILLIS_TYPE)
    topic = op.Topic.attach("shop.orders", schema, value="json", key="text", identity="id", merge=op.latest("at"),
                            lift={"id": "$key", "at": "$timestamp"}, tombstones="delete")  # fmt: skip
    company.write((key.encode(), text({"n": 1})), (b"7", text({"n": 1})), (b"7", None))
    company.lake_it(topic)
    assert [row["id"] for row in company.clean(topic)] == ([42] if key == "42" else [])
    company.require_balanced(topic)


HOSTILE = st.one_of(
    st.binary(max_size=40),
    st.text(max_size=40).map(lambda t: t.encode(errors="surrogatepass")),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda s: st.lists(s) | st.dictionaries(st.sampled_from(["sid", "updated", "price", "box", "width"]), s),
    ).map(lambda value: json.dumps(value).encode()),
)


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.none() | st.binary(max_size=9), st.none() | HOSTILE), max_size=12))
def test_whatever_is_written_is_a_row_and_proved(tmp_path_factory: pytest.TempPathFactory, messages: list) -> None:
    with world(tmp_path_factory.mktemp("w"), partitions=1) as company:
        company.write(*messages, (b"k", shipment("A", 1)))
        topic = shipments(key="text", tombstones="oldest")
        company.lake_it(topic)
        rows = company.rows(topic)
        assert [row["_op_body"] for row in rows] == [value for _, value in messages] + [shipment("A", 1)]
        assert rows[-1]["_op_error"] is None
        company.require_balanced(topic)
