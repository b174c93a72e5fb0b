"""The shared strategies themselves: what they draw is what they promise."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import base, evolved, plain, schemas, values

from onepipe.schema.model import Schema

_QUICK = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@_QUICK
@given(schemas(record_root=False, ambiguous=True))
def test_a_drawn_schema_survives_its_document(schema: Schema) -> None:
    assert Schema.parse(schema.text) == schema


@_QUICK
@given(st.data())
def test_a_drawn_value_has_a_plain_and_a_base_form(data: st.DataObject) -> None:
    schema = data.draw(schemas(ambiguous=True))
    value = data.draw(values(schema))
    assert set(plain(schema, value)) == set(base(schema, value))


@_QUICK
@given(st.data())
def test_an_evolved_reader_is_a_valid_schema(data: st.DataObject) -> None:
    writer, reader = data.draw(evolved(data.draw(schemas())))
    assert Schema.parse(reader.text) == reader
    assert writer.names
