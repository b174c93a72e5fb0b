"""A check as a Python expression over local variables.

Null is None. An operator that is null where an operand is null is written as a guard over its nullable operands and
an expression that never sees one; truth values are split likewise into "holds" and "fails", which are plain `and`,
`or`, `not`. So a rule over fields that are never null costs what it would cost written by hand.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final, TypeAlias

from xxhash import xxh3_64_hexdigest

from onepipe.checks.automaton import matcher
from onepipe.checks.tree import (
    Arithmetic,
    AsFloat,
    Call,
    Compare,
    Conjunction,
    Disjunction,
    Expression,
    FieldValue,
    IsIn,
    IsNull,
    Literal,
    Matches,
    Minus,
    Not,
)
from onepipe.checks.types import Kind

Guarded: TypeAlias = tuple[list[str], str]
"""Sources of the values that make the expression null where one is null, and the source of its value elsewhere."""

_COMPLEMENT: Final = {"=": "!=", "<>": "==", "<": ">=", "<=": ">", ">": "<=", ">=": "<"}
_COMPARE: Final = {"=": "==", "<>": "!="}
_NUMBER: Final = {Kind.EXACT: "_op_index", Kind.FLOAT: "_op_float"}
_EXACT: Final = {"+": "add", "-": "subtract", "*": "multiply"}


def python_value(expression: Expression, names: Mapping[str, str]) -> str:
    """Python source of an expression's value, None for null; `names` are the variables of the top-level fields."""
    return _Writer(names).value(expression)


def python_violation(expression: Expression, names: Mapping[str, str]) -> str:
    """Python source of whether a condition is false; null is not."""
    return _Writer(names).fails(expression)


def python_constants(expression: Expression, fields: Iterable[str]) -> Mapping[str, Any]:
    """The constants that the Python source of an expression refers to; a name stands for one value in every check."""
    writer = _Writer(dict.fromkeys(fields, "_"))
    writer.value(expression)
    return writer.constants


class _Writer:
    """Writes one expression; keeps its constants and the number of variables it binds."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self.names = names
        self.constants: dict[str, Any] = {}
        self.bound = 0

    def value(self, node: Expression) -> str:
        """Source of the expression's value: None where it is null."""
        match node:
            case Conjunction() if node.nullable:
                return f"_op_and({', '.join(map(self.value, node.operands))})"
            case Disjunction() if node.nullable:
                return f"_op_or({', '.join(map(self.value, node.operands))})"
            case Call(function="coalesce"):
                return self.coalesce(node)
        guards, source = self.guarded(node)
        return f"(None if {_is_null(guards)} else {source})" if guards else source

    def holds(self, node: Expression) -> str:
        """Source of whether the condition is true."""
        match node:
            case Conjunction(operands=operands):
                return f"({' and '.join(map(self.holds, operands))})"
            case Disjunction(operands=operands):
                return f"({' or '.join(map(self.holds, operands))})"
            case Not(operand=operand):
                return self.fails(operand)
        guards, source = self.guarded(node)
        return f"({_no_null(guards)} and {source})" if guards else source

    def fails(self, node: Expression) -> str:
        """Source of whether the condition is false."""
        match node:
            case Conjunction(operands=operands):
                return f"({' or '.join(map(self.fails, operands))})"
            case Disjunction(operands=operands):
                return f"({' and '.join(map(self.fails, operands))})"
            case Not(operand=operand):
                return self.holds(operand)
        guards, source = self.guarded(node, negated=True)
        return f"({_no_null(guards)} and {source})" if guards else source

    def guarded(self, node: Expression, *, negated: bool = False) -> Guarded:
        """The expression, or for a condition its opposite, with its guards."""
        match node:
            case Compare():
                return self.compare(node, negated)
            case Not(operand=operand):
                return self.guarded(operand, negated=not negated)
        guards, source = self.plain(node)
        return guards, f"(not {source})" if negated else source

    def plain(self, node: Expression) -> Guarded:
        """The expression with its guards."""
        match node:
            case FieldValue():
                return self.field(node)
            case Literal():
                return [], self.literal(node)
            case Minus():
                form = f"-{_number_form(node.operand)}" if _is_native(node) else "_op_exact.minus({})"
                return self.strict(form, node.operand)
            case AsFloat():
                return self.strict("_op_float({})", node.operand)
            case Arithmetic():
                return self.arithmetic(node)
            case Matches():
                name = self.constant("matches", node.pattern, matcher(node.pattern))
                return self.strict(f"{name}({{}}) is not None", node.operand)
            case IsIn():
                values = frozenset(item.value for item in node.items)
                name = self.constant("in", repr([item.value for item in node.items]), values)
                return self.strict(f"{{}} in {name}", node.operand)
            case IsNull():
                return [], self.is_null(node.operand)
            case Call():
                return self.call(node)
            case Conjunction() | Disjunction() if not node.nullable:
                word = " and " if isinstance(node, Conjunction) else " or "
                return [], f"({word.join(map(self.value, node.operands))})"
            case _:
                return self.bind(self.value(node))

    def strict(self, form: str, *operands: Expression) -> Guarded:
        """An operator that is null where an operand is, its form with {} for each operand."""
        parts = [self.guarded(operand) for operand in operands]
        guards = list(dict.fromkeys(guard for guards, _ in parts for guard in guards))
        return guards, f"({form.format(*(source for _, source in parts))})"

    def bind(self, source: str) -> Guarded:
        """A source that may be null in a way only its value shows: evaluated once, in the guard."""
        name = f"_op_v{self.bound}"
        self.bound += 1
        return [f"({name} := {source})"], name

    def field(self, node: FieldValue) -> Guarded:
        root = self.names[node.path[0]]
        guards, source = ([root] if node.nullable else []), root
        if len(node.path) > 1:
            path = ", ".join(map(repr, node.path[1:]))
            source = f"_op_member({root}, {path})"
            if node.nullable:
                guards, source = self.bind(source)
        if node.type.single:
            source = f"_op_single({source})"
        elif node.type.symbols:
            source = f"_op_symbol({source})"
        elif node.type.kind is Kind.BYTES:
            source = f"_op_bytes({source})"
        elif node.type.kind is Kind.TIMESTAMP:
            source = self.instant(source)
        return guards, source

    def instant(self, source: str) -> str:
        # Python compares datetimes of one time zone by the wall clock, which runs twice through an hour of autumn.
        return f"({source} if {source}.tzinfo is _op_utc else {source}.astimezone(_op_utc))"

    def arithmetic(self, node: Arithmetic) -> Guarded:
        if node.operator in "+-*":
            if _is_native(node):
                left, right = (_number_form(side) for side in (node.left, node.right))
                return self.strict(f"{left} {node.operator} {right}", node.left, node.right)
            return self.strict(f"_op_exact.{_EXACT[node.operator]}({{}}, {{}})", node.left, node.right)
        never_zero = isinstance(node.right, Literal)
        if node.operator == "/" and never_zero:
            return self.strict(f"{_number_form(node.left)} / {{}}", node.left, node.right)
        function = "_op_quotient" if node.operator == "/" else "_op_remainder"
        form = f"{function}({_number_form(node.left)}, {_number_form(node.right)})"
        guards, source = self.strict(form, node.left, node.right)
        if never_zero:
            return guards, source
        return self.bind(f"(None if {_is_null(guards)} else {source})" if guards else source)

    def compare(self, node: Compare, negated: bool) -> Guarded:
        operator = _COMPARE.get(node.operator, node.operator)
        if not negated:
            return self.strict(f"{{}} {operator} {{}}", node.left, node.right)
        if node.left.type.kind is Kind.FLOAT:
            # With NaN every comparison but <> is false, so the opposite is not another comparison.
            return self.strict(f"not {{}} {operator} {{}}", node.left, node.right)
        return self.strict(f"{{}} {_COMPLEMENT[node.operator]} {{}}", node.left, node.right)

    def call(self, node: Call) -> Guarded:
        match node.function:
            case "coalesce":
                source = self.coalesce(node)
                return self.bind(source) if node.nullable else ([], source)
            case "abs" if not _is_native(node):
                return self.strict("_op_exact.abs({})", *node.arguments)
            case "abs":
                return self.strict(f"_op_abs({_number_form(node.arguments[0])})", *node.arguments)
            case "length":
                return self.strict("_op_len({})", *node.arguments)
            case function:
                return self.strict(f"_op_{function}({', '.join('{}' for _ in node.arguments)})", *node.arguments)

    def coalesce(self, node: Call) -> str:
        source = "None"
        for argument in reversed(node.arguments):
            guards, inner = self.guarded(argument)
            source = f"({inner} if {_no_null(guards)} else {source})" if guards else inner
        return source

    def is_null(self, node: Expression) -> str:
        if not node.nullable:
            return "False"
        if isinstance(node, FieldValue) and len(node.path) == 1:
            return f"({self.names[node.path[0]]} is None)"
        return f"({self.value(node)} is None)"

    def literal(self, node: Literal) -> str:
        value = node.value
        if isinstance(value, Decimal):
            return self.constant("decimal", str(value), value)
        if isinstance(value, uuid.UUID | dt.date | dt.time):
            return self.constant(type(value).__name__.lower(), str(value), value)
        return f"({value!r})" if isinstance(value, int | float) and value < 0 else repr(value)

    def constant(self, kind: str, text: str, value: Any) -> str:
        name = f"_op_{kind}_{xxh3_64_hexdigest(f'{kind} {text}'.encode())}"
        self.constants[name] = value
        return name


def _number_form(operand: Expression) -> str:
    """The form of an operand of arithmetic: a field's number as Python's own, since NumPy's wrap around."""
    return f"{_NUMBER[operand.type.kind]}({{}})" if isinstance(operand, FieldValue) else "{}"


def _is_native(node: Minus | Arithmetic | Call) -> bool:
    """Whether Python's own operators are exact: all but those of Decimal, which round to the context's precision."""
    return node.type.kind is Kind.FLOAT or node.type.integer


def _is_null(guards: list[str]) -> str:
    return " or ".join(f"{guard} is None" for guard in guards)


def _no_null(guards: list[str]) -> str:
    return " and ".join(f"{guard} is not None" for guard in guards)
