"""The writer: appends messages through a client's producer. Thread-safe."""

from __future__ import annotations

from collections.abc import Callable

from onepipe.transport import OnOutcome, Outgoing
from onepipe_kafka.client import Producer
from onepipe_kafka.errors import TOO_LARGE, Failure, no_partition, too_large, translated
from onepipe_kafka.lifetime import Lifetime
from onepipe_kafka.logs import Closable, Logs, WritableTopic


class KafkaWriter:
    """Appends messages to a Kafka. Thread-safe.

    Outcomes are told in the client's own threads or in those that call this writer, each exactly once.
    """

    def __init__(self, producer: Producer, logs: Logs, on_close: Callable[[Closable], None]) -> None:
        self._producer = producer
        self._send = producer.send
        self._logs = logs
        self._writable = logs.writable
        self._on_close = on_close
        self._life = Lifetime("writer", producer)

    def append(self, message: Outgoing, on_outcome: OnOutcome) -> None:
        """Take one message; what the topic does not take is refused here, before anything is sent.

        Raises:
            NotAuthorized: this client may not write the topic.
        """
        if self._life.ended is not None:
            self._life.check()
        topic = self._writable.get(message[0])
        value = message[3]
        if topic is None or not 0 <= message[1] < topic.partitions:
            topic = self._open(message)
        if value is not None and len(value) > topic.limit:
            raise too_large(message.topic, message.partition, len(value), topic.limit)
        if message[5] < topic.expired_before:
            self._logs.warn_of_expired(message.topic, topic)
        try:
            self._send(message, on_outcome)
        except Failure as failure:
            what = "the message is too large" if failure.code in TOO_LARGE else "the message was not taken"
            raise translated(failure, what, topic=message.topic, partition=message.partition) from failure

    def poll(self, timeout: float = 0.0) -> None:
        """Serve outcomes that are due, waiting up to `timeout` seconds for the first."""
        self._life.check()
        self._producer.poll(timeout)

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until every message has its outcome; False when `timeout` seconds passed before that."""
        self._life.check()
        return self._producer.flush(timeout)

    def close(self) -> None:
        """Take no more messages; those without outcome get an indeterminate one. May be called again."""
        if self._life.end():
            self._producer.close()
            self._on_close(self)

    def _open(self, message: Outgoing) -> WritableTopic:
        topic = self._logs.open(message.topic)
        if not 0 <= message.partition < topic.partitions:
            raise no_partition(message.topic, message.partition, topic.partitions)
        return topic
