"""The errors that several parts of the memory transport raise, each worded once."""

from __future__ import annotations

from onepipe.errors import (
    BufferFull,
    ClosedError,
    CommitRefused,
    PositionLost,
    RecordTooLarge,
    TopicNotFound,
    TransportError,
)
from onepipe.transport import TopicPartition


def no_topic(name: str) -> TopicNotFound:
    """There is no topic of that name."""
    return TopicNotFound("there is no such topic", topic=name, remedy="create it, or mend the name")


def no_partition(topic: str, partition: int, partitions: int) -> TopicNotFound:
    """The topic has no partition of that number."""
    return TopicNotFound(f"there is no such partition; the topic has {partitions}", topic=topic, partition=partition)


def not_assigned(partition: TopicPartition) -> TransportError:
    """A reader was asked about a partition it does not read."""
    return TransportError(
        "the partition is not assigned to this reader", topic=partition.topic, partition=partition.partition
    )


def too_large(topic: str, partition: int, size: int, limit: int) -> RecordTooLarge:
    """A message is larger than the log takes."""
    message = f"the message has {size} bytes, the log takes {limit}"
    return RecordTooLarge(message, topic=topic, partition=partition, remedy="raise max_message_bytes")


def full(topic: str, partition: int, capacity: int) -> BufferFull:
    """A partition holds all it may."""
    remedy = "retention or a higher capacity_bytes makes room"
    return BufferFull(f"the partition holds its {capacity} bytes", topic=topic, partition=partition, remedy=remedy)


def position_lost(topic: str, partition: int, offset: int, start: int, end: int) -> PositionLost:
    """A position is outside of what the partition holds."""
    if offset < start:
        message, remedy = f"retention took the messages before {start}", "seek to the start, knowing what is missing"
    else:
        message, remedy = f"the log ends at {end}", "the log lost messages, or is another one: compare its identity"
    return PositionLost(message, topic=topic, partition=partition, offset=offset, remedy=remedy)


def replaced(topic: str) -> PositionLost:
    """A topic was deleted and created again while it was read."""
    return PositionLost("the topic was deleted and created again", topic=topic, remedy="open another reader")


def commit_refused(partition: TopicPartition, group: str) -> CommitRefused:
    """A partition is not, or no longer, a member's own."""
    return CommitRefused(
        f"the partition is not this reader's in group {group!r}", topic=partition.topic, partition=partition.partition
    )


def closed(what: str, reason: str = "it is closed") -> ClosedError:
    """A transport, writer or reader was used after its end."""
    return ClosedError(f"the {what} cannot be used: {reason}")


FORKED = "a fork leaves the parent's logs behind; connect again in the child"
"""Why a log cannot be used in a forked child."""
