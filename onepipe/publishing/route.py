"""Route: how records of one class, or dicts of one topic, become messages. Compiled once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

import attrs

from onepipe.bodies.transcode import body_encoder
from onepipe.declaring.constraints import topic_checks
from onepipe.errors import DeclarationError
from onepipe.partitioner import partition_for
from onepipe.schema.framing import frame
from onepipe.schema.keys import compile_key

if TYPE_CHECKING:
    from onepipe.publishing.stream import Stream
    from onepipe.topics import Opened


@attrs.define(eq=False)
class Route:
    """How records of one class, or dicts of one topic, become messages.

    Attributes:
        opened: the topic.
        encode: from a record to the message's value, frame included; raises InvalidRecord.
        key: from a record to its identity key; None where the topic has no identity.
        partition_key: from a record to the bytes that choose its partition; None where the identity key does.
        seed: of the records' digests.
        streams: one a partition.
    """

    opened: Opened
    encode: Callable[[Any], bytes]
    key: Callable[[Any], bytes] | None
    partition_key: Callable[[Any], bytes] | None
    seed: int
    streams: list[Stream]
    _turn: int = 0

    @classmethod
    def compile(cls, opened: Opened, streams: list[Stream]) -> Self:
        """Compile the route of a topic's records.

        Raises:
            DeclarationError: others write the topic.
        """
        topic, classes = opened.topic, opened.classes
        if topic.source is not None:
            remedy = "publish to a topic of your own"
            raise DeclarationError("an attached topic is written by others", topic=topic.name, remedy=remedy)
        return cls(
            opened,
            body_encoder(
                topic.schema,
                classes=classes,
                prefix=frame(opened.schema_id),
                checks=topic_checks(topic),
                topic=topic.name,
            ),
            compile_key(topic.schema, topic.identity, classes=classes) if topic.identity else None,
            compile_key(topic.schema, topic.partition_key, classes=classes) if topic.partition_key else None,
            topic.schema.fingerprint,
            streams,
        )

    def partition(self, record: Any, key: bytes | None) -> int:
        """The partition of a record: by its partition key, else its identity key, else the next in turn."""
        if self.partition_key is not None:
            key = self.partition_key(record)
        if key is not None:
            return partition_for(key, len(self.streams))
        self._turn = (self._turn + 1) % len(self.streams)
        return self._turn
