"""Avro's variable-length integers: zigzag, seven bits a byte, least significant first.

The tables hold the encodings of two bytes' worth of bits (14), so that an integer is encoded by a lookup each 14 bits.

Source: Apache Avro 1.12 specification, section "Binary Encoding".
"""

from __future__ import annotations

from typing import Final

from onepipe.errors import DecodeError

_LOW: Final = (1 << 14) - 1


LAST: Final = [bytes((n,)) for n in range(1 << 7)] + [bytes((n & 127 | 128, n >> 7)) for n in range(1 << 7, 1 << 14)]
"""By 14 bits, the bytes that end an encoding: one or two."""

MORE: Final = [bytes((number & 127 | 128, number >> 7 | 128)) for number in range(1 << 14)]
"""By 14 bits, the two bytes of an encoding that goes on."""

SMALL: Final = LAST[0::2] + LAST[1::2][::-1]
"""By an integer from -8192 to 8191, its encoding: the negative ones are found from the end."""

LENGTHS: Final = LAST[0::2]
"""By a count or length below 8192, its encoding."""


def encode_long(number: int) -> bytes:
    """The encoding of a 64-bit integer.

    Raises:
        OverflowError: beyond 64 bits.
    """
    zigzag = number << 1 ^ number >> 63
    if zigzag < 1 << 14:
        return LAST[zigzag]
    if zigzag < 1 << 28:
        return MORE[zigzag & _LOW] + LAST[zigzag >> 14]
    if zigzag < 1 << 42:
        return MORE[zigzag & _LOW] + MORE[zigzag >> 14 & _LOW] + LAST[zigzag >> 28]
    middle = MORE[zigzag & _LOW] + MORE[zigzag >> 14 & _LOW] + MORE[zigzag >> 28 & _LOW]
    if zigzag < 1 << 56:
        return middle + LAST[zigzag >> 42]
    if zigzag < 1 << 64:
        return middle + MORE[zigzag >> 42 & _LOW] + LAST[zigzag >> 56]
    raise OverflowError("beyond 64 bits")


def decode_unsigned(data: bytes, position: int) -> tuple[int, int]:
    """The zigzag form of the integer at a position, below 2**64, and the position after it.

    Raises:
        DecodeError: not the shortest encoding, or beyond 64 bits.
        IndexError: the data ends within it.
    """
    byte = data[position]
    if byte < 128:
        return byte, position + 1
    number, shift = byte & 127, 7
    while shift < 63:
        position += 1
        byte = data[position]
        if byte < 128:
            if not byte:
                raise DecodeError("an integer that is not encoded in the fewest bytes")
            return number | byte << shift, position + 1
        number |= (byte & 127) << shift
        shift += 7
    byte = data[position + 1]
    if byte != 1:
        raise DecodeError("an integer beyond 64 bits" if byte else "an integer that is not encoded in the fewest bytes")
    return number | 1 << 63, position + 2


def decode_count(data: bytes, position: int) -> tuple[int, int]:
    """The length, branch or index at a position, and the position after it.

    Raises:
        DecodeError: negative, not the shortest encoding, or beyond 64 bits.
        IndexError: the data ends within it.
    """
    number, position = decode_unsigned(data, position)
    if number & 1:
        raise DecodeError("a negative length or index")
    return number >> 1, position


def decode_block(data: bytes, position: int) -> tuple[int, int, int]:
    """The number of items in the block of an array or map at a position, where they begin, and where they must end.

    The end is -1 where the block does not say its size.

    Raises:
        DecodeError: not the shortest encoding, beyond 64 bits, or a negative size.
        IndexError: the data ends within it.
    """
    number, position = decode_unsigned(data, position)
    if not number & 1:
        return number >> 1, position, -1
    size, position = decode_count(data, position)
    return (number >> 1) + 1, position, position + size
