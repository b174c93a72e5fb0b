"""What the grammar takes and refuses, and how a refusal points at its place."""

from __future__ import annotations

import pytest
from check_cases import SCHEMA, checks
from hypothesis import given, settings
from hypothesis import strategies as st

from onepipe.checks import limits, parse_check
from onepipe.errors import CheckError, DeclarationError
from onepipe.schema.model import Schema


def fault(text: str) -> tuple[str, int]:
    """The message of a refused check, and the column its caret points at."""
    with pytest.raises(CheckError) as caught:
        parse_check(text, SCHEMA)
    message, _, caret = caught.value.message.rsplit("\n", 2)
    assert caret.endswith("^")
    assert caret.strip() == "^"
    return message, len(caret) - 3


def test_a_refusal_shows_the_text_with_a_caret_under_the_place() -> None:
    with pytest.raises(CheckError) as caught:
        parse_check("tick >= 0 AND updatd > 3", SCHEMA, name="fresh", topic="Widgets")
    assert str(caught.value).startswith("topic Widgets: check 'fresh': ")
    assert isinstance(caught.value, DeclarationError)


def test_of_a_text_of_several_lines_the_faulty_one_is_shown() -> None:
    with pytest.raises(CheckError) as caught:
        parse_check("b AND\n  lost_field\n OR b", SCHEMA)
    assert caught.value.message.endswith("\n    lost_field\n    ^")


@pytest.mark.parametrize(
    ("text", "says", "at"),
    [
        ("", "empty", 0),
        ("   ", "empty", 0),
        ("b AND", "the end", 5),
        ("b b", "an operator or the end is expected, not 'b'", 2),
        ("(b", "')' is expected", 2),
        ("b; DROP TABLE x", "one expression", 1),
        ("b -- comment", "no comments", 2),
        ("b /* comment */", "no comments", 2),
        ("s = 'open", "not closed", 4),
        ('"s', "not closed", 0),
        ("b & b", "write AND", 2),
        ("b || b", "write OR", 2),
        ("!b", "write NOT", 0),
        ("i = 1 = b", "do not chain", 6),
        ("i < 1 < 2", "do not chain", 6),
        ("i IS NULL IS NULL", "do not chain", 10),
        ("i = NOT b", "NOT cannot stand here", 4),
        ("i IS 5", "'NULL' is expected", 5),
        ("i NOT = 5", "followed by IN or BETWEEN", 6),
        ("i NOT", "followed by IN or BETWEEN", 5),
        ("i IN ()", "is expected, not ')'", 6),
        ("i IN (1, l)", "literals only", 9),
        ("i IN (1, NULL)", "NULL is not a value", 9),
        ("i = NULL", "write IS NULL", 4),
        ("i = 1x", "not a number", 4),
        ("i = 1.2.3", "not a number", 4),
        ("i = $1", "outside the grammar", 4),
        ("i = ?", "outside the grammar", 4),
        ("s = 'a\0'", "U+0000", 6),
        ("s = '\ud800'", "U+D800", 5),
        ("SELECT 1", "an operator or the end is expected", 7),
        ("CASE WHEN b THEN b END", "an operator or the end is expected", 5),
        ("now() > ts", "unknown function 'now'", 0),
        ("lenght(s) > 1", "did you mean 'length'", 0),
        ("length(s, s) > 1", "write length(text", 0),
        ("coalesce(b)", "write coalesce(a, b, …)", 0),
        ("length(s > 1", "',' is expected, not the end", 12),
        ("sid = 5", "unknown field 'sid'", 0),
        ("r.kk = 1", "did you mean 'k'", 2),
        ("r.k.x = 1", "'k' is an integer, which has no fields", 4),
        ("r. = 1", "a field name is expected", 3),
        ('s = "open"', "single quotes", 4),
        ("e = 'qeued'", "did you mean 'queued'", 4),
        ("TRUE", "reads no field", 0),
        ("1 = 1", "reads no field", 2),
    ],
)
def test_what_is_outside_the_grammar_is_refused_at_its_place(text: str, says: str, at: int) -> None:
    message, column = fault(text)
    assert says in message
    assert column == at


@pytest.mark.parametrize(
    "text",
    [
        "b",
        "NOT b",
        "not NOT b",
        "b OR b_o",
        "i between - 1 and 1",
        "i+1>l-2*3%4",
        '"i" = 1 AND "r"."k" = 2',
        "s = 'it''s'",
        "d > .5 AND d < 5. AND d <> 1e-3",
        "ts > TIMESTAMP '2013-01-01 00:00Z' and day = DATE'2013-01-01' and hour < time '12:30'",
        "u = '01234567-89AB-cdef-0123-456789abcdef'",
        "(((b)))",
        "b = (i > 1)",
        "coalesce(i_o, l_o, 0) >= 0",
        "a IS NULL OR r_o IS NOT NULL",
        "LENGTH(s) > 1 AND Lower(s) = s",
    ],
)
def test_what_the_grammar_has_is_taken(text: str) -> None:
    assert parse_check(text, SCHEMA).text == text


def test_operators_bind_as_in_sql() -> None:
    pairs = [
        ("NOT b AND b_o OR b", "((NOT b) AND b_o) OR b"),
        ("NOT i = 1", "NOT (i = 1)"),
        ("i + l * 2 - 1 > 0", "((i + (l * 2)) - 1) > 0"),
        ("- i * 2 < 0", "((- i) * 2) < 0"),
        ("i - 1 - 2 > 0", "((i - 1) - 2) > 0"),
        ("b OR b_o AND b", "b OR (b_o AND b)"),
        ("i BETWEEN 1 AND 2 AND b", "(i BETWEEN 1 AND 2) AND b"),
    ]
    for written, meant in pairs:
        assert parse_check(written, SCHEMA).expression == parse_check(meant, SCHEMA).expression


def test_a_field_named_like_a_keyword_or_literal_word_is_found() -> None:
    fields = [{"name": name, "type": "long"} for name in ("and", "date", "timestamp", "length", "null")]
    schema = Schema.parse({"type": "record", "name": "R", "fields": fields})
    check = parse_check('"and" > date AND timestamp > length AND "null" IS NOT NULL', schema)
    assert check.fields == ("and", "date", "timestamp", "length", "null")


def test_length_depth_and_size_are_bounded() -> None:
    assert "characters" in fault("b OR " * limits.MAX_LENGTH)[0]
    assert "nested deeper" in fault("(" * 100 + "b" + ")" * 100)[0]
    assert "nested deeper" in fault("NOT " * 100 + "b")[0]
    assert "nested deeper" in fault("i > " + "1 + " * 100 + "1")[0]
    assert "more than" in fault(" OR ".join(["b"] * 700))[0]
    parse_check(" OR ".join(["b"] * 400), SCHEMA)


def test_the_deepest_check_allowed_compiles() -> None:
    depth = limits.MAX_DEPTH - 3
    for text in (
        "NOT (" * (depth // 2) + "b_o" + ")" * (depth // 2),
        "d_o > " + "coalesce(d_o / " * (depth // 2) + "1" + ", d)" * (depth // 2),
        "(b_o = " * (depth // 2) + "b_o" + ")" * (depth // 2),
    ):
        check = parse_check(text, SCHEMA)
        record = dict.fromkeys(check.fields, None)
        assert check.evaluate({**record, "d": 1.0}) is None


def test_a_schema_that_is_no_record_has_no_checks() -> None:
    with pytest.raises(CheckError, match="not one"):
        parse_check("b", Schema.parse('"string"'))


@pytest.mark.slow
@given(st.text(st.sampled_from("bils_o.'\"()=<>!+-*/%, 01eANDORNOTISNULLINBETWEEN\n\0ä"), max_size=40) | checks())
@settings(max_examples=400, deadline=None)
def test_any_text_is_parsed_or_refused_as_a_check_error(text: str) -> None:
    try:
        parse_check(text, SCHEMA)
    except CheckError as error:
        assert "\n" in error.message  # noqa: PT017  the error is one of two right outcomes


@pytest.mark.slow
@given(checks(), st.integers(0, 200), st.sampled_from(["", "'", '"', "(", ")", "AND", " 9", ".", "--", ";", "\\"]))
@settings(max_examples=200, deadline=None)
def test_a_damaged_check_is_parsed_or_refused_as_a_check_error(text: str, at: int, damage: str) -> None:
    try:
        parse_check(text[:at] + damage + text[at + 1 :], SCHEMA)
    except CheckError as error:
        assert "\n" in error.message  # noqa: PT017  the error is one of two right outcomes
