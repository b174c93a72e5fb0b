from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lake_values import encode_in_blocks, lake_value, rows
from strategies import base, schemas, values

from onepipe.schema import columnar, columnar_items
from onepipe.schema.arrow import arrow_schema
from onepipe.schema.columnar import compile_columnar
from onepipe.schema.model import Schema

SETTINGS = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
)


@pytest.fixture(
    params=[pytest.param(0, id="side by side"), pytest.param(2, id="mixed"), pytest.param(99, id="scanned")]
)
def few(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways of finding where items begin, and both in one array."""
    monkeypatch.setattr(columnar_items, "FEW", request.param)


@pytest.mark.slow
@pytest.mark.usefixtures("few")
@SETTINGS
@given(data=st.data())
def test_every_batch_decodes_to_the_values_that_were_written(data: st.DataObject) -> None:
    schema = data.draw(schemas(ambiguous=True, recursive=False, defaults=False))
    drawn = data.draw(st.lists(values(schema), max_size=8))
    choice = random.Random(data.draw(st.integers(0, 99)))
    based = [base(schema, value) for value in drawn]
    frame = data.draw(st.binary(max_size=6))
    encoded = [frame + encode_in_blocks(schema, schema.root, value, choice) for value in based]
    batch = compile_columnar(schema).decode(encoded, skip=len(frame))
    assert not batch.errors
    batch.columns.validate(full=True)
    assert batch.columns.num_rows == len(drawn)
    assert batch.columns.schema.equals(arrow_schema(schema), check_metadata=True)
    if batch.columns.num_columns:
        assert rows(batch.columns) == [lake_value(schema, schema.root, value) for value in based]


LINES = Schema.parse(
    {
        "type": "record",
        "name": "Order",
        "fields": [
            {"name": "id", "type": "long"},
            {"name": "tags", "type": {"type": "array", "items": "string"}},
            {"name": "note", "type": ["null", "string"]},
        ],
    }
)


def order(number: int, tags: int) -> dict[str, Any]:
    return {
        "id": number,
        "tags": [f"tag {tag}" for tag in range(tags)],
        "note": ("string", "n" * number) if number % 2 else None,
    }


@pytest.mark.parametrize(
    ("rows_", "bytes_"), [(1, 1 << 20), (3, 1 << 20), (7, 1 << 20), (100, 1), (100, 40), (100, 999)]
)
def test_chunks_make_no_difference(rows_: int, bytes_: int, monkeypatch: pytest.MonkeyPatch) -> None:
    values_ = [order(number, number % 4) for number in range(21)]
    encoded = [encode_in_blocks(LINES, LINES.root, value, random.Random(1)) for value in values_]
    encoded[5] = encoded[20] = b"\x80"
    expected = [lake_value(LINES, LINES.root, value) for value in values_]
    expected[5] = expected[20] = dict.fromkeys(("id", "tags", "note"))
    monkeypatch.setattr(columnar, "CHUNK_ROWS", rows_)
    monkeypatch.setattr(columnar, "CHUNK_BYTES", bytes_)
    batch = compile_columnar(LINES).decode(encoded)
    assert set(batch.errors) == {5, 20}
    assert rows(batch.columns) == expected


def test_an_empty_batch_has_all_columns_and_no_rows() -> None:
    batch = compile_columnar(LINES).decode([])
    assert (batch.columns.num_rows, batch.columns.schema, dict(batch.errors)) == (0, arrow_schema(LINES), {})


def test_one_array_far_longer_than_the_others_is_read_like_them() -> None:
    values_ = [order(number, 5_000 if number == 13 else number) for number in range(40)]
    encoded = [encode_in_blocks(LINES, LINES.root, value, random.Random(2)) for value in values_]
    batch = compile_columnar(LINES).decode(encoded)
    assert not batch.errors
    assert rows(batch.columns) == [lake_value(LINES, LINES.root, value) for value in values_]


def test_a_damaged_item_of_a_long_array_is_named() -> None:
    tags = b"\x02a" * 3_000
    sound = b"\x02" + b"\xf0\x2e" + tags + b"\x00\x00"
    broken = b"\x02" + b"\xf0\x2e" + tags[:-1] + b"\xff\x00\x00"
    cut = sound[:4_001]
    batch = compile_columnar(LINES).decode([sound, broken, cut])
    assert {row: str(error) for row, error in batch.errors.items()} == {
        1: "field tags[]: text that is not UTF-8, at byte 6001 of the record",
        2: "field tags[]: the bytes end within a value, at byte 4001 of the record",
    }
