"""Builds the text of a check from Python operators: `str(col("updated") >= col("created"))` is `updated >= created`.

    op.col("price").between(0, 100) & ~op.col("status").is_in("lost", "void")

Python's `and`, `or`, `not`, `in` and chained comparisons ask for a truth value, which an expression has not; it says
so and names `&`, `|`, `~`, `.is_in()` and `.between()`.
"""

from __future__ import annotations

import datetime as dt
import enum
import math
import re
import uuid
from decimal import Decimal
from typing import Final, NoReturn, TypeAlias

import attrs

from onepipe.checks.tokens import KEYWORDS
from onepipe.errors import CheckError
from onepipe.schema.symbols import enum_symbols

Value: TypeAlias = "str | int | float | Decimal | bool | dt.date | dt.time | uuid.UUID | enum.Enum"
Operand: TypeAlias = "Expression | Value"

_BARE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_OR, _AND, _NOT, _PREDICATE, _SUM, _PRODUCT, _NEGATIVE, _PRIMARY = range(1, 9)


@attrs.frozen(eq=False, repr=False, str=False)
class Expression:
    """An expression of the check grammar, made by `col`, `lit` and Python's operators. Immutable.

    Attributes:
        text: as a check writes it.
        binding: how tightly its outermost operator binds.
    """

    text: str
    binding: int = _PRIMARY

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"<Expression {self.text}>"

    def __bool__(self) -> NoReturn:
        raise CheckError(
            f"{self.text!r} is neither true nor false before there is a record",
            remedy="join by & and |, negate by ~, use .is_in() for in and .between() for a chain",
        )

    __hash__ = None  # type: ignore[assignment]  # == builds an expression, so it cannot serve as a key

    def __eq__(self, other: Operand) -> Expression:  # type: ignore[override]  # builds text, as SQLAlchemy's columns do
        return self._binary("=", other, _PREDICATE)

    def __ne__(self, other: Operand) -> Expression:  # type: ignore[override]  # see __eq__
        return self._binary("<>", other, _PREDICATE)

    def __lt__(self, other: Operand) -> Expression:
        return self._binary("<", other, _PREDICATE)

    def __le__(self, other: Operand) -> Expression:
        return self._binary("<=", other, _PREDICATE)

    def __gt__(self, other: Operand) -> Expression:
        return self._binary(">", other, _PREDICATE)

    def __ge__(self, other: Operand) -> Expression:
        return self._binary(">=", other, _PREDICATE)

    def __add__(self, other: Operand) -> Expression:
        return self._binary("+", other, _SUM)

    def __radd__(self, other: Value) -> Expression:
        return lit(other) + self

    def __sub__(self, other: Operand) -> Expression:
        return self._binary("-", other, _SUM)

    def __rsub__(self, other: Value) -> Expression:
        return lit(other) - self

    def __mul__(self, other: Operand) -> Expression:
        return self._binary("*", other, _PRODUCT)

    def __rmul__(self, other: Value) -> Expression:
        return lit(other) * self

    def __truediv__(self, other: Operand) -> Expression:
        return self._binary("/", other, _PRODUCT)

    def __rtruediv__(self, other: Value) -> Expression:
        return lit(other) / self

    def __mod__(self, other: Operand) -> Expression:
        return self._binary("%", other, _PRODUCT)

    def __rmod__(self, other: Value) -> Expression:
        return lit(other) % self

    def __neg__(self) -> Expression:
        return Expression(f"-{_inside(self, _PRIMARY)}", _NEGATIVE)

    def __abs__(self) -> Expression:
        return Expression(f"abs({self.text})")

    def __and__(self, other: Operand) -> Expression:
        return self._binary("AND", other, _AND)

    def __or__(self, other: Operand) -> Expression:
        return self._binary("OR", other, _OR)

    def __invert__(self) -> Expression:
        return Expression(f"NOT {_inside(self, _NOT)}", _NOT)

    def is_null(self) -> Expression:
        """Whether the value is null."""
        return Expression(f"{_inside(self, _SUM)} IS NULL", _PREDICATE)

    def is_not_null(self) -> Expression:
        """Whether the value is not null."""
        return Expression(f"{_inside(self, _SUM)} IS NOT NULL", _PREDICATE)

    def between(self, low: Operand, high: Operand) -> Expression:
        """Whether the value is from `low` to `high`, both included."""
        text = f"{_inside(self, _SUM)} BETWEEN {_inside(low, _SUM)} AND {_inside(high, _SUM)}"
        return Expression(text, _PREDICATE)

    def is_in(self, *values: Value) -> Expression:
        """Whether the value is one of those given."""
        if not values:
            raise CheckError("is_in() needs a value: nothing is in no values")
        return Expression(f"{_inside(self, _SUM)} IN ({', '.join(lit(value).text for value in values)})", _PREDICATE)

    def length(self) -> Expression:
        """The number of code points of a text, bytes of bytes, items of an array."""
        return Expression(f"length({self.text})")

    def lower(self) -> Expression:
        """The text with A to Z as a to z."""
        return Expression(f"lower({self.text})")

    def upper(self) -> Expression:
        """The text with a to z as A to Z."""
        return Expression(f"upper({self.text})")

    def matches(self, pattern: str) -> Expression:
        """Whether a regular expression describes the whole text."""
        return Expression(f"matches({self.text}, {lit(pattern)})")

    def starts_with(self, prefix: Operand) -> Expression:
        """Whether the text begins with another."""
        return Expression(f"starts_with({self.text}, {_operand(prefix)})")

    def is_finite(self) -> Expression:
        """Whether a float is neither NaN nor infinite."""
        return Expression(f"isfinite({self.text})")

    def coalesce(self, *others: Operand) -> Expression:
        """The value, or where it is null the first of the others that is not."""
        return Expression(f"coalesce({', '.join([self.text, *(_operand(other).text for other in others)])})")

    def _binary(self, operator: str, other: Operand, binding: int) -> Expression:
        # Operators of one precedence group to the left; comparisons do not chain at all.
        left = binding + 1 if binding == _PREDICATE else binding
        right = binding if operator in ("AND", "OR") else binding + 1
        text = f"{_inside(self, left)} {operator} {_inside(other, right)}"
        return Expression(text, binding)


def col(name: str) -> Expression:
    """A field, by name; a dotted path leads into nested records.

    Raises:
        CheckError: the name is empty, or no text.
    """
    if not isinstance(name, str):
        raise CheckError(f"a field is named by text, not {type(name).__name__}", remedy='op.col("price")')
    if not all(parts := name.split(".")):
        raise CheckError(f"{name!r} is not the name of a field")
    return Expression(".".join(map(_identifier, parts)))


def lit(value: Value) -> Expression:
    """A value, as the literal that stands for it.

    Raises:
        CheckError: no literal stands for it: null, NaN, an infinity, or a type the grammar has no literal for.
    """
    given: object = value
    match given:
        case enum.Enum():
            return lit({member: text for text, member in enum_symbols(type(given)).items()}[given])
        case bool():
            return Expression("TRUE" if given else "FALSE")
        case int() | float() | Decimal() if not math.isfinite(given):
            raise CheckError(f"no literal stands for {given}")
        case int() | float() | Decimal():
            text = format(given, "f") if isinstance(given, Decimal) else str(given)
            return Expression(text, _NEGATIVE if text.startswith("-") else _PRIMARY)
        case dt.datetime():
            return Expression(f"TIMESTAMP '{_moment(given)}'")
        case dt.date():
            return Expression(f"DATE '{given.isoformat()}'")
        case dt.time():
            return Expression(f"TIME '{given.isoformat()}'")
        case str() | uuid.UUID():
            escaped = str(given).replace("'", "''")
            return Expression(f"'{escaped}'")
        case _:
            remedy = "use .is_null()" if given is None else None
            raise CheckError(f"no literal stands for a {type(given).__name__}", remedy=remedy)


def _operand(value: Operand) -> Expression:
    return value if isinstance(value, Expression) else lit(value)


def _inside(value: Operand, binding: int) -> str:
    """The text as operand of an operator that needs at least this binding."""
    expression = _operand(value)
    return expression.text if expression.binding >= binding else f"({expression.text})"


def _identifier(name: str) -> str:
    if _BARE.match(name) and name.upper() not in KEYWORDS:
        return name
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def _moment(value: dt.datetime) -> str:
    if value.tzinfo is None:
        return value.isoformat(" ")
    return value.astimezone(dt.UTC).replace(tzinfo=None).isoformat(" ") + "Z"
