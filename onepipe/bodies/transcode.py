"""Bodies of topics that ask for a codec: written through Avro, and read by way of the Avro body that says the same.

So records are validated, resolved to a reader's schema, bound to classes and laid out in columns in one place, whatever
the codec. The schema that a message was written with says its codec; where it says none, the body is Avro.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from onepipe.codec import find_codec
from onepipe.declaring.rules import ATTRIBUTE
from onepipe.errors import DecodeError, Fault, InvalidRecord
from onepipe.schema.decode import Decode, compile_decoder
from onepipe.schema.encode import compile_encoder
from onepipe.schema.model import Record, Schema

if TYPE_CHECKING:
    from onepipe.schema.encode import RecordCheck


def codec_name(schema: Schema) -> str | None:
    """Name of the codec that a schema's record asks for; None for Avro."""
    declared = schema.root.attributes.get(ATTRIBUTE) if isinstance(schema.root, Record) else None
    name = declared.get("codec") if isinstance(declared, Mapping) else None
    return name if isinstance(name, str) else None


def body_encoder(
    schema: Schema, *, classes: Mapping[str, type], prefix: bytes, checks: Sequence[RecordCheck], topic: str
) -> Callable[[Any], bytes]:
    """The encoder of a topic's records, as `onepipe.schema.encode.compile_encoder` makes it.

    With a codec, a record that the codec does not give back equal is refused.

    Raises:
        DeclarationError: there is no such codec; says the nearest match.
    """
    if (name := codec_name(schema)) is None:
        return compile_encoder(schema, classes=classes, prefix=prefix, checks=checks, topic=topic)
    to_body = _to_body(name, schema, topic)
    encode = compile_encoder(schema, classes=classes, checks=checks, topic=topic)
    return lambda record: prefix + to_body(encode(record))


def body_decoder(writer: Schema, *, reader: Schema | None, classes: Mapping[str, type]) -> Decode:
    """The decoder of what was written with a schema, as `onepipe.schema.decode.compile_decoder` makes it.

    Raises:
        ResolutionError: the reader's schema cannot read what the writer's writes.
        DeclarationError: there is no such codec; says the nearest match.
    """
    decode = compile_decoder(writer, reader=reader, classes=classes)
    if (to_avro := avro_from_body(writer)) is None:
        return decode
    return lambda value, start: decode(to_avro(value[start:]), 0)


def avro_from_body(writer: Schema) -> Callable[[bytes], bytes] | None:
    """A function from the bodies written with a schema to Avro bodies of the same records; None where they are Avro.

    The function raises DecodeError for bytes that the codec does not read, or reads as no record of the schema.

    Raises:
        DeclarationError: there is no such codec; says the nearest match.
    """
    if (name := codec_name(writer)) is None:
        return None
    codec, encode = find_codec(name), compile_encoder(writer)

    def to_avro(body: bytes) -> bytes:
        try:
            return encode(codec.decode(writer, body))
        except DecodeError:
            raise
        except InvalidRecord as invalid:
            raise DecodeError(f"codec {name!r} reads no record of the schema: {invalid}") from invalid
        except Exception as error:
            raise DecodeError(f"codec {name!r} cannot read it: {type(error).__name__}") from error

    return to_avro


def _to_body(name: str, schema: Schema, topic: str) -> Callable[[bytes], bytes]:
    """A function from Avro bodies to those of a codec; it raises InvalidRecord where the codec fails."""
    codec, decode, to_avro = find_codec(name), compile_decoder(schema), avro_from_body(schema)

    def refuse(message: str) -> InvalidRecord:
        return InvalidRecord([Fault(None, "codec", f"codec {name!r} {message}")], topic=topic)

    def to_body(avro: bytes) -> bytes:
        record = decode(avro, 0)
        try:
            body = bytes(memoryview(codec.encode(schema, record)))  # a TypeError where these are not bytes
            back = to_avro(body) if to_avro else avro
        except InvalidRecord as invalid:
            raise InvalidRecord(invalid.faults, topic=topic) from invalid
        except DecodeError as error:
            raise refuse(f"does not read what it wrote: {error.message}") from error
        except Exception as error:
            raise refuse(f"cannot write it: {type(error).__name__}") from error
        if back != avro and not _equal(decode(back, 0), record):  # maps may come back in another order
            raise refuse("does not give back what it was given")
        return body

    return to_body


def _equal(left: Any, right: Any) -> bool:
    """Whether two decoded values are equal, every NaN being one value."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_equal(left[name], right[name]) for name in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_equal, left, right))
    return bool(left == right) or (left != left and right != right)
