"""Readers: one for each type of a schema, which read it in all lanes of a cursor and make its Arrow array.

A reader is made for a writer's type and the reader's type it is read as (`onepipe.schema.columnar_resolve`). `read`
makes the array; `skip` goes over the values, as strictly as the row decoder does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

import attrs
import numpy as np
import pyarrow as pa

from onepipe.schema import limits
from onepipe.schema.columnar_leaf import Builder, Slots

if TYPE_CHECKING:
    from collections.abc import Callable

    from onepipe.schema.columnar_walk import Cursor, Flags, Longs

_MANY: Final = 8
"""Branches so many that it pays to see first which ones are taken."""


class Reader(Protocol):
    """Reads one type in all lanes of a cursor."""

    @property
    def type(self) -> pa.DataType:
        """Type of the arrays."""

    @property
    def width(self) -> int | None:
        """Bytes of every value; None where they differ, and then each has one at least."""

    def read(self, cursor: Cursor, slots: Slots) -> pa.Array:
        """Read a value in each lane, into an array of `slots.length`."""

    def skip(self, cursor: Cursor) -> None:
        """Go over a value in each lane."""


Raw: TypeAlias = "Callable[[Cursor], Any]"
"""Reads the bytes of a leaf type in all lanes, not yet what they stand for; see `onepipe.schema.columnar_leaf`."""


@attrs.frozen
class Leaf:
    """Reads a leaf: a primitive, fixed or enum."""

    type: pa.DataType
    width: int | None
    raw: Raw
    build: Builder

    def read(self, cursor: Cursor, slots: Slots) -> pa.Array:
        """Read a value in each lane."""
        at = cursor.pos
        return self.build(cursor, at, self.raw(cursor), slots)

    def skip(self, cursor: Cursor) -> None:
        """Go over a value in each lane, and unless it will be read once more, see whether it is one."""
        at = cursor.pos
        raw = self.raw(cursor)
        if not cursor.bodies.scouting:
            self.build(cursor, at, raw, Slots(len(cursor)))


@attrs.frozen
class Step:
    """One of the writer's fields: where its column goes in the reader's record, None for a field that is left out."""

    name: str
    reader: Reader
    column: int | None


@attrs.frozen
class Struct:
    """Reads a record into a struct.

    Attributes:
        type: the struct.
        steps: the writer's fields, in order.
        defaults: by number of a column that the writer lacks, its value as an array of one.
        depth: how many records deeper its fields are than itself: 1; 0 for the entry of a map.
    """

    type: pa.DataType
    steps: tuple[Step, ...]
    defaults: tuple[tuple[int, pa.Array], ...] = ()
    depth: int = 1
    width: int | None = attrs.field(init=False)

    @width.default
    def _width(self) -> int | None:
        widths = [step.reader.width for step in self.steps]
        return None if None in widths else sum(width for width in widths if width is not None)

    def columns(self, cursor: Cursor, slots: Slots) -> list[pa.Array]:
        """Read a record in each lane; its columns, each of `slots.length`."""
        columns: dict[int, pa.Array] = {}
        for step in self._steps(cursor):
            if step.column is None:
                step.reader.skip(cursor)
            else:
                columns[step.column] = step.reader.read(cursor, slots)
        for column, value in self.defaults:
            columns[column] = repeat(value, slots)
        return [columns[number] for number in range(len(columns))]

    def read(self, cursor: Cursor, slots: Slots) -> pa.Array:
        """Read a record in each lane; refuses what is nested deeper than `limits.MAX_DEPTH`."""
        if self._too_deep(cursor):
            return pa.nulls(slots.length, self.type)
        columns = self.columns(cursor, slots)
        return slots.array(self.type, children=columns) if columns else repeat(pa.array([True]), slots)

    def skip(self, cursor: Cursor) -> None:
        """Go over a record in each lane; refuses what is nested deeper than `limits.MAX_DEPTH`."""
        if not self._too_deep(cursor):
            for step in self._steps(cursor):
                step.reader.skip(cursor)

    def _steps(self, cursor: Cursor) -> Iterator[Step]:
        cursor.bodies.depth += self.depth
        for step in self.steps:
            with cursor.bodies.within(f".{step.name}" if self.depth else "{}"):
                yield step
        cursor.bodies.depth -= self.depth

    def _too_deep(self, cursor: Cursor) -> bool:
        too_deep = cursor.bodies.depth + self.depth > limits.MAX_DEPTH
        if too_deep:
            everywhere = np.ones(len(cursor), np.bool_)
            cursor.refuse(everywhere, cursor.pos, f"records nested deeper than {limits.MAX_DEPTH}")
        return too_deep


@attrs.frozen
class Branch:
    """What becomes of one branch of the writer's union.

    Attributes:
        reader: reads it; None where the reader's schema has no type for it.
        member: number of the column it goes to; None for null, which leaves all of them null.
    """

    reader: Reader | None
    member: int | None = None


@attrs.frozen
class Choice:
    """Reads a union, into a struct with a member for each branch, or into the only type that is not null.

    Attributes:
        type: the struct, or the only type.
        members: types of the columns.
        branches: the writer's branches, in order.
    """

    type: pa.DataType
    members: tuple[pa.DataType, ...]
    branches: tuple[Branch, ...]
    width: None = None

    def read(self, cursor: Cursor, slots: Slots) -> pa.Array:
        """Read a union in each lane."""
        taken = self._taken(cursor)
        parts: list[list[tuple[Reader, Longs]]] = [[] for _ in self.members]
        for reader, member, lanes in self._parts(taken):
            if member is not None:
                parts[member].append((reader, lanes))
        columns = [_column(type_, part, cursor, slots) for type_, part in zip(self.members, parts, strict=True)]
        if self.members == (self.type,):
            return columns[0]
        filled = np.zeros(len(taken), np.bool_)
        for part in parts:
            for _, lanes in part:
                filled[lanes] = True
        return slots.narrow(np.flatnonzero(filled)).array(self.type, children=columns)

    def skip(self, cursor: Cursor) -> None:
        """Go over a union in each lane."""
        for reader, _, lanes in self._parts(self._taken(cursor)):
            some = cursor.select(lanes)
            reader.skip(some)
            cursor.merge(lanes, some)

    def _taken(self, cursor: Cursor) -> Longs:
        """The number of each lane's branch, -1 in refused lanes."""
        at = cursor.pos
        taken = cursor.index(len(self.branches), "a union's branch")
        if self._refused.any():
            cursor.refuse(self._refused[taken], at, "a union's branch that the reader's schema has no type for")
        return np.where(cursor.refused, -1, taken) if cursor.bodies.damage else taken

    @cached_property
    def _refused(self) -> Flags:
        return np.array([branch.reader is None for branch in self.branches])

    def _parts(self, taken: Longs) -> Iterator[tuple[Reader, int | None, Longs]]:
        """By branch that is taken in some lanes: its reader, its column, and the lanes."""
        numbers = range(len(self.branches)) if len(self.branches) < _MANY else np.unique(taken[taken >= 0]).tolist()
        for number in numbers:
            branch, lanes = self.branches[number], np.flatnonzero(taken == number)
            if branch.reader is not None and len(lanes):
                yield branch.reader, branch.member, lanes


@attrs.frozen
class Wrapped:
    """Reads a type that is no union into one member of a union's struct.

    Attributes:
        type: the struct.
        member: number of the member.
        reader: reads the type.
    """

    type: pa.StructType
    member: int
    reader: Reader

    @property
    def width(self) -> int | None:
        """Bytes of every value."""
        return self.reader.width

    def read(self, cursor: Cursor, slots: Slots) -> pa.Array:
        """Read a value in each lane."""
        value = self.reader.read(cursor, slots)
        members = [field.type for field in self.type]
        columns = [value if n == self.member else pa.nulls(slots.length, type_) for n, type_ in enumerate(members)]
        return slots.array(self.type, children=columns)

    def skip(self, cursor: Cursor) -> None:
        """Go over a value in each lane."""
        self.reader.skip(cursor)


@attrs.frozen
class Nested:
    """A writer's record inside itself: it has no column, so it can only be left out.

    Attributes:
        records: the writer's records that contain themselves, by name, filled after this is made.
        name: the record's name.
    """

    records: Mapping[str, Reader]
    name: str
    type: pa.DataType = attrs.field(init=False, factory=pa.null)
    width: None = None

    def read(self, cursor: Cursor, slots: Slots) -> pa.Array:
        """Go over a record in each lane."""
        self.skip(cursor)
        return pa.nulls(slots.length)

    def skip(self, cursor: Cursor) -> None:
        """Go over a record in each lane."""
        self.records[self.name].skip(cursor)


def repeat(value: pa.Array, slots: Slots) -> pa.Array:
    """An array of one value in every slot that has a lane.

    Args:
        value: an array of length 1.
        slots: the slots.
    """
    if slots.index is None:
        return pa.repeat(value[0], slots.length)
    return value.take(slots.array(pa.int8(), pa.py_buffer(np.zeros(slots.length, np.int8))))


def _column(type_: pa.DataType, parts: Sequence[tuple[Reader, Longs]], cursor: Cursor, slots: Slots) -> pa.Array:
    """The array of one type that several branches may be read as, each in lanes of its own."""
    arrays = []
    for reader, lanes in parts:
        some = cursor.select(lanes)
        arrays.append(reader.read(some, slots.narrow(lanes) if len(parts) == 1 else Slots(len(lanes))))
        cursor.merge(lanes, some)
    if not arrays:
        return pa.nulls(slots.length, type_)
    if len(arrays) == 1:
        return arrays[0]
    lanes = np.concatenate([lanes for _, lanes in parts])
    order = np.argsort(lanes)
    return pa.concat_arrays(arrays).take(_positions(slots.narrow(lanes[order]), order))


def _positions(slots: Slots, order: Longs) -> pa.Array:
    return slots.array(pa.int64(), pa.py_buffer(slots.spread(order)))
