"""Decoding messages by the batch into Arrow, in the form of one reader's schema."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from onepipe.decoder import require_unaltered
from onepipe.errors import DecodeError
from onepipe.schema.arrow import arrow_schema
from onepipe.schema.framing import read_frame
from onepipe.transcode_columns import DecodeColumns, columns_decoder

if TYPE_CHECKING:
    from onepipe.registry.port import Registry
    from onepipe.schema.model import Schema
    from onepipe.transport import Message


class ArrowDecoder:
    """Decodes messages of one topic. Used by one thread at a time."""

    def __init__(self, registry: Registry, reader: Schema) -> None:
        """Make a decoder.

        Args:
            registry: where schemas are found by id.
            reader: schema whose Arrow form the batches have.
        """
        self._registry = registry
        self._reader = reader
        self._schema = arrow_schema(reader)
        self._decoders: dict[int, DecodeColumns] = {}

    def decode(self, messages: Sequence[Message]) -> pa.RecordBatch:
        """The records of messages in their order, deletes left out.

        Raises:
            DecodeError: a message cannot be decoded; names topic, partition and offset.
            NotRegistered: the registry does not know a schema id.
        """
        groups: dict[tuple[int, int], list[int]] = {}
        for number, message in enumerate(messages):
            if message.value is not None:
                groups.setdefault(_frame(message, message.value), []).append(number)
        if not groups:
            return pa.RecordBatch.from_pylist([], self._schema)
        batches = [self._decode(messages, numbers, *frame) for frame, numbers in groups.items()]
        table = pa.Table.from_batches(batches)
        if len(groups) > 1:
            table = table.take(pa.array(np.argsort(np.concatenate(list(groups.values())))))
        (batch,) = table.combine_chunks().to_batches()
        return batch

    def _decode(self, messages: Sequence[Message], numbers: Sequence[int], schema_id: int, skip: int) -> pa.RecordBatch:
        decode = self._decoders.get(schema_id)
        if decode is None:
            decode = self._decoders[schema_id] = columns_decoder(self._registry.schema(schema_id), self._reader)
        self._require_unaltered([messages[number] for number in numbers], schema_id, skip)
        decoded = decode([messages[number].value or b"" for number in numbers], skip)
        for row, error in decoded.errors.items():
            message = messages[numbers[row]]
            error.topic, error.partition, error.offset = message.topic, message.partition, message.offset
            raise error
        return pa.RecordBatch.from_arrays(decoded.columns.columns, schema=self._schema)

    def _require_unaltered(self, messages: Sequence[Message], schema_id: int, skip: int) -> None:
        seed = self._registry.schema(schema_id).fingerprint
        for message in messages:
            try:
                require_unaltered(message.headers, seed, (message.value or b"")[skip:])
            except DecodeError as error:
                error.topic, error.partition, error.offset = message.topic, message.partition, message.offset
                raise


def _frame(message: Message, value: bytes) -> tuple[int, int]:
    """Schema id of a message, and where its body begins."""
    frame = read_frame(value, message.headers)
    if frame.schema_id is None:
        raise DecodeError(
            "the message says its schema by fingerprint or GUID, which this registry cannot look up",
            topic=message.topic,
            partition=message.partition,
            offset=message.offset,
        )
    return frame.schema_id, frame.start
