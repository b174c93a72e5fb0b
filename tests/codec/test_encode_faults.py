"""What the encoder takes and refuses, and that every fault is listed, without values."""

from __future__ import annotations

import collections
import datetime as dt
import enum
import math
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType
from typing import Any
from uuid import UUID

import attrs
import numpy as np
import pytest

from onepipe.errors import InvalidRecord, SchemaError
from onepipe.schema import limits
from onepipe.schema.decode import compile_decoder
from onepipe.schema.encode import compile_encoder
from onepipe.schema.model import Schema
from onepipe.schema.values import Duration

_NAIVE = dt.datetime(2024, 1, 2, 3, 4, 5, 600_000)  # noqa: DTZ001  # naive on purpose
_AWARE = _NAIVE.replace(tzinfo=dt.UTC)
_ENUM = {"type": "enum", "name": "E", "symbols": ["A", "B"]}
_FIXED = {"type": "fixed", "name": "F", "size": 2}
_UUID = UUID("12345678-1234-5678-1234-567812345678")


def logical(base: str, name: str, **more: Any) -> Any:
    return {"type": base, "logicalType": name, **more}


def field(field_type: Any) -> Schema:
    return Schema.parse({"type": "record", "name": "R", "fields": [{"name": "f", "type": field_type}]})


_DECIMAL = logical("bytes", "decimal", precision=4, scale=2)


class Text(str):
    __slots__ = ()


class Letter(enum.Enum):
    A = "A"
    B = "B"


class Several(enum.Flag):
    A = 1
    B = 2


class OtherLetter(enum.StrEnum):
    A = "A"


@pytest.mark.parametrize(
    ("field_type", "value", "rule"),
    [
        ("null", 0, "type"),
        ("boolean", 1, "type"),
        ("boolean", None, "type"),
        ("int", True, "type"),
        ("int", 1.0, "type"),
        ("int", "1", "type"),
        ("int", 1 << 31, "range"),
        ("int", -(1 << 31) - 1, "range"),
        ("int", np.int64(1 << 31), "range"),
        ("long", 1 << 63, "range"),
        ("long", -(1 << 63) - 1, "range"),
        ("long", True, "type"),
        ("float", True, "type"),
        ("float", "1.0", "type"),
        ("float", 1e39, "range"),
        ("float", Decimal(1), "type"),
        ("double", False, "type"),
        ("double", (1 << 53) + 1, "precision"),
        ("double", 1 << 2000, "range"),
        ("double", Fraction(1, 3), "precision"),
        ("string", b"a", "type"),
        ("string", None, "type"),
        ("string", "\ud800", "text"),
        ("bytes", "a", "type"),
        (_FIXED, b"a", "length"),
        (_FIXED, "ab", "type"),
        (_ENUM, "C", "symbol"),
        (_ENUM, 0, "type"),
        (_ENUM, ["A"], "type"),
        (_ENUM, Several.A | Several.B, "type"),
        (logical("int", "date"), _AWARE, "type"),
        (logical("int", "date"), 1, "type"),
        (logical("int", "time-millis"), dt.time(1, tzinfo=dt.UTC), "timezone"),
        (logical("int", "time-millis"), dt.time(1, 2, 3, 1), "precision"),
        (logical("long", "time-micros"), 1, "type"),
        (logical("long", "timestamp-micros"), _NAIVE, "timezone"),
        (logical("long", "timestamp-micros"), _AWARE.date(), "type"),
        (logical("long", "timestamp-micros"), 1, "type"),
        (logical("long", "timestamp-millis"), _AWARE.replace(microsecond=1), "precision"),
        (logical("long", "local-timestamp-micros"), _AWARE, "timezone"),
        (logical("string", "uuid"), str(_UUID), "type"),
        (_DECIMAL, Decimal("1.234"), "scale"),
        (_DECIMAL, Decimal("100"), "precision"),
        (_DECIMAL, Decimal("NaN"), "range"),
        (_DECIMAL, Decimal("-Infinity"), "range"),
        (_DECIMAL, 1.5, "type"),
        (_DECIMAL, True, "type"),
        ({**_FIXED, "size": 12, "logicalType": "duration"}, b"a" * 12, "type"),
        ({"type": "array", "items": "int"}, "12", "type"),
        ({"type": "array", "items": "int"}, {1, 2}, "type"),
        ({"type": "map", "values": "int"}, [("a", 1)], "type"),
        (["null", "int"], "a", "type"),
        (["null", "int", "string"], 1.5, "type"),
        (["null", "int", "string"], 1 << 31, "range"),
        (["null", "int", "string"], ("int", "a"), "type"),
    ],
)
def test_values_that_do_not_fit_are_refused_by_rule(field_type: Any, value: Any, rule: str) -> None:
    with pytest.raises(InvalidRecord) as refused:
        compile_encoder(field(field_type), topic="Things")({"f": value})
    assert [(fault.field, fault.rule) for fault in refused.value.faults] == [("f", rule)]
    assert refused.value.topic == "Things"


@pytest.mark.parametrize(
    ("field_type", "value", "decoded"),
    [
        ("int", np.int16(-3), -3),
        ("long", np.uint32(7), 7),
        ("double", 5, 5.0),
        ("double", np.float32(0.5), 0.5),
        ("double", math.inf, math.inf),
        ("float", -math.inf, -math.inf),
        ("float", 1 << 20, float(1 << 20)),
        ("string", Text("a"), "a"),
        ("string", OtherLetter.A, "A"),
        ("bytes", bytearray(b"a"), b"a"),
        ("bytes", memoryview(b"a"), b"a"),
        (_FIXED, bytearray(b"ab"), b"ab"),
        (_ENUM, Letter.B, "B"),
        (_ENUM, Text("B"), "B"),
        (_DECIMAL, 7, Decimal(7)),
        (_DECIMAL, Decimal("1.5000"), Decimal("1.5")),
        (_DECIMAL, Decimal("0E+9"), Decimal(0)),
        (_DECIMAL, Decimal("-99.99"), Decimal("-99.99")),
        (logical("long", "timestamp-micros"), _AWARE.astimezone(dt.timezone(dt.timedelta(hours=5))), _AWARE),
        (logical("long", "timestamp-millis"), dt.datetime(1, 1, 1, tzinfo=dt.UTC), dt.datetime(1, 1, 1, tzinfo=dt.UTC)),
        ({"type": "array", "items": "int"}, (1, 2), [1, 2]),
        ({"type": "array", "items": "int"}, range(3), [0, 1, 2]),
        ({"type": "array", "items": "int"}, collections.deque([1]), [1]),
        ({"type": "map", "values": "int"}, MappingProxyType({"a": 1}), {"a": 1}),
        (["null", "int"], None, None),
        (["null", "int", "string"], ("string", "a"), "a"),
        (["null", {"type": "array", "items": "string"}, "int"], ("a", "b"), ["a", "b"]),
        (["null", {"type": "array", "items": "string"}, "int"], ("array", ["b"]), ["b"]),
        (["null", {"type": "array", "items": "string"}], ("array", "b"), ["array", "b"]),
        (["int", "long"], 1 << 40, 1 << 40),
        (["double", "long"], 3, 3),
        (["double", "long"], np.int64(3), 3),
        (["float", "double"], 0.1, 0.1),
        (["string", _ENUM], Letter.A, "A"),
        ([{"type": "map", "values": "int"}, {"type": "record", "name": "X", "fields": []}], {"a": 1}, {"a": 1}),
    ],
)
def test_values_that_fit_in_other_guises_are_taken(field_type: Any, value: Any, decoded: Any) -> None:
    schema = field(field_type)
    found = compile_decoder(schema)(compile_encoder(schema)({"f": value}), 0)["f"]
    assert found == decoded
    assert type(found) is type(decoded)


def test_every_fault_is_listed_with_its_path_and_without_values() -> None:
    line = {
        "type": "record",
        "name": "Line",
        "fields": [{"name": "sku", "type": "string"}, {"name": "amount", "type": "int"}],
    }
    schema = Schema.parse(
        {
            "type": "record",
            "name": "Order",
            "fields": [
                {"name": "id", "type": "string"},
                {"name": "status", "type": "string"},
                {"name": "lines", "type": {"type": "array", "items": line}},
                {"name": "notes", "type": {"type": "map", "values": "string"}, "default": {}},
            ],
        }
    )
    record = {
        "statsu": "secret",
        "id": 5,
        "lines": [{"sku": "s", "amount": 1}, {"sku": None, "amount": "secret"}],
        "notes": {"secret": 1, 2: "x"},
    }
    with pytest.raises(InvalidRecord) as refused:
        compile_encoder(schema)(record)
    assert [(fault.field, fault.rule) for fault in refused.value.faults] == [
        ("id", "type"),
        ("status", "required"),
        ("lines[1].sku", "type"),
        ("lines[1].amount", "type"),
        ("notes{}", "type"),
        ("notes{}", "type"),
        ("statsu", "unknown"),
    ]
    assert "did you mean 'status'" in str(refused.value)
    assert "secret" not in str(refused.value)


def test_missing_keys_take_their_defaults() -> None:
    fields = [
        {"name": "a", "type": "bytes", "default": "\u00ff"},
        {"name": "b", "type": ["null", "string"], "default": None},
        {"name": "c", "type": {"type": "array", "items": ["int", "string"]}, "default": ["x", 1]},
        {"name": "d", "type": "int"},
    ]
    schema = Schema.parse({"type": "record", "name": "R", "fields": fields})
    encoded = compile_encoder(schema)({"d": 1})
    assert compile_decoder(schema)(encoded, 0) == {"a": b"\xff", "b": None, "c": ["x", 1], "d": 1}


def test_a_default_of_another_type_is_found_when_the_encoder_is_compiled() -> None:
    fields = [{"name": "a", "type": "int", "default": "x"}]
    with pytest.raises(SchemaError):
        compile_encoder(Schema.parse({"type": "record", "name": "R", "fields": fields}))


@attrs.frozen
class Pair:
    f: Letter | None


def test_instances_are_read_by_attribute_and_their_enums_by_member() -> None:
    schema = field(["null", _ENUM])
    encode = compile_encoder(schema, classes={"R": Pair, "E": Letter})
    decode = compile_decoder(schema, classes={"R": Pair, "E": Letter})
    assert decode(encode(Pair(Letter.B)), 0) == Pair(Letter.B)
    assert decode(encode(Pair(None)), 0) == Pair(None)
    for wrong in (Pair(OtherLetter.A), {"f": None}, None):  # type: ignore[arg-type]  # wrong on purpose
        with pytest.raises(InvalidRecord) as refused:
            encode(wrong)
        assert [fault.rule for fault in refused.value.faults] == ["type"]


def test_a_subclass_stands_for_its_class() -> None:
    @attrs.frozen
    class Triple(Pair):
        more: int = 0

    encode = compile_encoder(field(["null", _ENUM]), classes={"R": Pair, "E": Letter})
    assert encode(Triple(Letter.A)) == encode(Pair(Letter.A))


def test_records_nest_to_a_limit() -> None:
    schema = Schema.parse({"type": "record", "name": "N", "fields": [{"name": "n", "type": ["null", "N"]}]})
    encode, decode = compile_encoder(schema), compile_decoder(schema)
    value: Any = None
    for _ in range(limits.MAX_DEPTH):
        value = {"n": value}
    assert decode(encode(value), 0) == value
    with pytest.raises(InvalidRecord, match="nested deeper"):
        encode({"n": value})


def test_a_record_that_holds_itself_is_refused() -> None:
    schema = Schema.parse({"type": "record", "name": "N", "fields": [{"name": "n", "type": ["null", "N"]}]})
    endless: dict[str, Any] = {}
    endless["n"] = endless
    with pytest.raises(InvalidRecord, match="nested deeper"):
        compile_encoder(schema)(endless)


def test_more_items_without_bytes_than_a_decoder_takes_are_refused() -> None:
    schema = field({"type": "array", "items": {"type": "array", "items": "null"}})
    encode = compile_encoder(schema)
    half = [None] * (limits.MAX_ZERO_BYTE_ITEMS // 2)
    compile_decoder(schema)(encode({"f": [half, half]}), 0)
    with pytest.raises(InvalidRecord, match="take no bytes"):
        encode({"f": [half, half, [None]]})


class Positive:
    """A rule that `f` is not negative, as onepipe.checks has rules."""

    name = "not negative"
    text = "f >= 0"
    fields = ("f",)
    helpers = MappingProxyType({"_op_zero": 0})

    def python_violation(self, names: Any) -> str:
        return f"({names['f']} is not None and {names['f']} < _op_zero)"

    def evaluate(self, values: Any) -> bool | None:
        return None if values["f"] is None else values["f"] >= 0


def test_a_broken_rule_is_a_fault_and_null_passes() -> None:
    schema = field(["null", _DECIMAL])
    encode = compile_encoder(schema, checks=[Positive()])
    assert encode({"f": None}) == b"\x00"
    assert encode({"f": Decimal(1)}) == compile_encoder(schema)({"f": Decimal(1)})
    with pytest.raises(InvalidRecord) as refused:
        encode({"f": Decimal(-1)})
    assert [(fault.field, fault.rule) for fault in refused.value.faults] == [("f", "not negative")]
    with pytest.raises(InvalidRecord) as refused:
        encode({"f": "a"})
    assert [fault.rule for fault in refused.value.faults] == ["type"]


def test_rules_need_a_record() -> None:
    with pytest.raises(SchemaError, match="not one"):
        compile_encoder(Schema.parse("int"), checks=[Positive()])


@pytest.mark.parametrize("count", [-1, 1 << 32, 1.0])
def test_durations_have_three_counts_of_32_bits(count: Any) -> None:
    with pytest.raises(InvalidRecord):
        Duration(days=count)


def test_nothing_of_a_schema_is_executed() -> None:
    hostile = "');raise SystemExit#"
    document = {
        "type": "record",
        "name": "R",
        "doc": hostile,
        hostile: hostile,
        "fields": [{"name": "f", "type": {"type": "map", "values": "string"}, "default": {hostile: hostile}}],
    }
    schema = Schema.parse(document)
    assert compile_decoder(schema)(compile_encoder(schema)({}), 0) == {"f": {hostile: hostile}}
