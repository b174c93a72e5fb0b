"""Faults to inject into a log in memory, for tests and demonstrations; each at an explicit position."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import attrs

from onepipe.errors import ConfigurationError, DeliveryError
from onepipe.transport import Message, Outgoing, TopicPartition
from onepipe_memory.partition import MemoryPartition

if TYPE_CHECKING:
    from onepipe_memory.log import Log


@attrs.frozen
class AppendFault:
    """What shall become of one append.

    Attributes:
        indeterminate: whether the outcome says that the message may be stored.
        stored: whether it is.
    """

    indeterminate: bool
    stored: bool

    def error(self, message: Outgoing) -> DeliveryError:
        """The outcome's error."""
        text = "no answer came" if self.indeterminate else "the log refused the message"
        return DeliveryError(
            f"{text} (an injected fault)",
            topic=message.topic,
            partition=message.partition,
            indeterminate=self.indeterminate,
        )


class AppendFaults:
    """The planned faults of appends, each for one offset, once. Thread-safe."""

    def __init__(self) -> None:
        self.planned: dict[tuple[str, int, int], AppendFault] = {}
        self._lock = threading.Lock()

    def take(self, partition: MemoryPartition, message: Outgoing) -> AppendFault | None:
        """The fault planned for the offset this message would get, or None; it is planned no more."""
        with self._lock:
            return self.planned.pop((message.topic, message.partition, partition.bounds().end), None)


def flip_last_bit(value: bytes) -> bytes:
    """The value with its last bit flipped; one byte where it was empty."""
    return value[:-1] + bytes([value[-1] ^ 1]) if value else b"\x01"


class Faults:
    """Damages a log in memory as transports do in practice, and says what it did by what it returns."""

    def __init__(self, log: Log, appends: AppendFaults) -> None:
        self._log = log
        self._appends = appends

    def lose(self, topic: str, partition: int, offset: int) -> Message:
        """Take a stored message out of the log; its offset is a gap from then on."""
        message = self._stored(topic, partition, offset)
        self._partition(topic, partition).replace(offset, None)
        return message

    def repeat(self, topic: str, partition: int, offset: int, *, at: int | None = None) -> int:
        """Store a message once more, with the same key, value, headers and timestamp; where it is stored.

        Args:
            topic: name of the topic.
            partition: number of the partition.
            offset: offset of the message.
            at: a gap to put it into; None appends it.
        """
        message = self._stored(topic, partition, offset)
        held = self._partition(topic, partition)
        if at is None:
            at = held.append(Outgoing(topic, partition, message.key, message.value, message.headers, message.timestamp))
        else:
            self._within(held, topic, partition, at)
            if any(other.offset == at for other in held.read(at, 1).messages):
                raise ConfigurationError("there is a message already", topic=topic, partition=partition, offset=at)
            held.replace(at, message._replace(offset=at))
        self._log.wake()
        return at

    def alter(
        self, topic: str, partition: int, offset: int, change: Callable[[bytes], bytes] = flip_last_bit
    ) -> Message:
        """Change the bytes of a stored message's value; the message as it is now."""
        message = self._stored(topic, partition, offset)
        if message.value is None:
            raise ConfigurationError("a tombstone has no value", topic=topic, partition=partition, offset=offset)
        altered = message._replace(value=change(message.value))
        self._partition(topic, partition).replace(offset, altered)
        return altered

    def fail_append(self, topic: str, partition: int, offset: int) -> None:
        """Refuse the message that would be stored at an offset; the next one is stored there."""
        self._appends.planned[topic, partition, offset] = AppendFault(indeterminate=False, stored=False)

    def leave_append_open(self, topic: str, partition: int, offset: int, *, stored: bool) -> None:
        """Answer nothing to the message that would be stored at an offset: its outcome is indeterminate.

        Args:
            topic: name of the topic.
            partition: number of the partition.
            offset: the next offset when the message is appended.
            stored: whether the message is stored all the same.
        """
        self._appends.planned[topic, partition, offset] = AppendFault(indeterminate=True, stored=stored)

    def _partition(self, topic: str, partition: int) -> MemoryPartition:
        return cast("MemoryPartition", self._log.partition(TopicPartition(topic, partition)))

    def _stored(self, topic: str, partition: int, offset: int) -> Message:
        held = self._partition(topic, partition)
        self._within(held, topic, partition, offset)
        messages = held.read(offset, 1).messages
        if not messages or messages[0].offset != offset:
            raise ConfigurationError("there is no message", topic=topic, partition=partition, offset=offset)
        return messages[0]

    @staticmethod
    def _within(held: MemoryPartition, topic: str, partition: int, offset: int) -> None:
        start, end = held.bounds()
        if not start <= offset < end:
            message = f"the partition holds {start} to {end}"
            raise ConfigurationError(message, topic=topic, partition=partition, offset=offset)
