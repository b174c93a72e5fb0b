"""The headers by which a message says who wrote it, as which of their records, and what a delete deletes.

`onepipe` (33 bytes): format version 1, 16 bytes of writer epoch, 8 bytes big-endian sequence, 8 bytes big-endian check
(the first lane of the record's digest, so that a message altered on its way is known by itself).

`onepipe-delete` (JSON): `{"version": [...], "event_time": …, "schema": id}`, the values in Avro's base form, as an
Avro JSON encoding has them; a null body alone has no version, and merging it would depend on order.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

from onepipe.errors import DecodeError

AUDIT_HEADER: Final = "onepipe"
DELETE_HEADER: Final = "onepipe-delete"
HEADER_VERSION: Final = 1

_HEADER: Final = struct.Struct(">B16sQq")
_PARTS: Final = struct.Struct(">17sQ8s")  # the same, of bytes; of a digest it takes the first lane


class AuditHeader(NamedTuple):
    """Who wrote a message, as which of their records.

    Attributes:
        epoch: 16 random bytes, new for each writer and after each fork.
        sequence: number of the record among those of this epoch, topic and partition, from 0.
        check: first lane of the record's digest, signed.
    """

    epoch: bytes
    sequence: int
    check: int


def packer(epoch: bytes) -> Callable[[int, bytes], bytes]:
    """A function from a record's sequence and digest, 16 bytes, to the value of its `onepipe` header."""
    return partial(_PARTS.pack, bytes([HEADER_VERSION]) + epoch)


def unpack(value: bytes) -> AuditHeader:
    """Read the value of the `onepipe` header.

    Raises:
        DecodeError: another length or version.
    """
    if len(value) != _HEADER.size or value[0] != HEADER_VERSION:
        raise DecodeError(
            f"the {AUDIT_HEADER!r} header has {len(value)} bytes and version {value[:1].hex() or 'none'}",
            remedy="a newer release of onepipe may have written it; upgrade",
        )
    _, epoch, sequence, check = _HEADER.unpack(value)
    return AuditHeader(epoch, sequence, check)


def sound_check(value: bytes) -> bytes | None:
    """The check in the value of an `onepipe` header, as its 8 bytes; None where the header has another form."""
    return value[-8:] if len(value) == _HEADER.size and value[0] == HEADER_VERSION else None
