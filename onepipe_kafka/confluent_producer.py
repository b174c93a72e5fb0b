"""confluent-kafka's producer."""

from __future__ import annotations

import time
from functools import partial
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from onepipe.errors import BufferFull
from onepipe.transport import OnOutcome, Outcome, Outgoing
from onepipe_kafka.confluent_setup import Setup
from onepipe_kafka.errors import undelivered

_SERVE_MASK: Final = 0xFF
_CLOSE_SECONDS: Final = 5.0
_SLICE_SECONDS: Final = 0.2
"""Longest wait at a time, so that a signal is noticed."""

_new = tuple.__new__


class ConfluentProducer:
    """See `onepipe_kafka.client.Producer`. Outcomes are told in the threads that call this."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._producer = setup.open(Producer, "producer", enable_idempotence=True, acks="all")
        self._sent = 0

    def send(self, message: Outgoing, on_outcome: OnOutcome) -> None:
        """Take a message; outcomes that are due are served now and then."""
        topic, number, key, value, headers, timestamp = message
        try:
            self._producer.produce(
                topic,
                value,
                key,
                number,
                on_delivery=partial(_tell, self._setup, on_outcome, topic, number),
                timestamp=timestamp,
                headers=list(headers),
            )
        except BufferError:
            remedy = "raise queue.buffering.max.messages or queue.buffering.max.kbytes"
            raise BufferFull("the client's queue is full", topic=topic, partition=number, remedy=remedy) from None
        except KafkaException as error:
            raise self._setup.failure(error) from error
        self._sent += 1
        if not self._sent & _SERVE_MASK:
            self._producer.poll(0)

    def poll(self, timeout: float) -> None:
        """Serve outcomes, waiting up to `timeout` seconds for the first."""
        deadline = time.monotonic() + timeout
        left = timeout
        while not self._producer.poll(min(_SLICE_SECONDS, max(0.0, left))) and len(self._producer):
            left = deadline - time.monotonic()
            if left <= 0:
                return

    def flush(self, timeout: float | None) -> bool:
        """Wait for every outcome; False where `timeout` seconds passed before."""
        if timeout is not None:
            return not self._producer.flush(timeout)
        while self._producer.flush(_SLICE_SECONDS):
            pass
        return True

    def close(self) -> None:
        """Give up what has no outcome yet, telling so."""
        self._producer.purge()
        self._producer.flush(_CLOSE_SECONDS)


def _tell(  # what it holds of the message is little, as it stays until the outcome
    setup: Setup, on_outcome: OnOutcome, topic: str, partition: int, error: KafkaError | None, stored: Message
) -> None:
    if error is None:
        on_outcome(_new(Outcome, (stored.offset() or 0, stored.timestamp()[1], None)))
    else:
        on_outcome(Outcome(None, None, undelivered(setup.failure(error), topic, partition)))
