"""What Avro values look like in the lake's columns, said once more for tests, and bytes written in blocks as few do."""

from __future__ import annotations

import datetime as dt
import random
import struct
from typing import Any
from uuid import UUID

import pyarrow as pa

from onepipe.schema.arrow import member_names
from onepipe.schema.model import Array, Enum, Fixed, Map, Node, Primitive, Record, Schema, Union, branch_name
from onepipe.schema.values import Duration, decimal_from, kind_of
from onepipe.schema.varint import encode_long

_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001  # local timestamps have no zone


def lake_value(schema: Schema, node: Node, value: Any) -> Any:
    """The Python value that pyarrow gives of the column that holds an Avro value in base form, unions as pairs."""
    node = schema.resolve(node)
    match node:
        case Record(fields=fields):
            return {f.name: lake_value(schema, f.type, value[f.name]) for f in fields} if fields else True
        case Array(items=items):
            return [lake_value(schema, items, item) for item in value]
        case Map(values=values):
            return {key: lake_value(schema, values, item) for key, item in value.items()}
        case Union():
            return _union_value(schema, node, value)
        case _:
            return _leaf_value(node, value)


def _union_value(schema: Schema, union: Union, value: Any) -> Any:
    if value is None:
        return None
    name, inner = value
    number = next(n for n, branch in enumerate(union.branches) if branch_name(branch) == name)
    held = lake_value(schema, union.branches[number], inner)
    members = [member for member in member_names(union) if member is not None]
    if len(members) < 2:
        return held
    return {member: held if member == member_names(union)[number] else None for member in members}


def _leaf_value(node: Primitive | Fixed | Enum, value: Any) -> Any:
    match kind_of(node):
        case "float":
            return _float(struct.unpack("<f", struct.pack("<f", value))[0])
        case "double":
            return _float(value)
        case "date":
            return _EPOCH.date() + dt.timedelta(value)
        case "time-millis":
            return value * 1000
        case "decimal":
            assert not isinstance(node, Enum)
            assert node.logical is not None
            number = decimal_from(value, node.logical.precision, node.logical.scale)
            return number if node.logical.precision <= 38 else format(number, "f")
        case "uuid":
            return str(UUID(bytes=value) if isinstance(node, Fixed) else UUID(value))
        case "duration":
            duration = Duration.from_bytes(value)
            return {"months": duration.months, "days": duration.days, "milliseconds": duration.milliseconds}
        case str() as kind if "timestamp" in kind:
            moment = _EPOCH + dt.timedelta(microseconds=value * (1000 if kind.endswith("millis") else 1))
            return moment if kind.startswith("local") else moment.replace(tzinfo=dt.UTC)
        case _:
            return value


def _float(value: float) -> Any:
    """A float that equals itself, apart from the other zero."""
    return struct.pack(">d", value) if value == value else "NaN"


def rows(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """The rows of a batch, comparable with `lake_value`."""
    columns = [_comparable(column.type, column.to_pylist()) for column in batch.columns]
    return [dict(zip(batch.schema.names, row, strict=True)) for row in zip(*columns, strict=True)]


def _comparable(type_: pa.DataType, values: list[Any]) -> list[Any]:
    return [None if value is None else _comparable_value(type_, value) for value in values]


def _comparable_value(type_: pa.DataType, value: Any) -> Any:
    if pa.types.is_floating(type_):
        return _float(value)
    if pa.types.is_list(type_):
        return _comparable(type_.value_type, value)
    if pa.types.is_map(type_):
        assert len({key for key, _ in value}) == len(value)
        return {key: _comparable(type_.item_type, [item])[0] for key, item in value}
    if pa.types.is_struct(type_):
        return {field.name: _comparable(field.type, [value[field.name]])[0] for field in type_}
    if isinstance(value, dt.datetime) and value.tzinfo is not None:
        return value.astimezone(dt.UTC)
    return value


def encode_in_blocks(schema: Schema, node: Node, value: Any, choice: random.Random) -> bytes:
    """A value in base form as Avro, its arrays and maps cut into blocks, some with their size, at random."""
    node = schema.resolve(node)
    match node:
        case Record(fields=fields):
            return b"".join(encode_in_blocks(schema, f.type, value[f.name], choice) for f in fields)
        case Array(items=items):
            return _blocks([encode_in_blocks(schema, items, item, choice) for item in value], choice)
        case Map(values=values):
            entries = [(key.encode(), encode_in_blocks(schema, values, item, choice)) for key, item in value.items()]
            return _blocks([encode_long(len(key)) + key + item for key, item in entries], choice)
        case Union(branches=branches):
            name, inner = ("null", None) if value is None else value
            number = next(n for n, branch in enumerate(branches) if branch_name(branch) == name)
            return encode_long(number) + encode_in_blocks(schema, branches[number], inner, choice)
        case Enum(symbols=symbols):
            return encode_long(symbols.index(value))
        case Fixed():
            return bytes(value)
        case Primitive(name=name):
            return _primitive(name, value)
    raise AssertionError(node)


def _primitive(name: str, value: Any) -> bytes:
    match name:
        case "null":
            return b""
        case "boolean":
            return bytes([value])
        case "int" | "long":
            return encode_long(value)
        case "float" | "double":
            return struct.pack("<f" if name == "float" else "<d", value)
        case _:
            data = value.encode() if isinstance(value, str) else value
            return encode_long(len(data)) + data


def _blocks(items: list[bytes], choice: random.Random) -> bytes:
    parts = []
    while items:
        count = choice.randint(1, len(items))
        data, items = b"".join(items[:count]), items[count:]
        parts.append(encode_long(-count) + encode_long(len(data)) if choice.random() < 0.5 else encode_long(count))
        parts.append(data)
    return b"".join([*parts, b"\0"])
