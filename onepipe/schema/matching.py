"""Which parts of a reader's and a writer's schema belong together: the shallow rules of Avro's schema resolution.

Resolution (decoding) and compatibility (checking) both rest on these rules, so that what is called compatible is what
can be read.

Source: Apache Avro 1.12 specification, sections "Schema Resolution" and "Aliases".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from onepipe.schema.model import Array, Enum, Field, Fixed, Map, Named, Node, Primitive, Record, Schema, Union

PROMOTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "int": ("long", "float", "double"),
    "long": ("float", "double"),
    "float": ("double",),
    "string": ("bytes",),
    "bytes": ("string",),
}
"""By the writer's primitive type, the other ones a reader may read it as, nearest first."""

_SAME, _SAME_BASE, _PROMOTED = 0, 2, 3


def same_name(reader: Named, writer: Named) -> bool:
    """Whether a reader's named type stands for a writer's: same unqualified name, or an alias that says so."""
    return _name_distance(reader, writer) is not None


def _name_distance(reader: Named, writer: Named) -> int | None:
    if reader.name == writer.name:
        return 0
    if writer.name in reader.aliases:
        return 1
    return 2 if reader.name.rpartition(".")[2] == writer.name.rpartition(".")[2] else None


def distance(reader: Node, writer: Node) -> int | None:
    """How far a reader's type is from a writer's, 0 being the same; None where they do not match.

    Types match by their kind and name only; whether what is inside can be read is not looked at. Neither may be a
    union or a reference.
    """
    match reader, writer:
        case Primitive(), Primitive():
            return _primitive_distance(reader, writer)
        case Fixed(), Fixed():
            return _name_distance(reader, writer) if reader.size == writer.size else None
        case Enum(), Enum():
            return _name_distance(reader, writer)
        case Record(), Record():
            return _name_distance(reader, writer)
        case (Array(), Array()) | (Map(), Map()):
            return 0
        case _:
            return None


def _primitive_distance(reader: Primitive, writer: Primitive) -> int | None:
    if reader.name == writer.name:
        return _SAME if reader.logical == writer.logical else _SAME_BASE
    promotions = PROMOTIONS.get(writer.name, ())
    return _PROMOTED + promotions.index(reader.name) if reader.name in promotions else None


def choose_branch(reader: Schema, union: Union, writer: Node) -> int | None:
    """The branch of a reader's union that reads a writer's type: its number, or None where none matches.

    The nearest one is chosen, and the first of equally near ones; so an int is read as an int by `["double", "int"]`,
    as Avro's own Java library has it.

    Args:
        reader: the schema that holds the union.
        union: the reader's union.
        writer: the writer's type, neither a union nor a reference.
    """
    found = ((distance(reader.resolve(branch), writer), number) for number, branch in enumerate(union.branches))
    ranked = [(far, number) for far, number in found if far is not None]
    return min(ranked)[1] if ranked else None


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
