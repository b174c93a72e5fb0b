"""What failures of AWS mean for onepipe, and the errors that several parts raise, each worded once."""

from __future__ import annotations

from typing import Final

from onepipe.errors import (
    BufferFull,
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
from onepipe.transport import TopicPartition

UNREACHABLE: Final = "Unreachable"
"""Code of a call that was never sent."""
NO_ANSWER: Final = "NoAnswer"
"""Code of a call that was sent, and may have been carried out."""

NOT_FOUND: Final = "ResourceNotFoundException"
IN_USE: Final = "ResourceInUseException"
EXPIRED: Final = "ExpiredIteratorException"
INVALID: Final = frozenset({"InvalidArgumentException", "ValidationException"})
THROTTLED: Final = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "LimitExceededException",
        "ThrottlingException",
        "Throttling",
        "RequestLimitExceeded",
        "KMSThrottlingException",
        "SlowDown",
    }
)
"""A limit was reached; nothing was done, and the same call will succeed later."""
UNKNOWN: Final = frozenset(
    {NO_ANSWER, "InternalFailure", "InternalFailureException", "InternalServerError", "ServiceUnavailable"}
    | {"500", "502", "503", "504"}
)
"""The call may have been carried out or not."""
PASSING: Final = THROTTLED | UNKNOWN | {UNREACHABLE}
"""A moment later the call may succeed."""

_DENIED: Final = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "KMSAccessDeniedException",
        "MissingAuthenticationTokenException",
        "NoCredentials",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)


class Failure(Exception):
    """What AWS, or the way to it, reports.

    Attributes:
        code: AWS's code of the error, or UNREACHABLE, or NO_ANSWER.
        reason: in its words, without records and secrets.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def translated(failure: Failure, what: str, *, topic: str | None = None, partition: int | None = None) -> OnepipeError:
    """The onepipe error for a failure; `what` was tried, as in "the topic cannot be described"."""
    message = f"{what}: {failure.reason}"
    if failure.code == NOT_FOUND:
        return TopicNotFound(message, topic=topic, partition=partition)
    if failure.code in _DENIED:
        remedy = "grant the right, or mend the credentials that AWS's own chain finds"
        return NotAuthorized(message, topic=topic, partition=partition, remedy=remedy)
    if failure.code in INVALID:
        return ConfigurationError(message, topic=topic)
    return TransportError(message, topic=topic, partition=partition)


def undelivered(topic: str, partition: int, reason: str, *, indeterminate: bool) -> DeliveryError:
    """A message was not acknowledged."""
    return DeliveryError(f"not acknowledged: {reason}", topic=topic, partition=partition, indeterminate=indeterminate)


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
    """A message does not fit into a record."""
    message = f"the message has {size} bytes with its envelope, a record of the stream {limit}"
    remedy = "raise the stream's largest record, and record.bytes to the same"
    return RecordTooLarge(message, topic=topic, partition=partition, remedy=remedy)


def full(topic: str, partition: int, size: int) -> BufferFull:
    """A writer holds all it may."""
    message = f"{size} bytes of messages wait for their outcome"
    return BufferFull(message, topic=topic, partition=partition, remedy="raise buffer.memory, or split shards")


def position_lost(partition: TopicPartition, offset: int, first: int, end: int | None) -> PositionLost:
    """A position is outside of what the partition holds: before its first offset, or beyond its end."""
    if end is None:
        message, remedy = f"retention took the messages before {first}", "seek to the start, knowing what is missing"
    else:
        message, remedy = f"the log ends at {end}", "the log lost messages, or is another one: compare its identity"
    return PositionLost(message, topic=partition.topic, partition=partition.partition, offset=offset, remedy=remedy)


def replaced(topic: str) -> PositionLost:
    """A topic was deleted and created again while it was read."""
    return PositionLost("the topic was deleted and created again", topic=topic, remedy="open another reader")


def commit_refused(partition: TopicPartition, group: str) -> CommitRefused:
    """A partition is not, or no longer, a member's own."""
    return CommitRefused(
        f"the partition is not this reader's in group {group!r}", topic=partition.topic, partition=partition.partition
    )


def closed(what: str, reason: str) -> ClosedError:
    """A transport, writer or reader was used after its end."""
    return ClosedError(f"the {what} cannot be used: {reason}")
