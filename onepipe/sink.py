"""The port of a sink: something that takes batches of records with their positions.

There are two tiers:

- A `TransactionalSink` stores its progress in the same transaction as the data: each record takes effect exactly once.
- Any other `Sink` writes idempotently, so that a batch written twice is as one written once; its progress is kept
  elsewhere, in a `ProgressStore`, and stored after the data.

Either way any step may be killed and run again, by several processes at once. `feed` drives a sink from a transport.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeAlias, TypeVar, runtime_checkable

import attrs

from onepipe.consuming.backoff import NEVER, Backoff, Failure
from onepipe.consuming.delivery import Delivery, SetAside
from onepipe.errors import CodecError, CommitConflict, ConfigurationError, NotRegistered, OnepipeError
from onepipe.transport import Message, TopicPartition

if TYPE_CHECKING:
    from onepipe.bodies.deletion import Deletion
    from onepipe.declaring.topic import Topic
    from onepipe.transport import Reader, Transport, Until

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
R_contra = TypeVar("R_contra", contravariant=True)

_POLL_SECONDS: Final = 0.2

PutAside: TypeAlias = Callable[[Message, OnepipeError], None]
"""Puts a message aside durably, with the reason, before it returns."""


@attrs.frozen
class SinkBatch(Generic[R_co]):
    """Records of a contiguous range of offsets of one partition.

    Attributes:
        topic: the declaration of the records.
        log: identity of the log (`TopicDescription.log`): positions of different logs are not comparable.
        partition: number of the partition.
        first: first offset of the range: the progress before this batch.
        next: end of the range, exclusive: the progress after this batch.
        messages: the messages in offset order; offsets without one are gaps in the log, or were put aside.
        records: the record of each message; a `Deletion` where the message is a delete.
    """

    topic: Topic
    log: str
    partition: int
    first: int
    next: int
    messages: Sequence[Message]
    records: Sequence[R_co | Deletion]


@runtime_checkable
class Sink(Protocol[R_contra]):
    """A sink. Without `progress` it must be idempotent: a range may be written again, cut into other batches."""

    def write(self, batch: SinkBatch[R_contra]) -> None:
        """Store a batch; durable when this returns."""


@runtime_checkable
class TransactionalSink(Sink[R_contra], Protocol[R_contra]):
    """A sink that remembers its progress with its data.

    `write` stores the records and, in the same transaction, `batch.next` as the progress of `(batch.log,
    batch.partition)`, on condition that the progress stored so far is `batch.first`, or that none is stored. Where it
    is not, another process was faster: `write` stores nothing and raises CommitConflict.
    """

    def progress(self, log: str, partition: int) -> int | None:
        """The offset after the last one stored for the partition, or None where none is."""


class ProgressStore(Protocol):
    """Keeps the progress of a sink that cannot."""

    def progress(self, log: str, partition: int) -> int | None:
        """The offset after the last one stored for the partition, or None where none is."""

    def advance(self, log: str, partition: int, first: int, next: int) -> None:  # noqa: A002 - as in SinkBatch
        """Store `next` durably as progress, on condition that `first` is stored, or nothing is.

        Raises:
            CommitConflict: another progress is stored.
        """


def feed(
    sink: Sink[R],
    topic: Topic,
    transport: Transport,
    decode: Callable[[Message], R | Deletion],
    *,
    progress: ProgressStore | None = None,
    max_batch: int = 10_000,
    on_undecodable: PutAside | None = None,
    until: Until = "end",
    stop: threading.Event | None = None,
    retry: Backoff = NEVER,
    set_aside: SetAside | None = None,
) -> dict[int, int]:
    """Bring a sink up to date: each message after its progress, in offset order by partition.

    Delivery: into a transactional sink exactly once; into an idempotent one at least once.

    Args:
        sink: where to write.
        topic: what to read.
        transport: where to read.
        decode: from a message to its record, or to the `Deletion` it is.
        progress: where the progress of a sink is kept that does not keep its own.
        max_batch: most messages to hold at a time.
        on_undecodable: takes a message that `decode` refuses; it then counts as done. None leaves it to `set_aside`.
        until: "end" returns at the present end of the log; "stopped" goes on with what arrives.
        stop: set it to end the run early; its last batch is stored, unless it is being tried again.
        retry: how often to try again what the sink raises, and after which pauses. CommitConflict is none of that.
        set_aside: keeps each record that the sink fails on after that, which then counts as done. None raises.

    Returns:
        By partition, the offset after the last one stored.

    Raises:
        ConfigurationError: the sink keeps no progress, and no store for it was given.
        CommitConflict: the sink keeps refusing progress that it reports itself.
        PositionLost: retention, or a replaced log, took messages the sink does not have yet.
    """
    keeper: TransactionalSink[Any] | ProgressStore | None = sink if isinstance(sink, TransactionalSink) else progress
    if keeper is None:
        raise ConfigurationError(
            f"{type(sink).__name__} has no method 'progress', and no store of progress was given", topic=topic.name
        )
    advance = None if keeper is sink or progress is None else progress.advance
    log, reader = _open(transport, topic.name)
    try:
        stop = stop or threading.Event()
        feeding = _Feeding(
            sink, keeper.progress, advance, topic, log, reader, decode, on_undecodable, retry, set_aside, stop
        )
        feeding.run(max_batch, until)
        return feeding.stored
    finally:
        reader.close()


def _open(transport: Transport, topic: str) -> tuple[str, Reader]:
    """A reader of all partitions, and the identity of the very log it reads."""
    while True:
        description = transport.describe_topic(topic)
        reader = transport.reader([TopicPartition(topic, number) for number in range(description.partitions)])
        if transport.describe_topic(topic).log == description.log:
            return description.log, reader
        reader.close()


@attrs.define
class _Feeding(Generic[R]):
    """One run of `feed`. `stored` is the progress by partition; `advance` stores it, where the sink does not itself."""

    sink: Sink[R]
    progress: Callable[[str, int], int | None]
    advance: Callable[[str, int, int, int], None] | None
    topic: Topic
    log: str
    reader: Reader
    decode: Callable[[Message], R | Deletion]
    on_undecodable: PutAside | None
    retry: Backoff
    set_aside: SetAside | None
    stop: threading.Event
    stored: dict[int, int] = attrs.field(init=False, factory=dict)
    delivery: Delivery = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.delivery = Delivery(self._store, self.retry, self.set_aside, self.stop)
        for partition in sorted(self.reader.assignment()):
            self._seek_stored(partition)

    def run(self, max_batch: int, until: Until) -> None:
        ends = {partition: self.reader.bounds(partition).end for partition in self.reader.assignment()}
        while not self.stop.is_set() and (
            until == "stopped" or any(self.reader.position(place) < end for place, end in ends.items())
        ):
            self._step(max_batch)

    def _step(self, max_batch: int) -> None:
        messages = self.reader.poll(max_batch, _POLL_SECONDS)
        for number, group in groupby(messages, lambda message: message.partition):
            self._write(number, list(group))

    def _write(self, number: int, messages: list[Message]) -> None:
        first, next_ = self.stored[number], messages[-1].offset + 1
        kept, records, aside = self._decode(messages)
        batch = SinkBatch(self.topic, self.log, number, first, next_, kept, records)
        try:
            if self.delivery.deliver(batch) and self.set_aside is not None:
                for message in aside:
                    self.set_aside.passed(message, self.log)
        except CommitConflict:
            reached = self.stored[number]
            self._seek_stored(TopicPartition(self.topic.name, number))
            if self.stored[number] == reached:
                raise

    def _store(self, batch: SinkBatch[R]) -> None:
        self.sink.write(batch)
        if self.advance is not None:
            self.advance(batch.log, batch.partition, batch.first, batch.next)
        self.stored[batch.partition] = batch.next

    def _decode(self, messages: list[Message]) -> tuple[list[Message], list[R | Deletion], list[Message]]:
        """The messages that can be decoded, their records, and the messages that were set aside."""
        kept: list[Message] = []
        records: list[R | Deletion] = []
        aside: list[Message] = []
        for message in messages:
            try:
                records.append(self.decode(message))
            except (CodecError, NotRegistered) as error:
                if self.on_undecodable is not None:
                    self.on_undecodable(message, error)
                elif self.set_aside is not None:
                    self.set_aside.failed(message, self.log, Failure(error, 1))
                    aside.append(message)
                else:
                    raise
            else:
                kept.append(message)
        return kept, records, aside

    def _seek_stored(self, partition: TopicPartition) -> None:
        stored = self.progress(self.log, partition.partition)
        if stored is None:
            stored = self.reader.bounds(partition).start
        self.stored[partition.partition] = stored
        self.reader.seek(partition, stored)
