"""JSON from outside, parsed strictly: what it says does not depend on who reads it, nor on where.

Refused are: text that is not UTF-8, names that stand twice in one object, NaN and infinities, nesting beyond MAX_DEPTH,
values beyond MAX_BYTES, numbers of more than MAX_DIGITS characters or decimal places. Source: RFC 8259, and the
strictness of I-JSON (RFC 7493) where it leaves readers free.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NoReturn

from onepipe.errors import DecodeError

MAX_BYTES: Final = 16 << 20
"""Bytes of a JSON text."""
MAX_DEPTH: Final = 64
"""Nesting of arrays and objects."""
MAX_DIGITS: Final = 1000
"""Characters of a number, and the greatest power of ten of its first digit."""

_BRACKETS: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[{]|[\]}]', re.DOTALL)


def parse_json(data: bytes) -> Any:
    """The value of a JSON text: dict, list, str, int, Decimal for numbers with point or exponent, bool or None.

    Raises:
        DecodeError: not such a text; says why and where, and no value.
    """
    if len(data) > MAX_BYTES:
        raise DecodeError(f"JSON of {len(data)} bytes; {MAX_BYTES} are allowed")
    if data.count(b"{") + data.count(b"[") > MAX_DEPTH:
        _require_depth(data)
    try:
        return _DECODER.decode(data.decode())
    except UnicodeDecodeError as error:
        raise DecodeError(f"text that is not UTF-8, at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise DecodeError(f"not JSON: {error.msg}, at character {error.pos}") from None


def _require_depth(data: bytes) -> None:
    depth = 0
    for match in _BRACKETS.finditer(data):
        bracket = data[match.start() : match.start() + 1]
        if bracket in b"[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise DecodeError(f"JSON nested deeper than {MAX_DEPTH}")
        elif bracket in b"]}":
            depth -= 1


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise DecodeError("a JSON object holds a name twice")
    return made


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise DecodeError(f"a JSON number of more than {MAX_DIGITS} characters")
    return int(text)


def _number(text: str) -> Decimal:
    if len(text) > MAX_DIGITS:
        raise DecodeError(f"a JSON number of more than {MAX_DIGITS} characters")
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise DecodeError("a JSON number beyond all bounds") from None
    return bounded(number)


def bounded(number: Decimal) -> Decimal:
    """A number whose digits all stand within MAX_DIGITS of the point.

    Raises:
        DecodeError: another one.
    """
    if (
        not number.is_finite()
        or abs(number.adjusted()) > MAX_DIGITS
        or abs(int(number.as_tuple().exponent)) > MAX_DIGITS
    ):
        raise DecodeError(f"a number with digits more than {MAX_DIGITS} places from the point")
    return number


def _constant(name: str) -> NoReturn:
    raise DecodeError(f"not JSON: {name}")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_number, parse_constant=_constant
)
