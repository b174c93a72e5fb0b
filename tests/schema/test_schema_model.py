from __future__ import annotations

import copy
import json
import pickle

import fastavro.schema
import pytest
from hypothesis import given, settings
from strategies import schemas

from onepipe.errors import SchemaError
from onepipe.schema import limits
from onepipe.schema.model import Schema


@settings(max_examples=100, deadline=None)
@given(schemas())
def test_a_schema_comes_back_from_its_text_a_copy_and_a_pickle(schema):
    assert Schema.parse(schema.text) == schema
    assert Schema.parse(schema.document()) == schema
    assert pickle.loads(pickle.dumps(schema)) == schema  # noqa: S301 - pickled right here
    assert copy.deepcopy(schema) == schema


@settings(max_examples=100, deadline=None)
@given(schemas())
def test_the_canonical_form_and_fingerprint_are_those_of_fastavro(schema):
    canonical = fastavro.schema.to_parsing_canonical_form(fastavro.schema.parse_schema(schema.document()))
    assert schema.canonical == canonical
    theirs = fastavro.schema.fingerprint(canonical, "CRC-64-AVRO")
    assert schema.fingerprint.to_bytes(8, "little").hex() == theirs


def test_the_fingerprints_of_the_specification():
    assert Schema.parse('"null"').fingerprint == 0x63DD24E7CC258F8A
    assert Schema.parse('"int"').fingerprint == 0x7275D51A3F395C8F


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("", "not JSON"),
        ("[1]", "not int"),
        ('"strin"', "did you mean 'string'"),
        ({"type": "record", "name": "R"}, "'fields'"),
        ({"type": "record", "name": "1R", "fields": []}, "not a name"),
        ({"type": "record", "name": "R", "fields": [{"name": "a", "type": "int"}] * 2}, "two fields"),
        ({"type": "record", "name": "R", "fields": [{"name": "a b", "type": "int"}]}, "not a field name"),
        ({"type": "enum", "name": "E", "symbols": ["A", "A"]}, "distinct"),
        ({"type": "enum", "name": "E", "symbols": ["A"], "default": "B"}, "default"),
        ({"type": "fixed", "name": "F", "size": -1}, "'size'"),
        ({"type": "fixed", "name": "F", "size": True}, "'size'"),
        ({"type": "array"}, "'items'"),
        (["int", "int"], "more than once"),
        ([["int"]], "directly hold"),
        ([], "at least one"),
        ({"type": 3}, "'type'"),
    ],
)
def test_what_is_not_avro_is_refused_with_its_reason(document, message):
    with pytest.raises(SchemaError, match=message):
        Schema.parse(document)


def test_hostile_documents_are_refused_within_limits():
    deep: object = "int"
    for _ in range(limits.MAX_DEPTH + 1):
        deep = {"type": "array", "items": deep}
    with pytest.raises(SchemaError, match="deeper"):
        Schema.parse(deep)
    with pytest.raises(SchemaError, match="not JSON"):
        Schema.parse("[" * 100_000)
    with pytest.raises(SchemaError, match="characters"):
        Schema.parse(json.dumps(["x" * limits.MAX_DOCUMENT_BYTES]))
    wide = {
        "type": "record",
        "name": "R",
        "fields": [{"name": f"f{n}", "type": "int"} for n in range(limits.MAX_NODES)],
    }
    with pytest.raises(SchemaError, match="more than"):
        Schema.parse(wide)


@pytest.mark.parametrize(
    "said",
    [
        {"doc": "\ud800"},
        {"other": ["\udfff"]},
        {"\ud800": 1},
        {"fields": [{"name": "n", "type": "int", "doc": "\ud800"}]},
        {"fields": [{"name": "n", "type": "string", "default": "\ud800"}]},
        {"fields": [{"name": "n", "type": {"type": "string", "logicalType": "\ud800"}}]},
    ],
)
def test_a_lone_surrogate_which_no_file_could_hold_is_refused_in_every_place(said):
    document = {"type": "record", "name": "R", "fields": [], **said}
    for form in (document, json.dumps(document), json.dumps(document, ensure_ascii=False)):
        with pytest.raises(SchemaError, match="a lone surrogate, which UTF-8 cannot hold"):
            Schema.parse(form)


def deep(levels):
    value = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("value", [object(), b"bytes", {1, 2}, deep(100_000)])
def test_an_attribute_that_is_no_json_is_refused(value):
    with pytest.raises(SchemaError, match="holds a value that is not JSON"):
        Schema.parse({"type": "record", "name": "R", "fields": [], "other": value})


def test_an_error_names_the_path_of_the_field():
    document = {
        "type": "record",
        "name": "R",
        "fields": [{"name": "lines", "type": {"type": "array", "items": "widget"}}],
    }
    with pytest.raises(SchemaError) as raised:
        Schema.parse(document)
    assert raised.value.field == "lines.[]"
