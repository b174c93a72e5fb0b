"""What checks mean, case by case: types, null, NaN, exact numbers, division, time, texts."""

from __future__ import annotations

import datetime as dt
import math
import threading
from decimal import Decimal, localcontext
from typing import Any

import numpy as np
import pytest
from check_cases import BERLIN, SCHEMA, Status

from onepipe.checks import parse_check
from onepipe.errors import CheckError

LARGEST = (1 << 63) - 1
NAN = math.nan


def value(text: str, **fields: Any) -> bool | None:
    return parse_check(text, SCHEMA).evaluate(fields)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("s > 1", "a text and an integer do not go together"),
        ("i > '1'", "numbers stand without quotes"),
        ("m > d", "a decimal and a float do not go together"),
        ("m > 1e2", "a decimal and a float do not go together"),
        ("m / 2 > 1", "multiply the other side"),
        ("d % 2 = 1", "% is for integers"),
        ("i / 0 > 1", "division by zero"),
        ("i % 0 > 1", "division by zero"),
        ("ts > '2013-01-01'", "write TIMESTAMP"),
        ("day > '2013-01-01'", "write DATE"),
        ("ts > TIMESTAMP '2013-01-01 00:00'", "ends in its offset"),
        ("lt > TIMESTAMP '2013-01-01 00:00Z'", "ends in its offset"),
        ("ts > TIMESTAMP '2013-13-01 00:00Z'", "there is no such timestamp"),
        ("day > DATE '2013-02-30'", "there is no such date"),
        ("day > DATE '13-2-3'", "write DATE '2013-01-31'"),
        ("hour > TIME '25:00'", "there is no such time"),
        ("ts > TIMESTAMP '0001-01-01 00:00+01:00'", "there is no such timestamp"),
        ("ts > day", "do not go together"),
        ("ts > lt", "do not go together"),
        ("ts + 1 > ts", "a number is expected, not a timestamp"),
        ("b > b_o", "have no order"),
        ("a = a_o", "cannot be compared"),
        ("r = r_o", "cannot be compared"),
        ("coalesce(a, a_o) IS NULL", "coalesce is not for"),
        ("u = 'x'", "not a UUID"),
        ("length(i) > 1", "have no length"),
        ("lower(i) = 'a'", "a text is expected"),
        ("isfinite(i)", "a float is expected"),
        ("abs(s) > 1", "a number is expected"),
        ("i", "a condition is expected, not an integer"),
        ("i AND b", "a condition is expected"),
        ("NOT s", "a condition is expected"),
        ("l * l * l > 1", "57 digits; 38 are allowed"),
        ("w * w > 1", "digits; 38 are allowed"),
        ("w > 0.00000000001", "digits; 38 are allowed"),
        ("l > 100000000000000000000000000000000000000", "more than 38 digits"),
        ("d > 1e400", "larger than any float"),
        ("l + 1 > d", "can exceed 64 bits"),
        ("matches(s, s_o)", "is a literal text"),
        ("e IN ('queued', 'gone')", "not a symbol of enum Status"),
    ],
)
def test_what_does_not_go_together_is_refused_where_it_is_declared(text: str, says: str) -> None:
    with pytest.raises(CheckError, match="\n") as caught:
        parse_check(text, SCHEMA)
    assert says in str(caught.value)


def test_null_follows_the_three_valued_logic_of_sql() -> None:
    for left, right, both, either in (
        (True, True, True, True),
        (True, False, False, True),
        (True, None, None, True),
        (False, False, False, False),
        (False, None, False, None),
        (None, None, None, None),
    ):
        for fields in ({"b": left, "b_o": right}, {"b": right, "b_o": left}):
            optional = {"b_o": fields["b_o"], "i_o": None if fields["b"] is None else int(fields["b"])}
            assert value("b_o AND i_o = 1", **optional) is both
            assert value("b_o OR i_o = 1", **optional) is either
    assert value("NOT b_o", b_o=None) is None
    assert value("i_o = i_o", i_o=None) is None
    assert value("i_o IN (1, 2)", i_o=None) is None
    assert value("i_o NOT BETWEEN 1 AND 2", i_o=None) is None
    assert value("(i_o > 1) IS NULL", i_o=None) is True
    assert value("coalesce(i_o, 3) = 3", i_o=None) is True


def test_a_comparison_with_nan_is_false_and_unequal_true() -> None:
    for operator in ("=", "<", "<=", ">", ">="):
        assert value(f"d {operator} 1", d=NAN) is False
        assert value(f"d {operator} d_o", d=NAN, d_o=NAN) is False
        assert value(f"d {operator} d_o", d=1.0, d_o=NAN) is False
        assert value(f"NOT d {operator} d_o", d=1.0, d_o=NAN) is True
    assert value("d <> d", d=NAN) is True
    assert value("d IN (1, 2)", d=NAN) is False
    assert value("isfinite(d)", d=NAN) is False
    assert value("isfinite(d)", d=-math.inf) is False
    assert value("isfinite(d)", d=0.0) is True


def test_exact_numbers_never_overflow_or_round() -> None:
    assert value("l + 1 > l", l=LARGEST) is True
    assert value("l * l = 85070591730234615847396907784232501249", l=LARGEST) is True
    assert value("- l = 9223372036854775808", l=-LARGEST - 1) is True
    assert value("abs(l) = 9223372036854775808", l=-LARGEST - 1) is True
    with localcontext() as context:
        context.prec = 5
        assert value("m + 0.00000000000000000000000001 > m", m=Decimal("9999999999.99")) is True
        assert value("m * 1.00000000000000000000000001 > m", m=Decimal("9999999999.99")) is True
        assert value("- w < 0", w=Decimal("9" * 28 + ".9999999999")) is True
    assert value("m * 2 - 0.01 = 4.99", m=Decimal("2.50")) is True
    assert value("m = 2.5", m=Decimal("2.50")) is True
    assert value("z = i", z=Decimal(7), i=7) is True


def test_division_is_of_floats_and_null_where_the_divisor_is_zero() -> None:
    assert value("i / l = 0.5", i=1, l=2) is True
    assert value("i / l = 0.5", i=1, l=0) is None
    assert value("d / d_o > 0", d=0.0, d_o=-0.0) is None
    assert value("l / 3 = 3074457345618258602", l=LARGEST) is True
    assert value("i / 2.5 = 4", i=10) is True
    assert value("d > 0.1 / 0.1", d=1.5) is True


def test_a_remainder_has_the_dividends_sign() -> None:
    assert value("i % 3 = -1", i=-7) is True
    assert value("i % -3 = 1", i=7) is True
    assert value("i % l = 0", i=7, l=0) is None
    assert value("l % -1 = 0", l=-LARGEST - 1) is True


def test_a_field_of_single_precision_has_the_value_its_bytes_will_hold() -> None:
    assert value("f <= 0.1", f=0.1) is False
    assert value("f > 0.1", f=0.1) is True


def test_integers_meet_floats_as_the_nearest_float() -> None:
    assert value("l = d", l=(1 << 53) + 1, d=2.0**53) is True


def test_timestamps_are_moments_whatever_their_zones() -> None:
    earlier = dt.datetime(2013, 10, 27, 2, 30, fold=0, tzinfo=BERLIN)
    later = dt.datetime(2013, 10, 27, 2, 10, fold=1, tzinfo=BERLIN)
    assert earlier > later  # what Python says of one zone's wall clock
    assert value("ts < ts_o", ts=earlier, ts_o=later) is True
    assert value("ts = TIMESTAMP '2013-10-27 00:30:00Z'", ts=earlier) is True
    assert value("ts = TIMESTAMP '2013-10-27 02:30:00.000+02:00'", ts=earlier) is True


def test_texts_are_compared_and_counted_by_code_point() -> None:
    assert value("s > '￿'", s="\U0001f986") is True
    assert value("length(s) = 1", s="\U0001f986") is True
    assert value("length(s) = 2", s="e\u0301") is True
    assert value("s = 'ä'", s="a\u0308") is False
    assert value("s < 'a'", s="Z") is True


def test_case_is_changed_of_ascii_letters_alone() -> None:
    assert value("lower(s) = 'aÄi'", s="AÄI") is True
    assert value("upper(s) = 'Aß\u0131'", s="aß\u0131") is True


def test_an_enums_member_stands_for_its_symbol() -> None:
    assert value("e = 'done'", e=Status.done) is True
    assert value("e IN ('queued', 'lost')", e="done") is False


def test_a_path_reads_records_given_as_mappings_or_objects() -> None:
    class Inner:
        k = 7
        t = None

    for inner in (Inner(), {"k": 7, "t": None}):
        assert value("r.k = 7", r=inner) is True
        assert value("r_o.k = 7 AND r_o.t IS NULL", r_o=inner) is True
    assert value("r_o.k = 7", r_o=None) is None


def test_numpys_numbers_do_not_wrap_around() -> None:
    assert value("l + 1 > l", l=np.int64(LARGEST)) is True
    assert value("i >= 0", i=np.int32(-1)) is False
    assert value("d * 2 > d", d=np.float64(1.7e308)) is True
    assert value("l % 2 = 1 AND abs(l) > 0", l=np.int64(-LARGEST - 1)) is False


def test_a_rule_over_fields_that_are_never_null_is_plain_python() -> None:
    names = {"i": "a", "l": "b"}
    assert parse_check("i >= l", SCHEMA).python_source(names) == "(a >= b)"
    assert parse_check("i >= l", SCHEMA).python_violation(names) == "(a < b)"
    assert parse_check("d >= 0", SCHEMA).python_violation({"d": "x"}) == "(not x >= 0.0)"
    assert parse_check("m_o >= 0", SCHEMA).python_source({"m_o": "p"}) == "(None if p is None else (p >= 0))"
    assert parse_check("m_o >= 0", SCHEMA).python_violation({"m_o": "p"}) == "(p is not None and (p < 0))"


def test_the_names_checks_use_can_share_one_namespace() -> None:
    texts = ("m > 0.01", "m > 0.02", "e IN ('done')", "e IN ('lost')", "matches(s, 'a+')", "matches(s, 'b+')")
    parsed = [parse_check(text, SCHEMA) for text in texts]
    shared: dict[str, Any] = {}
    for check in parsed:
        for name, helper in check.helpers.items():
            assert name.startswith("_op_")
            assert shared.setdefault(name, helper) == helper or callable(helper)
    for check in parsed:
        names = {check.fields[0]: "x"}
        for sample in (Decimal("0.015"), "done", "aa"):
            if (check.fields[0] == "m") == isinstance(sample, Decimal):
                mixed = eval(check.python_source(names), {**shared, "x": sample})  # noqa: S307  the code under test
                assert mixed is check.evaluate({check.fields[0]: sample})


def test_the_fields_of_a_check_are_the_top_level_ones_in_order_of_use() -> None:
    check = parse_check("coalesce(i_o, r.k) > 1 AND s IN ('a') OR NOT i_o IS NULL AND r_o.t = lower(s)", SCHEMA)
    assert check.fields == ("i_o", "r", "s", "r_o")


def test_a_missing_field_is_an_error_and_not_null() -> None:
    with pytest.raises(KeyError):
        parse_check("i_o > 1", SCHEMA).evaluate({})


def test_sql_names_columns_as_told_and_quotes_everything() -> None:
    check = parse_check("s = 'it''s' AND r.k = 1", SCHEMA)
    assert check.sql() == ("""(("s" = 'it''s') AND (struct_extract("r", 'k') = CAST('1' AS BIGINT)))""")
    assert check.sql(columns={"s": "t.c1"}).startswith("((t.c1 = 'it''s')")
    with pytest.raises(ValueError, match="there is 'duckdb'"):
        check.sql("oracle")  # type: ignore[arg-type]  # what a caller without a type checker may pass


def test_threads_can_share_a_check() -> None:
    check = parse_check("matches(s, '(a|ab)*c') AND m + 0.1 > m", SCHEMA)
    records = [{"s": "ab" * n + "c", "m": Decimal(n)} for n in range(50)]
    found: list[bool | None] = []
    threads = [
        threading.Thread(target=lambda: found.extend(check.evaluate(record) for record in records)) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 200
