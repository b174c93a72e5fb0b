"""Decoding messages by the batch into Arrow, in the form of one reader's schema."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from onepipe.attached.translate import is_translated
from onepipe.bodies.decoder import locate, require_unaltered
from onepipe.bodies.transcode_columns import DecodeColumns, columns_decoder
from onepipe.errors import ConfigurationError, DecodeError, OnepipeError
from onepipe.registry.lookup import find_schema
from onepipe.registry.port import value_subject
from onepipe.schema.arrow import arrow_schema
from onepipe.schema.framing import read_frame

if TYPE_CHECKING:
    from onepipe.declaring.topic import Topic
    from onepipe.registry.port import SchemaSource
    from onepipe.transport import Message


class ArrowDecoder:
    """Decodes messages of one topic. Used by one thread at a time."""

    def __init__(self, registry: SchemaSource, topic: Topic) -> None:
        """Make a decoder.

        Args:
            registry: where schemas are found.
            topic: the reader's declaration; the batches have its schema's Arrow form.

        Raises:
            ConfigurationError: others write the topic, and its messages are more than records of one type.
        """
        if is_translated(topic):
            remedy = "read it message by message, or archive it and read the table"
            raise ConfigurationError("its messages are not read as columns", topic=topic.name, remedy=remedy)
        self._registry = registry
        self._subjects = (topic.source and topic.source.subjects) or (value_subject(topic.name),)
        self._reader = topic.schema
        self._schema = arrow_schema(topic.schema)
        self._decoders: dict[int | str, DecodeColumns] = {}

    def decode(self, messages: Sequence[Message]) -> pa.RecordBatch:
        """The records of messages in their order, deletes left out.

        Raises:
            DecodeError: a message cannot be decoded; names topic, partition and offset.
            NotRegistered: the registry does not know a schema id; names the first message that has it.
        """
        groups = _by_frame(messages)
        if not groups:
            return pa.RecordBatch.from_pylist([], self._schema)
        batches = [self._decode(messages, numbers, *frame) for frame, numbers in groups.items()]
        table = pa.Table.from_batches(batches)
        if len(groups) > 1:
            table = table.take(pa.array(np.argsort(np.concatenate(list(groups.values())))))
        (batch,) = table.combine_chunks().to_batches()
        return batch

    def _decode(
        self, messages: Sequence[Message], numbers: Sequence[int], name: int | str, skip: int
    ) -> pa.RecordBatch:
        try:
            writer = find_schema(self._registry, name, self._subjects)
            decode = self._decoders.get(name)
            if decode is None:
                decode = self._decoders[name] = columns_decoder(writer, self._reader)
        except OnepipeError as unreadable:
            locate(unreadable, messages[numbers[0]])
            raise
        self._require_unaltered([messages[number] for number in numbers], writer.fingerprint, skip)
        decoded = decode([messages[number].value or b"" for number in numbers], skip)
        for row, error in decoded.errors.items():
            locate(error, messages[numbers[row]])
            raise error
        return pa.RecordBatch.from_arrays(decoded.columns.columns, schema=self._schema)

    def _require_unaltered(self, messages: Sequence[Message], seed: int, skip: int) -> None:
        for message in messages:
            try:
                require_unaltered(message.headers, seed, (message.value or b"")[skip:])
            except DecodeError as error:
                locate(error, message)
                raise


def _by_frame(messages: Sequence[Message]) -> dict[tuple[int | str, int], list[int]]:
    """Numbers of the messages with a value, by schema id, or what names their schema, and where their bodies begin."""
    groups: dict[tuple[int | str, int], list[int]] = {}
    for number, message in enumerate(messages):
        if message.value is not None:
            try:
                frame = read_frame(message.value, message.headers)
            except DecodeError as error:
                locate(error, message)
                raise
            groups.setdefault((frame.named, frame.start), []).append(number)
    return groups
