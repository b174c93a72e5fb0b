"""An example of a codec: JSON in natural forms, of the standard library alone.

Dates and times are ISO 8601, decimals and UUIDs text, bytes base64, a duration its three counts; a value of a union of
several types stands under the name of its branch.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID

import attrs

from onepipe.hookspecs import hookimpl
from onepipe.schema.branches import Chooser
from onepipe.schema.model import Array, Map, Node, Record, Schema, Union, branch_name
from onepipe.schema.values import Duration, kind_of

LEAVES: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    **dict.fromkeys(("bytes", "fixed"), (lambda data: base64.b64encode(data).decode(), base64.b64decode)),
    **dict.fromkeys(("uuid",), (str, UUID)),
    **dict.fromkeys(("decimal",), (str, Decimal)),
    **dict.fromkeys(("date",), (dt.date.isoformat, dt.date.fromisoformat)),
    **dict.fromkeys(("time-millis", "time-micros"), (dt.time.isoformat, dt.time.fromisoformat)),
    **dict.fromkeys(
        ("timestamp-millis", "timestamp-micros", "local-timestamp-millis", "local-timestamp-micros"),
        (dt.datetime.isoformat, dt.datetime.fromisoformat),
    ),
    "duration": (attrs.asdict, lambda counts: Duration(**counts)),
}


class JsonCodec:
    def encode(self, schema: Schema, record: Mapping[str, Any]) -> bytes:
        return json.dumps(_plain(schema, schema.root, record), ensure_ascii=False).encode()

    def decode(self, schema: Schema, body: bytes) -> Mapping[str, Any]:
        record: Mapping[str, Any] = _logical(schema, schema.root, json.loads(body))
        return record


class JsonPlugin:
    @hookimpl
    def onepipe_codecs(self) -> Mapping[str, JsonCodec]:
        return {"json": JsonCodec()}


def _plain(schema: Schema, node: Node, value: Any) -> Any:
    """A logical value as JSON."""
    node = schema.resolve(node)
    match node:
        case Record(fields=fields):
            return {field.name: _plain(schema, field.type, value[field.name]) for field in fields}
        case Array(items=items):
            return [_plain(schema, items, item) for item in value]
        case Map(values=values):
            return {key: _plain(schema, values, item) for key, item in value.items()}
        case Union():
            if value is None:
                return None
            number, value = Chooser(schema, node, {}).choose(value)
            plain = _plain(schema, node.branches[number], value)
            return plain if node.nullable else {branch_name(node.branches[number]): plain}
        case leaf:
            return LEAVES.get(kind_of(leaf), (_same, _same))[0](value)


def _logical(schema: Schema, node: Node, plain: Any) -> Any:
    """The logical value of JSON; a union's as pair of branch and value."""
    node = schema.resolve(node)
    match node:
        case Record(fields=fields):
            return {field.name: _logical(schema, field.type, plain[field.name]) for field in fields}
        case Array(items=items):
            return [_logical(schema, items, item) for item in plain]
        case Map(values=values):
            return {key: _logical(schema, values, item) for key, item in plain.items()}
        case Union(branches=branches):
            if plain is None or node.nullable:
                return None if plain is None else _logical(schema, node.nullable, plain)
            ((name, inner),) = plain.items()
            (branch,) = (branch for branch in branches if branch_name(branch) == name)
            return name, _logical(schema, branch, inner)
        case leaf:
            return LEAVES.get(kind_of(leaf), (_same, _same))[1](plain)


def _same(value: Any) -> Any:
    return value
