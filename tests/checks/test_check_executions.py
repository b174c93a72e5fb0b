"""The two executions of a check agree: Python and DuckDB, on random checks and rows."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from check_cases import COLUMNS, SCHEMA, checks, column_value, rows
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from onepipe.checks import Check, parse_check
from onepipe.checks.columnar import evaluate_columns
from onepipe.errors import CheckError

_TOLERATED = ("digits", "64 bits", "nested deeper", "reads no field", "a decimal and a float")


def parsed(text: str) -> Check | None:
    """The check, or None where its numbers can need too many digits, or it reads no field."""
    try:
        return parse_check(text, SCHEMA)
    except CheckError as error:
        if not any(reason in error.message for reason in _TOLERATED):
            raise
        return None


def table(records: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(
        [{name: column_value(value) for name, value in record.items()} for record in records], schema=COLUMNS
    )


def agree(texts: list[str], records: list[dict[str, Any]]) -> None:
    found = [check for check in map(parsed, texts) if check is not None]
    assume(found)
    columns = evaluate_columns(found, table(records))
    for check, column in zip(found, columns, strict=True):
        names = {field: f"v{number}" for number, field in enumerate(check.fields)}
        namespace = dict(check.helpers)
        parameters = ", ".join(names.values())
        exec(f"def value({parameters}): return {check.python_source(names)}", namespace)  # noqa: S102  the code under test
        exec(f"def broken({parameters}): return {check.python_violation(names)}", namespace)  # noqa: S102  the code under test
        for record, by_sql in zip(records, column.to_pylist(), strict=True):
            values = [record[field] for field in check.fields]
            by_python = check.evaluate(record)
            assert by_python is by_sql, (check.text, check.sql(), {field: record[field] for field in check.fields})
            assert namespace["value"](*values) is by_python
            assert namespace["broken"](*values) is (by_python is False)


_batches = given(st.lists(checks(), min_size=1, max_size=12), st.lists(rows, min_size=1, max_size=6))


@pytest.mark.slow
@_batches
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_python_and_duckdb_agree_on_any_check_and_row(texts: list[str], records: list[dict[str, Any]]) -> None:
    agree(texts, records)


@pytest.mark.slow
@_batches
@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
def test_python_and_duckdb_agree_on_very_many_checks_and_rows(texts: list[str], records: list[dict[str, Any]]) -> None:
    agree(texts, records)
