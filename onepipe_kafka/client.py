"""The port of a Kafka client: what the transport needs of kafka-python and of confluent-kafka alike.

An adapter translates calls and values, and raises `errors.Failure` with Kafka's code where the client fails; what the
calls mean for onepipe is decided above it, once for both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import attrs

from onepipe.transport import Bounds, Message, OnOutcome, Outgoing, TopicPartition


@attrs.frozen
class TopicState:
    """A topic as the cluster's metadata has it.

    Attributes:
        id: identity of this incarnation, as Kafka writes it: URL-safe base64 of its UUID.
        partitions: number of partitions.
        replicas: number of replicas of the first partition.
        rights: operations this client may do, in capitals ("READ", "WRITE", …); None where the broker does not say.
    """

    id: str
    partitions: int
    replicas: int
    rights: frozenset[str] | None


class Producer(Protocol):
    """Sends messages, idempotently, acknowledged by all replicas in sync. Thread-safe."""

    def send(self, message: Outgoing, on_outcome: OnOutcome) -> None:
        """Take a message; its outcome is told exactly once, in any thread.

        Raises:
            BufferFull: there is no room.
            Failure: the client does not take it.
        """

    def poll(self, timeout: float) -> None:
        """Serve outcomes, waiting up to `timeout` seconds for the first."""

    def flush(self, timeout: float | None) -> bool:
        """Wait for every outcome; False where `timeout` seconds passed before."""

    def close(self) -> None:
        """Give up what has no outcome yet, telling so, and let go of every resource."""


class Rebalance(Protocol):
    """Told in the thread that polls what the group gives and takes."""

    def assigned(self, partitions: frozenset[TopicPartition]) -> None:
        """These were given; each is to be sought to where reading begins before this returns."""

    def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        """These are about to be taken."""

    def lost(self, partitions: frozenset[TopicPartition]) -> None:
        """These were taken before."""


class Consumer(Protocol):
    """Reads committed messages. Used by one thread at a time."""

    def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        """Read these partitions, from these offsets. Called once, where `subscribe` is not."""

    def subscribe(self, topics: Sequence[str], rebalance: Rebalance) -> None:
        """Read what the group gives of these topics."""

    def assignment(self) -> frozenset[TopicPartition]:
        """What is read now."""

    def poll(self, max_messages: int, timeout: float) -> list[Message]:
        """Messages that are there, else those that come first within `timeout` seconds.

        Raises:
            Failure: the client reports one that is not passing.
        """

    def take_lost(self) -> list[TopicPartition]:
        """Partitions whose position turned out to be outside of the log since this was asked last."""

    def position(self, partition: TopicPartition) -> int:
        """Offset of the next message; past control records."""

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Go to an offset."""

    def pause(self, partition: TopicPartition) -> None:
        """Return nothing of a partition."""

    def resume(self, partition: TopicPartition) -> None:
        """Return messages of a partition again."""

    def starts(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """First offsets kept."""

    def bounds(self, partition: TopicPartition) -> Bounds:
        """First offset kept, and the end of what is committed."""

    def offset_at(self, partition: TopicPartition, timestamp: int) -> int | None:
        """Offset of the first message stamped at or after `timestamp` (ms since 1970); None where there is none."""

    def commit(self, offsets: Mapping[TopicPartition, tuple[int, str]]) -> None:
        """Store offsets, each with a note, for the group.

        Raises:
            Failure: with the code of a member that is none any more, where it is none any more.
        """

    def committed(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, tuple[int, str]]:
        """Stored offsets and notes of the group; without the partitions that have none."""

    def close(self) -> None:
        """Leave the group, which is told of what is revoked, and let go of every resource."""


class Client(Protocol):
    """A connection to a cluster. Thread-safe. Every method raises Failure."""

    def cluster(self) -> str:
        """The cluster's id."""

    def topics(self) -> list[str]:
        """Names of the topics, Kafka's own included."""

    def topic(self, name: str) -> TopicState | None:
        """A topic; None where there is none of that name."""

    def topic_settings(self, name: str) -> dict[str, str]:
        """The settings in force for a topic."""

    def create_topic(self, name: str, partitions: int, replicas: int, settings: Mapping[str, str]) -> None:
        """Create a topic; -1 replicas are as many as the cluster's default says."""

    def delete_topic(self, name: str) -> None:
        """Delete a topic."""

    def producer(self) -> Producer:
        """Open a producer."""

    def consumer(self, group: str | None) -> Consumer:
        """Open a consumer, which may be a group's member."""

    def close(self) -> None:
        """Let go of every resource but producers and consumers."""
