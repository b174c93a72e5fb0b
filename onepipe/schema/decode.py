"""Decoders: from the bytes of a message to a value, strictly, compiled once per pair of schemas.

What a decoder returns, the writer's schema can have written: every byte is accounted for. Bytes that are wrong are
decoded a second time by a slower form of the same decoder, which says what is wrong where.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, NoReturn, TypeAlias, cast

from onepipe.errors import DecodeError, ResolutionError
from onepipe.schema.decode_source import DecoderSource
from onepipe.schema.model import Schema
from onepipe.schema.resolve import Plan, resolve
from onepipe.schema.sizes import may_hold_empty_items

Decode: TypeAlias = Callable[[bytes, int], Any]

_NO_CLASSES: Final[Mapping[str, type]] = MappingProxyType({})
_TOO_SHORT: Final = "the message ends too early"


def compile_decoder(
    writer: Schema, *, reader: Schema | None = None, classes: Mapping[str, type] = _NO_CLASSES
) -> Decode:
    """Compile the decoder of a schema.

    Args:
        writer: the schema the bytes were written with.
        reader: the schema to read them as; the writer's own where None.
        classes: Python classes by the reader's full names (of records and enums) they stand for; a record's class is
            called with its fields as keyword arguments. Records without one become dicts, enums their symbol.

    Returns:
        A function of a message's bytes and the index where its body begins to the value. It raises DecodeError, with
        the field and the index of the byte, unless the body is exactly one value of the writer's schema. It is
        thread-safe.

    Raises:
        ResolutionError: the reader's schema cannot read what the writer's writes.
    """
    reader = reader or writer
    counted = may_hold_empty_items(writer)
    plain = DecoderSource(reader, classes, traced=False, counted=counted)
    try:
        plan = resolve(reader, writer)
        plain.root(plan)
    except RecursionError:
        remedy = "define the inner types before the outer ones in the reader's schema, as in the writer's"
        raise ResolutionError("types hold one another in too long a chain", remedy=remedy) from None
    decode: Decode = plain.source.load("decode", of=f"decoder of {getattr(writer.root, 'name', 'value')}")
    explain = _Explanation(plan, reader, counted=counted)

    def guarded(data: bytes, start: int) -> Any:
        try:
            return decode(data, start)
        except Exception as error:
            explain(data, start, error)

    return guarded


class _Explanation:
    """Says what is wrong with bytes that could not be decoded. Thread-safe."""

    def __init__(self, plan: Plan, reader: Schema, *, counted: bool) -> None:
        self._plan = plan
        self._reader = reader
        self._counted = counted
        self._traced: Callable[[bytes, int, list[Any]], Any] | None = None

    def __call__(self, data: bytes, start: int, error: Exception) -> NoReturn:
        """Raise the error for some bytes; what stopped the decoder, where the bytes are good.

        Raises:
            DecodeError: the bytes are wrong.
            Exception: `error`, which a record's class raised.
        """
        path: list[Any] = [start]
        try:
            self._decode(data, start, path)
        except DecodeError as fault:
            reason = fault.message
        except (IndexError, struct.error):
            reason = _TOO_SHORT
        except UnicodeDecodeError:
            reason = "text that is not UTF-8"
        else:
            raise error
        field = "".join(path[1:]).removeprefix(".")
        raise DecodeError(f"{reason}, at byte {path[0]} of {len(data)}", field=field or None) from None

    def _decode(self, data: bytes, start: int, path: list[Any]) -> Any:
        if self._traced is None:
            traced = DecoderSource(self._reader, {}, traced=True, counted=self._counted)
            traced.root(self._plan)
            self._traced = cast("Callable[[bytes, int, list[Any]], Any]", traced.source.load("decode", of="tracer"))
        return self._traced(data, start, path)
