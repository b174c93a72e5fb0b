"""Schemas that refer to other registered ones: made into one document that says it all.

Confluent's registry keeps, beside a schema's text, under which subject and version each named type is found that the
text uses and does not define. Each of them is written out where the text uses it first; after that its name stands, as
in any Avro schema.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from onepipe.errors import SchemaError
from onepipe.schema.nodes import JSON, PRIMITIVES

MAX_REFERENCES: Final = 256
"""Most schemas that one refers to, directly or through others."""

Found: TypeAlias = tuple[str, Sequence[Mapping[str, Any]]]
"""A schema's text and its references, each with "name", "subject" and "version"."""

_MAX_DEPTH: Final = 200
_NAMED: Final = ("record", "error", "enum", "fixed")


def self_contained(text: str, references: Sequence[Mapping[str, Any]], find: Callable[[str, int], Found]) -> str:
    """The text of a schema in which every type it refers to is written out; the same text where it refers to none.

    Args:
        text: the schema's text.
        references: what it refers to.
        find: from subject and version to that schema's text and references.

    Raises:
        SchemaError: not JSON, more than MAX_REFERENCES, or types that hold one another without end.
    """
    if not references:
        return text
    types: dict[str, JSON] = {}
    _collect(references, find, types, {})
    return json.dumps(_Writer(types).node(_json(text), "", 0), separators=(",", ":"), ensure_ascii=False)


def _collect(
    references: Sequence[Mapping[str, Any]],
    find: Callable[[str, int], Found],
    types: dict[str, JSON],
    seen: dict[tuple[str, int], None],
) -> None:
    """Note the document of each named type that is referred to, by full name."""
    for reference in references:
        subject, version = reference.get("subject"), reference.get("version")
        if not isinstance(subject, str) or type(version) is not int:
            raise SchemaError("a reference of a schema names no subject and version")
        if (subject, version) in seen:
            continue
        seen[subject, version] = None
        if len(seen) > MAX_REFERENCES:
            raise SchemaError(f"the schema refers to more than {MAX_REFERENCES} others")
        text, further = find(subject, version)
        _collect(further, find, types, seen)
        document = _json(text)
        for each in document if isinstance(document, list) else [document]:
            if isinstance(each, dict) and each.get("type") in _NAMED:
                types[_full_name(each, "")] = each


def _json(text: str) -> JSON:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text  # a bare name is a schema too


def _full_name(document: Mapping[str, JSON], namespace: str) -> str:
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
        if document.get("type") in _NAMED:
            full = _full_name(document, namespace)
            inner = full.rpartition(".")[0]
            self._defined.add(full)
        for key in ("type", "items", "values"):
            if key in made and made[key] not in (*_NAMED, "array", "map"):
                made[key] = self.node(made[key], inner, depth + 1)
        if isinstance(made.get("fields"), list):
            made["fields"] = [self._field(each, inner, depth) for each in made["fields"]]
        return made

    def _field(self, field: JSON, namespace: str, depth: int) -> JSON:
        if not isinstance(field, dict) or "type" not in field:
            return field
        return {**field, "type": self.node(field["type"], namespace, depth + 1)}
