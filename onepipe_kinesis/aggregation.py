"""Records that the Kinesis Producer Library aggregated: several of its user records in one record of the stream.

Source: github.com/awslabs/amazon-kinesis-producer, aggregation-format.md. After the magic F3 89 9A C2 comes a protobuf
message, after that its MD5:

    AggregatedRecord { repeated string partition_key_table = 1; repeated string explicit_hash_key_table = 2;
                       repeated Record records = 3; }
    Record { required uint64 partition_key_index = 1; optional uint64 explicit_hash_key_index = 2;
             required bytes data = 3; repeated Tag tags = 4; }
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Final, NamedTuple

from onepipe_kinesis.varint import Bytes, Malformed

MAGIC: Final = b"\xf3\x89\x9a\xc2"

_DIGEST_BYTES: Final = 16
_VARINT, _FIXED64, _SIZED, _FIXED32 = 0, 1, 2, 5
"""Wire types of protobuf."""


class UserRecord(NamedTuple):
    """One of the records that were aggregated."""

    partition_key: str
    data: bytes


def disaggregate(data: bytes) -> list[UserRecord] | None:
    """The user records of an aggregated record, in order.

    None where it is not one: without the magic, with another MD5, not protobuf of this message, with a required field
    missing or an index beyond its table. Such a record is one user record, as it is.
    """
    if not data.startswith(MAGIC) or len(data) < len(MAGIC) + _DIGEST_BYTES:
        return None
    body, digest = data[len(MAGIC) : -_DIGEST_BYTES], data[-_DIGEST_BYTES:]
    if hashlib.md5(body, usedforsecurity=False).digest() != digest:
        return None
    try:
        return _aggregated(body)
    except Malformed:
        return None


def _aggregated(body: bytes) -> list[UserRecord]:
    keys: list[str] = []
    hashes = 0
    records: list[bytes] = []
    for field, value in _fields(body):
        if field == 1:
            keys.append(_text(value))
        elif field == 2:
            _text(value)
            hashes += 1
        elif field == 3:
            records.append(_bytes(value))
    return [_user_record(record, keys, hashes) for record in records]


def _user_record(body: bytes, keys: list[str], hashes: int) -> UserRecord:
    key: int | None = None
    data: bytes | None = None
    for field, value in _fields(body):
        if field == 1:
            key = _index(value, len(keys))
        elif field == 2:
            _index(value, hashes)
        elif field == 3:
            data = _bytes(value)
        elif field == 4:
            _bytes(value)
    if key is None or data is None:
        raise Malformed
    return UserRecord(keys[key], data)


def _fields(body: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Fields of a protobuf message; integers, and bytes of everything else."""
    source = Bytes(body)
    while source.at < source.end:
        tag = source.varint()
        field, wire = tag >> 3, tag & 7
        if field == 0:
            raise Malformed
        if wire == _VARINT:
            yield field, source.varint()
        elif wire == _SIZED:
            yield field, source.sized()
        elif wire in (_FIXED64, _FIXED32):
            source.take(8 if wire == _FIXED64 else 4)
            if field <= 3:
                raise Malformed
        else:
            raise Malformed


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise Malformed
    return value


def _text(value: int | bytes) -> str:
    try:
        return _bytes(value).decode()
    except UnicodeDecodeError:
        raise Malformed from None


def _index(value: int | bytes, size: int) -> int:
    if not isinstance(value, int) or value >= size:
        raise Malformed
    return value
