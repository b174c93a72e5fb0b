"""From base values to logical ones: what the bytes of a leaf type stand for, checked, as what Python programs hold."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from functools import partial
from typing import Any, Final
from uuid import UUID

from onepipe.errors import DecodeError
from onepipe.schema.model import Fixed
from onepipe.schema.values.decimals import decimal_from
from onepipe.schema.values.duration import Duration
from onepipe.schema.values.leaf import EPOCH, EPOCH_ORDINAL, LOCAL_EPOCH, Leaf, digits_of, kind_of

_DAY_MICROS: Final = 86_400_000_000


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


_FROM_BASE: Final[dict[str, Callable[[Leaf, Any], Any]]] = {
    "date": lambda _, base: date_from(base),
    "time-millis": lambda _, base: time_from(base * 1000),
    "time-micros": lambda _, base: time_from(base),
    "timestamp-millis": lambda _, base: datetime_from(EPOCH, base * 1000),
    "timestamp-micros": lambda _, base: datetime_from(EPOCH, base),
    "local-timestamp-millis": lambda _, base: datetime_from(LOCAL_EPOCH, base * 1000),
    "local-timestamp-micros": lambda _, base: datetime_from(LOCAL_EPOCH, base),
    "decimal": lambda node, base: decimal_from(base, *digits_of(node)),
    "uuid": lambda node, base: UUID(bytes=base) if isinstance(node, Fixed) else uuid_from(base),
    "duration": lambda _, base: Duration.from_bytes(base),
}
