"""Avro's decimals: an integer of declared precision and scale, as big-endian two's complement."""

from __future__ import annotations

from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal, Inexact
from typing import Final

from onepipe.errors import DecodeError
from onepipe.schema.values.leaf import misfit

_EXACT: Final = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[Inexact])


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
