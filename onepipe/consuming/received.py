"""What a consumer hands out: a record, and the message it came with."""

from __future__ import annotations

import datetime as dt
from typing import Generic, TypeVar

import attrs

from onepipe.arguments import nearest_moment
from onepipe.errors import OnepipeError
from onepipe.transport import Headers, Message

T = TypeVar("T")


@attrs.frozen
class Received(Generic[T]):
    """A record as it was received.

    Attributes:
        record: an instance of the consumer's class, or a dict; None for what could not be decoded.
        topic: name of the topic.
        partition: number of the partition.
        offset: position in the partition.
        timestamp: when the message was written, as aware datetime; the nearest one of the years 1 to 9999.
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


def received_from(
    message: Message, value: T, deleted: bool, schema_id: int | None, error: OnepipeError | None = None
) -> Received[T]:
    """What was received with a message, given what it says."""
    return Received(
        value,
        message.topic,
        message.partition,
        message.offset,
        nearest_moment(message.timestamp),
        message.key,
        message.headers,
        deleted,
        schema_id,
        error,
        message.value,
    )
