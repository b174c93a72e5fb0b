"""Against a real Kinesis: splits and merges, refusals, expired iterators, retention, records of others."""

from __future__ import annotations

import hashlib
import itertools
import threading
import time

import attrs
import pytest
from kinesis_world import World, faults, once, to_end, until

from onepipe.errors import BufferFull, PositionLost, TopicNotFound
from onepipe.transport import Outgoing, TopicPartition
from onepipe_kinesis.anchors import LEAP
from onepipe_kinesis.errors import NO_ANSWER, UNREACHABLE, Failure

pytestmark = pytest.mark.kinesis

MIDDLE = 1 << 127


@pytest.fixture
def make(kinesis, tmp_path):
    made = []

    def world(partitions=1, **settings):
        made.append(World(kinesis.url(f"sqlite:///{tmp_path}/positions.db"), kinesis.client(), partitions, **settings))
        return made[-1]

    yield world
    for one in made:
        one.close()


# Splits and merges.


def test_a_partition_goes_on_through_splits_in_order(make):
    world = make()
    reader = world.reader(0)
    world.put(["1", "2"])
    world.split(0, MIDDLE)
    world.put(["3", "4"])
    world.split(1, MIDDLE // 2)
    world.put(["5"])
    assert world.transport.describe_topic(world.topic).partitions == 3
    read = to_end(reader)
    assert [message.value for message in read] == [b"1", b"2", b"3", b"4", b"5"]
    assert [message.offset for message in read] == [0, 1, 2, 3, 4]
    assert world.values(0) == ["1", "2", "3", "4", "5"]


def test_a_writer_that_does_not_know_of_a_split_keeps_its_partitions(make):
    world = make(2)
    writer = world.transport.writer()
    world.put(["a1"], 0, writer)
    world.put(["b1"], 1, writer)
    world.split(0, MIDDLE // 2)
    world.merge(3, 1)
    for number in range(2, 6):
        world.put([f"a{number}"], 0, writer)
        world.put([f"b{number}"], 1, writer)
    assert world.values(0) == [f"a{number}" for number in range(1, 6)]
    assert world.values(1) == [f"b{number}" for number in range(1, 6)]


def test_both_partitions_of_a_merged_shard_are_read_each_with_its_offsets(make):
    world = make(2)
    world.put(["a1", "a2"], 0)
    world.put(["b1"], 1)
    world.merge(0, 1)
    world.put(["b2"], 1)
    world.put(["a3"], 0)
    reader = world.reader(0, 1)
    read = to_end(reader)
    assert [(m.partition, m.offset, m.value) for m in sorted(read)] == [
        (0, 0, b"a1"),
        (0, 1, b"a2"),
        (0, 2, b"a3"),
        (1, 0, b"b1"),
        (1, 1, b"b2"),
    ]
    reader.seek(TopicPartition(world.topic, 1), 1)
    assert [message.value for message in to_end(reader)] == [b"b2"]


def test_what_others_put_into_new_shards_is_read_once_and_parents_first(make):
    world = make()
    for number in range(3):
        world.put_foreign(f"{number}".encode(), "x", MIDDLE + 5)
    world.split(0, MIDDLE)
    world.put_foreign(b"3", "x", MIDDLE + 5)
    world.put_foreign(b"other", "y", 7)
    world.merge(1, 2)
    world.put_foreign(b"4", "x", MIDDLE + 5)
    partitions = world.transport.describe_topic(world.topic).partitions
    values = world.values(*range(partitions))
    assert [value for value in values if value != "other"] == ["0", "1", "2", "3", "4"]
    assert values.count("other") == 1


@pytest.mark.parametrize(("partitions", "order"), [(1, (1, 0)), (2, (0, 1))], ids=["split", "merged"])
def test_what_others_put_is_read_parents_first_however_little_is_taken_at_once(make, partitions, order):
    world = make(partitions)
    for number in range(3):
        world.put_foreign(f"{number}".encode(), "x", MIDDLE + 5)
    if partitions == 1:
        world.split(0, MIDDLE)
    else:
        world.merge(0, 1)
    world.put_foreign(b"3", "x", MIDDLE + 5)
    assert world.transport.describe_topic(world.topic).partitions == 2
    reader = world.reader(*order)
    read = []
    until(lambda: read.extend(reader.poll(1, 0.05)) or len(read) == 4)
    assert [message.value for message in read] == [b"0", b"1", b"2", b"3"]


def test_a_new_partition_can_be_written(make):
    world = make()
    writer = world.transport.writer()
    world.put(["1"], 0, writer)
    world.split(0, MIDDLE)
    world.put(["2"], 1, writer)
    with pytest.raises(TopicNotFound):
        world.put(["3"], 2, writer)
    assert world.values(1) == ["2"]


def test_a_reader_goes_to_what_others_remember_of_shards_it_never_saw(make, monkeypatch):
    monkeypatch.setattr("onepipe_kinesis.ordinals._REMEMBER_MS", 0)
    world = make()
    world.put(["0"])
    reader = world.reader(0)
    other = world.open()
    world.split(0, MIDDLE)
    world.put(["1", "2"])
    assert world.values(0, transport=other) == ["0", "1", "2"]
    reader.seek(TopicPartition(world.topic, 0), 3)
    with faults(world.transport) as faulty:
        faulty.before["first_iterator"] = once("InvalidArgumentException", 1000)
        assert reader.poll(10, 0.1) == []
        world.put(["3"])
        read = []
        until(lambda: read.extend(reader.poll(10, 0.05)) or read)
    assert [(message.offset, message.value) for message in read] == [(3, b"3")]


@pytest.mark.slow
def test_nothing_is_lost_repeated_or_reordered_while_shards_change(make):
    world = make(3, **{"batch.bytes": "200"})
    reader = world.reader(0, 1, 2)
    writer, told, stop = world.transport.writer(), [], threading.Event()
    count = itertools.count()

    def publish():
        while not stop.is_set():
            number = next(count)
            writer.append(Outgoing(world.topic, number % 3, None, str(number).encode(), (), 0), told.append)
            stop.wait(0.004)

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        world.split(0, MIDDLE // 5)  # 3 and 4
        world.split(2, MIDDLE + MIDDLE // 2)  # 5 and 6
        world.merge(4, 1)  # 7
        world.merge(7, 5)  # 8, with the points of partitions 1 and 2
        world.split(8, MIDDLE)  # 9 and 10
        world.merge(9, 10)
    finally:
        stop.set()
        thread.join()
    assert writer.flush(60)
    total = next(count)
    assert [outcome.error for outcome in told] == [None] * total
    for read in (to_end(reader), to_end(world.reader(0, 1, 2, transport=world.open()))):
        for partition in range(3):
            own = [message for message in read if message.partition == partition]
            assert [int(message.value) for message in own] == list(range(partition, total, 3))
            assert [message.offset for message in own] == list(range(len(own)))


def test_a_group_takes_up_the_partition_that_a_split_made(make, monkeypatch):
    monkeypatch.setattr("onepipe_kinesis.group._LOOK_SECONDS", 0.2)
    world = make()
    reader = world.transport.group_reader([world.topic], "all")
    until(lambda: reader.poll(10, 0.05) == [] and len(reader.assignment()) == 1)
    world.split(0, MIDDLE)
    world.put_foreign(b"new", "x", MIDDLE)
    read = []
    until(lambda: read.extend(reader.poll(10, 0.05)) or read)
    assert [(message.partition, message.value) for message in read] == [(1, b"new")]
    assert len(reader.assignment()) == 2


# Refusals.


@pytest.mark.parametrize("code", ["ProvisionedThroughputExceededException", "InternalFailure"])
def test_no_message_overtakes_one_that_was_refused(make, code):
    world = make(2, **{"batch.bytes": "1"})
    refused = iter([True, False, True, True, False, True] * 5)
    store = world.transport._streams.api.put

    def put(topic, records):
        answers = [Failure(code, code) if r.partition_key == "0" and next(refused, False) else None for r in records]
        stored = [record for record, answer in zip(records, answers, strict=True) if answer is None]
        if stored:
            assert store(topic, stored) == [None] * len(stored)
        return answers

    with faults(world.transport) as faulty:
        faulty.put = put
        writer, told = world.transport.writer(), []
        for number in range(40):
            writer.append(Outgoing(world.topic, number % 2, None, str(number).encode(), (), 0), told.append)
        assert writer.flush(60)
        writer.close()
    assert [outcome.error for outcome in told] == [None] * 40
    assert world.values(0) == [str(number) for number in range(0, 40, 2)]
    assert world.values(1) == [str(number) for number in range(1, 40, 2)]


@pytest.mark.parametrize("code", ["LimitExceededException", UNREACHABLE])
def test_a_call_that_was_refused_whole_is_tried_again(make, code):
    world = make()
    with faults(world.transport) as faulty:
        faulty.before["put"] = once(code, 3)
        assert [outcome.error for outcome in world.put(["1", "2"])] == [None, None]
    assert world.values(0) == ["1", "2"]


def test_an_attempt_without_answer_is_tried_again_and_read_once(make):
    world = make()
    with faults(world.transport) as faulty:
        answered = iter([False, False, True])

        def lose_answer(answers, *_):
            if not next(answered, True):
                raise Failure(NO_ANSWER, "no answer came")
            return answers

        faulty.after["put"] = lose_answer
        outcomes = world.put(["1", "2"])
        world.put(["3"])
    assert [outcome.error for outcome in outcomes] == [None, None]
    (shard,) = world.transport._streams.api.shards(world.topic)
    api = world.transport._streams.api
    stored = [record.data for record in api.records(api.first_iterator(world.topic, shard), 100).records]
    assert len(stored) == len(set(stored)) + 2
    read = to_end(world.reader(0))
    assert [message.value for message in read] == [b"1", b"2", b"3"]
    assert len({message.offset for message in read}) == 3
    assert [m.offset for m in to_end(world.reader(0, transport=world.open()))] == [m.offset for m in read]


def test_what_is_refused_for_too_long_has_surely_failed(make):
    world = make(**{"delivery.timeout.ms": "100"})
    with faults(world.transport) as faulty:
        faulty.before["put"] = once("ProvisionedThroughputExceededException", 1000)
        (outcome,) = world.put(["1"])
    assert outcome.error is not None
    assert not outcome.error.indeterminate
    assert world.values(0) == []


def test_what_had_no_answer_for_too_long_is_indeterminate(make):
    world = make(**{"delivery.timeout.ms": "100"})
    with faults(world.transport) as faulty:
        faulty.before["put"] = once(NO_ANSWER, 1000)
        (outcome,) = world.put(["1"])
    assert outcome.error is not None
    assert outcome.error.indeterminate


def test_a_full_buffer_takes_nothing_and_has_room_again(make):
    world = make(**{"buffer.memory": "1000"})
    writer, told = world.transport.writer(), []
    message = Outgoing(world.topic, 0, None, bytes(600), (), 0)
    with faults(world.transport) as faulty:
        faulty.before["put"] = once("ProvisionedThroughputExceededException", 3)
        writer.append(message, told.append)
        with pytest.raises(BufferFull):
            writer.append(message, told.append)
        assert writer.flush(60)
        writer.append(message, told.append)
        assert writer.flush(60)
    assert [outcome.error for outcome in told] == [None, None]


# Iterators, limits of reads, retention.


@pytest.mark.parametrize("code", ["ExpiredIteratorException", "ProvisionedThroughputExceededException", NO_ANSWER])
def test_reading_goes_on_where_it_was_after_a_failure(make, code):
    world = make()
    world.put(["1", "2"])
    reader = world.reader(0)
    assert len(to_end(reader)) == 2
    world.put(["3"])
    with faults(world.transport) as faulty:
        faulty.before["records"] = once(code, 2)
        read = []
        until(lambda: read.extend(reader.poll(10, 0.05)) or len(read) == 1)
    assert read[0].value == b"3"
    assert reader.poll(10, 0.05) == []


def hide_all_before(faulty, sequence):
    faulty.after["records"] = lambda found, *_: found._replace(
        records=[record for record in found.records if record.sequence >= sequence]
    )


def sequences(world):
    api = world.transport._streams.api
    (shard,) = api.shards(world.topic)
    return [record.sequence for record in api.records(api.first_iterator(world.topic, shard), 1000).records]


def test_offsets_stay_when_all_that_was_counted_has_expired(make):
    world = make(**{"batch.bytes": "1"})
    world.put([str(number) for number in range(5)])
    assert len(to_end(world.reader(0))) == 5
    world.put(["5", "6"])
    with faults(world.transport) as faulty:
        hide_all_before(faulty, sequences(world)[5])
        assert [(m.offset, m.value) for m in to_end(world.reader(0))] == [(5, b"5"), (6, b"6")]


def test_offsets_leap_where_records_may_have_come_and_gone_uncounted(make):
    world = make(**{"batch.bytes": "1"})
    world.put(["0", "1"])
    assert [message.offset for message in to_end(world.reader(0))] == [0, 1]
    log = world.transport.describe_topic(world.topic).log
    ordinals = world.transport._sources.counts.of(world.topic, log, 0)
    two_days_ago = time.time_ns() // 1_000_000 - 2 * 86_400_000
    ordinals._change(lambda ledger: attrs.evolve(ledger, mark=ledger.mark._replace(time=two_days_ago)))
    world.put(["2", "3"])
    other = world.open()
    with faults(other) as faulty:
        hide_all_before(faulty, sequences(world)[3])
        reader = world.reader(0, transport=other)
        assert [(m.offset, m.value) for m in to_end(reader)] == [(2 + LEAP, b"3")]
        partition = TopicPartition(world.topic, 0)
        reader.seek(partition, 2)
        with pytest.raises(PositionLost):
            reader.poll(10, 1.0)


def test_every_reader_counts_alike_from_whatever_is_remembered(make, monkeypatch):
    monkeypatch.setattr("onepipe_kinesis.ordinals.SPACING", 3)
    world = make(**{"batch.bytes": "1"})
    world.put([str(number) for number in range(20)])
    expected = list(enumerate(str(number).encode() for number in range(20)))
    assert [(m.offset, m.value) for m in to_end(world.reader(0))] == expected
    partition = TopicPartition(world.topic, 0)
    for gone in (0, 1, 4, 7, 19):
        other = world.open()
        with faults(other) as faulty:
            hide_all_before(faulty, sequences(world)[gone])
            reader = world.reader(0, transport=other)
            assert reader.bounds(partition) == (gone, 20)
            assert [(m.offset, m.value) for m in to_end(reader)] == expected[gone:]
            reader.seek(partition, 19)
            assert [m.offset for m in to_end(reader)] == [19]


def test_a_reader_that_retention_passed_is_told(make):
    world = make(**{"batch.bytes": "1"})
    world.put([str(number) for number in range(6)])
    reader = world.reader(0)
    assert len(reader.poll(2, 5.0)) == 2
    (cursor,) = reader._cursors.values()
    cursor.seek(2)
    with faults(world.transport) as faulty:
        hide_all_before(faulty, sequences(world)[4])
        with pytest.raises(PositionLost):
            until(lambda: bool(reader.poll(10, 0.1)))
        reader.seek(TopicPartition(world.topic, 0), reader.bounds(TopicPartition(world.topic, 0)).start)
        assert [message.offset for message in to_end(reader)] == [4, 5]


# Records of others.


def test_records_of_others_are_plain_values_under_their_partition_key(make):
    world = make()
    world.put_foreign(b"plain", "clé", 0)
    body = b"\x0a\x01k" + b"\x1a\x05\x08\x00\x1a\x01a" + b"\x1a\x05\x08\x00\x1a\x01b"
    world.put_foreign(b"\xf3\x89\x9a\xc2" + body + hashlib.md5(body, usedforsecurity=False).digest(), "a", 0)
    world.put(["own"])
    read = to_end(world.reader(0))
    assert [(m.offset, m.key, m.value, m.headers) for m in read] == [
        (0, "clé".encode(), b"plain", ()),
        (1, b"k", b"a", ()),
        (2, b"k", b"b", ()),
        (3, b"k", b"own", ()),
    ]
    assert abs(read[0].timestamp - time.time() * 1000) < 60_000
    assert read[1].timestamp == read[2].timestamp
