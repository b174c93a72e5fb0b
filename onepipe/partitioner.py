"""Choosing a partition by key, as Kafka's default partitioner does, so that other languages' producers agree.

Source: `org.apache.kafka.common.utils.Utils.murmur2` and `toPositive`, used by `BuiltInPartitioner.partitionForKey`.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Final

_SEED: Final = 0x9747B28C
_M: Final = 0x5BD1E995
_MASK: Final = 0xFFFFFFFF
_POSITIVE: Final = 0x7FFFFFFF
_CACHED_KEYS: Final = 16_384
_WORDS: Final = tuple(struct.Struct(f"<{count}I").unpack_from for count in range(65))


def murmur2(data: bytes) -> int:
    """The 32-bit MurmurHash2 of `data` as Kafka computes it, signed."""
    size = len(data)
    value = _SEED ^ size
    count = size >> 2
    words = _WORDS[count](data) if count < len(_WORDS) else struct.unpack_from(f"<{count}I", data)
    for word in words:
        # One mask for both products: the low 32 bits of an exclusive or need only the low 32 bits of its sides.
        word = word * _M & _MASK
        value = (value * _M ^ (word ^ word >> 24) * _M) & _MASK
    if rest := size & 3:
        value = (value ^ int.from_bytes(data[-rest:], "little")) * _M & _MASK
    value = (value ^ value >> 13) * _M & _MASK
    value ^= value >> 15
    return value - (1 << 32) if value >> 31 else value


@lru_cache(_CACHED_KEYS)
def partition_for(key: bytes, partitions: int) -> int:
    """The partition of a key among `partitions`.

    The partitions of the keys used last are remembered: a hash costs some microseconds, and identities come again.
    """
    return (murmur2(key) & _POSITIVE) % partitions
