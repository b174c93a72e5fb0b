"""Generated source: what it says, that it is formatted and typed, and that its classes declare the same topic."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from test_codegen_roundtrip import bindable_schemas
from topic_strategies import topics

from onepipe.codegen import generate
from onepipe.declaring.binding import record_class
from onepipe.declaring.record import record_info, topic_of
from onepipe.declaring.topic import Topic
from onepipe.errors import DeclarationError, SchemaError
from onepipe.merge import latest, register_field_merge
from onepipe.schema.model import Schema

ORDER: dict[str, Any] = {
    "type": "record",
    "name": "Order",
    "namespace": "com.shop",
    "doc": "What a customer wants.\n\nOne a basket.",
    "aliases": ["Purchase"],
    "fields": [
        {"name": "id", "type": "string", "doc": "Number of the order."},
        {"name": "revision", "type": "int"},
        {"name": "created", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {
            "name": "status",
            "type": {"type": "enum", "name": "Status", "symbols": ["new", "title", "None"], "default": "new"},
            "default": "title",
        },
        {
            "name": "price",
            "type": ["null", {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}],
            "default": None,
            "onepipe": {"ge": 0, "sensitivity": ["internal"]},
        },
        {
            "name": "lines",
            "type": {
                "type": "array",
                "items": {
                    "type": "record",
                    "name": "Line",
                    "fields": [
                        {"name": "sku", "type": "string"},
                        {"name": "parent", "type": ["null", "Line"], "default": None},
                    ],
                },
            },
            "default": [],
        },
        {"name": "dt", "type": ["string", "null"], "aliases": ["old"], "order": "ignore", "x": {"y": [1, None, True]}},
        {"name": "op", "type": {"type": "string", "logicalType": "iban"}, "default": "none"},
        {
            "name": "score",
            "type": ["null", "double"],
            "onepipe": {"merge": {"policy": "latest_non_null", "by": ["created"]}},
        },
    ],
    "onepipe": {
        "version": 1,
        "topic": "shop.orders",
        "identity": ["id"],
        "merge": {"policy": "latest", "by": ["revision"]},
        "event_time": "created",
        "checks": {"some lines": "revision > 0 OR status = 'new'"},
        "owner": "team shop",
        "partition_key": ["status"],
        "audit": "named",
    },
}

SOURCE = '''\
from __future__ import annotations

import datetime as dt_
from decimal import Decimal
from enum import StrEnum
from typing import Annotated

import onepipe as op_


@op_.enumeration(default="new", namespace="com.shop")
class Status(StrEnum):
    new = "new"
    title_ = "title"
    None_ = "None"


@op_.record(namespace="com.shop")
class Line:
    sku: str
    parent: Line | None = None


@op_.record(
    topic="shop.orders",
    merge=op_.latest("revision"),
    event_time="created",
    checks={"some lines": "revision > 0 OR status = 'new'"},
    owner="team shop",
    partition_key=["status"],
    audit="named",
    namespace="com.shop",
    aliases=["Purchase"],
)
class Order:
    """What a customer wants.

    One a basket.
    """

    id: str = op_.field(identity=True, doc="Number of the order.")
    revision: Annotated[int, op_.int32]
    created: Annotated[dt_.datetime, op_.millis]
    status: Status = Status.title_
    price: Annotated[Decimal, op_.decimal(12, 2)] | None = op_.field(
        default=None,
        ge=0,
        sensitivity=["internal"],
    )
    lines: list[Line] = op_.field(factory=list)
    dt: Annotated[str | None, op_.branches("string", "null")] = op_.field(
        aliases=["old"],
        attributes={"x": {"y": [1, None, True]}, "order": "ignore"},
    )
    op: Annotated[str, op_.attributes({"logicalType": "iban"})] = "none"
    score: float | None = op_.field(merge=op_.latest_non_null("created"))
'''


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)  # our own tools


def test_source_says_all_that_the_document_says() -> None:
    topic = Topic.from_document(ORDER)
    assert generate(topic) == SOURCE
    assert topic_of(record_class(topic)) == topic
    assert topic_of(record_class(ORDER)).document() == ORDER


@settings(max_examples=60, deadline=None)
@given(topics())
def test_a_class_made_of_a_topic_declares_that_topic(topic: Topic) -> None:
    assert topic_of(record_class(topic)) == topic
    assert generate(topic) == generate(Topic.from_document(topic.document()))


def test_classes_made_of_equal_documents_are_the_same() -> None:
    made = record_class(ORDER)
    assert record_class(Schema.parse(ORDER)) is made
    assert record_class(Topic.from_document(ORDER)) is made
    assert set(record_info(made).classes) == {"com.shop.Order", "com.shop.Line", "com.shop.Status"}
    line = record_info(made).classes["com.shop.Line"]
    assert line(sku="a").parent is None


def test_classes_made_of_a_document_can_be_used_in_others() -> None:
    inner = record_class(ORDER["fields"][5]["type"]["items"])
    outer = {
        "type": "record",
        "name": "Outer",
        "fields": [{"name": "line", "type": ORDER["fields"][5]["type"]["items"]}],
    }
    assert record_info(inner).schema.document()["name"] == "Line"
    assert record_info(record_class(outer)).schema.document() == outer


@pytest.mark.parametrize("name", ["class", "None", "__x", "self"])
def test_a_field_that_no_class_can_have_is_refused(name: str) -> None:
    document = {"type": "record", "name": "R", "fields": [{"name": name, "type": "int"}]}
    with pytest.raises(DeclarationError, match="cannot be an attribute") as caught:
        generate(Schema.parse(document))
    assert caught.value.field == name


def test_only_records_become_classes() -> None:
    with pytest.raises(DeclarationError, match="only a record"):
        record_class("string")
    with pytest.raises(SchemaError):
        record_class("{")


def test_defaults_without_exact_python_form_stay_as_they_are() -> None:
    year_20000 = 568_971_820_800_000_000
    uuid = {"type": "string", "logicalType": "uuid"}
    decimal = {"type": "bytes", "logicalType": "decimal", "precision": 3, "scale": 0}
    fields = [
        {"name": "far", "type": {"type": "long", "logicalType": "timestamp-micros"}, "default": year_20000},
        {"name": "upper", "type": uuid, "default": "F" * 8 + "-0000" * 3 + "-" + "0" * 12},
        {"name": "wide", "type": decimal, "default": "\0\1"},
        {"name": "second", "type": ["null", "string"], "default": "x"},
        {"name": "itself", "type": {"type": "array", "items": "R"}, "default": []},
        {"name": "general", "type": ["long", "string", "null"], "default": 5},
    ]
    document = {"type": "record", "name": "R", "fields": fields}
    source = generate(Schema.parse(document))
    assert f"far: dt.datetime = op.field(json_default={year_20000})" in source
    assert record_info(record_class(document)).schema.document() == document


def test_names_that_python_cannot_tell_apart_are_told_apart() -> None:
    inner = {"type": "record", "name": "list", "namespace": "a", "fields": []}
    other = {"type": "record", "name": "list", "namespace": "b", "fields": [{"name": "list", "type": "a.list"}]}
    fields = [
        {"name": "Decimal", "type": inner},
        {"name": "x", "type": other},
        {"name": "y", "type": {"type": "fixed", "name": "__R_y", "size": 2}},
        {"name": "z", "type": {"type": "fixed", "name": "F", "size": 1, "team": "us"}},
        {"name": "again", "type": {"type": "array", "items": "F"}},
    ]
    document = {"type": "record", "name": "__R", "doc": "Ends in space. ", "fields": fields}
    source = generate(Schema.parse(document))
    assert "class list_:" in source
    assert "class list__:" in source
    assert record_info(record_class(document)).schema.document() == document


def test_a_default_of_a_record_that_lacks_fields_stays_as_it_is() -> None:
    inner = {"type": "record", "name": "Inner", "fields": [{"name": "n", "type": "int", "default": 1}]}
    fields = [{"name": "x", "type": inner, "default": {}}, {"name": "y", "type": "Inner", "default": {"n": 2}}]
    document = {"type": "record", "name": "R", "fields": fields}
    source = generate(Schema.parse(document))
    assert "x: Inner = op.field(json_default={})" in source
    assert "y: Inner = op.field(default=Inner(n=2))" in source
    assert record_info(record_class(document)).schema.document() == document


def test_a_plugins_policy_is_named() -> None:
    class Shortest:
        name = "shortest"

        def accepts(self, node: Any) -> bool:
            return True

        def combine(self, left: Any, right: Any) -> Any:
            return min(left, right, key=lambda text: (len(text), text))

        def sql(self, column: str) -> str:
            return f"min_by({column}, (length({column}), {column}))"

    register_field_merge(Shortest())
    fields = [
        {"name": "id", "type": "string"},
        {"name": "x", "type": "string", "onepipe": {"merge": {"policy": "shortest"}}},
    ]
    schema = Schema.parse({"type": "record", "name": "R", "fields": fields})
    topic = Topic.declare("T", schema, identity="id", merge=latest())
    assert 'x: str = op.field(merge=op.MergePolicy("shortest"))' in generate(topic)
    assert topic_of(record_class(topic)) == topic


def test_no_text_of_a_document_becomes_code() -> None:
    evil = '"""\nraise SystemExit\n"""\\'
    fields = [{"name": "x", "type": "string", "default": evil, "doc": evil, "aliases": [evil], evil: {evil: evil}}]
    document = {"type": "record", "name": "R", "doc": evil, "fields": fields, evil: evil}
    made = record_class(document)
    assert record_info(made).schema.document() == document
    assert made().x == evil


@pytest.mark.skipif(shutil.which("ruff") is None, reason="needs ruff")
def test_generated_source_is_as_formatters_leave_it(tmp_path: Path) -> None:
    @settings(max_examples=80, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(bindable_schemas)
    def write(schema: Schema) -> None:
        text = generate(schema)
        assert text == generate(schema)
        (tmp_path / f"generated_{abs(hash(schema))}.py").write_text(text)

    write()
    (tmp_path / "order.py").write_text(SOURCE)
    result = run("ruff", "format", "--isolated", "--diff", str(tmp_path))
    assert result.returncode == 0, result.stdout


@pytest.mark.slow
def test_generated_source_satisfies_the_type_checker(tmp_path: Path) -> None:
    (tmp_path / "order.py").write_text(SOURCE)
    result = run(sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", str(tmp_path / "order.py"))
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    ("type_", "default"),
    [
        ("bytes", "€"),
        ("bytes", 5),
        ({"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}, "€"),
        ({"type": "enum", "name": "Kind", "symbols": ["A"]}, "B"),
        ({"type": "array", "items": "int"}, 5),
        ({"type": "map", "values": "int"}, []),
        ({"type": "record", "name": "Inner", "fields": [{"name": "n", "type": "int"}]}, {}),
    ],
    ids=str,
)
def test_a_default_that_is_no_value_of_its_type_is_a_schema_error(type_: Any, default: Any) -> None:
    document = {"type": "record", "name": "Widget", "fields": [{"name": "x", "type": type_, "default": default}]}
    with pytest.raises(SchemaError, match=r"Widget\.x: the default"):
        generate(Schema.parse(document))


def test_an_enum_of_a_hundred_thousand_symbols_is_written_in_one_pass() -> None:
    symbols = [f"S{number}" for number in range(100_000)]
    kind = {"type": "enum", "name": "Kind", "symbols": symbols}
    source = generate(Schema.parse({"type": "record", "name": "Widget", "fields": [{"name": "x", "type": kind}]}))
    assert all(f'    {symbol} = "{symbol}"' in source for symbol in symbols[::10_000])
    assert source.count("\n    S") == len(symbols)
