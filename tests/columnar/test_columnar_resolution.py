from __future__ import annotations

import datetime as dt
import struct
from decimal import Decimal
from typing import Any

import pytest

from onepipe.errors import ResolutionError, SchemaError
from onepipe.schema.columnar import compile_columnar
from onepipe.schema.model import Schema
from onepipe.schema.varint import encode_long


def record(*fields: dict[str, Any], name: str = "R") -> Schema:
    return Schema.parse({"type": "record", "name": name, "fields": list(fields)})


def field(name: str, type_: Any, **attributes: Any) -> dict[str, Any]:
    return {"name": name, "type": type_, **attributes}


def text(value: bytes) -> bytes:
    return encode_long(len(value)) + value


def column(written: Any, wanted: Any, *bodies: bytes) -> list[Any]:
    """What a field written as one type reads as another, where all bodies are sound."""
    batch = compile_columnar(record(field("f", written)), record(field("f", wanted))).decode(bodies)
    assert not batch.errors
    batch.columns.validate(full=True)
    return batch.columns.column(0).to_pylist()


def errors(written: Any, wanted: Any, *bodies: bytes) -> dict[int, str]:
    batch = compile_columnar(record(field("f", written)), record(field("f", wanted))).decode(bodies)
    return {row: error.message for row, error in batch.errors.items()}


@pytest.mark.parametrize(
    ("written", "wanted", "body", "value"),
    [
        ("int", "long", encode_long(-5), -5),
        ("int", "float", encode_long(1 << 20), float(1 << 20)),
        ("int", "double", encode_long(-(1 << 31)), -float(1 << 31)),
        ("long", "float", encode_long(3), 3.0),
        ("long", "double", encode_long(1 << 62), float(1 << 62)),
        ("float", "double", struct.pack("<f", 0.1), struct.unpack("<f", struct.pack("<f", 0.1))[0]),
        ("string", "bytes", text(b"\xc3\xa9"), b"\xc3\xa9"),
        ("bytes", "string", text(b"\xc3\xa9"), "é"),
        (
            "int",
            {"type": "long", "logicalType": "timestamp-millis"},
            encode_long(1),
            dt.datetime(1970, 1, 1, 0, 0, 0, 1000, dt.UTC),
        ),
        ("long", {"type": "long", "logicalType": "time-micros"}, encode_long(7), 7),
        ("bytes", {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 1}, text(b"1"), Decimal("4.9")),
        ("long", ["null", "long"], encode_long(4), 4),
        ("null", ["long", "null"], b"", None),
        ("int", ["string", "long", "null"], encode_long(4), {"string": None, "long": 4}),
        ("null", ["string", "long", "null"], b"", None),
        (["null", "long"], ["long", "null"], b"\x02\x08", 4),
        (["null", "long"], "long", b"\x02\x08", 4),
        (["int", "long"], "long", b"\x02\x08", 4),
        (["string", "long"], ["null", "long", "bytes"], b"\x00" + text(b"a"), {"long": None, "bytes": b"a"}),
    ],
)
def test_types_are_read_as_other_types(written: Any, wanted: Any, body: bytes, value: Any) -> None:
    assert column(written, wanted, body, body) == [value, value]


def test_several_branches_fill_one_column_in_order() -> None:
    bodies = [b"\x00" + encode_long(1), b"\x02" + encode_long(2), b"\x00" + encode_long(3), b"\x04"]
    written = ["int", "long", "null"]
    assert column(written, ["null", "double"], *bodies) == [1.0, 2.0, 3.0, None]
    text_or_bytes = [b"\x00" + text(b"a"), b"\x02" + text(b"b"), b"\x00" + text(b"c")]
    assert column(["string", "bytes"], "string", *text_or_bytes) == ["a", "b", "c"]


def test_a_branch_the_reader_lacks_is_refused_where_it_stands() -> None:
    assert column(["null", "long"], "long", b"\x02\x02") == [1]
    assert set(errors(["null", "long"], "long", b"\x02\x02", b"\x00", b"\x02\x04")) == {1}


def test_symbols_the_reader_lacks_become_its_default_or_are_refused() -> None:
    written = {"type": "enum", "name": "E", "symbols": ["A", "B", "C"]}
    bodies = (b"\x00", b"\x02", b"\x04")
    assert column(written, {**written, "symbols": ["C", "A"], "default": "A"}, *bodies) == ["A", "A", "C"]
    assert set(errors(written, {**written, "symbols": ["C", "A"]}, *bodies)) == {1}


def test_fields_are_renamed_reordered_left_out_and_filled_in() -> None:
    inner = {"type": "record", "name": "In", "fields": [field("x", "long"), field("gone", "string")]}
    aimed = {
        "type": "record",
        "name": "In",
        "fields": [field("new", ["null", "string"], default=None), field("x", "long")],
    }
    writer = record(field("a", "long"), field("drop", {"type": "array", "items": "string"}), field("in", inner))
    reader = record(
        field("in", aimed),
        field("tags", {"type": "array", "items": "string"}, default=["t", "u"]),
        field("b", "long", aliases=["a"]),
        field("price", {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 1}, default="\u0001"),
        field("either", ["long", "string"], default="s"),
    )
    body = encode_long(9) + b"\x02" + text(b"dropped") + b"\0" + encode_long(8) + text(b"gone")
    batch = compile_columnar(writer, reader).decode([body, body[:-1], body])
    assert set(batch.errors) == {1}
    row = {
        "in": {"new": None, "x": 8},
        "tags": ["t", "u"],
        "b": 9,
        "price": Decimal("0.1"),
        "either": {"long": None, "string": "s"},
    }
    assert batch.columns.to_pylist()[::2] == [row, row]
    assert set(batch.columns.to_pylist()[1].values()) == {None}


def test_a_default_inside_an_optional_record_stands_only_where_the_record_is() -> None:
    inner = {"type": "record", "name": "In", "fields": [field("x", "long")]}
    aimed = {"type": "record", "name": "In", "fields": [field("x", "long"), field("y", "long", default=7)]}
    bodies = (b"\x00", b"\x02\x02", b"\x00")
    assert column(["null", inner], ["null", aimed], *bodies) == [None, {"x": 1, "y": 7}, None]


def test_a_record_with_itself_inside_can_be_left_out_to_a_depth() -> None:
    node = {"type": "record", "name": "Node", "fields": [field("v", "long"), field("next", ["null", "Node"])]}
    writer, reader = record(field("tree", node), field("n", "long")), record(field("n", "long"))

    def chain(depth: int) -> bytes:
        return b"\x02\x02" * depth + b"\x02\x00" + encode_long(depth)

    batch = compile_columnar(writer, reader).decode([chain(0), chain(2000), chain(3), b"\x02\x04", chain(20)])
    assert set(batch.errors) == {1, 3}
    assert batch.columns.column(0).to_pylist() == [0, None, 3, None, 20]


def test_what_cannot_be_read_is_refused_when_compiled() -> None:
    with pytest.raises(ResolutionError, match="field f: string is written, and cannot be read as long"):
        column("string", "long")
    with pytest.raises(ResolutionError, match="cannot be read as long"):
        column(["null", "string"], "long")
    with pytest.raises(ResolutionError, match="field g: the writer has no such field"):
        compile_columnar(record(field("f", "long")), record(field("g", "long")))
    with pytest.raises(SchemaError, match="only a record has columns"):
        compile_columnar(Schema.parse("long"))


def test_a_topic_of_several_records_is_read_as_one_of_them() -> None:
    other = {"type": "record", "name": "Other", "fields": [field("y", "string")]}
    mine = {"type": "record", "name": "Mine", "fields": [field("x", "long")]}
    batch = compile_columnar(Schema.parse([other, mine]), Schema.parse(mine)).decode(
        [b"\x02\x04", b"\x00\x02a", b"\x02\x06"]
    )
    assert set(batch.errors) == {1}
    assert batch.columns.to_pylist() == [{"x": 2}, {"x": None}, {"x": 3}]
