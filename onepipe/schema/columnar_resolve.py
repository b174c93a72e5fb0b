"""From a writer's and a reader's schema to the readers that make the reader's columns of the writer's bytes.

What is read as what is planned by `onepipe.schema.resolve`, for the row decoder and for this one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Final, cast

import numpy as np
import pyarrow as pa

from onepipe.schema import columnar_items as items
from onepipe.schema import columnar_leaf as leaf
from onepipe.schema.arrow import MAX_DECIMAL_DIGITS, arrow_type, member_names
from onepipe.schema.columnar_read import Branch, Choice, Leaf, Nested, Raw, Reader, Step, Struct, Wrapped
from onepipe.schema.columnar_scan import Scans
from onepipe.schema.columnar_walk import Bodies, Cursor, Longs
from onepipe.schema.default_values import default_value
from onepipe.schema.encode import compile_encoder
from onepipe.schema.matching import choose_branch
from onepipe.schema.model import (
    Array,
    Enum,
    Field,
    Fixed,
    Map,
    Node,
    Primitive,
    Record,
    Schema,
    Union,
)
from onepipe.schema.resolve import ArrayPlan, EnumPlan, MapPlan, Plan, RecordPlan, RefusedPlan, UnionPlan, resolve
from onepipe.schema.values import kind_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DAY: Final = 86_400_000_000
_FIRST, _LAST = -62_135_596_800_000_000, 253_402_300_799_999_999  # years 1 and 9999 in microseconds
_YEARS: Final = "outside the years 1 to 9999"
_KEY: Final = Primitive("string")


def columns_reader(writer: Schema, reader: Schema) -> Reader:
    """The reader of the writer's records whose struct has the reader's fields.

    Raises:
        ResolutionError: the reader's schema cannot read what the writer's writes.
    """
    return _Resolver(writer, reader).reader(resolve(reader, writer), writer.root, reader.root)


class _Resolver:
    """Makes readers of a plan, which follows the writer's types, and of the reader's types beside it."""

    def __init__(self, writer: Schema, reader: Schema) -> None:
        self.writer = writer
        self.target = reader
        self.skipped: dict[str, Reader] = {}
        self.scans = Scans(writer)

    def reader(self, plan: Plan, written: Node, wanted: Node) -> Reader:
        """The reader of a written type as a wanted one."""
        written, wanted = self.writer.resolve(written), self.target.resolve(wanted)
        if isinstance(plan, UnionPlan):
            return self.choice(plan, cast("Union", written), wanted)
        if isinstance(wanted, Union):
            return self.into_union(plan, written, wanted)
        match plan, written, wanted:
            case RecordPlan(), Record(), Record():
                return self.record(plan, written, wanted)
            case ArrayPlan(), Array(), Array():
                reader = self.reader(plan.items, written.items, wanted.items)
                return items.List(self.type(wanted), items.Items(reader, self.scans.of(written.items)))
            case MapPlan(), Map(), Map():
                return self.map(plan, written, wanted)
            case EnumPlan(), _, _:
                return Leaf(pa.string(), *_raw(written), leaf.Symbols(plan.symbols))
            case _:
                type_ = self.type(wanted)
                return Leaf(type_, *_raw(written), _builder(cast("Primitive | Fixed", wanted), type_))

    def type(self, wanted: Node) -> pa.DataType:
        return arrow_type(self.target, wanted)

    def map(self, plan: MapPlan, written: Map, wanted: Map) -> Reader:
        type_ = self.type(wanted)
        key = Leaf(pa.string(), *_raw(_KEY), leaf.texts)
        steps = (Step("key", key, 0), Step("value", self.reader(plan.values, written.values, wanted.values), 1))
        entry = Struct(pa.struct([type_.key_field, type_.item_field]), steps, depth=0)
        return items.Map(type_, items.Items(entry, self.scans.entry(written.values), ""))

    def record(self, plan: RecordPlan, written: Record, wanted: Record) -> Struct:
        numbers = {field.name: number for number, field in enumerate(wanted.fields)}
        steps = []
        for step, field in zip(plan.steps, written.fields, strict=True):
            if step.target is None:
                steps.append(Step(step.name, self.left_out(field.type), None))
            else:
                number = numbers[step.target]
                reader = self.reader(step.plan, field.type, wanted.fields[number].type)
                steps.append(Step(step.name, reader, number))
        defaults = tuple((numbers[field.name], self.default(field)) for field in plan.defaults)
        return Struct(self.type(wanted), tuple(steps), defaults)

    def default(self, field: Field) -> pa.Array:
        """The default of a field that the writer lacks, as an array of one."""
        alone = Schema(field.type, self.target.names)
        value = default_value(self.target, field.type, field.default, classes={}, pairs=True)
        body = compile_encoder(alone)(value)
        cursor = Bodies([body], np.array([len(body)])).cursor()
        return columns_reader(alone, alone).read(cursor, leaf.Slots(1))

    def choice(self, plan: UnionPlan, written: Union, wanted: Node) -> Choice:
        """The reader of a union: as another union, or as one type that some of the branches can be read as."""
        type_, members = self.type(wanted), _member_numbers(wanted)
        pairs = zip(plan.branches, written.branches, strict=True)
        branches = tuple(self.branch(part, branch, wanted, members) for part, branch in pairs)
        return Choice(type_, _members(wanted, type_), branches)

    def branch(self, plan: Plan, written: Node, wanted: Node, members: Sequence[int | None]) -> Branch:
        """What becomes of one branch of a union."""
        if isinstance(plan, RefusedPlan) or (isinstance(plan, RecordPlan) and plan.refused):
            return Branch(None)
        if not isinstance(wanted, Union):
            return Branch(self.reader(plan, written, wanted), members[0])
        number = self.number(written, wanted)
        return Branch(self.reader(plan, written, wanted.branches[number]), members[number])

    def into_union(self, plan: Plan, written: Node, wanted: Union) -> Reader:
        """The reader of a type that is no union as one."""
        number = self.number(written, wanted)
        type_, member = self.type(wanted), _member_numbers(wanted)[number]
        if member is None:
            return Leaf(type_, *_raw(written), leaf.Nulls(type_))
        reader = self.reader(plan, written, wanted.branches[number])
        return reader if _members(wanted, type_) == (type_,) else Wrapped(type_, member, reader)

    def number(self, written: Node, wanted: Union) -> int:
        """The branch of the reader's union that a type is read as; the plan has found that there is one."""
        return cast("int", choose_branch(self.target, wanted, self.writer.resolve(written)))

    def left_out(self, written: Node) -> Reader:
        """A reader that can only skip a type of the writer's."""
        written = self.writer.resolve(written)
        match written:
            case Record():
                return self.left_out_record(written)
            case Union(branches=branches):
                return Choice(pa.null(), (), tuple(Branch(self.left_out(branch)) for branch in branches))
            case Array():
                return items.List(pa.null(), items.Items(self.left_out(written.items), self.scans.of(written.items)))
            case Map(values=values):
                entry = (Step("key", self.left_out(_KEY), None), Step("value", self.left_out(values), None))
                return items.Map(
                    pa.null(), items.Items(Struct(pa.null(), entry, depth=0), self.scans.entry(values), "")
                )
            case _:
                return self.left_out_leaf(cast("Primitive | Fixed | Enum", written))

    def left_out_leaf(self, written: Primitive | Fixed | Enum) -> Leaf:
        type_ = arrow_type(self.writer, written)
        build = leaf.Symbols(written.symbols) if isinstance(written, Enum) else _builder(written, type_)
        return Leaf(type_, *_raw(written), build)

    def left_out_record(self, written: Record) -> Reader:
        if written.name not in self.skipped:
            self.skipped[written.name] = Nested(self.skipped, written.name)
            steps = tuple(Step(field.name, self.left_out(field.type), None) for field in written.fields)
            self.skipped[written.name] = Struct(pa.null(), steps)
        return self.skipped[written.name]


def _members(wanted: Node, type_: pa.DataType) -> tuple[pa.DataType, ...]:
    """Types of the columns that a type's array has for its branches; one, the array's own, where it needs no struct."""
    several = isinstance(wanted, Union) and sum(name is not None for name in member_names(wanted)) > 1
    return tuple(field.type for field in type_) if several else (type_,)


def _member_numbers(wanted: Node) -> tuple[int | None, ...]:
    """By branch, the number of the column that holds it, None for null; one column for a type that is no union."""
    if not isinstance(wanted, Union):
        return (0,)
    numbers = count()
    return tuple(None if name is None else next(numbers) for name in member_names(wanted))


def _raw(written: Node) -> tuple[int | None, Raw]:
    """How many bytes a leaf has, None where that differs, and what reads them."""
    match written:
        case Fixed(size=size):
            return size, partial(_fixed, size=size)
        case Enum(symbols=symbols):
            return None, partial(Cursor.index, count=len(symbols), what="an enum's symbol")
        case _:
            return _RAW[cast("Primitive", written).name]


def _null(_cursor: Cursor) -> None:
    return None


def _float(cursor: Cursor) -> NDArray[np.float32]:
    at = cursor.fixed(4)
    return cursor.bodies.quads[at].view(np.float32)


def _double(cursor: Cursor) -> NDArray[np.float64]:
    at = cursor.fixed(8)
    return cursor.bodies.words[at].view(np.float64)


def _fixed(cursor: Cursor, size: int) -> tuple[Longs, Longs]:
    start = cursor.fixed(size)
    return start, np.where(cursor.refused, 0, size) if cursor.bodies.damage else np.full(len(start), size)


_RAW: Final[Mapping[str, tuple[int | None, Raw]]] = {
    "null": (0, _null),
    "boolean": (1, Cursor.boolean),
    "int": (None, Cursor.int32),
    "long": (None, Cursor.long),
    "float": (4, _float),
    "double": (8, _double),
    "bytes": (None, Cursor.prefixed),
    "string": (None, Cursor.prefixed),
}


def _builder(wanted: Primitive | Fixed, type_: pa.DataType) -> leaf.Builder:
    """What makes the array of a leaf, not an enum."""
    kind = kind_of(wanted)
    if kind in _MOMENTS:
        low, high, factor, fault = _MOMENTS[kind]
        return leaf.Moments(type_, np.dtype(np.int32 if kind == "date" else np.int64), low, high, factor, fault)
    if wanted.logical is not None and kind == "decimal":
        precision, scale = wanted.logical.precision, wanted.logical.scale
        return (leaf.Decimals if precision <= MAX_DECIMAL_DIGITS else leaf.LongDecimals)(precision, scale)
    match kind:
        case "duration":
            return leaf.Durations(type_)
        case "uuid":
            return leaf.uuid_bytes if isinstance(wanted, Fixed) else leaf.uuid_texts
        case "int" | "long" | "float" | "double":
            return leaf.Numbers(type_, np.dtype(type_.to_pandas_dtype()))
        case "null":
            return leaf.Nulls(type_)
        case _:
            return _BUILDERS[kind]


_BUILDERS: Final[Mapping[str, leaf.Builder]] = {
    "boolean": leaf.booleans,
    "string": leaf.texts,
    "bytes": leaf.binaries,
    "fixed": leaf.binaries,
}


_MOMENTS: Final[Mapping[str, tuple[int, int, int, str]]] = {
    "date": (_FIRST // _DAY, _LAST // _DAY, 1, f"a date {_YEARS}"),
    "time-millis": (0, _DAY // 1000 - 1, 1000, "a time of day outside 00:00 to 24:00"),
    "time-micros": (0, _DAY - 1, 1, "a time of day outside 00:00 to 24:00"),
    "timestamp-millis": (_FIRST // 1000, _LAST // 1000, 1000, f"a timestamp {_YEARS}"),
    "timestamp-micros": (_FIRST, _LAST, 1, f"a timestamp {_YEARS}"),
    "local-timestamp-millis": (_FIRST // 1000, _LAST // 1000, 1000, f"a timestamp {_YEARS}"),
    "local-timestamp-micros": (_FIRST, _LAST, 1, f"a timestamp {_YEARS}"),
}
"""By logical type: lowest and highest integer, the factor to the column's unit, and what to say of the others."""
