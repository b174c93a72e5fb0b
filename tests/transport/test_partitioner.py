from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onepipe.partitioner import murmur2, partition_for

# Vectors of Kafka's own UtilsTest.testMurmur2.
VECTORS = [
    (b"21", -973932308),
    (b"foobar", -790332482),
    (b"a-little-bit-long-string", -985981536),
    (b"a-little-bit-longer-string", -1486304829),
    (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
    (b"abc", 479470107),
]


@pytest.mark.parametrize(("key", "expected"), VECTORS)
def test_murmur2_agrees_with_kafkas_own_vectors(key: bytes, expected: int) -> None:
    assert murmur2(key) == expected


def reference(data: bytes) -> int:
    """Kafka's Java code, line by line, with 32-bit wraparound."""
    mask = 0xFFFFFFFF
    m = 0x5BD1E995
    h = (0x9747B28C ^ len(data)) & mask
    for i in range(len(data) // 4):
        k = int.from_bytes(data[4 * i : 4 * i + 4], "little")
        k = (k * m) & mask
        k ^= k >> 24
        k = (k * m) & mask
        h = (h * m) & mask
        h ^= k
    left = data[len(data) & ~3 :]
    if len(left) == 3:
        h ^= left[2] << 16
    if len(left) >= 2:
        h ^= left[1] << 8
    if len(left) >= 1:
        h ^= left[0]
        h = (h * m) & mask
    h ^= h >> 13
    h = (h * m) & mask
    h ^= h >> 15
    return h - (1 << 32) if h >= 1 << 31 else h


@given(st.binary(max_size=400))
def test_murmur2_is_the_java_code_for_any_bytes(data: bytes) -> None:
    assert murmur2(data) == reference(data)


@given(st.binary(max_size=80), st.integers(1, 500))
def test_a_partition_is_the_positive_hash_modulo_the_number_of_partitions(key: bytes, partitions: int) -> None:
    assert partition_for(key, partitions) == (reference(key) & 0x7FFFFFFF) % partitions


def test_the_cache_of_partitions_is_bounded() -> None:
    for number in range(20_000):
        partition_for(str(number).encode(), 8)
    assert partition_for.cache_info().currsize <= 16_384
