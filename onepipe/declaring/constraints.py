"""Field constraints as checks: `field(ge=0)` and the check `price >= 0` are one mechanism."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final

from onepipe.checks.builder import Expression, col, lit
from onepipe.checks.check import Check, parse_check
from onepipe.checks.types import Kind, Type, field_type
from onepipe.declaring.rules import FieldRules
from onepipe.errors import CheckError, DeclarationError
from onepipe.schema.model import Field, Record, Schema

if TYPE_CHECKING:
    from onepipe.declaring.topic import Topic

_ORDER: Final[Mapping[str, Callable[[Expression, Expression], Expression]]] = {
    "ge": operator.ge,
    "gt": operator.gt,
    "le": operator.le,
    "lt": operator.lt,
}
_LENGTH: Final[Mapping[str, Callable[[Expression, Expression], Expression]]] = {
    "min_length": operator.ge,
    "max_length": operator.le,
}
_WORDS: Final = {
    Kind.DATE: "DATE",
    Kind.TIME: "TIME",
    Kind.TIMESTAMP: "TIMESTAMP",
    Kind.LOCAL_TIMESTAMP: "TIMESTAMP",
}


def constraint_checks(record: Record) -> Mapping[str, str]:
    """The constraints of a record's top-level fields as texts of checks, by a name such as "price ge 0".

    Args:
        record: the root of a topic's schema; types its fields share with others are defined inside it.

    Raises:
        DeclarationError: a constraint that the field's type has not, or a limit that is no value of it.
    """
    schema = Schema.parse(Schema(record, {}).document())
    checks: dict[str, str] = {}
    for field in record.fields:
        for constraint, limit in FieldRules.of(field).constraints.items():
            name = f"{field.name} {constraint} {limit}"
            text = str(_expression(schema, field, constraint, limit))
            try:
                parse_check(text, schema, name=name)
            except CheckError as error:
                raise DeclarationError(error.message, field=field.name) from error
            checks[name] = text
    return checks


def topic_checks(topic: Topic) -> tuple[Check, ...]:
    """Every validity rule of a topic: its fields' constraints, then its own checks, each in order of declaration.

    Raises:
        DeclarationError: a constraint does not go with its field.
        CheckError: a check is outside the grammar.
    """
    texts = (*constraint_checks(topic.record).items(), *topic.checks.items())
    return tuple(parse_check(text, topic.schema, name=name, topic=topic.name) for name, text in texts)


def _expression(schema: Schema, field: Field, constraint: str, limit: Any) -> Expression:
    kind, _ = field_type(schema, field.type)
    column = col(field.name)
    if constraint == "pattern":
        if not isinstance(limit, str):
            raise DeclarationError("a pattern is a text", field=field.name)
        return column.matches(limit)
    if constraint in _LENGTH:
        if not isinstance(limit, int) or isinstance(limit, bool) or limit < 0:
            raise DeclarationError(f"{constraint} is an integer, 0 or more", field=field.name)
        return _LENGTH[constraint](column.length(), lit(limit))
    return _ORDER[constraint](column, _limit(field, kind, constraint, limit))


def _limit(field: Field, kind: Type, constraint: str, limit: Any) -> Expression:
    """The literal of a limit, which the schema document gives as number or as text."""
    if kind.kind in (Kind.EXACT, Kind.FLOAT) and isinstance(limit, int | float | str) and not isinstance(limit, bool):
        number = _decimal(field, constraint, str(limit))
        return lit(limit if isinstance(limit, float) and kind.kind is Kind.FLOAT else number)
    if isinstance(limit, str) and kind.kind in _WORDS:
        return Expression(f"{_WORDS[kind.kind]} {lit(limit)}")
    if isinstance(limit, str) and kind.kind in (Kind.TEXT, Kind.UUID):
        return lit(limit)
    raise DeclarationError(f"{constraint} cannot have this limit for {kind.name} values", field=field.name)


def _decimal(field: Field, constraint: str, limit: str) -> Decimal:
    try:
        number = Decimal(limit)
    except InvalidOperation:
        raise DeclarationError(f"the limit of {constraint} is not a number", field=field.name) from None
    if not number.is_finite():
        raise DeclarationError(f"the limit of {constraint} is not finite", field=field.name)
    return number
