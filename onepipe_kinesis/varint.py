"""Unsigned integers in as many bytes as they need (LEB128, as in protobuf), and bytes after their length."""

from __future__ import annotations

from typing import Final

_BITS: Final = 64


class Malformed(Exception):
    """Bytes that are not what was looked for."""


def varint(number: int) -> bytes:
    """An integer of 0 to 2⁶⁴ - 1, seven bits a byte, the least significant first."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def sized(data: bytes) -> bytes:
    """Bytes after their length."""
    return varint(len(data)) + data


class Bytes:
    """Reads parts one after the other, and never beyond the end.

    Attributes:
        at: where the next part begins.
        end: where the last one ends.
    """

    __slots__ = ("_data", "at", "end")

    def __init__(self, data: bytes, at: int = 0) -> None:
        self._data = data
        self.at = at
        self.end = len(data)

    def varint(self) -> int:
        """The next integer.

        Raises:
            Malformed: the data ends in it, or it has more than 64 bits.
        """
        number = shift = 0
        while True:
            byte = self.take(1)[0]
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                if number >> _BITS:
                    raise Malformed
                return number
            shift += 7
            if shift >= _BITS:
                raise Malformed

    def take(self, size: int) -> bytes:
        """The next `size` bytes.

        Raises:
            Malformed: there are fewer.
        """
        start, self.at = self.at, self.at + size
        if self.at > self.end:
            raise Malformed
        return self._data[start : self.at]

    def sized(self) -> bytes:
        """The next bytes, after their length.

        Raises:
            Malformed: there are fewer.
        """
        return self.take(self.varint())

    def text(self) -> str:
        """The next bytes, after their length, as UTF-8.

        Raises:
            Malformed: they are not.
        """
        try:
            return self.sized().decode()
        except UnicodeDecodeError:
            raise Malformed from None
