"""Streams of a real Kinesis, for tests: put, split, merged, read; and calls of it that fail on purpose."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from onepipe.plugins import open_transport
from onepipe.transport import Message, Outcome, Outgoing, Reader, TopicPartition
from onepipe_kinesis.errors import Failure
from onepipe_kinesis.transport import KinesisTransport

QUICK = {"fetch.interval.ms": "20", "topic.watch.ms": "0", "group.sync.ms": "20"}
PATIENCE = 150.0


class World:
    """A stream, the transport that made it, and boto3's own client.

    Attributes:
        topic: name of the stream.
        transport: onepipe's.
        boto: boto3's client.
        url: of the transport.
    """

    def __init__(self, url: str, boto: Any, partitions: int = 1, **settings: str) -> None:
        self.url = url
        self.boto = boto
        self.topic = f"world-{uuid.uuid4().hex}"
        self._opened: list[KinesisTransport] = []
        self.transport = self.open(**settings)
        self.transport.create_topic(self.topic, partitions=partitions)

    def open(self, **settings: str) -> KinesisTransport:
        """One more transport; it is closed with this."""
        transport = open_transport(self.url, {**QUICK, **settings})
        assert isinstance(transport, KinesisTransport)
        self._opened.append(transport)
        return transport

    def put(self, values: Sequence[str], partition: int = 0, writer: Any = None) -> list[Outcome]:
        """Append messages, and wait for their outcomes."""
        own = writer or self.transport.writer()
        told: list[Outcome] = []
        for value in values:
            own.append(Outgoing(self.topic, partition, b"k", value.encode(), (), 1_700_000_000_000), told.append)
        assert own.flush(PATIENCE)
        if writer is None:
            own.close()
        return told

    def put_foreign(self, data: bytes, key: str, hash_key: int) -> None:
        """Put a record as others do."""
        self.boto.put_record(StreamName=self.topic, Data=data, PartitionKey=key, ExplicitHashKey=str(hash_key))

    def split(self, number: int, at: int) -> None:
        """Split a shard at a hash key."""
        self.boto.split_shard(StreamName=self.topic, ShardToSplit=f"shardId-{number:012d}", NewStartingHashKey=str(at))
        self._wait()

    def merge(self, number: int, other: int) -> None:
        """Merge two adjacent shards."""
        self.boto.merge_shards(
            StreamName=self.topic,
            ShardToMerge=f"shardId-{number:012d}",
            AdjacentShardToMerge=f"shardId-{other:012d}",
        )
        self._wait()

    def reader(self, *partitions: int, transport: KinesisTransport | None = None) -> Reader:
        """A reader of partitions."""
        return (transport or self.transport).reader([TopicPartition(self.topic, number) for number in partitions])

    def values(self, *partitions: int, transport: KinesisTransport | None = None) -> list[str]:
        """Everything that partitions hold."""
        reader = self.reader(*partitions, transport=transport)
        try:
            return [message.value.decode() for message in to_end(reader) if message.value is not None]
        finally:
            reader.close()

    def close(self) -> None:
        """Delete the stream."""
        self.transport.delete_topic(self.topic)
        for transport in self._opened:
            transport.close()

    def _wait(self) -> None:
        until(lambda: self._status() == "ACTIVE")

    def _status(self) -> str:
        found = self.boto.describe_stream_summary(StreamName=self.topic)
        status: str = found["StreamDescriptionSummary"]["StreamStatus"]
        return status


def until(look: Callable[[], bool]) -> None:
    """Look again and again until it is so."""
    deadline = time.monotonic() + PATIENCE
    while not look():
        assert time.monotonic() < deadline, "it took too long"


def to_end(reader: Reader) -> list[Message]:
    """Everything up to what the partitions hold now."""
    ends = {partition: reader.bounds(partition).end for partition in reader.assignment()}
    read: list[Message] = []

    def look() -> bool:
        read.extend(reader.poll(500, 0.05))
        return all(reader.position(partition) >= end for partition, end in ends.items())

    until(look)
    return read


class Faulty:
    """Kinesis, with faults: each call of a method is asked of a function first, and its answer may be altered.

    Attributes:
        before: by method: called with the arguments; what it raises is what the call does.
        after: by method: from what Kinesis answered to what is answered.
    """

    def __init__(self, api: Any) -> None:
        self._api = api
        self.before: dict[str, Callable[..., None]] = {}
        self.after: dict[str, Callable[..., Any]] = {}

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._api, name)

        def call(*arguments: Any) -> Any:
            if name in self.before:
                self.before[name](*arguments)
            answer = method(*arguments)
            return self.after[name](answer, *arguments) if name in self.after else answer

        return call


@contextlib.contextmanager
def faults(transport: KinesisTransport) -> Iterator[Faulty]:
    """Faults between a transport and Kinesis."""
    api = transport._streams.api
    faulty = Faulty(api)
    transport._streams.api = faulty  # type: ignore[assignment]  # stands in for it
    try:
        yield faulty
    finally:
        transport._streams.api = api


def once(code: str, times: int = 1) -> Callable[..., None]:
    """Fails the first calls."""
    left = [times]

    def fail(*_: Any) -> None:
        if left[0]:
            left[0] -= 1
            raise Failure(code, code)

    return fail
