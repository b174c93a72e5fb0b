"""The port of a codec: how the values of an attached topic are records, where they are not framed Avro."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from onepipe.topic import Topic
    from onepipe.transport import Message


@runtime_checkable
class Codec(Protocol):
    """Reads the values of messages that other systems' producers wrote. Thread-safe."""

    def decode(self, topic: Topic, message: Message) -> dict[str, Any] | None:
        """The record of a message by field name, as logical values of the topic's schema; None for a delete.

        Raises:
            DecodeError: the bytes are not what the codec reads.
        """
