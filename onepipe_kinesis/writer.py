"""The writer: puts batches, and tells each message's outcome. Thread-safe."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from onepipe.errors import DeliveryError
from onepipe.transport import OnOutcome, Outcome, Outgoing
from onepipe_kinesis.api import Put
from onepipe_kinesis.config import KinesisConfig
from onepipe_kinesis.envelope import WRITER_BYTES, encode_message
from onepipe_kinesis.errors import (
    NOT_FOUND,
    PASSING,
    UNKNOWN,
    Failure,
    full,
    no_partition,
    too_large,
    undelivered,
)
from onepipe_kinesis.lanes import Lane, Waiting, one_call, room_for
from onepipe_kinesis.lifetime import Lifetime
from onepipe_kinesis.streams import Closable, Layout, Streams

_LOG: Final = logging.getLogger(__name__)


class KinesisWriter:
    """Appends messages to streams. Thread-safe.

    Ordering: of one writer and partition, as appended, whatever is refused and tried again. Delivery: a message is
    acknowledged once Kinesis stored its record. A record that Kinesis refused is tried again until
    `delivery.timeout.ms` is over. So is one whose attempt had no answer: it may then be stored twice, and readers know
    the copy by its number. A thread for each stream puts the records and tells the outcomes.
    """

    def __init__(self, streams: Streams, config: KinesisConfig, on_close: Callable[[Closable], None]) -> None:
        self.id = os.urandom(WRITER_BYTES)
        self.config = config
        self.streams = streams
        self._on_close = on_close
        self._life = Lifetime("writer")
        self._changed = threading.Condition()
        self._pumps: dict[tuple[str, str], _Pump] = {}
        self._open = 0
        self._bytes = 0
        self._told = 0

    def append(self, message: Outgoing, on_outcome: OnOutcome) -> None:
        """Take one message; what its stream does not take is refused here, before anything is put."""
        self._life.check()
        layout = self._layout(message)
        encoded = encode_message(message)
        if not room_for(len(encoded), self.config.record_bytes, message.partition):
            raise too_large(message.topic, message.partition, len(encoded), self.config.record_bytes)
        with self._changed:
            self._life.check()
            if self._open and self._bytes + len(encoded) > self.config.buffer_memory:
                raise full(message.topic, message.partition, self._bytes)
            self._open += 1
            self._bytes += len(encoded)
            pump = self._pump(message.topic, layout)
            lane = pump.lane(message.partition, layout)
            lane.queue.append(Waiting(encoded, message.timestamp, on_outcome))
            self._changed.notify_all()

    def poll(self, timeout: float = 0.0) -> None:
        """Wait up to `timeout` seconds for an outcome, if any is open; they are told by threads of the writer."""
        self._life.check()
        with self._changed:
            told = self._told
            self._changed.wait_for(lambda: self._told > told or not self._open or self._life.over, max(0.0, timeout))

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until every message has its outcome; False when `timeout` seconds passed before that."""
        self._life.check()
        with self._changed:
            return self._changed.wait_for(lambda: not self._open, timeout)

    def close(self) -> None:
        """Take no more messages. May be called again.

        The calls under way are waited for. What was not tried has surely failed; what had no answer is indeterminate.
        """
        if not self._life.end():
            return
        with self._changed:
            self._changed.notify_all()
            pumps = list(self._pumps.values())
        for pump in pumps:
            pump.close(self.config.request_timeout_ms / 1000)
        self._on_close(self)

    def tell(self, messages: Sequence[Waiting], error: DeliveryError | None) -> None:
        """Tell outcomes, in the thread of a pump, without the lock."""
        for _, timestamp, on_outcome in messages:
            try:
                on_outcome(Outcome(None, timestamp, None) if error is None else Outcome(None, None, error))
            except Exception:
                _LOG.exception("the outcome of a message could not be told")
        with self._changed:
            self._open -= len(messages)
            self._bytes -= sum(len(message.encoded) for message in messages)
            self._told += len(messages)
            self._changed.notify_all()

    def _layout(self, message: Outgoing) -> Layout:
        layout = self.streams.layout(message.topic)
        if not 0 <= message.partition < len(layout.points):
            layout = self.streams.refresh(message.topic)  # a split may have made one more
            if not 0 <= message.partition < len(layout.points):
                raise no_partition(message.topic, message.partition, len(layout.points))
        return layout

    def _pump(self, topic: str, layout: Layout) -> _Pump:
        pump = self._pumps.get((topic, layout.log))
        if pump is None:
            pump = self._pumps[topic, layout.log] = _Pump(self, topic, self._changed, self._life)
        return pump


class _Pump:
    """Puts what waits for one stream, in a thread of its own."""

    def __init__(self, writer: KinesisWriter, topic: str, changed: threading.Condition, life: Lifetime) -> None:
        self._writer = writer
        self._topic = topic
        self._changed = changed
        self._life = life
        self._lanes: dict[int, Lane] = {}
        self._calling: list[tuple[Lane, Put]] = []
        self._thread = threading.Thread(target=self._run, name=f"onepipe-kinesis-{topic}", daemon=True)
        self._thread.start()

    def lane(self, partition: int, layout: Layout) -> Lane:
        """The lane of a partition; the lock is held."""
        lane = self._lanes.get(partition)
        if lane is None:
            lane = self._lanes[partition] = Lane(partition, layout.points[partition])
        return lane

    def close(self, timeout: float) -> None:
        """Wait for the call under way, and give up all that has no outcome."""
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout)
        with self._changed:
            calling = {id(lane) for lane, _ in self._calling}
            given_up = [
                (lane, lane.uncertain or id(lane) in calling, lane.settle(), list(lane.queue))
                for lane in self._lanes.values()
            ]
            for lane in self._lanes.values():
                lane.queue.clear()
        for lane, uncertain, sent, queued in given_up:
            reason = "the writer was closed"
            self._writer.tell(sent, undelivered(self._topic, lane.partition, reason, indeterminate=uncertain))
            self._writer.tell(queued, undelivered(self._topic, lane.partition, reason, indeterminate=False))

    def _run(self) -> None:
        config = self._writer.config
        while True:
            with self._changed:
                while not (due := self._due()) and not self._life.over:
                    self._changed.wait(self._pause())
                if self._life.over:
                    return
                self._calling = one_call(due, self._writer.id, config.batch_bytes, config.delivery_timeout_ms / 1000)
            self._put(self._calling)

    def _due(self) -> list[Lane]:
        """Lanes with something to be tried now, those that waited longest first."""
        now = time.monotonic()
        due = [(at, lane) for lane in self._lanes.values() if (at := lane.due()) is not None and at <= now]
        return [lane for _, lane in sorted(due, key=lambda one: one[0])]

    def _pause(self) -> float | None:
        """Seconds until something is due; None where nothing waits."""
        due = [at for lane in self._lanes.values() if (at := lane.due()) is not None]
        return max(0.001, min(due) - time.monotonic()) if due else None

    def _put(self, records: list[tuple[Lane, Put]]) -> None:
        """Put records, and settle or schedule each."""
        certain = True
        answers: Sequence[Failure | None]
        try:
            answers = self._writer.streams.api.put(self._topic, [record for _, record in records])
        except Failure as refusal:
            certain = refusal.code not in UNKNOWN
            answers = [refusal] * len(records)
            if refusal.code == NOT_FOUND:
                self._writer.streams.forget(self._topic)
        for (lane, _), failure in zip(records, answers, strict=True):
            with self._changed:
                lane.uncertain = lane.uncertain or not certain
                again = failure is not None and failure.code in PASSING and lane.retry() and not self._life.over
                messages, uncertain = ([], False) if again else (lane.settle(), lane.uncertain)
            if failure is None:
                self._writer.tell(messages, None)
            elif messages:
                error = undelivered(self._topic, lane.partition, failure.reason, indeterminate=uncertain)
                self._writer.tell(messages, error)
        self._calling = []
