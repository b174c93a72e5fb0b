"""What the Python form of a check calls. No function is ever given a null, unless it says so."""

from __future__ import annotations

import datetime as dt
import enum
import math
import operator
import struct
from collections.abc import Mapping
from decimal import Context
from functools import cache
from types import MappingProxyType
from typing import Any, Final

from onepipe.checks import limits
from onepipe.schema.symbols import enum_symbols

EXACT: Final = Context(prec=2 * limits.MAX_DIGITS + 2, Emin=-999_999, Emax=999_999)
"""Decimal arithmetic that never rounds: results have at most 38 digits."""

_LOWER: Final = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
_UPPER: Final = {code: code - 32 for code in range(ord("a"), ord("z") + 1)}
_SINGLE: Final = struct.Struct("<f")


def conjunction(*conditions: bool | None) -> bool | None:
    """AND of several that may be null."""
    if False in conditions:
        return False
    return None if None in conditions else True


def disjunction(*conditions: bool | None) -> bool | None:
    """OR of several that may be null."""
    if True in conditions:
        return True
    return None if None in conditions else False


def quotient(left: float, right: float) -> float | None:
    """The quotient of two floats, null for a division by zero."""
    return left / right if right != 0 else None


def remainder(left: int, right: int) -> int | None:
    """The remainder of a division toward zero, which has the dividend's sign; null for a division by zero."""
    if right == 0:
        return None
    found = abs(left) % abs(right)
    return -found if left < 0 else found


def single(value: float) -> float:
    """A float rounded to single precision, as a field of Avro's type float holds it."""
    try:
        rounded: float = _SINGLE.unpack(_SINGLE.pack(value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)
    return rounded


def symbol(value: str | enum.Enum) -> str:
    """The symbol of an enum's value, given as symbol or as member of a Python enum."""
    return _symbols(type(value))[value] if isinstance(value, enum.Enum) else value


@cache
def _symbols(cls: type[enum.Enum]) -> dict[enum.Enum, str]:
    return {member: text for text, member in enum_symbols(cls).items()}


def member(value: Any, *path: str) -> Any:
    """The value at a path inside a record, a mapping or an object; null where a value on the way is null."""
    for name in path:
        if value is None:
            return None
        value = value[name] if isinstance(value, Mapping) else getattr(value, name)
    return value


def lower(text: str) -> str:
    """The text with A to Z as a to z."""
    return text.lower() if text.isascii() else text.translate(_LOWER)


def upper(text: str) -> str:
    """The text with a to z as A to Z."""
    return text.upper() if text.isascii() else text.translate(_UPPER)


NAMES: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "_op_and": conjunction,
        "_op_or": disjunction,
        "_op_quotient": quotient,
        "_op_remainder": remainder,
        "_op_single": single,
        "_op_symbol": symbol,
        "_op_member": member,
        "_op_lower": lower,
        "_op_upper": upper,
        "_op_exact": EXACT,
        "_op_float": float,
        "_op_abs": abs,
        "_op_len": len,
        "_op_bytes": bytes,
        "_op_index": operator.index,
        "_op_isfinite": math.isfinite,
        "_op_starts_with": str.startswith,
        "_op_utc": dt.UTC,
    }
)
"""The names that the Python form of any check may use."""
