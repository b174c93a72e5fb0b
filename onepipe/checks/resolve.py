"""Gives an expression its types: names become fields, literals become values, and mismatches are refused."""

from __future__ import annotations

from typing import cast

import attrs

from onepipe.checks import limits, syntax
from onepipe.checks.functions import FUNCTIONS
from onepipe.checks.literals import exact_literal, float_literal, literal, uuid_literal
from onepipe.checks.runtime import EXACT
from onepipe.checks.source import Source
from onepipe.checks.syntax import Tree
from onepipe.checks.tree import (
    Arithmetic,
    AsFloat,
    Compare,
    Conjunction,
    Disjunction,
    Expression,
    FieldValue,
    IsIn,
    IsNull,
    Literal,
    Minus,
    Not,
)
from onepipe.checks.types import FLOAT, ORDERED, Kind, Type, exact, field_type
from onepipe.errors import nearest
from onepipe.schema.model import Record, Schema


@attrs.frozen
class Resolver:
    """Resolves the expressions of one check against one record.

    Attributes:
        source: the check's text.
        schema: the schema.
        record: its root.
    """

    source: Source
    schema: Schema
    record: Record

    def resolve(self, tree: Tree) -> Expression:
        """The typed expression of a tree.

        Raises:
            CheckError: an unknown field or function, or types that do not go together.
        """
        match tree:
            case syntax.Name():
                return self._field(tree)
            case syntax.Constant():
                return literal(self.source, tree)
            case syntax.Unary(operator="NOT"):
                operand = self.condition(tree.operand)
                return Not(operand, operand.nullable)
            case syntax.Unary():
                return self._minus(tree)
            case syntax.Binary(operator="+" | "-" | "*" | "/" | "%"):
                return self._arithmetic(tree)
            case syntax.Binary():
                return self._compare(tree.operator, tree.left, tree.right, tree.at)
            case syntax.Chain():
                operands = tuple(self.condition(operand) for operand in tree.operands)
                nullable = any(operand.nullable for operand in operands)
                return (Conjunction if tree.operator == "AND" else Disjunction)(operands, nullable)
            case syntax.Null():
                test = IsNull(self.resolve(tree.operand))
                return Not(test, nullable=False) if tree.negated else test
            case syntax.Between():
                return self._between(tree)
            case syntax.In():
                return self._is_in(tree)
            case syntax.Call():
                return self._call(tree)

    def condition(self, tree: Tree) -> Expression:
        """The typed expression of a tree that must be true or false."""
        found = self.resolve(tree)
        if found.type.kind is not Kind.BOOLEAN:
            raise self.source.fault(tree.at, f"a condition is expected, not {_article(found.type)}")
        return found

    def unify(self, left: Expression, right: Expression, left_at: int, right_at: int) -> tuple[Expression, Expression]:
        """Two expressions as the same kind of value: numbers as floats where one is, texts as UUIDs where one is.

        Raises:
            CheckError: they have no kind in common.
        """
        left, right = self._toward(left, right.type, left_at), self._toward(right, left.type, right_at)
        if left.type.kind is not right.type.kind:
            message = f"{_article(left.type)} and {_article(right.type)} do not go together"
            raise self.source.fault(right_at, message, remedy=_remedy(left, right))
        return left, right

    def number(self, tree: Tree) -> Expression:
        """The typed expression of a tree that must be a number."""
        found = self.resolve(tree)
        if found.type.kind not in (Kind.EXACT, Kind.FLOAT):
            raise self.source.fault(tree.at, f"a number is expected, not {_article(found.type)}")
        return found

    def bounded(self, low: int, high: int, scale: int, *, integer: bool, at: int) -> Type:
        """The type of exact numbers within bounds.

        Raises:
            CheckError: they can need more than 38 digits.
        """
        found = exact(scale, low, high, integer=integer)
        if found.digits > limits.MAX_DIGITS:
            message = f"this can need {found.digits} digits; {limits.MAX_DIGITS} are allowed"
            raise self.source.fault(at, message)
        return found

    def _field(self, tree: syntax.Name) -> Expression:
        found = Type(Kind.RECORD, self.record.name, record=self.record)
        nullable = False
        for depth, (name, at) in enumerate(zip(tree.path, tree.places, strict=True)):
            if found.record is None:
                message = f"{tree.path[depth - 1]!r} is {_article(found)}, which has no fields"
                raise self.source.fault(at, message)
            field = next((f for f in found.record.fields if f.name == name), None)
            if field is None:
                remedy = "texts stand in single quotes" if tree.quoted else None
                known = [f.name for f in found.record.fields]
                raise self.source.fault(at, f"unknown field {name!r}{nearest(name, known)}", remedy=remedy)
            found, optional = field_type(self.schema, field.type)
            nullable = nullable or optional
        return FieldValue(tree.path, found, nullable)

    def _toward(self, side: Expression, other: Type, at: int) -> Expression:
        if other.kind is Kind.FLOAT and side.type.kind is Kind.EXACT:
            return self._as_float(side, at)
        if isinstance(side, Literal) and side.type.kind is Kind.TEXT:
            if other.kind is Kind.UUID:
                return uuid_literal(self.source, side.value, at)
            if other.symbols and side.value not in other.symbols:
                message = f"{side.value!r} is not a symbol of {other.name}{nearest(side.value, other.symbols)}"
                raise self.source.fault(at, message)
        return side

    def _as_float(self, side: Expression, at: int) -> Expression:
        if isinstance(side, Literal):
            return float_literal(side.value)
        if not side.type.integer:
            remedy = "decimals are exact and floats are not"
            raise self.source.fault(at, "a decimal and a float do not go together", remedy=remedy)
        if not side.type.fits_int64:
            raise self.source.fault(at, "an integer that can exceed 64 bits does not become a float")
        return AsFloat(side, side.nullable)

    def _compare(self, operator: str, left_tree: Tree, right_tree: Tree, at: int) -> Expression:
        left, right = self.unify(self.resolve(left_tree), self.resolve(right_tree), left_tree.at, right_tree.at)
        self._require_comparable(operator, left, right, at)
        return Compare(operator, left, right, left.nullable or right.nullable)

    def _require_comparable(self, operator: str, left: Expression, right: Expression, at: int) -> None:
        kind = left.type.kind
        if kind in (Kind.ARRAY, Kind.RECORD, Kind.OPAQUE):
            raise self.source.fault(at, f"{_article(left.type)} cannot be compared", remedy="it can be tested for null")
        if kind not in ORDERED and operator not in ("=", "<>"):
            raise self.source.fault(at, f"{kind.value} values have no order", remedy="compare with = or <>")
        if kind is Kind.EXACT and not (left.type.integer and right.type.integer):
            scale = max(left.type.scale, right.type.scale)
            for side in (left.type.rescaled(scale), right.type.rescaled(scale)):
                self.bounded(side.low, side.high, scale, integer=False, at=at)

    def _between(self, tree: syntax.Between) -> Expression:
        above = self._compare(">=", tree.operand, tree.low, tree.low.at)
        below = self._compare("<=", tree.operand, tree.high, tree.high.at)
        found = Conjunction((above, below), above.nullable or below.nullable)
        return Not(found, found.nullable) if tree.negated else found

    def _is_in(self, tree: syntax.In) -> Expression:
        operand = self.resolve(tree.operand)
        items: list[Literal] = []
        for constant in tree.items:
            widened, item = self.unify(operand, literal(self.source, constant), tree.operand.at, constant.at)
            self._require_comparable("=", widened, item, constant.at)
            items.append(cast("Literal", item))
        if any(item.type.kind is Kind.FLOAT for item in items):
            operand = self._toward(operand, FLOAT, tree.operand.at)
            items = [float_literal(item.value) for item in items]
        found = IsIn(operand, tuple(items), operand.nullable)
        return Not(found, found.nullable) if tree.negated else found

    def _minus(self, tree: syntax.Unary) -> Expression:
        operand = self.number(tree.operand)
        kind = operand.type
        if isinstance(operand, Literal):
            return attrs.evolve(operand, value=-operand.value, type=attrs.evolve(kind, low=-kind.high, high=-kind.low))
        if kind.kind is Kind.FLOAT:
            return Minus(operand, FLOAT, operand.nullable)
        found = exact(kind.scale, -kind.high, -kind.low, integer=kind.integer)
        return Minus(operand, found, operand.nullable)

    def _arithmetic(self, tree: syntax.Binary) -> Expression:
        left, right = self.number(tree.left), self.number(tree.right)
        left, right = self.unify(left, right, tree.left.at, tree.right.at)
        if tree.operator == "/":
            return self._quotient(tree, left, right)
        if tree.operator == "%":
            return self._remainder(tree, left, right)
        nullable = left.nullable or right.nullable
        if left.type.kind is Kind.FLOAT:
            return Arithmetic(tree.operator, left, right, FLOAT, nullable)
        found = self._exact_result(tree, left.type, right.type)
        if isinstance(left, Literal) and isinstance(right, Literal):
            operation = {"+": EXACT.add, "-": EXACT.subtract, "*": EXACT.multiply}
            return exact_literal(operation[tree.operator](left.value, right.value))
        return Arithmetic(tree.operator, left, right, found, nullable)

    def _exact_result(self, tree: syntax.Binary, left: Type, right: Type) -> Type:
        integer = left.integer and right.integer
        if tree.operator == "*":
            ends = [a * b for a in (left.low, left.high) for b in (right.low, right.high)]
            return self.bounded(min(ends), max(ends), left.scale + right.scale, integer=integer, at=tree.at)
        scale = max(left.scale, right.scale)
        left, right = left.rescaled(scale), right.rescaled(scale)
        for side in (left, right):
            self.bounded(side.low, side.high, scale, integer=integer, at=tree.at)
        if tree.operator == "+":
            return self.bounded(left.low + right.low, left.high + right.high, scale, integer=integer, at=tree.at)
        return self.bounded(left.low - right.high, left.high - right.low, scale, integer=integer, at=tree.at)

    def _quotient(self, tree: syntax.Binary, left: Expression, right: Expression) -> Expression:
        if any(side.type.kind is Kind.EXACT and not _becomes_float(side) for side in (left, right)):
            remedy = "multiply the other side of the comparison instead"
            raise self.source.fault(tree.at, "decimals are not divided: a quotient is not exact", remedy=remedy)
        left, right = self._toward(left, FLOAT, tree.left.at), self._toward(right, FLOAT, tree.right.at)
        nullable = self._may_be_zero(right, tree.right.at) or left.nullable or right.nullable
        return Arithmetic("/", left, right, FLOAT, nullable)

    def _remainder(self, tree: syntax.Binary, left: Expression, right: Expression) -> Expression:
        if left.type.kind is not Kind.EXACT or not (left.type.integer and right.type.integer):
            raise self.source.fault(tree.at, "% is for integers")
        nullable = self._may_be_zero(right, tree.right.at) or left.nullable or right.nullable
        largest = max(0, max(abs(right.type.low), abs(right.type.high)) - 1)
        low, high = max(left.type.low, -largest), min(left.type.high, largest)
        return Arithmetic("%", left, right, exact(0, min(low, 0), max(high, 0), integer=True), nullable)

    def _may_be_zero(self, divisor: Expression, at: int) -> bool:
        if not isinstance(divisor, Literal):
            return True
        if divisor.value == 0:
            raise self.source.fault(at, "a division by zero has no result")
        return False

    def _call(self, tree: syntax.Call) -> Expression:
        if tree.function not in FUNCTIONS:
            known = nearest(tree.function, sorted(FUNCTIONS))
            raise self.source.fault(tree.at, f"unknown function {tree.function!r}{known}")
        function = FUNCTIONS[tree.function]
        count = len(tree.arguments)
        if count < function.least or (function.most is not None and count > function.most):
            raise self.source.fault(tree.at, f"write {function.form}")
        return function.resolve(self, tree)


def _becomes_float(side: Expression) -> bool:
    return side.type.integer or isinstance(side, Literal)


def _article(found: Type) -> str:
    return f"{'an' if found.name[0] in 'aeio' else 'a'} {found.name}"


def _remedy(left: Expression, right: Expression) -> str | None:
    kinds = {left.type.kind, right.type.kind}
    written = [side.type.kind for side in (left, right) if isinstance(side, Literal)]
    if kinds == {Kind.TIMESTAMP, Kind.LOCAL_TIMESTAMP}:
        return "a timestamp literal ends in its offset, as in Z or +01:00; a local timestamp's has none"
    for kind, word in ((Kind.TIMESTAMP, "TIMESTAMP"), (Kind.LOCAL_TIMESTAMP, "TIMESTAMP"), (Kind.DATE, "DATE")):
        if kind in kinds and Kind.TEXT in written:
            return f"write {word} before the text"
    if Kind.EXACT in kinds and Kind.TEXT in written:
        return "numbers stand without quotes"
    return None
