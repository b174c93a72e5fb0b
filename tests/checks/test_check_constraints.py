"""Field constraints become checks; a constraint its field's type has not is refused by name."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import pytest

from onepipe.checks import parse_check
from onepipe.declaring.constraints import constraint_checks, topic_checks
from onepipe.declaring.topic import Topic
from onepipe.errors import CheckError, DeclarationError
from onepipe.schema.model import Record, Schema


def schema_of(kind: Any, **constraints: Any) -> Schema:
    field = {"name": "x", "type": kind, "onepipe": constraints}
    return Schema.parse({"type": "record", "name": "R", "fields": [field]})


def texts(kind: Any, **constraints: Any) -> dict[str, str]:
    root = schema_of(kind, **constraints).root
    assert isinstance(root, Record)
    return dict(constraint_checks(root))


def logical(base: str, name: str, **rest: int) -> dict[str, Any]:
    return {"type": base, "logicalType": name, **rest}


DECIMAL = logical("bytes", "decimal", precision=12, scale=2)


@pytest.mark.parametrize(
    ("kind", "constraints", "expected"),
    [
        ("long", {"ge": 0}, {"x ge 0": "x >= 0"}),
        (["null", "int"], {"gt": -1, "lt": 9}, {"x gt -1": "x > -1", "x lt 9": "x < 9"}),
        ("double", {"le": 0.5}, {"x le 0.5": "x <= 0.5"}),
        ("double", {"ge": "0.10"}, {"x ge 0.10": "x >= 0.10"}),
        (DECIMAL, {"ge": 0}, {"x ge 0": "x >= 0"}),
        (logical("bytes", "decimal", precision=20, scale=10), {"ge": 1e-7}, {"x ge 1e-07": "x >= 0.0000001"}),
        ("double", {"ge": 1e-7}, {"x ge 1e-07": "x >= 1e-07"}),
        (DECIMAL, {"ge": "-1.50"}, {"x ge -1.50": "x >= -1.50"}),
        (logical("int", "date"), {"ge": "2013-01-31"}, {"x ge 2013-01-31": "x >= DATE '2013-01-31'"}),
        (
            logical("long", "timestamp-micros"),
            {"lt": "2013-01-31 00:00Z"},
            {"x lt 2013-01-31 00:00Z": "x < TIMESTAMP '2013-01-31 00:00Z'"},
        ),
        (logical("long", "time-micros"), {"le": "12:00"}, {"x le 12:00": "x <= TIME '12:00'"}),
        (
            "string",
            {"min_length": 1, "max_length": 3},
            {"x min_length 1": "length(x) >= 1", "x max_length 3": "length(x) <= 3"},
        ),
        ("bytes", {"max_length": 3}, {"x max_length 3": "length(x) <= 3"}),
        ({"type": "array", "items": "long"}, {"min_length": 1}, {"x min_length 1": "length(x) >= 1"}),
        ("string", {"pattern": "[a-z']+"}, {"x pattern [a-z']+": "matches(x, '[a-z'']+')"}),
        ("string", {"ge": "a"}, {"x ge a": "x >= 'a'"}),
    ],
)
def test_a_constraint_is_a_check(kind: Any, constraints: dict[str, Any], expected: dict[str, str]) -> None:
    found = texts(kind, **constraints)
    assert found == expected
    for text in found.values():
        parse_check(text, schema_of(kind))


@pytest.mark.parametrize(
    ("kind", "constraints"),
    [
        ("string", {"ge": 0}),
        ("long", {"ge": "abc"}),
        ("long", {"ge": "NaN"}),
        ("double", {"ge": math.nan}),
        ("double", {"le": math.inf}),
        ("long", {"ge": True}),
        ("long", {"ge": None}),
        ("long", {"min_length": 1}),
        ("string", {"min_length": "1"}),
        ("string", {"min_length": -1}),
        ("string", {"min_length": True}),
        ("string", {"pattern": "("}),
        ("string", {"pattern": 5}),
        ("long", {"pattern": "a"}),
        ("boolean", {"ge": 0}),
        ("boolean", {"ge": "x"}),
        (DECIMAL, {"ge": 1e40}),
        (logical("int", "date"), {"ge": "2013-02-30"}),
        (logical("int", "date"), {"ge": 5}),
        (logical("long", "timestamp-micros"), {"ge": "2013-01-31 00:00"}),
        ({"type": "map", "values": "long"}, {"max_length": 5}),
        (["string", "long"], {"ge": 5}),
    ],
)
def test_a_constraint_that_its_field_cannot_have_is_refused_by_name(kind: Any, constraints: dict[str, Any]) -> None:
    with pytest.raises(DeclarationError) as caught:
        texts(kind, **constraints)
    assert caught.value.field == "x"


def test_a_bound_refuses_nan_and_lets_null_pass() -> None:
    (text,) = texts(["null", "double"], ge=0).values()
    check = parse_check(text, schema_of(["null", "double"]))
    assert check.evaluate({"x": math.nan}) is False
    assert check.evaluate({"x": None}) is None


def test_a_type_used_by_two_fields_is_found() -> None:
    status = {"type": "enum", "name": "Status", "symbols": ["a", "b"]}
    fields = [{"name": "one", "type": status}, {"name": "two", "type": "Status", "onepipe": {"pattern": "a|b"}}]
    root = Schema.parse({"type": "record", "name": "R", "fields": fields}).root
    assert isinstance(root, Record)
    assert constraint_checks(root) == {"two pattern a|b": "matches(two, 'a|b')"}


def test_a_topics_checks_are_its_constraints_then_its_own() -> None:
    schema = schema_of(DECIMAL, ge="0.50")
    topic = Topic.declare("T", schema, checks={"x ge 0.50": "x <= 9", "small": "x < 5"})
    found = topic_checks(topic)
    assert [(check.name, check.text) for check in found] == [
        ("x ge 0.50", "x >= 0.50"),
        ("x ge 0.50", "x <= 9"),
        ("small", "x < 5"),
    ]
    assert [check.evaluate({"x": Decimal("0.25")}) for check in found] == [False, True, True]


def test_a_topics_check_outside_the_grammar_names_topic_and_check() -> None:
    with pytest.raises(CheckError, match=r"topic T: check 'odd': unknown field 'y'"):
        Topic.declare("T", schema_of("long"), checks={"odd": "y > 1"})
