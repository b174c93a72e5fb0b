"""Messages as onepipe's producer and foreign ones write them, for tests of the raw side of the lake."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import attrs
import pyarrow as pa
import pyarrow.parquet as pq

from onepipe.bodies.deletion import compile_deletion
from onepipe.declaring.topic import Topic
from onepipe.evidence.digest import DELETE_SEED, Digest, deletion_body, digest
from onepipe.evidence.header import AUDIT_HEADER, DELETE_HEADER
from onepipe.lake import Lake
from onepipe.lake.raw_footer import RawFooter, raw_footer
from onepipe.lake.storage import Storage
from onepipe.lake.table import LakeTable
from onepipe.merge import latest
from onepipe.registry import Registry
from onepipe.schema.encode import compile_encoder
from onepipe.schema.framing import frame
from onepipe.schema.keys import compile_key
from onepipe.schema.model import Schema
from onepipe.transport import Headers, Message, Outgoing, Transport

MOMENT = dt.datetime(2023, 11, 14, 22, 13, 20, tzinfo=dt.UTC)
MILLIS = int(MOMENT.timestamp() * 1000)
_MICROS = {"type": "long", "logicalType": "timestamp-micros"}
_PRICE = {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}


def declare(name: str = "Widgets", *more: Mapping[str, Any], **declared: Any) -> Topic:
    fields = [
        {"name": "sid", "type": "string"},
        {"name": "updated", "type": _MICROS},
        {"name": "price", "type": ["null", _PRICE], "default": None},
        *more,
    ]
    schema = Schema.parse({"type": "record", "name": "Widget", "fields": fields})
    declared = {"identity": "sid", "merge": latest("updated"), "event_time": "updated"} | declared
    return Topic.declare(name, schema, **declared)


def values(number: int) -> dict[str, Any]:
    return {"sid": f"W{number}", "updated": MOMENT + dt.timedelta(seconds=number), "price": Decimal(number)}


def delete_digest(key: bytes, header: bytes) -> Digest:
    """The digest of a delete."""
    return digest(DELETE_SEED, deletion_body(key, header))


def pack(epoch: bytes, sequence: int, check: int) -> bytes:
    """The value of the audit header, as its description says."""
    return b"\x01" + epoch + sequence.to_bytes(8, "big") + check.to_bytes(8, "big", signed=True)


def single_object(fingerprint: int) -> bytes:
    """What stands before the body in Avro's single-object encoding."""
    return b"\xc3\x01" + fingerprint.to_bytes(8, "little")


def read_footer(storage: Storage, path: str) -> RawFooter:
    """The footer of a raw file."""
    with storage.open(path) as file:
        return raw_footer(file, path)


@attrs.define
class Author:
    """Makes the messages of one writer epoch of one topic, as the producer does."""

    topic: Topic
    schema_id: int
    epoch: bytes = b"e" * 16
    sequences: dict[int, int] = attrs.field(factory=dict)

    def _headed(self, partition: int, check: int, others: Headers = ()) -> Headers:
        sequence = self.sequences.get(partition, 0)
        self.sequences[partition] = sequence + 1
        return ((AUDIT_HEADER, pack(self.epoch, sequence, check)), *others)

    def record(
        self, fields: Mapping[str, Any], partition: int = 0, headers: Headers = (), at: int = MILLIS
    ) -> Outgoing:
        value = compile_encoder(self.topic.schema, prefix=frame(self.schema_id))(fields)
        check = digest(self.topic.schema.fingerprint, value[5:]).hi
        key = compile_key(self.topic.schema, self.topic.identity)(fields) if self.topic.identity else None
        return Outgoing(self.topic.name, partition, key, value, self._headed(partition, check, headers), at)

    def delete(self, fields: Mapping[str, Any], partition: int = 0, at: int = MILLIS) -> Outgoing:
        key, header = compile_deletion(self.topic)(fields, self.schema_id)
        headers = self._headed(partition, delete_digest(key, header).hi, ((DELETE_HEADER, header),))
        return Outgoing(self.topic.name, partition, key, None, headers, at)


def author(topic: Topic, registry: Registry, epoch: bytes = b"e" * 16) -> Author:
    return Author(topic, registry.register(topic).schema_id, epoch)


def stored(*messages: Outgoing, first: int = 0) -> list[Message]:
    """The messages as a log with one partition would hold them."""
    return [
        Message(m.topic, m.partition, first + n, m.timestamp, m.key, m.value, m.headers) for n, m in enumerate(messages)
    ]


def append(transport: Transport, *messages: Outgoing) -> None:
    writer = transport.writer()
    outcomes = []
    for message in messages:
        writer.append(message, outcomes.append)
    assert writer.flush(10)
    writer.close()
    assert [outcome.error for outcome in outcomes if outcome.error] == []


def raw(lake: Lake, topic: str) -> LakeTable:
    table = lake.raw(topic)
    assert table is not None
    return table


def raw_rows(lake: Lake, topic: str) -> list[dict[str, Any]]:
    """All rows of a raw table, by log, partition and offset."""
    snapshot = raw(lake, topic).snapshot()
    tables = []
    for path in snapshot.paths():
        with lake.storage.open(path) as file:
            tables.append(pq.read_table(file))
    rows = pa.concat_tables(tables, promote_options="default").to_pylist() if tables else []
    return sorted(rows, key=lambda row: (row["_op_log"], row["_op_partition"], row["_op_offset"]))


def delete_header(**document: Any) -> Headers:
    return ((DELETE_HEADER, json.dumps(document).encode()),)
