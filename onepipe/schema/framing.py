"""Framing: how a message says which schema its body was written with.

- Confluent prefix: `00`, schema id as 4 bytes big-endian, body.
- Confluent header `__value_schema_id` (or `__key_schema_id`): `01` and 16 bytes of the schema's GUID, or `00` and the
  schema id; the body stands alone. A reader looks at the header first.
- Avro single-object encoding: `C3 01`, CRC-64-AVRO of the writer's canonical form as 8 bytes little-endian, body.

Source: Apache Avro 1.12 specification, section "Single-object encoding"; Confluent's "Wire Format" page.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Final, NamedTuple
from uuid import UUID

from onepipe.errors import CodecError, DecodeError

VALUE_HEADER: Final = "__value_schema_id"
KEY_HEADER: Final = "__key_schema_id"
GUID_PREFIX: Final = "guid:"
FINGERPRINT_PREFIX: Final = "crc-64:"

_ID_MAGIC: Final = 0
_GUID_MAGIC: Final = 1
_ID_SIZE: Final = 5
_GUID_SIZE: Final = 17
_SINGLE_OBJECT: Final = b"\xc3\x01"
_SINGLE_OBJECT_SIZE: Final = 10
_MAX_ID: Final = (1 << 31) - 1


class FrameKind(enum.Enum):
    """Where a message says its schema."""

    PREFIX = "prefix"
    HEADER = "header"
    SINGLE_OBJECT = "single object"


class Frame(NamedTuple):
    """What a message says of its schema; one of id, GUID and fingerprint is known.

    Attributes:
        kind: where it is said.
        schema_id: the registry's id of the schema, or None.
        guid: the registry's GUID of the schema, or None.
        fingerprint: CRC-64-AVRO of the schema, unsigned, or None.
        start: index of the body's first byte in the value.
    """

    kind: FrameKind
    schema_id: int | None
    guid: UUID | None
    fingerprint: int | None
    start: int

    @property
    def named(self) -> int | str:
        """What names the schema: its id; else `guid:` and the GUID, or `crc-64:` and 16 hexadecimal digits."""
        if self.schema_id is not None:
            return self.schema_id
        return f"{GUID_PREFIX}{self.guid}" if self.guid else f"{FINGERPRINT_PREFIX}{self.fingerprint or 0:016x}"


def frame(schema_id: int) -> bytes:
    """The Confluent prefix of a schema id.

    Raises:
        CodecError: not from 0 to 2**31 - 1.
    """
    if not 0 <= schema_id <= _MAX_ID:
        raise CodecError(f"schema id {schema_id} is not from 0 to {_MAX_ID}")
    return schema_id.to_bytes(_ID_SIZE, "big")


def read_frame(value: bytes, headers: Iterable[tuple[str, bytes]] = (), *, header: str = VALUE_HEADER) -> Frame:
    """Read what a message says of its schema.

    Args:
        value: the message's value, or its key.
        headers: the message's headers; of several of one name the last counts.
        header: the name of the header looked for.

    Raises:
        DecodeError: no known framing.
    """
    found = None
    for name, content in headers:
        if name == header:
            found = content
    if found is not None:
        return _read_header(header, found)
    if value[:1] == b"\0" and len(value) >= _ID_SIZE:
        return Frame(FrameKind.PREFIX, _schema_id(value), None, None, _ID_SIZE)
    if value[:2] == _SINGLE_OBJECT and len(value) >= _SINGLE_OBJECT_SIZE:
        fingerprint = int.from_bytes(value[2:_SINGLE_OBJECT_SIZE], "little")
        return Frame(FrameKind.SINGLE_OBJECT, None, None, fingerprint, _SINGLE_OBJECT_SIZE)
    raise DecodeError(
        f"{len(value)} bytes without schema id: neither a {header!r} header, nor a prefix of 00 and 4 bytes, "
        "nor C3 01 and 8 bytes",
        remedy="another serializer may have written it; attach the topic with the encoding it has",
    )


def _read_header(name: str, content: bytes | None) -> Frame:
    if content and content[0] == _GUID_MAGIC and len(content) == _GUID_SIZE:
        return Frame(FrameKind.HEADER, None, UUID(bytes=content[1:]), None, 0)
    if content and content[0] == _ID_MAGIC and len(content) == _ID_SIZE:
        return Frame(FrameKind.HEADER, _schema_id(content), None, None, 0)
    raise DecodeError(
        f"the header {name!r} is neither 01 and a GUID of 16 bytes, nor 00 and a schema id of 4 bytes",
        remedy="a newer serializer may have written it; upgrade",
    )


def _schema_id(value: bytes) -> int:
    schema_id = int.from_bytes(value[1:_ID_SIZE], "big", signed=True)
    if schema_id < 0:
        raise DecodeError("a negative schema id", remedy="another serializer may have written it")
    return schema_id
