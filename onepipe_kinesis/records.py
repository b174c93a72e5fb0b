"""What a record of a stream holds: messages of onepipe, aggregated records of others, or a plain value."""

from __future__ import annotations

from typing import NamedTuple

from onepipe_kinesis.aggregation import disaggregate
from onepipe_kinesis.envelope import Content, read_batch


class Record(NamedTuple):
    """A record as Kinesis gives it.

    Attributes:
        sequence: its sequence number; grows within a shard.
        arrival: milliseconds since 1970 when it arrived, about.
        partition_key: what its producer put it under.
        data: its bytes.
    """

    sequence: int
    arrival: int
    partition_key: str
    data: bytes


class Contents(NamedTuple):
    """The messages of a record.

    Attributes:
        messages: in their order.
        claimed: the partition they were put to; None for those of others.
        batch: writer and number of the batch; None for those of others.
    """

    messages: tuple[Content, ...]
    claimed: int | None = None
    batch: tuple[bytes, int] | None = None


def contents(record: Record) -> Contents:
    """Read a record.

    What others put has the partition key, in UTF-8, as its key, and the time of its arrival. What looks like an
    envelope or an aggregated record and is none, or a damaged one, is a plain value: nothing is dropped.
    """
    batch = read_batch(record.data)
    if batch is not None:
        return Contents(batch.messages, batch.partition, (batch.writer, batch.number))
    aggregated = disaggregate(record.data)
    if aggregated is not None:
        return Contents(tuple((r.partition_key.encode(), r.data, (), record.arrival) for r in aggregated))
    return Contents(((record.partition_key.encode(), record.data, (), record.arrival),))
