"""The lake's own columns, beside a topic's fields, and the Arrow schemas of its tables.

All columns are nullable. A raw row with `_op_error` is quarantined: kept, counted, never merged.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from typing import Final

import pyarrow as pa

from onepipe.declaring.topic import Topic
from onepipe.schema.arrow import arrow_schema

LOG: Final = "_op_log"
"""Identity of the log the row came from."""
PARTITION: Final = "_op_partition"
"""Number of the partition."""
OFFSET: Final = "_op_offset"
"""Offset in the partition."""
TIMESTAMP: Final = "_op_timestamp"
"""When the log says the message was written; null outside the years 1 to 9999."""
KEY: Final = "_op_key"
"""Bytes of the message key."""
HEADERS: Final = "_op_headers"
"""The message's headers in order; see `onepipe.lake.raw_headers.message_headers` for the audit header."""
SCHEMA: Final = "_op_schema"
"""Schema id that the value names, or a delete's header; null where there is none."""
BODY: Final = "_op_body"
"""The message's value as it came, frame included; null for a delete."""
EPOCH: Final = "_op_epoch"
"""Writer epoch of the audit header, 16 bytes; null without audit header."""
SEQUENCE: Final = "_op_sequence"
"""Sequence of the audit header."""
EXPECTED: Final = "_op_expected"
"""The audit header's check where it differs from the first lane of the digest, else null."""
DIGEST_HI: Final = "_op_digest_hi"
"""First lane of the record's digest (clean: of the arrival that won).

It is `evidence.digest.digest` over the body, seeded with its schema's fingerprint; over the whole value with
UNDECODABLE_SEED where the schema is not known; and over the delete's `deletion_body` with DELETE_SEED where there is no
value, with an empty header for a tombstone that has none.
"""
DIGEST_LO: Final = "_op_digest_lo"
"""Second lane of the record's digest."""
IDENTITY: Final = "_op_identity"
"""64-bit hash of the identity key; null where it is not known."""
DELETED: Final = "_op_deleted"
"""Whether the row is a delete (clean: hidden from reads)."""
ERROR: Final = "_op_error"
"""Why the row is quarantined, `<reason>: <detail>` with a `Quarantine` reason; null where it is good."""
ARRIVALS: Final = "_op_arrivals"
"""How many raw rows a clean row stands for."""
SUM_HI: Final = "_op_sum_hi"
"""First lane of the sum of their digests."""
SUM_LO: Final = "_op_sum_lo"
"""Second lane of the sum of their digests."""
STATE_PREFIX: Final = "_op_state_"
"""Prefix of the hidden columns in which a field's own merge policy keeps its state."""

FOOTER_KEY: Final = b"onepipe"
"""Key of the metadata in a data file's Parquet footer."""
FOOTER_FORMAT: Final = 1
"""Version of that metadata's form."""
NO_BUCKET: Final = -1
"""Bucket, in a raw footer's sums, of rows whose identity is not known (a topic without identity)."""


class Quarantine(enum.StrEnum):
    """Why a raw row is quarantined; the text before ":" in its `_op_error`."""

    UNKNOWN_SCHEMA = "unknown schema"
    """The message names a schema that the registry does not have, or could not be asked about, or names none."""
    UNREADABLE = "unreadable"
    """The bytes are not what their schema says, or their schema cannot be read by the topic's."""
    ALTERED = "altered"
    """The digest differs from the audit header's: bytes changed after they were published."""
    TOMBSTONE = "tombstone"
    """A null value without delete header: it has no version, and merging it would depend on order."""
    DELETE = "bad delete"
    """A delete whose key or header cannot be read."""


_TIME: Final = pa.timestamp("us", tz="UTC")
HEADERS_TYPE: Final = pa.list_(pa.field("element", pa.struct([("name", pa.string()), ("value", pa.binary())])))
"""Arrow type of HEADERS."""

RAW_COLUMNS: Final = pa.schema(
    [
        (LOG, pa.string()),
        (PARTITION, pa.int32()),
        (OFFSET, pa.int64()),
        (TIMESTAMP, _TIME),
        (KEY, pa.binary()),
        (HEADERS, HEADERS_TYPE),
        (SCHEMA, pa.int32()),
        (BODY, pa.binary()),
        (EPOCH, pa.binary()),
        (SEQUENCE, pa.int64()),
        (EXPECTED, pa.int64()),
        (DIGEST_HI, pa.int64()),
        (DIGEST_LO, pa.int64()),
        (IDENTITY, pa.int64()),
        (DELETED, pa.bool_()),
        (ERROR, pa.string()),
    ]
)
"""The lake's columns of a raw table, in order."""

CLEAN_COLUMNS: Final = pa.schema(
    [
        (IDENTITY, pa.int64()),
        (ARRIVALS, pa.int64()),
        (SUM_HI, pa.int64()),
        (SUM_LO, pa.int64()),
        (DIGEST_HI, pa.int64()),
        (DIGEST_LO, pa.int64()),
        (DELETED, pa.bool_()),
        (LOG, pa.string()),
        (PARTITION, pa.int32()),
        (OFFSET, pa.int64()),
        (TIMESTAMP, _TIME),
    ]
)
"""The lake's columns of a clean table, in order, before the state columns."""


def field_columns(topic: Topic) -> pa.Schema:
    """The topic's fields as Arrow columns, all nullable.

    Avro's int and float stand as 64-bit columns, so that a field may become long or double later, as Avro allows.
    """
    return pa.schema([field.with_type(_widened(field.type)) for field in _nullable(arrow_schema(topic.schema))])


def raw_schema(topic: Topic) -> pa.Schema:
    """The columns of a topic's raw table: its fields, then RAW_COLUMNS."""
    return pa.schema([*field_columns(topic), *RAW_COLUMNS])


def clean_schema(topic: Topic, state: Sequence[pa.Field] = ()) -> pa.Schema:
    """The columns of a topic's clean table: its fields, then CLEAN_COLUMNS, then the state columns."""
    return pa.schema([*field_columns(topic), *CLEAN_COLUMNS, *_nullable(state)])


def bucket(identity: int) -> int:
    """The bucket, 0 to 63, of an identity hash for the law of conservation: its top 6 bits."""
    return (identity >> 58) & 63


def _widened(type_: pa.DataType) -> pa.DataType:
    """The type with 64-bit numbers for 32-bit ones, inside lists, maps and structs too."""
    if pa.types.is_int32(type_):
        return pa.int64()
    if pa.types.is_float32(type_):
        return pa.float64()
    if pa.types.is_list(type_):
        return pa.list_(type_.value_field.with_type(_widened(type_.value_type)))
    if pa.types.is_map(type_):
        return pa.map_(type_.key_type, type_.item_field.with_type(_widened(type_.item_type)))
    if pa.types.is_struct(type_):
        return pa.struct([field.with_type(_widened(field.type)) for field in type_])
    return type_


def _nullable(fields: Iterable[pa.Field]) -> list[pa.Field]:
    return [field.with_nullable(True).remove_metadata() for field in fields]
