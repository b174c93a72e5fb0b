"""What one poll of confluent-kafka's consumer makes of calls between which the group gives and takes partitions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import pytest
from confluent_kafka import KafkaException

from onepipe.transport import Message, TopicPartition
from onepipe.url import Url
from onepipe_kafka.config import KafkaConfig
from onepipe_kafka.confluent_consumer import ConfluentConsumer
from onepipe_kafka.confluent_setup import Setup
from onepipe_kafka.errors import Failure

A, B = TopicPartition("T", 0), TopicPartition("T", 1)
MANY = 1000


@attrs.frozen
class Raw:
    """A message as librdkafka's binding hands it out."""

    place: TopicPartition
    number: int

    def error(self) -> None:
        return None

    def topic(self) -> str:
        return self.place.topic

    def partition(self) -> int:
        return self.place.partition

    def offset(self) -> int:
        return self.number

    def timestamp(self) -> tuple[int, int]:
        return 1, 0

    def key(self) -> bytes | None:
        return None

    def value(self) -> bytes:
        return b"%d" % self.number

    def headers(self) -> None:
        return None


Step = Callable[["Binding"], list[Raw]]


class Binding:
    """librdkafka's consumer, whose calls of `consume` follow a script, and hand out of a log once it is over."""

    def __init__(self) -> None:
        self.script: list[Step] = []
        self.log: list[Raw] = []
        self.assigned: list[tuple[TopicPartition, int]] = []
        self.told: dict[str, Any] = {}

    def subscribe(self, _topics: list[str], **told: Any) -> None:
        self.told = told

    def consume(self, count: int, _timeout: float) -> list[Raw]:
        if self.script:
            return self.script.pop(0)(self)
        handed, self.log = self.log[:count], self.log[count:]
        return handed

    def give(self, *partitions: TopicPartition) -> None:
        self.told["on_assign"](self, partitions)

    def take(self, *partitions: TopicPartition) -> None:
        self.told["on_revoke"](self, partitions)

    def incremental_assign(self, places: list[Any]) -> None:
        self.assigned += [(TopicPartition(one.topic, one.partition), one.offset) for one in places]

    def incremental_unassign(self, _places: list[Any]) -> None:
        pass

    def memberid(self) -> str:
        return "member"


@attrs.define
class Group:
    """A listener that begins at offset 10 and notes where each partition stands as it goes."""

    consumer: ConfluentConsumer
    stood: dict[TopicPartition, int] = attrs.field(factory=dict)
    begin: int = 10
    as_it_goes: Callable[[], None] = lambda: None

    def assigned(self, partitions: frozenset[TopicPartition]) -> None:
        for partition in partitions:
            self.consumer.seek(partition, self.begin)

    def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        self.stood.update({partition: self.consumer.position(partition) for partition in partitions})
        self.as_it_goes()

    lost = revoked


def some(partition: TopicPartition, first: int, count: int) -> list[Raw]:
    return [Raw(partition, number) for number in range(first, first + count)]


def places(messages: list[Message]) -> list[tuple[TopicPartition, int]]:
    return [(TopicPartition(m.topic, m.partition), m.offset) for m in messages]


@pytest.fixture
def binding() -> Binding:
    return Binding()


@pytest.fixture
def consumer(binding: Binding, monkeypatch: pytest.MonkeyPatch) -> ConfluentConsumer:
    monkeypatch.setattr(Setup, "open", lambda *_, **__: binding)
    return ConfluentConsumer(Setup(KafkaConfig.of(Url.parse("kafka+confluent://localhost"), {})), None, "group")  # type: ignore[arg-type]  # nothing is asked of the cluster


@pytest.fixture
def group(binding: Binding, consumer: ConfluentConsumer) -> Group:
    group = Group(consumer)
    consumer.subscribe(["T"], group)
    binding.give(A, B)
    return group


def test_a_partition_that_goes_amid_a_poll_stands_where_the_poll_before_left_it(
    binding: Binding, consumer: ConfluentConsumer, group: Group
) -> None:
    """A listener commits the position: it must not be behind messages that were not handed out yet."""

    def taken(_: Binding) -> list[Raw]:
        binding.take(A)
        return some(B, 11, 1)

    binding.script = [lambda _: [], lambda _: some(A, 10, 1), taken]
    assert places(consumer.poll(MANY, 1.0)) == [(B, 11)]
    assert group.stood == {A: 10}
    assert consumer.position(B) == 12


def test_a_partition_that_goes_and_comes_back_amid_a_poll_is_handed_out_from_where_it_began_anew(
    binding: Binding, consumer: ConfluentConsumer, group: Group
) -> None:
    def back(_: Binding) -> list[Raw]:
        binding.take(A)
        binding.give(A)
        return some(A, 10, 2)

    binding.script = [lambda _: some(A, 10, 250), back]
    assert places(consumer.poll(MANY, 1.0)) == [(A, 10), (A, 11)]
    assert (group.stood, consumer.position(A)) == ({A: 10}, 12)


def test_a_partition_that_is_sought_elsewhere_amid_a_poll_is_read_from_there(
    binding: Binding, consumer: ConfluentConsumer, group: Group
) -> None:
    group.as_it_goes = lambda: consumer.seek(B, 5)

    def taken(_: Binding) -> list[Raw]:
        binding.take(A)
        return some(B, 260, 1)

    binding.script = [lambda _: some(B, 10, 250), taken]
    assert consumer.poll(MANY, 1.0) == []
    assert consumer.position(B) == 5
    binding.assigned.clear()
    binding.script = [lambda _: some(B, 5, 1)]
    assert places(consumer.poll(MANY, 1.0)) == [(B, 5)]
    assert binding.assigned == [(B, 5)]


@pytest.mark.parametrize("error", [KafkaException("broken"), RuntimeError("broken"), KeyboardInterrupt()])
def test_what_was_read_before_a_call_failed_is_read_again(
    binding: Binding, consumer: ConfluentConsumer, group: Group, error: BaseException
) -> None:
    def fails(_: Binding) -> list[Raw]:
        raise error

    binding.script = [lambda _: some(A, 10, 250), fails]
    with pytest.raises(Failure if isinstance(error, KafkaException) else type(error)):
        consumer.poll(MANY, 1.0)
    assert (consumer.position(A), group.stood) == (10, {})
    binding.assigned.clear()
    binding.script = [lambda _: some(A, 10, 3)]
    assert places(consumer.poll(MANY, 0.0)) == [(A, 10), (A, 11), (A, 12)]
    assert binding.assigned == [(A, 10)]


def test_what_was_read_before_a_listener_failed_and_beside_it_is_read_again(
    binding: Binding, consumer: ConfluentConsumer, group: Group
) -> None:
    def fails() -> None:
        raise RuntimeError("a listener failed")

    def taken(_: Binding) -> list[Raw]:
        binding.take(A)
        return some(B, 10, 1)

    group.as_it_goes = fails
    binding.script = [lambda _: some(A, 10, 250), taken]
    with pytest.raises(RuntimeError, match="a listener failed"):
        consumer.poll(MANY, 1.0)
    assert (consumer.position(B), group.stood) == (10, {A: 10})
    binding.assigned.clear()
    binding.script = [lambda _: some(B, 10, 2)]
    assert places(consumer.poll(MANY, 0.0)) == [(B, 10), (B, 11)]
    assert binding.assigned == [(B, 10)]


def test_no_more_is_handed_out_than_was_asked_for(binding: Binding, consumer: ConfluentConsumer, group: Group) -> None:
    binding.log = some(A, 10, 600)
    assert [len(consumer.poll(400, 0.0)) for _ in range(3)] == [400, 200, 0]
    assert (consumer.position(A), group.stood) == (610, {})
