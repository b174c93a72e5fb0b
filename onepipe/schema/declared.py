"""What classes say of their Avro types: between `onepipe.declaring.record` and how schemas are derived."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

import attrs

from onepipe.schema.model import JSON, NO_DEFAULT

DECLARED: Final = "__onepipe__"
"""Attribute of a class that holds its `RecordDeclaration`, or of an Enum its `EnumSource`."""


@attrs.frozen
class FieldSource:
    """A field of a class, its annotation resolved.

    Attributes:
        default: a Python value, or NO_DEFAULT.
        json_default: the default as it stands in the schema, where `default` is not to be used for that.
    """

    name: str
    annotation: Any
    default: Any = NO_DEFAULT
    json_default: JSON = NO_DEFAULT
    doc: str | None = None
    aliases: tuple[str, ...] = ()
    attributes: Mapping[str, JSON] = attrs.field(factory=dict)


@attrs.frozen
class RecordSource:
    """What a class says of its record. `namespace` None is that of the record it is used in."""

    name: str
    fields: tuple[FieldSource, ...]
    namespace: str | None = None
    doc: str | None = None
    aliases: tuple[str, ...] = ()
    attributes: Mapping[str, JSON] = attrs.field(factory=dict)


class RecordDeclaration(Protocol):
    """What `DECLARED` holds on a record class."""

    def source(self, *, nested: bool) -> RecordSource:
        """What the class says, as a topic's record, or as a type inside one.

        Raises:
            DeclarationError: it cannot serve so.
        """


@attrs.frozen
class EnumSource:
    """What an Enum says of its Avro type beyond its members. `namespace` None is that of the record it is used in."""

    name: str
    namespace: str | None = None
    doc: str | None = None
    default: str | None = None
    aliases: tuple[str, ...] = ()
    attributes: Mapping[str, JSON] = attrs.field(factory=dict)
