"""Avro schemas as Arrow schemas that Parquet, Delta, DuckDB and Spark can hold.

The table is in docs/reference/avro-arrow.md. Where Delta lacks a type (unsigned, time of day, nanoseconds, decimals
beyond 38 digits, unions, null, a struct without members), the nearest one that loses nothing is taken.

Every field is nullable, nested ones too: what is required today may be optional tomorrow, and a lake's table must
hold both. A field's doc is metadata of its column (`doc`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

import pyarrow as pa

from onepipe.errors import SchemaError
from onepipe.schema import limits
from onepipe.schema.model import (
    Array,
    Enum,
    Field,
    Fixed,
    Map,
    Node,
    Primitive,
    Record,
    Reference,
    Schema,
    Union,
    branch_name,
)

MAX_DECIMAL_DIGITS: Final = 38
"""Digits that a Delta decimal, and Arrow's decimal128, can have."""

_PRIMITIVES: Final[Mapping[str, pa.DataType]] = {
    "null": pa.bool_(),
    "boolean": pa.bool_(),
    "int": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "bytes": pa.binary(),
    "string": pa.string(),
}
_LOGICAL: Final[Mapping[str, pa.DataType]] = {
    "date": pa.date32(),
    "time-millis": pa.int64(),
    "time-micros": pa.int64(),
    "timestamp-millis": pa.timestamp("us", "UTC"),
    "timestamp-micros": pa.timestamp("us", "UTC"),
    "local-timestamp-millis": pa.timestamp("us"),
    "local-timestamp-micros": pa.timestamp("us"),
    "uuid": pa.string(),
    "duration": pa.struct([(name, pa.int64()) for name in ("months", "days", "milliseconds")]),
}


def arrow_schema(schema: Schema) -> pa.Schema:
    """The Arrow schema of a record's fields, in order.

    Raises:
        SchemaError: the root is not a record, a type contains itself, or the type written out is beyond
            `onepipe.schema.limits`.
    """
    if not isinstance(schema.root, Record):
        raise SchemaError("only a record has columns", remedy="wrap the type in a record of one field")
    return pa.schema(_Mapping(schema).fields(schema.root))


def arrow_type(schema: Schema, node: Node) -> pa.DataType:
    """The Arrow type that holds the values of a type of the schema.

    Raises:
        SchemaError: a type contains itself, or written out is beyond `onepipe.schema.limits`.
    """
    return _Mapping(schema).type(node)


def is_null(node: Node) -> bool:
    """Whether the type is Avro's null."""
    return isinstance(node, Primitive) and node.name == "null"


def member_names(union: Union) -> tuple[str | None, ...]:
    """By branch, the name of the struct's member that holds it; None for null, which has no member.

    A branch's name is its type's, without namespace unless two branches would then have the same name, in any case.
    """
    names = [branch_name(branch) for branch in union.branches]
    shorts = [name.rpartition(".")[2] for name in names]
    uses = Counter(map(str.casefold, shorts))
    return tuple(
        None if is_null(branch) else short if uses[short.casefold()] == 1 else name
        for branch, name, short in zip(union.branches, names, shorts, strict=True)
    )


def sole_branch(union: Union) -> int | None:
    """The number of the only branch that is not null; None where there are several, or none."""
    others = [number for number, branch in enumerate(union.branches) if not is_null(branch)]
    return others[0] if len(others) == 1 else None


class _Mapping:
    """Maps the types of one schema; knows which records are open, and how many types came out so far."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.open: list[str] = []
        self.types = 0

    def type(self, node: Node) -> pa.DataType:
        self.types += 1
        if self.types > limits.MAX_NODES:
            raise SchemaError(f"the schema written out, each reference in full, has more than {limits.MAX_NODES} types")
        match self.schema.resolve(node):
            case Primitive() | Fixed() | Enum() as leaf:
                return _leaf_type(leaf)
            case Array(items=items):
                return pa.list_(pa.field("element", self.type(items)))
            case Map(values=values):
                return pa.map_(pa.string(), pa.field("value", self.type(values)))
            case Union() as union:
                return self.union(union)
            case Record() as record:
                return pa.struct(self.fields(record)) if record.fields else pa.bool_()
            case Reference(name=name):
                raise SchemaError(f"{name} is not defined")

    def union(self, union: Union) -> pa.DataType:
        if (sole := sole_branch(union)) is not None:
            return self.type(union.branches[sole])
        members = [
            pa.field(name, self.type(branch))
            for name, branch in zip(member_names(union), union.branches, strict=True)
            if name is not None
        ]
        return pa.struct(members) if members else pa.bool_()

    def fields(self, record: Record) -> list[pa.Field]:
        if record.name in self.open:
            raise SchemaError(
                f"record {record.name} contains itself, which no column can hold",
                remedy="declare the inner one as a string or bytes that holds it encoded",
            )
        self.open.append(record.name)
        fields = [self.field(field) for field in record.fields]
        self.open.pop()
        return fields

    def field(self, field: Field) -> pa.Field:
        return pa.field(field.name, self.type(field.type), metadata={"doc": field.doc} if field.doc else None)


def _leaf_type(node: Primitive | Fixed | Enum) -> pa.DataType:
    if isinstance(node, Enum):
        return pa.string()
    logical = node.logical
    if logical is None:
        return _PRIMITIVES[node.name] if isinstance(node, Primitive) else pa.binary()
    if logical.name == "decimal":
        exact = logical.precision <= MAX_DECIMAL_DIGITS
        return pa.decimal128(logical.precision, logical.scale) if exact else pa.string()
    return _LOGICAL[logical.name]
