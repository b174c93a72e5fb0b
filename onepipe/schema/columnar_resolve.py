"""From a writer's and a reader's schema to the readers that make the reader's columns of the writer's bytes.

Which types, fields and branches belong together is said by `onepipe.schema.matching`, as for the row decoder.

Source: Apache Avro 1.12 specification, section "Schema Resolution".
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Final, cast

import numpy as np
import pyarrow as pa

from onepipe.errors import ResolutionError
from onepipe.schema import columnar_items as items
from onepipe.schema import columnar_leaf as leaf
from onepipe.schema.arrow import MAX_DECIMAL_DIGITS, arrow_type, member_names
from onepipe.schema.columnar_read import Branch, Choice, Leaf, Nested, Raw, Reader, Step, Struct, Wrapped
from onepipe.schema.columnar_scan import Scans
from onepipe.schema.columnar_walk import Bodies, Cursor, Longs
from onepipe.schema.default_values import default_value
from onepipe.schema.encode import compile_encoder
from onepipe.schema.matching import choose_branch, distance, pair_fields
from onepipe.schema.model import (
    NO_DEFAULT,
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
    branch_name,
)
from onepipe.schema.values import kind_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DAY: Final = 86_400_000_000
_FIRST, _LAST = -62_135_596_800_000_000, 253_402_300_799_999_999  # years 1 and 9999 in microseconds
_YEARS: Final = "outside the years 1 to 9999"
_KEY: Final = Primitive("string")


def columns_reader(writer: Schema, reader: Schema) -> Struct:
    """The reader of the writer's records whose columns are the reader's fields.

    Raises:
        ResolutionError: the reader's schema cannot read what the writer's writes.
    """
    resolver = _Resolver(writer, reader)
    made = resolver.reader(writer.root, reader.root)
    return cast("Struct", made)


class _Resolver:
    """Pairs the types of two schemas."""

    def __init__(self, writer: Schema, reader: Schema) -> None:
        self.writer = writer
        self.target = reader
        self.skipped: dict[str, Reader] = {}
        self.scans = Scans(writer)
        self.path: list[str] = []

    def reader(self, written: Node, wanted: Node) -> Reader:
        """The reader of a written type as a wanted one.

        Raises:
            ResolutionError: the one cannot be read as the other.
        """
        written, wanted = self.writer.resolve(written), self.target.resolve(wanted)
        if isinstance(written, Union):
            return self.choice(written, wanted)
        if isinstance(wanted, Union):
            return self.into_union(written, wanted)
        if distance(wanted, written) is None:
            raise self.fail(f"{_called(written)} cannot be read as {_called(wanted)}")
        match written, wanted:
            case Record(), Record():
                return self.record(written, wanted)
            case Array(), Array():
                return items.List(
                    self.type(wanted), self.items(written.items, self.inside(written.items, wanted.items))
                )
            case Map(), Map():
                return self.map(written, wanted)
            case _:
                return self.leaf(written, wanted)

    def type(self, wanted: Node) -> pa.DataType:
        return arrow_type(self.target, wanted)

    def fail(self, message: str) -> ResolutionError:
        return ResolutionError(message, field=".".join(self.path).replace(".[]", "[]") or None)

    def inside(self, written: Node, wanted: Node, step: str = "[]") -> Reader:
        self.path.append(step)
        try:
            return self.reader(written, wanted)
        finally:
            self.path.pop()

    def leaf(self, written: Node, wanted: Node) -> Leaf:
        width, raw = _raw(written)
        if isinstance(written, Enum) and isinstance(wanted, Enum):
            return Leaf(pa.string(), width, raw, _symbols(written, wanted))
        return Leaf(self.type(wanted), width, raw, _builder(cast("Primitive | Fixed", wanted), self.type(wanted)))

    def items(self, written: Node, reader: Reader) -> items.Items:
        return items.Items(reader, self.scans.of(written))

    def map(self, written: Map, wanted: Map) -> Reader:
        type_ = self.type(wanted)
        key = Leaf(pa.string(), *_raw(_KEY), leaf.texts)
        steps = (Step("key", key, 0), Step("value", self.inside(written.values, wanted.values), 1))
        entry = Struct(pa.struct([type_.key_field, type_.item_field]), steps, ())
        return items.Map(type_, items.Items(entry, self.scans.entry(written.values)))

    def record(self, written: Record, wanted: Record) -> Struct:
        sources = pair_fields(wanted, written)
        numbers = {
            source.name: number
            for number, field in enumerate(wanted.fields)
            if (source := sources[field.name]) is not None
        }
        steps = []
        for field in written.fields:
            number = numbers.get(field.name)
            if number is None:
                steps.append(Step(field.name, self.left_out(field.type), None))
            else:
                aim = wanted.fields[number]
                steps.append(Step(aim.name, self.inside(field.type, aim.type, aim.name), number))
        absent = [(number, field) for number, field in enumerate(wanted.fields) if sources[field.name] is None]
        defaults = tuple((number, self.default(wanted, field)) for number, field in absent)
        return Struct(self.type(wanted), tuple(steps), defaults)

    def default(self, record: Record, field: Field) -> pa.Array:
        """The default of a field that the writer lacks, as an array of one."""
        if field.default is NO_DEFAULT:
            problem = f"the writer's {record.name} has no field {field.name!r}, and the reader's has no default"
            raise self.fail(problem)
        alone = Schema(field.type, self.target.names)
        value = default_value(self.target, field.type, field.default, classes={}, pairs=True)
        bodies = Bodies([compile_encoder(alone)(value)])
        return _Resolver(alone, alone).reader(field.type, field.type).read(bodies.cursor(), leaf.Slots(1))

    def choice(self, written: Union, wanted: Node) -> Choice:
        """The reader of a union: as another union, or as one type that some of the branches can be read as."""
        targets = [self.branch(branch, wanted) for branch in written.branches]
        if all(target.reader is None for target in targets):
            raise self.fail(f"no branch of the union can be read as {_called(wanted)}")
        type_ = self.type(wanted)
        return Choice(type_, _members(wanted, type_), tuple(targets))

    def branch(self, written: Node, wanted: Node) -> Branch:
        """What becomes of one branch of a union."""
        written = self.writer.resolve(written)
        member: int | None = 0
        if isinstance(wanted, Union):
            number = choose_branch(self.target, wanted, written)
            if number is None:
                return Branch(None)
            member = _member(wanted, number)
            wanted = self.target.resolve(wanted.branches[number])
        try:
            return Branch(self.reader(written, wanted), member)
        except ResolutionError:
            return Branch(None)

    def into_union(self, written: Node, wanted: Union) -> Reader:
        """The reader of a type that is no union as one."""
        number = choose_branch(self.target, wanted, written)
        if number is None:
            raise self.fail(f"{_called(written)} can be read as no branch of the reader's union")
        type_, member = self.type(wanted), _member(wanted, number)
        if member is None:
            return Leaf(type_, *_raw(written), leaf.Nulls(type_))
        reader = self.reader(written, wanted.branches[number])
        return reader if _members(wanted, type_) == (type_,) else Wrapped(type_, member, reader)

    def left_out(self, written: Node) -> Reader:
        """A reader that can only skip a type of the writer's."""
        written = self.writer.resolve(written)
        match written:
            case Record(name=name):
                if name in self.skipped:
                    return self.skipped[name]
                self.skipped[name] = Nested(self.skipped, name)
                steps = tuple(Step(field.name, self.left_out(field.type), None) for field in written.fields)
                self.skipped[name] = Struct(pa.null(), steps, ())
                return self.skipped[name]
            case Union(branches=branches):
                return Choice(pa.null(), (), tuple(Branch(self.left_out(branch)) for branch in branches))
            case Array():
                return items.List(pa.null(), self.items(written.items, self.left_out(written.items)))
            case Map(values=values):
                entry = (Step("key", self.left_out(_KEY), None), Step("value", self.left_out(values), None))
                return items.Map(pa.null(), items.Items(Struct(pa.null(), entry, ()), self.scans.entry(values)))
            case _:
                return Leaf(pa.null(), *_raw(written), leaf.Nulls(pa.null()))


def _called(node: Node) -> str:
    """What to call a type in a message."""
    return branch_name(node) if not isinstance(node, Union) else "a union"


def _members(wanted: Node, type_: pa.DataType) -> tuple[pa.DataType, ...]:
    """Types of the columns that a type's array has for its branches; one, the array's own, where it needs no struct."""
    several = isinstance(wanted, Union) and sum(name is not None for name in member_names(wanted)) > 1
    return tuple(field.type for field in type_) if several else (type_,)


def _member(wanted: Union, number: int) -> int | None:
    """The number of the column that holds a branch; None for null."""
    names = member_names(wanted)
    return None if names[number] is None else sum(name is not None for name in names[:number])


def _symbols(written: Enum, wanted: Enum) -> leaf.Symbols:
    known = frozenset(wanted.symbols)
    return leaf.Symbols(tuple(symbol if symbol in known else wanted.default for symbol in written.symbols))


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
