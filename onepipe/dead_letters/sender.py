"""Writing dead letters: each is acknowledged by the log before its call returns."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import attrs

from onepipe.dead_letters.letter import DeadLetter, moved, set_aside, version, without_copy
from onepipe.dead_letters.topic import Stage, State, dead_letter_topic
from onepipe.errors import RecordTooLarge

if TYPE_CHECKING:
    from onepipe.declaring.topic import Topic
    from onepipe.publishing.receipt import Receipt
    from onepipe.transport import Message


class Publisher(Protocol):
    """What letters are published by: a producer."""

    def publish(self, record: Any, *, topic: Topic) -> Receipt:
        """Publish one record."""

    def close(self) -> None:
        """Wait for every outcome, and let go of every resource."""


class LetterSender:
    """Writes letters through a producer of its own, which is made at the first one. Used by one thread at a time."""

    def __init__(self, producer: Callable[[], Publisher], now: Callable[[], dt.datetime]) -> None:
        """Make a sender.

        Args:
            producer: makes the producer.
            now: the present moment, aware.
        """
        self._new_producer = producer
        self._now = now
        self._producer: Publisher | None = None

    def set_aside(
        self,
        message: Message,
        log: str,
        error: Exception,
        *,
        stage: Stage,
        consumer: str,
        attempts: int,
        state: State = State.OPEN,
    ) -> None:
        """Keep a message that a consumer or sink fails on; durable when this returns.

        A message larger than a letter may be is kept by its position alone.

        Args:
            message: the message.
            log: identity of its log.
            error: why.
            stage: consume or sink.
            consumer: name of the group or sink.
            attempts: how often it was tried.
            state: open, or unconfirmed until it is known that the sink went on without it.

        Raises:
            TransportError: it was not acknowledged.
        """
        said = set_aside(message, log, stage, consumer, error, attempts, self._now())
        self._send(message.topic, {**said, "state": state.value, "version": version(0, state)})

    def move(self, letter: DeadLetter, **changes: Any) -> DeadLetter:
        """Let a letter come to another state, with whatever else changed; durable when this returns.

        Raises:
            TransportError: it was not acknowledged.
        """
        now = self._now()
        changed = attrs.evolve(letter, last_seen=now, **changes)
        self._send(letter.topic, moved(changed, now))
        return changed

    def close(self) -> None:
        """Close the producer, if there is one. May be called again."""
        if self._producer is not None:
            self._producer.close()
            self._producer = None

    def _send(self, topic: str, said: Mapping[str, Any]) -> None:
        if self._producer is None:
            self._producer = self._new_producer()
        where = dead_letter_topic(topic)
        try:
            receipt = self._producer.publish(said, topic=where)
        except RecordTooLarge:
            receipt = self._producer.publish(without_copy(said), topic=where)
        receipt.result()
