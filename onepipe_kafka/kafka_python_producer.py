"""kafka-python's producer, with the bound on memory that it has no setting for."""

from __future__ import annotations

import math
import threading
import time
from typing import Any, Final

from kafka.errors import KafkaError, KafkaTimeoutError, MessageSizeTooLargeError, UnknownError

from onepipe.errors import BufferFull
from onepipe.transport import OnOutcome, Outcome, Outgoing, TopicPartition
from onepipe_kafka.errors import LOCAL, Failure, undelivered
from onepipe_kafka.kafka_python_setup import Setup

_TOO_LARGE: Final = 10
_MESSAGE_BYTES: Final = 200
"""About what a message takes in memory beside key and value."""
_CLOSE_SECONDS: Final = 5.0
_RETRY_SECONDS: Final = 0.01
_SLICE_SECONDS: Final = 1.0


class KafkaPythonProducer:
    """See `onepipe_kafka.client.Producer`. Outcomes are told in the client's thread."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._producer = setup.open(
            "producer", enable_idempotence=True, acks="all", allow_auto_create_topics=False, metrics_enabled=False
        )
        self._limit = setup.config.buffer_bytes
        self._waiting: dict[object, tuple[int, OnOutcome, TopicPartition]] = {}
        self._bytes = 0
        self._changed = threading.Condition()

    def send(self, message: Outgoing, on_outcome: OnOutcome) -> None:
        """Take a message, where there is room."""
        topic, number, key, value, headers, timestamp = message
        size = _MESSAGE_BYTES + len(key or b"") + len(value or b"")
        ticket = object()
        with self._changed:
            if self._bytes and self._bytes + size > self._limit:
                remedy = "raise buffer.memory"
                raise BufferFull("the buffer is full", topic=topic, partition=number, remedy=remedy)
            self._waiting[ticket] = size, on_outcome, TopicPartition(topic, number)
            self._bytes += size

        def succeeded(stored: Any) -> None:
            if self._settle(ticket):
                on_outcome(Outcome(stored.offset, stored.timestamp))

        def errored(error: BaseException) -> None:
            if self._settle(ticket):
                on_outcome(Outcome(None, None, undelivered(self._setup.failure(error), topic, number)))

        try:
            future = self._producer.send(topic, value, key, list(headers), number, timestamp)
        except MessageSizeTooLargeError as error:
            self._settle(ticket)
            raise Failure(_TOO_LARGE, self._setup.failure(error).reason) from error
        except (KafkaError, ValueError) as error:  # a ValueError says what kafka-python does not send
            self._settle(ticket)
            raise self._setup.failure(error) from error
        future.add_callback(succeeded)
        future.add_errback(errored)

    def poll(self, timeout: float) -> None:
        """Wait up to `timeout` seconds for an outcome; they are served by the client's own thread."""
        with self._changed:
            if self._waiting:
                self._changed.wait(timeout)

    def flush(self, timeout: float | None) -> bool:
        """Wait for every outcome; False where `timeout` seconds passed before."""
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        while self._waiting:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            try:
                self._producer.flush(min(left, _SLICE_SECONDS))
            except KafkaTimeoutError:
                continue
            except UnknownError:  # of a batch that was split while it was waited for
                self.poll(_RETRY_SECONDS)
        return True

    def close(self) -> None:
        """Give up what has no outcome yet, telling so."""
        try:
            self._producer.close(0)
        except KafkaTimeoutError:  # from waiting no time for what is under way, before anything was closed
            self._producer._sender.force_close()  # noqa: SLF001 - the public way waits, or raises before it closes
            self._producer._sender.join(_CLOSE_SECONDS)  # noqa: SLF001 - as above
            self._producer.close(0)
        closed = Failure(LOCAL, "the writer was closed")
        for _, on_outcome, partition in self._take_all():
            on_outcome(Outcome(None, None, undelivered(closed, *partition)))

    def _settle(self, ticket: object) -> bool:
        """Note that a message has its outcome; False where it had one before."""
        with self._changed:
            waiting = self._waiting.pop(ticket, None)
            if waiting is None:
                return False
            self._bytes -= waiting[0]
            self._changed.notify_all()
            return True

    def _take_all(self) -> list[tuple[int, OnOutcome, TopicPartition]]:
        with self._changed:
            left, self._waiting = list(self._waiting.values()), {}
            return left
