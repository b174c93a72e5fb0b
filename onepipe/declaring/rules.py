"""What a field declares beyond Avro, and its form inside a schema document."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import attrs

from onepipe.errors import DeclarationError, nearest
from onepipe.merge import MergePolicy
from onepipe.schema.model import Field, Node, Primitive, Record, Schema, Union, children

ATTRIBUTE: Final = "onepipe"
"""Name of the attribute that carries the declaration inside a schema document."""

CONSTRAINTS: Final = ("ge", "gt", "le", "lt", "min_length", "max_length", "pattern")
"""Every constraint of a field; `onepipe.checks` says what each means."""

_KEYS: Final = (*CONSTRAINTS, "sensitivity", "merge")


@attrs.frozen
class FieldRules:
    """What a field declares beyond Avro.

    Attributes:
        constraints: by name ("ge", "gt", "le", "lt", "min_length", "max_length", "pattern"), the limit as JSON value;
            a number, or text for decimals, dates and patterns.
        sensitivity: tags such as "pii".
        merge: the field's own merge policy, or None for the record's.
    """

    constraints: Mapping[str, Any] = attrs.field(factory=dict)
    sensitivity: tuple[str, ...] = ()
    merge: MergePolicy | None = None

    def document(self) -> dict[str, Any]:
        """The rules as the field's attribute."""
        document = dict(self.constraints)
        if self.sensitivity:
            document["sensitivity"] = list(self.sensitivity)
        if self.merge:
            document["merge"] = self.merge.document()
        return document

    @classmethod
    def of(cls, field: Field) -> FieldRules:
        """The rules a field of a schema declares.

        Raises:
            DeclarationError: the attribute has another form.
        """
        document = field.attributes.get(ATTRIBUTE, {})
        if not isinstance(document, Mapping):
            raise DeclarationError(f"the attribute {ATTRIBUTE!r} is an object", field=field.name)
        for key in document:
            if key not in _KEYS:
                raise DeclarationError(f"unknown rule {key!r}{nearest(key, _KEYS)}", field=field.name)
        tags = document.get("sensitivity", [])
        if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
            raise DeclarationError("'sensitivity' is a list of tags", field=field.name)
        merge = MergePolicy.from_document(document["merge"]) if "merge" in document else None
        constraints = {key: document[key] for key in CONSTRAINTS if key in document}
        return cls(MappingProxyType(constraints), tuple(tags), merge)


def holds_sensitive(schema: Schema, field: Field) -> bool:
    """Whether a field, or one anywhere inside it, is tagged as sensitive."""
    seen: set[str] = set()

    def inside(node: Node) -> bool:
        resolved = schema.resolve(node)
        if not isinstance(resolved, Record):
            return any(inside(child) for child in children(resolved))
        if resolved.name in seen:
            return False
        seen.add(resolved.name)
        return any(map(tagged, resolved.fields))

    def tagged(one: Field) -> bool:
        return bool(FieldRules.of(one).sensitivity) or inside(one.type)

    return tagged(field)


def value_type(schema: Schema, node: Node) -> Node:
    """What a type's values are when they are not null: the other branch of an optional, references resolved."""
    node = schema.resolve(node)
    if isinstance(node, Union) and (inner := node.nullable) is not None:
        return schema.resolve(inner)
    return node


def is_timestamp(node: Node) -> bool:
    """Whether values of the type are moments in time (timestamp-millis or timestamp-micros)."""
    return isinstance(node, Primitive) and node.logical is not None and node.logical.name.startswith("timestamp-")
