"""A check: one validity rule, parsed, typed, and ready to run in Python or in SQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal, cast

import attrs

from onepipe.checks import tree
from onepipe.checks.parser import parse
from onepipe.checks.python import python_constants, python_value, python_violation
from onepipe.checks.resolve import Resolver
from onepipe.checks.runtime import NAMES
from onepipe.checks.source import Source
from onepipe.checks.sql import duckdb_sql
from onepipe.errors import CheckError
from onepipe.schema.model import Record, Schema


@attrs.frozen(slots=False, eq=False)
class Check:
    """A validity rule. A record for which it is false is invalid; true and null pass. Immutable and thread-safe.

    Attributes:
        name: what the rule is called, or None.
        text: the expression, as written.
        expression: the expression with its types.
    """

    name: str | None
    text: str
    expression: tree.Expression

    @cached_property
    def fields(self) -> tuple[str, ...]:
        """Names of the top-level fields it reads, in the order of their first use."""
        return tuple(dict.fromkeys(_fields(self.expression)))

    @cached_property
    def helpers(self) -> Mapping[str, Any]:
        """What its Python source refers to, by name: functions and constants.

        Every name begins with `_op_` and stands for the same in every check, so those of several checks can be put
        into one namespace.
        """
        return MappingProxyType({**NAMES, **python_constants(self.expression, self.fields)})

    def evaluate(self, values: Mapping[str, Any]) -> bool | None:
        """Whether the rule holds for a record: True, False, or None for null, which passes.

        Args:
            values: logical values of at least the fields it reads, valid for their types.

        Raises:
            KeyError: a field is missing.
        """
        found = self._function(values)
        return None if found is None else bool(found)

    def python_source(self, names: Mapping[str, str]) -> str:
        """A Python expression whose value is true, false or None, as `evaluate` says.

        It binds local variables that begin with `_op_v`, and refers to `helpers`. No operand's failure escapes: for
        values valid for their types it raises nothing.

        Args:
            names: by field, the local variable that holds its logical value, None for null.
        """
        return python_value(self.expression, names)

    def python_violation(self, names: Mapping[str, str]) -> str:
        """A Python expression that is true where the rule is broken (false, not null), else false.

        The faster form for a validator; the arguments are those of `python_source`.
        """
        return python_violation(self.expression, names)

    def sql(self, dialect: Literal["duckdb"] = "duckdb", *, columns: Mapping[str, str] | None = None) -> str:
        """The rule as a SQL expression over the lake's columns: true, false or null, as `evaluate` says.

        Args:
            dialect: of SQL.
            columns: by field, the SQL that gives its column; a field that is not there is its own quoted name.
        """
        if dialect != "duckdb":
            raise ValueError(f"there is no dialect {dialect!r}; there is 'duckdb'")
        return duckdb_sql(self.expression, columns or {})

    @cached_property
    def _function(self) -> Callable[[Mapping[str, Any]], bool | None]:
        names = {field: f"_op_f{index}" for index, field in enumerate(self.fields)}
        reads = "".join(f"    {name} = values[{field!r}]\n" for field, name in names.items())
        code = f"def evaluate(values):\n{reads}    return {self.python_source(names)}\n"
        namespace = dict(self.helpers)
        exec(compile(code, f"<check {self.name or self.text}>", "exec"), namespace)  # noqa: S102  the source is made from the typed tree alone
        return cast("Callable[[Mapping[str, Any]], bool | None]", namespace["evaluate"])


def parse_check(text: str, schema: Schema, *, name: str | None = None, topic: str | None = None) -> Check:
    """The check that a text says over the records of a schema.

    Args:
        text: a boolean expression of the grammar (docs/reference/checks.md).
        schema: an Avro schema whose root is a record.
        name: what the rule is called, for messages.
        topic: name of the topic, for messages.

    Raises:
        CheckError: outside the grammar, an unknown field, or types that do not go together; points at the place.
    """
    source = Source(text, name, topic)
    if not isinstance(schema.root, Record):
        raise CheckError("checks are about records; the schema is not one", topic=topic)
    written = parse(source)
    expression = Resolver(source, schema, schema.root).condition(written)
    check = Check(name, text, expression)
    if not check.fields:
        raise source.fault(written.at, "the expression reads no field")
    return check


def _fields(node: tree.Expression) -> Iterator[str]:
    match node:
        case tree.FieldValue(path=path):
            yield path[0]
        case tree.Literal():
            return
        case tree.Conjunction(operands=nodes) | tree.Disjunction(operands=nodes) | tree.Call(arguments=nodes):
            for inner in nodes:
                yield from _fields(inner)
        case tree.Arithmetic(left=left, right=right) | tree.Compare(left=left, right=right):
            yield from _fields(left)
            yield from _fields(right)
        case _:
            yield from _fields(node.operand)
