"""The Python expression of which a default is derived."""

from __future__ import annotations

import datetime as dt
import json as text
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

from onepipe.codegen.layout import Expression, Group, call, literal
from onepipe.codegen.names import Names
from onepipe.errors import SchemaError
from onepipe.schema.literals import json_branch, leaf_value, to_json
from onepipe.schema.model import JSON, Array, Enum, Map, Node, Record, Schema, Union
from onepipe.schema.values import Duration, Leaf


class DefaultWriter:
    """Writes the defaults of one schema's fields.

    Args:
        schema: the schema.
        names: names in the generated module.
        classes: name of the class of each record and enum written so far.
        members: by enum, the name of each symbol's member.
    """

    def __init__(
        self, schema: Schema, names: Names, classes: Mapping[str, str], members: Mapping[str, Mapping[str, str]]
    ) -> None:
        self._schema = schema
        self._names = names
        self._classes = classes
        self._members = members

    def arguments(self, node: Node, json: JSON) -> dict[str, Expression]:
        """The arguments of `field()` that give a default: the Python one where there is one, the JSON where needed."""
        try:
            expression = self._expression(node, json)
        except SchemaError:
            return {"json_default": literal(json)}
        exact = {} if self._is_exact(node, json) else {"json_default": literal(json)}
        if json == [] or json == {}:
            kind = self._schema.resolve(node)
            if isinstance(kind, Array | Map):
                return {"factory": "list" if isinstance(kind, Array) else "dict", **exact}
        return {"default": expression, **exact}

    def _expression(self, node: Node, json: JSON) -> Expression:
        """The Python value of a default as expression.

        Raises:
            SchemaError: there is none, or its class is not written yet.
        """
        node = self._schema.resolve(node)
        match node:
            case Union(branches=branches):
                return self._expression(branches[json_branch(self._schema, node, json)], json)
            case Array(items=items):
                return Group("[", tuple(("", self._expression(items, item)) for item in json), "]")
            case Map(values=values):
                parts = ((literal(key), self._expression(values, item)) for key, item in json.items())
                return Group("{", tuple((f"{key}: ", item) for key, item in parts), "}")
            case Record(name=name, fields=fields):
                if name not in self._classes or any(field.name not in json for field in fields):
                    raise SchemaError("no expression stands for the default")
                named = {field.name: self._expression(field.type, json[field.name]) for field in fields}
                return call(self._classes[name], **named)
            case Enum(name=name):
                return f"{self._classes[name]}.{self._members[name][json]}"
            case _:
                return self._leaf(leaf_value(cast("Leaf", node), json))

    def _leaf(self, value: Any) -> Expression:
        match value:
            case dt.datetime():
                zone = {"tzinfo": f"{self._names.use('dt')}.UTC"} if value.tzinfo else {}
                return self._dated("datetime", value.timetuple()[:6], value.microsecond, zone)
            case dt.date():
                return self._dated("date", value.timetuple()[:3], 0, {})
            case dt.time():
                return self._dated("time", (value.hour, value.minute, value.second), value.microsecond, {})
            case Decimal():
                return call(self._names.use("Decimal"), literal(str(value)))
            case UUID():
                return call(self._names.use("UUID"), literal(str(value)))
            case Duration(months, days, milliseconds):
                counts = {"months": months, "days": days, "milliseconds": milliseconds}
                return call(f"{self._names.onepipe}.Duration", **{name: repr(count) for name, count in counts.items()})
            case _:
                return literal(value)

    def _dated(self, kind: str, parts: tuple[int, ...], micros: int, named: dict[str, str]) -> Expression:
        numbers = (*parts, micros) if micros else parts
        return call(f"{self._names.use('dt')}.{kind}", *map(repr, numbers), **named)

    def _is_exact(self, node: Node, json: JSON) -> bool:
        """Whether the Python value of a default gives the same JSON again."""
        node = self._schema.resolve(node)
        match node:
            case Union(branches=branches) if node.nullable is not None:
                return self._is_exact(branches[json_branch(self._schema, node, json)], json)
            case Union():
                return False
            case Array(items=items):
                return all(self._is_exact(items, item) for item in json)
            case Map(values=values):
                return all(self._is_exact(values, item) for item in json.values())
            case Record(fields=fields):
                named = {field.name for field in fields}
                return named == set(json) and all(self._is_exact(field.type, json[field.name]) for field in fields)
            case Enum():
                return True
            case _:
                again = to_json(self._schema, node, leaf_value(cast("Leaf", node), json), {})
                return text.dumps(again) == text.dumps(json)
