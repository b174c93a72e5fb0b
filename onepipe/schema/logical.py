"""Avro's logical types: what a base type's value means. An unknown or ill-formed one falls back to its base type.

Source: Apache Avro 1.12 specification, section "Logical Types".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import attrs


@attrs.frozen
class LogicalType:
    """A logical type.

    Attributes:
        name: as in the specification: "decimal", "uuid", "timestamp-micros", …
        precision: digits of a decimal, else 0.
        scale: digits of a decimal behind the point, else 0.
    """

    name: str
    precision: int = 0
    scale: int = 0

    def document(self) -> dict[str, Any]:
        """The attributes that declare it in a schema document."""
        if self.name == "decimal":
            return {"logicalType": "decimal", "precision": self.precision, "scale": self.scale}
        return {"logicalType": self.name}


_BASES: Final[Mapping[str, frozenset[str]]] = {
    "date": frozenset({"int"}),
    "time-millis": frozenset({"int"}),
    "time-micros": frozenset({"long"}),
    "timestamp-millis": frozenset({"long"}),
    "timestamp-micros": frozenset({"long"}),
    "local-timestamp-millis": frozenset({"long"}),
    "local-timestamp-micros": frozenset({"long"}),
    "uuid": frozenset({"string", "fixed"}),
    "decimal": frozenset({"bytes", "fixed"}),
    "duration": frozenset({"fixed"}),
}
_SIZES: Final[Mapping[str, int]] = {"uuid": 16, "duration": 12}


def logical_type(document: Mapping[str, Any], base: str, size: int | None = None) -> LogicalType | None:
    """The logical type a type object declares on `base` (`size` in bytes for fixed); None where there is none.

    As the specification wants, one that is unknown, or wrong for its base, counts as none; its attributes stay in the
    document as they are.
    """
    name = document.get("logicalType")
    if not isinstance(name, str) or base not in _BASES.get(name, ()):
        return None
    if base == "fixed" and name in _SIZES and size != _SIZES[name]:
        return None
    if name != "decimal":
        return LogicalType(name)
    precision, scale = document.get("precision"), document.get("scale", 0)
    if type(precision) is not int or type(scale) is not int or not 0 <= scale <= precision or precision == 0:
        return None
    if size is not None and precision > max_precision(size):
        return None
    return LogicalType("decimal", precision, scale)


def max_precision(size: int) -> int:
    """Decimal digits that fit into `size` bytes of two's complement."""
    return len(str((1 << (8 * size - 1)) - 1)) - 1 if size else 0
