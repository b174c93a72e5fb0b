from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from avro_types import EXAMPLES
from deltalake import DeltaTable, write_deltalake
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lake_values import encode_in_blocks, rows
from strategies import base, schemas, values

from onepipe.errors import DecodeError
from onepipe.schema.columnar import compile_columnar
from onepipe.schema.decode import compile_decoder
from onepipe.schema.model import Schema

QUIET = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture)


def every_type() -> Schema:
    """A record with a field of every type; named types have names of their own."""
    fields: list[dict[str, Any]] = []
    for number, document in enumerate(EXAMPLES.values()):
        renamed = json.dumps(document).replace('"name": "', f'"name": "N{number}_')
        renamed = renamed.replace('"N' + str(number) + "_x.", f'"x.N{number}').replace(
            f'"N{number}_y.', f'"y.N{number}'
        )
        fields.append({"name": f"f{number}", "type": json.loads(renamed)})
    return Schema.parse({"type": "record", "name": "All", "fields": fields})


def damaged(schema: Schema) -> bytes:
    """Bytes that are no body of the schema: where one byte is, two have one too many."""
    try:
        compile_decoder(schema)(b"\xff", 0)
    except DecodeError:
        return b"\xff"
    return b"\xff\xff"


def batch_of(schema: Schema, drawn: list[Any]) -> pa.RecordBatch:
    choice = random.Random(3)
    encoded = [encode_in_blocks(schema, schema.root, base(schema, value), choice) for value in drawn]
    batch = compile_columnar(schema).decode([*encoded, damaged(schema)])
    assert len(batch.errors) == 1
    return batch.columns


@pytest.mark.slow
@settings(max_examples=15, deadline=None, suppress_health_check=QUIET)
@given(data=st.data())
def test_columns_of_every_type_come_back_from_parquet_delta_and_duckdb(data: st.DataObject, tmp_path: Path) -> None:
    schema = every_type()
    columns = batch_of(schema, data.draw(st.lists(values(schema), min_size=1, max_size=3)))
    table = pa.Table.from_batches([columns])
    parquet = tmp_path / "all.parquet"
    pq.write_table(table, parquet)
    assert_same(pq.read_table(parquet), columns)
    write_deltalake(tmp_path / "delta", table, mode="overwrite")
    assert_same(pa.table(DeltaTable(tmp_path / "delta").to_pyarrow_table()), columns)
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        assert_same(connection.read_parquet(str(parquet)).to_arrow_table(), columns)


def assert_same(table: pa.Table, columns: pa.RecordBatch) -> None:
    cast = table.cast(columns.schema).combine_chunks().to_batches()
    assert rows(cast[0]) == rows(columns)


@pytest.mark.slow
@settings(max_examples=100, deadline=None, suppress_health_check=QUIET)
@given(data=st.data())
def test_columns_of_any_schema_come_back_from_parquet(data: st.DataObject) -> None:
    schema = data.draw(schemas(ambiguous=True, recursive=False, defaults=False))
    columns = batch_of(schema, data.draw(st.lists(values(schema), max_size=4)))
    if columns.num_columns:
        sink = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_batches([columns]), sink)
        assert_same(pq.read_table(pa.BufferReader(sink.getvalue())), columns)
