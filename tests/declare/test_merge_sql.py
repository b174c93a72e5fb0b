"""The SQL of the built-in field merges comes to what their Python says."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onepipe.merge import field_merge

duckdb = pytest.importorskip("duckdb")

_numbers = st.floats() | st.sampled_from((0.0, math.nan, math.inf, 1.0))


def same(left: float | None, right: float | None) -> bool:
    return left == right or (left is not None and right is not None and math.isnan(left) and math.isnan(right))


def in_python(name: str, values: list[Any]) -> Any:
    merge, present = field_merge(name), [value for value in values if value is not None]
    result = merge.combine(present[0], present[0]) if present else None
    for value in present[1:]:
        result = merge.combine(result, value)
    return result


def in_sql(name: str, values: list[Any], type_: str) -> Any:
    with duckdb.connect() as connection:
        query = f"SELECT {field_merge(name).sql('x')} FROM (SELECT unnest(?::{type_}[]) AS x)"
        return connection.execute(query, [values]).fetchone()[0]


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(("max", "min")), st.lists(st.none() | _numbers, max_size=4))
def test_extremes_agree(name: str, values: list[Any]) -> None:
    assert same(in_sql(name, values, "DOUBLE"), in_python(name, values))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.none() | st.lists(st.integers(-3, 3), max_size=4), max_size=4))
def test_unions_agree(values: list[Any]) -> None:
    assert in_sql("union", values, "BIGINT[]") == in_python("union", values)
