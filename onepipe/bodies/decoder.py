"""Decoding by message: what a message says of its schema decides how it is read. Compiled once per schema and class."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from onepipe.attached.decode import AttachedDecoder
from onepipe.bodies.deletion import Deletion, deletion_schema_id, read_deletion
from onepipe.bodies.transcode import body_decoder
from onepipe.declaring.topic import Topic
from onepipe.errors import DecodeError, OnepipeError
from onepipe.evidence.digest import DELETE_SEED, deletion_body, digest_check
from onepipe.evidence.header import AUDIT_HEADER, DELETE_HEADER, sound_check
from onepipe.registry.lookup import find_schema
from onepipe.registry.port import value_subject
from onepipe.schema.framing import read_frame

if TYPE_CHECKING:
    from onepipe.registry.port import SchemaSource
    from onepipe.schema.model import Schema
    from onepipe.topics import Readable
    from onepipe.transport import Headers, Message

Decode = Callable[[bytes, int], Any]


class Decoded(NamedTuple):
    """What a message says.

    Attributes:
        value: the record, as class instance or dict; of a delete, a dict of its identity, version and event time.
        deleted: whether the message is a delete.
        schema_id: id of the schema it was written with; None where the message names none.
    """

    value: Any
    deleted: bool
    schema_id: int | None


def require_unaltered(headers: Headers, seed: int, body: bytes) -> None:
    """Compare a message with the check in its audit header; one without such a header passes.

    Args:
        headers: the message's; the audit header stands first.
        seed: the digest's: the fingerprint of the writer's schema, or that of deletes.
        body: what the digest is over.

    Raises:
        DecodeError: the message is not the one that was published.
    """
    if not headers or headers[0][0] != AUDIT_HEADER:
        return
    check = sound_check(headers[0][1])
    if check is not None and check != digest_check(seed, body):
        remedy = "the archive keeps it in quarantine, and verify names it; publish the record again"
        raise DecodeError("altered since it was published: it differs from its writer's digest", remedy=remedy)


def locate(error: OnepipeError, message: Message) -> None:
    """Let an error say which message it is about."""
    error.topic, error.partition, error.offset = message.topic, message.partition, message.offset


class MessageDecoder:
    """Decodes the messages of one topic. Used by one thread at a time."""

    def __init__(
        self, registry: SchemaSource, topic: Topic | None, *, reader: Schema | None, classes: Mapping[str, type]
    ) -> None:
        """Make a decoder.

        Args:
            registry: where schemas are found by id.
            topic: the reader's declaration; None takes each message's own.
            reader: schema to resolve to; None reads with each message's own.
            classes: Python classes by the Avro names they stand for; dicts where there is none.
        """
        self._registry = registry
        self._topic = topic
        self._reader = reader
        self._classes = classes
        self._decoders: dict[int | str, tuple[Decode, int]] = {}
        self._attached = AttachedDecoder(topic, self._find) if topic is not None and topic.source else None

    def decode(self, message: Message) -> Decoded:
        """Decode a message.

        Raises:
            DecodeError: the bytes are not what their schema says, or not those that were published; names topic,
                partition and offset.
            NotRegistered: the registry does not know the schema id.
            RegistryUnavailable: the registry cannot be asked.
        """
        try:
            if self._attached is not None and (message.value is None or self._attached.translates):
                return Decoded(*self._attached.decode(message))
            return self._delete(message) if message.value is None else self._record(message, message.value)
        except OnepipeError as error:
            locate(error, message)
            raise

    def _record(self, message: Message, value: bytes) -> Decoded:
        frame = read_frame(value, message.headers)
        known = self._decoders.get(frame.named)
        if known is None:
            writer = self._find(frame.named, message.topic)
            decode = body_decoder(writer, reader=self._reader, classes=self._classes)
            known = self._decoders[frame.named] = decode, writer.fingerprint
        decode, seed = known
        require_unaltered(message.headers, seed, value[frame.start :])
        return Decoded(decode(value, frame.start), False, frame.schema_id)

    def _find(self, name: int | str, topic: str = "") -> Schema:
        declared = self._topic.source.subjects if self._topic is not None and self._topic.source else ()
        return find_schema(self._registry, name, declared or (value_subject(topic),))

    def _delete(self, message: Message) -> Decoded:
        header = dict(message.headers).get(DELETE_HEADER)
        if header is None:
            remedy = "its value is None; read it with on_undecodable='yield'"
            raise DecodeError("a tombstone without the header that says which version it deletes", remedy=remedy)
        require_unaltered(message.headers, DELETE_SEED, deletion_body(message.key or b"", header))
        topic = self._topic or _declared(self._registry, message.topic, header)
        deletion = read_deletion(topic, message.key, header)
        return Decoded(dict(deletion.fields), True, deletion_schema_id(header))


def _declared(schemas: SchemaSource, topic: str, header: bytes) -> Topic:
    """The declaration a delete was written under."""
    return Topic.from_document(schemas.schema(deletion_schema_id(header)).document(), name=topic)


def record_decoder(registry: SchemaSource, readable: Readable) -> Callable[[Message], Any]:
    """A function from a message of a topic to its record, as its reader sees it, or to the `Deletion` it is.

    It raises as `MessageDecoder.decode` does.
    """
    topic = readable.topic
    decoder = MessageDecoder(registry, topic, reader=topic.schema, classes=readable.classes)

    def decode(message: Message) -> Any:
        value, deleted, schema_id = decoder.decode(message)
        return Deletion(schema_id, value) if deleted else value

    return decode
