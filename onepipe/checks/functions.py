"""The functions of the grammar: their arguments, their results, and what they mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import attrs

from onepipe.checks.pattern import PatternError, parse_pattern
from onepipe.checks.tree import Call, Expression, Literal, Matches
from onepipe.checks.types import BOOLEAN, FLOAT, LENGTH, TEXT, Kind, exact

if TYPE_CHECKING:
    from onepipe.checks.resolve import Resolver
    from onepipe.checks.syntax import Call as Written


@attrs.frozen
class Function:
    """A function of the grammar.

    Attributes:
        form: how it is written.
        meaning: what it gives.
        least: number of arguments, at least.
        most: number of arguments, at most; None for any number.
        resolve: makes the typed expression of a call with that number of arguments, or raises CheckError.
    """

    form: str
    meaning: str
    least: int
    most: int | None
    resolve: Callable[[Resolver, Written], Expression]


def _length(resolver: Resolver, call: Written) -> Expression:
    operand = resolver.resolve(call.arguments[0])
    if operand.type.kind not in (Kind.TEXT, Kind.BYTES, Kind.ARRAY):
        raise resolver.source.fault(call.arguments[0].at, f"{operand.type.name} values have no length")
    return Call("length", (operand,), LENGTH, operand.nullable)


def _text(resolver: Resolver, call: Written, index: int) -> Expression:
    operand = resolver.resolve(call.arguments[index])
    if operand.type.kind is not Kind.TEXT:
        raise resolver.source.fault(call.arguments[index].at, f"a text is expected, not {operand.type.name}")
    return operand


def _case(resolver: Resolver, call: Written) -> Expression:
    operand = _text(resolver, call, 0)
    return Call(call.function, (operand,), TEXT, operand.nullable)


def _abs(resolver: Resolver, call: Written) -> Expression:
    operand = resolver.number(call.arguments[0])
    kind = operand.type
    if kind.kind is Kind.FLOAT:
        return Call("abs", (operand,), FLOAT, operand.nullable)
    low = 0 if kind.low <= 0 <= kind.high else min(abs(kind.low), abs(kind.high))
    high = max(abs(kind.low), abs(kind.high))
    return Call("abs", (operand,), exact(kind.scale, low, high, integer=kind.integer), operand.nullable)


def _is_finite(resolver: Resolver, call: Written) -> Expression:
    operand = resolver.resolve(call.arguments[0])
    if operand.type.kind is not Kind.FLOAT:
        raise resolver.source.fault(call.arguments[0].at, f"a float is expected, not {operand.type.name}")
    return Call("isfinite", (operand,), BOOLEAN, operand.nullable)


def _starts_with(resolver: Resolver, call: Written) -> Expression:
    operands = _text(resolver, call, 0), _text(resolver, call, 1)
    return Call("starts_with", operands, BOOLEAN, any(operand.nullable for operand in operands))


def _matches(resolver: Resolver, call: Written) -> Expression:
    operand, pattern = _text(resolver, call, 0), _text(resolver, call, 1)
    at = call.arguments[1].at
    if not isinstance(pattern, Literal):
        raise resolver.source.fault(at, "a regular expression is a literal text")
    try:
        parse_pattern(pattern.value)
    except PatternError as error:
        inside = at + 1 + error.at + pattern.value[: error.at].count("'")
        raise resolver.source.fault(inside, error.message, remedy=error.remedy) from None
    return Matches(operand, pattern.value, operand.nullable)


def _coalesce(resolver: Resolver, call: Written) -> Expression:
    """All arguments become the kind that the first two have in common, then the first three, and so on."""
    places = [argument.at for argument in call.arguments]
    found = [resolver.resolve(argument) for argument in call.arguments]
    first = found[0]
    if first.type.kind in (Kind.ARRAY, Kind.RECORD, Kind.OPAQUE):
        raise resolver.source.fault(places[0], f"coalesce is not for {first.type.name} values")
    for _ in range(2):
        for index in range(1, len(found)):
            found[0], found[index] = resolver.unify(found[0], found[index], places[0], places[index])
    kind = found[0].type
    if kind.kind is Kind.EXACT:
        scale = max(operand.type.scale for operand in found)
        types = [operand.type.rescaled(scale) for operand in found]
        integer = all(t.integer for t in types)
        low, high = min(t.low for t in types), max(t.high for t in types)
        kind = resolver.bounded(low, high, scale, integer=integer, at=call.at)
    elif kind.kind is Kind.FLOAT:
        kind = FLOAT
    elif kind.kind is Kind.TEXT:
        kind = TEXT
    return Call("coalesce", tuple(found), kind, all(operand.nullable for operand in found))


FUNCTIONS: Final[Mapping[str, Function]] = MappingProxyType(
    {
        "abs": Function("abs(number)", "the number without its sign", 1, 1, _abs),
        "coalesce": Function("coalesce(a, b, …)", "the first argument that is not null", 2, None, _coalesce),
        "isfinite": Function("isfinite(float)", "neither NaN nor infinite", 1, 1, _is_finite),
        "length": Function(
            "length(text | bytes | array)", "number of code points, of bytes, or of items", 1, 1, _length
        ),
        "lower": Function("lower(text)", "with A to Z as a to z; other letters stay as they are", 1, 1, _case),
        "matches": Function(
            "matches(text, 'pattern')", "whether the regular expression describes the whole text", 2, 2, _matches
        ),
        "starts_with": Function("starts_with(text, prefix)", "whether the text begins so", 2, 2, _starts_with),
        "upper": Function("upper(text)", "with a to z as A to Z; other letters stay as they are", 1, 1, _case),
    }
)
"""Every function of the grammar, by name."""
