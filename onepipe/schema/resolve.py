"""Schema resolution: how bytes that one schema wrote are read as values of another, planned before any byte is read.

A plan follows the writer's schema, since that is what the bytes follow, and says at each place what the reader makes of
it. What can never be read is a ResolutionError here; what cannot be read for some values (a branch of the writer's
union, a symbol of its enum) is refused when such a value comes.

Source: Apache Avro 1.12 specification, section "Schema Resolution". Which parts belong together is decided by
`onepipe.schema.matching`; one logical type is not read as another, as in `onepipe.schema.compatibility`.
"""

from __future__ import annotations

from typing import TypeAlias, cast

import attrs

from onepipe.errors import ResolutionError
from onepipe.schema.defaults import default_fault
from onepipe.schema.matching import PROMOTIONS, choose_branch, pair_fields, same_name
from onepipe.schema.model import (
    NO_DEFAULT,
    Array,
    Enum,
    Field,
    Fixed,
    Map,
    Named,
    Node,
    Primitive,
    Record,
    Schema,
    Union,
)
from onepipe.schema.sizes import takes_no_bytes
from onepipe.schema.values import Leaf


@attrs.frozen(eq=False)
class LeafPlan:
    """A primitive or fixed value: read as `writer`, promoted and interpreted as `reader`."""

    writer: Leaf
    reader: Leaf


@attrs.frozen(eq=False)
class EnumPlan:
    """A symbol.

    Attributes:
        name: full name of the reader's enum.
        symbols: by the writer's index, the reader's symbol; None where it knows none.
    """

    name: str
    symbols: tuple[str | None, ...]


@attrs.frozen(eq=False)
class ArrayPlan:
    """An array; `empty_items` where its items take no bytes."""

    items: Plan
    empty_items: bool


@attrs.frozen(eq=False)
class MapPlan:
    """A map."""

    values: Plan


@attrs.frozen(eq=False)
class UnionPlan:
    """A union of the writer: what to do, by branch."""

    branches: tuple[Plan, ...]


@attrs.frozen(eq=False)
class RefusedPlan:
    """Bytes that may come, and that the reader's schema cannot read."""

    reason: str


@attrs.frozen(eq=False)
class FieldStep:
    """A field in the order of the bytes.

    Attributes:
        name: the writer's name of it, for messages.
        plan: how it is read.
        target: the reader's name of it; None where the reader has no such field.
    """

    name: str
    plan: Plan
    target: str | None


@attrs.define(eq=False)
class RecordPlan:
    """A record. One plan for a pair of records, so a plan may hold itself.

    Attributes:
        reader: the reader's record.
        steps: the writer's fields in their order.
        defaults: the reader's fields that the writer has not.
        refused: why it can never be read, where it cannot; a plan that holds this one was made before that was known.
    """

    reader: Record
    steps: list[FieldStep] = attrs.field(factory=list)
    defaults: list[Field] = attrs.field(factory=list)
    refused: ResolutionError | None = None


Plan: TypeAlias = LeafPlan | EnumPlan | ArrayPlan | MapPlan | UnionPlan | RefusedPlan | RecordPlan


def resolve(reader: Schema, writer: Schema) -> Plan:
    """Plan how bytes written with one schema are read as values of another.

    Raises:
        ResolutionError: no bytes of the writer could be read; names the field and the mend.
    """
    return _Resolver(reader, writer).plan(reader.root, writer.root, "")


class _Resolver:
    """Plans the reading of one schema's bytes as values of another's."""

    def __init__(self, reader: Schema, writer: Schema) -> None:
        self._reader = reader
        self._writer = writer
        self._records: dict[tuple[str, str], RecordPlan] = {}
        self._empty: dict[str, bool] = {}
        self._itself = self if reader is writer else _Resolver(writer, writer)

    def plan(self, reader: Node, writer: Node, path: str) -> Plan:
        reader, writer = self._reader.resolve(reader), self._writer.resolve(writer)
        if isinstance(writer, Union):
            return self._written_union(reader, writer, path)
        if isinstance(reader, Union):
            number = choose_branch(self._reader, reader, writer)
            if number is None:
                raise _mismatch(reader, writer, path, f"add {describe(writer)} to the reader's union")
            reader = self._reader.resolve(reader.branches[number])
        return self._pair(reader, writer, path)

    def _written_union(self, reader: Node, writer: Union, path: str) -> Plan:
        branches: list[Plan] = []
        errors: list[ResolutionError] = []
        for branch in writer.branches:
            try:
                branches.append(self.plan(reader, branch, path))
            except ResolutionError as error:
                branches.append(RefusedPlan(error.message))
                errors.append(error)
        if len(errors) == len(branches):
            raise errors[0]
        return UnionPlan(tuple(branches))

    def _pair(self, reader: Node, writer: Node, path: str) -> Plan:
        match reader, writer:
            case Array(), Array():
                items = self.plan(reader.items, writer.items, f"{path}[]")
                return ArrayPlan(items, takes_no_bytes(self._writer, writer.items, self._empty))
            case Map(), Map():
                return MapPlan(self.plan(reader.values, writer.values, f"{path}{{}}"))
            case Primitive(), Primitive():
                if reader.name != writer.name and reader.name not in PROMOTIONS.get(writer.name, ()):
                    raise _mismatch(reader, writer, path, f"read it as {describe(writer)}")
                return _leaf(reader, writer, path)
            case Record(), Record():
                _require_same_name(reader, writer, path)
                return self._record(reader, writer, path)
            case Enum(), Enum():
                _require_same_name(reader, writer, path)
                return _enum(reader, writer, path)
            case Fixed(), Fixed():
                _require_same_name(reader, writer, path)
                if reader.size != writer.size:
                    raise _mismatch(reader, writer, path, f"keep the size {writer.size}")
                return _leaf(reader, writer, path)
            case _:
                raise _mismatch(reader, writer, path, f"read it as {describe(writer)}, or as a union that has it")

    def _record(self, reader: Record, writer: Record, path: str) -> RecordPlan:
        key = (reader.name, writer.name)
        known = self._records.get(key)
        if known is not None:
            if known.refused:
                raise known.refused
            return known
        plan = self._records[key] = RecordPlan(reader)
        try:
            self._fields(plan, reader, writer, path)
        except ResolutionError as error:
            plan.refused = error
            raise
        return plan

    def _fields(self, plan: RecordPlan, reader: Record, writer: Record, path: str) -> None:
        sources = pair_fields(reader, writer)
        targets = {source.name: reader.field(name) for name, source in sources.items() if source is not None}
        for field in writer.fields:
            inner = f"{path}.{field.name}" if path else field.name
            target = targets.get(field.name)
            if target is None:
                plan.steps.append(FieldStep(field.name, self._itself.plan(field.type, field.type, inner), None))
            else:
                plan.steps.append(FieldStep(field.name, self.plan(target.type, field.type, inner), target.name))
        for field in reader.fields:
            if sources[field.name] is None:
                self._check_default(field, f"{path}.{field.name}" if path else field.name)
                plan.defaults.append(field)

    def _check_default(self, field: Field, path: str) -> None:
        if field.default is NO_DEFAULT:
            remedy = "give it a default; where it was renamed, its old name as an alias"
            raise ResolutionError("the writer has no such field, and the reader no default", field=path, remedy=remedy)
        if fault := default_fault(self._reader, field.type, field.default):
            remedy = "give it a default of its type"
            raise ResolutionError(f"the writer has no such field, and {fault}", field=path, remedy=remedy)


def _require_same_name(reader: Named, writer: Named, path: str) -> None:
    if not same_name(reader, writer):
        raise _mismatch(reader, writer, path, f"add {writer.name!r} to the aliases of {reader.name}")


def _leaf(reader: Primitive | Fixed, writer: Primitive | Fixed, path: str) -> LeafPlan:
    decimals = [node.logical is not None and node.logical.name == "decimal" for node in (reader, writer)]
    text = "string" in (reader.name, writer.name) and any(decimals)
    if (reader.logical and writer.logical and reader.logical != writer.logical) or text:
        remedy = "keep the logical type; another meaning is a new field"
        message = f"{describe(writer)} is written, {describe(reader)} would be read from the same bytes"
        raise ResolutionError(message, field=path or None, remedy=remedy)
    return LeafPlan(writer, reader)


def _enum(reader: Enum, writer: Enum, path: str) -> EnumPlan:
    known = set(reader.symbols)
    symbols = tuple(symbol if symbol in known else reader.default for symbol in writer.symbols)
    if not any(symbols):
        raise _mismatch(reader, writer, path, "keep its symbols, or give the enum a default")
    return EnumPlan(reader.name, symbols)


def _mismatch(reader: Node, writer: Node, path: str, remedy: str) -> ResolutionError:
    message = f"{describe(writer)} is written, and cannot be read as {describe(reader)}"
    return ResolutionError(message, field=path or None, remedy=remedy)


def describe(node: Node) -> str:
    """A type in a few words, for messages."""
    match node:
        case Union(branches=branches):
            return f"a union of {', '.join(map(describe, branches))}"
        case Array() | Map():
            return type(node).__name__.lower()
        case Primitive(logical=logical) | Fixed(logical=logical) if logical is not None:
            digits = f"({logical.precision}, {logical.scale})" if logical.precision else ""
            return f"{logical.name}{digits}"
        case _:
            return cast("Leaf", node).name
