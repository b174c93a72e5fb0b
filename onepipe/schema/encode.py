"""Encoders: from a record to the bytes of a message, compiled once per schema.

The generated function validates, encodes and frames in one pass. Only for a record it refuses is the record walked
again, to list every fault.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from onepipe.errors import InvalidRecord
from onepipe.schema.encode_faults import FaultFinder
from onepipe.schema.encode_source import EncoderSource, joined
from onepipe.schema.model import Record, Schema

_NO_CLASSES: Final[Mapping[str, type]] = MappingProxyType({})


def compile_encoder(
    schema: Schema,
    *,
    classes: Mapping[str, type] = _NO_CLASSES,
    prefix: bytes = b"",
    topic: str | None = None,
) -> Callable[[Any], bytes]:
    """Compile the encoder of a schema.

    Args:
        schema: the writer's schema.
        classes: Python classes by the Avro full names (of records and enums) they stand for. A record without one is a
            mapping: missing keys take the field's default, unknown ones are a fault.
        prefix: what every message begins with: its frame.
        topic: name of the topic, for errors.

    Returns:
        A function of a value to its bytes, prefix included. It raises InvalidRecord, with every fault of the value.
    """
    writer = EncoderSource(schema, classes)
    source = writer.source
    refuse = source.bind("refuse", _refusal(schema, classes, topic))
    with source.function("def encode(value):"):
        with source.block("try:"):
            root = schema.root
            if isinstance(root, Record):
                source.line("record = value")
                given, parts = writer.fields(root, "record", "1")
            else:
                source.line("item = value")
                parts = writer.value(root, "item", "0")
            source.line(f"return {joined([repr(prefix), *parts] if prefix else parts)}")
        with source.block("except Exception as error:"):
            source.line(f"raise {refuse}(value, error) from None")
    encode: Callable[[Any], bytes] = source.load("encode", of=f"encoder of {getattr(root, 'name', 'value')}")
    return encode


def _refusal(schema: Schema, classes: Mapping[str, type], topic: str | None) -> Callable[[Any, Exception], Exception]:
    finder = FaultFinder(schema, classes)

    def refuse(value: Any, error: Exception) -> Exception:
        """The error for a value that was not encoded; what stopped the encoder where the value has no fault."""
        faults = list(finder.faults(schema.root, value))
        return InvalidRecord(faults, topic=topic) if faults else error

    return refuse
