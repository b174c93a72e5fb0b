"""Arguments of the public API, checked at the call: an error says what is wrong and what to write instead."""

from __future__ import annotations

import datetime as dt
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import UnionType
from typing import Any, Final, TypeAlias, get_args

from onepipe.errors import ConfigurationError, nearest
from onepipe.evidence.header import AUDIT_HEADER, DELETE_HEADER
from onepipe.schema.framing import VALUE_HEADER
from onepipe.schema.values import EPOCH
from onepipe.transport import Headers

UserHeaders: TypeAlias = Headers | Sequence[tuple[str, bytes]] | Mapping[str, bytes]
"""Message headers as callers give them: pairs of name and bytes, or a mapping."""

RESERVED_HEADERS: Final = (AUDIT_HEADER, DELETE_HEADER, VALUE_HEADER)
"""Headers that say who wrote a message, what it deletes and how to read it: the library's alone."""

_MILLISECOND: Final = dt.timedelta(milliseconds=1)
_FIRST_MILLISECOND: Final = -62_135_596_800_000
_LAST_MILLISECOND: Final = 253_402_300_799_999
_MOST: Final = (1 << 63) - 1
_MEMORY: Final = re.compile(r"([1-9][0-9]*(?:\.[0-9]+)?) ?([KMGT])(i?)B", re.IGNORECASE)
_LEAST_MEMORY: Final = 10**6
_MOST_MEMORY: Final = 10**15
_SIZES: Final = '"4GB", "512MiB"'
_WHOLE: Final = re.compile(r"-?[0-9]{1,18}")
_AWARE: Final = "datetime(…, tzinfo=datetime.UTC)"


def require_choice(name: str, value: object, literal: Any) -> None:
    """Require one of the values of a Literal.

    Args:
        name: name of the argument, for the error.
        value: what was given.
        literal: the Literal type.

    Raises:
        ConfigurationError: it is none of them; says the nearest match.
    """
    choices = get_args(literal)
    if not isinstance(value, str):
        known = ", ".join(map(repr, choices))
        raise ConfigurationError(f"{name} is a text, not {_kind(value)}", remedy=f"one of {known}")
    if value not in choices:
        raise ConfigurationError(f"{name} cannot be {value!r}{nearest(value, choices)}")


def require_count(name: str, value: object, *, least: int = 1, most: int = _MOST) -> int:
    """Require a whole number.

    Args:
        name: name of the argument, for the error.
        value: what was given.
        least: the least number allowed.
        most: the greatest number allowed.

    Raises:
        ConfigurationError: another type, less or more.
    """
    try:
        number = operator.index(value)  # type: ignore[arg-type]  # what has no index raises, which is what is asked
    except TypeError:
        number = least - 1
    if isinstance(value, bool) or not least <= number <= most:
        raise ConfigurationError(f"{name} is a whole number from {least}{f' to {most}' if most < _MOST else ''}")
    return number


def require_seconds(name: str, value: object, *, optional: bool = False) -> None:
    """Require a number of seconds from 0, or None where that is optional.

    Raises:
        ConfigurationError: another type, negative, or not a number.
    """
    if value is None and optional:
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        raise ConfigurationError(f"{name} is a number of seconds from 0{' or None' if optional else ''}")


def require_name(name: str, value: object) -> None:
    """Require a text that is not empty, or None.

    Raises:
        ConfigurationError: neither.
    """
    if value is not None and (not isinstance(value, str) or not value):
        raise ConfigurationError(f"{name} is a name, or None")


def require_a(kind: type | UnionType, name: str, value: object, words: str) -> None:
    """Require an instance of a type, or None.

    Args:
        kind: the type, or several.
        name: name of the argument, for the error.
        value: what was given.
        words: what the type is called in the error.

    Raises:
        ConfigurationError: neither.
    """
    if value is not None and not isinstance(value, kind):
        raise ConfigurationError(f"{name} is {words}, not {_kind(value)}")


def require_memory(memory: object) -> None:
    """Require a size of memory such as "4GB", or None.

    Raises:
        ConfigurationError: neither, less than 1 MB, or more than 1 PB.
    """
    if memory is None:
        return
    size = _MEMORY.fullmatch(memory) if isinstance(memory, str) else None
    if size is None:
        raise ConfigurationError("memory is a number with its unit", remedy=_SIZES)
    number, unit, binary = size.groups()
    base = 1024 if binary else 1000
    if not _LEAST_MEMORY <= float(number) * base ** (1 + "KMGT".index(unit.upper())) <= _MOST_MEMORY:
        raise ConfigurationError("memory is from 1MB to 1PB", remedy=_SIZES)


def require_callable(name: str, value: object) -> None:
    """Require a function, or None.

    Raises:
        ConfigurationError: neither.
    """
    if value is not None and not callable(value):
        raise ConfigurationError(f"{name} is a function, not {_kind(value)}")


def require_moment(name: str, moment: object, words: str = "an aware datetime") -> int:
    """Require an aware moment; it in milliseconds since 1970-01-01T00:00Z, rounded up.

    Args:
        name: name of the argument, for the error.
        moment: what was given.
        words: what may be given, for the error.

    Raises:
        ConfigurationError: no datetime, or one without timezone.
    """
    if not isinstance(moment, dt.datetime):
        raise ConfigurationError(f"{name} is {words}")
    if moment.utcoffset() is None:
        raise ConfigurationError(f"{name} needs a timezone", remedy=_AWARE)
    return -((EPOCH - moment) // _MILLISECOND)


def milliseconds(timestamp: object, name: str = "timestamp") -> int:
    """A message's timestamp in whole milliseconds since 1970-01-01T00:00Z; what a datetime has beyond is cut off.

    Args:
        timestamp: milliseconds, or an aware datetime.
        name: what it is called, for the error.

    Raises:
        ConfigurationError: another type, a datetime without timezone, or outside the years 1 to 9999 (UTC).
    """
    if isinstance(timestamp, dt.datetime):
        if timestamp.utcoffset() is None:
            raise ConfigurationError(f"{name} needs a timezone", remedy=_AWARE)
        number = (timestamp - EPOCH) // _MILLISECOND
    elif isinstance(timestamp, bool) or not hasattr(timestamp, "__index__"):
        remedy = f"int(seconds * 1000), or {_AWARE}"
        raise ConfigurationError(f"{name} is milliseconds as int, not {_kind(timestamp)}", remedy=remedy)
    else:
        number = operator.index(timestamp)
    if not _FIRST_MILLISECOND <= number <= _LAST_MILLISECOND:
        raise ConfigurationError(f"{name} is outside the years 1 to 9999", remedy="milliseconds since 1970, UTC")
    return number


def checked_clock(clock: Callable[[], object]) -> Callable[[], int]:
    """A clock of the caller's, looked at each time it is read: it may go wrong at any time.

    Args:
        clock: gives milliseconds since 1970.

    Returns:
        The same; raises ConfigurationError where it gives anything but a moment of the years 1 to 9999.
    """
    return lambda: milliseconds(clock(), "the clock's time")


def nearest_moment(timestamp: int) -> dt.datetime:
    """The moment (UTC) of a timestamp in milliseconds since 1970, or the nearest one of the years 1 to 9999.

    A log may hold any number, as others write to it too.
    """
    return EPOCH + min(max(timestamp, _FIRST_MILLISECOND), _LAST_MILLISECOND) * _MILLISECOND


def message_headers(headers: object) -> Headers:
    """A message's headers as pairs.

    Args:
        headers: a sequence of pairs of name and bytes, or a mapping from name to bytes.

    Raises:
        ConfigurationError: another form, a value that is not bytes, or a name that is reserved or no text.
    """
    pairs: Iterable[Any] = headers.items() if isinstance(headers, Mapping) else ()
    if isinstance(headers, Sequence) and not isinstance(headers, str | bytes | bytearray | memoryview):
        pairs = headers
    elif not isinstance(headers, Mapping):
        remedy = '[("name", b"…")] or {"name": b"…"}'
        raise ConfigurationError(f"headers are pairs of name and bytes, not {_kind(headers)}", remedy=remedy)
    return tuple(_header(pair) for pair in pairs)


def _header(pair: object) -> tuple[str, bytes]:
    if not isinstance(pair, tuple | list) or len(pair) != 2 or not isinstance(pair[0], str):
        raise ConfigurationError("each header is a pair of name and bytes", remedy='("name", b"…")')
    name, value = pair
    if name in RESERVED_HEADERS:
        raise ConfigurationError(f"the header {name!r} is onepipe's own", remedy="choose another name")
    if not _is_text(name):
        raise ConfigurationError("a header's name holds a lone surrogate, which is not text")
    if not isinstance(value, bytes):
        remedy = f"({name!r}, value.encode())" if isinstance(value, str) else f"({name!r}, bytes(value))"
        raise ConfigurationError(f"the header {name!r} has bytes as value, not {_kind(value)}", remedy=remedy)
    return name, value


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _kind(value: object) -> str:
    return "None" if value is None else type(value).__name__


def number_of(value: Any) -> Any:
    """The whole number that a text is; any other value, and a number of more digits than any setting has, as it is."""
    return int(value) if isinstance(value, str) and _WHOLE.fullmatch(value) else value
