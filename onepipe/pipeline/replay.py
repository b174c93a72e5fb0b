"""How the record of a dead letter is delivered again: to a sink, to a function, or by publishing it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol

import attrs

from onepipe.bodies.decoder import Decoded
from onepipe.bodies.deletion import Deletion
from onepipe.consuming.received import Received, received_from
from onepipe.dead_letters.topic import Stage
from onepipe.errors import CommitConflict, ConfigurationError
from onepipe.sink import Sink, SinkBatch, TransactionalSink

if TYPE_CHECKING:
    from onepipe.dead_letters.letter import DeadLetter
    from onepipe.publishing.producer import Producer
    from onepipe.topics import Readable
    from onepipe.transport import Message

Handler = Callable[[Received[Any]], object]
Mend = Callable[[dict[str, Any]], Any]

_STORED: Final = 1
"""Progress that a transactional sink keeps of a letter whose record it has stored."""


class Records(Protocol):
    """Where the records of letters are found."""

    def message(self, letter: DeadLetter) -> Message:
        """The message that a letter is about."""

    def refused(self, letter: DeadLetter) -> dict[str, Any]:
        """The record that was refused when it was published."""

    def decode(self, message: Message) -> Decoded:
        """What a message says."""


class Delivery(Protocol):
    """One way of delivering the records of letters again."""

    def takes(self, letter: DeadLetter) -> bool:
        """Whether this is the way for a letter."""

    def deliver(self, letter: DeadLetter) -> None:
        """Deliver its record; done when this returns."""


@attrs.frozen
class Sinking:
    """Hands records to the sink that failed on them.

    To a transactional sink each letter is a log of its own with one record, at offset 0. So its progress says whether
    it has stored that record, and a second replay of it, even at the same time, stores nothing.
    """

    readable: Readable
    records: Records
    sink: Sink[Any]

    def takes(self, letter: DeadLetter) -> bool:
        """Whether it is a sink's letter."""
        return letter.stage is Stage.SINK

    def deliver(self, letter: DeadLetter) -> None:
        """Write a batch of this one record, unless the sink has it."""
        assert letter.partition is not None  # noqa: S101  (what a sink failed on has a position)
        log = f"{letter.log}.letter{letter.offset}"
        if self._has_stored(log, letter.partition):
            return
        message = self.records.message(letter)
        decoded = self.records.decode(message)
        record = Deletion(decoded.schema_id, decoded.value) if decoded.deleted else decoded.value
        try:
            self.sink.write(SinkBatch(self.readable.topic, log, letter.partition, 0, _STORED, [message], [record]))
        except CommitConflict:
            if not self._has_stored(log, letter.partition):
                raise

    def _has_stored(self, log: str, partition: int) -> bool:
        return isinstance(self.sink, TransactionalSink) and self.sink.progress(log, partition) == _STORED


@attrs.frozen
class Handling:
    """Hands records to a function, as a consumer received them."""

    readable: Readable
    records: Records
    function: Handler

    def takes(self, letter: DeadLetter) -> bool:
        """Whether it is a consumer's letter."""
        return letter.stage is Stage.CONSUME

    def deliver(self, letter: DeadLetter) -> None:
        """Call the function."""
        message = self.records.message(letter)
        self.function(received_from(message, *self.records.decode(message)))


@attrs.frozen
class Publication:
    """Publishes records again: equal ones merge, as they have the same identity and version."""

    readable: Readable
    records: Records
    producer: Producer
    mend: Mend | None

    def takes(self, letter: DeadLetter) -> bool:
        """Whether it is in quarantine, or was refused and can be mended.

        Raises:
            ConfigurationError: the topic's records would not merge, or others publish them.
        """
        if letter.stage is not Stage.ARCHIVE and (letter.stage is not Stage.PUBLISH or self.mend is None):
            return False
        topic = self.readable.topic
        if topic.source is not None or not topic.identity or topic.merge is None:
            reason = "others write it" if topic.source is not None else "it has no identity and merge policy"
            remedy = "only what is published twice and merges is published again"
            raise ConfigurationError(f"its records cannot be replayed: {reason}", topic=topic.name, remedy=remedy)
        return True

    def deliver(self, letter: DeadLetter) -> None:
        """Publish, and wait for the acknowledgment."""
        if letter.stage is Stage.PUBLISH:
            assert self.mend is not None  # noqa: S101  (else it was not taken)
            self._publish(self.mend(self.records.refused(letter)))
            return
        decoded = self.records.decode(self.records.message(letter))
        if decoded.deleted:
            self.producer.delete(self.readable.topic, decoded.value).result()
        else:
            self._publish(decoded.value)

    def _publish(self, record: Any) -> None:
        topic = self.readable.topic if isinstance(record, dict) else None
        self.producer.publish(record, topic=topic).result()
