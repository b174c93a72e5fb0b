"""Reading dead letters, and the messages they are about."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from onepipe.bodies.decoder import MessageDecoder
from onepipe.dead_letters.letter import Copy, DeadLetter, fold
from onepipe.dead_letters.topic import dead_letter_topic
from onepipe.errors import PositionLost, TopicNotFound
from onepipe.transport import Message, TopicPartition

if TYPE_CHECKING:
    from onepipe.registry.port import SchemaSource
    from onepipe.transport import Transport

_POLL_SECONDS: Final = 0.2


def read_letters(transport: Transport, registry: SchemaSource, topic: str) -> dict[str, DeadLetter]:
    """The letters of a topic by name, as they are now. In memory is each one's description, and no record.

    Raises:
        DecodeError: a message of the dead-letter topic cannot be read.
    """
    declared = dead_letter_topic(topic)
    try:
        description = transport.describe_topic(declared.name)
    except TopicNotFound:
        return {}
    decoder = _decoder(registry, topic)
    places = [TopicPartition(declared.name, number) for number in range(description.partitions)]
    said = (
        (decoder.decode(message).value, Copy(TopicPartition(message.topic, message.partition), message.offset))
        for message in _all_messages(transport, places)
    )
    return fold(topic, said)


def copied(transport: Transport, registry: SchemaSource, letter: DeadLetter) -> dict[str, Any]:
    """What the dead-letter topic holds of a letter that has a copy of its record there.

    Raises:
        PositionLost: it is no longer there.
    """
    assert letter.copy is not None  # noqa: S101  (whoever asks has looked)
    value: dict[str, Any] = _decoder(registry, letter.topic).decode(message_at(transport, *letter.copy)).value
    return value


def set_aside_message(transport: Transport, registry: SchemaSource, letter: DeadLetter) -> Message:
    """The message that a consumer or sink failed on: the letter's copy, else the one at its position in the log.

    Raises:
        PositionLost: neither the letter nor the log holds it.
    """
    assert letter.partition is not None  # noqa: S101  (letters of these stages have a position)
    assert letter.offset is not None  # noqa: S101  (likewise)
    if letter.copy is None:
        if transport.describe_topic(letter.topic).log != letter.log:
            raise PositionLost("the log was replaced by another", topic=letter.topic, offset=letter.offset)
        return message_at(transport, TopicPartition(letter.topic, letter.partition), letter.offset)
    said = copied(transport, registry, letter)
    headers = tuple((header["name"], header["value"]) for header in said["headers"])
    place = letter.topic, letter.partition, letter.offset
    return Message(*place, said["timestamp"], said["key"], said["body"], headers)


def message_at(transport: Transport, place: TopicPartition, offset: int) -> Message:
    """The message at a position.

    Raises:
        PositionLost: the log does not hold it, or no longer.
    """
    reader = transport.reader([place])
    try:
        reader.seek(place, offset)
        while reader.position(place) <= offset < reader.bounds(place).end:
            for message in reader.poll(1, _POLL_SECONDS):
                if message.offset == offset:
                    return message
    finally:
        reader.close()
    raise PositionLost("the log does not hold the record", topic=place.topic, partition=place.partition, offset=offset)


def _all_messages(transport: Transport, places: list[TopicPartition]) -> Iterator[Message]:
    """What partitions hold, up to their present ends."""
    reader = transport.reader(places)
    try:
        ends = {place: reader.bounds(place).end for place in places}
        while any(reader.position(place) < end for place, end in ends.items()):
            yield from reader.poll(timeout=_POLL_SECONDS)
    finally:
        reader.close()


def _decoder(registry: SchemaSource, topic: str) -> MessageDecoder:
    declared = dead_letter_topic(topic)
    return MessageDecoder(registry, declared, reader=declared.schema, classes={})
