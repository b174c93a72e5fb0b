"""Readers of arrays and maps, in two passes: where each item begins, then all items of all bodies at once.

The first pass goes over items side by side (the first of every body, the second of every body, …), at once where all
are of one width, and by a scan in the last few bodies that go on. The second pass has the items as lanes, in order, so
that their array needs no sorting.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

import attrs
import numpy as np
import pyarrow as pa

from onepipe.errors import DecodeError
from onepipe.schema import limits
from onepipe.schema.columnar_leaf import Slots
from onepipe.schema.columnar_walk import Cursor

if TYPE_CHECKING:
    from onepipe.schema.columnar_read import Reader
    from onepipe.schema.columnar_scan import Scan
    from onepipe.schema.columnar_walk import Longs

FEW: Final = 32
"""Lanes so few that going over their items in plain Python is faster."""

_TOO_MANY: Final = "more items than its bytes can hold"


class Places(NamedTuple):
    """Where items begin.

    Attributes:
        lanes: int64 by item, the lane of its array.
        order: int64 by item, its number in the array.
        starts: int64 by item, the position in the batch's data.
    """

    lanes: Longs
    order: Longs
    starts: Longs


@attrs.frozen
class Items:
    """The items of an array, or the entries of a map.

    Attributes:
        reader: reads one item.
        scan: finds where one item ends.
        step: how the path to an item goes on, for messages.
    """

    reader: Reader
    scan: Scan
    step: str = "[]"

    def walk(self, cursor: Cursor, *, scouting: bool) -> tuple[Longs, Longs]:
        """Go over all blocks of an array in each lane.

        Args:
            cursor: the lanes.
            scouting: whether the items themselves will be read, and are only skipped here to find where they begin.

        Returns:
            By lane the number of items, and where each item begins, lane after lane (nothing for items of no bytes).
            Refused lanes have none.
        """
        counts = np.zeros(len(cursor), np.int64)
        places: list[Places] = []
        lanes = np.flatnonzero(~cursor.refused)
        while len(lanes):
            block = cursor.select(lanes)
            count, limit = _head(block)
            self._bound(block, count)
            count = np.where(block.refused, 0, count)
            places.extend(
                Places(lanes[place.lanes], place.order + counts[lanes][place.lanes], place.starts)
                for place in self._places(block, count, scouting)
            )
            block.refuse((limit >= 0) & (block.pos != limit) & ~block.refused, block.pos, "a block of another size")
            cursor.merge(lanes, block)
            counts[lanes] += count
            lanes = lanes[(count > 0) & ~block.refused]
        return self._sorted(cursor, counts, places)

    def read(self, cursor: Cursor) -> tuple[Longs, pa.Array]:
        """Read an array in each lane: the number of items by lane, and the array of all items."""
        counts, starts = self.walk(cursor, scouting=True)
        total = int(counts.sum())
        if self.reader.width == 0 and total:
            one = self.reader.read(cursor.select(np.flatnonzero(counts)[:1]), Slots(1))
            return counts, pa.repeat(one[0], total)
        items = Cursor(cursor.bodies, np.repeat(cursor.rows, counts), starts, np.repeat(cursor.end, counts))
        with cursor.bodies.within(self.step):
            return counts, self.reader.read(items, Slots(total))

    def _bound(self, block: Cursor, count: Longs) -> None:
        """Refuse numbers of items that the rest of the body cannot hold, before anything is made for them."""
        if self.reader.width == 0:
            most = limits.MAX_ZERO_BYTE_ITEMS
            message = f"more than {most} items that take no bytes"
            block.refuse(block.bodies.weightless(block.rows, np.minimum(count, most + 1)) > most, block.pos, message)
        else:
            block.refuse(count > (block.end - block.pos) // (self.reader.width or 1), block.pos, _TOO_MANY)

    def _places(self, block: Cursor, count: Longs, scouting: bool) -> Iterator[Places]:
        """Where the items of one block in each lane begin; the cursor goes to the block's end."""
        width = self.reader.width
        if width == 0:
            return
        if width is None:
            yield from self._side_by_side(block, count, scouting)
            return
        lanes = np.repeat(np.arange(len(count)), count)
        order = np.arange(len(lanes)) - np.repeat(np.cumsum(count) - count, count)
        item = block.select(lanes)
        item.pos = item.pos + order * width
        yield Places(lanes, order, item.pos)
        if not scouting:
            self.reader.skip(item)
        block.pos = block.pos + count * width

    def _side_by_side(self, block: Cursor, count: Longs, scouting: bool) -> Iterator[Places]:
        lanes = np.flatnonzero(count)
        number = 0
        item = block.select(lanes)
        while len(lanes) > FEW:
            yield Places(lanes, np.full(len(lanes), number), item.pos)
            with block.bodies.within(self.step, scouting=scouting):
                self.reader.skip(item)
            number += 1
            more = (count[lanes] > number) & ~item.refused
            if not more.all():
                block.merge(lanes[~more], item.select(np.flatnonzero(~more)))
                item, lanes = item.select(np.flatnonzero(more)), lanes[more]
        if len(lanes):
            yield self._scanned(item, lanes, number, count[lanes], scouting)
            block.merge(lanes, item)

    def _scanned(self, cursor: Cursor, lanes: Longs, number: int, count: Longs, scouting: bool) -> Places:
        """Where the items from `number` on begin in a few lanes; the cursor goes to the end of the last ones."""
        edges = [self._edges(cursor, lane, int(many) - number) for lane, many in enumerate(count)]
        sizes = np.array([len(edge) - 1 for edge in edges])
        owners = np.repeat(np.arange(len(edges)), sizes)
        starts = np.array([start for edge in edges for start in edge[:-1]], np.int64)
        ends = np.array([end for edge in edges for end in edge[1:]], np.int64)
        item = cursor.select(owners)
        item.pos = starts
        with cursor.bodies.within(self.step, scouting=scouting):
            self.reader.skip(item)
        bad = sizes < count - number
        bad[owners[item.pos != ends]] = True
        at, cursor.pos = cursor.pos, np.array([edge[-1] for edge in edges], np.int64)
        cursor.refuse(bad, at, "items that cannot be")
        order = number + np.arange(len(owners)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        return Places(lanes[owners], order, starts)

    def _edges(self, cursor: Cursor, lane: int, count: int) -> list[int]:
        """Where the `count` items of a lane begin, and the last one ends; none follows one that cannot be."""
        data, end = cursor.bodies.data, int(cursor.end[lane])
        edges = [int(cursor.pos[lane])]
        try:
            for _ in range(count):
                edges.append(self.scan(data, edges[-1], end))
        except (DecodeError, RecursionError):
            edges.append(edges[-1])  # so that the reader sees it too, and says what is wrong
        return edges

    def _sorted(self, cursor: Cursor, counts: Longs, places: list[Places]) -> tuple[Longs, Longs]:
        if cursor.bodies.damage:
            counts = np.where(cursor.refused, 0, counts)
            places = [Places(*(part[~cursor.refused[place.lanes]] for part in place)) for place in places]
        starts = np.empty(0 if self.reader.width == 0 else int(counts.sum()), np.int64)
        base = np.cumsum(counts) - counts
        for place in places:
            starts[base[place.lanes] + place.order] = place.starts
        return counts, starts


@attrs.frozen
class List:
    """Reads an array into a list."""

    type: pa.ListType
    items: Items
    width: None = None

    def read(self, cursor: Cursor, slots: Slots) -> pa.Array:
        """Read an array in each lane."""
        counts, items = self.items.read(cursor)
        return slots.array(self.type, _offsets(counts, slots), children=[items])

    def skip(self, cursor: Cursor) -> None:
        """Go over an array in each lane."""
        self.items.walk(cursor, scouting=False)


@attrs.frozen
class Map:
    """Reads a map. Where a key stands more than once, its last value counts."""

    type: pa.MapType
    entries: Items
    width: None = None

    def read(self, cursor: Cursor, slots: Slots) -> pa.Array:
        """Read a map in each lane."""
        counts, entries = self.entries.read(cursor)
        lanes = np.repeat(np.arange(len(counts)), counts)
        kept = _last_of_each(lanes, entries.field(0))
        if len(kept) < len(lanes):
            counts, entries = np.bincount(lanes[kept], minlength=len(counts)), entries.take(pa.array(kept))
        return slots.array(self.type, _offsets(counts, slots), children=[entries])

    def skip(self, cursor: Cursor) -> None:
        """Go over a map in each lane."""
        self.entries.walk(cursor, scouting=False)


def _head(block: Cursor) -> tuple[Longs, Longs]:
    """Read the heads of blocks: by lane how many items, and where the block must end, -1 where it does not say."""
    at = block.pos
    count = block.long()
    limit = np.full(len(count), -1)
    sized = np.flatnonzero(count < 0)
    if len(sized):
        some = block.select(sized)
        size = some.long()
        some.refuse((size < 0) | (size > some.end - some.pos), at[sized], "a block of a size beyond the end")
        limit[sized] = some.pos + size
        block.merge(sized, some)
        count = np.abs(count)
        block.refuse(count < 0, at, _TOO_MANY)
    return count, limit


def _last_of_each(lanes: Longs, keys: pa.Array) -> Longs:
    """Numbers of the entries that are the last of their lane and key, ascending."""
    if not len(lanes):
        return lanes
    codes = keys.dictionary_encode().indices.to_numpy()
    pairs = lanes * (int(codes.max()) + 1) + codes
    _, back = np.unique(pairs[::-1], return_index=True)
    return np.sort(len(lanes) - 1 - back)


def _offsets(counts: Longs, slots: Slots) -> pa.Buffer:
    offsets = np.zeros(slots.length + 1, np.int32)
    np.cumsum(slots.spread(counts), out=offsets[1:])
    return pa.py_buffer(offsets)
