"""Walking many Avro bodies at once: one cursor that stands in each of several bodies and reads the same type in all.

Every read is strict, for each body on its own: varints are legal and as short as they can be, lengths lie within the
body, nothing is read behind its end. A body that breaks a rule is *refused*: its first fault is noted, and its lane is
parked on zero bytes behind the data, which read as 0, false, no length, no items. So a refused body disturbs no other,
costs no more than a sound one, and nobody downstream has to look for it; what its lanes yield is thrown away.

Source: Apache Avro 1.12 specification, section "Binary Encoding".
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

Longs: TypeAlias = "NDArray[np.int64]"
Words: TypeAlias = "NDArray[np.uint64]"
Flags: TypeAlias = "NDArray[np.bool_]"

MARGIN: Final = 32
"""Zero bytes around all places where a lane can stand: more than any one gather reads beside a position."""

MAX_JOINED_BYTES: Final = (1 << 31) - 1 - 3 * MARGIN
"""Bytes of bodies that can be walked at once: Arrow's offsets have 32 bits."""

_TRUNCATED: Final = "the bytes end within a value"
_ILLEGAL: Final = "a varint that is longer than needed, or beyond 64 bits"
_HIGH_BITS: Final = np.uint64(0x8080808080808080)
_LOW_BITS: Final = np.uint64(0x7F7F7F7F7F7F7F7F)
_SMALL: Final = np.array([(byte >> 1) ^ -(byte & 1) for byte in range(128)], np.int64)
_INT32: Final = 1 << 31


class Damage(NamedTuple):
    """Why a body is refused.

    Attributes:
        position: the byte within the body where the value begins that cannot be.
        field: dotted path of the field, "" for the whole.
        message: what is wrong.
    """

    position: int
    field: str
    message: str


class Bodies:
    """The bodies of one batch, joined, and what was found wrong with each.

    Args:
        values: the bodies, each behind `skip` bytes of frame; together at most `MAX_JOINED_BYTES`.
        lengths: the length of each value in bytes.
        skip: bytes at the head of each value that are no part of its body.

    Attributes:
        data: all values, after one margin of zero bytes and before two.
        buffer: `data` for Arrow.
        octets: `data` as uint8.
        quads: the little-endian uint32 at each byte of `data`.
        words: the little-endian uint64 at each byte of `data`.
        park: where refused lanes stand, and no others: one margin behind the bodies.
        starts: int64, position in `data` of each body.
        damage: by number of the body, its first fault.
        depth: how many records what is read now is inside of.
        scouting: above zero while what is read now will be read once more.
    """

    def __init__(self, values: Sequence[bytes], lengths: Longs, skip: int = 0) -> None:
        margin = bytes(MARGIN)
        self.data = b"".join((margin, *values, margin, margin))
        if len(self.data) > MAX_JOINED_BYTES + 3 * MARGIN:
            raise ValueError(f"{len(self.data)} bytes of bodies; at most {MAX_JOINED_BYTES} can be walked at once")
        self.buffer = pa.py_buffer(self.data)
        self.octets = np.frombuffer(self.data, np.uint8)
        self.quads = np.ndarray((len(self.data) - 3,), "<u4", self.data, 0, (1,))
        self.words = np.ndarray((len(self.data) - 7,), "<u8", self.data, 0, (1,))
        self.park = len(self.data) - MARGIN
        self._ends = np.cumsum(lengths) + MARGIN
        self.starts = self._ends - lengths + skip
        self.damage: dict[int, Damage] = {}
        self._path: list[str] = []
        self.depth = 0
        self.scouting = 0
        self._weightless = np.zeros(len(values), np.int64)

    def cursor(self) -> Cursor:
        """A cursor at the start of every body."""
        cursor = Cursor(self, np.arange(len(self.starts)), self.starts, self._ends)
        cursor.refuse(self.starts > self._ends, self._ends, "shorter than its frame")
        return cursor

    @contextmanager
    def within(self, step: str, *, scouting: bool = False) -> Iterator[None]:
        """Note that what is read now is one step further down the path, and whether it will be read once more.

        Args:
            step: ".name" of a field, "[]" of items, "{}" of a map's entries.
            scouting: whether it will be read once more.
        """
        self._path.append(step)
        self.scouting += scouting
        yield
        self.scouting -= scouting
        self._path.pop()

    def weightless(self, rows: Longs, count: Longs) -> Longs:
        """Count items that take no bytes: by lane, how many its body has had so far, these included."""
        if not self.scouting:
            np.add.at(self._weightless, rows, count)
        total: Longs = self._weightless[rows]
        return total

    def note(self, rows: Longs, positions: Longs, message: str) -> None:
        """Note a fault of some bodies, at positions in `data`; the first one of a body stays."""
        path = "".join(self._path).removeprefix(".")
        for row, position in zip(rows.tolist(), positions.tolist(), strict=True):
            if row not in self.damage:
                self.damage[row] = Damage(position - int(self.starts[row]), path, message)


class Cursor:
    """A position in each of several bodies. A body may have several lanes (one for each item of an array).

    All arrays are int64 of one length. They are replaced, never written into, so what a read returned stays as it is.

    Attributes:
        bodies: the batch.
        rows: by lane, the number of the body.
        pos: by lane, the position in the batch's data.
        end: by lane, where the body ends, or must end.
    """

    __slots__ = ("bodies", "end", "pos", "rows")

    def __init__(self, bodies: Bodies, rows: Longs, pos: Longs, end: Longs) -> None:
        self.bodies = bodies
        self.rows = rows
        self.pos = pos
        self.end = end

    def __len__(self) -> int:
        return len(self.pos)

    @property
    def refused(self) -> Flags:
        """The lanes that are parked."""
        refused: Flags = self.pos == self.bodies.park
        return refused

    def select(self, lanes: Longs) -> Cursor:
        """A cursor of some of the lanes; put its positions back with `merge`."""
        return Cursor(self.bodies, self.rows[lanes], self.pos[lanes], self.end[lanes])

    def merge(self, lanes: Longs, other: Cursor) -> None:
        """Go on where a cursor of some of the lanes has come to."""
        self.pos = self.pos.copy()
        self.pos[lanes] = other.pos

    def refuse(self, bad: Flags, at: Longs, message: str) -> bool:
        """Refuse the bodies of some lanes, for a value that begins at `at`; whether there are any."""
        if not bad.any():
            return False
        fresh = bad & (at < self.bodies.park)
        self.bodies.note(self.rows[fresh], at[fresh], message)
        self.pos = np.where(bad, self.bodies.park, self.pos)
        return True

    def long(self) -> Longs:
        """Read an integer of up to 64 bits, zero in refused lanes."""
        at = self.pos
        first = self.bodies.octets[at]
        wide = np.flatnonzero(first & 0x80)
        if not len(wide):
            value = _SMALL[first]
            self.pos = at + 1
        elif len(wide) * 2 > len(at):
            value = self._wide(at)
        else:
            value = _SMALL[first & 0x7F]
            value[wide] = self._some_wide(at, wide)
        over = self.pos > self.end
        if self.refuse(over, at, _TRUNCATED):
            value = np.where(over, 0, value)
        return value

    def _wide(self, at: Longs) -> Longs:
        raw, size, illegal = _varint(self.bodies, at)
        self.pos = at + size
        if self.refuse(self.pos > self.end, at, _TRUNCATED) | self.refuse(illegal, at, _ILLEGAL):
            raw[self.refused] = 0
        value: Longs = (raw >> np.uint64(1)).view(np.int64) ^ -(raw & np.uint64(1)).view(np.int64)
        return value

    def _some_wide(self, at: Longs, wide: Longs) -> Longs:
        some = self.select(wide)
        value = some._wide(some.pos)  # noqa: SLF001  # the same class
        self.pos = at + 1
        self.merge(wide, some)
        return value

    def int32(self) -> Longs:
        """Read an integer of up to 32 bits, zero in refused lanes."""
        at = self.pos
        value = self.long()
        beyond = (value < -_INT32) | (value >= _INT32)
        return np.where(beyond, 0, value) if self.refuse(beyond, at, "an int beyond 32 bits") else value

    def index(self, count: int, what: str) -> Longs:
        """Read a number from 0 to below `count`, zero in refused lanes."""
        at = self.pos
        value = self.int32()
        bad = (value < 0) | (value >= count)
        return np.where(bad, 0, value) if self.refuse(bad, at, f"{what} out of range") else value

    def boolean(self) -> Flags:
        """Read a boolean, False in refused lanes."""
        at = self.fixed(1)
        octet = self.bodies.octets[at]
        self.refuse(octet > 1, at, "a boolean that is neither 0 nor 1")
        true: Flags = octet == 1
        return true

    def fixed(self, size: int) -> Longs:
        """Go over `size` bytes; where they begin. What refused lanes get begins where `MARGIN` bytes can be read."""
        bad = self.pos > self.end - size
        if self.refuse(bad, self.pos, _TRUNCATED):
            at = self.pos
            self.pos = np.where(bad, at, at + size)
            return at
        at = self.pos
        self.pos = at + size
        return at

    def prefixed(self) -> tuple[Longs, Longs]:
        """Go over a length and so many bytes; where they begin, and how many they are."""
        at = self.pos
        length = self.long()
        return self.span(length, at)

    def span(self, length: Longs, at: Longs) -> tuple[Longs, Longs]:
        """Go over `length` bytes of a value that begins at `at`; where they begin, and how many: 0 in refused lanes."""
        bad = (length < 0) | (length > self.end - self.pos)
        if self.refuse(bad, at, "a length that is negative, or beyond the end"):
            length = np.where(bad, 0, length)
        start = self.pos
        self.pos = start + length
        return start, length


def _varint(bodies: Bodies, at: Longs) -> tuple[Words, Longs, Flags]:
    """The varints at some positions, not yet zig-zag decoded; how many bytes each has; and whether it is illegal."""
    word = bodies.words[at]
    stop = ~word & _HIGH_BITS
    used = stop ^ (stop - np.uint64(1))  # all bits up to the first clear high bit; all 64 where there is none
    size = (np.bitwise_count(used) >> 3).astype(np.int64)
    raw = word & used & _LOW_BITS
    for shift, low in ((1, 0x007F007F007F007F), (2, 0x00003FFF00003FFF), (4, 0x000000000FFFFFFF)):
        lower = np.uint64(low)  # joins pairs of groups of 7, 14 and 28 bits
        raw = (raw & lower) | ((raw & ~lower) >> np.uint64(shift))
    last = raw >> (7 * (size - 1)).astype(np.uint64)
    long = np.flatnonzero(stop == 0)
    if len(long):
        raw[long], size[long], last[long] = _ninth_and_tenth(bodies, at[long], raw[long])
    illegal: Flags = (last == 0) & (size > 1)
    return raw, size, illegal


def _ninth_and_tenth(bodies: Bodies, at: Longs, raw: Words) -> tuple[Words, Longs, Words]:
    """The same of varints of more than eight bytes, `raw` with the bits of eight; and the last byte, 0 if illegal."""
    ninth: Words = bodies.octets[at + 8].astype(np.uint64)
    tenth: Words = bodies.octets[at + 9].astype(np.uint64)
    ten = ninth > 0x7F
    top: Words = np.where(ten, tenth, 0) << np.uint64(63)
    value: Words = raw | ((ninth & np.uint64(0x7F)) << np.uint64(56)) | top
    return value, np.where(ten, 10, 9), np.where(ten, tenth == 1, ninth).astype(np.uint64)
