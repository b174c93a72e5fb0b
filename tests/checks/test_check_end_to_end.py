"""Checks where they run: the encoder refuses what a check says, and the lake's columns give the same verdict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import pyarrow as pa
import pytest
from check_cases import SCHEMA, checks, rows
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onepipe.checks import Check, parse_check
from onepipe.checks.columnar import evaluate_columns
from onepipe.errors import CheckError, InvalidRecord
from onepipe.schema.columnar import compile_columnar
from onepipe.schema.encode import compile_encoder
from onepipe.schema.model import Schema

encode = compile_encoder(SCHEMA)
decoder = compile_columnar(SCHEMA)


def parsed(texts: Sequence[str]) -> list[Check]:
    found = []
    for text in texts:
        try:
            found.append(parse_check(text, SCHEMA, name=text))
        except CheckError:  # its numbers can need too many digits
            continue
    return found


def refused(found: Sequence[Check], record: dict[str, Any]) -> set[str]:
    """The names of the checks for which an encoder with all of them refuses a record."""
    try:
        compile_encoder(SCHEMA, checks=found)(record)
    except InvalidRecord as error:
        return {fault.rule for fault in error.faults}
    return set()


@pytest.mark.slow
@given(st.lists(checks(), min_size=1, max_size=6), st.lists(rows, min_size=1, max_size=4))
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_what_is_refused_at_publishing_is_what_is_false_in_the_lake(
    texts: list[str], records: list[dict[str, Any]]
) -> None:
    found = parsed(texts)
    batch = decoder.decode([encode(record) for record in records])
    assert not batch.errors
    columns = evaluate_columns(found, pa.Table.from_batches([batch.columns]))
    for row, record in enumerate(records):
        broken = {check.text for check, column in zip(found, columns, strict=True) if column[row].as_py() is False}
        assert refused(found, record) == broken


def test_no_checks_give_no_columns() -> None:
    assert evaluate_columns([], pa.table({"x": [1]})) == []


def test_checks_without_names_and_rows_of_several_chunks_keep_their_order() -> None:
    schema = Schema.parse({"type": "record", "name": "R", "fields": [{"name": "x", "type": "long"}]})
    table = pa.concat_tables([pa.table({"x": pa.array(range(n, n + 1000))}) for n in range(0, 5000, 1000)])
    found = [parse_check("x < 2500", schema), parse_check("x % 2 = 0", schema)]
    below, even = evaluate_columns(found, table)
    assert below.to_pylist() == [n < 2500 for n in range(5000)]
    assert even.to_pylist() == [n % 2 == 0 for n in range(5000)]


def test_fields_whose_names_differ_in_case_alone_are_told_apart() -> None:
    fields = [{"name": "x", "type": "long"}, {"name": "X", "type": "long"}]
    schema = Schema.parse({"type": "record", "name": "R", "fields": fields})
    (column,) = evaluate_columns([parse_check("x < X", schema)], pa.table({"x": [1, 2], "X": [2, 1]}))
    assert column.to_pylist() == [True, False]


def test_a_missing_column_is_an_error() -> None:
    with pytest.raises(KeyError):
        evaluate_columns([parse_check("i > 1", SCHEMA)], pa.table({"l": [1]}))


def test_a_check_is_immutable() -> None:
    check = parse_check("i > 1", SCHEMA)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        check.text = "i > 2"  # type: ignore[misc]  # what must not work
