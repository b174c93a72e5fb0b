"""The types of a check's expressions, and which of them the fields of a record have."""

from __future__ import annotations

import enum
from typing import Final

import attrs

from onepipe.checks import limits
from onepipe.schema.logical import LogicalType
from onepipe.schema.model import Array, Enum, Fixed, Node, Primitive, Record, Schema, Union


class Kind(enum.Enum):
    """What a value is; operands of a comparison have the same kind, but that exact numbers become floats."""

    BOOLEAN = "boolean"
    EXACT = "exact number"
    FLOAT = "float"
    TEXT = "text"
    BYTES = "bytes"
    UUID = "uuid"
    DATE = "date"
    TIME = "time"
    TIMESTAMP = "timestamp"
    LOCAL_TIMESTAMP = "local timestamp"
    ARRAY = "array"
    RECORD = "record"
    OPAQUE = "other"


ORDERED: Final = frozenset(Kind) - {Kind.BOOLEAN, Kind.ARRAY, Kind.RECORD, Kind.OPAQUE}
"""Kinds whose values can be compared by < and >."""

_INT64: Final = 1 << 63


@attrs.frozen
class Type:
    """The type of an expression.

    Attributes:
        kind: what its values are.
        name: how messages speak of it.
        scale: exact numbers: digits behind the point.
        low: exact numbers: the least value there can be, times 10**scale.
        high: exact numbers: the greatest, likewise.
        integer: exact numbers: Python's values are int, and the lake's BIGINT or HUGEINT; else Decimal and DECIMAL.
        single: floats: a field of single precision, whose values are rounded before use.
        symbols: texts: an enum's symbols, else empty.
        record: records: the Avro type.
    """

    kind: Kind
    name: str
    scale: int = 0
    low: int = 0
    high: int = 0
    integer: bool = True
    single: bool = False
    symbols: tuple[str, ...] = ()
    record: Record | None = None

    @property
    def digits(self) -> int:
        """Exact numbers: the most digits a value has, at least the scale."""
        return max(len(str(max(abs(self.low), abs(self.high)))), self.scale)

    @property
    def fits_int64(self) -> bool:
        """Exact numbers: whether every value is a 64-bit integer."""
        return self.integer and self.low >= -_INT64 and self.high < _INT64

    def rescaled(self, scale: int) -> Type:
        """Exact numbers: the same values written with more digits behind the point."""
        factor = 10 ** (scale - self.scale)
        return attrs.evolve(self, scale=scale, low=self.low * factor, high=self.high * factor)


BOOLEAN: Final = Type(Kind.BOOLEAN, "boolean")
FLOAT: Final = Type(Kind.FLOAT, "float")
TEXT: Final = Type(Kind.TEXT, "text")
LENGTH: Final = Type(Kind.EXACT, "integer", low=0, high=_INT64 - 1)


def exact(scale: int, low: int, high: int, *, integer: bool) -> Type:
    """The type of exact numbers from `low` to `high`, both times 10**scale."""
    return Type(Kind.EXACT, "integer" if integer else "decimal", scale, low, high, integer)


_PRIMITIVES: Final = {
    "boolean": BOOLEAN,
    "int": exact(0, -(1 << 31), (1 << 31) - 1, integer=True),
    "long": exact(0, -_INT64, _INT64 - 1, integer=True),
    "float": attrs.evolve(FLOAT, single=True),
    "double": FLOAT,
    "bytes": Type(Kind.BYTES, "bytes"),
    "string": TEXT,
}
_LOGICAL: Final = {
    "uuid": Type(Kind.UUID, "uuid"),
    "date": Type(Kind.DATE, "date"),
    "time-millis": Type(Kind.TIME, "time"),
    "time-micros": Type(Kind.TIME, "time"),
    "timestamp-millis": Type(Kind.TIMESTAMP, "timestamp"),
    "timestamp-micros": Type(Kind.TIMESTAMP, "timestamp"),
    "local-timestamp-millis": Type(Kind.LOCAL_TIMESTAMP, "local timestamp"),
    "local-timestamp-micros": Type(Kind.LOCAL_TIMESTAMP, "local timestamp"),
}


def field_type(schema: Schema, node: Node) -> tuple[Type, bool]:
    """The type of a field's values, and whether they may be null.

    A type that has no place in the grammar (a map, a union of several types, a duration, a decimal of more than 38
    digits) is OPAQUE: it can only be tested for null.
    """
    node = schema.resolve(node)
    if isinstance(node, Union):
        if node.nullable is not None:
            return _value_type(schema.resolve(node.nullable)), True
        nullable = any(isinstance(b, Primitive) and b.name == "null" for b in node.branches)
        return Type(Kind.OPAQUE, "union"), nullable
    return _value_type(node), node == Primitive("null")


def _value_type(node: Node) -> Type:
    match node:
        case Record():
            return Type(Kind.RECORD, f"record {node.name}", record=node)
        case Array():
            return Type(Kind.ARRAY, "array")
        case Enum():
            return Type(Kind.TEXT, f"enum {node.name}", symbols=node.symbols)
        case Primitive(logical=None, name=name) if name in _PRIMITIVES:
            return _PRIMITIVES[name]
        case Fixed(logical=None):
            return _PRIMITIVES["bytes"]
        case Primitive(logical=LogicalType() as logical) | Fixed(logical=LogicalType() as logical):
            return _logical_type(logical)
        case _:
            return Type(Kind.OPAQUE, type(node).__name__.lower())


def _logical_type(logical: LogicalType) -> Type:
    if logical.name == "decimal" and logical.precision <= limits.MAX_DIGITS:
        largest = 10**logical.precision - 1
        return exact(logical.scale, -largest, largest, integer=False)
    return _LOGICAL.get(logical.name, Type(Kind.OPAQUE, logical.name))
