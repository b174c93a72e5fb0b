"""Which parts of a reader's and a writer's schema belong together: the shallow rules of Avro's schema resolution.

Resolution (decoding) and compatibility (checking) both rest on these rules, so that what is called compatible is what
can be read.

Source: Apache Avro 1.12 specification, sections "Schema Resolution" and "Aliases".
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final, TypeAlias

import attrs

from onepipe.schema.model import Enum, Field, Fixed, Named, Node, Primitive, Record, Schema, Union

PROMOTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "int": ("long", "float", "double"),
    "long": ("float", "double"),
    "float": ("double",),
    "string": ("bytes",),
    "bytes": ("string",),
}
"""By the writer's primitive type, the other ones a reader may read it as, nearest first."""

_Key: TypeAlias = tuple[str | int, ...]


def same_name(reader: Named, writer: Named) -> bool:
    """Whether a reader's named type stands for a writer's: same unqualified name, or an alias that says so."""
    return not set(_offered_names(reader)).isdisjoint(_wanted_names(writer))


def distance(reader: Node, writer: Node) -> int | None:
    """How far a reader's type is from a writer's, 0 being the same; None where they do not match.

    Types match by their kind and name only; whether what is inside can be read is not looked at. Neither may be a
    union or a reference.
    """
    offered = _offered(reader)
    return next((far for far, key in enumerate(_wanted(writer)) if key in offered), None)


def choose_branch(reader: Schema, union: Union, writer: Node) -> int | None:
    """The branch of a reader's union that reads a writer's type: its number, or None where none matches.

    The nearest one is chosen, and the first of equally near ones; so an int is read as an int by `["double", "int"]`,
    as Avro's own Java library has it.

    Args:
        reader: the schema that holds the union.
        union: the reader's union.
        writer: the writer's type, neither a union nor a reference.
    """
    index = _branch_index(_Site(reader, union))
    return next((index[key] for key in _wanted(writer) if key in index), None)


@attrs.frozen(eq=False)
class _Site:
    """A union in a schema, equal to nothing but itself."""

    reader: Schema
    union: Union

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Site) and self.reader is other.reader and self.union is other.union

    def __hash__(self) -> int:
        return id(self.union)


@lru_cache(256)
def _branch_index(site: _Site) -> Mapping[_Key, int]:
    """The first branch that offers each key. Kept, for a union may have thousands of branches on either side."""
    index: dict[_Key, int] = {}
    for number, branch in enumerate(site.union.branches):
        for key in _offered(site.reader.resolve(branch)):
            index.setdefault(key, number)
    return index


def _offered(reader: Node) -> tuple[_Key, ...]:
    """What a reader's type can read: the keys it has in common with what a writer's type wants."""
    if isinstance(reader, Record | Enum | Fixed):
        return tuple((*_kind(reader), *key) for key in _offered_names(reader))
    return (_kind(reader),)


def _wanted(writer: Node) -> tuple[_Key, ...]:
    """What a writer's type can be read by, nearest first."""
    if isinstance(writer, Record | Enum | Fixed):
        return tuple((*_kind(writer), *key) for key in _wanted_names(writer))
    if isinstance(writer, Primitive):
        return ((writer.name,), *((name,) for name in PROMOTIONS.get(writer.name, ())))
    return (_kind(writer),)


def _kind(node: Node) -> _Key:
    if isinstance(node, Primitive):
        return (node.name,)
    return ("fixed", node.size) if isinstance(node, Fixed) else (type(node).__name__.lower(),)


def _offered_names(reader: Named) -> tuple[_Key, ...]:
    aliases = (("alias", alias) for alias in reader.aliases)
    return (("name", reader.name), *aliases, ("unqualified", _unqualified(reader)))


def _wanted_names(writer: Named) -> tuple[_Key, ...]:
    return (("name", writer.name), ("alias", writer.name), ("unqualified", _unqualified(writer)))


def _unqualified(node: Named) -> str:
    return node.name.rpartition(".")[2]


def pair_fields(reader: Record, writer: Record) -> dict[str, Field | None]:
    """By name of each of the reader's fields, the writer's field it is read from; None where there is none.

    A field of the same name comes before an alias, and one field of the writer feeds one of the reader.
    """
    written = {field.name: field for field in writer.fields}
    free = written.keys() - {field.name for field in reader.fields}
    pairs: dict[str, Field | None] = {}
    for field in reader.fields:
        source = field.name if field.name in written else next((a for a in field.aliases if a in free), None)
        free.discard(source or "")
        pairs[field.name] = written[source] if source is not None else None
    return pairs
