"""The types of an Avro schema, as a tree of immutable nodes.

A tree keeps every attribute of its document, known to Avro or not. A named type that is used again stands as a
`Reference`.

Source: Apache Avro 1.12 specification, section "Schema Declaration".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import attrs

from onepipe.errors import SchemaError, nearest
from onepipe.schema.logical import LogicalType

PRIMITIVES: Final = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})

JSON: TypeAlias = Any  # a JSON value has no finite static type
Attributes: TypeAlias = Mapping[str, JSON]

NO_ATTRIBUTES: Attributes = MappingProxyType({})


class _NoDefault:
    """The mark of a field without default; None is a default."""

    def __repr__(self) -> str:
        return "NO_DEFAULT"


NO_DEFAULT: Final = _NoDefault()


@attrs.frozen(hash=False)
class Primitive:
    """One of Avro's eight primitive types, perhaps with a logical type."""

    name: str
    logical: LogicalType | None = None
    attributes: Attributes = NO_ATTRIBUTES


@attrs.frozen(hash=False)
class Fixed:
    """A named type of exactly `size` bytes, perhaps with a logical type."""

    name: str
    size: int
    logical: LogicalType | None = None
    aliases: tuple[str, ...] = ()
    attributes: Attributes = NO_ATTRIBUTES


@attrs.frozen(hash=False)
class Enum:
    """A named type of one of several symbols; `default` stands for symbols a reader does not know."""

    name: str
    symbols: tuple[str, ...]
    default: str | None = None
    aliases: tuple[str, ...] = ()
    doc: str | None = None
    attributes: Attributes = NO_ATTRIBUTES


@attrs.frozen(hash=False)
class Array:
    """A sequence of items of one type."""

    items: Node
    attributes: Attributes = NO_ATTRIBUTES


@attrs.frozen(hash=False)
class Map:
    """Values of one type under string keys."""

    values: Node
    attributes: Attributes = NO_ATTRIBUTES


@attrs.frozen(hash=False)
class Union:
    """One of several types."""

    branches: tuple[Node, ...]

    @property
    def nullable(self) -> Node | None:
        """The other branch of a union of null and one more type, else None."""
        if len(self.branches) != 2:
            return None
        others = [b for b in self.branches if not (isinstance(b, Primitive) and b.name == "null")]
        return others[0] if len(others) == 1 else None


@attrs.frozen(hash=False)
class Reference:
    """A named type that is defined elsewhere in the schema, by its full name."""

    name: str


@attrs.frozen(hash=False)
class Field:
    """A field of a record. `default` is the JSON of the document, or NO_DEFAULT."""

    name: str
    type: Node
    default: JSON = NO_DEFAULT
    doc: str | None = None
    aliases: tuple[str, ...] = ()
    order: str | None = None
    attributes: Attributes = NO_ATTRIBUTES


@attrs.frozen(hash=False)
class Record:
    """A named type of fields in order."""

    name: str
    fields: tuple[Field, ...]
    aliases: tuple[str, ...] = ()
    doc: str | None = None
    attributes: Attributes = NO_ATTRIBUTES

    def field(self, name: str) -> Field:
        """The field of that name.

        Raises:
            SchemaError: there is none; says the nearest match.
        """
        for field in self.fields:
            if field.name == name:
                return field
        hint = nearest(str(name), [field.name for field in self.fields])
        raise SchemaError(f"record {self.name} has no field {name!r}{hint}")


Node: TypeAlias = Primitive | Fixed | Enum | Array | Map | Union | Reference | Record
Named: TypeAlias = Fixed | Enum | Record


def children(node: Node) -> Iterator[Node]:
    """The types directly inside a type."""
    match node:
        case Record(fields=fields):
            yield from (f.type for f in fields)
        case Array(items=items):
            yield items
        case Map(values=values):
            yield values
        case Union(branches=branches):
            yield from branches
        case _:
            return


def branch_name(node: Node) -> str:
    """What tells a branch of a union from the others: a named type's full name, else the kind of type."""
    match node:
        case Primitive(name=name) | Fixed(name=name) | Enum(name=name) | Record(name=name) | Reference(name=name):
            return name
        case _:
            return type(node).__name__.lower()
