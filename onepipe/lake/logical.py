"""From the lake's columns back to records: the logical values of what Arrow holds.

The inverse of what `onepipe.schema.arrow` and the columnar decoder make of Avro, so that a record read from the lake
equals the one that was published.
"""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final, TypeAlias
from uuid import UUID

from onepipe.errors import SchemaError
from onepipe.schema.arrow import member_names, sole_branch
from onepipe.schema.model import Array, Enum, Map, Node, Record, Reference, Schema, Union
from onepipe.schema.symbols import enum_symbols
from onepipe.schema.values import Duration, Leaf, kind_of, time_from

Convert: TypeAlias = Callable[[Any], Any]
"""From the Python value that pyarrow gives of a column's value, which is not None, to the logical value."""


def _utc(moment: dt.datetime) -> dt.datetime:
    """A moment in UTC with the zone that decoding gives; pyarrow's differs by where in a column it stands."""
    return moment.replace(tzinfo=dt.UTC)


_LEAVES: Final[Mapping[str, Convert]] = {
    "timestamp-millis": _utc,
    "timestamp-micros": _utc,
    "time-millis": time_from,
    "time-micros": time_from,
    "decimal": Decimal,
    "uuid": UUID,
    "duration": lambda members: Duration(**members),
}


def compile_record(schema: Schema, classes: Mapping[str, type]) -> Convert:
    """The function from a row, as dict of pyarrow's values, to the record it holds.

    Args:
        schema: a record's schema.
        classes: Python classes of records and enums by full name; dicts and symbols stand for the others.
    """
    return _Compiler(schema, classes).convert(schema.root)


class _Compiler:
    def __init__(self, schema: Schema, classes: Mapping[str, type]) -> None:
        self.schema = schema
        self.classes = classes

    def convert(self, node: Node) -> Convert:
        match self.schema.resolve(node):
            case Record() as record:
                return self.record(record)
            case Array(items=items):
                item = self.optional(items)
                return lambda values: [item(value) for value in values]
            case Map(values=values):
                value_of = self.optional(values)
                return lambda pairs: {key: value_of(value) for key, value in pairs}
            case Union() as union:
                return self.union(union)
            case Reference(name=name):
                raise SchemaError(f"{name} is not defined")
            case leaf:
                return self.leaf(leaf)

    def optional(self, node: Node) -> Convert:
        convert = self.convert(node)
        return lambda value: None if value is None else convert(value)

    def record(self, record: Record) -> Convert:
        make: Callable[..., Any] = self.classes.get(record.name, dict)
        if not record.fields:
            return lambda _: make()
        fields = [(field.name, self.optional(field.type)) for field in record.fields]
        return lambda row: make(**{name: convert(row[name]) for name, convert in fields})

    def union(self, union: Union) -> Convert:
        if (sole := sole_branch(union)) is not None:
            return self.convert(union.branches[sole])
        members = {
            name: self.convert(branch)
            for name, branch in zip(member_names(union), union.branches, strict=True)
            if name is not None
        }
        return lambda held: next((members[name](held[name]) for name in members if held[name] is not None), None)

    def leaf(self, node: Leaf) -> Convert:
        if isinstance(node, Enum):
            cls = self.classes.get(node.name)
            return _member(cls) if cls is not None and issubclass(cls, enum.Enum) else _same
        if kind_of(node) == "null":
            return lambda _: None
        return _LEAVES.get(kind_of(node), _same)


def _member(cls: type[enum.Enum]) -> Convert:
    return enum_symbols(cls).__getitem__


def _same(value: Any) -> Any:
    return value
