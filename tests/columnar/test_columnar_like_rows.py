"""The columnar decoder against the row decoder: the same bodies accepted, with the same values."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from lake_values import encode_in_blocks, lake_value, rows
from strategies import base, evolved, schemas, values

from onepipe.errors import DecodeError, SchemaError
from onepipe.schema import columnar_items
from onepipe.schema.arrow import member_names
from onepipe.schema.columnar import compile_columnar
from onepipe.schema.decode import compile_decoder
from onepipe.schema.model import Array, Map, Node, Record, Schema, Union
from onepipe.schema.values import to_base

SETTINGS = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
)


@pytest.fixture(params=[pytest.param(0, id="side by side"), pytest.param(99, id="scanned")])
def few(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways of finding where items begin."""
    monkeypatch.setattr(columnar_items, "FEW", request.param)


def same(schema: Schema, node: Node, column: Any, value: Any) -> bool:
    """Whether a column holds what the row decoder gave; of a union, in one member."""
    node = schema.resolve(node)
    match node:
        case Union(branches=branches):
            return same_union(schema, branches, member_names(node), column, value)
        case Record(fields=fields) if fields:
            return all(same(schema, f.type, column[f.name], value[f.name]) for f in fields)
        case Array(items=items):
            return len(column) == len(value) and all(
                same(schema, items, c, v) for c, v in zip(column, value, strict=True)
            )
        case Map(values=inner):
            return column.keys() == value.keys() and all(same(schema, inner, column[key], value[key]) for key in column)
        case Record():
            return column is True and value == {}
        case _:
            return bool(column == lake_value(schema, node, to_base(node, value)))


def same_union(schema: Schema, branches: Any, names: Any, column: Any, value: Any) -> bool:
    if column is None or value is None:
        return column is None and value is None
    members = [number for number, name in enumerate(names) if name is not None]
    if len(members) > 1:
        members = [number for number in members if column[names[number]] is not None]
        column = column[names[members[0]]]
    return len(members) == 1 and same(schema, branches[members[0]], column, value)


def assert_like_rows(writer: Schema, reader: Schema, bodies: list[bytes]) -> None:
    batch = compile_columnar(writer, reader).decode(bodies)
    batch.columns.validate(full=True)
    decode = compile_decoder(writer, reader=reader, classes={})
    columns = rows(batch.columns) if batch.columns.num_columns else [{}] * len(bodies)
    for number, body in enumerate(bodies):
        value = by_row(decode, body)
        assert isinstance(value, DecodeError) == (number in batch.errors), (body, value, batch.errors.get(number))
        if isinstance(value, DecodeError):
            assert set(columns[number].values()) <= {None}
        else:
            assert not columns[number] or same(reader, reader.root, columns[number], value)


def by_row(decode: Any, body: bytes) -> Any:
    try:
        return decode(body, 0)
    except DecodeError as error:
        return error


def encode(schema: Schema, value: Any) -> bytes:
    return encode_in_blocks(schema, schema.root, base(schema, value), random.Random(repr(value)))


def damaged(body: bytes, choice: random.Random) -> bytes:
    """A body with one or two bytes changed, lost or too many, or cut, or joined to itself."""
    data = bytearray(body)
    for _ in range(choice.choice((1, 1, 1, 2))):
        at = choice.randrange(len(data) + 1)
        match choice.randrange(6):
            case 0:
                data[at:at] = bytes([choice.choice((0, 1, 2, 3, 0x7F, 0x80, 0xFF, choice.randrange(256)))])
            case 1:
                del data[at : at + 1]
            case 2:
                del data[at:]
            case 3:
                data[at:at] = data
            case _ if at < len(data):
                data[at] = choice.choice((data[at] ^ (1 << choice.randrange(8)), 0, 1, 0x80, 0xFF))
            case _:
                data.append(choice.randrange(4))
    return bytes(data)


@pytest.mark.slow
@pytest.mark.usefixtures("few")
@SETTINGS
@given(data=st.data())
def test_damaged_bodies_are_accepted_exactly_where_the_row_decoder_accepts_them(data: st.DataObject) -> None:
    schema = data.draw(schemas(ambiguous=True, recursive=False, defaults=False))
    sound = [encode(schema, value) for value in data.draw(st.lists(values(schema), min_size=1, max_size=4))]
    choice = random.Random(data.draw(st.integers(0, 1 << 32)))
    bodies = [damaged(body, choice) if choice.random() < 0.8 else body for body in sound * 6]
    assert_like_rows(schema, schema, bodies)


@pytest.mark.slow
@pytest.mark.usefixtures("few")
@SETTINGS
@given(data=st.data())
def test_another_schema_reads_the_same_as_by_rows(data: st.DataObject) -> None:
    writer, reader = data.draw(schemas(ambiguous=True).flatmap(lambda schema: evolved(schema, promote_bytes=True)))
    try:
        compile_columnar(writer, reader)
    except SchemaError:
        assume(False)
    sound = [encode(writer, value) for value in data.draw(st.lists(values(writer), min_size=1, max_size=4))]
    choice = random.Random(data.draw(st.integers(0, 1 << 32)))
    assert_like_rows(writer, reader, sound + [damaged(body, choice) for body in sound * 3])


@pytest.mark.slow
@SETTINGS
@given(data=st.data())
def test_a_body_decodes_alone_as_among_others(data: st.DataObject) -> None:
    schema = data.draw(schemas(ambiguous=True, recursive=False, defaults=False))
    sound = [encode(schema, value) for value in data.draw(st.lists(values(schema), min_size=1, max_size=3))]
    choice = random.Random(data.draw(st.integers(0, 1 << 32)))
    bodies = [damaged(body, choice) if choice.random() < 0.5 else body for body in sound * 2]
    decoder = compile_columnar(schema)
    together = decoder.decode(bodies)
    for number, body in enumerate(bodies):
        alone = decoder.decode([body])
        assert bool(alone.errors) == (number in together.errors)
        assert rows(alone.columns) == rows(together.columns.slice(number, 1))


def test_records_inside_themselves_are_left_out_to_the_same_depth() -> None:
    node = {
        "type": "record",
        "name": "Node",
        "fields": [{"name": "next", "type": ["null", "Node"]}, {"name": "text", "type": "string"}],
    }
    kept = {"name": "n", "type": "long"}
    writer = Schema.parse({"type": "record", "name": "R", "fields": [{"name": "tree", "type": node}, kept]})
    reader = Schema.parse({"type": "record", "name": "R", "fields": [kept]})
    chains = [b"\x02" * depth + b"\x00" + b"\x02a" * (depth + 1) + b"\x0e" for depth in (0, 1, 30, 61, 62, 63, 64, 900)]
    assert_like_rows(writer, reader, [*chains, chains[2].replace(b"a", b"\xff", 1)])
    assert len(compile_columnar(writer, reader).decode(chains).errors) == 3
