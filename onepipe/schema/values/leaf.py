"""Avro's leaf types: their kinds, their ranges, and how a value that is none of theirs is refused."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final, TypeAlias

from onepipe.errors import Fault, InvalidRecord
from onepipe.schema.model import Enum, Fixed, Primitive

EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
LOCAL_EPOCH: Final = EPOCH.replace(tzinfo=None)
EPOCH_ORDINAL: Final = dt.date(1970, 1, 1).toordinal()
MOMENTS: Final = (-62_135_596_800_000_000, 253_402_300_799_999_999)
"""Microseconds from 1970 of the first and the last moment of the years 1 to 9999 (UTC)."""
INTEGER_RANGES: Final = {"int": (-(1 << 31), (1 << 31) - 1), "long": (-(1 << 63), (1 << 63) - 1)}

Leaf: TypeAlias = Primitive | Fixed | Enum


def kind_of(node: Leaf) -> str:
    """What decides how a leaf's values look: the name of its logical type, of its primitive, "enum" or "fixed"."""
    if not isinstance(node, Enum) and node.logical is not None:
        return node.logical.name
    return node.name if isinstance(node, Primitive) else type(node).__name__.lower()


def digits_of(node: Leaf) -> tuple[int, int]:
    """A decimal's precision and scale; (0, 0) of any other type."""
    logical = None if isinstance(node, Enum) else node.logical
    return (logical.precision, logical.scale) if logical else (0, 0)


def misfit(rule: str, message: str) -> InvalidRecord:
    """One fault of a value whose field the caller knows."""
    return InvalidRecord([Fault(None, rule, message)])


def wrong_type(wanted: str, value: Any) -> InvalidRecord:
    """A value of another type; says which, without the value."""
    return misfit("type", f"{wanted} wanted, not {'null' if value is None else type(value).__name__}")
