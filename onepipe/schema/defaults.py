"""Default values: whether the JSON of a default is a value of its type.

Source: Apache Avro 1.12 specification, section "Complex Types", table of field default values. A default of a union
may be of any of its branches, as 1.12 has it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from onepipe.errors import SchemaError
from onepipe.schema import limits
from onepipe.schema.model import JSON, NO_DEFAULT, Array, Enum, Fixed, Map, Node, Primitive, Record, Schema, Union

_RANGES: Final = {"int": 1 << 31, "long": 1 << 63}


def require_valid_defaults(schema: Schema) -> None:
    """Check that each default in a schema is a value of its field's type.

    Raises:
        SchemaError: some are not; names every field.
    """
    faults = [
        f"{node.name}.{field.name}: {fault}"
        for node in schema.walk()
        if isinstance(node, Record)
        for field in node.fields
        if field.default is not NO_DEFAULT and (fault := default_fault(schema, field.type, field.default))
    ]
    if faults:
        raise SchemaError("; ".join(faults), remedy="a default is JSON of the field's type")


def default_fault(schema: Schema, node: Node, value: JSON) -> str | None:
    """Say why `value`, the JSON of a default, is not a value of type `node`; None where it is."""
    return next(_Check(schema).faults(node, value, 0), None)


class _Check:
    """Checks one default. Bounded: a record's own defaults can hold the record again, without end."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.steps = iter(range(limits.MAX_NODES))

    def faults(self, node: Node, value: JSON, depth: int) -> Iterator[str]:
        if depth > limits.MAX_DEPTH or next(self.steps, None) is None:
            yield "the default is too large, nested too deeply, or holds itself"
            return
        yield from self.type_faults(self.schema.resolve(node), value, depth)

    def type_faults(self, node: Node, value: JSON, depth: int) -> Iterator[str]:
        match node:
            case Primitive(name=name):
                if not _is_primitive(name, value):
                    yield f"the default is not of type {name}"
            case Fixed(name=name, size=size):
                if not _is_bytes(value) or len(value) != size:
                    yield f"the default is not {size} bytes for fixed {name}, each a character up to U+00FF"
            case Enum(name=name, symbols=symbols):
                if value not in symbols:
                    yield f"the default is not a symbol of enum {name}"
            case Union(branches=branches):
                if all(any(self.faults(branch, value, depth + 1)) for branch in branches):
                    yield "the default is of no branch of the union"
            case _:
                yield from self.container_faults(node, value, depth + 1)

    def container_faults(self, node: Node, value: JSON, depth: int) -> Iterator[str]:
        match node:
            case Array(items=items):
                if not isinstance(value, list):
                    yield "the default is not an array"
                    return
                for item in value:
                    yield from self.faults(items, item, depth)
            case Map(values=values):
                if not isinstance(value, dict):
                    yield "the default is not an object"
                    return
                for item in value.values():
                    yield from self.faults(values, item, depth)
            case Record(name=name, fields=fields):
                if not isinstance(value, dict):
                    yield f"the default is not an object for record {name}"
                    return
                for field in fields:
                    inner = value.get(field.name, field.default)
                    if inner is NO_DEFAULT:
                        yield f"the default lacks {field.name!r} of record {name}"
                    else:
                        yield from self.faults(field.type, inner, depth)


def _is_bytes(value: JSON) -> bool:
    return isinstance(value, str) and all(ord(character) < 256 for character in value)


def _is_primitive(name: str, value: JSON) -> bool:
    match name:
        case "null":
            return value is None
        case "boolean":
            return isinstance(value, bool)
        case "int" | "long":
            bound = _RANGES[name]
            return isinstance(value, int) and not isinstance(value, bool) and -bound <= value < bound
        case "float" | "double":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "bytes":
            return _is_bytes(value)
        case _:
            return isinstance(value, str)
