"""Decoding by message: what a message says of its schema decides how it is read. Compiled once per schema and class."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from onepipe.audit.digest import DELETE_SEED, deletion_body, digest_check
from onepipe.audit.header import AUDIT_HEADER, DELETE_HEADER, sound_check
from onepipe.deletion import Deletion, deletion_schema_id, read_deletion
from onepipe.errors import DecodeError, OnepipeError
from onepipe.schema.framing import read_frame
from onepipe.transcode import body_decoder

if TYPE_CHECKING:
    from onepipe.registry.port import Registry
    from onepipe.schema.model import Schema
    from onepipe.topic import Topic
    from onepipe.topics import Readable
    from onepipe.transport import Headers, Message

Decode = Callable[[bytes, int], Any]


class Decoded(NamedTuple):
    """What a message says.

    Attributes:
        value: the record, as class instance or dict; of a delete, a dict of its identity, version and event time.
        deleted: whether the message is a delete.
        schema_id: id of the schema it was written with.
    """

    value: Any
    deleted: bool
    schema_id: int


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


class MessageDecoder:
    """Decodes the messages of one topic. Used by one thread at a time."""

    def __init__(
        self, registry: Registry, topic: Topic | None, *, reader: Schema | None, classes: Mapping[str, type]
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
        self._decoders: dict[int, tuple[Decode, int]] = {}

    def decode(self, message: Message) -> Decoded:
        """Decode a message.

        Raises:
            DecodeError: the bytes are not what their schema says, or not those that were published; names topic,
                partition and offset.
            NotRegistered: the registry does not know the schema id.
            RegistryUnavailable: the registry cannot be asked.
        """
        try:
            return self._delete(message) if message.value is None else self._record(message, message.value)
        except OnepipeError as error:
            error.topic, error.partition, error.offset = message.topic, message.partition, message.offset
            raise

    def _record(self, message: Message, value: bytes) -> Decoded:
        frame = read_frame(value, message.headers)
        if frame.schema_id is None:
            raise DecodeError("the message says its schema by fingerprint or GUID, which this registry cannot look up")
        known = self._decoders.get(frame.schema_id)
        if known is None:
            writer = self._registry.schema(frame.schema_id)
            decode = body_decoder(writer, reader=self._reader, classes=self._classes)
            known = self._decoders[frame.schema_id] = decode, writer.fingerprint
        decode, seed = known
        require_unaltered(message.headers, seed, value[frame.start :])
        return Decoded(decode(value, frame.start), False, frame.schema_id)

    def _delete(self, message: Message) -> Decoded:
        header = dict(message.headers).get(DELETE_HEADER)
        if header is None:
            remedy = "its value is None; read it with on_undecodable='yield'"
            raise DecodeError("a tombstone without the header that says which version it deletes", remedy=remedy)
        require_unaltered(message.headers, DELETE_SEED, deletion_body(message.key or b"", header))
        topic = self._topic or self._registry.topic(message.topic)
        deletion = read_deletion(topic, message.key, header)
        return Decoded(dict(deletion.fields), True, deletion_schema_id(header))


def record_decoder(registry: Registry, readable: Readable) -> Callable[[Message], Any]:
    """A function from a message of a topic to its record, as its reader sees it, or to the `Deletion` it is.

    It raises as `MessageDecoder.decode` does.
    """
    topic = readable.topic
    decoder = MessageDecoder(registry, topic, reader=topic.schema, classes=readable.classes)

    def decode(message: Message) -> Any:
        value, deleted, schema_id = decoder.decode(message)
        return Deletion(schema_id, value) if deleted else value

    return decode
