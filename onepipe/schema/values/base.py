"""From logical values to base ones: what Python programs hold, checked, as what the bytes of a leaf type stand for."""

from __future__ import annotations

import datetime as dt
import enum
import numbers
import operator
import struct
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import partial
from typing import Any, Final
from uuid import UUID

from onepipe.errors import nearest
from onepipe.schema.model import Enum, Fixed
from onepipe.schema.symbols import enum_symbols
from onepipe.schema.values.decimals import integer_bytes, unscaled
from onepipe.schema.values.duration import Duration
from onepipe.schema.values.leaf import (
    EPOCH,
    EPOCH_ORDINAL,
    INTEGER_RANGES,
    LOCAL_EPOCH,
    MOMENTS,
    Leaf,
    digits_of,
    kind_of,
    misfit,
    wrong_type,
)

_FLOAT: Final = struct.Struct("<f")
_SYMBOLS_SHOWN: Final = 20


def to_base(node: Leaf, value: Any) -> Any:
    """The base value of a logical one.

    Args:
        node: a primitive, fixed or enum type, references resolved.
        value: the logical value; subclasses, and what has `__index__` for integers, are taken too.

    Raises:
        InvalidRecord: another type, out of range, or not exactly representable; the one fault names no field.
    """
    return _TO_BASE[kind_of(node)](node, value)


def converter(node: Leaf, classes: Mapping[str, type]) -> Callable[[Any], Any]:
    """The function from logical to base values of a type; an enum with a class takes only that class's members.

    The function raises InvalidRecord as `to_base` does.
    """
    convert = partial(_TO_BASE[kind_of(node)], node)
    cls = classes.get(node.name) if isinstance(node, Enum) else None
    if cls is None:
        return convert

    def convert_member(value: Any) -> Any:
        if isinstance(value, enum.Enum) and not isinstance(value, cls):
            raise wrong_type(cls.__name__, value)
        return convert(value)

    return convert_member


def micros_of(delta: dt.timedelta) -> int:
    """A timedelta in microseconds, exactly."""
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def symbol_of(value: Any) -> str:
    """The symbol of a Python enum's member, or of a symbol itself.

    Raises:
        InvalidRecord: neither.
    """
    if isinstance(value, enum.Enum):
        for symbol, member in enum_symbols(type(value)).items():
            if member is value:
                return symbol
    if isinstance(value, str):
        return value
    raise wrong_type("a symbol", value)


def _null(_node: Leaf, value: Any) -> None:
    if value is not None:
        raise wrong_type("null", value)


def _boolean(_node: Leaf, value: Any) -> bool:
    if not isinstance(value, bool):
        raise wrong_type("boolean", value)
    return value


def _integer(node: Leaf, value: Any) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise wrong_type(node.name, value)
    number = operator.index(value)
    low, high = INTEGER_RANGES[node.name]
    if not low <= number <= high:
        raise misfit("range", f"an {node.name} is from {low} to {high}" if node.name == "int" else "beyond 64 bits")
    return number


def _float(node: Leaf, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise wrong_type(node.name, value)
    number = _exact_float(node, value) if isinstance(value, numbers.Rational) else float(value)
    if node.name == "float":
        try:
            _FLOAT.pack(number)
        except OverflowError:
            raise misfit("range", "beyond a 32-bit float") from None
    return number


def _exact_float(node: Leaf, value: numbers.Rational) -> float:
    try:
        number = float(value)
    except OverflowError:
        raise misfit("range", f"beyond a {node.name}") from None
    if number != value:
        raise misfit("precision", f"an integer that no {node.name} holds exactly")
    return number


def _string(_node: Leaf, value: Any) -> str:
    if not isinstance(value, str):
        raise wrong_type("text", value)
    try:
        return str.encode(value).decode()
    except UnicodeEncodeError:
        raise misfit("text", "a lone surrogate is not text") from None


def _bytes(_node: Leaf, value: Any) -> bytes:
    if not isinstance(value, bytes | bytearray | memoryview):
        raise wrong_type("bytes", value)
    return bytes(value)


def _fixed(node: Leaf, value: Any) -> bytes:
    data = _bytes(node, value)
    if isinstance(node, Fixed) and len(data) != node.size:
        raise misfit("length", f"{len(data)} bytes where {node.name} has {node.size}")
    return data


def _enum(node: Leaf, value: Any) -> str:
    symbol = symbol_of(value)
    if isinstance(node, Enum) and symbol not in node.symbols:
        known = nearest("", node.symbols) if len(node.symbols) <= _SYMBOLS_SHOWN else ""
        raise misfit("symbol", f"not a symbol of {node.name}{known}")
    return symbol


def _date(_node: Leaf, value: Any) -> int:
    if not isinstance(value, dt.date) or isinstance(value, dt.datetime):
        raise wrong_type("a date", value)
    return value.toordinal() - EPOCH_ORDINAL


def _time(node: Leaf, value: Any) -> int:
    if not isinstance(value, dt.time):
        raise wrong_type("a time", value)
    if value.tzinfo is not None:
        raise misfit("timezone", "a time has no timezone")
    micros = ((value.hour * 60 + value.minute) * 60 + value.second) * 1_000_000 + value.microsecond
    return _in_unit(node, micros)


def _timestamp(node: Leaf, value: Any) -> int:
    local = kind_of(node).startswith("local")
    if not isinstance(value, dt.datetime):
        raise wrong_type("a datetime", value)
    if (value.utcoffset() is None) is not local:
        problem = "a local timestamp has no timezone" if local else "a datetime needs a timezone"
        raise misfit("timezone", problem)
    if getattr(value, "nanosecond", 0):
        raise misfit("precision", "nanoseconds would be lost")
    micros = micros_of(value - (LOCAL_EPOCH if local else EPOCH))
    if not MOMENTS[0] <= micros <= MOMENTS[1]:
        raise misfit("range", "a moment is within the years 1 to 9999 of UTC")
    return _in_unit(node, micros)


def _in_unit(node: Leaf, micros: int) -> int:
    if not kind_of(node).endswith("millis"):
        return micros
    millis, rest = divmod(micros, 1000)
    if rest:
        raise misfit("precision", "microseconds would be lost in a type of milliseconds")
    return millis


def _decimal(node: Leaf, value: Any) -> bytes:
    if isinstance(value, bool) or not isinstance(value, Decimal | int):
        raise wrong_type("a Decimal", value)
    number = unscaled(Decimal(value), *digits_of(node))
    return number.to_bytes(node.size, "big", signed=True) if isinstance(node, Fixed) else integer_bytes(number)


def _uuid(node: Leaf, value: Any) -> str | bytes:
    if not isinstance(value, UUID):
        raise wrong_type("a UUID", value)
    return value.bytes if isinstance(node, Fixed) else str(value)


def _duration(_node: Leaf, value: Any) -> bytes:
    if not isinstance(value, Duration):
        raise wrong_type("a Duration", value)
    return value.to_bytes()


_TO_BASE: Final[dict[str, Callable[[Leaf, Any], Any]]] = {
    "null": _null,
    "boolean": _boolean,
    "int": _integer,
    "long": _integer,
    "float": _float,
    "double": _float,
    "string": _string,
    "bytes": _bytes,
    "fixed": _fixed,
    "enum": _enum,
    "date": _date,
    "time-millis": _time,
    "time-micros": _time,
    "timestamp-millis": _timestamp,
    "timestamp-micros": _timestamp,
    "local-timestamp-millis": _timestamp,
    "local-timestamp-micros": _timestamp,
    "decimal": _decimal,
    "uuid": _uuid,
    "duration": _duration,
}
