"""The values that a check's literals stand for."""

from __future__ import annotations

import datetime as dt
import math
import re
import uuid
from decimal import Decimal
from typing import Final

from onepipe.checks import limits
from onepipe.checks.source import Source
from onepipe.checks.syntax import Constant
from onepipe.checks.tree import Literal
from onepipe.checks.types import BOOLEAN, FLOAT, TEXT, Kind, Type, exact
from onepipe.errors import CheckError

_DATE: Final = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_TIME: Final = r"[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?"
_ZONE: Final = r"(?:Z|[+-][0-9]{2}:[0-9]{2})?"
_FORMS: Final = {
    "DATE": (re.compile(_DATE), "DATE '2013-01-31'"),
    "TIME": (re.compile(_TIME), "TIME '23:59:59.999999'"),
    "TIMESTAMP": (re.compile(f"{_DATE}[ T]{_TIME}{_ZONE}"), "TIMESTAMP '2013-01-31 23:59:59.999999Z'"),
}
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def literal(source: Source, constant: Constant) -> Literal:
    """The value of a literal.

    Raises:
        CheckError: it has no value, is beyond the limits, or is NULL, with which nothing can be compared.
    """
    match constant.kind:
        case "number":
            return _number(source, constant)
        case "text":
            return Literal(constant.text, TEXT)
        case "boolean":
            return Literal(constant.text == "TRUE", BOOLEAN)
        case "null":
            remedy = "write IS NULL, or IS NOT NULL"
            raise source.fault(constant.at, "NULL is not a value: what is compared with it is null", remedy=remedy)
        case _:
            return _dated(source, constant)


def exact_literal(number: Decimal) -> Literal:
    """A number as a literal of the fewest digits behind the point: an int where there are none."""
    written = format(number, "f")
    whole, _, fraction = written.partition(".")
    fraction = fraction.rstrip("0")
    unscaled, scale = int(whole + fraction), len(fraction)
    kind = exact(scale, unscaled, unscaled, integer=scale == 0)
    return Literal(unscaled if scale == 0 else Decimal(f"{unscaled}E-{scale}"), kind)


def float_literal(number: float | Decimal) -> Literal:
    """A number as the nearest float."""
    return Literal(float(number), FLOAT)


def uuid_literal(source: Source, text: str, at: int) -> Literal:
    """A text as a UUID.

    Raises:
        CheckError: not 32 hexadecimal digits in groups of 8, 4, 4, 4 and 12.
    """
    if not _UUID.fullmatch(text):
        raise source.fault(at, "not a UUID: write '01234567-89ab-cdef-0123-456789abcdef'")
    return Literal(uuid.UUID(text), Type(Kind.UUID, "uuid"))


def _number(source: Source, constant: Constant) -> Literal:
    text = constant.text
    if "e" in text.lower():
        if not math.isfinite(number := float(text)):
            raise source.fault(constant.at, "the number is larger than any float")
        return float_literal(number)
    if len(text.lstrip("-").replace(".", "").lstrip("0")) > limits.MAX_DIGITS or len(text) > 2 * limits.MAX_DIGITS:
        raise source.fault(constant.at, f"the number has more than {limits.MAX_DIGITS} digits")
    found = exact_literal(Decimal(text))
    if found.type.scale > limits.MAX_DIGITS:
        raise source.fault(constant.at, f"the number has more than {limits.MAX_DIGITS} digits")
    return found


def _dated(source: Source, constant: Constant) -> Literal:
    form, example = _FORMS[constant.kind]
    text = constant.text
    if not form.fullmatch(text):
        raise source.fault(constant.at, f"not a {constant.kind.lower()}", remedy=f"write {example}")
    try:
        return _instant(constant.kind, text)
    except (ValueError, OverflowError) as error:
        raise _no_such(source, constant) from error


def _no_such(source: Source, constant: Constant) -> CheckError:
    return source.fault(constant.at, f"there is no such {constant.kind.lower()}")


def _instant(kind: str, text: str) -> Literal:
    if kind == "DATE":
        return Literal(dt.date.fromisoformat(text), Type(Kind.DATE, "date"))
    if kind == "TIME":
        return Literal(dt.time.fromisoformat(_padded(text)), Type(Kind.TIME, "time"))
    moment = dt.datetime.fromisoformat(_padded(text))
    if moment.tzinfo is None:
        return Literal(moment, Type(Kind.LOCAL_TIMESTAMP, "local timestamp"))
    return Literal(moment.astimezone(dt.UTC), Type(Kind.TIMESTAMP, "timestamp"))


def _padded(text: str) -> str:
    """The text with six digits of a fraction, the only number every Python version reads besides three."""
    return re.sub(r"\.([0-9]+)", lambda match: f".{match[1]:0<6}", text)
