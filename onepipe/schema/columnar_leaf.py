"""Arrow arrays of leaf values: from what a cursor read in each lane to one column.

What was read is *raw*: int64 for int, long and enum, floats, flags, or a span (where the bytes begin, and how many they
are). A builder makes an array of it, puts each lane's value into its slot, and refuses the bodies whose values the row
decoder would refuse too (`onepipe.schema.values`).
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import attrs
import numpy as np
import pyarrow as pa

from onepipe.errors import DecodeError
from onepipe.schema.values import decimal_from

if TYPE_CHECKING:
    from collections.abc import Callable

    from onepipe.schema.columnar_walk import Bodies, Cursor, Flags, Longs

_HEX: Final = np.frombuffer(b"0123456789abcdef", np.uint8)
_DASHES: Final = np.array([8, 13, 18, 23])
_DIGITS: Final = np.delete(np.arange(36), _DASHES)
_LOWER: Final = np.zeros(256, np.uint8)
for _digit in b"0123456789abcdefABCDEF":
    _LOWER[_digit] = ord(chr(_digit).lower())


class Slots:
    """Where the lanes of a cursor go in an array of `length` slots; slots without a lane are null.

    Args:
        length: length of the array.
        index: int64 by lane, ascending, the number of its slot; None where lane and slot number are the same.
    """

    def __init__(self, length: int, index: Longs | None = None) -> None:
        self.length = length
        self.index = index

    def narrow(self, lanes: Longs) -> Slots:
        """The slots of some of the lanes."""
        if self.index is None:
            return Slots(self.length, None if len(lanes) == self.length else lanes)
        return Slots(self.length, self.index[lanes])

    def spread(self, values: Any) -> Any:
        """Values by lane as values by slot, zero where there is no lane."""
        if self.index is None:
            return values
        spread = np.zeros((self.length, *values.shape[1:]), values.dtype)
        spread[self.index] = values
        return spread

    @cached_property
    def validity(self) -> pa.Buffer | None:
        """The array's validity bitmap; None where all slots have a lane."""
        if self.index is None:
            return None
        present = np.zeros(self.length, np.bool_)
        present[self.index] = True
        return _bits(present)

    def array(self, type_: pa.DataType, *buffers: pa.Buffer, children: list[pa.Array] | None = None) -> pa.Array:
        """The array of some buffers and children that hold a value by slot."""
        return pa.Array.from_buffers(type_, self.length, [self.validity, *buffers], children=children)


Builder: TypeAlias = "Callable[[Cursor, Longs, Any, Slots], pa.Array]"
"""Makes the array of a column: of the cursor (for refusing lanes), where each value began, what was read, the slots."""


@attrs.frozen
class Nulls:
    """Avro's null: a column without values."""

    type: pa.DataType

    def __call__(self, _cursor: Cursor, _at: Longs, _raw: None, slots: Slots) -> pa.Array:
        """The array."""
        return pa.nulls(slots.length, self.type)


def booleans(_cursor: Cursor, _at: Longs, raw: Flags, slots: Slots) -> pa.Array:
    """Booleans."""
    return slots.array(pa.bool_(), _bits(slots.spread(raw)))


@attrs.frozen
class Numbers:
    """Numbers of one width; `raw` is integers or floats that the type holds, perhaps rounded."""

    type: pa.DataType
    dtype: Any

    def __call__(self, _cursor: Cursor, _at: Longs, raw: Any, slots: Slots) -> pa.Array:
        """The array."""
        if self.dtype == np.float32 and raw.dtype == np.int64:
            raw = raw.astype(np.float64)  # what a Python float is, and so what the row decoder gives
        return slots.array(self.type, pa.py_buffer(slots.spread(raw.astype(self.dtype, copy=False))))


@attrs.frozen
class Moments:
    """Dates, times and timestamps: integers from `low` to `high`, times `factor`."""

    type: pa.DataType
    dtype: Any
    low: int
    high: int
    factor: int
    fault: str

    def __call__(self, cursor: Cursor, at: Longs, raw: Longs, slots: Slots) -> pa.Array:
        """The array; refuses what is out of range."""
        bad = (raw < self.low) | (raw > self.high)
        if cursor.refuse(bad, at, self.fault):
            raw = np.where(bad, 0, raw)
        values = (raw * self.factor if self.factor != 1 else raw).astype(self.dtype, copy=False)
        return slots.array(self.type, pa.py_buffer(slots.spread(values)))


def binaries(cursor: Cursor, _at: Longs, raw: tuple[Longs, Longs], slots: Slots) -> pa.Array:
    """Bytes and fixed: spans."""
    return _spans(cursor.bodies, raw, slots, pa.binary())


def texts(cursor: Cursor, at: Longs, raw: tuple[Longs, Longs], slots: Slots) -> pa.Array:
    """Strings: spans of UTF-8; refuses what is not."""
    array = _spans(cursor.bodies, raw, slots, pa.string())
    try:
        array.validate(full=True)
    except pa.ArrowInvalid:
        cursor.refuse(~_each(cursor.bodies, raw, _is_utf8), at, "text that is not UTF-8")
    return array


@attrs.frozen
class Symbols:
    """Enums: by the writer's number of a symbol, the reader's symbol, or None where the reader knows none."""

    symbols: tuple[str | None, ...]

    @cached_property
    def _array(self) -> pa.Array:
        return pa.array(self.symbols, pa.string())

    @cached_property
    def _unknown(self) -> Flags:
        return np.array([symbol is None for symbol in self.symbols])

    def __call__(self, cursor: Cursor, at: Longs, raw: Longs, slots: Slots) -> pa.Array:
        """The array; refuses symbols that the reader does not know."""
        cursor.refuse(self._unknown[raw], at, "a symbol that the reader's schema does not have")
        numbers = slots.array(pa.int64(), pa.py_buffer(slots.spread(raw)))
        return self._array.take(numbers)


@attrs.frozen
class Decimals:
    """Decimals of at most 38 digits: spans of big-endian two's complement."""

    precision: int
    scale: int

    @property
    def _limit(self) -> int:
        limit: int = 10**self.precision - 1
        return limit

    def __call__(self, cursor: Cursor, at: Longs, raw: tuple[Longs, Longs], slots: Slots) -> pa.Array:
        """The array; refuses decimals of no bytes, and of too many digits."""
        start, length = raw
        high, low = _int128(cursor.bodies, start, length)
        bad = self._beyond(high, low)
        long = np.flatnonzero(length > 16)
        bad[long] = ~_each(cursor.bodies, (start[long], length[long]), self._fits)
        cursor.refuse(length == 0, at, "a decimal of no bytes")
        cursor.refuse(bad, at, f"a decimal of more than {self.precision} digits")
        values = np.stack((low, high), axis=1)
        return slots.array(pa.decimal128(self.precision, self.scale), pa.py_buffer(slots.spread(values)))

    def _beyond(self, high: Longs, low: Longs) -> Flags:
        limit = self._limit
        top, bottom = limit >> 64, (-limit) >> 64
        unsigned = low.view(np.uint64)
        above = (high > top) | ((high == top) & (unsigned > np.uint64(limit & _MASK)))
        below = (high < bottom) | ((high == bottom) & (unsigned < np.uint64(-limit & _MASK)))
        beyond: Flags = above | below
        return beyond

    def _fits(self, data: bytes) -> bool:
        number = int.from_bytes(data, "big", signed=True)
        return -self._limit <= number <= self._limit


@attrs.frozen
class LongDecimals:
    """Decimals of more than 38 digits, as text with all digits behind the point."""

    precision: int
    scale: int

    def __call__(self, cursor: Cursor, at: Longs, raw: tuple[Longs, Longs], slots: Slots) -> pa.Array:
        """The array; refuses decimals of no bytes, and of too many digits."""
        found = [self._text(data) for data in _datas(cursor.bodies, raw)]
        bad = np.fromiter((text is None for text in found), np.bool_, len(found))
        cursor.refuse(bad, at, f"a decimal of no bytes, or of more than {self.precision} digits")
        texts = np.full(slots.length, None, object)
        texts[slice(None) if slots.index is None else slots.index] = found
        return pa.array(texts, pa.string())

    def _text(self, data: bytes) -> str | None:
        try:
            return format(decimal_from(data, self.precision, self.scale), "f")
        except DecodeError:
            return None


def uuid_texts(cursor: Cursor, at: Longs, raw: tuple[Longs, Longs], slots: Slots) -> pa.Array:
    """UUIDs written as text, in lower case; refuses text of another form."""
    start, length = raw
    bodies = cursor.bodies
    safe = np.where(length == 36, start, 0)
    letters = bodies.octets[safe[:, None] + np.arange(36)]
    lower = _LOWER[letters]
    lower[:, _DASHES] = ord("-")
    sound = (length == 36) & (letters[:, _DASHES] == ord("-")).all(axis=1) & (lower != 0).all(axis=1)
    cursor.refuse(~sound, at, "not a UUID of 8-4-4-4-12 hexadecimal digits")
    return _even_texts(lower, slots)


def uuid_bytes(cursor: Cursor, _at: Longs, raw: tuple[Longs, Longs], slots: Slots) -> pa.Array:
    """UUIDs of 16 bytes, as text."""
    octets = cursor.bodies.octets[raw[0][:, None] + np.arange(16)]
    letters = np.full((len(octets), 36), ord("-"), np.uint8)
    letters[:, _DIGITS[0::2]] = _HEX[octets >> 4]
    letters[:, _DIGITS[1::2]] = _HEX[octets & 15]
    return _even_texts(letters, slots)


@attrs.frozen
class Durations:
    """Durations of 12 bytes, as a struct of three counts."""

    type: pa.StructType

    def __call__(self, cursor: Cursor, _at: Longs, raw: tuple[Longs, Longs], slots: Slots) -> pa.Array:
        """The array."""
        counts = [cursor.bodies.quads[raw[0] + offset].astype(np.int64) for offset in (0, 4, 8)]
        members = [slots.array(pa.int64(), pa.py_buffer(slots.spread(count))) for count in counts]
        return slots.array(self.type, children=members)


_MASK: Final = (1 << 64) - 1


def _bits(flags: Flags) -> pa.Buffer:
    return pa.py_buffer(np.packbits(flags, bitorder="little"))


def _spans(bodies: Bodies, raw: tuple[Longs, Longs], slots: Slots, type_: pa.DataType) -> pa.Array:
    """The array of spans of the data, copied out of it by one `take` of every second slot."""
    start, length = slots.spread(raw[0]), slots.spread(raw[1])
    if not slots.length:
        return pa.array([], type_)
    if slots.index is not None or bodies.damage:  # take estimates sizes from ascending offsets
        start = np.maximum.accumulate(np.where(length == 0, 0, start))
    edges = np.empty(2 * slots.length, np.int32)
    edges[0::2] = start
    edges[1::2] = start + length
    pairs = pa.Array.from_buffers(pa.binary(), 2 * slots.length - 1, [None, pa.py_buffer(edges), bodies.buffer])
    taken = pairs.take(pa.array(np.arange(0, 2 * slots.length, 2, dtype=np.int32)))
    return slots.array(type_, *taken.buffers()[1:])


def _even_texts(letters: Any, slots: Slots) -> pa.Array:
    """The string array of an uint8 matrix of ASCII, a row for each lane."""
    lengths = slots.spread(np.full(len(letters), letters.shape[1], np.int32))
    offsets = np.zeros(slots.length + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    return slots.array(pa.string(), pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(letters)))


def _int128(bodies: Bodies, start: Longs, length: Longs) -> tuple[Longs, Longs]:
    """High and low half of the last 16 bytes of spans, with the sign of shorter ones extended."""
    stop = start + length
    low = bodies.words[stop - 8].byteswap().view(np.int64)
    high = bodies.words[stop - 16].byteswap().view(np.int64)
    short = np.clip(64 - 8 * length, 0, 63)
    low = (low << short) >> short
    short = np.clip(128 - 8 * length, 0, 63)
    high = np.where(length <= 8, low >> 63, (high << short) >> short)
    return high, low


def _datas(bodies: Bodies, raw: tuple[Longs, Longs]) -> list[bytes]:
    start, length = raw
    return [bodies.data[a : a + n] for a, n in zip(start.tolist(), length.tolist(), strict=True)]


def _each(bodies: Bodies, raw: tuple[Longs, Longs], test: Callable[[bytes], bool]) -> Flags:
    return np.fromiter(map(test, _datas(bodies, raw)), np.bool_, len(raw[0]))


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
