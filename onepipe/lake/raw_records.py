"""The values of a batch of messages: digested, and decoded by schema id into the topic's columns, or quarantined."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from xxhash import xxh3_128_digest

from onepipe.audit.digest import DELETE_SEED, UNDECODABLE_SEED
from onepipe.audit.header import DELETE_HEADER
from onepipe.errors import CodecError, NotRegistered, ResolutionError
from onepipe.lake.columns import Quarantine, field_columns
from onepipe.lake.raw_deletes import DeleteReader, delete_columns
from onepipe.lake.raw_values import NO_SCHEMA, Rows, ValueBatch
from onepipe.registry.port import SchemaSource
from onepipe.schema.model import Schema
from onepipe.topic import Topic
from onepipe.transcode_columns import DecodeColumns, columns_decoder


class RecordReader:
    """Reads the values of one topic's messages. Used by one thread at a time.

    Args:
        topic: the current declaration; its fields are the columns.
        registry: where schemas are found by id.
    """

    def __init__(self, topic: Topic, registry: SchemaSource) -> None:
        self.fields = field_columns(topic)
        self._topic = topic
        self._registry = registry
        self._deletes = DeleteReader(topic, registry)
        self._decoders: dict[int, DecodeColumns | str] = {}

    def read(self, batch: ValueBatch) -> None:
        """Digest and decode every message of a batch; what cannot be decoded gets an error.

        Raises:
            RegistryUnavailable: the registry cannot be asked about a schema id.
        """
        for schema_id, start, rows in batch.groups():
            self._read_group(batch, rows, schema_id, start)
        self._read_deletes(batch, np.flatnonzero(~batch.present))

    def _read_group(self, batch: ValueBatch, rows: Rows, schema_id: int, start: int) -> None:
        """Messages of one schema id."""
        values = batch.some_values(rows)
        schema = None if schema_id == NO_SCHEMA else self._schema(schema_id)
        if schema is None:
            batch.set_digests(rows, [xxh3_128_digest(value, UNDECODABLE_SEED) for value in values])
            batch.refuse(rows, f"{Quarantine.UNKNOWN_SCHEMA}: the registry has no schema id {schema_id}")
            return
        seed = schema.fingerprint
        batch.set_digests(rows, [xxh3_128_digest(value[start:], seed) for value in values])
        batch.schemas[schema_id] = schema.document()
        decode = self._decoder(schema_id, schema)
        if isinstance(decode, str):
            batch.refuse(rows, f"{Quarantine.UNREADABLE}: {decode}")
            return
        decoded = decode(values, start)
        table = pa.Table.from_batches([decoded.columns]).cast(self.fields)
        if decoded.errors:
            for number, error in decoded.errors.items():
                batch.errors[int(rows[number])] = f"{Quarantine.UNREADABLE}: {error}"
            sound = np.delete(np.arange(len(rows)), list(decoded.errors))
            rows, table = rows[sound], table.take(pa.array(sound))
        batch.set_columns(rows, table)

    def _schema(self, schema_id: int) -> Schema | None:
        try:
            return self._registry.schema(schema_id)
        except NotRegistered:
            return None

    def _decoder(self, schema_id: int, schema: Schema) -> DecodeColumns | str:
        """The decoder of a schema, or why there is none."""
        if schema_id not in self._decoders:
            try:
                self._decoders[schema_id] = columns_decoder(schema, self._topic.schema)
            except ResolutionError as error:
                self._decoders[schema_id] = f"schema id {schema_id}: {error}"
        return self._decoders[schema_id]

    def _read_deletes(self, batch: ValueBatch, rows: Rows) -> None:
        """Messages without a value: deletes, and tombstones that no version orders."""
        found: list[tuple[int, Mapping[str, Any]]] = []
        for row in rows.tolist():
            key = batch.keys[row]
            header = dict(batch.headers[row]).get(DELETE_HEADER)
            signature = (key or b"") + b"\0" + (header or b"")
            batch.set_digests(np.array([row]), [xxh3_128_digest(signature, DELETE_SEED)])
            if header is None:
                batch.errors[row] = f"{Quarantine.TOMBSTONE}: no header says which version it deletes"
                continue
            try:
                schema_id, fields = self._deletes.read(key, header)
            except (CodecError, NotRegistered) as error:
                batch.errors[row] = f"{Quarantine.DELETE}: {error}"
                continue
            batch.deleted[row] = True
            batch.ids[row] = schema_id
            found.append((row, fields))
        if found:
            table = delete_columns(self.fields, [fields for _, fields in found])
            batch.set_columns(np.array([row for row, _ in found]), table)
