"""Schema resolution, case by case of the specification."""

from __future__ import annotations

import datetime as dt
import enum
from types import SimpleNamespace
from typing import Any

import pytest

from onepipe.errors import DecodeError, ResolutionError, SchemaError
from onepipe.schema.compatibility import can_read
from onepipe.schema.decode import compile_decoder
from onepipe.schema.encode import compile_encoder
from onepipe.schema.model import Schema


def record(*fields: Any, name: str = "R", **more: Any) -> Any:
    return {"type": "record", "name": name, "fields": list(fields), **more}


def field(name: str, field_type: Any, **more: Any) -> Any:
    return {"name": name, "type": field_type, **more}


def read(writer: Any, reader: Any, value: Any, **options: Any) -> Any:
    written, wanted = Schema.parse(writer), Schema.parse(reader)
    return compile_decoder(written, reader=wanted, **options)(compile_encoder(written)(value), 0)


def enum_of(*symbols: str, name: str = "E", **more: Any) -> Any:
    return {"type": "enum", "name": name, "symbols": list(symbols), **more}


@pytest.mark.parametrize(
    ("writer", "reader", "value", "expected"),
    [
        ("int", "long", 5, 5),
        ("int", "float", 5, 5.0),
        ("int", "double", 5, 5.0),
        ("long", "float", 5, 5.0),
        ("long", "double", 5, 5.0),
        ("float", "double", 0.5, 0.5),
        ("string", "bytes", "é", b"\xc3\xa9"),
        ("bytes", "string", b"\xc3\xa9", "é"),
        ("int", ["null", "long"], 5, 5),
        ("int", ["double", "int"], 5, 5),
        (["null", "int"], "int", 5, 5),
        (["null", "int"], ["string", "double", "null"], None, None),
        (["null", "int"], ["string", "double", "null"], 5, 5.0),
        ({"type": "array", "items": "int"}, {"type": "array", "items": "double"}, [1], [1.0]),
        ({"type": "map", "values": "int"}, {"type": "map", "values": ["null", "long"]}, {"a": 1}, {"a": 1}),
        (enum_of("A", "B"), enum_of("B", "A"), "A", "A"),
        (enum_of("A", "B", "C"), enum_of("A", "X", default="X"), "C", "X"),
        (enum_of("A", name="a.E"), enum_of("A", name="b.E"), "A", "A"),
        (enum_of("A", name="Old"), enum_of("A", name="E", aliases=["Old"]), "A", "A"),
        (
            {"type": "fixed", "name": "Old", "size": 1},
            {"type": "fixed", "name": "F", "aliases": ["Old"], "size": 1},
            b"x",
            b"x",
        ),
        ({"type": "int", "logicalType": "date"}, "int", dt.date(1970, 1, 2), 1),
        ("int", {"type": "int", "logicalType": "date"}, 1, dt.date(1970, 1, 2)),
        ("int", {"type": "long", "logicalType": "timestamp-millis"}, 1, dt.datetime(1970, 1, 1, 0, 0, 0, 1000, dt.UTC)),
    ],
)
def test_types_are_read_as_the_specification_says(writer: Any, reader: Any, value: Any, expected: Any) -> None:
    found = read(writer, reader, value)
    assert found == expected
    assert type(found) is type(expected)


def test_fields_are_matched_by_name_then_alias_and_come_in_the_readers_order() -> None:
    writer = record(field("a", "int"), field("b", "string"), field("gone", {"type": "array", "items": "string"}))
    reader = record(field("new", "string", aliases=["b"]), field("a", "long"))
    assert list(read(writer, reader, {"a": 1, "b": "x", "gone": ["y"]}).items()) == [("new", "x"), ("a", 1)]


def test_missing_fields_take_the_readers_default() -> None:
    inner = record(field("x", "int"), field("y", "bytes", default="\u00ff"), name="Inner")
    reader = record(
        field("a", "bytes", default="\u00e9"),
        field("b", ["null", "int"], default=None),
        field("c", ["int", "string"], default="text"),
        field("d", inner, default={"x": 1}),
        field("e", {"type": "array", "items": "Inner"}, default=[{"x": 2, "y": "a"}]),
        field("f", {"type": "int", "logicalType": "date"}, default=1),
        field("g", {"type": "fixed", "name": "F", "size": 1}, default="\u0000"),
        field("h", "double", default=1),
    )
    expected = {
        "a": b"\xe9",
        "b": None,
        "c": "text",
        "d": {"x": 1, "y": b"\xff"},
        "e": [{"x": 2, "y": b"a"}],
        "f": dt.date(1970, 1, 2),
        "g": b"\0",
        "h": 1.0,
    }
    assert read(record(), reader, {}) == expected


def test_a_default_that_can_be_changed_belongs_to_one_record() -> None:
    reader = record(field("a", {"type": "map", "values": "int"}, default={"k": 1}))
    decode = compile_decoder(Schema.parse(record()), reader=Schema.parse(reader))
    decode(b"", 0)["a"]["k"] = 2
    assert decode(b"", 0) == {"a": {"k": 1}}


def test_records_are_matched_by_unqualified_name_or_alias() -> None:
    writer = record(field("a", "int"), name="x.R")
    assert read(writer, record(field("a", "int"), name="y.R"), {"a": 1}) == {"a": 1}
    assert read(writer, record(field("a", "int"), name="S", aliases=["x.R"]), {"a": 1}) == {"a": 1}
    with pytest.raises(ResolutionError, match="aliases of S"):
        read(writer, record(field("a", "int"), name="S"), {"a": 1})


def test_recursive_records_are_resolved() -> None:
    writer = record(field("v", "int"), field("next", ["null", "R"]))
    reader = record(field("next", ["R", "null"]), field("v", "double"), field("tag", "string", default="t"))
    assert read(writer, reader, {"v": 1, "next": {"v": 2, "next": None}}) == {
        "next": {"next": None, "v": 2.0, "tag": "t"},
        "v": 1.0,
        "tag": "t",
    }


def test_a_branch_that_the_reader_cannot_read_is_refused_when_it_comes() -> None:
    writer, reader = record(field("a", ["int", "string"])), record(field("a", "long"))
    assert read(writer, reader, {"a": 1}) == {"a": 1}
    with pytest.raises(DecodeError, match="cannot be read as long") as refused:
        read(writer, reader, {"a": "x"})
    assert refused.value.field == "a"


def test_a_symbol_that_the_reader_does_not_know_is_refused_when_it_comes() -> None:
    writer, reader = record(field("a", enum_of("A", "B"))), record(field("a", enum_of("B")))
    assert read(writer, reader, {"a": "B"}) == {"a": "B"}
    with pytest.raises(DecodeError, match="does not know"):
        read(writer, reader, {"a": "A"})


def test_bytes_that_are_not_text_are_refused_when_they_come() -> None:
    with pytest.raises(DecodeError, match="UTF-8"):
        read("bytes", "string", b"\xff")


def test_fields_that_the_reader_has_not_are_still_checked() -> None:
    writer = Schema.parse(record(field("a", "string"), field("b", "int")))
    decode = compile_decoder(writer, reader=Schema.parse(record(field("b", "int"))))
    with pytest.raises(DecodeError) as refused:
        decode(b"\x02\xff\x02", 0)
    assert refused.value.field == "a"


@pytest.mark.parametrize(
    ("writer", "reader", "path"),
    [
        ("long", "int", "a"),
        ("double", "float", "a"),
        ("string", "int", "a"),
        ("null", "int", "a"),
        (["null", "string"], "int", "a"),
        ("int", ["null", "string"], "a"),
        ({"type": "array", "items": "string"}, {"type": "array", "items": "int"}, "a[]"),
        ({"type": "map", "values": "string"}, {"type": "map", "values": "int"}, "a{}"),
        ({"type": "map", "values": "string"}, {"type": "array", "items": "string"}, "a"),
        (enum_of("A"), enum_of("B"), "a"),
        (enum_of("A"), enum_of("A", name="Other"), "a"),
        ({"type": "fixed", "name": "F", "size": 1}, {"type": "fixed", "name": "F", "size": 2}, "a"),
        ({"type": "long", "logicalType": "timestamp-millis"}, {"type": "long", "logicalType": "timestamp-micros"}, "a"),
        (
            {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2},
            {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 1},
            "a",
        ),
        ({"type": "bytes", "logicalType": "decimal", "precision": 4}, "string", "a"),
        (record(field("x", "int"), name="I"), record(field("y", "int"), name="I"), "a.y"),
        (record(field("x", "int"), name="I"), record(field("y", "int", default="z"), name="I"), "a.y"),
    ],
)
def test_what_never_resolves_is_refused_with_path_and_mend(writer: Any, reader: Any, path: str) -> None:
    pair = Schema.parse(record(field("a", writer))), Schema.parse(record(field("a", reader)))
    with pytest.raises(ResolutionError) as refused:
        compile_decoder(pair[0], reader=pair[1])
    assert refused.value.field == path
    assert refused.value.remedy
    assert can_read(pair[1], pair[0])


def test_a_record_that_never_resolves_is_refused_wherever_it_was_planned() -> None:
    broken = record(field("c", ["null", record(field("a", ["null", "A"]), name="C")]), field("x", "string"), name="A")
    mended = record(field("c", ["null", record(field("a", ["null", "A"]), name="C")]), field("x", "int"), name="A")
    writer = record(field("first", ["null", broken]), field("second", ["null", "C"]))
    reader = record(field("first", ["null", mended]), field("second", ["null", "C"]))
    assert read(writer, reader, {"first": None, "second": {"a": None}}) == {"first": None, "second": {"a": None}}
    for value in (
        {"first": {"c": None, "x": ""}, "second": None},
        {"first": None, "second": {"a": {"c": None, "x": ""}}},
    ):
        with pytest.raises(DecodeError, match="cannot be read as int"):
            read(writer, reader, value)


def test_classes_are_the_readers() -> None:
    class Colour(enum.Enum):
        RED = 1
        BLUE = 2

    writer = record(field("colour", enum_of("RED", "GREEN", name="Old")), name="Before")
    colour = enum_of("RED", "BLUE", name="Colour", aliases=["Old"], default="BLUE")
    reader = record(field("colour", colour), field("again", "Colour", default="RED"), name="After", aliases=["Before"])
    classes = {"After": SimpleNamespace, "Colour": Colour}
    found = read(writer, reader, {"colour": "GREEN"}, classes=classes)
    assert found == SimpleNamespace(colour=Colour.BLUE, again=Colour.RED)


def test_a_default_that_is_no_member_of_the_class_is_found_when_the_decoder_is_compiled() -> None:
    class Colour(enum.Enum):
        RED = 1

    reader = Schema.parse(record(field("a", enum_of("RED", "BLUE"), default="BLUE")))
    with pytest.raises(SchemaError, match="no member of Colour"):
        compile_decoder(Schema.parse(record()), reader=reader, classes={"E": Colour})


def test_a_default_of_a_class_is_made_anew_for_each_record() -> None:
    class Plain:
        def __init__(self, x: int) -> None:
            self.x = x

    inner = record(field("x", "int"), name="Inner")
    reader = Schema.parse(record(field("a", inner, default={"x": 1})))
    decode = compile_decoder(Schema.parse(record()), reader=reader, classes={"Inner": Plain})
    assert decode(b"", 0)["a"] is not decode(b"", 0)["a"]


def test_a_chain_of_types_too_long_to_follow_is_refused() -> None:
    links = [field("f0", record(name="R0"))]
    links += [field(f"f{n}", record(field("x", f"R{n - 1}"), name=f"R{n}")) for n in range(1, 2000)]
    others = [{**link, "name": f"g{n}"} for n, link in enumerate(links[:-1])]
    schema = Schema.parse(record(*links))
    assert compile_decoder(schema)
    assert compile_encoder(schema)
    reader = Schema.parse(record(*others, links[-1]))
    with pytest.raises(ResolutionError, match="too long a chain"):
        compile_decoder(schema, reader=reader)
