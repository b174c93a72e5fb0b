from __future__ import annotations

import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lake_values import encode_in_blocks, lake_value, rows
from strategies import base, schemas, values

from onepipe.schema.arrow import arrow_schema
from onepipe.schema.columnar import compile_columnar

SETTINGS = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@SETTINGS
@given(st.data())
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
