"""Reading messages that others wrote one by one, for consumers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from onepipe.attached.translate import Removal, compile_translation, is_translated, tombstone_reader
from onepipe.attached.tree import Given, KeyReader
from onepipe.errors import DecodeError
from onepipe.schema.decode import Decode, compile_decoder
from onepipe.schema.framing import read_frame

if TYPE_CHECKING:
    from onepipe.attached.translate import Read
    from onepipe.declaring.topic import Topic
    from onepipe.schema.model import Schema
    from onepipe.transport import Message


class AttachedDecoder:
    """Decodes the messages of one attached topic. Used by one thread at a time.

    Args:
        topic: the declaration; it says what its writers write.
        find: from a schema id, or a `Frame.named`, to the schema; raises NotRegistered.

    Attributes:
        translates: whether messages with a value are its matter too, and not only tombstones.
    """

    def __init__(self, topic: Topic, find: Callable[[int | str], Schema]) -> None:
        assert topic.source is not None  # noqa: S101  # only attached topics are read so; for mypy
        self.translates = is_translated(topic)
        self._topic = topic
        self._source = topic.source
        self._find = find
        self._keys = KeyReader(topic.source, find)
        self._tombstone = tombstone_reader(topic, self._keys)
        self._readers: dict[int | str | None, tuple[Read, Decode]] = {}

    def decode(self, message: Message) -> tuple[Any, bool, int | None]:
        """The record of a message as dict, or the fields of a delete; whether it is one; and its schema id.

        Raises:
            DecodeError: the message is not what the declaration says.
            ResolutionError: the topic holds no such records.
            NotRegistered: the registry does not know a schema.
        """
        given = Given(message.value or b"", 0, message.key, message.headers, message.timestamp)
        self._keys.ask_again()
        if message.value is None:
            if self._source.tombstones == "quarantine":
                raise DecodeError("a tombstone, to which the declaration gives no meaning", remedy="tombstones=…")
            return dict(self._tombstone(given).fields), True, None
        named: int | str | None = None
        if self._source.value == "registry":
            frame = read_frame(message.value, message.headers)
            named, given = frame.named, given._replace(start=frame.start)
        read, decode = self._reader(named)
        made = read(given)
        schema_id = named if isinstance(named, int) else None
        if isinstance(made, Removal):
            return dict(made.fields), True, schema_id
        return decode(made, 0), False, schema_id

    def _reader(self, named: int | str | None) -> tuple[Read, Decode]:
        if named not in self._readers:
            writer = None if named is None else self._find(named)
            translation = compile_translation(self._topic, writer, self._keys)
            decode = compile_decoder(translation.schema, reader=self._topic.schema)
            self._readers[named] = translation.read, decode
        return self._readers[named]
