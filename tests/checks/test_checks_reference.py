"""The reference page of checks says what is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from onepipe.checks import limits, parse_check
from onepipe.checks.functions import FUNCTIONS
from onepipe.checks.parser import COMPARISONS
from onepipe.checks.tokens import KEYWORDS
from onepipe.declaring.constraints import constraint_checks
from onepipe.errors import CheckError
from onepipe.schema.model import Record, Schema

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "checks.md").read_text(encoding="utf-8")
SCHEMA = Schema.parse(
    {
        "type": "record",
        "name": "Widget",
        "fields": [
            {"name": "sid", "type": "string"},
            {"name": "status", "type": {"type": "enum", "name": "Status", "symbols": ["queued", "done", "lost"]}},
            {"name": "created", "type": {"type": "long", "logicalType": "timestamp-micros"}},
            {"name": "updated", "type": {"type": "long", "logicalType": "timestamp-micros"}},
            {
                "name": "price",
                "type": ["null", {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}],
                "onepipe": {"ge": 0},
            },
            {"name": "quantity", "type": "int"},
            {"name": "weight", "type": ["null", "double"]},
            {"name": "tags", "type": {"type": "array", "items": "string"}},
            {
                "name": "address",
                "type": [
                    "null",
                    {"type": "record", "name": "Address", "fields": [{"name": "city", "type": "string"}]},
                ],
            },
        ],
    }
)


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    return found[1]


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


@pytest.mark.parametrize("text", block("check").splitlines())
def test_every_example_is_a_check(text: str) -> None:
    assert parse_check(text, SCHEMA).sql()


def test_the_error_shown_is_the_error_raised() -> None:
    with pytest.raises(CheckError) as caught:
        parse_check("updatd >= created", SCHEMA, name="updated after created", topic="Widgets")
    assert str(caught.value) == block("text").rstrip("\n")


def test_the_table_of_functions_is_complete_and_word_for_word() -> None:
    rows = re.findall(r"^\| `(.+?)` \| (.+) \|$", section("Functions"), re.MULTILINE)
    forms = {form.replace(r"\|", "|"): meaning.removeprefix("whether it is ") for form, meaning in rows}
    assert forms == {function.form: function.meaning for function in FUNCTIONS.values()}


def test_the_grammar_names_every_keyword_and_comparison() -> None:
    words = set(re.findall(r'"([^" ]+)"', block("ebnf")))
    assert words >= KEYWORDS | COMPARISONS
    assert {word for word in words if word.isalpha() and word.isupper()} == KEYWORDS | {
        "TIMESTAMP",
        "DATE",
        "TIME",
        "E",
    }


def test_the_limits_are_those_enforced() -> None:
    grammar, patterns, meaning = section("Grammar"), section("Regular expressions"), section("Meaning")
    assert f"at most {limits.MAX_LENGTH} characters and {limits.MAX_NODES} parts" in grammar
    assert f"nested at most {limits.MAX_DEPTH} deep" in grammar
    assert f"at most {limits.MAX_PATTERN_POSITIONS} characters" in patterns
    assert f"more than {limits.MAX_DIGITS} is refused" in meaning


def test_constraints_become_the_checks_shown() -> None:
    assert isinstance(SCHEMA.root, Record)
    assert constraint_checks(SCHEMA.root) == {"price ge 0": "price >= 0"}
    assert "| `price >= 0` |" in section("Constraints of fields")
