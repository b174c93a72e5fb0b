"""Deletes of a batch as rows: what their keys and headers say, as values of the topic's columns."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

import pyarrow as pa

from onepipe.bodies.deletion import deletion_schema_id, read_deletion
from onepipe.declaring.topic import Topic
from onepipe.errors import DeclarationError
from onepipe.registry.port import SchemaSource
from onepipe.schema.values import Duration


class DeleteReader:
    """Reads deletes of one topic. Used by one thread at a time."""

    def __init__(self, topic: Topic, registry: SchemaSource) -> None:
        self._topic = topic
        self._registry = registry
        self._declared: dict[int, Topic] = {}

    def read(self, key: bytes | None, header: bytes) -> tuple[int, Mapping[str, Any]]:
        """The schema id of a delete, and the values of its identity, version and event time by field.

        Raises:
            DecodeError: key or header have another form.
            NotRegistered: the registry does not know the schema id.
            RegistryUnavailable: the registry cannot be asked.
        """
        schema_id = deletion_schema_id(header)
        return schema_id, read_deletion(self._topic_of(schema_id), key, header).fields

    def _topic_of(self, schema_id: int) -> Topic:
        """The declaration a delete was written under; the current one where the schema declares none."""
        found = self._declared.get(schema_id)
        if found is None:
            schema = self._registry.schema(schema_id)
            try:
                found = Topic.from_document(schema.document(), name=self._topic.name)
            except DeclarationError:
                found = self._topic
            if not found.identity:
                found = self._topic
            self._declared[schema_id] = found
        return found


def delete_columns(fields: pa.Schema, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Rows of deletes: null in every column that a delete does not say.

    Args:
        fields: the topic's columns.
        rows: by delete, logical values by field.
    """
    arrays = [pa.array([_stored(row.get(f.name), f.type) for row in rows], f.type) for f in fields]
    return pa.Table.from_arrays(arrays, schema=fields)


def _stored(value: Any, type_: pa.DataType) -> Any:
    """A logical value as its column holds it; see `onepipe.schema.arrow`."""
    match value:
        case dt.time():
            return ((value.hour * 60 + value.minute) * 60 + value.second) * 1_000_000 + value.microsecond
        case UUID():
            return str(value)
        case Decimal() if pa.types.is_string(type_):
            return format(value, "f")
        case Duration():
            return {"months": value.months, "days": value.days, "milliseconds": value.milliseconds}
        case _:
            return value
