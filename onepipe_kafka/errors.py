"""What Kafka's error codes mean for onepipe, and the errors that several parts raise, each worded once.

A client's adapter raises `Failure` with Kafka's own code (https://kafka.apache.org/protocol#protocol_error_codes); it
becomes one of `onepipe.errors` where topic and partition are known.
"""

from __future__ import annotations

from typing import Final

from onepipe.errors import (
    ClosedError,
    CommitRefused,
    ConfigurationError,
    DeliveryError,
    NotAuthorized,
    OnepipeError,
    PositionLost,
    RecordTooLarge,
    TopicNotFound,
    TransportError,
)
from onepipe.transport import Bounds, TopicPartition

LOCAL: Final = -1
"""Code of a failure inside the client."""
TIMED_OUT: Final = -2
"""Code of a call that had no answer: none in time, or its connection broke."""
UNTRUSTED: Final = -3
"""Code of a TLS handshake in which one side did not take the other's certificate."""

UNKNOWN_TOPIC: Final = frozenset({3, 100, 103})
"""Unknown topic or partition, unknown or inconsistent topic id."""
TOO_LARGE: Final = frozenset({10, 18})
"""The message, or the batch it is in, is larger than the broker takes."""
TOPIC_EXISTS: Final = 36
PASSING: Final = frozenset({TIMED_OUT, 5, 6, 9, 13, 14, 15, 16, 41, 56, 72, 74, 75, 76})
"""Errors of a cluster where leaders or coordinators move, or a broker starts again; a moment later a call succeeds."""

SASL_FAILED: Final = 58
"""The broker refused the login."""

_DENIED: Final = frozenset({29, 30, 31, 53, SASL_FAILED, 65})
_MISCONFIGURED: Final = frozenset({17, 37, 38, 40, 42, 44})
_NOT_A_MEMBER: Final = frozenset({22, 25, 27, 82, 110, 113})
_REFUSED_FOR_GOOD: Final = TOO_LARGE | {17, 32, 87}
"""Each attempt to store such a message is refused alike, so none of them stored it."""


class Failure(Exception):
    """What a client reports.

    Attributes:
        code: Kafka's error code, or LOCAL, or TIMED_OUT.
        reason: in the client's words, without secrets.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def translated(failure: Failure, what: str, *, topic: str | None = None, partition: int | None = None) -> OnepipeError:
    """The onepipe error for a failure.

    Args:
        failure: what the client reports.
        what: what was tried, as in "the topic cannot be described".
        topic: name of the topic, where it is known.
        partition: number of the partition, where it is known.
    """
    message = f"{what}: {failure.reason}"
    if failure.code in UNKNOWN_TOPIC:
        return TopicNotFound(message, topic=topic, partition=partition)
    if failure.code in TOO_LARGE:
        return RecordTooLarge(message, topic=topic, partition=partition, remedy="raise max.message.bytes of the topic")
    if failure.code in _DENIED:
        remedy = "grant this client's principal the right, or mend its login"
        return NotAuthorized(message, topic=topic, partition=partition, remedy=remedy)
    if failure.code == UNTRUSTED:
        remedy = "set ssl.ca.location to who signed the broker's certificate, which names the host it is reached by; "
        remedy += "and ssl.certificate.location and ssl.key.location, where the broker wants a certificate too"
        return TransportError(message, topic=topic, partition=partition, remedy=remedy)
    if failure.code in _MISCONFIGURED:
        return ConfigurationError(message, topic=topic)
    if failure.code in _NOT_A_MEMBER:
        return CommitRefused(message, topic=topic, partition=partition)
    return TransportError(message, topic=topic, partition=partition)


def undelivered(failure: Failure, topic: str, partition: int) -> DeliveryError:
    """A message was not acknowledged; unless Kafka refuses such a message always, it may have been stored."""
    return DeliveryError(
        f"not acknowledged: {failure.reason}",
        topic=topic,
        partition=partition,
        indeterminate=failure.code not in _REFUSED_FOR_GOOD,
    )


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
    """A message is larger than its topic takes."""
    message = f"the value has {size} bytes, the topic takes messages of {limit}"
    return RecordTooLarge(message, topic=topic, partition=partition, remedy="raise max.message.bytes of the topic")


def denied(topic: str, right: str) -> NotAuthorized:
    """This client lacks a right on a topic."""
    remedy = f"grant its principal {right} on the topic"
    return NotAuthorized(f"this client may not {right} the topic", topic=topic, remedy=remedy)


def position_lost(partition: TopicPartition, offset: int, bounds: Bounds) -> PositionLost:
    """A position is outside of what the partition holds."""
    if offset < bounds.start:
        message = f"retention took the messages before {bounds.start}"
        remedy = "seek to the start, knowing what is missing"
    elif offset > bounds.end:
        message = f"the log ends at {bounds.end}"
        remedy = "the log lost messages, or is another one: compare its identity"
    else:
        message, remedy = "the log was cut before this position", "seek to where reading shall go on"
    return PositionLost(message, topic=partition.topic, partition=partition.partition, offset=offset, remedy=remedy)


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
