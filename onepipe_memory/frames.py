"""How messages stand in a file: batches, each with its length, its checksum and its first offset.

A batch is a header of 36 bytes (big-endian: the letters "OPB1", length of the body, xxh3-64 of all that follows it,
first offset, number of messages, greatest timestamp), then a body with one entry a message: timestamp, length of the
key, length of the value (-1 for None), number of headers; key; value; for each header the lengths of its name and
value, name, value. Offsets within a batch are consecutive.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from xxhash import xxh3_64_intdigest

from onepipe.transport import Headers, Message, Outgoing

MAGIC: Final = b"OPB1"

_HEADER: Final = struct.Struct(">4sIQQIq")
_CHECKED_FROM: Final = 16
_ENTRY: Final = struct.Struct(">qiiI")
_HEADER_ENTRY: Final = struct.Struct(">II")
HEADER_BYTES: Final = _HEADER.size


class BatchHeader(NamedTuple):
    """A batch's header."""

    magic: bytes
    length: int
    checksum: int
    first: int
    messages: int
    last_timestamp: int

    @property
    def size(self) -> int:
        """Bytes of the whole batch."""
        return HEADER_BYTES + self.length


def encode_batch(first: int, messages: Sequence[Outgoing]) -> tuple[BatchHeader, bytes]:
    """Messages as one batch, the first at offset `first`: its header, and its bytes with the header."""
    parts: list[bytes] = []
    add = parts.append
    for _, _, key, value, headers, timestamp in messages:
        sizes = -1 if key is None else len(key), -1 if value is None else len(value)
        add(_ENTRY.pack(timestamp, *sizes, len(headers)))
        if key:
            add(key)
        if value:
            add(value)
        for name, data in headers:
            encoded = name.encode()
            add(_HEADER_ENTRY.pack(len(encoded), len(data)) + encoded + data)
    body = b"".join(parts)
    last_timestamp = max(message.timestamp for message in messages)
    unchecked = BatchHeader(MAGIC, len(body), 0, first, len(messages), last_timestamp)
    checksum = xxh3_64_intdigest(_HEADER.pack(*unchecked)[_CHECKED_FROM:] + body)
    header = unchecked._replace(checksum=checksum)
    return header, _HEADER.pack(*header) + body


def read_header(data: bytes, at: int = 0) -> BatchHeader | None:
    """The header at a place in `data`; None where there is none, or it is cut off."""
    if len(data) - at < HEADER_BYTES:
        return None
    header = BatchHeader(*_HEADER.unpack_from(data, at))
    return header if header.magic == MAGIC else None


def is_whole(header: BatchHeader, batch: bytes) -> bool:
    """Whether a batch, header included, has the bytes that were written."""
    return len(batch) == header.size and xxh3_64_intdigest(batch[_CHECKED_FROM:]) == header.checksum


def decode_batch(topic: str, partition: int, header: BatchHeader, batch: bytes) -> list[Message]:
    """The messages of a whole batch."""
    messages: list[Message] = []
    at = HEADER_BYTES
    unpack = _ENTRY.unpack_from
    for offset in range(header.first, header.first + header.messages):
        timestamp, key_size, value_size, header_count = unpack(batch, at)
        at += _ENTRY.size
        key = value = None
        if key_size >= 0:
            key = batch[at : at + key_size]
            at += key_size
        if value_size >= 0:
            value = batch[at : at + value_size]
            at += value_size
        headers: Headers = ()
        if header_count:
            headers, at = _decode_headers(batch, at, header_count)
        messages.append(Message(topic, partition, offset, timestamp, key, value, headers))
    return messages


def _decode_headers(batch: bytes, at: int, count: int) -> tuple[Headers, int]:
    headers = []
    for _ in range(count):
        name_size, value_size = _HEADER_ENTRY.unpack_from(batch, at)
        at += _HEADER_ENTRY.size
        middle = at + name_size
        end = middle + value_size
        headers.append((batch[at:middle].decode(), batch[middle:end]))
        at = end
    return tuple(headers), at
