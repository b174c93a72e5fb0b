"""Members of groups on a real Kafka, in the moments that a busy machine makes long."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator

import pytest
from services.kafka import Kafka

from onepipe.plugins import open_transport
from onepipe.testing.transport_base import outgoing
from onepipe.testing.transport_groups import Listener
from onepipe.transport import GroupReader, TopicPartition, Transport

pytestmark = pytest.mark.kafka

BOTH = pytest.mark.parametrize("scheme", ["kafka", "kafka+confluent"])
POLLS = 600
SECONDS = 30.0
AT_ONCE_SECONDS = 15.0
"""Less than the 30 s for which an answer is waited for."""


@pytest.fixture
def transport(kafka: Kafka, scheme: str) -> Iterator[Transport]:
    transport = open_transport(f"{scheme}://{kafka.address}")
    yield transport
    transport.close()


def new_topic(transport: Transport) -> TopicPartition:
    name = f"groups-{uuid.uuid4().hex}"
    transport.create_topic(name, partitions=1)
    writer = transport.writer()
    writer.append(outgoing(name, 0), lambda _: None)
    assert writer.flush(30.0)
    return TopicPartition(name, 0)


def poll_until_given(reader: GroupReader, partition: TopicPartition) -> None:
    for _ in range(POLLS):
        reader.poll(10, 0.1)
        if partition in reader.assignment():
            return
    raise AssertionError(f"nothing was given within {POLLS} polls")


@pytest.mark.parametrize("scheme", ["kafka"])
def test_a_join_that_began_while_messages_were_asked_for_is_completed(transport: Transport) -> None:
    partition = new_topic(transport)
    reader = transport.group_reader([partition.topic], f"group-{partition.topic}")
    poll_until_given(reader, partition)
    coordinator = reader._consumer._membership._coordinator
    for _ in range(POLLS):  # as kafka-python does by itself, where a leader learns of a change just before it fetches
        coordinator._assignment_snapshot = {partition.topic: {0, 1}}
        coordinator.poll(timeout_ms=1)
        if coordinator._join_task is not None:
            break
    else:
        raise AssertionError("each join was over within a millisecond")
    deadline = time.monotonic() + SECONDS
    while not coordinator._join_task.is_done:  # in the client's own thread, while this one has other things to do
        assert time.monotonic() < deadline
    for _ in range(POLLS):
        reader.poll(10, 0.01)
        if coordinator._join_task is None and coordinator.stable() and not coordinator.need_rejoin():
            break
    else:
        raise AssertionError("the join was never taken notice of")
    reader.commit({partition: 1})
    assert reader.committed(partition) == 1


@BOTH
def test_a_member_may_leave_while_it_joins(transport: Transport, scheme: str) -> None:
    partition = new_topic(transport)
    for wait in (0.0, 0.01, 0.05, 0.2):
        listener = Listener()
        reader = transport.group_reader([partition.topic], f"group-{partition.topic}", listener=listener)
        reader.poll(1, wait)
        reader.close()
        assert listener.held() == frozenset()
    last = transport.group_reader([partition.topic], f"group-{partition.topic}")
    poll_until_given(last, partition)


@BOTH
def test_who_waits_for_the_other_members_leaves_at_once(transport: Transport, scheme: str) -> None:
    partition = new_topic(transport)
    first = transport.group_reader([partition.topic], f"group-{partition.topic}")
    poll_until_given(first, partition)
    second = transport.group_reader([partition.topic], f"group-{partition.topic}")
    second.poll(1, 1.0)  # it waits for the first, which does not poll
    begun = time.monotonic()
    second.close()
    assert time.monotonic() - begun < AT_ONCE_SECONDS
    poll_until_given(first, partition)
    first.commit({partition: 1})
    assert first.committed(partition) == 1
