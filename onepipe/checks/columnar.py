"""Runs checks over the lake's columns with DuckDB."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from onepipe.checks.check import Check
from onepipe.errors import MissingDependency


def evaluate_columns(checks: Sequence[Check], table: Any) -> list[Any]:
    """Whether each rule holds for each row.

    Args:
        checks: rules over one schema.
        table: a `pyarrow.Table` with the fields they read, in the lake's column types.

    Returns:
        For each check, in order, a `pyarrow.ChunkedArray` of booleans as long as the table: true, false, or null,
        which passes.

    Raises:
        MissingDependency: DuckDB is not installed.
        KeyError: a field's column is missing.
    """
    try:
        import duckdb
    except ImportError as error:
        raise MissingDependency("checks over columns need DuckDB", remedy="pip install onepipe[lake]") from error
    if not checks:
        return []
    # Columns go by number: DuckDB takes names that differ only in case for one.
    fields = list(dict.fromkeys(field for check in checks for field in check.fields))
    columns = {field: f"rows.f{index}" for index, field in enumerate(fields)}
    renamed = table.select(fields).rename_columns([f"f{index}" for index in range(len(fields))])
    results = ", ".join(f"{check.sql(columns=columns)} AS r{index}" for index, check in enumerate(checks))
    with duckdb.connect(config={"enable_external_access": "false"}) as connection:
        connection.register("rows", renamed)
        found: Any = connection.sql(f"SELECT {results} FROM rows").to_arrow_table()
    return list(found.columns)
