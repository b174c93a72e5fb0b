"""A class made of a schema document declares that document again."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from strategies import FIELD_NAMES, schemas

from onepipe.declaring.binding import record_class
from onepipe.declaring.record import record_info
from onepipe.schema.model import Schema

_IMPOSSIBLE = {"class", "None", "True", "def", "lambda", "self", "import"}
_RENAMED = {name: f"f{i}" for i, name in enumerate(FIELD_NAMES) if name in _IMPOSSIBLE or name.startswith("__")}


def renamed(document: Any) -> Any:
    """A schema document with other names for the fields that no class can have."""
    if isinstance(document, list):
        return [renamed(item) for item in document]
    if not isinstance(document, dict):
        return document
    made = {_RENAMED.get(key, key): renamed(value) for key, value in document.items()}
    if "fields" in made:
        made["fields"] = [{**field, "name": _RENAMED.get(field["name"], field["name"])} for field in made["fields"]]
    return made


bindable_schemas = schemas(ambiguous=True).map(lambda schema: Schema.parse(renamed(schema.document())))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(bindable_schemas)
def test_a_class_made_of_a_document_derives_that_document(schema: Schema) -> None:
    assert record_info(record_class(schema)).schema.document() == schema.document()
