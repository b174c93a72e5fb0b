"""The values that the defaults of a schema stand for.

A default is JSON: bytes are ISO-8859-1 text, and a union's is of the first branch it fits, as Avro 1.12 has it.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, cast

from onepipe.errors import SchemaError, nearest
from onepipe.schema.defaults import default_fault
from onepipe.schema.model import JSON, Array, Enum, Map, Node, Primitive, Record, Schema, Union, branch_name
from onepipe.schema.symbols import enum_symbols
from onepipe.schema.values import Leaf, from_base


def default_value(
    schema: Schema, node: Node, default: JSON, *, classes: Mapping[str, type], pairs: bool = False
) -> Any:
    """The logical value of a default; a new one at each call.

    Args:
        schema: the schema that holds the type.
        node: the type of the field.
        default: the JSON of the default.
        classes: Python classes by the full names they stand for.
        pairs: whether a value of a general union stands as `(branch name, value)`, for encoding it.

    Raises:
        SchemaError: the default is not a value of the type.
    """
    fault = default_fault(schema, node, default)
    if fault is not None:
        raise SchemaError(fault, remedy="a default is JSON of the field's type")
    return _Defaults(schema, classes, pairs).value(node, default)


class _Defaults:
    """Makes values of defaults that are known to fit."""

    def __init__(self, schema: Schema, classes: Mapping[str, type], pairs: bool) -> None:
        self.schema = schema
        self.classes = classes
        self.pairs = pairs

    def value(self, node: Node, default: JSON) -> Any:
        node = self.schema.resolve(node)
        match node:
            case Record():
                return self.record(node, default)
            case Array(items=items):
                return [self.value(items, item) for item in default]
            case Map(values=values):
                return {key: self.value(values, item) for key, item in default.items()}
            case Union(branches=branches):
                branch = next(b for b in branches if default_fault(self.schema, b, default) is None)
                value = self.value(branch, default)
                return (branch_name(branch), value) if self.pairs and node.nullable is None else value
            case Enum(name=name):
                cls = self.classes.get(name)
                return _member(cls, default) if cls else default
            case _:
                return self.leaf(cast("Leaf", node), default)

    def record(self, node: Record, default: JSON) -> Any:
        fields = {f.name: self.value(f.type, default.get(f.name, f.default)) for f in node.fields}
        cls = self.classes.get(node.name)
        return cls(**fields) if cls else fields

    @staticmethod
    def leaf(node: Leaf, default: JSON) -> Any:
        textual = isinstance(node, Primitive) and node.name != "bytes"
        if not textual:
            return from_base(node, default.encode("iso-8859-1"))
        return float(default) if node.name in ("float", "double") else from_base(node, default)


def _member(cls: type[enum.Enum], symbol: str) -> enum.Enum:
    members = enum_symbols(cls)
    if symbol not in members:
        raise SchemaError(f"the default {symbol!r} is no member of {cls.__name__}{nearest(symbol, members)}")
    return members[symbol]
