"""Python annotations as Avro types.

str, bytes, bool, None         string, bytes, boolean, null
int, float                     long, double; with `int32`, `float32` Avro's int, float
Decimal                        decimal over bytes, or over fixed with a size; needs `decimal(precision, scale)`
date, time                     date, time-micros; with `millis` time-millis
datetime                       timestamp-micros; with `millis`, `local` the others
UUID                           uuid as text; with `fixed(16)` as bytes
Duration                       duration
Enum, Literal["a", "b"]        enum
list[T], Sequence[T], tuple[T, ...]   array
dict[str, T], Mapping[str, T]  map
a class made by @record        record
T | None, S | T                union

"""

from __future__ import annotations

import collections.abc as abc
import datetime as dt
import enum
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final, Literal
from uuid import UUID

import attrs

from onepipe.errors import DeclarationError, SchemaError
from onepipe.schema.declared import DECLARED, EnumSource, FieldSource, RecordDeclaration
from onepipe.schema.defaults import default_fault
from onepipe.schema.literals import branch_of, json_branch, to_json
from onepipe.schema.logical import LogicalType
from onepipe.schema.markers import Marker
from onepipe.schema.model import (
    JSON,
    NO_DEFAULT,
    Array,
    Enum,
    Field,
    Fixed,
    Map,
    Named,
    Node,
    Primitive,
    Record,
    Reference,
    Schema,
    Union,
    branch_name,
)
from onepipe.schema.symbols import enum_symbols
from onepipe.schema.values import Duration

_SETS: Final = (set, frozenset, abc.Set, abc.MutableSet)
_ARRAYS: Final = (list, abc.Sequence, abc.MutableSequence)
_MAPS: Final = (dict, abc.Mapping, abc.MutableMapping)


@attrs.frozen
class Derived:
    """The schema of a class, and the class of each record and enum in it by full name."""

    schema: Schema
    classes: Mapping[str, type]


def derive(cls: type) -> Derived:
    """The schema of a record class.

    Raises:
        DeclarationError: an annotation or a default has no Avro type or value; names class, field and remedy.
    """
    derivation = _Derivation()
    root = derivation.record(cls, "", nested=False)
    schema = Schema(root, typing.cast("Mapping[str, Named]", derivation.names))
    try:
        return Derived(Schema.parse(schema.document()), types.MappingProxyType(derivation.classes))
    except SchemaError as error:
        raise DeclarationError(f"{cls.__qualname__}: {error.message}", field=error.field) from error


def full_name(name: str, namespace: str | None, inherited: str) -> str:
    """A name in its namespace; a name with dots is full already, and `namespace` None is the inherited one."""
    space = inherited if namespace is None else namespace
    return f"{space}.{name}" if space and "." not in name else name


def ordered(branches: tuple[Node, ...], first: Node | None) -> tuple[Node, ...]:
    """The branches of a union in the order that is given to them: `first`, then null, then the others as written."""
    rank = {id(first): -1}
    return tuple(sorted(branches, key=lambda b: rank.get(id(b), 0 if branch_name(b) == "null" else 1)))


@attrs.frozen
class _Place:
    """Where an annotation stands: field of which class, and of which record by its full name."""

    owner: str
    field: FieldSource
    record: str

    @property
    def space(self) -> str:
        """The namespace of what is defined here."""
        return self.record.rpartition(".")[0]

    def fail(self, message: str, remedy: str | None = None) -> DeclarationError:
        return DeclarationError(f"{self.owner}: {message}", field=self.field.name, remedy=remedy)


class _Marks:
    """The markers of one annotation; each must be used by the type it stands on."""

    def __init__(self, markers: tuple[Any, ...]) -> None:
        self.left: dict[str, Any] = {m.kind: m for m in markers if isinstance(m, Marker)}

    def take(self, kind: str) -> Any:
        return self.left.pop(kind, None)


class _Derivation:
    """Derives one schema: keeps the names defined so far, and which class stands for which."""

    def __init__(self) -> None:
        self.names: dict[str, Named | None] = {}
        self.classes: dict[str, type] = {}
        self.of_class: dict[type, str] = {}

    @property
    def schema(self) -> Schema:
        """The names so far, to resolve references by."""
        return Schema(Primitive("null"), typing.cast("Mapping[str, Named]", self.names))

    def record(self, cls: type, space: str, *, nested: bool = True) -> Record | Reference:
        if cls in self.of_class:
            return Reference(self.of_class[cls])
        declaration: RecordDeclaration = cls.__dict__[DECLARED]
        source = declaration.source(nested=nested)
        name = full_name(source.name, source.namespace, space)
        self.claim(name, cls)
        fields = tuple(self.field(f, _Place(cls.__qualname__, f, name)) for f in source.fields)
        record = Record(name, fields, source.aliases, source.doc, source.attributes)
        self.names[name] = record
        return record

    def claim(self, name: str, cls: type) -> None:
        if name in self.names:
            known = self.classes.get(name)
            other = f"{known.__module__}.{known.__qualname__}" if known else "another type"
            remedy = "give one of them another name= or namespace="
            raise DeclarationError(f"{cls.__qualname__}: {other} has the Avro name {name} too", remedy=remedy)
        self.names[name] = None
        self.classes[name] = cls
        self.of_class[cls] = name

    def field(self, source: FieldSource, place: _Place) -> Field:
        node = self.node(source.annotation, place)
        try:
            if isinstance(node, Union) and not _has_marker(source.annotation, "branches"):
                node = Union(ordered(node.branches, self.default_branch(node, source)))
            default = self.default(node, source)
        except SchemaError as error:
            raise place.fail(f"default: {error.message}") from error
        return Field(source.name, node, default, source.doc, source.aliases, None, source.attributes)

    def default(self, node: Node, source: FieldSource) -> JSON:
        if source.json_default is not NO_DEFAULT:
            fault = default_fault(self.schema, node, source.json_default)
            if fault:
                raise SchemaError(fault)
            return source.json_default
        if source.default is NO_DEFAULT:
            return NO_DEFAULT
        return to_json(self.schema, node, source.default, self.classes)

    def default_branch(self, node: Union, source: FieldSource) -> Node | None:
        if source.json_default is not NO_DEFAULT:
            return node.branches[json_branch(self.schema, node, source.json_default)]
        if source.default is not NO_DEFAULT:
            return node.branches[branch_of(self.schema, node, source.default, self.classes)]
        return None

    def node(self, annotation: Any, place: _Place, markers: tuple[Any, ...] = ()) -> Node:
        annotation, inner = unwrap(annotation)
        marks = _Marks((*inner, *markers))
        node = self.attributed(self.unmarked(annotation, marks, place), marks)
        if marks.take("branches"):  # a union of one
            node = Union((node,))
        if marks.left:
            unused = ", ".join(marks.left)
            raise place.fail(f"{unused} does not apply to {_text(annotation)}")
        return node

    def attributed(self, node: Node, marks: _Marks) -> Node:
        """The type with the attributes its marker gives; a class gives its own by its decorator."""
        if isinstance(node, Union | Reference | Record) or getattr(node, "name", None) in self.classes:
            return node
        if (marker := marks.take("attributes")) is None:
            return node
        node = attrs.evolve(node, attributes={**node.attributes, **marker.mapping})
        if isinstance(node, Enum | Fixed):
            self.names[node.name] = node
        return node

    def unmarked(self, annotation: Any, marks: _Marks, place: _Place) -> Node:
        origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
        if origin in (typing.Union, types.UnionType):
            return self.union(arguments, marks, place)
        if origin is Literal:
            return self.literal(arguments, marks, place)
        if origin is not None and not arguments:  # typing.List and its like, of nothing
            origin, annotation = None, origin
        if origin in _ARRAYS or (origin is tuple and arguments[1:] == (...,)):
            return Array(self.node(arguments[0], place))
        if origin in _MAPS:
            if arguments[0] is not str:
                raise place.fail(f"{_text(annotation)}: the keys of an Avro map are str", "use dict[str, …]")
            return Map(self.node(arguments[1], place))
        if isinstance(annotation, type) and origin is None:
            return self.of_type(annotation, marks, place)
        raise _unsupported(annotation, origin, place)

    def of_type(self, cls: type, marks: _Marks, place: _Place) -> Node:
        if issubclass(cls, enum.Enum):
            return self.enum(cls, place)
        if DECLARED in cls.__dict__:
            return self.record(cls, place.space)
        if cls in _LEAVES:
            return _LEAVES[cls](self, marks, place)
        raise _unsupported(cls, None, place)

    def union(self, arguments: tuple[Any, ...], marks: _Marks, place: _Place) -> Union:
        order = marks.take("branches")
        inner: tuple[Any, ...] = ()
        if len([a for a in arguments if a is not type(None)]) == 1:  # markers on an optional are meant for its type
            inner = tuple(marks.left.values())
            marks.left.clear()
        branches = tuple(self.node(a, place, () if a is type(None) else inner) for a in arguments)
        if order is None:
            return Union(ordered(branches, None))
        by_name = {branch_name(branch): branch for branch in branches}
        if sorted(order.names) != sorted(by_name):
            found = ", ".join(map(repr, by_name))
            raise place.fail(f"branches(…) names {', '.join(map(repr, order.names))}; the union has {found}")
        return Union(tuple(by_name[name] for name in order.names))

    def literal(self, arguments: tuple[Any, ...], marks: _Marks, place: _Place) -> Node:
        if not all(isinstance(argument, str) for argument in arguments):
            raise place.fail("an enum's symbols are text", "use Literal of strings, or an Enum")
        return self.anonymous(Enum("", arguments), marks, place)

    def anonymous(self, node: Enum | Fixed, marks: _Marks, place: _Place) -> Node:
        """A named type without Python class: named by its marker, else after the field; the same one again is it."""
        marker = marks.take("avro_name")
        name = f"{place.record}_{place.field.name}"
        aliases: tuple[str, ...] = ()
        if marker is not None:
            name = full_name(marker.name, marker.namespace, place.space)
            aliases = marker.aliases
        named = attrs.evolve(node, name=name, aliases=aliases)
        further = marks.left.get("attributes")
        if name not in self.names:
            self.names[name] = named
            return named
        if self.names[name] != (named if further is None else attrs.evolve(named, attributes=further.mapping)):
            raise place.fail(f"another type has the Avro name {name} too", 'name it: avro_name("…")')
        marks.take("attributes")
        return Reference(name)

    def enum(self, cls: type[enum.Enum], place: _Place) -> Node:
        if cls in self.of_class:
            return Reference(self.of_class[cls])
        source = cls.__dict__.get(DECLARED) or EnumSource(cls.__name__)
        name = full_name(source.name, source.namespace, place.space)
        self.claim(name, cls)
        doc = cls.__dict__.get("__doc__") if source.doc is None else source.doc
        symbols = tuple(enum_symbols(cls))
        doc = inspect.cleandoc(doc) if doc and source.doc is None else doc
        node = Enum(name, symbols, source.default, source.aliases, doc, source.attributes)
        self.names[name] = node
        return node

    def integer(self, marks: _Marks, _place: _Place) -> Node:
        return Primitive("int" if marks.take("int32") else "long")

    def floating(self, marks: _Marks, _place: _Place) -> Node:
        return Primitive("float" if marks.take("float32") else "double")

    def time(self, marks: _Marks, _place: _Place) -> Node:
        if marks.take("millis"):
            return Primitive("int", LogicalType("time-millis"))
        return Primitive("long", LogicalType("time-micros"))

    def datetime(self, marks: _Marks, _place: _Place) -> Node:
        kind = "local-timestamp" if marks.take("local") else "timestamp"
        return Primitive("long", LogicalType(f"{kind}-{'millis' if marks.take('millis') else 'micros'}"))

    def decimal(self, marks: _Marks, place: _Place) -> Node:
        marker = marks.take("decimal")
        if marker is None:
            raise place.fail("Decimal says nothing of its digits", "use Annotated[Decimal, decimal(precision, scale)]")
        logical = LogicalType("decimal", marker.precision, marker.scale)
        if marker.size is None:
            return Primitive("bytes", logical)
        return self.anonymous(Fixed("", marker.size, logical), marks, place)

    def binary(self, marks: _Marks, place: _Place) -> Node:
        marker = marks.take("fixed")
        return Primitive("bytes") if marker is None else self.anonymous(Fixed("", marker.size), marks, place)

    def uuid(self, marks: _Marks, place: _Place) -> Node:
        marker = marks.take("fixed")
        if marker is None:
            return Primitive("string", LogicalType("uuid"))
        if marker.size != 16:
            raise place.fail("a UUID has 16 bytes", "use fixed(16)")
        return self.anonymous(Fixed("", 16, LogicalType("uuid")), marks, place)

    def duration(self, marks: _Marks, place: _Place) -> Node:
        return self.anonymous(Fixed("", 12, LogicalType("duration")), marks, place)


_LEAVES: Final[Mapping[type, Callable[[_Derivation, _Marks, _Place], Node]]] = {
    type(None): lambda *_: Primitive("null"),
    str: lambda *_: Primitive("string"),
    bool: lambda *_: Primitive("boolean"),
    int: _Derivation.integer,
    float: _Derivation.floating,
    bytes: _Derivation.binary,
    dt.date: lambda *_: Primitive("int", LogicalType("date")),
    dt.time: _Derivation.time,
    dt.datetime: _Derivation.datetime,
    Decimal: _Derivation.decimal,
    UUID: _Derivation.uuid,
    Duration: _Derivation.duration,
}


def unwrap(annotation: Any) -> tuple[Any, tuple[Any, ...]]:
    """An annotation without `Annotated`, NewType and type aliases, and the markers they held."""
    markers: tuple[Any, ...] = ()
    while True:
        if typing.get_origin(annotation) is typing.Annotated:
            markers = (*markers, *annotation.__metadata__)
            annotation = annotation.__origin__
        elif isinstance(annotation, typing.NewType):
            annotation = annotation.__supertype__
        elif hasattr(annotation, "__value__"):  # an alias made by Python 3.12's type statement
            annotation = annotation.__value__
        else:
            return type(None) if annotation is None else annotation, markers


def _has_marker(annotation: Any, kind: str) -> bool:
    return any(isinstance(marker, Marker) and marker.kind == kind for marker in unwrap(annotation)[1])


def _text(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation).replace("typing.", "")


def _unsupported(annotation: Any, origin: Any, place: _Place) -> DeclarationError:
    remedy = "use str, int, float, bool, bytes, Decimal, dates and times, UUID, Enum, list, dict or a @record class"
    if origin in _SETS or annotation in _SETS:
        remedy = "Avro has no sets: use list[…]; merge=union() keeps its items distinct over all arrivals"
    elif origin is tuple or annotation is tuple:
        remedy = "use tuple[T, …] with an ellipsis for an array, or a @record class for items of several types"
    elif annotation in (*_ARRAYS, *_MAPS):
        remedy = "say of what: list[str], dict[str, int]"
    elif annotation in (Any, object):
        remedy = "say which types: str | int | None"
    elif isinstance(annotation, typing.TypeVar) or hasattr(origin, "__parameters__"):
        remedy = "records are not generic: write the type that it holds"
    elif isinstance(annotation, type) and (attrs.has(annotation) or hasattr(annotation, "__dataclass_fields__")):
        remedy = f"decorate {annotation.__name__} with @record"
    return place.fail(f"{_text(annotation)} has no Avro type", remedy)
