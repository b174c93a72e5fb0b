"""confluent-kafka's producer."""

from __future__ import annotations

import time
from functools import partial
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from onepipe.errors import BufferFull
from onepipe.transport import Outgoing
from onepipe_kafka.client import OnDelivered, OnFailed
from onepipe_kafka.confluent_setup import Setup

_SERVE_MASK: Final = 0xFF
_CLOSE_SECONDS: Final = 5.0
_SLICE_SECONDS: Final = 0.2
"""Longest wait at a time, so that a signal is noticed."""


class ConfluentProducer:
    """See `onepipe_kafka.client.Producer`. Outcomes are told in the threads that call this."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._producer = setup.open(Producer, "producer", enable_idempotence=True, acks="all")
        self._sent = 0

    def send(self, message: Outgoing, delivered: OnDelivered, failed: OnFailed) -> None:
        """Take a message; outcomes that are due are served now and then."""
        topic, number, key, value, headers, timestamp = message
        try:
            self._producer.produce(
                topic,
                value,
                key,
                number,
                on_delivery=partial(self._tell, delivered, failed),
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

    def _tell(self, delivered: OnDelivered, failed: OnFailed, error: KafkaError | None, message: Message) -> None:
        if error is None:
            delivered(message.offset() or 0, message.timestamp()[1])
        else:
            failed(self._setup.failure(error))
