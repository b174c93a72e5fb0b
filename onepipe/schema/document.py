"""Writing a schema's tree: the document again, its canonical form, and its fingerprint.

Source: Apache Avro 1.12 specification, sections "Parsing Canonical Form for Schemas" and "Schema Fingerprints".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from onepipe.schema.nodes import (
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
    Union,
)


def _optional(**values: JSON) -> dict[str, JSON]:
    return {key: value for key, value in values.items() if value not in (None, [])}


def _short(name: str, namespace: str) -> str:
    """A full name as written inside `namespace`."""
    space, _, last = name.rpartition(".")
    return last if space == namespace else name


def _name(name: str, namespace: str) -> dict[str, JSON]:
    space, _, last = name.rpartition(".")
    return {"name": last} if space == namespace else {"name": last, "namespace": space}


def document(node: Node, namespace: str = "") -> JSON:
    """The schema document of a tree, as JSON value, with names as written inside `namespace`."""
    match node:
        case Primitive():
            logical = node.logical.document() if node.logical else {}
            return {"type": node.name, **logical, **node.attributes} if logical or node.attributes else node.name
        case Reference():
            return _short(node.name, namespace)
        case Union():
            return [document(branch, namespace) for branch in node.branches]
        case Array():
            return {"type": "array", "items": document(node.items, namespace), **node.attributes}
        case Map():
            return {"type": "map", "values": document(node.values, namespace), **node.attributes}
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
    return {"name": field.name, "type": document(field.type, namespace), **default, **optional, **field.attributes}


def canonical(node: Node) -> JSON:
    """Parsing Canonical Form, as JSON value in its order."""
    match node:
        case Primitive(name=name) | Reference(name=name):
            return name
        case Union(branches=branches):
            return [canonical(branch) for branch in branches]
        case Array(items=items):
            return {"type": "array", "items": canonical(items)}
        case Map(values=values):
            return {"type": "map", "values": canonical(values)}
        case Fixed():
            return {"name": node.name, "type": "fixed", "size": node.size}
        case Enum():
            return {"name": node.name, "type": "enum", "symbols": list(node.symbols)}
        case Record():
            fields = [{"name": field.name, "type": canonical(field.type)} for field in node.fields]
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
