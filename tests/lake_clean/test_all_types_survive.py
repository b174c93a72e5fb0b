from __future__ import annotations

import random
import tempfile
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from lake_arrivals import Event, Raw
from lake_values import encode_in_blocks, rows
from strategies import base, plain, schemas, values

from onepipe.declaring.topic import Topic
from onepipe.lake import open_lake
from onepipe.lake.dedup import dedup
from onepipe.lake.read import Table
from onepipe.merge import latest
from onepipe.schema.arrow import arrow_schema
from onepipe.schema.columnar import compile_columnar
from onepipe.schema.model import Schema


@pytest.mark.slow
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.data())
def test_records_of_any_schema_come_out_of_the_clean_table_as_they_were_published(data):
    inner = data.draw(schemas(recursive=False, defaults=False))
    fields = [{"name": "key", "type": "string"}, {"name": "inner", "type": inner.document()}]
    schema = Schema.parse({"type": "record", "name": "Outer_", "fields": fields})
    assume(not any(holds_local_times_in_map(field.type) for field in arrow_schema(schema)))
    topic = Topic.declare("Outer", schema, identity="key", merge=latest())
    drawn = [{"key": str(n), "inner": data.draw(values(inner))} for n in range(data.draw(st.integers(1, 4)))]
    bodies = [encode_in_blocks(schema, schema.root, base(schema, value), random.Random(0)) for value in drawn]
    decoded = compile_columnar(schema).decode(bodies)
    with tempfile.TemporaryDirectory() as folder:
        lake = open_lake(Path(folder, "lake"))
        raw = Raw(lake, topic)
        for _ in range(2):
            raw.archive([Event({"key": value["key"]}) for value in drawn], fields=decoded.columns)
            dedup(lake, topic)
        table = Table(lake, topic)
        clean = whole(table)
        records = list(table.records())
    assert sorted(rows(clean), key=by_key) == sorted(rows(decoded.columns), key=by_key)
    assert shown(sorted(records, key=by_key)) == shown([plain(schema, value) for value in drawn])


def holds_local_times_in_map(type_, in_map=False):
    """Whether Delta cannot hold the type: deltalake does not see local timestamps in maps, and then refuses them."""
    if pa.types.is_timestamp(type_):
        return in_map and type_.tz is None
    in_map = in_map or pa.types.is_map(type_)
    parts = [type_.item_type] if pa.types.is_map(type_) else [type_.field(n).type for n in range(type_.num_fields)]
    return any(holds_local_times_in_map(part, in_map) for part in parts)


def whole(table):
    (batch,) = table.to_arrow().combine_chunks().to_batches()
    return batch


def shown(records):
    """Records as text, in which NaN equals itself and the zeros differ; a time's fold means nothing without a zone."""
    return repr(records).replace(", fold=1", "")


def by_key(row):
    return row["key"]
