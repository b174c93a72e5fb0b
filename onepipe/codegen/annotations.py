"""The annotation of which a type is derived."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from onepipe.codegen.layout import Either, Expression, Group, call, literal, subscript
from onepipe.codegen.names import Names, short_aliases
from onepipe.schema.derive import ordered
from onepipe.schema.literals import json_branch
from onepipe.schema.logical import LogicalType
from onepipe.schema.model import (
    JSON,
    NO_DEFAULT,
    Array,
    Enum,
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

_PRIMITIVES: Final = {
    "null": "None",
    "boolean": "bool",
    "int": "int",
    "long": "int",
    "float": "float",
    "double": "float",
    "bytes": "bytes",
    "string": "str",
}
_MARKED: Final = {"int": "int32", "float": "float32"}


class AnnotationWriter:
    """Writes the annotations of one schema's fields.

    Args:
        schema: the schema.
        names: names in the generated module.
        classes: name of the class of each record and enum.
    """

    def __init__(self, schema: Schema, names: Names, classes: Mapping[str, str]) -> None:
        self._schema = schema
        self._names = names
        self._classes = classes

    def field(self, node: Node, owner: str, field: str, default: JSON) -> Expression:
        """The annotation of a field.

        Args:
            node: its type.
            owner: full name of the record.
            field: name of the field.
            default: the default as JSON, or NO_DEFAULT.
        """
        place = (owner, field)
        if isinstance(node, Union):
            return self._union(node, place, self._derived(node, default))
        return self._type(node, place)

    def _derived(self, union: Union, default: JSON) -> Union:
        """The union as it would be derived of its branches in this order, null at the end."""
        branches = ordered(tuple(sorted(union.branches, key=lambda b: branch_name(b) == "null")), None)
        first = None if default is NO_DEFAULT else branches[json_branch(self._schema, Union(branches), default)]
        return Union(ordered(branches, first))

    def _union(self, union: Union, place: tuple[str, str], derived: Union | None) -> Expression:
        """A union; `derived` None asks for its order to be marked.

        Inside other types it is marked wherever two branches are not null: `typing` takes `list[int | str]` and
        `list[str | int]` for the same, and returns the one it made first.
        """
        others = [b for b in union.branches if branch_name(b) != "null"]
        nulls = len(union.branches) - len(others)
        types = (*(self._type(b, place) for b in others), *(["None"] * nulls))
        either = Either(types) if len(types) > 1 else types[0]
        if derived is not None and len(types) > 1 and derived.branches == union.branches:
            return either
        return self._marked(either, self._op("branches", *(literal(branch_name(b)) for b in union.branches)))

    def _type(self, node: Node, place: tuple[str, str]) -> Expression:
        match node:
            case Record(name=name) | Enum(name=name):
                return self._classes[name]
            case Reference(name=name):
                named = self._schema.resolve(node)
                return self._fixed(named, place) if isinstance(named, Fixed) else self._classes[name]
            case Fixed():
                return self._fixed(node, place)
            case Union():
                return self._union(node, place, self._derived(node, NO_DEFAULT) if node.nullable is not None else None)
            case Array(items=items):
                return self._further(subscript("list", self._type(items, place)), node.attributes)
            case Map(values=values):
                return self._further(subscript("dict", "str", self._type(values, place)), node.attributes)
            case Primitive():
                return self._primitive(node)

    def _primitive(self, node: Primitive) -> Expression:
        if node.logical is not None:
            type_, markers = self._logical(node.logical)
            return self._further(type_, node.attributes, *markers)
        markers = [f"{self._names.onepipe}.{_MARKED[node.name]}"] if node.name in _MARKED else []
        return self._further(_PRIMITIVES[node.name], node.attributes, *markers)

    def _logical(self, logical: LogicalType) -> tuple[str, list[Expression]]:
        """The Python type and the markers of a logical type over a primitive."""
        if logical.name == "decimal":
            marker = self._op("decimal", literal(logical.precision), literal(logical.scale))
            return self._names.use("Decimal"), [marker]
        if logical.name == "uuid":
            return self._names.use("UUID"), []
        markers: list[Expression] = [f"{self._names.onepipe}.local"] if logical.name.startswith("local") else []
        if logical.name.endswith("millis"):
            markers.append(f"{self._names.onepipe}.millis")
        type_ = "datetime" if "timestamp" in logical.name else logical.name.partition("-")[0]
        return f"{self._names.use('dt')}.{type_}", markers

    def _fixed(self, node: Fixed, place: tuple[str, str]) -> Expression:
        logical = node.logical.name if node.logical else None
        if logical == "decimal" and node.logical is not None:
            digits = literal(node.logical.precision), literal(node.logical.scale)
            type_, markers = self._names.use("Decimal"), [self._op("decimal", *digits, size=literal(node.size))]
        elif logical == "duration":
            type_, markers = f"{self._names.onepipe}.Duration", []
        else:
            type_ = self._names.use("UUID") if logical == "uuid" else "bytes"
            markers = [self._op("fixed", literal(node.size))]
        return self._further(type_, node.attributes, *markers, *self._name(node, place))

    def _name(self, node: Fixed, place: tuple[str, str]) -> list[Expression]:
        """The marker of a fixed type's name; none where it is the one it would be given."""
        owner, field = place
        space, _, last = node.name.rpartition(".")
        inner = owner.rpartition(".")[0]
        if node.name == f"{owner}_{field}" and not node.aliases:
            return []
        named: dict[str, Expression] = {"namespace": literal(space)} if space != inner else {}
        if node.aliases:
            named["aliases"] = literal(short_aliases(node))
        return [self._op("avro_name", literal(last), **named)]

    def _further(self, type_: Expression, attributes: Mapping[str, JSON], *markers: Expression) -> Expression:
        if attributes:
            markers = (*markers, self._op("attributes", literal(attributes)))
        return self._marked(type_, *markers) if markers else type_

    def _marked(self, type_: Expression, *markers: Expression) -> Expression:
        return subscript(self._names.use("Annotated"), type_, *markers)

    def _op(self, name: str, *arguments: Expression, **named: Expression) -> Group:
        return call(f"{self._names.onepipe}.{name}", *arguments, **named)
