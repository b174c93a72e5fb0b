"""The page on compatibility says all levels, words and kinds there are, and its example is what is said."""

from __future__ import annotations

from pathlib import Path

from onepipe.declaring.changes import WORDS
from onepipe.errors import Incompatible
from onepipe.schema.compatibility import Kind, Level, check
from onepipe.schema.model import Schema

PAGE = (Path(__file__).parents[2] / "docs/reference/compatibility.md").read_text(encoding="utf-8")


def test_the_page_names_every_level_word_and_kind():
    for name in (*Level, *WORDS.values(), *Kind):
        assert f"`{name}`" in PAGE


def test_the_pages_example_is_what_a_refusal_says():
    def order(sku):
        line = {"type": "record", "name": "Line", "fields": [{"name": "sku", "type": sku}]}
        lines = {"name": "lines", "type": {"type": "array", "items": line}}
        return Schema.parse({"type": "record", "name": "Order", "fields": [lines]})

    problems = check(Level.BACKWARD, order("int"), [order("string")], ["version 3"])
    said = str(Incompatible([str(problem) for problem in problems], topic="Widgets"))
    assert said in " ".join(PAGE.split())
