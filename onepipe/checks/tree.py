"""The typed expression tree of a check: what both executions are made from."""

from __future__ import annotations

from typing import Any, TypeAlias

import attrs

from onepipe.checks.types import BOOLEAN, FLOAT, Type


@attrs.frozen
class FieldValue:
    """A field's value.

    Attributes:
        path: names from the record down.
        type: of the value.
        nullable: whether it, or a record on the way, may be null.
    """

    path: tuple[str, ...]
    type: Type
    nullable: bool


@attrs.frozen
class Literal:
    """A value written in the check: bool, int, Decimal, float, str, UUID, date, time or datetime."""

    value: Any
    type: Type
    nullable: bool = False


@attrs.frozen
class Minus:
    """A number with its sign turned."""

    operand: Expression
    type: Type
    nullable: bool


@attrs.frozen
class Arithmetic:
    """`left operator right`, for +, -, *, / and %; both of the same kind."""

    operator: str
    left: Expression
    right: Expression
    type: Type
    nullable: bool


@attrs.frozen
class AsFloat:
    """A 64-bit integer as the nearest float, ties to even."""

    operand: Expression
    nullable: bool
    type: Type = FLOAT


@attrs.frozen
class Call:
    """A function of arguments."""

    function: str
    arguments: tuple[Expression, ...]
    type: Type
    nullable: bool


@attrs.frozen
class Matches:
    """Whether a text, as a whole, is one that a regular expression describes."""

    operand: Expression
    pattern: str
    nullable: bool
    type: Type = BOOLEAN


@attrs.frozen
class Compare:
    """`left operator right`, for =, <>, <, <=, > and >=; both of the same kind."""

    operator: str
    left: Expression
    right: Expression
    nullable: bool
    type: Type = BOOLEAN


@attrs.frozen
class IsIn:
    """Whether a value equals one of some literals of its kind."""

    operand: Expression
    items: tuple[Literal, ...]
    nullable: bool
    type: Type = BOOLEAN


@attrs.frozen
class IsNull:
    """Whether a value is null."""

    operand: Expression
    type: Type = BOOLEAN
    nullable: bool = False


@attrs.frozen
class Not:
    """The other truth value; null stays null."""

    operand: Expression
    nullable: bool
    type: Type = BOOLEAN


@attrs.frozen
class Conjunction:
    """AND of several: false where one is false, else null where one is null, else true."""

    operands: tuple[Expression, ...]
    nullable: bool
    type: Type = BOOLEAN


@attrs.frozen
class Disjunction:
    """OR of several: true where one is true, else null where one is null, else false."""

    operands: tuple[Expression, ...]
    nullable: bool
    type: Type = BOOLEAN


Expression: TypeAlias = (
    FieldValue
    | Literal
    | Minus
    | Arithmetic
    | AsFloat
    | Call
    | Matches
    | Compare
    | IsIn
    | IsNull
    | Not
    | Conjunction
    | Disjunction
)
