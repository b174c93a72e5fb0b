"""Scenarios T01 to T39 of the transport contract: appending and reading."""

from __future__ import annotations

import threading
from collections import defaultdict

import pytest

from onepipe.errors import PositionLost, RecordTooLarge, TopicNotFound, TransportError
from onepipe.testing.transport_base import PARTITIONS, T0, TransportSuite, numbers, outgoing
from onepipe.transport import Bounds, Capability, Message, Outcome, TopicDescription, TopicPartition, Transport


class AppendScenarios(TransportSuite):
    """What holds for messages on their way into the log."""

    def test_t01_a_message_is_read_back_as_it_was_appended(self, transport: Transport, topic: TopicDescription) -> None:
        """T01: topic, partition, key, value and timestamp are kept; its outcome says the timestamp."""
        sent = outgoing(topic.name, 7, partition=1, key=b"\x00k\xff", value=bytes(range(256)))
        (outcome,) = self.append(transport.writer(), [sent])
        assert outcome.error is None
        (offset,) = self.offsets(transport, TopicPartition(topic.name, 1), [outcome])
        (message,) = self.read_to_end(transport.reader([TopicPartition(topic.name, 1)]))
        assert message == Message(topic.name, 1, offset, T0 + 7000, b"\x00k\xff", bytes(range(256)), ())
        assert outcome.timestamp == message.timestamp

    def test_t02_a_partition_keeps_the_order_of_appends(self, transport: Transport, topic: TopicDescription) -> None:
        """T02: messages of one writer to one partition are read in the order they were appended."""
        messages = [outgoing(topic.name, number, partition=number % PARTITIONS) for number in range(300)]
        self.append(transport.writer(), messages)
        for partition in range(PARTITIONS):
            read = self.read_to_end(transport.reader([TopicPartition(topic.name, partition)]), 17)
            assert numbers(read) == list(range(partition, 300, PARTITIONS))

    def test_t03_offsets_increase_and_are_everyones(self, transport: Transport, topic: TopicDescription) -> None:
        """T03: offsets increase strictly within a partition, and are the same for every reader."""
        offsets = self.fill(transport, topic.name, 50)
        assert offsets == sorted(set(offsets))
        for _ in range(2):
            read = self.read_to_end(transport.reader([TopicPartition(topic.name, 0)]))
            assert [message.offset for message in read] == offsets

    def test_t04_every_message_has_exactly_one_outcome(self, transport: Transport, topic: TopicDescription) -> None:
        """T04: exactly one outcome a message, however often the writer is flushed, polled and closed."""
        writer = transport.writer()
        told: list[list[Outcome]] = [[] for _ in range(100)]
        for number, outcomes in enumerate(told):
            writer.append(outgoing(topic.name, number), outcomes.append)
            writer.poll()
        writer.flush(self.patience)
        writer.poll(0.0)
        writer.flush(self.patience)
        writer.close()
        assert [len(outcomes) for outcomes in told] == [1] * 100

    def test_t05_no_key_is_not_an_empty_key(self, transport: Transport, topic: TopicDescription) -> None:
        """T05: a key of None is kept apart from one without bytes."""
        keys = (None, b"", b"k")
        self.append(transport.writer(), [outgoing(topic.name, number, key=key) for number, key in enumerate(keys)])
        read = self.read_to_end(transport.reader([TopicPartition(topic.name, 0)]))
        assert [message.key for message in read] == [None, b"", b"k"]

    def test_t06_headers_keep_order_and_repetition(self, transport: Transport, topic: TopicDescription) -> None:
        """T06 (HEADERS): headers are kept in order, repeated names and empty values too."""
        self.require(transport, Capability.HEADERS)
        headers = (("b", b"1"), ("a", b""), ("b", b"\x00\xff"), ("naïve", b"2"))
        sent = [outgoing(topic.name, 0, headers=headers), outgoing(topic.name, 1)]
        self.append(transport.writer(), sent)
        read = self.read_to_end(transport.reader([TopicPartition(topic.name, 0)]))
        assert [message.headers for message in read] == [headers, ()]

    def test_t07_no_value_is_not_an_empty_value(self, transport: Transport, topic: TopicDescription) -> None:
        """T07 (TOMBSTONES): a value of None is kept apart from one without bytes."""
        self.require(transport, Capability.TOMBSTONES)
        sent = [outgoing(topic.name, number)._replace(value=value) for number, value in enumerate((None, b"", b"v"))]
        self.append(transport.writer(), sent)
        read = self.read_to_end(transport.reader([TopicPartition(topic.name, 0)]))
        assert [message.value for message in read] == [None, b"", b"v"]

    def test_t08_large_messages_are_taken_whole(self, transport: Transport, topic: TopicDescription) -> None:
        """T08: values of up to half of `max_message_bytes`, among small ones, come back whole."""
        sizes = [0, self.max_message_bytes // 2, 1, self.max_message_bytes // 3]
        values = [bytes([number]) * size for number, size in enumerate(sizes)]
        sent = [outgoing(topic.name, number)._replace(value=value) for number, value in enumerate(values)]
        self.append(transport.writer(), sent)
        read = self.read_to_end(transport.reader([TopicPartition(topic.name, 0)]))
        assert [message.value for message in read] == values

    def test_t09_a_message_that_is_too_large_is_refused(self, transport: Transport, topic: TopicDescription) -> None:
        """T09: RecordTooLarge is raised by append, nothing is stored, and the writer goes on."""
        writer = transport.writer()
        told: list[Outcome] = []
        with pytest.raises(RecordTooLarge) as refused:
            writer.append(outgoing(topic.name, 0, value=bytes(self.max_message_bytes)), told.append)
        assert refused.value.topic == topic.name
        self.append(writer, [outgoing(topic.name, 1)])
        assert numbers(self.read_to_end(transport.reader([TopicPartition(topic.name, 0)]))) == [1]
        assert told == []

    def test_t10_an_unknown_topic_or_partition_is_refused(self, transport: Transport, topic: TopicDescription) -> None:
        """T10: TopicNotFound is raised by append, which names what is missing; nothing is created."""
        writer, name = transport.writer(), self.new_name()
        with pytest.raises(TopicNotFound) as missing:
            writer.append(outgoing(name, 0), lambda _: None)
        assert missing.value.topic == name
        with pytest.raises(TopicNotFound):
            writer.append(outgoing(topic.name, 0, partition=PARTITIONS), lambda _: None)
        with pytest.raises(TopicNotFound):
            writer.append(outgoing(topic.name, 0, partition=-1), lambda _: None)
        assert name not in transport.topics()

    def test_t11_what_was_flushed_can_be_read(self, transport: Transport, topic: TopicDescription) -> None:
        """T11: an acknowledged message is in the log for every reader, old and new."""
        waiting = transport.reader([TopicPartition(topic.name, 0)])
        self.fill(transport, topic.name, 5)
        assert numbers(self.read_to_end(waiting)) == list(range(5))
        assert numbers(self.read_to_end(transport.reader([TopicPartition(topic.name, 0)]))) == list(range(5))

    def test_t12_a_flush_without_messages_returns_at_once(self, transport: Transport) -> None:
        """T12: flush is True where nothing waits for its outcome."""
        writer = transport.writer()
        assert writer.flush(0.0)
        assert writer.flush()

    def test_t13_writers_may_be_shared_by_threads(self, transport: Transport, topic: TopicDescription) -> None:
        """T13: concurrent appends by several threads and writers lose nothing and keep each thread's order."""
        shared, told, threads = transport.writer(), [list[Outcome]() for _ in range(4)], list[threading.Thread]()

        def work(thread: int) -> None:
            writer = shared if thread < 3 else transport.writer()
            for number in range(200):
                message = outgoing(topic.name, 1000 * thread + number, partition=number % PARTITIONS)
                writer.append(message, told[thread].append)
            writer.flush(self.patience)

        for thread in range(4):
            threads.append(threading.Thread(target=work, args=(thread,)))
            threads[-1].start()
        for running in threads:
            running.join()
        self.until(lambda: [len(outcomes) for outcomes in told] == [200] * 4, "every message has its outcome")
        assert all(outcome.error is None for outcomes in told for outcome in outcomes)
        read = self.read_to_end(transport.reader([TopicPartition(topic.name, p) for p in range(PARTITIONS)]))
        by_thread: dict[tuple[int, int], list[int]] = defaultdict(list)
        for message, number in zip(read, numbers(read), strict=True):
            by_thread[number // 1000, message.partition].append(number % 1000)
        assert len(read) == 800
        assert all(part == sorted(part) for part in by_thread.values())

    def test_t14_outcomes_tell_the_offset(self, transport: Transport, topic: TopicDescription) -> None:
        """T14 (ACKNOWLEDGED_OFFSETS): an outcome tells the offset that readers find; else it tells none."""
        (outcome,) = self.append(transport.writer(), [outgoing(topic.name, 0)])
        if Capability.ACKNOWLEDGED_OFFSETS not in transport.capabilities:
            assert outcome.offset is None
        self.require(transport, Capability.ACKNOWLEDGED_OFFSETS)
        (message,) = self.read_to_end(transport.reader([TopicPartition(topic.name, 0)]))
        assert outcome.offset == message.offset


class ReadScenarios(TransportSuite):
    """What holds for readers of given partitions."""

    def test_t20_a_reader_begins_at_the_first_offset(self, transport: Transport, topic: TopicDescription) -> None:
        """T20: a new reader reads its partitions, all and only these, from their first offsets on."""
        for partition in range(PARTITIONS):
            self.fill(transport, topic.name, 4, partition=partition, first=10 * partition)
        wanted = [TopicPartition(topic.name, 0), TopicPartition(topic.name, 2)]
        reader = transport.reader(wanted)
        assert reader.assignment() == frozenset(wanted)
        assert sorted(numbers(self.read_to_end(reader))) == [0, 1, 2, 3, 20, 21, 22, 23]

    def test_t21_a_partition_is_replayed_from_any_offset(self, transport: Transport, topic: TopicDescription) -> None:
        """T21: after seek, the next poll returns the message at that offset, as often as one likes."""
        offsets = self.fill(transport, topic.name, 20)
        partition = TopicPartition(topic.name, 0)
        reader = transport.reader([partition])
        for number in (19, 0, 7, 7, 13):
            reader.seek(partition, offsets[number])
            assert numbers(self.read_to_end(reader)) == list(range(number, 20))

    def test_t22_the_position_is_after_the_last_message(self, transport: Transport, topic: TopicDescription) -> None:
        """T22: position tells the offset of the next message, and the end once all were read."""
        offsets = self.fill(transport, topic.name, 10)
        partition = TopicPartition(topic.name, 0)
        reader = transport.reader([partition])
        assert reader.position(partition) == reader.bounds(partition).start
        first = self.read_some(reader, 1, 4)
        assert reader.position(partition) <= offsets[len(first)]
        assert reader.position(partition) > offsets[len(first) - 1]
        self.read_to_end(reader)
        assert reader.position(partition) == reader.bounds(partition).end

    def test_t23_a_poll_returns_no_more_than_asked_for(self, transport: Transport, topic: TopicDescription) -> None:
        """T23: at most `max_messages` a poll, none lost between polls, in offset order by partition."""
        for partition in range(PARTITIONS):
            self.fill(transport, topic.name, 30, partition=partition, first=100 * partition)
        reader = transport.reader([TopicPartition(topic.name, partition) for partition in range(PARTITIONS)])
        read: list[Message] = []

        def look() -> bool:
            batch = reader.poll(7, 0.1)
            assert len(batch) <= 7
            read.extend(batch)
            return len(read) >= 30 * PARTITIONS

        self.until(look, "all messages were read")
        for partition in range(PARTITIONS):
            own = [number for number in numbers(read) if number // 100 == partition]
            assert own == list(range(100 * partition, 100 * partition + 30))

    def test_t24_a_poll_without_messages_is_empty(self, transport: Transport, topic: TopicDescription) -> None:
        """T24: an empty partition, or the end of one, gives an empty list."""
        reader = transport.reader([TopicPartition(topic.name, 0)])
        assert reader.poll() == []
        assert reader.poll(10, 0.01) == []
        self.fill(transport, topic.name, 1)
        self.read_to_end(reader)
        assert reader.poll(10, 0.01) == []

    def test_t25_a_waiting_poll_returns_what_arrives(self, transport: Transport, topic: TopicDescription) -> None:
        """T25: poll with a timeout returns as soon as a message is there, not only when time is over."""
        reader = transport.reader([TopicPartition(topic.name, 0)])
        read: list[Message] = []
        thread = threading.Thread(target=lambda: read.extend(reader.poll(10, 10 * self.patience)))
        thread.start()
        self.fill(transport, topic.name, 1)
        thread.join(self.patience)
        assert not thread.is_alive()
        assert numbers(read) == [0]

    def test_t26_bounds_tell_the_offsets_held(self, transport: Transport, topic: TopicDescription) -> None:
        """T26: start is the first offset kept, end the next to be written; equal where it is empty."""
        partition = TopicPartition(topic.name, 0)
        reader = transport.reader([partition])
        empty = reader.bounds(partition)
        assert empty == Bounds(empty.start, empty.start)
        offsets = self.fill(transport, topic.name, 10)
        start, end = reader.bounds(partition)
        assert start <= offsets[0]
        assert end > offsets[-1]

    def test_t27_from_the_end_only_new_messages_come(self, transport: Transport, topic: TopicDescription) -> None:
        """T27: a reader at the end gets what is appended after that."""
        self.fill(transport, topic.name, 5)
        partition = TopicPartition(topic.name, 0)
        reader = transport.reader([partition])
        reader.seek(partition, reader.bounds(partition).end)
        assert reader.poll(10, 0.01) == []
        self.fill(transport, topic.name, 2, first=5)
        assert numbers(self.read_to_end(reader)) == [5, 6]

    def test_t28_a_moment_is_found(self, transport: Transport, topic: TopicDescription) -> None:
        """T28 (SEEK_TIME): the first message stamped at or after a moment, else the end; order need not be by time."""
        self.require(transport, Capability.SEEK_TIME)
        order = [0, 1, 5, 3, 4, 9]
        sent = [outgoing(topic.name, number) for number in order]
        partition = TopicPartition(topic.name, 0)
        offsets = self.offsets(transport, partition, self.append(transport.writer(), sent))
        reader = transport.reader([partition])
        for moment, index in ((0, 0), (1, 1), (2, 2), (4, 2), (5, 2), (6, 5), (9, 5)):
            assert reader.seek_time(partition, T0 + 1000 * moment) == offsets[index]
            assert numbers(self.read_to_end(reader)) == order[index:]
        assert reader.seek_time(partition, T0 + 9001) == reader.bounds(partition).end
        assert reader.poll(10, 0.01) == []

    def test_t29_a_paused_partition_keeps_its_place(self, transport: Transport, topic: TopicDescription) -> None:
        """T29: a paused partition gives nothing, the others do; resumed, it goes on where it was."""
        paused, other = TopicPartition(topic.name, 0), TopicPartition(topic.name, 1)
        self.fill(transport, topic.name, 3, partition=0)
        self.fill(transport, topic.name, 3, partition=1, first=10)
        reader = transport.reader([paused, other])
        reader.pause(paused)
        reader.pause(paused)
        assert numbers(self.read_some(reader, 3)) == [10, 11, 12]
        assert reader.poll(10, 0.01) == []
        assert reader.position(paused) == reader.bounds(paused).start
        reader.resume(paused)
        assert numbers(self.read_to_end(reader)) == [0, 1, 2]

    def test_t30_readers_do_not_disturb_each_other(self, transport: Transport, topic: TopicDescription) -> None:
        """T30: positions, pauses and closing of one reader do not touch another's."""
        offsets = self.fill(transport, topic.name, 10)
        partition = TopicPartition(topic.name, 0)
        one, other = transport.reader([partition]), transport.reader([partition])
        self.read_to_end(one)
        one.pause(partition)
        assert other.position(partition) == offsets[0]
        one.close()
        assert numbers(self.read_to_end(other)) == list(range(10))

    def test_t31_partitions_of_others_are_refused(self, transport: Transport, topic: TopicDescription) -> None:
        """T31: methods that take a partition raise TransportError where the reader does not read it."""
        reader = transport.reader([TopicPartition(topic.name, 0)])
        other = TopicPartition(topic.name, 1)
        with pytest.raises(TransportError):
            reader.position(other)
        with pytest.raises(TransportError):
            reader.seek(other, 0)
        with pytest.raises(TransportError):
            reader.pause(other)

    def test_t32_a_position_beyond_the_end_is_lost(self, transport: Transport, topic: TopicDescription) -> None:
        """T32: PositionLost, not a silent reset; the reader stays where it was, and goes on after a seek."""
        self.fill(transport, topic.name, 3)
        partition = TopicPartition(topic.name, 0)
        reader = transport.reader([partition])
        beyond = reader.bounds(partition).end + 5
        reader.seek(partition, beyond)
        for _ in range(2):
            with pytest.raises(PositionLost) as lost:
                self.until(lambda: bool(reader.poll(10, 0.1)), "the position is found out")
            assert (lost.value.topic, lost.value.partition) == partition
        assert reader.position(partition) == beyond
        reader.seek(partition, reader.bounds(partition).start)
        assert numbers(self.read_to_end(reader)) == [0, 1, 2]

    def test_t33_expired_messages_are_reported_not_skipped(self, transport: Transport, topic: TopicDescription) -> None:
        """T33 (RETENTION): the first offset moves on; a position before it is PositionLost until the reader seeks."""
        self.require(transport, Capability.RETENTION)
        offsets = self.fill(transport, topic.name, 10)
        partition = TopicPartition(topic.name, 0)
        reader = transport.reader([partition])
        self.expire(transport, partition, offsets[4])
        assert reader.bounds(partition).start == offsets[4]
        for _ in range(2):
            with pytest.raises(PositionLost):
                self.until(lambda: bool(reader.poll(10, 0.1)), "the position is found out")
        assert reader.position(partition) == offsets[0]
        reader.seek(partition, reader.bounds(partition).start)
        assert numbers(self.read_to_end(reader)) == [4, 5, 6, 7, 8, 9]

    def test_t34_other_partitions_are_read_beside_a_lost_one(
        self, transport: Transport, topic: TopicDescription
    ) -> None:
        """T34: messages of other partitions are neither lost nor repeated around a PositionLost."""
        for partition in range(PARTITIONS):
            self.fill(transport, topic.name, 5, partition=partition, first=10 * partition)
        partitions = [TopicPartition(topic.name, partition) for partition in range(PARTITIONS)]
        reader = transport.reader(partitions)
        reader.seek(partitions[1], reader.bounds(partitions[1]).end + 1)
        read: list[Message] = []

        def look() -> bool:
            try:
                read.extend(reader.poll(3, 0.1))
            except PositionLost:
                reader.seek(partitions[1], reader.bounds(partitions[1]).start)
            return len(read) >= 5 * PARTITIONS

        self.until(look, "all partitions were read")
        assert sorted(numbers(read)) == [0, 1, 2, 3, 4, 10, 11, 12, 13, 14, 20, 21, 22, 23, 24]

    def test_t35_a_reader_of_nothing_is_refused(self, transport: Transport, topic: TopicDescription) -> None:
        """T35: TopicNotFound for a topic or partition that does not exist."""
        with pytest.raises(TopicNotFound):
            transport.reader([TopicPartition(self.new_name(), 0)])
        with pytest.raises(TopicNotFound):
            transport.reader([TopicPartition(topic.name, PARTITIONS)])
