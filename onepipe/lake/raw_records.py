"""The values of a batch of messages: digested, and decoded by schema id into the topic's columns, or quarantined."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from xxhash import xxh3_128_digest

from onepipe.attached.translate import is_translated
from onepipe.bodies.deletion import deletion_schema_id
from onepipe.bodies.transcode_columns import DecodeColumns, columns_decoder
from onepipe.declaring.topic import Topic
from onepipe.errors import CodecError, NotRegistered, ResolutionError, SchemaError
from onepipe.evidence.digest import DELETE_SEED, UNDECODABLE_SEED
from onepipe.evidence.header import DELETE_HEADER
from onepipe.lake.columns import Quarantine, field_columns
from onepipe.lake.raw_attached import AttachedReader
from onepipe.lake.raw_deletes import DeleteReader, delete_columns
from onepipe.lake.raw_values import NO_SCHEMA, Rows, ValueBatch
from onepipe.registry.lookup import find_schema
from onepipe.registry.port import SchemaSource, value_subject
from onepipe.schema.model import Schema


class RecordReader:
    """Reads the values of one topic's messages. Used by one thread at a time.

    Args:
        topic: the current declaration; its fields are the columns.
        registry: where schemas are found by id.

    Attributes:
        fields: the topic's columns.
        framed: whether values say their schema.
    """

    def __init__(self, topic: Topic, registry: SchemaSource) -> None:
        self.fields = field_columns(topic)
        self._topic = topic
        self._registry = registry
        self._deletes = DeleteReader(topic, registry)
        self._decoders: dict[int | str, DecodeColumns | str] = {}
        self._attached = AttachedReader(topic, self.fields, self._find) if topic.source else None
        self._translates = is_translated(topic)
        self._subjects = (topic.source and topic.source.subjects) or (value_subject(topic.name),)
        self.framed = topic.source is None or topic.source.value != "json"

    def read(self, batch: ValueBatch) -> None:
        """Digest and decode every message of a batch; what cannot be decoded gets an error.

        Raises:
            RegistryUnavailable: the registry cannot be asked about a schema id.
        """
        for schema_id, start, rows in batch.groups():
            self._read_group(batch, rows, schema_id, start)
        deletes = np.flatnonzero(~batch.present)
        if self._attached is not None:
            self._attached.read_tombstones(batch, deletes)
        else:
            self._read_deletes(batch, deletes)

    def _read_group(self, batch: ValueBatch, rows: Rows, schema_id: int, start: int) -> None:
        """Messages of one schema id."""
        values = batch.some_values(rows)
        name = batch.name(schema_id) or schema_id
        schema = None if schema_id == NO_SCHEMA else self._schema(name)
        if schema is None:
            batch.set_digests(rows, [xxh3_128_digest(value, UNDECODABLE_SEED) for value in values])
            if not self.framed:
                self._translate(batch, rows, "JSON", None, start)
                return
            batch.refuse(rows, _unknown(name))
            return
        seed = schema.fingerprint
        batch.set_digests(rows, [xxh3_128_digest(value[start:], seed) for value in values])
        batch.schemas[name] = schema.document()
        if self._translates:
            self._translate(batch, rows, f"schema {name}", schema, start)
            return
        decode = self._decoder(name, schema)
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

    def _translate(self, batch: ValueBatch, rows: Rows, what: str, schema: Schema | None, start: int) -> None:
        """Messages that others wrote, and that are not bodies of the topic's records."""
        assert self._attached is not None  # noqa: S101  # only attached topics are translated; for mypy
        try:
            self._attached.read(batch, rows, schema, start)
        except (ResolutionError, SchemaError) as error:
            batch.refuse(rows, f"{Quarantine.UNREADABLE}: {what}: {error}")

    def _find(self, name: int | str) -> Schema:
        return find_schema(self._registry, name, self._subjects)

    def _schema(self, name: int | str) -> Schema | None:
        try:
            return self._find(name)
        except (NotRegistered, SchemaError):  # what is registered may be of another kind than Avro, or out of form
            return None

    def _decoder(self, name: int | str, schema: Schema) -> DecodeColumns | str:
        """The decoder of a schema, or why there is none."""
        if name not in self._decoders:
            try:
                self._decoders[name] = columns_decoder(schema, self._topic.schema)
            except ResolutionError as error:
                named = name if isinstance(name, str) else f"id {name}"
                self._decoders[name] = f"schema {named}: {error}"
        return self._decoders[name]

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
            except NotRegistered:
                batch.ids[row] = deletion_schema_id(header)
                batch.errors[row] = _unknown(int(batch.ids[row]))
                continue
            except CodecError as error:
                batch.errors[row] = f"{Quarantine.DELETE}: {error}"
                continue
            batch.deleted[row] = True
            batch.ids[row] = schema_id
            if schema_id not in batch.schemas:  # as there may be no value of it beside the deletes
                batch.schemas[schema_id] = self._find(schema_id).document()
            found.append((row, fields))
        if found:
            table = delete_columns(self.fields, [fields for _, fields in found])
            batch.set_columns(np.array([row for row, _ in found]), table)


def _unknown(name: int | str) -> str:
    """The error of a message whose schema the registry does not have, or could not be asked about."""
    return f"{Quarantine.UNKNOWN_SCHEMA}: the registry gave no schema {name if isinstance(name, str) else f'id {name}'}"
