"""Columns from bodies, whatever codec wrote them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import pyarrow as pa

from onepipe.bodies.transcode import avro_from_body
from onepipe.errors import DecodeError
from onepipe.schema.columnar import ColumnarDecoder, DecodedBatch, compile_columnar
from onepipe.schema.model import Schema

DecodeColumns: TypeAlias = Callable[[Sequence[bytes], int], DecodedBatch]
"""From values, and how many bytes at the head of each are its frame; see `ColumnarDecoder.decode`."""


def columns_decoder(writer: Schema, reader: Schema) -> DecodeColumns:
    """The columnar decoder of what was written with a schema, as `compile_columnar` makes it.

    Raises:
        SchemaError: the reader's schema has no Arrow form.
        ResolutionError: the reader's schema cannot read what the writer's writes.
        DeclarationError: there is no such codec; says the nearest match.
    """
    decoder = compile_columnar(writer, reader)
    to_avro = avro_from_body(writer)
    if to_avro is None:
        return decoder.decode
    return lambda values, skip: _decode(decoder, to_avro, values, skip)


def _decode(
    decoder: ColumnarDecoder, to_avro: Callable[[bytes], bytes], values: Sequence[bytes], skip: int
) -> DecodedBatch:
    bodies: list[bytes] = []
    sound: list[int] = []
    errors: dict[int, DecodeError] = {}
    for row, value in enumerate(values):
        try:
            bodies.append(to_avro(value[skip:]))
        except DecodeError as error:
            errors[row] = error
        else:
            sound.append(row)
    decoded = decoder.decode(bodies)
    if not errors:
        return decoded
    errors.update({sound[row]: error for row, error in decoded.errors.items()})
    places = np.full(len(values), -1)
    places[sound] = np.arange(len(sound))
    return DecodedBatch(decoded.columns.take(pa.array(places, mask=places < 0)), errors)
