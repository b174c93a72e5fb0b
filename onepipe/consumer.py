"""Consumer: reads records of topics, each decoded by what its message says of its schema."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, Self, TypeVar, cast

import attrs

from onepipe.arguments import require_a, require_choice, require_count, require_name, require_seconds
from onepipe.decoder import MessageDecoder
from onepipe.errors import ClosedError, ConfigurationError, OnepipeError
from onepipe.transport import GroupReader, Headers, Message, Reader, Start, TopicPartition

if TYPE_CHECKING:
    import pyarrow as pa

    from onepipe.registry.port import Registry
    from onepipe.topics import Readable
    from onepipe.transport import Transport

T = TypeVar("T")

_POLL_SECONDS: Final = 0.1
_POLL_MESSAGES: Final = 500
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

Until = Literal["stopped", "end"]
OnUndecodable = Literal["raise", "yield"]


def _always_open() -> None:
    """A consumer without pipeline is closed by itself alone."""


@attrs.frozen
class Received(Generic[T]):
    """A record as it was received.

    Attributes:
        record: an instance of the consumer's class, or a dict; None for what could not be decoded.
        topic: name of the topic.
        partition: number of the partition.
        offset: position in the partition.
        timestamp: when the message was written, as aware datetime.
        key: bytes of the message's key.
        headers: pairs of name and bytes.
        deleted: whether it is a delete; `record` is then a dict of identity, version and event time.
        schema_id: id of the schema it was written with; None for what could not be decoded.
        error: why it could not be decoded, where the consumer yields such messages.
        value: the message's value as it stood in the log.
    """

    record: T
    topic: str
    partition: int
    offset: int
    timestamp: dt.datetime
    key: bytes | None
    headers: Headers
    deleted: bool = False
    schema_id: int | None = None
    error: OnepipeError | None = None
    value: bytes | None = attrs.field(default=None, repr=False)


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
        self._registry = registry
        self._until = until
        self._on_undecodable = on_undecodable
        self._auto_commit = auto_commit and group is not None
        self._commit_every = commit_every
        self._commit_due = time.monotonic() + commit_every
        self._stopped = threading.Event()
        self._closed = False
        self._buffer: deque[Message] = deque()
        self._pending: list[Message] = []
        self._handled: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._decoders = {name: _decoder(registry, entry, resolve=resolve) for name, entry in self._topics.items()}
        self._start = start if isinstance(start, Start) else _milliseconds("start", start)
        self._reader = self._open(transport, group)

    def _open(self, transport: Transport, group: str | None) -> Reader:
        start = self._start
        if group is not None:
            begin = start if isinstance(start, Start) else Start.EARLIEST
            return transport.group_reader(list(self._topics), group, start=begin, listener=_Rebalance(self))
        partitions = [
            TopicPartition(name, number)
            for name, entry in self._topics.items()
            for number in range(entry.description.partitions)
        ]
        reader = transport.reader(partitions)
        for partition in partitions:
            if not isinstance(start, Start):
                reader.seek_time(partition, start)
            elif start is Start.LATEST:
                reader.seek(partition, reader.bounds(partition).end)
        return reader

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
        while not self._stopped.is_set():
            batch = self._poll(size, timeout)
            if batch:
                yield batch
            elif self._until == "end" and self._caught_up():
                break
        self._note_handled()
        self._commit_handled()

    def arrow_batches(self, size: int = 10_000, timeout: float = 1.0) -> Iterator[pa.RecordBatch]:
        """Yield Arrow batches of one to `size` records, in the form of the named class or topic; deletes are left out.

        Raises:
            ConfigurationError: the consumer reads several topics.
            DecodeError: a message cannot be decoded; the consumer stays before its batch.
        """
        from onepipe.arrow_decoder import ArrowDecoder

        _require_batch("size", size, timeout)
        if len(self._topics) != 1:
            raise ConfigurationError("Arrow batches are of one topic", remedy="make a consumer for each")
        (entry,) = self._topics.values()
        decoder = ArrowDecoder(self._registry, entry.topic.schema)
        while not self._stopped.is_set():
            messages = self._take(size, timeout)
            if messages:
                try:
                    batch = decoder.decode(messages)
                except OnepipeError:
                    self._buffer.extendleft(reversed(messages))
                    raise
                self._pending = messages
                yield batch
            elif self._until == "end" and self._caught_up():
                break
        self._note_handled()
        self._commit_handled()

    def poll(self, max_records: int = 500, timeout: float = 0.0) -> list[Received[T]]:
        """Return up to `max_records` records that come within `timeout` seconds.

        What the previous call returned counts as handled.

        Raises:
            DecodeError: the next message cannot be decoded; the consumer stays before it.
        """
        _require_batch("max_records", max_records, timeout)
        return self._poll(max_records, timeout)

    def _poll(self, max_records: int, timeout: float) -> list[Received[T]]:
        messages = self._take(max_records, timeout)
        received: list[Received[T]] = []
        for number, message in enumerate(messages):
            try:
                received.append(self._decode(message))
            except OnepipeError:
                self._buffer.extendleft(reversed(messages[number:]))
                if not received:
                    raise
                break
        self._pending = messages[: len(received)]
        return received

    def skip(self) -> None:
        """Leave out the message that could not be decoded: the next one the consumer would return."""
        if self._buffer:
            message = self._buffer.popleft()
            self._handled[TopicPartition(message.topic, message.partition)] = message.offset + 1

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
        if not isinstance(self._reader, GroupReader):
            raise ConfigurationError("offsets are committed for a group", remedy="pipe.consumer(…, group=…)")
        self._note_handled()
        self._reader.commit(self._handled)
        self._handled = {}

    def seek(self, partition: int, offset: int, *, topic: str | None = None) -> None:
        """Go to an offset of a partition; the next record is the first at or after it.

        Args:
            partition: number of the partition.
            offset: where to go.
            topic: name of the topic; may be left out where the consumer reads one.
        """
        require_a(int, "offset", offset, "a whole number")
        place = self._place(partition, topic)
        self._forget(frozenset([place]))
        self._reader.seek(place, offset)

    def seek_time(self, moment: dt.datetime) -> None:
        """Go, in every partition at hand, to the first record written at or after a moment (aware), else to the end."""
        self._require_open()
        timestamp = _milliseconds("moment", moment)
        places = self._reader.assignment()
        self._forget(places)
        for place in places:
            self._reader.seek_time(place, timestamp)

    def pause(self, partition: int, *, topic: str | None = None) -> None:
        """Return no more records of a partition until `resume`, keeping its position."""
        place = self._place(partition, topic)
        self._paused.add(place)
        self._reader.pause(place)
        for message in [m for m in self._buffer if (m.topic, m.partition) == place][:1]:
            self._reader.seek(place, message.offset)
        self._forget(frozenset([place]))

    def resume(self, partition: int, *, topic: str | None = None) -> None:
        """Return records of a paused partition again."""
        place = self._place(partition, topic)
        self._paused.discard(place)
        self._reader.resume(place)

    def lag(self) -> dict[TopicPartition, int]:
        """By partition at hand, how many offsets lie between the next record and the end of the log."""
        self._require_open()
        return {
            place: max(0, self._reader.bounds(place).end - self._position(place)) for place in self._reader.assignment()
        }

    def close(self) -> None:
        """Commit what was handled, where that is automatic, and leave. May be called again."""
        if self._closed:
            return
        self._closed = True
        try:
            self._commit_handled()
        finally:
            self._reader.close()

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

    def _take(self, max_records: int, timeout: float) -> list[Message]:
        self._require_open()
        self._note_handled()
        if self._auto_commit and time.monotonic() >= self._commit_due:
            self._commit_handled()
        if not self._buffer:
            self._buffer.extend(self._reader.poll(max(max_records, _POLL_MESSAGES), timeout))
        return [self._buffer.popleft() for _ in range(min(max_records, len(self._buffer)))]

    def _decode(self, message: Message) -> Received[T]:
        value, deleted, schema_id, error = None, False, None, None
        try:
            value, deleted, schema_id = self._decoders[message.topic].decode(message)
        except OnepipeError as undecodable:
            if self._on_undecodable == "raise":
                raise
            error = undecodable
        return Received(
            cast("T", value),
            message.topic,
            message.partition,
            message.offset,
            _EPOCH + dt.timedelta(milliseconds=message.timestamp),
            message.key,
            message.headers,
            deleted,
            schema_id,
            error,
            message.value,
        )

    def _begin(self, places: frozenset[TopicPartition]) -> None:
        """Go to the moment to start at in new partitions for which the group has committed nothing."""
        if isinstance(self._start, Start) or not isinstance(self._reader, GroupReader):
            return
        for place in places:
            if self._reader.committed(place) is None:
                self._reader.seek_time(place, self._start)

    def _note_handled(self) -> None:
        for message in self._pending:
            self._handled[TopicPartition(message.topic, message.partition)] = message.offset + 1
        self._pending = []

    def _commit_handled(self) -> None:
        self._commit_due = time.monotonic() + self._commit_every
        if self._auto_commit and self._handled and isinstance(self._reader, GroupReader):
            handled, self._handled = self._handled, {}
            self._reader.commit(handled)

    def _position(self, place: TopicPartition) -> int:
        buffered = [m.offset for m in self._buffer if (m.topic, m.partition) == place]
        return buffered[0] if buffered else self._reader.position(place)

    def _caught_up(self) -> bool:
        return not self._buffer and all(
            self._reader.position(place) >= self._reader.bounds(place).end
            for place in self._reader.assignment()
            if place not in self._paused
        )

    def _forget(self, places: frozenset[TopicPartition]) -> None:
        """Drop what is buffered of partitions that move or leave."""
        self._buffer = deque(m for m in self._buffer if TopicPartition(m.topic, m.partition) not in places)
        self._pending = [m for m in self._pending if TopicPartition(m.topic, m.partition) not in places]
        self._handled = {place: offset for place, offset in self._handled.items() if place not in places}


class _Rebalance:
    """Begins partitions at the wanted moment, commits what was handled before they leave, and drops their buffer."""

    def __init__(self, consumer: Consumer[Any]) -> None:
        self._consumer = consumer

    def assigned(self, partitions: frozenset[TopicPartition]) -> None:
        self._consumer._begin(partitions)  # noqa: SLF001 - the module's own class

    def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        self._consumer._commit_handled()  # noqa: SLF001 - the module's own class
        self._consumer._forget(partitions)  # noqa: SLF001 - the module's own class

    def lost(self, partitions: frozenset[TopicPartition]) -> None:
        self._consumer._forget(partitions)  # noqa: SLF001 - the module's own class


def _decoder(registry: Registry, entry: Readable, *, resolve: bool) -> MessageDecoder:
    if not resolve:
        return MessageDecoder(registry, None, reader=None, classes={})
    return MessageDecoder(registry, entry.topic, reader=entry.topic.schema, classes=entry.classes)


def _require_batch(name: str, size: object, timeout: object) -> None:
    require_count(name, size)
    require_seconds("timeout", timeout)


def _milliseconds(name: str, moment: object) -> int:
    """An aware moment in milliseconds since 1970, rounded up."""
    if not isinstance(moment, dt.datetime):
        choices = "Start.EARLIEST, Start.LATEST, or an aware datetime" if name == "start" else "an aware datetime"
        raise ConfigurationError(f"{name} is {choices}")
    if moment.utcoffset() is None:
        raise ConfigurationError(f"{name} needs a timezone", remedy="datetime(…, tzinfo=datetime.UTC)")
    return -((_EPOCH - moment) // dt.timedelta(milliseconds=1))
