"""Messages that others wrote as rows: records out of JSON, envelopes and unions, and what tombstones mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
from xxhash import xxh3_128_digest

from onepipe.attached.translate import Removal, Translation, compile_translation, tombstone_reader
from onepipe.attached.tree import Given, KeyReader
from onepipe.bodies.transcode_columns import DecodeColumns, columns_decoder
from onepipe.errors import DecodeError, NotRegistered
from onepipe.evidence.digest import DELETE_SEED, deletion_body
from onepipe.lake.columns import Quarantine
from onepipe.lake.raw_deletes import delete_columns

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from onepipe.declaring.topic import Topic
    from onepipe.lake.raw_values import Rows, ValueBatch
    from onepipe.schema.model import Schema

_JSON: Final = ""
"""Stands for the schema of messages that have none."""


class AttachedReader:
    """Reads the messages of one attached topic. Used by one thread at a time.

    Args:
        topic: the declaration; it says what its writers write.
        fields: the topic's columns.
        find: from a schema id, or a `Frame.named`, to the schema; raises NotRegistered.
    """

    def __init__(self, topic: Topic, fields: pa.Schema, find: Callable[[int | str], Schema]) -> None:
        assert topic.source is not None  # noqa: S101  # only attached topics are read so; for mypy
        self._topic = topic
        self._source = topic.source
        self._fields = fields
        self._keys = KeyReader(topic.source, find)
        self._tombstone = tombstone_reader(topic, self._keys)
        self._translations: dict[str, tuple[Translation, DecodeColumns]] = {}

    def read(self, batch: ValueBatch, rows: Rows, writer: Schema | None, start: int) -> None:
        """Read messages of one schema, or of JSON.

        Args:
            batch: the messages.
            rows: which of them.
            writer: the schema they were written with; None where they are JSON.
            start: where in each value the body begins.

        Raises:
            ResolutionError: the topic holds no such records.
            SchemaError: the schema cannot be used.
            RegistryUnavailable: the registry cannot be asked about the schema of a key.
        """
        self._keys.ask_again()
        translation, decode = self._translation(writer)
        bodies: list[bytes] = []
        sound: list[int] = []
        removals: list[tuple[int, Mapping[str, Any]]] = []
        for row in rows.tolist():
            made = self._made(batch, row, start, translation.read, Quarantine.UNREADABLE)
            if isinstance(made, Removal):
                removals.append((row, made.fields))
            elif made is not None:
                bodies.append(made)
                sound.append(row)
        decoded = decode(bodies, 0)
        table = pa.Table.from_batches([decoded.columns]).cast(self._fields)
        for number, error in decoded.errors.items():
            batch.errors[sound[number]] = f"{Quarantine.UNREADABLE}: {error}"
        good = np.delete(np.arange(len(sound)), list(decoded.errors))
        batch.set_columns(np.array(sound, np.intp)[good], table.take(pa.array(good)))
        self._remove(batch, removals)

    def read_tombstones(self, batch: ValueBatch, rows: Rows) -> None:
        """Read messages without a value, by the rule that the declaration gives for them.

        Raises:
            RegistryUnavailable: the registry cannot be asked about the schema of a key.
        """
        self._keys.ask_again()
        removals: list[tuple[int, Mapping[str, Any]]] = []
        for row in rows.tolist():
            body = deletion_body(batch.keys[row] or b"", b"")
            batch.set_digests(np.array([row]), [xxh3_128_digest(body, DELETE_SEED)])
            if self._source.tombstones == "quarantine":
                batch.errors[row] = f"{Quarantine.TOMBSTONE}: the declaration gives it no meaning"
                continue
            made = self._made(batch, row, 0, self._tombstone, Quarantine.TOMBSTONE)
            if isinstance(made, Removal):
                removals.append((row, made.fields))
        self._remove(batch, removals)

    def _made(
        self, batch: ValueBatch, row: int, start: int, read: Callable[[Given], bytes | Removal], reason: Quarantine
    ) -> bytes | Removal | None:
        """What a message says; None where it cannot be read, and has its error."""
        value = batch.values[row] or b""
        given = Given(value, start, batch.keys[row], batch.headers[row], batch.times[row])
        try:
            made = read(given)
        except DecodeError as error:
            batch.errors[row] = f"{reason}: {error}"
            return None
        except NotRegistered:
            batch.errors[row] = f"{Quarantine.UNKNOWN_SCHEMA}: the registry gave no schema of the key's id"
            return None
        batch.schemas.update(self._keys.used)
        return made

    def _remove(self, batch: ValueBatch, removals: list[tuple[int, Mapping[str, Any]]]) -> None:
        if removals:
            rows = np.array([row for row, _ in removals])
            batch.deleted[rows] = True
            batch.set_columns(rows, delete_columns(self._fields, [fields for _, fields in removals]))

    def _translation(self, writer: Schema | None) -> tuple[Translation, DecodeColumns]:
        name = _JSON if writer is None else writer.text
        if name not in self._translations:
            translation = compile_translation(self._topic, writer, self._keys)
            self._translations[name] = translation, columns_decoder(translation.schema, self._topic.schema)
        return self._translations[name]
