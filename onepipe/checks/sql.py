"""A check as a SQL expression of DuckDB, over the lake's columns.

Written anew from the typed tree, each name and literal quoted here, so nothing of the check's text reaches the engine
as it stands. Where DuckDB's operators mean something else than the grammar's, the expression says so by casts and
guards: NaN, which DuckDB puts above every number; integers, which it lets overflow; decimals, whose widths it chooses.
"""

from __future__ import annotations

import datetime as dt
import string
import uuid
from collections.abc import Mapping
from decimal import Decimal

from onepipe.checks import limits
from onepipe.checks.pattern import parse_pattern, re2_pattern
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
from onepipe.checks.types import Kind, Type

_INT64_MIN = -(1 << 63)


def duckdb_sql(expression: Expression, columns: Mapping[str, str]) -> str:
    """DuckDB's SQL of an expression.

    Args:
        expression: a typed expression.
        columns: SQL that gives each top-level field's column; a field that is not there is its own quoted name.
    """
    return _Writer(columns).write(expression)


class _Writer:
    """Writes one expression."""

    def __init__(self, columns: Mapping[str, str]) -> None:
        self.columns = columns

    def write(self, node: Expression) -> str:
        """SQL of the expression."""
        match node:
            case FieldValue():
                return self.field(node)
            case Literal():
                return _literal(node)
            case Compare():
                return self.compare(node)
            case IsIn(operand=operand, items=items):
                first, *rest = self.aligned(operand, *items)
                return f"({first} IN ({', '.join(rest)}))"
            case IsNull(operand=operand):
                return f"({self.write(operand)} IS NULL)"
            case Not(operand=operand):
                return f"(NOT {self.write(operand)})"
            case Conjunction(operands=operands):
                return f"({' AND '.join(map(self.write, operands))})"
            case Disjunction(operands=operands):
                return f"({' OR '.join(map(self.write, operands))})"
            case Matches(operand=operand, pattern=pattern):
                return f"regexp_full_match({self.write(operand)}, {_text(re2_pattern(parse_pattern(pattern)))})"
            case _:
                return self.computed(node)

    def computed(self, node: Minus | Arithmetic | AsFloat | Call) -> str:
        """SQL of a number or text that is made from others."""
        match node:
            case AsFloat(operand=operand):
                return f"CAST({self.write(operand)} AS DOUBLE)"
            case Minus(operand=operand):
                return f"(-{self.exact(operand, node.type)})"
            case Arithmetic():
                return self.arithmetic(node)
            case Call():
                return self.call(node)

    def field(self, node: FieldValue) -> str:
        root, *path = node.path
        found = self.columns.get(root, quoted(root))
        for name in path:
            found = f"struct_extract({found}, {_text(name)})"
        if node.type.single:
            return f"CAST({found} AS DOUBLE)"
        return found

    def exact(self, node: Expression, result: Type) -> str:
        """SQL of an operand; an exact number in a type wide enough for itself and for the operator's result."""
        written = self.write(node)
        if node.type.kind is not Kind.EXACT:
            return written
        if not result.integer:
            return f"CAST({written} AS DECIMAL({limits.MAX_DIGITS}, {node.type.scale}))"
        return f"CAST({written} AS {'BIGINT' if _is_bigint(node.type) and _is_bigint(result) else 'HUGEINT'})"

    def aligned(self, *nodes: Expression) -> list[str]:
        """SQL of several expressions of one kind, decimals in one type that holds them all."""
        types = [node.type for node in nodes]
        if types[0].kind is not Kind.EXACT or all(t.integer for t in types):
            return [self.write(node) for node in nodes]
        scale = max(t.scale for t in types)
        digits = max(t.rescaled(scale).digits for t in types)
        return [f"CAST({self.write(node)} AS DECIMAL({digits}, {scale}))" for node in nodes]

    def compare(self, node: Compare) -> str:
        left, right = self.aligned(node.left, node.right)
        plain = f"({left} {node.operator} {right})"
        if node.left.type.kind is not Kind.FLOAT:
            return plain
        operands = ((node.left, left), (node.right, right))
        floats = [sql for side, sql in operands if not isinstance(side, Literal | AsFloat)]
        if not floats or (len(floats) == 1 and node.operator in ("=", "<>")):
            return plain
        if isinstance(node.left, Literal) or isinstance(node.right, Literal):
            return f"({plain} AND NOT isnan({floats[0]}))"
        is_nan = " OR ".join(f"isnan({sql})" for sql in floats)
        unlike = "TRUE" if node.operator == "<>" else "FALSE"
        return f"CASE WHEN {left} IS NULL OR {right} IS NULL THEN NULL WHEN {is_nan} THEN {unlike} ELSE {plain} END"

    def arithmetic(self, node: Arithmetic) -> str:
        match node.operator:
            case "/":
                return f"({self.write(node.left)} / nullif({self.write(node.right)}, CAST(0 AS DOUBLE)))"
            case "%":
                left, right = self.exact(node.left, node.right.type), self.exact(node.right, node.left.type)
                return f"({left} % nullif({right}, 0))"
            case operator:
                return f"({self.exact(node.left, node.type)} {operator} {self.exact(node.right, node.type)})"

    def call(self, node: Call) -> str:
        first = node.arguments[0]
        match node.function:
            case "abs":
                return f"abs({self.exact(first, node.type)})"
            case "coalesce":
                return f"coalesce({', '.join(self.aligned(*node.arguments))})"
            case "isfinite":
                return f"isfinite({self.write(first)})"
            case "starts_with":
                return f"starts_with({', '.join(map(self.write, node.arguments))})"
            case "lower":
                return self.translated(first, string.ascii_uppercase, string.ascii_lowercase)
            case "upper":
                return self.translated(first, string.ascii_lowercase, string.ascii_uppercase)
            case _:
                functions = {Kind.TEXT: "length", Kind.BYTES: "octet_length", Kind.ARRAY: "len"}
                return f"{functions[first.type.kind]}({self.write(first)})"

    def translated(self, node: Expression, of: str, to: str) -> str:
        return f"translate({self.write(node)}, '{of}', '{to}')"


def quoted(name: str) -> str:
    """A name as SQL identifier."""
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def _text(value: str) -> str:
    escaped = value.replace("'", "''")
    return f"'{escaped}'"


def _is_bigint(found: Type) -> bool:
    """Whether a BIGINT holds every value, and its opposite too."""
    return found.fits_int64 and found.low > _INT64_MIN


def _literal(node: Literal) -> str:
    match node.value:
        case bool() as value:
            return "TRUE" if value else "FALSE"
        case int() as value:
            return f"CAST({_text(str(value))} AS {'BIGINT' if node.type.fits_int64 else 'HUGEINT'})"
        case Decimal() as value:
            return f"CAST({_text(format(value, 'f'))} AS DECIMAL({node.type.digits}, {node.type.scale}))"
        case float() as value:
            return f"CAST({_text(repr(value))} AS DOUBLE)"
        case uuid.UUID() as value:
            return _text(str(value))
        case dt.datetime() as value if value.tzinfo is not None:
            return f"CAST({_text(value.isoformat(' '))} AS TIMESTAMPTZ)"
        case dt.datetime() as value:
            return f"CAST({_text(value.isoformat(' '))} AS TIMESTAMP)"
        case dt.date() as value:
            return f"CAST({_text(value.isoformat())} AS DATE)"
        case dt.time() as value:
            micros = ((value.hour * 60 + value.minute) * 60 + value.second) * 1_000_000 + value.microsecond
            return f"CAST({_text(str(micros))} AS BIGINT)"
        case value:
            return _text(str(value))
