"""Markers for `typing.Annotated`: what a Python annotation leaves open about its Avro type.

For example `Annotated[Decimal, decimal(12, 2)]`, `Annotated[datetime, millis]`,
`Annotated[bytes, fixed(16), avro_name("Digest")]`, `Annotated[float | str, branches("string", "double")]`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

import attrs

from onepipe.errors import DeclarationError


@attrs.frozen
class Flag:
    """A marker without arguments."""

    kind: str

    def __repr__(self) -> str:
        return self.kind


@attrs.frozen
class DecimalMarker:
    """Digits of a decimal, and its size in bytes where it has a fixed one."""

    precision: int
    scale: int
    size: int | None = None
    kind = "decimal"


@attrs.frozen
class FixedMarker:
    """Size in bytes."""

    size: int
    kind = "fixed"


@attrs.frozen
class NameMarker:
    """The Avro name of a type that has no Python class of its own."""

    name: str
    namespace: str | None = None
    aliases: tuple[str, ...] = ()
    kind = "avro_name"


@attrs.frozen
class BranchesMarker:
    """The order of a union's branches."""

    names: tuple[str, ...]
    kind = "branches"


@attrs.frozen
class AttributesMarker:
    """Further attributes of a type, as JSON text, so that equal markers hash alike."""

    text: str
    kind = "attributes"

    @property
    def mapping(self) -> dict[str, Any]:
        """The attributes."""
        attributes: dict[str, Any] = json.loads(self.text)
        return attributes


Marker: TypeAlias = Flag | DecimalMarker | FixedMarker | NameMarker | BranchesMarker | AttributesMarker

int32: Final = Flag("int32")
"""On `int`: Avro's 32-bit int instead of long."""

float32: Final = Flag("float32")
"""On `float`: Avro's 32-bit float instead of double."""

millis: Final = Flag("millis")
"""On `datetime` and `time`: milliseconds instead of microseconds."""

local: Final = Flag("local")
"""On `datetime`: a local timestamp, whose values are naive."""


def decimal(precision: int, scale: int = 0, size: int | None = None) -> DecimalMarker:
    """On `Decimal`: at most `precision` digits, `scale` of them behind the point.

    Args:
        precision: digits in all, at least 1.
        scale: digits behind the point, at most `precision`.
        size: bytes of a fixed type to keep it in; by default it takes as many bytes as its value needs.
    """
    if type(precision) is not int or type(scale) is not int or not 0 <= scale <= precision or precision < 1:
        raise DeclarationError("decimal(precision, scale) wants 1 <= precision and 0 <= scale <= precision")
    return DecimalMarker(precision, scale, size)


def fixed(size: int) -> FixedMarker:
    """On `bytes`: always `size` bytes. On `UUID`: its 16 bytes instead of its text."""
    if type(size) is not int or size < 0:
        raise DeclarationError("fixed(size) wants a size in bytes")
    return FixedMarker(size)


def avro_name(name: str, *, namespace: str | None = None, aliases: Sequence[str] = ()) -> NameMarker:
    """On what becomes a named type without a Python class (fixed, Literal, Duration): its Avro name.

    Args:
        name: the name; a full one has dots.
        namespace: the namespace; None is the record's, "" is none.
        aliases: former names.
    """
    return NameMarker(name, namespace, tuple(aliases))


def branches(*names: str) -> BranchesMarker:
    """On a union: its branches in this order, by type name ("null", "string", "array") or full name.

    Without it null comes first, unless a default is of another branch, and the others follow as written.
    """
    return BranchesMarker(names)


def attributes(mapping: Mapping[str, Any]) -> AttributesMarker:
    """On a type: further attributes of its schema, such as a logical type that onepipe does not know."""
    return AttributesMarker(json.dumps(mapping, ensure_ascii=False))
