"""Every rule of strictness: what is refused, and that the field and the byte are named."""

from __future__ import annotations

from typing import Any

import pytest

from onepipe.errors import DecodeError
from onepipe.schema import limits
from onepipe.schema.decode import compile_decoder
from onepipe.schema.model import Schema
from onepipe.schema.varint import encode_long


def decode(document: Any, body: bytes) -> Any:
    return compile_decoder(Schema.parse(document))(body, 0)


def field(field_type: Any) -> Any:
    return {"type": "record", "name": "R", "fields": [{"name": "f", "type": field_type}]}


_ENUM = {"type": "enum", "name": "E", "symbols": ["A", "B"]}
_LOGICAL = {
    name: {"type": base, "logicalType": name}
    for name, base in (
        ("date", "int"),
        ("time-millis", "int"),
        ("time-micros", "long"),
        ("timestamp-millis", "long"),
        ("timestamp-micros", "long"),
        ("local-timestamp-millis", "long"),
        ("local-timestamp-micros", "long"),
        ("uuid", "string"),
    )
}
_DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 2, "scale": 1}
_ARRAY = {"type": "array", "items": "int"}
_MAP = {"type": "map", "values": "int"}


@pytest.mark.parametrize(
    ("field_type", "body", "reason"),
    [
        ("int", b"", "ends too early"),
        ("int", b"\x80", "ends too early"),
        ("int", b"\x80\x00", "fewest bytes"),
        ("long", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", "beyond 64 bits"),
        ("long", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "beyond 64 bits"),
        ("long", b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00", "fewest bytes"),
        ("int", encode_long(1 << 31), "32 bits"),
        ("int", encode_long(-(1 << 31) - 1), "32 bits"),
        ("int", b"\x00\x00", "left over"),
        ("null", b"\x00", "left over"),
        ("boolean", b"\x02", "neither 0 nor 1"),
        ("boolean", b"", "ends too early"),
        ("float", b"\x00\x00\x00", "ends too early"),
        ("double", b"\x00" * 7, "ends too early"),
        ("string", b"\x04a", "beyond the end"),
        ("string", encode_long(1 << 62) + b"a", "beyond the end"),
        ("string", b"\x01a", "negative"),
        ("string", b"\x82\x00a", "fewest bytes"),
        ("string", b"\x02\xff", "UTF-8"),
        ("string", b"\x06\xed\xa0\x80", "UTF-8"),
        ("string", b"\x04\xc0\x80", "UTF-8"),
        ("bytes", b"\x04a", "beyond the end"),
        ("bytes", b"\x03a", "negative"),
        ({"type": "fixed", "name": "F", "size": 3}, b"ab", "ends too early"),
        (_ENUM, b"\x04", "symbol"),
        (_ENUM, b"\x01", "negative"),
        (["null", "int"], b"\x04", "branch"),
        (["null", "int"], b"\x01", "branch"),
        (["null", "int"], b"\x82\x00\x00", "branch"),
        (["null", "int", "string"], b"\x06", "branch"),
        (_ARRAY, b"\x04\x02\x00", "ends too early"),
        (_ARRAY, b"\x06\x02\x00", "more items"),
        (_ARRAY, encode_long(1 << 40) + b"\x00", "more items"),
        (_ARRAY, encode_long(-(1 << 63)) + b"\x02\x00", "more items"),
        (_ARRAY, b"\x01\x01\x02\x00", "negative"),
        (_ARRAY, b"\x01\x04\x02\x00\x00", "elsewhere"),
        (_ARRAY, b"\x03\x02\x02\x02\x00", "elsewhere"),
        (_ARRAY, b"\x02\x02", "ends too early"),
        (_MAP, b"\x02\x02\xff\x00\x00", "UTF-8"),
        (_MAP, b"\x02\x02a\x00", "ends too early"),
        (_MAP, b"\x01\x08\x02a\x00\x00", "elsewhere"),
        (_DECIMAL, b"\x02\x64", "more than 2 digits"),
        (_DECIMAL, b"\x02\x9c", "more than 2 digits"),
        (_DECIMAL, b"\x00", "no bytes"),
        (_LOGICAL["date"], encode_long(1 << 30), "years 1 to 9999"),
        (_LOGICAL["date"], encode_long(-(1 << 30)), "years 1 to 9999"),
        (_LOGICAL["time-millis"], encode_long(86_400_000), "time of day"),
        (_LOGICAL["time-micros"], encode_long(-1), "time of day"),
        (_LOGICAL["timestamp-millis"], encode_long((1 << 63) - 1), "years 1 to 9999"),
        (_LOGICAL["timestamp-micros"], encode_long((1 << 63) - 1), "years 1 to 9999"),
        (_LOGICAL["timestamp-micros"], encode_long((1 << 55) - 1 + (1 << 60)), "years 1 to 9999"),
        (_LOGICAL["local-timestamp-millis"], encode_long(-(1 << 63)), "years 1 to 9999"),
        (_LOGICAL["local-timestamp-micros"], encode_long(-(1 << 63)), "years 1 to 9999"),
        (_LOGICAL["timestamp-micros"], b"\xff\xff\xff\xff\xff\xff\xff\x00", "fewest bytes"),
        (_LOGICAL["uuid"], b"\x40" + b"1" * 32, "UUID"),
        (_LOGICAL["uuid"], b"\x02x", "UUID"),
    ],
)
def test_wrong_bytes_are_refused_with_the_field(field_type: Any, body: bytes, reason: str) -> None:
    with pytest.raises(DecodeError, match=reason) as refused:
        decode(field(field_type), body)
    if reason != "left over":
        assert (refused.value.field or "").startswith("f")


def test_the_path_and_the_byte_are_those_of_the_wrong_value() -> None:
    line = {
        "type": "record",
        "name": "Line",
        "fields": [{"name": "n", "type": "int"}, {"name": "sku", "type": "string"}],
    }
    document = {
        "type": "record",
        "name": "Order",
        "fields": [
            {"name": "id", "type": "string"},
            {"name": "lines", "type": {"type": "array", "items": ["null", line]}},
            {"name": "more", "type": {"type": "map", "values": "Line"}},
        ],
    }
    good = b"\x02a" + b"\x04\x00\x02\x02\x02s\x00" + b"\x02\x02k\x02\x02s\x00"
    assert decode(document, good) == {
        "id": "a",
        "lines": [None, {"n": 1, "sku": "s"}],
        "more": {"k": {"n": 1, "sku": "s"}},
    }
    with pytest.raises(DecodeError, match="at byte 6 of 16") as in_array:
        decode(document, good[:7] + b"\xff" + good[8:])
    assert in_array.value.field == "lines[1].sku"
    with pytest.raises(DecodeError, match="at byte 13 of 16") as in_map:
        decode(document, good[:13] + b"\x01" + good[14:])
    assert in_map.value.field == "more{}.sku"


@pytest.mark.parametrize(
    ("number", "taken"), [(limits.MAX_ZERO_BYTE_ITEMS, True), (limits.MAX_ZERO_BYTE_ITEMS + 1, False)]
)
@pytest.mark.parametrize(
    "item", ["null", {"type": "fixed", "name": "F", "size": 0}, {"type": "record", "name": "E", "fields": []}]
)
def test_items_without_bytes_are_limited_in_number(item: Any, number: int, taken: bool) -> None:
    document = {"type": "array", "items": item}
    one_block = encode_long(number) + b"\0"
    two_blocks = encode_long(number - 1) + encode_long(-1) + b"\0\0"
    for body in (one_block, two_blocks):
        if taken:
            assert len(decode(document, body)) == number
        else:
            with pytest.raises(DecodeError, match="no bytes"):
                decode(document, body)


def test_many_small_arrays_of_items_without_bytes_are_limited_together() -> None:
    document = {"type": "array", "items": {"type": "array", "items": "null"}}
    part = encode_long(limits.MAX_ZERO_BYTE_ITEMS // 2) + b"\0"
    assert len(decode(document, encode_long(2) + part * 2 + b"\0")) == 2
    with pytest.raises(DecodeError, match="no bytes"):
        decode(document, encode_long(3) + part * 3 + b"\0")


def test_blocks_with_sizes_and_several_blocks_are_read() -> None:
    assert decode(_ARRAY, b"\x03\x04\x02\x04\x02\x06\x00") == [1, 2, 3]
    assert decode(_MAP, b"\x01\x06\x02a\x02\x02\x02b\x04\x00") == {"a": 1, "b": 2}


def test_records_nest_to_a_limit() -> None:
    document = {"type": "record", "name": "N", "fields": [{"name": "n", "type": ["null", "N"]}]}
    decode(document, b"\x02" * (limits.MAX_DEPTH - 1) + b"\x00")
    with pytest.raises(DecodeError, match="nested deeper"):
        decode(document, b"\x02" * limits.MAX_DEPTH + b"\x00")


def test_arrays_nest_as_deep_as_schemas_may() -> None:
    document: Any = "int"
    for _ in range(limits.MAX_DEPTH - 1):
        document = {"type": "array", "items": document}
    value: Any = 7
    for _ in range(limits.MAX_DEPTH - 1):
        value = [value]
    assert decode(document, b"\x02" * (limits.MAX_DEPTH - 1) + b"\x0e" + b"\x00" * (limits.MAX_DEPTH - 1)) == value


def test_unions_of_many_branches_are_read() -> None:
    branches: list[Any] = [{"type": "fixed", "name": f"F{n}", "size": 1} for n in range(100)]
    assert decode(branches, encode_long(99) + b"x") == b"x"
    for wrong in (encode_long(100), encode_long(-1)):
        with pytest.raises(DecodeError):
            decode(branches, wrong + b"x")


def test_what_a_class_raises_passes_unchanged() -> None:
    class Picky:
        def __init__(self, f: int) -> None:
            raise IndexError("no such thing")

    schema = Schema.parse(field("int"))
    with pytest.raises(IndexError, match="no such thing"):
        compile_decoder(schema, classes={"R": Picky})(b"\x02", 0)


def test_uuids_may_be_written_in_capitals() -> None:
    text = "ABCDEF12-1234-5678-1234-567812345678"
    assert str(decode(_LOGICAL["uuid"], b"H" + text.encode())) == text.lower()
