"""Values of Avro's leaf types: between what Python programs hold and what the bytes hold, exactly.

A *logical* value is what programs see (a datetime, a Decimal, a UUID); a *base* value is what the type's bytes stand
for: days, milli- or microseconds as int, decimals and durations as bytes, enums as their symbol. All arithmetic is on
integers; a value that the type cannot hold exactly is refused, never rounded (floats to Avro's 32-bit float excepted).

Source: Apache Avro 1.12 specification, section "Logical Types".
"""

from __future__ import annotations

import datetime as dt
import enum
import numbers
import operator
import struct
from collections.abc import Callable, Mapping
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal, Inexact
from functools import partial
from typing import Any, Final, TypeAlias
from uuid import UUID

import attrs

from onepipe.errors import DecodeError, Fault, InvalidRecord, nearest
from onepipe.schema.model import Enum, Fixed, Primitive
from onepipe.schema.symbols import enum_symbols

EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
LOCAL_EPOCH: Final = EPOCH.replace(tzinfo=None)
EPOCH_ORDINAL: Final = dt.date(1970, 1, 1).toordinal()
MOMENTS: Final = (-62_135_596_800_000_000, 253_402_300_799_999_999)
"""Microseconds from 1970 of the first and the last moment of the years 1 to 9999 (UTC)."""
INTEGER_RANGES: Final = {"int": (-(1 << 31), (1 << 31) - 1), "long": (-(1 << 63), (1 << 63) - 1)}

_DURATION: Final = struct.Struct("<III")
_FLOAT: Final = struct.Struct("<f")
_SYMBOLS_SHOWN: Final = 20
_MAX_UINT32: Final = (1 << 32) - 1
_DAY_MICROS: Final = 86_400_000_000
_EXACT: Final = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[Inexact])

Leaf: TypeAlias = Primitive | Fixed | Enum


@attrs.frozen(order=True)
class Duration:
    """Avro's duration: three counts that do not convert into one another.

    Attributes:
        months: 0 to 2**32 - 1.
        days: 0 to 2**32 - 1.
        milliseconds: 0 to 2**32 - 1.
    """

    months: int = 0
    days: int = 0
    milliseconds: int = 0

    def __attrs_post_init__(self) -> None:
        for name, count in (("months", self.months), ("days", self.days), ("milliseconds", self.milliseconds)):
            if type(count) is not int or not 0 <= count <= _MAX_UINT32:
                raise InvalidRecord([Fault(name, "range", f"{name} is an integer from 0 to {_MAX_UINT32}")])

    def to_bytes(self) -> bytes:
        """The 12 bytes of the duration: three little-endian unsigned integers."""
        return _DURATION.pack(self.months, self.days, self.milliseconds)

    @classmethod
    def from_bytes(cls, data: bytes) -> Duration:
        """The duration that 12 bytes hold."""
        return cls(*_DURATION.unpack(data))


def kind_of(node: Leaf) -> str:
    """What decides how a leaf's values look: the name of its logical type, of its primitive, "enum" or "fixed"."""
    if not isinstance(node, Enum) and node.logical is not None:
        return node.logical.name
    return node.name if isinstance(node, Primitive) else type(node).__name__.lower()


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


def from_base(node: Leaf, base: Any) -> Any:
    """The logical value of a base one.

    Raises:
        DecodeError: outside what Python, or the declared precision, can hold.
    """
    convert = interpreter(node)
    return base if convert is None else convert(base)


def interpreter(node: Leaf) -> Callable[[Any], Any] | None:
    """The function from base to logical values of a type; None where they are the same.

    The function raises DecodeError as `from_base` does.
    """
    convert = _FROM_BASE.get(kind_of(node))
    return None if convert is None else partial(convert, node)


def misfit(rule: str, message: str) -> InvalidRecord:
    """One fault of a value whose field the caller knows."""
    return InvalidRecord([Fault(None, rule, message)])


def wrong_type(wanted: str, value: Any) -> InvalidRecord:
    """A value of another type; says which, without the value."""
    return misfit("type", f"{wanted} wanted, not {'null' if value is None else type(value).__name__}")


def micros_of(delta: dt.timedelta) -> int:
    """A timedelta in microseconds, exactly."""
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def unscaled(value: Decimal, precision: int, scale: int) -> int:
    """The integer that stands for a decimal of that precision and scale.

    Raises:
        InvalidRecord: not finite, more digits behind the point than `scale`, or more digits than `precision`.
    """
    if not value.is_finite():
        raise misfit("range", "a decimal is finite")
    if not value:
        return 0
    if value.adjusted() >= precision - scale:
        raise misfit("precision", f"more than {precision - scale} digits before the point")
    try:
        return int(value.scaleb(scale, _EXACT).quantize(Decimal(1), context=_EXACT))
    except Inexact:
        raise misfit("scale", f"more than {scale} digits behind the point") from None


def scaled(number: int, scale: int) -> Decimal:
    """The decimal that an unscaled integer stands for, exactly."""
    return Decimal(number).scaleb(-scale, _EXACT)


def integer_bytes(number: int) -> bytes:
    """An integer as the shortest big-endian two's complement, at least one byte."""
    return number.to_bytes((number if number >= 0 else ~number).bit_length() // 8 + 1, "big", signed=True)


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


def _digits(node: Leaf) -> tuple[int, int]:
    """A decimal's precision and scale; (0, 0) of any other type."""
    logical = None if isinstance(node, Enum) else node.logical
    return (logical.precision, logical.scale) if logical else (0, 0)


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
    number = unscaled(Decimal(value), *_digits(node))
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


def date_from(days: int) -> dt.date:
    """The date so many days after 1970-01-01.

    Raises:
        DecodeError: outside the years 1 to 9999.
    """
    try:
        return dt.date.fromordinal(EPOCH_ORDINAL + days)
    except (ValueError, OverflowError):
        raise DecodeError("a date outside the years 1 to 9999") from None


def time_from(micros: int) -> dt.time:
    """The time of day so many microseconds after midnight.

    Raises:
        DecodeError: not within one day.
    """
    if not 0 <= micros < _DAY_MICROS:
        raise DecodeError("a time of day outside 00:00 to 24:00")
    seconds, microsecond = divmod(micros, 1_000_000)
    return dt.time(seconds // 3600, seconds // 60 % 60, seconds % 60, microsecond)


def datetime_from(epoch: dt.datetime, micros: int) -> dt.datetime:
    """The moment so many microseconds after `epoch`, in its timezone.

    Raises:
        DecodeError: outside the years 1 to 9999.
    """
    try:
        return epoch + dt.timedelta(0, 0, micros)
    except OverflowError:
        raise DecodeError("a timestamp outside the years 1 to 9999") from None


def decimal_from(data: bytes, precision: int, scale: int) -> Decimal:
    """The decimal that big-endian two's complement holds.

    Raises:
        DecodeError: no bytes, or more digits than `precision`.
    """
    if not data:
        raise DecodeError("a decimal of no bytes")
    number = int.from_bytes(data, "big", signed=True)
    if abs(number) >= 10**precision:
        raise DecodeError(f"a decimal of more than {precision} digits")
    return scaled(number, scale)


def uuid_from(text: str) -> UUID:
    """The UUID of its text, in either case.

    Raises:
        DecodeError: not 8-4-4-4-12 hexadecimal digits.
    """
    try:
        value = UUID(text)
    except ValueError:
        raise DecodeError("not a UUID") from None
    if str(value) != text.lower():
        raise DecodeError("not a UUID of 8-4-4-4-12 hexadecimal digits")
    return value


def _decimal_from(node: Leaf, base: Any) -> Decimal:
    return decimal_from(base, *_digits(node))


_FROM_BASE: Final[dict[str, Callable[[Leaf, Any], Any]]] = {
    "date": lambda _, base: date_from(base),
    "time-millis": lambda _, base: time_from(base * 1000),
    "time-micros": lambda _, base: time_from(base),
    "timestamp-millis": lambda _, base: datetime_from(EPOCH, base * 1000),
    "timestamp-micros": lambda _, base: datetime_from(EPOCH, base),
    "local-timestamp-millis": lambda _, base: datetime_from(LOCAL_EPOCH, base * 1000),
    "local-timestamp-micros": lambda _, base: datetime_from(LOCAL_EPOCH, base),
    "decimal": _decimal_from,
    "uuid": lambda node, base: UUID(bytes=base) if isinstance(node, Fixed) else uuid_from(base),
    "duration": lambda _, base: Duration.from_bytes(base),
}
