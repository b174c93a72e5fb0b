from __future__ import annotations

import struct
from typing import Any

import pytest

from onepipe.schema import limits
from onepipe.schema.columnar import DecodedBatch, compile_columnar
from onepipe.schema.model import Schema
from onepipe.schema.varint import encode_long

BOMB = limits.MAX_ZERO_BYTE_ITEMS + 1


def record(*types: Any) -> Schema:
    fields = [{"name": f"f{number}", "type": type_} for number, type_ in enumerate(types)]
    return Schema.parse({"type": "record", "name": "R", "fields": fields})


def decode(schema: Schema, *bodies: bytes) -> DecodedBatch:
    batch = compile_columnar(schema).decode(bodies)
    batch.columns.validate(full=True)
    assert batch.columns.num_rows == len(bodies)
    return batch


def text(value: bytes) -> bytes:
    return encode_long(len(value)) + value


def test_bodies_that_only_add_up_together_are_refused_one_by_one() -> None:
    schema = record("string", "long")
    r0, r1, r2, r3 = (text(b"record %d" % number) + encode_long(number) for number in range(4))
    batch = decode(schema, r0, r1 + r2, b"", r3)
    assert set(batch.errors) == {1, 2}
    assert batch.columns.to_pylist() == [
        {"f0": "record 0", "f1": 0},
        {"f0": None, "f1": None},
        {"f0": None, "f1": None},
        {"f0": "record 3", "f1": 3},
    ]


def test_a_record_split_between_two_bodies_is_refused_in_both() -> None:
    schema = record("string", "long")
    whole = text(b"one record") + encode_long(5)
    batch = decode(schema, whole[:4], whole[4:], whole)
    assert set(batch.errors) == {0, 1}
    assert batch.columns.to_pylist()[2] == {"f0": "one record", "f1": 5}


@pytest.mark.parametrize(
    ("type_", "body"),
    [
        pytest.param("long", b"\x80\x00", id="a varint longer than needed"),
        pytest.param("long", b"\x80" * 9 + b"\x00", id="a long varint longer than needed"),
        pytest.param("long", b"\xff" * 8 + b"\x00", id="nine bytes, the last one empty"),
        pytest.param("long", b"\xff" * 9 + b"\x02", id="a varint of 65 bits"),
        pytest.param("long", b"\xff" * 10 + b"\x01", id="a varint of eleven bytes"),
        pytest.param("long", b"\x80", id="a varint without end"),
        pytest.param("int", encode_long(1 << 31), id="an int of 33 bits"),
        pytest.param("int", encode_long(-(1 << 31) - 1), id="a negative int of 33 bits"),
        pytest.param("boolean", b"\x02", id="a boolean of 2"),
        pytest.param("boolean", b"", id="a boolean without byte"),
        pytest.param("float", b"\0" * 3, id="three bytes of a float"),
        pytest.param("double", b"\0" * 7, id="seven bytes of a double"),
        pytest.param("string", b"\x01", id="a negative length"),
        pytest.param("string", b"\x04a", id="a length beyond the end"),
        pytest.param("bytes", encode_long((1 << 63) - 1), id="the greatest length"),
        pytest.param("string", text(b"\xff"), id="text that is not UTF-8"),
        pytest.param("string", text(b"\xed\xa0\x80"), id="text of a lone surrogate"),
        pytest.param({"type": "fixed", "name": "F", "size": 9}, b"12345678", id="a fixed that is cut"),
        pytest.param({"type": "enum", "name": "E", "symbols": ["A", "B"]}, b"\x04", id="an unknown symbol"),
        pytest.param({"type": "enum", "name": "E", "symbols": ["A", "B"]}, b"\x01", id="symbol -1"),
        pytest.param(["null", "long"], b"\x04", id="an unknown branch"),
        pytest.param(["null", "long"], b"\x03", id="branch -2"),
        pytest.param({"type": "array", "items": "long"}, b"\x02\x00", id="an array without end"),
        pytest.param({"type": "array", "items": "long"}, encode_long(1 << 40) + b"\0\0", id="2**40 items"),
        pytest.param({"type": "array", "items": "long"}, encode_long(-(1 << 63)) + b"\0\0", id="2**63 items"),
        pytest.param({"type": "array", "items": "double"}, encode_long(1 << 61) + b"\0" * 9, id="2**61 doubles"),
        pytest.param({"type": "array", "items": "long"}, b"\x01\x04\x02\x00", id="a block shorter than it says"),
        pytest.param({"type": "array", "items": "long"}, b"\x01\x00\x02\x00", id="a block longer than it says"),
        pytest.param({"type": "array", "items": "long"}, b"\x01\x01\x02\x00", id="a block of negative size"),
        pytest.param({"type": "array", "items": "boolean"}, b"\x02\x02\x00", id="an item that is no boolean"),
        pytest.param({"type": "array", "items": "string"}, b"\x02\x02\xff\x00", id="an item that is not UTF-8"),
        pytest.param({"type": "map", "values": "long"}, b"\x02\x02\xff\x02\x00", id="a key that is not UTF-8"),
        pytest.param(
            {"type": "array", "items": "null"}, encode_long(limits.MAX_ZERO_BYTE_ITEMS + 1) + b"\0", id="bomb"
        ),
        pytest.param({"type": "array", "items": "null"}, encode_long(1 << 62) + b"\0", id="a great bomb"),
        pytest.param({"type": "bytes", "logicalType": "decimal", "precision": 2}, text(b"\x64"), id="decimal 100"),
        pytest.param({"type": "bytes", "logicalType": "decimal", "precision": 2}, text(b"\x9c"), id="decimal -100"),
        pytest.param({"type": "bytes", "logicalType": "decimal", "precision": 2}, text(b""), id="decimal of no bytes"),
        pytest.param({"type": "bytes", "logicalType": "decimal", "precision": 40}, text(b""), id="long, of no bytes"),
        pytest.param({"type": "bytes", "logicalType": "decimal", "precision": 40}, text(b"\x7f" * 18), id="long"),
        pytest.param({"type": "string", "logicalType": "uuid"}, text(b"0" * 36), id="a uuid without dashes"),
        pytest.param({"type": "string", "logicalType": "uuid"}, text(b"0" * 32), id="a uuid of 32 digits"),
        pytest.param({"type": "int", "logicalType": "date"}, encode_long(2_932_897), id="year 10000"),
        pytest.param({"type": "int", "logicalType": "time-millis"}, encode_long(86_400_000), id="24:00"),
        pytest.param({"type": "long", "logicalType": "time-micros"}, encode_long(-1), id="before 00:00"),
        pytest.param({"type": "long", "logicalType": "timestamp-micros"}, encode_long((1 << 63) - 1), id="far off"),
        pytest.param({"type": "long", "logicalType": "timestamp-millis"}, encode_long(-(1 << 62)), id="long ago"),
    ],
)
def test_a_body_that_breaks_the_rules_is_refused_and_no_other(type_: Any, body: bytes) -> None:
    schema = record(type_, "string")
    empty = compile_columnar(schema).decode([body + text(b"rest")])
    assert set(empty.errors) == {0}
    optional = record(["null", {"type": "record", "name": "In", "fields": [{"name": "x", "type": type_}]}], "string")
    sound = b"\x00" + text(b"sound")
    batch = decode(optional, sound, b"\x02" + body, sound, b"\x02" + body + text(b""), sound)
    assert set(batch.errors) == {1, 3}
    assert batch.columns.to_pylist()[::2] == [{"f0": None, "f1": "sound"}] * 3
    assert batch.columns.to_pylist()[1] == {"f0": None, "f1": None}


def test_an_error_says_the_field_and_the_byte_and_nothing_of_the_value() -> None:
    inner = {"type": "record", "name": "Line", "fields": [{"name": "sku", "type": "string"}]}
    schema = record("long", {"type": "array", "items": inner})
    batch = decode(schema, encode_long(70) + b"\x04" + text(b"ok") + text(b"secret\xff") + b"\0")
    assert str(batch.errors[0]) == "field f1[].sku: text that is not UTF-8, at byte 6 of the record"


def test_bytes_behind_the_record_are_refused() -> None:
    batch = decode(record("long"), b"\x02", b"\x02\x00", b"\x02")
    assert str(batch.errors[1]) == "bytes left behind the record, at byte 1 of the record"
    assert batch.columns.to_pylist() == [{"f0": 1}, {"f0": None}, {"f0": 1}]


def test_a_value_shorter_than_its_frame_is_refused() -> None:
    schema = record()
    batch = compile_columnar(schema).decode([b"\0\0\0\0\1", b"\0\0", b"", b"\0\0\0\0\1"], skip=5)
    assert set(batch.errors) == {1, 2}
    assert batch.columns.num_rows == 4


def test_all_bodies_of_a_batch_may_be_refused() -> None:
    batch = decode(record("string", {"type": "array", "items": "string"}), b"", b"\x04a", b"\x02a\x04\x01")
    assert set(batch.errors) == {0, 1, 2}
    assert batch.columns.to_pylist() == [{"f0": None, "f1": None}] * 3


def test_items_that_take_no_bytes_are_counted_up_to_the_limit() -> None:
    empty = {"type": "record", "name": "Empty", "fields": []}
    most = limits.MAX_ZERO_BYTE_ITEMS
    for items, value in (("null", None), (empty, True), ({"type": "fixed", "name": "F", "size": 0}, b"")):
        batch = decode(record({"type": "array", "items": items}), encode_long(most) + b"\0", b"\0", b"\4\4\0")
        assert not batch.errors
        lists = batch.columns.column(0).to_pylist()
        assert [len(held) for held in lists] == [most, 0, 4]
        assert lists[2] == [value] * 4


def test_the_greatest_and_least_values_are_taken() -> None:
    schema = record("int", "long", {"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 38})
    low = (-(10**38) + 1).to_bytes(16, "big", signed=True)
    body = encode_long(-(1 << 31)) + encode_long(-(1 << 63)) + text(low)
    wide = encode_long((1 << 31) - 1) + encode_long((1 << 63) - 1) + text(b"\xff" * 30 + b"\xfe")
    batch = decode(schema, body, wide)
    assert not batch.errors
    first, second = batch.columns.to_pylist()
    assert (first["f0"], first["f1"], str(first["f2"])) == (-(1 << 31), -(1 << 63), "-0." + "9" * 38)
    assert (second["f0"], second["f1"], second["f2"].as_tuple().digits) == ((1 << 31) - 1, (1 << 63) - 1, (2,))


def test_the_last_value_of_a_repeated_key_counts() -> None:
    schema = record({"type": "map", "values": "long"})
    body = b"\x06" + text(b"a") + b"\x02" + text(b"b") + b"\x04" + text(b"a") + b"\x06" + b"\0"
    batch = decode(schema, body, b"\0", body)
    assert not batch.errors
    assert [dict(held) for held in batch.columns.column(0).to_pylist()] == [{"b": 2, "a": 3}, {}, {"b": 2, "a": 3}]


def test_nan_bits_survive() -> None:
    bits = struct.pack("<d", float("nan"))[:-2] + b"\xf8\x7f"
    batch = decode(record("double"), bits)
    assert batch.columns.column(0).buffers()[1].to_pybytes() == bits


def test_items_that_take_no_bytes_are_counted_over_the_whole_body() -> None:
    schema = record({"type": "array", "items": {"type": "array", "items": "null"}})
    half = encode_long(limits.MAX_ZERO_BYTE_ITEMS // 2) + b"\0"
    batch = decode(schema, b"\4" + half * 2 + b"\0", b"\6" + half * 2 + b"\2\0" + b"\0", b"\0")
    assert set(batch.errors) == {1}
    assert [len(held) for held in batch.columns.column(0).to_pylist()[0]] == [limits.MAX_ZERO_BYTE_ITEMS // 2] * 2
