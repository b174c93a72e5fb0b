"""Which branch of a union a Python value is written as.

The value's exact type decides where only one branch claims it. Else the branches are tried, in the order of the schema
but for three rules: an enum's member is first tried as enum; an integer as int or long before float or double; a float
as double before float, so that no digits are lost. A record takes a dict by its keys alone: what is under them is not
looked at. The pair `(branch name, value)` names the branch itself.
"""

from __future__ import annotations

import datetime as dt
import enum
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, cast
from uuid import UUID

from onepipe.errors import InvalidRecord
from onepipe.schema.model import NO_DEFAULT, Array, Enum, Map, Node, Record, Schema, Union, branch_name
from onepipe.schema.values import Duration, Leaf, converter, kind_of, wrong_type

_CLAIMS: Final[Mapping[str, type]] = {
    "null": type(None),
    "boolean": bool,
    "int": int,
    "long": int,
    "float": float,
    "double": float,
    "string": str,
    "bytes": bytes,
    "fixed": bytes,
    "date": dt.date,
    "time-millis": dt.time,
    "time-micros": dt.time,
    "timestamp-millis": dt.datetime,
    "timestamp-micros": dt.datetime,
    "local-timestamp-millis": dt.datetime,
    "local-timestamp-micros": dt.datetime,
    "decimal": Decimal,
    "uuid": UUID,
    "duration": Duration,
}


def claims(node: Node, classes: Mapping[str, type]) -> tuple[type, ...]:
    """The Python types whose values stand for an Avro type, neither a union nor a reference."""
    match node:
        case Record(name=name):
            return (classes.get(name, dict),)
        case Enum(name=name):
            return (classes[name], str) if name in classes else (str,)
        case Map():
            return (dict,)
        case Array():
            return (list, tuple)
        case Union():
            return ()
        case _:
            return (_CLAIMS[kind_of(cast("Leaf", node))],)


def fits(node: Node, value: Any, classes: Mapping[str, type]) -> bool:
    """Whether a value is one of a type, as far as can be seen without looking into it."""
    match node:
        case Record(name=name) if name in classes:
            return isinstance(value, classes[name])
        case Record(fields=fields):
            required = {field.name for field in fields if field.default is NO_DEFAULT}
            return isinstance(value, Mapping) and required <= value.keys() <= {field.name for field in fields}
        case Map():
            return isinstance(value, Mapping) and all(isinstance(key, str) for key in value)
        case Array():
            return is_items(value)
        case _:
            try:
                converter(cast("Leaf", node), classes)(value)
            except InvalidRecord:
                return False
            return True


def is_items(value: Any) -> bool:
    """Whether a value can be an array: a sequence that is neither text nor bytes."""
    return isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray | memoryview)


class Chooser:
    """Chooses among the branches of one union.

    Attributes:
        by_type: number of the branch by exact type, for the types that exactly one branch claims.
    """

    def __init__(self, schema: Schema, union: Union, classes: Mapping[str, type]) -> None:
        self._branches = [schema.resolve(branch) for branch in union.branches]
        self._names = {branch_name(branch): number for number, branch in enumerate(union.branches)}
        self._pairs = union.nullable is None
        self._classes = classes
        claimed = [claims(branch, classes) for branch in self._branches]
        often = Counter(claim for types in claimed for claim in types)
        self.by_type = {
            claim: number
            for number, types in enumerate(claimed)
            for claim in types
            if often[claim] == 1 and not (self._pairs and claim is tuple)
        }

    def choose(self, value: Any) -> tuple[int, Any]:
        """The number of the branch that takes a value, and the value without the name of its branch.

        Raises:
            InvalidRecord: no branch takes it; the one fault names no field.
        """
        if (
            type(value) is tuple
            and self._pairs
            and len(value) == 2
            and type(value[0]) is str
            and value[0] in self._names
        ):
            return self._names[value[0]], value[1]
        number = self.by_type.get(type(value))
        if number is not None:
            return number, value
        for candidate in sorted(range(len(self._branches)), key=lambda number: self._rank(number, value)):
            if fits(self._branches[candidate], value, self._classes):
                return candidate, value
        raise wrong_type(f"one of {', '.join(self._names)}", value)

    def _rank(self, number: int, value: Any) -> int:
        branch = self._branches[number]
        if isinstance(value, enum.Enum) and isinstance(branch, Enum):
            return -1
        return {"double": 1, "float": 2}.get(branch_name(branch), 0)
