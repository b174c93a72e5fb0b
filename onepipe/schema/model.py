"""Avro schemas as a typed tree: strict parsing, the document again, canonical form and fingerprint.

The tree keeps every attribute of the document, known to Avro or not, so `Schema.parse(doc).document()` loses nothing.
Named types that are used again stand as `Reference`; `Schema.resolve` finds what a node stands for.

Source: Apache Avro 1.12 specification, sections "Schema Declaration", "Names", "Aliases", "Logical Types" and
"Parsing Canonical Form for Schemas".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final, TypeAlias, cast

import attrs

from onepipe.errors import SchemaError, nearest
from onepipe.schema import limits
from onepipe.schema.logical import LogicalType, logical_type

PRIMITIVES: Final = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")

JSON: TypeAlias = Any  # a JSON value has no finite static type
Attributes: TypeAlias = Mapping[str, JSON]

_NO_ATTRIBUTES: Attributes = MappingProxyType({})


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
    attributes: Attributes = _NO_ATTRIBUTES


@attrs.frozen(hash=False)
class Fixed:
    """A named type of exactly `size` bytes, perhaps with a logical type."""

    name: str
    size: int
    logical: LogicalType | None = None
    aliases: tuple[str, ...] = ()
    attributes: Attributes = _NO_ATTRIBUTES


@attrs.frozen(hash=False)
class Enum:
    """A named type of one of several symbols; `default` stands for symbols a reader does not know."""

    name: str
    symbols: tuple[str, ...]
    default: str | None = None
    aliases: tuple[str, ...] = ()
    doc: str | None = None
    attributes: Attributes = _NO_ATTRIBUTES


@attrs.frozen(hash=False)
class Array:
    """A sequence of items of one type."""

    items: Node
    attributes: Attributes = _NO_ATTRIBUTES


@attrs.frozen(hash=False)
class Map:
    """Values of one type under string keys."""

    values: Node
    attributes: Attributes = _NO_ATTRIBUTES


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
    attributes: Attributes = _NO_ATTRIBUTES


@attrs.frozen(hash=False)
class Record:
    """A named type of fields in order."""

    name: str
    fields: tuple[Field, ...]
    aliases: tuple[str, ...] = ()
    doc: str | None = None
    attributes: Attributes = _NO_ATTRIBUTES

    def field(self, name: str) -> Field:
        """The field of that name.

        Raises:
            SchemaError: there is none; says the nearest match.
        """
        for field in self.fields:
            if field.name == name:
                return field
        raise SchemaError(f"record {self.name} has no field {name!r}{nearest(name, [f.name for f in self.fields])}")


Node: TypeAlias = Primitive | Fixed | Enum | Array | Map | Union | Reference | Record
Named: TypeAlias = Fixed | Enum | Record


@attrs.frozen(eq=False)
class Schema:
    """A parsed Avro schema. Equal to another one with the same document; immutable and thread-safe."""

    root: Node
    names: Mapping[str, Named]

    @classmethod
    def parse(cls, document: JSON | str | bytes) -> Schema:
        """Parse a schema document strictly.

        Args:
            document: JSON text, or what JSON text parses to (a dict, a list, or the name of a primitive type).

        Raises:
            SchemaError: not JSON, not valid by the Avro specification, or beyond `onepipe.schema.limits`; says where.
        """
        return _Parser().schema(_json(document))

    def resolve(self, node: Node) -> Node:
        """The type a node stands for: a reference's definition, else the node itself."""
        return self.names[node.name] if isinstance(node, Reference) else node

    def document(self) -> JSON:
        """The schema document again, as JSON value: nothing the parsed one said is lost."""
        return _document(self.root, "")

    @cached_property
    def text(self) -> str:
        """The schema document as compact JSON text; the same for equal schemas."""
        return json.dumps(self.document(), separators=(",", ":"), ensure_ascii=False)

    @cached_property
    def canonical(self) -> str:
        """Parsing Canonical Form, by the specification: what decides how bytes are read, and nothing else."""
        return json.dumps(_canonical(self.root), separators=(",", ":"), ensure_ascii=False)

    @cached_property
    def fingerprint(self) -> int:
        """CRC-64-AVRO of the canonical form, unsigned."""
        return crc64(self.canonical.encode())

    def walk(self) -> Iterator[Node]:
        """Every node once, in document order; references are not followed."""
        pending: list[Node] = [self.root]
        while pending:
            node = pending.pop()
            yield node
            pending.extend(reversed(list(children(node))))

    def __eq__(self, other: object) -> bool:
        return self.text == other.text if isinstance(other, Schema) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        name = getattr(self.root, "name", type(self.root).__name__.lower())
        return f"<Schema {name} {self.fingerprint:016x}>"


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


def _json(document: JSON | str | bytes) -> JSON:
    if isinstance(document, bytes):
        try:
            document = document.decode()
        except UnicodeDecodeError as error:
            raise SchemaError("the schema document is not UTF-8") from error
    if not isinstance(document, str) or document in PRIMITIVES:
        return document
    if len(document) > limits.MAX_DOCUMENT_BYTES:
        raise SchemaError(
            f"the schema document has {len(document)} characters; {limits.MAX_DOCUMENT_BYTES} are allowed"
        )
    try:
        return json.loads(document)
    except (ValueError, RecursionError) as error:
        raise SchemaError(f"the schema document is not JSON: {error}") from error


class _Parser:
    """Parses one document: keeps the names seen, the path for messages, and the budget of nodes."""

    def __init__(self) -> None:
        self.names: dict[str, Named | None] = {}
        self.path: list[str] = []
        self.nodes = 0

    def schema(self, document: JSON) -> Schema:
        root = self.node(document, "")
        return Schema(root, MappingProxyType(cast("dict[str, Named]", dict(self.names))))

    def fail(self, message: str) -> SchemaError:
        where = ".".join(self.path)
        return SchemaError(message, field=where or None)

    def node(self, document: JSON, namespace: str) -> Node:
        self.nodes += 1
        if self.nodes > limits.MAX_NODES:
            raise self.fail(f"the schema has more than {limits.MAX_NODES} types")
        if len(self.path) > limits.MAX_DEPTH:
            raise self.fail(f"the schema is nested deeper than {limits.MAX_DEPTH}")
        if isinstance(document, str):
            return self.named(document, namespace)
        if isinstance(document, list):
            return self.union(document, namespace)
        if not isinstance(document, dict):
            raise self.fail(f"a type is a name, an object or an array, not {type(document).__name__}")
        return self.complex(document, namespace)

    def named(self, name: str, namespace: str) -> Node:
        if name in PRIMITIVES:
            return Primitive(name)
        candidates = [name] if "." in name or not namespace else [f"{namespace}.{name}", name]
        for candidate in candidates:
            if candidate in self.names:
                return Reference(candidate)
        raise self.fail(f"unknown type {name!r}{nearest(name, [*self.names, *sorted(PRIMITIVES)])}")

    def union(self, document: list[JSON], namespace: str) -> Union:
        branches = tuple(self.node(branch, namespace) for branch in document)
        seen: set[str] = set()
        for branch in branches:
            if isinstance(branch, Union):
                raise self.fail("a union cannot directly hold another union")
            key = branch_name(branch)
            if key in seen:
                raise self.fail(f"the union holds {key} more than once")
            seen.add(key)
        if not branches:
            raise self.fail("a union needs at least one branch")
        return Union(branches)

    def complex(self, document: dict[str, JSON], namespace: str) -> Node:
        kind = document.get("type")
        match kind:
            case "record" | "error":
                return self.record(document, namespace)
            case "enum":
                return self.enum(document, namespace)
            case "fixed":
                return self.fixed(document, namespace)
            case "array":
                return Array(self.inside("items", document, namespace), _rest(document, "type", "items"))
            case "map":
                return Map(self.inside("values", document, namespace), _rest(document, "type", "values"))
            case str() if kind in PRIMITIVES:
                logical = logical_type(document, kind)
                return Primitive(kind, logical, _rest(document, "type", *_logical_keys(logical)))
            case str() | dict() | list():
                if set(document) - {"type"}:
                    raise self.fail("attributes beside a type that is not primitive, record, enum, fixed, array or map")
                return self.node(kind, namespace)
            case _:
                raise self.fail("a type object needs a 'type'")

    def inside(self, key: str, document: dict[str, JSON], namespace: str) -> Node:
        if key not in document:
            raise self.fail(f"{document['type']} needs {key!r}")
        self.path.append("[]" if key == "items" else "{}")
        node = self.node(document[key], namespace)
        self.path.pop()
        return node

    def define(self, document: dict[str, JSON], namespace: str) -> tuple[str, str, tuple[str, ...]]:
        """Check and note the name; the full name, the namespace inside, and the full aliases."""
        name = document.get("name")
        if not isinstance(name, str):
            raise self.fail(f"{document['type']} needs a 'name'")
        if "." not in name:
            space = document.get("namespace", namespace) or ""
            if not isinstance(space, str):
                raise self.fail("a namespace is text")
            name = f"{space}.{name}" if space else name
        parts = name.split(".")
        if not all(map(_NAME.match, parts)):
            raise self.fail(f"{name!r} is not a name: letters, digits and _ between dots, no digit first")
        if name in self.names or name in PRIMITIVES:
            raise self.fail(
                f"the name {name} is defined twice" if name in self.names else f"{name} is a primitive type"
            )
        inner = ".".join(parts[:-1])
        aliases = tuple(a if "." in a or not inner else f"{inner}.{a}" for a in self.texts(document, "aliases"))
        self.names[name] = None
        return name, inner, aliases

    def texts(self, document: dict[str, JSON], key: str) -> tuple[str, ...]:
        values = document.get(key, [])
        if not isinstance(values, list) or not all(isinstance(v, str) for v in values):
            raise self.fail(f"{key!r} is a list of text")
        return tuple(values)

    def text(self, document: dict[str, JSON], key: str) -> str | None:
        value = document.get(key)
        if value is not None and not isinstance(value, str):
            raise self.fail(f"{key!r} is text")
        return value

    def record(self, document: dict[str, JSON], namespace: str) -> Record:
        name, inner, aliases = self.define(document, namespace)
        fields = document.get("fields")
        if not isinstance(fields, list):
            raise self.fail(f"record {name} needs a list of 'fields'")
        parsed = tuple(self.field(field, inner) for field in fields)
        seen: set[str] = set()
        for field in parsed:
            if field.name in seen:
                raise self.fail(f"record {name} has two fields {field.name!r}")
            seen.add(field.name)
        rest = _rest(document, "type", "name", "namespace", "aliases", "doc", "fields")
        if document["type"] == "error":
            rest = MappingProxyType({"type": "error", **rest})
        record = Record(name, parsed, aliases, self.text(document, "doc"), rest)
        self.names[name] = record
        return record

    def field(self, document: JSON, namespace: str) -> Field:
        if not isinstance(document, dict) or not isinstance(document.get("name"), str) or "type" not in document:
            raise self.fail("a field is an object with 'name' and 'type'")
        name = document["name"]
        if not _NAME.match(name):
            raise self.fail(f"{name!r} is not a field name: letters, digits and _, no digit first")
        self.path.append(name)
        node = self.node(document["type"], namespace)
        order = document.get("order")
        if order not in (None, "ascending", "descending", "ignore"):
            raise self.fail("'order' is ascending, descending or ignore")
        aliases, doc = self.texts(document, "aliases"), self.text(document, "doc")
        self.path.pop()
        rest = _rest(document, "name", "type", "default", "doc", "aliases", "order")
        return Field(name, node, document.get("default", NO_DEFAULT), doc, aliases, order, rest)

    def enum(self, document: dict[str, JSON], namespace: str) -> Enum:
        name, _, aliases = self.define(document, namespace)
        symbols = self.texts(document, "symbols")
        if len(set(symbols)) < len(symbols) or not all(map(_NAME.match, symbols)) or not symbols:
            raise self.fail(f"enum {name} needs 'symbols': distinct names of letters, digits and _")
        default = self.text(document, "default")
        if default is not None and default not in symbols:
            raise self.fail(f"the default of enum {name} is not one of its symbols")
        rest = _rest(document, "type", "name", "namespace", "aliases", "doc", "symbols", "default")
        enum = Enum(name, symbols, default, aliases, self.text(document, "doc"), rest)
        self.names[name] = enum
        return enum

    def fixed(self, document: dict[str, JSON], namespace: str) -> Fixed:
        name, _, aliases = self.define(document, namespace)
        size = document.get("size")
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= limits.MAX_DOCUMENT_BYTES:
            raise self.fail(f"fixed {name} needs a 'size' in bytes")
        logical = logical_type(document, "fixed", size)
        rest = _rest(document, "type", "name", "namespace", "aliases", "size", *_logical_keys(logical))
        fixed = Fixed(name, size, logical, aliases, rest)
        self.names[name] = fixed
        return fixed


def branch_name(node: Node) -> str:
    """What tells a branch of a union from the others: a named type's full name, else the kind of type."""
    match node:
        case Primitive(name=name) | Fixed(name=name) | Enum(name=name) | Record(name=name) | Reference(name=name):
            return name
        case _:
            return type(node).__name__.lower()


def _logical_keys(logical: LogicalType | None) -> tuple[str, ...]:
    return () if logical is None else tuple(logical.document())


def _rest(document: dict[str, JSON], *known: str) -> Attributes:
    rest = {key: value for key, value in document.items() if key not in known}
    return MappingProxyType(rest) if rest else _NO_ATTRIBUTES


def _optional(**values: JSON) -> dict[str, JSON]:
    return {key: value for key, value in values.items() if value not in (None, [])}


def _short(name: str, namespace: str) -> str:
    """A full name as written inside `namespace`."""
    space, _, last = name.rpartition(".")
    return last if space == namespace else name


def _name(name: str, namespace: str) -> dict[str, JSON]:
    space, _, last = name.rpartition(".")
    return {"name": last} if space == namespace else {"name": last, "namespace": space}


def _document(node: Node, namespace: str) -> JSON:
    match node:
        case Primitive():
            logical = node.logical.document() if node.logical else {}
            return {"type": node.name, **logical, **node.attributes} if logical or node.attributes else node.name
        case Reference():
            return _short(node.name, namespace)
        case Union():
            return [_document(branch, namespace) for branch in node.branches]
        case Array():
            return {"type": "array", "items": _document(node.items, namespace), **node.attributes}
        case Map():
            return {"type": "map", "values": _document(node.values, namespace), **node.attributes}
        case _:
            return _named_document(node, namespace)


def _named_document(node: Named, namespace: str) -> JSON:
    inner = node.name.rpartition(".")[0]
    head: dict[str, JSON] = {"type": type(node).__name__.lower(), **_name(node.name, namespace)}
    common = _optional(aliases=[_short(a, inner) for a in node.aliases], doc=getattr(node, "doc", None))
    match node:
        case Fixed():
            logical = node.logical.document() if node.logical else {}
            return {**head, **common, "size": node.size, **logical, **node.attributes}
        case Enum():
            default = _optional(default=node.default)
            return {**head, **common, "symbols": list(node.symbols), **default, **node.attributes}
        case Record():
            fields = [_field_document(field, inner) for field in node.fields]
            return {**head, **common, "fields": fields, **node.attributes}


def _field_document(field: Field, namespace: str) -> JSON:
    default = {} if field.default is NO_DEFAULT else {"default": field.default}
    optional = _optional(doc=field.doc, aliases=list(field.aliases), order=field.order)
    return {"name": field.name, "type": _document(field.type, namespace), **default, **optional, **field.attributes}


def _canonical(node: Node) -> JSON:
    match node:
        case Primitive(name=name) | Reference(name=name):
            return name
        case Union(branches=branches):
            return [_canonical(branch) for branch in branches]
        case Array(items=items):
            return {"type": "array", "items": _canonical(items)}
        case Map(values=values):
            return {"type": "map", "values": _canonical(values)}
        case Fixed():
            return {"name": node.name, "type": "fixed", "size": node.size}
        case Enum():
            return {"name": node.name, "type": "enum", "symbols": list(node.symbols)}
        case Record():
            fields = [{"name": field.name, "type": _canonical(field.type)} for field in node.fields]
            return {"name": node.name, "type": "record", "fields": fields}


_CRC64_EMPTY: Final = 0xC15D213AA4D7A795


def _crc64_table() -> Sequence[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (_CRC64_EMPTY & -(value & 1))
        table.append(value)
    return table


_CRC64_TABLE: Final = _crc64_table()


def crc64(data: bytes) -> int:
    """CRC-64-AVRO of some bytes, unsigned (Avro specification, "Schema Fingerprints")."""
    value = _CRC64_EMPTY
    for byte in data:
        value = (value >> 8) ^ _CRC64_TABLE[(value ^ byte) & 0xFF]
    return value
