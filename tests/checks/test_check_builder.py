"""Expressions built from Python operators give the text of checks."""

from __future__ import annotations

import datetime as dt
import enum
import math
import uuid
from decimal import Decimal
from typing import Any

import pytest
from check_cases import SCHEMA
from hypothesis import given
from hypothesis import strategies as st

from onepipe.checks import Expression, col, lit, parse_check
from onepipe.errors import CheckError

b, d, e, i, m, s = (col(name) for name in ("b", "d", "e", "i", "m", "s"))


@pytest.mark.parametrize(
    ("built", "text"),
    [
        (col("ts") >= col("tm"), "ts >= tm"),
        (i == 5, "i = 5"),
        (5 < i, "i > 5"),  # noqa: SIM300  a value on the left is what is proved
        (i != -5, "i <> -5"),
        ((i > 0) & (i < 9), "i > 0 AND i < 9"),
        (b | (i > 0) & ~b, "b OR i > 0 AND NOT b"),
        ((b | (i > 0)) & b, "(b OR i > 0) AND b"),
        (~(b & b), "NOT (b AND b)"),
        (~~b, "NOT NOT b"),
        ((i > 0) == b, "(i > 0) = b"),
        ((~b) == b, "(NOT b) = b"),
        (i - (col("l") - 1) > 2 * i, "i - (l - 1) > 2 * i"),
        ((i + 1) * 2 % 3 <= i / 4, "(i + 1) * 2 % 3 <= i / 4"),
        (-(i + 1) < -i, "-(i + 1) < -i"),
        (-(-i) < 3 - i, "-(-i) < 3 - i"),  # noqa: B002  two signs are what is proved
        (1 + i > 7 % i, "1 + i > 7 % i"),
        (1 / i > 0.5, "1 / i > 0.5"),
        (lit(-1) * -i > i, "-1 * -i > i"),
        (i.is_null() | s.is_not_null(), "i IS NULL OR s IS NOT NULL"),
        ((i > 1).is_null(), "(i > 1) IS NULL"),
        (i.between(1, i + 1), "i BETWEEN 1 AND i + 1"),
        (~i.between(1, 2), "NOT i BETWEEN 1 AND 2"),
        (e.is_in("queued", "done"), "e IN ('queued', 'done')"),
        (s.length() > 1, "length(s) > 1"),
        (s.matches("[a-z]'+") & s.starts_with("a"), "matches(s, '[a-z]''+') AND starts_with(s, 'a')"),
        (s.lower() == s.upper(), "lower(s) = upper(s)"),
        (d.is_finite() & (abs(d) < 1e300), "isfinite(d) AND abs(d) < 1e+300"),
        (col("i_o").coalesce(i, 0) > 0, "coalesce(i_o, i, 0) > 0"),
        (col("r.k") > 1, "r.k > 1"),
        (m >= Decimal("1E+2"), "m >= 100"),
        (col("day") >= dt.date(2013, 1, 31), "day >= DATE '2013-01-31'"),
        (col("hour") >= dt.time(12, 30), "hour >= TIME '12:30:00'"),
        (
            col("ts") >= dt.datetime(2013, 1, 31, 1, tzinfo=dt.timezone(dt.timedelta(hours=2))),
            "ts >= TIMESTAMP '2013-01-30 23:00:00Z'",
        ),
        (col("lt") >= dt.datetime(2013, 1, 31, 1), "lt >= TIMESTAMP '2013-01-31 01:00:00'"),  # noqa: DTZ001  local
        (
            col("u") == uuid.UUID("01234567-89ab-cdef-0123-456789abcdef"),
            "u = '01234567-89ab-cdef-0123-456789abcdef'",
        ),
        (b == True, "b = TRUE"),  # noqa: E712  an expression, not a truth value
    ],
)
def test_operators_build_the_text_of_a_check(built: Expression, text: str) -> None:
    assert str(built) == text
    parse_check(text, SCHEMA)


def test_words_of_the_grammar_are_quoted_as_names() -> None:
    assert str(col("and")) == '"and"'
    assert str(col("r.null")) == 'r."null"'
    assert str(col('odd "name"')) == '"odd ""name"""'


def test_an_enums_member_is_its_symbol() -> None:
    class Status(enum.Enum):
        queued = "queued"
        done = "done"

    assert str(e == Status.done) == "e = 'done'"


def test_an_expression_has_no_truth_value_and_says_what_to_write() -> None:
    for ask in (lambda: bool(i > 1), lambda: b and b, lambda: not b, lambda: 1 < i < 5, lambda: i in (1, 2)):
        with pytest.raises(CheckError, match=r"join by & and \|, negate by ~"):
            ask()


@pytest.mark.parametrize("value", [None, math.nan, math.inf, b"bytes", [1], Decimal("NaN")])
def test_what_no_literal_stands_for_is_refused(value: Any) -> None:
    with pytest.raises(CheckError, match="no literal stands for"):
        lit(value)


def test_a_name_without_letters_and_an_empty_list_are_refused() -> None:
    for name in ("", "a..b", "."):
        with pytest.raises(CheckError, match="not the name of a field"):
            col(name)
    with pytest.raises(CheckError, match="needs a value"):
        i.is_in()


_literals = {
    "s": st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0")),
    "l": st.integers(-(1 << 63), (1 << 63) - 1),
    "d": st.floats(allow_nan=False, allow_infinity=False),
    "m": st.decimals(-(10**9), 10**9, places=2),
    "day": st.dates(),
    "tick": st.times(),
    "ts": st.datetimes(timezones=st.just(dt.UTC)),
    "lt": st.datetimes(),
    "u": st.uuids(),
    "b": st.booleans(),
}


@given(st.sampled_from(sorted(_literals)).flatmap(lambda name: st.tuples(st.just(name), _literals[name])))
def test_a_value_equals_the_literal_that_stands_for_it(pair: tuple[str, Any]) -> None:
    name, value = pair
    assert parse_check(str(col(name) == value), SCHEMA).evaluate({name: value}) is True


_conditions = st.recursive(
    st.sampled_from([b, i > 1, i.is_null(), i.between(1, 2), e.is_in("done"), i + 2 * i > i % 3 - 1, -i < -(i - 1)]),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda pair: pair[0] & pair[1]),
        st.tuples(inner, inner).map(lambda pair: pair[0] | pair[1]),
        st.tuples(inner, inner).map(lambda pair: pair[0] == pair[1]),
        inner.map(lambda one: ~one),
        inner.map(lambda one: one.is_null()),
    ),
    max_leaves=6,
)


@given(_conditions, _conditions, st.booleans(), st.integers(-2, 3), st.sampled_from(["done", "lost"]))
def test_what_is_built_means_what_its_operators_say(
    left: Expression, right: Expression, flag: bool, number: int, symbol: str
) -> None:
    fields = {"b": flag, "i": number, "e": symbol}

    def value(expression: Expression) -> bool:
        return bool(parse_check(str(expression), SCHEMA).evaluate(fields))

    assert value(left & right) is (value(left) and value(right))
    assert value(left | right) is (value(left) or value(right))
    assert value(~left) is not value(left)
    assert value((left & right) == right) is ((value(left) and value(right)) is value(right))
