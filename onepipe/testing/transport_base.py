"""What the scenarios of the transport contract share: fixtures, appending, reading, waiting."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import pytest

from onepipe.transport import (
    Capability,
    GroupReader,
    Headers,
    Message,
    Outcome,
    Outgoing,
    Reader,
    TopicDescription,
    TopicPartition,
    Transport,
    Writer,
)

PARTITIONS: Final = 3
T0: Final = (int(time.time()) - 3600) * 1000
"""Timestamp of the first message, in milliseconds since 1970: an hour ago, which no retention takes yet."""


def outgoing(
    topic: str,
    number: int,
    *,
    partition: int = 0,
    key: bytes | None = b"key",
    value: bytes | None = None,
    headers: Headers = (),
) -> Outgoing:
    """Message `number`: its value says its number, and its timestamp is that many seconds after `T0`."""
    return Outgoing(topic, partition, key, value or str(number).encode(), headers, T0 + 1000 * number)


class TransportSuite:
    """The base of the scenarios. Every attribute may be set by the class that inherits the contract.

    Attributes:
        patience: seconds to wait for what takes its time in a real system, such as a rebalance.
        max_message_bytes: a value of this size is too large for the transport; one of half of it is not.
    """

    patience: float = 10.0
    max_message_bytes: int = 1 << 20

    @pytest.fixture
    def transport(self) -> Transport:
        """An open transport; to be overridden."""
        raise NotImplementedError

    @pytest.fixture
    def topic(self, transport: Transport) -> TopicDescription:
        """A new topic of `PARTITIONS` partitions; to be overridden where the transport creates none."""
        self.require(transport, Capability.CREATE_TOPICS)
        return transport.create_topic(self.new_name(), partitions=PARTITIONS)

    def reopen(self, transport: Transport) -> Transport:  # noqa: ARG002 - for those who override it
        """Close the transport and open the same log anew; to be overridden by those who claim DURABLE."""
        pytest.fail("a transport that claims DURABLE overrides reopen()")

    def expire(self, transport: Transport, partition: TopicPartition, before: int) -> None:  # noqa: ARG002 - as above
        """Let retention take a partition's messages before an offset; to be overridden by those who claim RETENTION."""
        pytest.fail("a transport that claims RETENTION overrides expire()")

    def presume_dead(self, transport: Transport, member: GroupReader) -> None:  # noqa: ARG002 - as above
        """Let the group take a silent member for dead; to be overridden by those who claim GROUPS."""
        pytest.fail("a transport that claims GROUPS overrides presume_dead()")

    @staticmethod
    def new_name() -> str:
        """A topic name not used before."""
        return f"contract-{uuid.uuid4().hex}"

    @staticmethod
    def require(transport: Transport, capability: Capability) -> None:
        """Skip a scenario of a capability that the transport does not claim."""
        if capability not in transport.capabilities:
            pytest.skip(f"the transport does not claim {capability.name}")

    def append(self, writer: Writer, messages: Iterable[Outgoing]) -> list[Outcome]:
        """Append messages, flush, and return their outcomes in the messages' order."""
        outcomes: list[list[Outcome]] = []
        for message in messages:
            outcomes.append([])
            writer.append(message, outcomes[-1].append)
        assert writer.flush(self.patience), "flush took longer than the suite's patience"
        assert all(len(told) == 1 for told in outcomes), "every message has exactly one outcome after flush"
        return [told[0] for told in outcomes]

    def fill(self, transport: Transport, topic: str, count: int, *, partition: int = 0, first: int = 0) -> list[int]:
        """Append messages `first` to `first + count - 1` to a partition; their offsets."""
        writer = transport.writer()
        messages = [outgoing(topic, number, partition=partition) for number in range(first, first + count)]
        outcomes = self.append(writer, messages)
        writer.close()
        return self.offsets(transport, TopicPartition(topic, partition), outcomes)

    def offsets(self, transport: Transport, partition: TopicPartition, outcomes: Sequence[Outcome]) -> list[int]:
        """Offsets of the last messages of a partition: as their outcomes say, or as they are read where none does."""
        assert all(outcome.error is None for outcome in outcomes), "messages were acknowledged"
        if Capability.ACKNOWLEDGED_OFFSETS in transport.capabilities:
            told = [outcome.offset for outcome in outcomes if outcome.offset is not None]
            assert len(told) == len(outcomes), "each outcome tells an offset"
            return told
        reader = transport.reader([partition])
        try:
            return [message.offset for message in self.read_to_end(reader)][-len(outcomes) :]
        finally:
            reader.close()

    def until(self, look: Callable[[], bool], what: str) -> None:
        """Look again and again until it is so.

        Raises:
            AssertionError: it was not so within `patience`.
        """
        deadline = time.monotonic() + self.patience
        while not look():
            assert time.monotonic() < deadline, f"not within {self.patience} s: {what}"

    def read_some(self, reader: Reader, count: int, max_messages: int = 500) -> list[Message]:
        """At least `count` messages, and no more than the poll that completes them brings."""
        messages: list[Message] = []

        def look() -> bool:
            messages.extend(reader.poll(max_messages, 0.1))
            return len(messages) >= count

        self.until(look, f"{count} messages come")
        return messages

    def read_to_end(self, reader: Reader, max_messages: int = 500) -> list[Message]:
        """Every message up to what the partitions hold now."""
        ends = {partition: reader.bounds(partition).end for partition in reader.assignment()}
        messages: list[Message] = []

        def look() -> bool:
            if all(reader.position(partition) >= end for partition, end in ends.items()):
                return True
            messages.extend(reader.poll(max_messages, 0.1))
            return False

        self.until(look, "the reader reaches the end")
        return messages

    def settle(self, readers: Sequence[GroupReader], partitions: int = PARTITIONS) -> list[Message]:
        """Poll members in turn until they share all partitions evenly; what they read on the way."""
        messages: list[Message] = []
        fair = {partitions // len(readers), -(-partitions // len(readers))}

        def look() -> bool:
            for reader in readers:
                messages.extend(reader.poll(500, 0.01))
            sizes = [len(reader.assignment()) for reader in readers]
            return sum(sizes) == partitions and set(sizes) <= fair

        self.until(look, "the members share the partitions")
        return messages


def numbers(messages: Iterable[Message]) -> list[int]:
    """The numbers that the messages' values say."""
    return [int(message.value or b"") for message in messages]
