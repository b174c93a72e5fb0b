"""Keys: the compiled function says what `onepipe.schema.identity` says, and a key's values are found again."""

from __future__ import annotations

import datetime as dt
import enum
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from strategies import schemas, values

from onepipe.errors import DeclarationError, DecodeError, InvalidRecord, SchemaError
from onepipe.schema.identity import join, part_text, require_identity_type
from onepipe.schema.keys import compile_key, key_values
from onepipe.schema.model import Record, Schema
from onepipe.schema.values import to_base

_PROPERTY = settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))


def record(*fields: Any) -> Schema:
    return Schema.parse({"type": "record", "name": "R", "fields": [{"name": n, "type": t} for n, t in fields]})


def keyable(schema: Schema, name: str) -> bool:
    assert isinstance(schema.root, Record)
    try:
        require_identity_type(schema.resolve(schema.root.field(name).type), topic="t", field=name)
    except DeclarationError:
        return False
    return True


@_PROPERTY
@given(st.data())
def test_a_key_is_the_joined_text_of_its_values_and_gives_them_back(data: st.DataObject) -> None:
    schema = data.draw(schemas(depth=1, unions=False))
    assert isinstance(schema.root, Record)
    names = [field.name for field in schema.root.fields if keyable(schema, field.name)]
    assume(names)
    fields = data.draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
    value = data.draw(values(schema))
    nodes = [schema.resolve(schema.root.field(name).type) for name in fields]
    texts = [part_text(node, to_base(node, value[name])) for node, name in zip(nodes, fields, strict=True)]
    key = compile_key(schema, fields)(value)
    assert key == join(texts)
    assert key_values(schema, fields, key) == tuple(value[name] for name in fields)
    if "__class__" in value:
        return  # no instance can hold it
    instance = SimpleNamespace(**value)
    assert compile_key(schema, fields, classes={schema.root.name: SimpleNamespace})(instance) == key


@_PROPERTY
@given(st.binary(max_size=20))
def test_whatever_is_read_as_a_key_is_that_key(key: bytes) -> None:
    schema = record(("a", "string"), ("b", "int"), ("c", "bytes"))
    for fields in (["a"], ["b"], ["c"], ["a", "b"], ["c", "a", "b"]):
        try:
            found = key_values(schema, fields, key)
        except DecodeError:
            continue
        assert compile_key(schema, fields)(dict(zip(fields, found, strict=True))) == key


@pytest.mark.parametrize(
    ("field_type", "key"),
    [
        ("int", b"01"),
        ("int", b"2147483648"),
        ("int", b" 1"),
        ("long", b"1_0"),
        ("boolean", b"True"),
        ("bytes", b"AB"),
        ("bytes", b"a"),
        ({"type": "int", "logicalType": "date"}, b"99999999"),
        ({"type": "string", "logicalType": "uuid"}, b"12345678123456781234567812345678"),
        ({"type": "bytes", "logicalType": "decimal", "precision": 2}, b"100"),
        ({"type": "enum", "name": "E", "symbols": ["A"]}, b"B"),
        ("string", b"\xff"),
    ],
)
def test_a_key_in_another_form_is_refused(field_type: Any, key: bytes) -> None:
    with pytest.raises(DecodeError):
        key_values(record(("a", field_type)), ["a"], key)


@pytest.mark.parametrize("key", [b"a", b"a|b|c", rb"a\b|c", b"a|b\\"])
def test_a_key_of_other_parts_or_escapes_is_refused(key: bytes) -> None:
    with pytest.raises(DecodeError):
        key_values(record(("a", "string"), ("b", "string")), ["a", "b"], key)


def test_members_of_a_bound_enum_stand_as_their_symbol() -> None:
    class Colour(enum.Enum):
        RED = 1

    schema = record(("colour", {"type": "enum", "name": "C", "symbols": ["RED", "BLUE"]}), ("n", "long"))
    key = compile_key(schema, ["colour", "n"], classes={"C": Colour})
    assert key({"colour": Colour.RED, "n": -1}) == b"RED|-1"
    assert key({"colour": "BLUE", "n": -1}) == b"BLUE|-1"


def test_every_fault_of_the_keys_fields_is_listed_and_no_other() -> None:
    timestamp = {"type": "long", "logicalType": "timestamp-micros"}
    key = compile_key(record(("a", "string"), ("b", timestamp), ("c", "int"), ("d", "int")), ["a", "b", "c"])
    with pytest.raises(InvalidRecord) as refused:
        key({"a": ["|"], "b": dt.datetime(2024, 1, 1), "d": "not looked at"})  # noqa: DTZ001  # naive on purpose
    assert [(fault.field, fault.rule) for fault in refused.value.faults] == [
        ("a", "type"),
        ("b", "timezone"),
        ("c", "required"),
    ]


def test_a_default_stands_for_a_missing_field() -> None:
    fields = [{"name": "a", "type": "string", "default": "x"}, {"name": "b", "type": "int"}]
    schema = Schema.parse({"type": "record", "name": "R", "fields": fields})
    assert compile_key(schema, ["a", "b"])({"b": 1}) == b"x|1"


def test_only_fields_of_records_of_fitting_types_make_keys() -> None:
    with pytest.raises(SchemaError, match="did you mean 'name'"):
        compile_key(record(("name", "string")), ["nam"])
    with pytest.raises(DeclarationError, match="cannot identify"):
        compile_key(record(("name", "double")), ["name"])
    with pytest.raises(SchemaError, match="only records"):
        compile_key(Schema.parse("int"), ["name"])
