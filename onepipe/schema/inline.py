"""Schema documents that stand alone: each named type is written out where it is used first, and named after that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from onepipe.errors import SchemaError
from onepipe.schema.nodes import JSON, PRIMITIVES

NAMED: Final = ("record", "error", "enum", "fixed")
"""What the types are that have names."""

_MAX_DEPTH: Final = 200


def inlined(document: JSON, types: Mapping[str, JSON]) -> JSON:
    """A document that uses no type which it does not define; a type that it defines twice stands by name from then on.

    Args:
        document: the document, as JSON value.
        types: documents of the types it may use, by full name.

    Raises:
        SchemaError: types nested too deeply.
    """
    return _Writer(types).node(document, "", 0)


def full_name(document: Mapping[str, JSON], namespace: str) -> str:
    """The full name of a named type's document that stands inside a namespace."""
    name = str(document.get("name", ""))
    if "." in name:
        return name
    space = document.get("namespace", namespace)
    return f"{space}.{name}" if space else name


class _Writer:
    """Writes a document out: keeps which names it has defined so far."""

    def __init__(self, types: Mapping[str, JSON]) -> None:
        self._types = types
        self._defined: set[str] = set()

    def node(self, document: JSON, namespace: str, depth: int) -> JSON:
        if depth > _MAX_DEPTH:
            raise SchemaError(f"the schema is nested deeper than {_MAX_DEPTH}")
        if isinstance(document, str):
            return self._name(document, namespace, depth)
        if isinstance(document, list):
            return [self.node(each, namespace, depth + 1) for each in document]
        if not isinstance(document, dict):
            return document
        return self._object(document, namespace, depth)

    def _name(self, name: str, namespace: str, depth: int) -> JSON:
        if name in PRIMITIVES:
            return name
        for full in [name] if "." in name or not namespace else [f"{namespace}.{name}", name]:
            if full in self._defined:
                return name
            if full in self._types:
                space, _, last = full.rpartition(".")
                return self._object({**self._types[full], "name": last, "namespace": space}, "", depth + 1)
        return name

    def _object(self, document: dict[str, JSON], namespace: str, depth: int) -> JSON:
        made = dict(document)
        inner = namespace
        if document.get("type") in NAMED:
            full = full_name(document, namespace)
            if full in self._defined:
                return full
            inner = full.rpartition(".")[0]
            self._defined.add(full)
        for key in ("type", "items", "values"):
            if key in made and made[key] not in (*NAMED, "array", "map"):
                made[key] = self.node(made[key], inner, depth + 1)
        if isinstance(made.get("fields"), list):
            made["fields"] = [self._field(each, inner, depth) for each in made["fields"]]
        return made

    def _field(self, field: JSON, namespace: str, depth: int) -> JSON:
        if not isinstance(field, dict) or "type" not in field:
            return field
        return {**field, "type": self.node(field["type"], namespace, depth + 1)}
