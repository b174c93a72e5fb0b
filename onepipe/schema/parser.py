"""Strict parsing of a schema document into its tree.

Source: Apache Avro 1.12 specification, sections "Schema Declaration", "Names", "Aliases" and "Logical Types".
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, cast

from onepipe.errors import SchemaError, nearest
from onepipe.schema import limits
from onepipe.schema.logical import LogicalType, logical_type
from onepipe.schema.nodes import (
    JSON,
    NO_ATTRIBUTES,
    NO_DEFAULT,
    PRIMITIVES,
    Array,
    Attributes,
    Enum,
    Field,
    Fixed,
    Map,
    Named,
    Node,
    Primitive,
    Record,
    Reference,
    Union,
    branch_name,
)

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def parse(document: JSON | str | bytes) -> tuple[Node, Mapping[str, Named]]:
    """The root of a schema document, and its named types by full name.

    Args:
        document: JSON text, or what JSON text parses to (a dict, a list, or the name of a primitive type).

    Raises:
        SchemaError: not JSON, not valid by the specification, or beyond `onepipe.schema.limits`; says where.
    """
    parser = _Parser()
    value = _json(document)
    root = parser.node(value, "")
    _require_writable(value)
    return root, MappingProxyType(cast("dict[str, Named]", dict(parser.names)))


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


def _require_writable(document: JSON) -> None:
    """Require that a file can hold the document: docs and attributes are kept as they are, whatever they are."""
    try:
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise SchemaError("the schema holds a lone surrogate, which UTF-8 cannot hold") from None
    except (TypeError, ValueError, RecursionError) as error:
        raise SchemaError("the schema holds a value that is not JSON") from error


class _Parser:
    """Parses one document: keeps the names seen, the path for messages, and the budget of nodes."""

    def __init__(self) -> None:
        self.names: dict[str, Named | None] = {}
        self.path: list[str] = []
        self.nodes = 0

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


def _logical_keys(logical: LogicalType | None) -> tuple[str, ...]:
    return () if logical is None else tuple(logical.document())


def _rest(document: dict[str, JSON], *known: str) -> Attributes:
    rest = {key: value for key, value in document.items() if key not in known}
    return MappingProxyType(rest) if rest else NO_ATTRIBUTES
