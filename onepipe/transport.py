"""The port of a transport: an ordered, partitioned, replayable log.

A transport plugin provides a class with the methods of `Transport`. What not every log can do is a named `Capability`;
the contract suite in `onepipe.testing` tests each claimed one. A foreign client's exceptions stop at the adapter: only
errors of `onepipe.errors` pass. Every method except `close` raises ClosedError once the transport, or the writer or
reader itself, is closed.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol, TypeAlias, runtime_checkable

import attrs

from onepipe.errors import DeliveryError

Headers: TypeAlias = tuple[tuple[str, bytes], ...]
"""Message headers in order; a name may stand more than once."""


class Capability(enum.StrEnum):
    """What a transport may or may not be able to do; the contract suite decides its skips by these."""

    HEADERS = "headers"
    """Messages carry headers beside key and value."""
    TOMBSTONES = "tombstones"
    """A value may be None, apart from being empty."""
    GROUPS = "groups"
    """Readers of one group share the partitions, and commit offsets for the group."""
    SEEK_TIME = "seek_time"
    """A reader finds the first message at or after a moment."""
    RETENTION = "retention"
    """Old messages expire, so a partition's first offset moves on."""
    CREATE_TOPICS = "create_topics"
    """Topics can be created, with a number of partitions, and deleted."""
    DURABLE = "durable"
    """An acknowledged message survives the end of the process."""
    ACKNOWLEDGED_OFFSETS = "acknowledged_offsets"
    """Outcomes tell the offset at which an acknowledged message was stored; else only readers know it."""


class Outgoing(NamedTuple):
    """A message on its way into the log.

    Attributes:
        topic: name of the topic.
        partition: number of the partition, chosen by the producer.
        key: bytes of the key, or None.
        value: bytes of the value; None is a tombstone.
        headers: pairs of name and bytes.
        timestamp: milliseconds since 1970-01-01T00:00Z.
    """

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp: int


class Message(NamedTuple):
    """A message as the log holds it.

    Attributes:
        topic: name of the topic.
        partition: number of the partition.
        offset: position in the partition, increasing; gaps are legal.
        timestamp: milliseconds since 1970-01-01T00:00Z.
        key: bytes of the key, or None.
        value: bytes of the value; None is a tombstone.
        headers: pairs of name and bytes.
    """

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class TopicPartition(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int


class Bounds(NamedTuple):
    """The offsets a partition holds now: `start` is the first one kept, `end` the next one to be written."""

    start: int
    end: int


@attrs.frozen
class TopicDescription:
    """A topic as the transport has it.

    Attributes:
        name: name of the topic.
        log: identity of this incarnation of the log; a topic deleted and created again has another one. Safe in paths.
        partitions: number of partitions.
        retention_ms: how long messages are kept, None for always.
        settings: whatever else the transport says about the topic.
    """

    name: str
    log: str
    partitions: int
    retention_ms: int | None = None
    settings: Mapping[str, str] = attrs.field(factory=dict)


class Outcome(NamedTuple):
    """What became of one appended message.

    Attributes:
        offset: offset it was stored at, where acknowledged; None where the transport does not claim
            ACKNOWLEDGED_OFFSETS.
        timestamp: milliseconds since 1970 the log gave it, where acknowledged.
        error: why it was not acknowledged; its `indeterminate` tells whether it may be in the log nevertheless.
    """

    offset: int | None
    timestamp: int | None
    error: DeliveryError | None = None


OnOutcome: TypeAlias = Callable[[Outcome], None]


@runtime_checkable
class Writer(Protocol):
    """Appends messages. Used by one producer; its methods may be called from several threads."""

    def append(self, message: Outgoing, on_outcome: OnOutcome) -> None:
        """Take one message; `on_outcome` is called exactly once, perhaps in another thread or before this returns.

        Messages of one writer to one partition are stored in the order of the calls.

        Raises:
            TopicNotFound: no such topic or partition.
            RecordTooLarge: larger than the transport takes; nothing was stored.
            BufferFull: no room now; nothing was taken. Serve `poll` and try again.
        """

    def poll(self, timeout: float = 0.0) -> None:
        """Serve outcomes that are due, waiting up to `timeout` seconds for the first."""

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until every message has its outcome; False when `timeout` seconds passed before that.

        Called by an `on_outcome`, whose own message it cannot wait for, it may return False at once.
        """

    def close(self) -> None:
        """Let go of every resource, without flushing. May be called again.

        Messages without outcome get a DeliveryError, an indeterminate one where they may have been stored.
        """


@runtime_checkable
class Reader(Protocol):
    """Reads partitions of one or more topics from explicit positions. Used by one thread at a time."""

    def assignment(self) -> frozenset[TopicPartition]:
        """The partitions this reader reads now."""

    def poll(self, max_messages: int = 500, timeout: float = 0.0) -> list[Message]:
        """Return messages in offset order by partition; an empty list when none came within `timeout` seconds.

        Raises:
            PositionLost: the position is before the first offset kept (retention passed it) or beyond the end (the log
                was cut or replaced); the reader stays where it was until it seeks.
            TopicNotFound: a topic was deleted.
        """

    def position(self, partition: TopicPartition) -> int:
        """The offset of the next message `poll` returns; the partition's end once no message is left before it.

        Raises:
            TransportError: the partition is not assigned to this reader; so for every method that takes a partition.
        """

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Go to an offset; the next `poll` returns the first message at or after it."""

    def seek_time(self, partition: TopicPartition, timestamp: int) -> int:
        """Go to the first message stamped at or after `timestamp` (ms since 1970), else to the end; the offset."""

    def bounds(self, partition: TopicPartition) -> Bounds:
        """The offsets the partition holds now."""

    def pause(self, partition: TopicPartition) -> None:
        """Stop returning messages of the partition, keeping its position."""

    def resume(self, partition: TopicPartition) -> None:
        """Return messages of the partition again."""

    def close(self) -> None:
        """Let go of every resource. May be called again."""


@runtime_checkable
class GroupReader(Reader, Protocol):
    """A reader whose partitions are shared out among the readers of its group."""

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Store, for the group, the offset of the next message to handle by partition.

        Raises:
            CommitRefused: the partition belongs to another reader by now (a rebalance took it).
        """

    def committed(self, partition: TopicPartition) -> int | None:
        """The group's stored offset for the partition, or None."""


@runtime_checkable
class RebalanceListener(Protocol):
    """Told when partitions come and go, in the thread that polls."""

    def assigned(self, partitions: frozenset[TopicPartition]) -> None:
        """These partitions were given to this reader, positions already set; it may be sought to others here."""

    def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        """These partitions are about to be taken; their offsets can still be committed here."""

    def lost(self, partitions: frozenset[TopicPartition]) -> None:
        """These partitions already belong to another reader; nothing of theirs can be committed."""


class Start(enum.Enum):
    """Where a reader begins in a partition for which it has no position."""

    EARLIEST = "earliest"
    LATEST = "latest"


Until: TypeAlias = Literal["stopped", "end"]
"""Where reading ends: at the end that each partition has now, or not before it is stopped."""


@runtime_checkable
class Transport(Protocol):
    """A log's client. Thread-safe. Opened by a plugin's `onepipe_transport` hook from a URL."""

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What this transport can do."""

    @property
    def default_registry(self) -> str | None:
        """URL of the registry that goes with this log where the user names none; None where one must be named."""

    def create_topic(
        self,
        name: str,
        *,
        partitions: int,
        retention_ms: int | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> TopicDescription:
        """Create a topic, or return the existing one unchanged (compare what it says with what was wanted).

        Raises:
            ConfigurationError: a setting is unknown to the transport.
        """

    def describe_topic(self, name: str) -> TopicDescription:
        """Describe a topic.

        Raises:
            TopicNotFound: there is none of that name.
        """

    def topics(self) -> Sequence[str]:
        """Names of the topics, sorted."""

    def delete_topic(self, name: str) -> None:
        """Delete a topic with all its messages.

        Raises:
            TopicNotFound: there is none of that name.
        """

    def writer(self) -> Writer:
        """Open a writer."""

    def reader(self, partitions: Sequence[TopicPartition]) -> Reader:
        """Open a reader of these partitions, positioned at the first offset each one holds."""

    def group_reader(
        self,
        topics: Sequence[str],
        group: str,
        *,
        start: Start = Start.EARLIEST,
        listener: RebalanceListener | None = None,
    ) -> GroupReader:
        """Open a reader as a member of a group; partitions come and go while it polls, the first ones too.

        A partition begins at the group's committed offset, else at `start`. It is given to another reader only once
        this one let go of it in `poll` or `close`, or has been taken for dead.

        Raises:
            TopicNotFound: there is no topic of one of these names.
        """

    def close(self) -> None:
        """Let go of every resource, readers and writers included. May be called again."""
