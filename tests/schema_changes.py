"""Schemas changed at random, compatibly or not; values that reach every corner of a schema; resolution by value."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import strategies as st

from onepipe.errors import SchemaError
from onepipe.schema.defaults import default_fault
from onepipe.schema.model import NO_DEFAULT, Array, Enum, Fixed, Map, Node, Primitive, Record, Schema, Union

_SIMPLE = ("null", "boolean", "int", "long", "float", "double", "bytes", "string")
_ADDED: tuple[dict[str, Any], ...] = (
    {"name": "added", "type": "int"},
    {"name": "added", "type": "int", "default": 1},
    {"name": "added", "type": "int", "default": "1"},
    {"name": "added", "type": ["null", "string"], "default": None},
    {"name": "added", "type": {"type": "array", "items": "long"}, "default": []},
)


@st.composite
def changed(draw: st.DrawFn, schema: Schema, *, most: int = 3) -> Schema:
    """A schema with up to `most` random changes, each of which readers and writers may or may not be able to follow."""
    for _ in range(draw(st.integers(0, most))):
        document = copy.deepcopy(schema.document())
        root = {"": document}
        _change(draw, root)
        try:
            schema = Schema.parse(root[""])
        except SchemaError:
            continue  # such as a name that is gone but still used: this change is left out
    return schema


def _change(draw: st.DrawFn, root: dict[str, Any]) -> None:
    slots = list(_slots(root, ""))
    container, key = draw(st.sampled_from(slots))
    node = container[key]
    simple = draw(st.sampled_from(_SIMPLE))
    kind = node.get("type") if isinstance(node, dict) else "union" if isinstance(node, list) else "simple"
    special = {"record": _change_record, "enum": _change_enum, "fixed": _change_fixed, "union": _change_union}
    if kind in special and draw(st.integers(0, 3)):
        special[kind](draw, node)
    elif isinstance(node, list) or draw(st.booleans()):
        container[key] = simple
    else:
        container[key] = draw(st.permutations([simple, node]))


def _slots(container: Any, key: Any) -> Any:
    yield container, key
    node = container[key]
    if isinstance(node, list):
        for number in range(len(node)):
            yield from _slots(node, number)
    elif isinstance(node, dict):
        for inner in ("items", "values"):
            if inner in node:
                yield from _slots(node, inner)
        for field in node.get("fields", ()):
            yield from _slots(field, "type")


def _rename(draw: st.DrawFn, named: dict[str, Any]) -> None:
    old = named["name"]
    named["name"] = f"{old}_2"
    if draw(st.booleans()):
        named["aliases"] = [old]


def _change_record(draw: st.DrawFn, node: dict[str, Any]) -> None:
    fields = node["fields"]
    match draw(st.sampled_from(("add", "add", "remove", "rename", "rename_type", "reorder"))):
        case "add":
            fields.append(draw(st.sampled_from(_ADDED)))
        case "remove" if fields:
            fields.pop(draw(st.integers(0, len(fields) - 1)))
        case "rename" if fields:
            _rename(draw, draw(st.sampled_from(fields)))
        case "rename_type":
            _rename(draw, node)
        case _:
            fields.reverse()


def _change_enum(draw: st.DrawFn, node: dict[str, Any]) -> None:
    match draw(st.sampled_from(("add", "remove", "rename", "default"))):
        case "add":
            node["symbols"].append("ADDED")
        case "remove":
            node["symbols"].pop()
        case "rename":
            _rename(draw, node)
        case "default":
            node["default"] = node["symbols"][0]


def _change_fixed(draw: st.DrawFn, node: dict[str, Any]) -> None:
    if draw(st.booleans()):
        node["size"] += 1
    else:
        _rename(draw, node)


def _change_union(draw: st.DrawFn, node: list[Any]) -> None:
    match draw(st.sampled_from(("add", "remove", "reorder"))):
        case "add":
            node.append(draw(st.sampled_from(_SIMPLE)))
        case "remove":
            node.pop(draw(st.integers(0, len(node) - 1)))
        case "reorder":
            node.reverse()


def corners(schema: Schema, node: Node | None = None, open_: tuple[str, ...] = ()) -> list[Any]:
    """Values in Avro's base form that reach every branch, symbol and item type; a union's as (branch number, value)."""
    node = schema.resolve(schema.root if node is None else node)
    match node:
        case Primitive(name=name):
            return [_EXAMPLES[name]]
        case Fixed(size=size):
            return [bytes(size)]
        case Enum(symbols=symbols):
            return list(symbols)
        case Array(items=items):
            return [corners(schema, items, open_)]
        case Map(values=values):
            return [{str(n): value for n, value in enumerate(corners(schema, values, open_))}]
        case Union(branches=branches):
            return [(n, value) for n, branch in enumerate(branches) for value in corners(schema, branch, open_)]
        case Record(name=name, fields=fields):
            if open_.count(name) == 3:
                return []
            columns = [corners(schema, field.type, (*open_, name)) for field in fields]
            rows = max(map(len, columns), default=1) if all(columns) else 0
            return [
                {f.name: column[row % len(column)] for f, column in zip(fields, columns, strict=True)}
                for row in range(rows)
            ]
        case _:
            raise TypeError(node)


_EXAMPLES = {
    "null": None,
    "boolean": True,
    "int": 7,
    "long": 1 << 40,
    "float": 0.5,
    "double": 0.25,
    "bytes": b"bytes",
    "string": "text",
}


class Unreadable(Exception):
    """The reader's schema has no place for the value."""


_WIDER = {"int": {"long", "float", "double"}, "long": {"float", "double"}, "float": {"double"}}
_WIDER |= {"string": {"bytes"}, "bytes": {"string"}}


def resolve(reader: Schema, r: Node, writer: Schema, w: Node, value: Any) -> None:
    """Resolve one written value to a reader's schema, by the letter of the specification.

    Raises:
        Unreadable: the specification says that an error is signalled.
    """
    r, w = reader.resolve(r), writer.resolve(w)
    if isinstance(w, Union):
        number, inner = value
        resolve(reader, r, writer, w.branches[number], inner)
        return
    if isinstance(r, Union):
        matching = [branch for branch in r.branches if _matches(reader.resolve(branch), w)]
        same = [branch for branch in matching if getattr(reader.resolve(branch), "name", 0) == getattr(w, "name", 1)]
        if not matching:
            raise Unreadable(value)
        resolve(reader, (same or matching)[0], writer, w, value)
        return
    if not _matches(r, w):
        raise Unreadable(value)
    _resolve_inside(reader, r, writer, w, value)


def _resolve_inside(reader: Schema, r: Node, writer: Schema, w: Node, value: Any) -> None:
    match r, w:
        case Array(), Array():
            for item in value:
                resolve(reader, r.items, writer, w.items, item)
        case Map(), Map():
            for item in value.values():
                resolve(reader, r.values, writer, w.values, item)
        case Enum(), Enum():
            if value not in r.symbols and r.default is None:
                raise Unreadable(value)
        case Record(), Record():
            written = {field.name: field for field in w.fields}
            for field in r.fields:
                names = [n for n in (field.name, *field.aliases) if n in written]
                if names:
                    resolve(reader, field.type, writer, written[names[0]].type, value[names[0]])
                elif field.default is NO_DEFAULT or default_fault(reader, field.type, field.default):
                    raise Unreadable(field.name)
        case _:
            pass


def _matches(r: Node, w: Node) -> bool:
    match r, w:
        case Primitive(), Primitive():
            return r.name == w.name or r.name in _WIDER.get(w.name, ())
        case (Fixed(), Fixed()) | (Enum(), Enum()) | (Record(), Record()):
            named = w.name in r.aliases or w.name.split(".")[-1] == r.name.split(".")[-1]
            return named and getattr(r, "size", 0) == getattr(w, "size", 0)
        case _:
            return type(r) is type(w)
