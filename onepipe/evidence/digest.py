"""Digests of records: 128 bits as two signed 64-bit lanes, summed lane by lane modulo 2**64.

Sums do not depend on order, and two equal records do not cancel as they would under XOR. The digest guards against
faults, not against an adversary: it is xxh3-128 of the body, seeded with the schema's fingerprint.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from struct import unpack
from typing import Final, NamedTuple

from xxhash import xxh3_128_digest

_LANES: Final = struct.Struct(">qq")
_MASK: Final = (1 << 64) - 1

UNDECODABLE_SEED: Final = 0
"""Seed for a value whose schema is not known; the digest is then over the whole value, frame included."""

DELETE_SEED: Final = 0x6F6E65706970655F
"""Seed for a delete; the digest is over its key, a zero byte, and its delete header."""


class Digest(NamedTuple):
    """A digest, or a sum of digests: two signed 64-bit lanes."""

    hi: int
    lo: int


def digest(seed: int, body: bytes) -> Digest:
    """The digest of a record: its Avro body without frame, seeded with the fingerprint of the writer's schema.

    Args:
        seed: CRC-64-AVRO of the schema, unsigned.
        body: the encoded record.
    """
    return Digest(*_LANES.unpack(xxh3_128_digest(body, seed)))


def lanes(digests: bytes) -> Iterator[tuple[int, int]]:
    """The lanes of digests, each of 16 bytes, that stand one after another."""
    return _LANES.iter_unpack(digests)


def sum_of(digests: bytes) -> tuple[int, int]:
    """The sums of the lanes of digests, each of 16 bytes, that stand one after another; not reduced modulo 2**64."""
    both = unpack(f">{len(digests) >> 3}q", digests)
    return sum(both[::2]), sum(both[1::2])


def digest_check(seed: int, body: bytes) -> bytes:
    """The first lane of a record's digest, as the audit header has it: 8 bytes, big-endian."""
    return xxh3_128_digest(body, seed)[:8]


def deletion_body(key: bytes, header: bytes) -> bytes:
    """What a delete's digest is over, as it has no body."""
    return key + b"\0" + header


def signed(value: int) -> int:
    """An integer modulo 2**64, as two's complement."""
    value &= _MASK
    return value - (1 << 64) if value >> 63 else value


def add(left: Digest, right: Digest) -> Digest:
    """The sum of two sums."""
    return Digest(signed(left[0] + right[0]), signed(left[1] + right[1]))


def total(digests: Iterable[Digest]) -> Digest:
    """The sum of digests or sums."""
    hi = lo = 0
    for digest_ in digests:
        hi += digest_[0]
        lo += digest_[1]
    return Digest(signed(hi), signed(lo))
