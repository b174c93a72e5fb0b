"""Finding where values end, one by one in plain Python: for the few arrays of a batch that are longer than all others.

Numpy goes over the items of many arrays side by side, which pays as long as there are many. A scan only finds where
each item begins; it judges nothing, for all items so found are then read at once, strictly.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from onepipe.errors import DecodeError
from onepipe.schema.model import Array, Fixed, Map, Node, Primitive, Record, Schema, Union

Scan: TypeAlias = Callable[[bytes, int, int], int]
"""Where a value ends: of the data, where it begins, and where its body ends. DecodeError where it goes beyond."""

_WIDTHS: Final = {"null": 0, "boolean": 1, "float": 4, "double": 8}


class Scans:
    """The scans of one schema; those of records are shared, and may call themselves.

    Args:
        schema: the writer's schema.
    """

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._records: dict[str, Scan] = {}

    def of(self, node: Node) -> Scan:
        """The scan of a type."""
        node = self._schema.resolve(node)
        match node:
            case Primitive(name=name):
                return _jump(_WIDTHS[name]) if name in _WIDTHS else _prefixed if name in ("bytes", "string") else _long
            case Fixed(size=size):
                return _jump(size)
            case Array(items=items):
                return _blocks(self.of(items))
            case Map(values=values):
                return _blocks(self.entry(values))
            case Union(branches=branches):
                return _chosen([self.of(branch) for branch in branches])
            case Record():
                return self.record(node)
            case _:
                return _long

    def entry(self, values: Node) -> Scan:
        """The scan of a map's key and value."""
        return _sequence([_prefixed, self.of(values)])

    def record(self, record: Record) -> Scan:
        """The scan of a record."""
        if record.name not in self._records:
            steps: list[Scan] = []
            self._records[record.name] = _sequence(steps)
            steps.extend(self.of(field.type) for field in record.fields)
        return self._records[record.name]


def _integer(data: bytes, pos: int, end: int) -> tuple[int, int]:
    """A varint, and where it ends."""
    value = shift = 0
    while pos < end and shift < 70:
        byte = data[pos]
        pos += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (value >> 1) ^ -(value & 1), pos
        shift += 7
    raise DecodeError("a varint without end")


def _long(data: bytes, pos: int, end: int) -> int:
    return _integer(data, pos, end)[1]


def _within(pos: int, size: int, end: int) -> int:
    if not 0 <= size <= end - pos:
        raise DecodeError("a size beyond the end")
    return pos + size


def _prefixed(data: bytes, pos: int, end: int) -> int:
    size, pos = _integer(data, pos, end)
    return _within(pos, size, end)


def _jump(size: int) -> Scan:
    return lambda _data, pos, end: _within(pos, size, end)


def _sequence(steps: list[Scan]) -> Scan:
    def scan(data: bytes, pos: int, end: int) -> int:
        for step in steps:
            pos = step(data, pos, end)
        return pos

    return scan


def _chosen(branches: list[Scan]) -> Scan:
    def scan(data: bytes, pos: int, end: int) -> int:
        number, pos = _integer(data, pos, end)
        if not 0 <= number < len(branches):
            raise DecodeError("a branch out of range")
        return branches[number](data, pos, end)

    return scan


def _blocks(item: Scan) -> Scan:
    def scan(data: bytes, pos: int, end: int) -> int:
        while True:
            count, pos = _integer(data, pos, end)
            if not count:
                return pos
            if count < 0:
                pos = _prefixed(data, pos, end)
                continue
            for _ in range(count):
                start, pos = pos, item(data, pos, end)
                if pos == start:
                    break  # items of no bytes, all of them

    return scan
