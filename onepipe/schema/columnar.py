"""Columnar decoding: the Avro bodies of a batch into Arrow columns, all at once, strictly.

Each body is judged on its own: it decodes exactly as the row decoder would decode it, or its row is null in every
column and its error is listed. The bytes of one body never decide about another's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import attrs
import numpy as np
import pyarrow as pa

from onepipe.errors import DecodeError
from onepipe.schema.arrow import arrow_schema
from onepipe.schema.columnar_leaf import Slots
from onepipe.schema.columnar_read import Reader, Struct
from onepipe.schema.columnar_resolve import columns_reader
from onepipe.schema.columnar_walk import Bodies, Damage, Longs
from onepipe.schema.model import Schema

CHUNK_ROWS: Final = 8_192
"""Bodies that are walked at once: enough to make numpy's cost per call small, few enough to stay in the cache."""

CHUNK_BYTES: Final = 1 << 26
"""Bytes that are walked at once, unless one value alone has more."""


@attrs.frozen
class DecodedBatch:
    """What a batch decoded to.

    Attributes:
        columns: a row for each value, in order, with the columns of the reader's `arrow_schema`; all null for a value
            that is in `errors`.
        errors: by number of the value, why it could not be decoded. The message says the field, and the position in
            bytes within the body. Of several faults of one body any may be named.
    """

    columns: pa.RecordBatch
    errors: Mapping[int, DecodeError]


class ColumnarDecoder:
    """Decodes batches written with one schema into columns of another. Thread-safe; make one with `compile_columnar`.

    Attributes:
        schema: the Arrow schema of the columns.
    """

    def __init__(self, reader: Reader, schema: pa.Schema) -> None:
        self.schema = schema
        self._reader = reader

    def decode(self, values: Sequence[bytes], skip: int = 0) -> DecodedBatch:
        """Decode a batch.

        Args:
            values: one encoded record each.
            skip: bytes at the head of each value that are no part of the record: its frame.

        Raises:
            ValueError: the values of one column, or one value, have 2 GiB or more; decode fewer at a time.
        """
        batches, errors = [], {}
        lengths = np.fromiter(map(len, values), np.int64, len(values))
        for start, stop in _chunks(lengths):
            columns, damage = self._decode(values[start:stop], lengths[start:stop], skip)
            batches.append(columns)
            errors.update({start + row: _error(fault) for row, fault in damage.items()})
        if not batches:
            batches = [self._assemble(Bodies([], lengths))]
        columns = batches[0] if len(batches) == 1 else pa.concat_batches(batches)
        return DecodedBatch(columns, MappingProxyType(errors))

    def _decode(self, values: Sequence[bytes], lengths: Longs, skip: int) -> tuple[pa.RecordBatch, dict[int, Damage]]:
        bodies = Bodies(values, lengths, skip)
        columns = self._assemble(bodies)
        if not bodies.damage:
            return columns, {}
        sound = [row for row in range(len(values)) if row not in bodies.damage]
        columns = self._assemble(Bodies([values[row] for row in sound], lengths[sound], skip))
        places = np.full(len(values), -1)
        places[sound] = np.arange(len(sound))
        return columns.take(pa.array(places, mask=places < 0)), bodies.damage

    def _assemble(self, bodies: Bodies) -> pa.RecordBatch:
        """Columns of all bodies; worthless where `bodies.damage` is not empty afterwards."""
        cursor = bodies.cursor()
        slots = Slots(len(cursor))
        reader = self._reader
        columns = reader.columns(cursor, slots) if isinstance(reader, Struct) else reader.read(cursor, slots).flatten()
        cursor.refuse((cursor.pos != cursor.end) & ~cursor.refused, cursor.pos, "bytes left behind the record")
        if not columns:
            return pa.RecordBatch.from_struct_array(pa.array([{}] * len(cursor), pa.struct([])))
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)


def compile_columnar(writer: Schema, reader: Schema | None = None) -> ColumnarDecoder:
    """Compile a columnar decoder.

    Args:
        writer: the schema the bytes were written with; a record.
        reader: the schema whose fields become columns; the writer's where None.

    Raises:
        SchemaError: the reader's schema has no Arrow form (`onepipe.schema.arrow`).
        ResolutionError: the reader's schema cannot read what the writer's writes.
    """
    reader = writer if reader is None else reader
    schema = arrow_schema(reader)
    return ColumnarDecoder(columns_reader(writer, reader), schema)


def _chunks(lengths: Longs) -> Iterator[tuple[int, int]]:
    """Ranges of values, of these lengths in bytes, to walk at once."""
    ends = np.cumsum(lengths)
    start, before = 0, 0
    while start < len(ends):
        fitting = int(np.searchsorted(ends, before + CHUNK_BYTES, side="right"))
        stop = max(min(start + CHUNK_ROWS, fitting), start + 1)
        yield start, stop
        start, before = stop, int(ends[stop - 1])


def _error(fault: Damage) -> DecodeError:
    return DecodeError(f"{fault.message}, at byte {fault.position} of the record", field=fault.field or None)
