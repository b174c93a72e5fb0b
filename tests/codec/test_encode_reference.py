"""The compiled encoder writes the bytes that fastavro writes."""

from __future__ import annotations

import io
from typing import Any

import fastavro
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import base, schemas, values

from onepipe.schema.encode import compile_encoder
from onepipe.schema.model import Schema

_PROPERTY = settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))


def without_logical_types(document: Any) -> Any:
    """A schema document whose values are base values; fastavro's own logical types differ in places."""
    if isinstance(document, list):
        return [without_logical_types(branch) for branch in document]
    if isinstance(document, dict):
        known = ("logicalType", "default", "doc")
        return {key: without_logical_types(value) for key, value in document.items() if key not in known}
    return document


def reference(schema: Schema, value: Any) -> bytes:
    """What fastavro writes for a value in base form."""
    out = io.BytesIO()
    parsed = fastavro.parse_schema(without_logical_types(schema.document()))
    fastavro.schemaless_writer(out, parsed, value)
    return out.getvalue()


@_PROPERTY
@given(st.data())
def test_bytes_equal_those_of_fastavro(data: st.DataObject) -> None:
    schema = data.draw(schemas(record_root=data.draw(st.booleans()), ambiguous=True))
    value = data.draw(values(schema))
    assert compile_encoder(schema)(value) == reference(schema, base(schema, value))


@_PROPERTY
@given(st.data())
def test_the_prefix_stands_before_every_body(data: st.DataObject) -> None:
    schema = data.draw(schemas())
    value = data.draw(values(schema))
    prefix = data.draw(st.binary(max_size=30))
    assert compile_encoder(schema, prefix=prefix)(value) == prefix + compile_encoder(schema)(value)
