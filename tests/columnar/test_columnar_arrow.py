from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from avro_types import EXAMPLES, fixed

from onepipe.errors import SchemaError
from onepipe.schema.arrow import arrow_schema, arrow_type, member_names
from onepipe.schema.model import Schema, Union

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "avro-arrow.md"


def table() -> dict[str, str]:
    """The page's table: by Avro type, its column."""
    lines = [line.split(" | ") for line in PAGE.read_text().splitlines() if line.startswith("| ")][1:]
    return {line[0].removeprefix("| "): re.sub(r"^`|`$", "", line[1].strip()) for line in lines}


def test_the_page_has_every_type() -> None:
    assert set(table()) == set(EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_page_says_what_the_code_does(name: str) -> None:
    schema = Schema.parse(EXAMPLES[name])
    assert str(arrow_type(schema, schema.root)) == table()[name]


def test_every_column_and_member_may_be_null() -> None:
    line = {"type": "record", "name": "Line", "fields": [{"name": "sku", "type": "string"}]}
    fields = [{"name": "lines", "type": {"type": "array", "items": line}}, {"name": "n", "type": "long"}]
    schema = arrow_schema(Schema.parse({"type": "record", "name": "R", "fields": fields}))
    assert [field.nullable for field in schema] == [True, True]
    assert schema.field("lines").type.value_field.nullable
    assert schema.field("lines").type.value_type.field("sku").nullable


def test_a_doc_is_metadata_of_its_column() -> None:
    fields = [{"name": "n", "type": "long", "doc": "How many."}, {"name": "m", "type": "long"}]
    schema = arrow_schema(Schema.parse({"type": "record", "name": "R", "fields": fields}))
    assert (schema.field("n").metadata, schema.field("m").metadata) == ({b"doc": b"How many."}, None)


def test_only_a_record_has_columns() -> None:
    with pytest.raises(SchemaError, match="only a record has columns"):
        arrow_schema(Schema.parse("long"))


def test_a_record_that_contains_itself_is_refused() -> None:
    fields = [{"name": "next", "type": ["null", "Node"]}]
    with pytest.raises(SchemaError, match="record Node contains itself"):
        arrow_schema(Schema.parse({"type": "record", "name": "Node", "fields": fields}))


def test_a_schema_that_grows_beyond_bounds_when_written_out_is_refused() -> None:
    inner: Any = {"type": "record", "name": "R0", "fields": [{"name": "a", "type": "long"}]}
    for number in range(1, 30):
        fields = [{"name": "a", "type": inner}, {"name": "b", "type": f"R{number - 1}"}]
        inner = {"type": "record", "name": f"R{number}", "fields": fields}
    with pytest.raises(SchemaError, match="more than 20000 types"):
        arrow_schema(Schema.parse(inner))


def test_members_keep_their_namespace_where_names_would_clash_in_any_case() -> None:
    union = Schema.parse(["null", fixed("a.Id", 1), fixed("b.id", 2), fixed("c.Other", 3)]).root
    assert isinstance(union, Union)
    assert member_names(union) == (None, "a.Id", "b.id", "Other")
    assert pa.types.is_struct(arrow_type(Schema.parse(["long", "string"]), union))
