"""Consumer: reads records of topics, each decoded by what its message says of its schema."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final, Generic, Literal, Self, TypeVar

from onepipe.arguments import (
    milliseconds,
    require_a,
    require_choice,
    require_count,
    require_moment,
    require_name,
    require_seconds,
)
from onepipe.bodies.decoder import MessageDecoder
from onepipe.consuming.backoff import NEVER, Backoff, attempt
from onepipe.consuming.delivery import OnFailure
from onepipe.consuming.intake import Intake
from onepipe.consuming.received import Received
from onepipe.consuming.unpacking import Unpacking
from onepipe.dead_letters.topic import Stage
from onepipe.errors import ClosedError, ConfigurationError
from onepipe.transport import Message, Start, TopicPartition, Until

if TYPE_CHECKING:
    import pyarrow as pa

    from onepipe.dead_letters.sender import LetterSender
    from onepipe.registry.port import Registry
    from onepipe.topics import Readable
    from onepipe.transport import Transport

T = TypeVar("T")
B = TypeVar("B")

_POLL_SECONDS: Final = 0.1
_STARTS: Final = "Start.EARLIEST, Start.LATEST, or an aware datetime"

OnUndecodable = Literal["raise", "yield"]
"""What a message that cannot be decoded does: it stops the consumer, or is handed out with its error."""


def _always_open() -> None:
    """A consumer without pipeline is closed by itself alone."""


class Consumer(Generic[T]):
    """Reads records. Used by one thread at a time; only `stop` may be called from another, or a signal handler.

    Ordering: offset order within a partition. Delivery: at least once. Within a group, a record counts as handled when
    the next one is asked for, or the iteration ends. `auto_commit` commits that every `commit_every` seconds, when
    partitions are taken away, and when the consumer is closed.

    Made by `Pipeline.consumer`.
    """

    def __init__(
        self,
        opened: Sequence[Readable],
        transport: Transport,
        registry: Registry,
        *,
        group: str | None = None,
        start: Start | dt.datetime = Start.EARLIEST,
        until: Until = "stopped",
        resolve: bool = True,
        on_undecodable: OnUndecodable = "raise",
        auto_commit: bool = True,
        commit_every: float = 5.0,
        letters: LetterSender | None = None,
        check_open: Callable[[], None] = _always_open,
    ) -> None:
        """Make a consumer.

        Args:
            opened: the topics to read.
            transport: where to read them.
            registry: where schemas are found by id.
            group: name of the group to share partitions with; None reads all partitions alone.
            start: where to begin in a partition without a committed offset: its start, its end, or a moment.
            until: "end" stops once every partition is read to its end; "stopped" waits for more.
            resolve: whether records take the form of the named class or topic; else that of their writer's schema,
                as dicts.
            on_undecodable: "raise" stops at a message that cannot be decoded, and stays there; "yield" hands it out
                with its error.
            auto_commit: whether to commit for the group what was handled.
            commit_every: seconds between such commits.
            letters: keeps what fails; None where nothing can be kept.
            check_open: raises ClosedError where the pipeline is closed.

        Raises:
            ConfigurationError: an argument has another form, or two of the topics are the same one.
        """
        require_choice("until", until, Until)
        require_choice("on_undecodable", on_undecodable, OnUndecodable)
        require_seconds("commit_every", commit_every)
        require_name("group", group)
        self._topics: dict[str, Readable] = {}
        for entry in opened:
            if self._topics.setdefault(entry.topic.name, entry) is not entry:
                raise ConfigurationError("the topic is named twice", topic=entry.topic.name, remedy="name it once")
        self._check_open = check_open
        self._group = group
        self._registry = registry
        self._letters = letters
        self._until = until
        self._stopped = threading.Event()
        self._closed = False
        decoders = {name: _decoder(registry, entry, resolve=resolve) for name, entry in self._topics.items()}
        self._intake = Intake(
            opened,
            transport,
            group=group,
            start=start if isinstance(start, Start) else require_moment("start", start, _STARTS),
            auto_commit=auto_commit,
            commit_every=commit_every,
        )
        keep_undecodable = on_undecodable == "yield"
        self._unpacking: Unpacking[T] = Unpacking(self._intake, decoders, keep_undecodable=keep_undecodable)

    def __iter__(self) -> Iterator[Received[T]]:
        """Yield records until `stop`, or to the end where the consumer was made so.

        Raises:
            DecodeError: a message cannot be decoded; the consumer stays before it (see `skip`).
        """
        for batch in self.batches(1, timeout=_POLL_SECONDS):
            yield from batch

    def records(self) -> Iterator[T]:
        """Yield the records alone, without deletes, otherwise as iterating the consumer does."""
        return (received.record for received in self if not received.deleted)

    def batches(self, size: int = 1000, timeout: float = 1.0) -> Iterator[list[Received[T]]]:
        """Yield lists of one to `size` records, fewer where no more came within `timeout` seconds.

        Raises:
            DecodeError: a message cannot be decoded; what came before it was yielded, and the consumer stays before it.
        """
        _require_batch("size", size, timeout)
        return self._read(size, timeout, self._unpacking.records)

    def arrow_batches(self, size: int = 10_000, timeout: float = 1.0) -> Iterator[pa.RecordBatch]:
        """Yield Arrow batches of one to `size` records, in the form of the named class or topic; deletes are left out.

        Raises:
            ConfigurationError: the consumer reads several topics.
            DecodeError: a message cannot be decoded; what came before it was yielded, and the consumer stays before it.
        """
        from onepipe.bodies.arrow_decoder import ArrowDecoder

        _require_batch("size", size, timeout)
        if len(self._topics) != 1:
            raise ConfigurationError("Arrow batches are of one topic", remedy="make a consumer for each")
        (entry,) = self._topics.values()
        decoder = ArrowDecoder(entry.schemas or self._registry, entry.topic)
        batches = self._read(size, timeout, partial(self._unpacking.columns, decoder))
        return (batch for batch in batches if batch.num_rows)

    def poll(self, max_records: int = 500, timeout: float = 0.0) -> list[Received[T]]:
        """Return up to `max_records` records that come within `timeout` seconds.

        What the previous call returned counts as handled.

        Raises:
            DecodeError: the next message cannot be decoded; the consumer stays before it.
        """
        _require_batch("max_records", max_records, timeout)
        return self._unpacking.records(self._take(max_records, timeout))

    def handle(
        self,
        function: Callable[[Received[T]], object],
        *,
        retry: Backoff | None = None,
        on_failure: OnFailure = "raise",
    ) -> None:
        """Call a function with each record, as iterating yields them, and again where it fails.

        Delivery: at least once. A record on which the function fails for good counts as handled only where it is kept
        as a dead letter. What may be no fault of the record is raised in either case: an OSError, and errors of
        transport, registry and lake. With on_failure="dead_letter", a message that is yielded with its error goes to
        the dead letters without a call.

        Args:
            function: takes what was received; what it returns is ignored.
            retry: how often to call it again, and after which pauses: op.backoff(5); None is never.
            on_failure: "raise", or "dead_letter".

        Raises:
            ConfigurationError: dead letters are asked for, and the consumer has no group.
            Exception: what the function raised last; the next read begins with that record.
        """
        require_a(Backoff, "retry", retry, "an op.backoff(…)")
        require_choice("on_failure", on_failure, OnFailure)
        keeping = on_failure == "dead_letter"
        if keeping:
            self._require_letters()
        for received in self:
            if received.error is not None and keeping:
                self.dead_letter(received, received.error)
                continue
            failure = attempt(partial(function, received), retry or NEVER, wait=self._stopped.wait)
            if failure is None:
                continue
            if keeping and failure.is_of_the_record and not failure.stopped:
                self.dead_letter(received, failure.error, attempts=failure.attempts)
                continue
            self._intake.give_back(1)
            if failure.stopped:
                break
            raise failure.error

    def dead_letter(self, received: Received[T], error: Exception, *, attempts: int = 1) -> None:
        """Keep a record that could not be handled in the topic's dead letters; durable when this returns.

        One record is one letter of the group, however often it is kept.

        Args:
            received: the record.
            error: why it could not be handled.
            attempts: how often it was tried.

        Raises:
            ConfigurationError: the consumer has no group, under whose name letters are kept.
            TransportError: the letter was not acknowledged.
        """
        letters, group = self._require_letters()
        message = Message(
            received.topic,
            received.partition,
            received.offset,
            milliseconds(received.timestamp),
            received.key,
            received.value,
            received.headers,
        )
        log = self._topics[received.topic].description.log
        letters.set_aside(message, log, error, stage=Stage.CONSUME, consumer=group, attempts=attempts)

    def _require_letters(self) -> tuple[LetterSender, str]:
        self._require_open()
        if self._letters is None or self._group is None:
            raise ConfigurationError("dead letters are kept for a group", remedy="pipe.consumer(…, group=…)")
        return self._letters, self._group

    def skip(self) -> None:
        """Leave out the message at which the last read stopped, as it could not be decoded; that one and no other.

        Raises:
            ConfigurationError: the last read stopped at no message.
        """
        self._require_open()
        self._unpacking.skip()

    def stop(self) -> None:
        """End the iteration after the record at hand. May be called from another thread or a signal handler."""
        self._stopped.set()

    def commit(self) -> None:
        """Commit for the group what was handled so far, the records at hand included.

        Raises:
            ConfigurationError: the consumer has no group.
            CommitRefused: a partition belongs to another consumer by now.
        """
        self._require_open()
        self._intake.commit()

    def seek(self, partition: int, offset: int, *, topic: str | None = None) -> None:
        """Go to an offset of a partition; the next record is the first at or after it.

        Args:
            partition: number of the partition.
            offset: where to go.
            topic: name of the topic; may be left out where the consumer reads one.
        """
        require_a(int, "offset", offset, "a whole number")
        self._intake.seek(self._place(partition, topic), offset)

    def seek_time(self, moment: dt.datetime) -> None:
        """Go, in every partition at hand, to the first record written at or after a moment (aware), else to the end."""
        self._require_open()
        self._intake.seek_time(require_moment("moment", moment))

    def pause(self, partition: int, *, topic: str | None = None) -> None:
        """Return no more records of a partition until `resume`, keeping its position."""
        self._intake.pause(self._place(partition, topic))

    def resume(self, partition: int, *, topic: str | None = None) -> None:
        """Return records of a paused partition again."""
        self._intake.resume(self._place(partition, topic))

    def lag(self) -> dict[TopicPartition, int]:
        """By partition at hand, how many offsets lie between the next record and the end of the log."""
        self._require_open()
        return self._intake.lag()

    def close(self) -> None:
        """Commit what was handled, where that is automatic, and leave. May be called again."""
        if not self._closed:
            self._closed = True
            try:
                self._intake.close()
            finally:
                if self._letters is not None:
                    self._letters.close()

    def __repr__(self) -> str:
        group = f" group={self._group}" if self._group is not None else ""
        return f"<Consumer {', '.join(self._topics)}{group}{' closed' if self._closed else ''}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _require_open(self) -> None:
        if self._closed:
            raise ClosedError("the consumer is closed", remedy="make another: pipe.consumer(…)")
        self._check_open()

    def _place(self, partition: int, topic: str | None) -> TopicPartition:
        self._require_open()
        require_a(int, "partition", partition, "the number of a partition")
        require_name("topic", topic)
        if topic is None:
            if len(self._topics) != 1:
                raise ConfigurationError("the consumer reads several topics", remedy="say which: topic=…")
            (topic,) = self._topics
        return TopicPartition(topic, partition)

    def _read(self, size: int, timeout: float, decode: Callable[[Sequence[Message]], B]) -> Iterator[B]:
        """Yield what `decode` makes of up to `size` messages at a time, until `stop` or the wanted end."""
        while not self._stopped.is_set():
            messages = self._take(size, timeout)
            if messages:
                yield decode(messages)
            elif self._until == "end" and self._intake.caught_up():
                break
        self._intake.finish()

    def _take(self, most: int, timeout: float) -> Sequence[Message]:
        self._require_open()
        self._unpacking.begin()
        return self._intake.take(most, timeout)


def _decoder(registry: Registry, entry: Readable, *, resolve: bool) -> MessageDecoder:
    schemas = entry.schemas or registry
    if not resolve:
        return MessageDecoder(schemas, None, reader=None, classes={})
    return MessageDecoder(schemas, entry.topic, reader=entry.topic.schema, classes=entry.classes)


def _require_batch(name: str, size: object, timeout: object) -> None:
    require_count(name, size)
    require_seconds("timeout", timeout)
