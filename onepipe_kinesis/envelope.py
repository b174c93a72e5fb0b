"""The envelope: what a record's data is, as Kinesis itself keeps a partition key and bytes alone.

One record holds a batch of messages of one partition. It is stored whole or not at all, so a retry never changes an
order. docs/reference/kinesis.md specifies the form, version 1:

    magic        4   C1 6F 70 6B: C1 is in no UTF-8 text
    version      1   01
    checksum     8   xxh3-64 of all that follows, big-endian
    writer      16   random bytes, new for each writer
    number       v   number of the batch among those of this writer and partition
    partition    v   the partition
    count        v   number of messages, at least 1
    messages         of each: flags (1: key, 2: value), timestamp, [key], [value], headers

`v` is an unsigned LEB128 integer. A timestamp is 8 bytes, big-endian, signed, milliseconds since 1970. Keys, values,
header names (UTF-8) and header values are bytes after their length `v`; headers are a count `v` and pairs.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple, TypeAlias

from xxhash import xxh3_64_digest

from onepipe.transport import Headers, Outgoing
from onepipe_kinesis.varint import Bytes, Malformed, sized, varint

MAGIC: Final = b"\xc1opk"
VERSION: Final = 1
WRITER_BYTES: Final = 16

_HEAD: Final = len(MAGIC) + 1 + 8
_KEY: Final = 1
_VALUE: Final = 2
_TIMESTAMP: Final = struct.Struct(">q")

OVERHEAD: Final = _HEAD + WRITER_BYTES + 3 * 10
"""Most bytes of a batch beside its messages."""

Content: TypeAlias = tuple[bytes | None, bytes | None, Headers, int]
"""A message's key, value, headers and timestamp."""


class Batch(NamedTuple):
    """The messages of one record.

    Attributes:
        writer: names who put it.
        number: grows by one from batch to batch of this writer and partition; a copy of a batch has its number.
        partition: the partition it was put to.
        messages: in their order.
    """

    writer: bytes
    number: int
    partition: int
    messages: tuple[Content, ...]


def encode_message(message: Outgoing) -> bytes:
    """A message, as it stands in a batch."""
    _, _, key, value, headers, timestamp = message
    flags = (key is not None) * _KEY | (value is not None) * _VALUE
    parts = [bytes((flags,)), _TIMESTAMP.pack(timestamp)]
    if key is not None:
        parts.append(sized(key))
    if value is not None:
        parts.append(sized(value))
    parts.append(varint(len(headers)))
    for name, content in headers:
        parts += (sized(name.encode()), sized(content))
    return b"".join(parts)


def seal(writer: bytes, number: int, partition: int, messages: Sequence[bytes]) -> bytes:
    """A record's data, of messages that `encode_message` encoded."""
    body = b"".join([writer, varint(number), varint(partition), varint(len(messages)), *messages])
    return b"".join([MAGIC, bytes((VERSION,)), xxh3_64_digest(body), body])


def read_batch(data: bytes) -> Batch | None:
    """The batch that a record's data holds; None where it is not an envelope of this form, whole and unaltered."""
    if not data.startswith(MAGIC) or len(data) < _HEAD or data[len(MAGIC)] != VERSION:
        return None
    if xxh3_64_digest(data[_HEAD:]) != data[_HEAD - 8 : _HEAD]:
        return None
    source = Bytes(data, _HEAD)
    try:
        batch = Batch(source.take(WRITER_BYTES), source.varint(), source.varint(), _messages(source))
    except Malformed:
        return None
    return batch if source.at == source.end and batch.messages else None


def _messages(source: Bytes) -> tuple[Content, ...]:
    count = source.varint()
    if count > source.end - source.at:  # each takes some bytes
        raise Malformed
    return tuple(_message(source) for _ in range(count))


def _message(source: Bytes) -> Content:
    flags = source.take(1)[0]
    if flags & ~(_KEY | _VALUE):
        raise Malformed
    (timestamp,) = _TIMESTAMP.unpack(source.take(_TIMESTAMP.size))
    key = source.sized() if flags & _KEY else None
    value = source.sized() if flags & _VALUE else None
    count = source.varint()
    if count > source.end - source.at:
        raise Malformed
    headers = tuple((source.text(), source.sized()) for _ in range(count))
    return key, value, headers, timestamp
