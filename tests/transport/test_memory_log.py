"""What the memory log does beyond the contract: bounds, retention, faults, sharing, forks, settings."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onepipe.errors import BufferFull, ClosedError, ConfigurationError, PositionLost
from onepipe.plugins import open_transport
from onepipe.testing.clock import ManualClock
from onepipe.transport import Bounds, Message, Outcome, Outgoing, TopicPartition, Transport
from onepipe_memory.groups import assign
from onepipe_memory.transport import MemoryTransport

P0 = TopicPartition("Widgets", 0)


def connect(url: str = "memory://", **settings: Any) -> MemoryTransport:
    transport = open_transport(url, settings)
    assert isinstance(transport, MemoryTransport)
    return transport


@pytest.fixture
def transport() -> Iterator[MemoryTransport]:
    transport = connect()
    transport.create_topic("Widgets", partitions=2)
    yield transport
    transport.close()


def append(transport: Transport, *values: bytes | None, timestamp: int = 0) -> list[Outcome]:
    outcomes: list[Outcome] = []
    writer = transport.writer()
    for value in values:
        writer.append(Outgoing("Widgets", 0, b"k", value, (("h", b"1"),), timestamp), outcomes.append)
    assert writer.flush()
    writer.close()
    return outcomes


def stored(transport: Transport) -> list[tuple[int, bytes | None]]:
    reader = transport.reader([P0])
    messages = reader.poll(1000)
    reader.close()
    return [(message.offset, message.value) for message in messages]


# bounds and retention


def test_a_full_partition_takes_nothing_until_there_is_room() -> None:
    transport = connect(capacity_bytes=40)
    transport.create_topic("Widgets", partitions=2)
    writer, told = transport.writer(), list[Outcome]()
    messages = [Outgoing("Widgets", 0, b"k", bytes(17), (("h", b"1"),), 0) for _ in range(3)]
    writer.append(messages[0], told.append)
    writer.append(messages[1], told.append)
    with pytest.raises(BufferFull) as full:
        writer.append(messages[2], told.append)
    assert (full.value.topic, full.value.partition) == P0
    writer.append(messages[2]._replace(partition=1), told.append)
    transport.trim(P0, 1)
    writer.append(messages[2], told.append)
    assert [outcome.offset for outcome in told] == [0, 1, 0, 2]
    transport.close()


def test_messages_expire_by_their_timestamps() -> None:
    clock = ManualClock(1000)
    transport = connect(clock=clock)
    transport.create_topic("Widgets", partitions=1, retention_ms=100)
    append(transport, b"a", b"b", timestamp=1000)
    append(transport, b"c", timestamp=1050)
    reader = transport.reader([P0])
    clock.advance(100)
    assert reader.bounds(P0) == Bounds(0, 3)
    clock.advance(1)
    assert reader.bounds(P0) == Bounds(2, 3)
    with pytest.raises(PositionLost, match="retention took the messages before 2"):
        reader.poll()
    clock.advance(1000)
    assert reader.bounds(P0) == Bounds(3, 3)
    reader.seek(P0, 3)
    append(transport, b"d", timestamp=clock())
    assert [message.offset for message in reader.poll()] == [3]
    transport.close()


def test_room_is_made_by_retention() -> None:
    clock = ManualClock(0)
    transport = connect(clock=clock, capacity_bytes=3)
    transport.create_topic("Widgets", partitions=1, retention_ms=100)
    append(transport, b"")
    with pytest.raises(BufferFull):
        append(transport, b"")
    clock.advance(101)
    append(transport, b"", timestamp=clock())
    assert stored(transport) == [(1, b"")]
    transport.close()


@settings(deadline=None)
@given(st.lists(st.one_of(st.integers(0, 40).map(lambda n: ("trim", n)), st.just(("append", 0))), max_size=40))
def test_trimming_keeps_offsets_and_order(steps: list[tuple[str, int]]) -> None:
    transport = connect()
    transport.create_topic("Widgets", partitions=1)
    start = end = 0
    for what, offset in steps:
        if what == "append":
            append(transport, b"v")
            end += 1
        else:
            transport.trim(P0, offset)
            start = max(start, min(offset, end))
    reader = transport.reader([P0])
    assert reader.bounds(P0) == Bounds(start, end)
    assert [message.offset for message in reader.poll(1000)] == list(range(start, end))
    transport.close()


# faults


def test_a_lost_message_leaves_a_gap_that_readers_pass(transport: MemoryTransport) -> None:
    append(transport, b"a", b"b", b"c")
    lost = transport.faults.lose("Widgets", 0, 1)
    assert (lost.offset, lost.value) == (1, b"b")
    assert stored(transport) == [(0, b"a"), (2, b"c")]
    reader = transport.reader([P0])
    reader.seek(P0, 1)
    assert [message.offset for message in reader.poll()] == [2]
    transport.faults.lose("Widgets", 0, 2)
    reader.seek(P0, 1)
    assert reader.poll() == []
    assert reader.position(P0) == reader.bounds(P0).end == 3


def test_a_repeated_message_is_the_same_at_another_offset(transport: MemoryTransport) -> None:
    append(transport, b"a", b"b", timestamp=7)
    assert transport.faults.repeat("Widgets", 0, 0) == 2
    first, _, last = transport.reader([P0]).poll()
    assert last == first._replace(offset=2)


def test_a_repeated_message_may_fill_a_gap(transport: MemoryTransport) -> None:
    append(transport, b"a", b"b", b"c")
    transport.faults.lose("Widgets", 0, 1)
    assert transport.faults.repeat("Widgets", 0, 2, at=1) == 1
    assert stored(transport) == [(0, b"a"), (1, b"c"), (2, b"c")]
    with pytest.raises(ConfigurationError, match="there is a message already"):
        transport.faults.repeat("Widgets", 0, 2, at=0)


def test_an_altered_message_keeps_all_but_its_value(transport: MemoryTransport) -> None:
    append(transport, b"a", b"bb", b"", None)
    before = transport.reader([P0]).poll()
    altered = transport.faults.alter("Widgets", 0, 1)
    assert altered == before[1]._replace(value=b"bc")
    assert transport.faults.alter("Widgets", 0, 2).value == b"\x01"
    assert transport.faults.alter("Widgets", 0, 0, lambda value: value * 3).value == b"aaa"
    assert [value for _, value in stored(transport)] == [b"aaa", b"bc", b"\x01", None]
    with pytest.raises(ConfigurationError, match="a tombstone has no value"):
        transport.faults.alter("Widgets", 0, 3)


def test_a_refused_append_is_not_stored_and_the_next_takes_its_offset(transport: MemoryTransport) -> None:
    transport.faults.fail_append("Widgets", 0, 1)
    first, refused, third = append(transport, b"a", b"b", b"c")
    assert (first.offset, refused.offset, third.offset) == (0, None, 1)
    assert refused.error is not None
    assert not refused.error.indeterminate
    assert stored(transport) == [(0, b"a"), (1, b"c")]


@pytest.mark.parametrize("kept", [True, False])
def test_an_append_without_answer_may_be_stored_or_not(transport: MemoryTransport, kept: bool) -> None:
    transport.faults.leave_append_open("Widgets", 0, 1, stored=kept)
    _, unsure, third = append(transport, b"a", b"b", b"c")
    assert unsure.error is not None
    assert unsure.error.indeterminate
    assert third.offset == 1 + kept
    assert [value for _, value in stored(transport)] == ([b"a", b"b", b"c"] if kept else [b"a", b"c"])


def test_faults_name_positions_that_hold_nothing(transport: MemoryTransport) -> None:
    append(transport, b"a", b"b")
    transport.faults.lose("Widgets", 0, 0)
    for offset in (0, 2, -1):
        with pytest.raises(ConfigurationError) as wrong:
            transport.faults.lose("Widgets", 0, offset)
        assert (wrong.value.topic, wrong.value.partition, wrong.value.offset) == (*P0, offset)


def test_faults_are_for_logs_in_memory(tmp_path: Path) -> None:
    transport = connect(f"memory://{tmp_path}/log")
    with pytest.raises(ConfigurationError, match="faults are for logs in memory"):
        _ = transport.faults
    transport.close()


# sharing


def test_a_log_without_a_name_is_ones_own() -> None:
    one, other = connect(), connect()
    one.create_topic("Widgets", partitions=1)
    assert other.topics() == []


def test_a_log_with_a_name_is_shared_and_stays(tmp_path: Path) -> None:
    url = f"memory://{tmp_path.name}"
    one, other = connect(url), connect(url)
    one.create_topic("Widgets", partitions=1)
    reader = other.reader([P0])
    append(one, b"a")
    assert [message.value for message in reader.poll()] == [b"a"]
    one.close()
    assert other.topics() == ["Widgets"]
    other.close()
    assert stored(connect(url)) == [(0, b"a")]


def test_the_registry_of_a_log_in_memory_has_its_name() -> None:
    assert connect().default_registry == "memory://"
    assert connect("memory://shop").default_registry == "memory://shop"


def test_a_shared_log_has_one_set_of_settings(tmp_path: Path) -> None:
    url = f"memory://{tmp_path.name}"
    connect(url, max_message_bytes=10)
    connect(url, max_message_bytes=10)
    connect(url)
    with pytest.raises(ConfigurationError, match="is open with another max_message_bytes"):
        connect(url, max_message_bytes=11)


def test_groups_of_a_shared_log_span_its_transports(tmp_path: Path) -> None:
    one, other = (connect(f"memory://{tmp_path.name}") for _ in range(2))
    one.create_topic("Widgets", partitions=2)
    readers = [transport.group_reader(["Widgets"], "billing") for transport in (one, other)]
    for _ in range(3):
        for reader in readers:
            reader.poll()
    assert [len(reader.assignment()) for reader in readers] == [1, 1]
    one.close()
    readers[1].poll()
    assert len(readers[1].assignment()) == 2


def test_a_forked_child_cannot_use_its_parents_log(transport: MemoryTransport) -> None:
    writer, reader = transport.writer(), transport.reader([P0])
    message = Outgoing("Widgets", 0, None, b"", (), 0)
    child = os.fork()
    if child == 0:
        refused = 0
        for use in (transport.topics, reader.poll, writer.flush, lambda: writer.append(message, lambda _: None)):
            try:
                use()
            except ClosedError as error:
                refused += "fork" in str(error)
        transport.close()
        connect().create_topic("Widgets", partitions=1)
        os._exit(0 if refused == 4 else 1)
    assert os.waitpid(child, 0)[1] == 0
    append(transport, b"a")
    assert stored(transport) == [(0, b"a")]


# settings


@pytest.mark.parametrize(
    ("url", "settings", "said"),
    [
        ("memory://?max_mesage_bytes=1", {}, "did you mean 'max_message_bytes'"),
        ("memory://", {"colour": 1}, "the memory transport has no setting 'colour'"),
        ("memory://?capacity_bytes=many", {}, "capacity_bytes is an integer of at least 1"),
        ("memory://", {"max_message_bytes": 0}, "max_message_bytes is an integer of at least 1"),
        ("memory://?sync=sometimes", {}, "sync is one of disk, os"),
        ("memory://?clock=1", {}, "clock is a function"),
        ("memory://name/folder", {}, "a name or a folder, not both"),
        ("memory://me@name", {}, "a memory log has no users"),
    ],
)
def test_wrong_settings_are_refused(url: str, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        open_transport(url, settings)


def test_settings_win_over_the_urls_query() -> None:
    transport = connect("memory://?max_message_bytes=1", max_message_bytes=100)
    transport.create_topic("Widgets", partitions=1)
    append(transport, bytes(50))


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("..", {}), ("a/b", {}), ("", {}), ("x" * 250, {}), ("ok", {"partitions": 0}), ("ok", {"retention_ms": -1})],
)
def test_wrong_topics_are_refused(transport: MemoryTransport, name: str, wanted: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError):
        transport.create_topic(name, **{"partitions": 1, **wanted})  # type: ignore[arg-type]  # settings are not given
    assert transport.topics() == ["Widgets"]


# groups


TOPICS = ("a", "b", "c")
PARTITIONS = st.dictionaries(st.sampled_from(TOPICS), st.integers(1, 6), min_size=1).map(
    lambda sizes: [TopicPartition(name, number) for name in sorted(sizes) for number in range(sizes[name])]
)


@given(
    PARTITIONS,
    st.integers(1, 6),
    st.dictionaries(st.tuples(st.sampled_from(TOPICS), st.integers(0, 5)), st.integers(0, 8)),
)
def test_partitions_are_shared_evenly(
    partitions: list[TopicPartition], members: int, owners: dict[tuple[str, int], int]
) -> None:
    before = {TopicPartition(*partition): member for partition, member in owners.items()}
    targets = assign(dict.fromkeys(range(members), TOPICS), partitions, before)
    assert sorted(targets) == partitions
    loads = [list(targets.values()).count(member) for member in range(members)]
    assert max(loads) - min(loads) <= 1
    assert assign(dict.fromkeys(range(members), TOPICS), partitions, targets) == targets


@settings(deadline=None)
@given(PARTITIONS, st.integers(1, 6))
def test_a_new_member_moves_no_more_partitions_than_it_gets(partitions: list[TopicPartition], members: int) -> None:
    before = assign(dict.fromkeys(range(members), TOPICS), partitions, {})
    after = assign(dict.fromkeys(range(members + 1), TOPICS), partitions, before)
    moved = {partition for partition in partitions if before[partition] != after[partition]}
    assert moved == {partition for partition, member in after.items() if member == members}


@settings(deadline=None)
@given(PARTITIONS, st.lists(st.sets(st.sampled_from(TOPICS), min_size=1), min_size=1, max_size=5))
def test_no_partition_goes_to_who_does_not_want_its_topic(
    partitions: list[TopicPartition], wanted: list[set[str]]
) -> None:
    subscriptions = dict(enumerate(wanted))
    some = [partition for partition in partitions if any(partition.topic in topics for topics in wanted)]
    targets = assign(subscriptions, some, {})
    assert sorted(targets) == some
    assert all(partition.topic in subscriptions[member] for partition, member in targets.items())


def test_no_group_is_left_without_its_partitions_when_members_come_and_go_at_once(transport: MemoryTransport) -> None:
    transport.create_topic("Gadgets", partitions=8)
    failures: list[BaseException] = []

    def come_and_go() -> None:
        try:
            for _ in range(30):
                reader = transport.group_reader(["Gadgets"], "g")
                for _ in range(3):
                    reader.poll(1, 0.0005)
                reader.close()
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=come_and_go) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not failures
    assert not any(thread.is_alive() for thread in threads)
    reader = transport.group_reader(["Gadgets"], "g")
    reader.poll()
    assert len(reader.assignment()) == 8


def test_closing_the_transport_ends_a_poll_that_waits(transport: MemoryTransport) -> None:
    ended: list[BaseException] = []
    reader = transport.reader([P0])

    def wait() -> None:
        try:
            reader.poll(10, 600)
        except ClosedError as error:
            ended.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    transport.close()
    thread.join(30)
    assert len(ended) == 1


def test_messages_are_given_out_as_they_were_stored() -> None:
    transport = connect()
    transport.create_topic("Widgets", partitions=1)
    append(transport, b"a", timestamp=5)
    (message,) = transport.reader([P0]).poll()
    assert message == Message("Widgets", 0, 0, 5, b"k", b"a", (("h", b"1"),))
    assert isinstance(message, Message)
