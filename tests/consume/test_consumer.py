from __future__ import annotations

import datetime as dt
import threading

import pytest

import onepipe as op
from onepipe.bodies.arrow_decoder import ArrowDecoder
from onepipe.bodies.decoder import MessageDecoder
from onepipe.errors import ConfigurationError, DecodeError, OnepipeError
from onepipe.partitioner import partition_for

T0 = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
MS0 = 1_767_225_600_000


@op.record(topic="Readings", merge=op.latest("at"))
class Reading:
    sensor: str = op.field(identity=True)
    at: dt.datetime
    value: float | None = None


def wider() -> type:
    @op.record(topic="Readings", merge=op.latest("at"))
    class Reading:
        sensor: str = op.field(identity=True)
        at: dt.datetime
        value: float | None = None
        unit: str = "C"

    return Reading


def narrower() -> type:
    @op.record(topic="Readings")
    class Reading:
        sensor: str

    return Reading


def readings(count: int, sensors: int = 10) -> list[Reading]:
    return [Reading(sensor=f"s{n % sensors}", at=T0 + dt.timedelta(seconds=n), value=float(n)) for n in range(count)]


@pytest.fixture
def pipe():
    with op.connect("memory://") as pipe, pipe.producer() as producer:
        for number, reading in enumerate(readings(100)):
            producer.publish(reading, timestamp=MS0 + number * 1000)
        producer.flush()
        yield pipe


def test_records_come_as_instances_of_the_class_in_order_of_their_partition(pipe):
    with pipe.consumer(Reading, until="end") as consumer:
        received = list(consumer)
    assert sorted(r.record.value for r in received) == [float(n) for n in range(100)]
    for partition in range(4):
        offsets = [r.offset for r in received if r.partition == partition]
        assert offsets == sorted(offsets)
    assert all(isinstance(r.record, Reading) for r in received)


def test_records_of_a_name_come_as_dicts(pipe):
    with pipe.consumer("Readings", until="end") as consumer:
        first = next(iter(consumer)).record
    assert set(first) == {"sensor", "at", "value"}


def test_batches_and_arrow_batches_hold_the_same_records(pipe):
    with pipe.consumer(Reading, until="end") as consumer:
        batches = list(consumer.batches(30, timeout=0.01))
    with pipe.consumer(Reading, until="end") as consumer:
        arrow = [row for batch in consumer.arrow_batches(30, timeout=0.01) for row in batch.to_pylist()]
    assert all(1 <= len(batch) <= 30 for batch in batches)
    rows = [{"sensor": r.record.sensor, "at": r.record.at, "value": r.record.value} for b in batches for r in b]
    assert rows == arrow


def test_a_group_goes_on_where_it_committed(pipe):
    with pipe.consumer(Reading, group="g", until="end") as consumer:
        batches = consumer.batches(40, timeout=0.05)
        first = [r.record.value for r in next(batches)]
        consumer.commit()
    with pipe.consumer(Reading, group="g", until="end") as consumer:
        rest = [r.record.value for r in consumer]
    assert sorted(first + rest) == [float(n) for n in range(100)]


@pytest.mark.parametrize(("seconds", "committed"), [(0.0, 40), (3600.0, 0)])
def test_what_was_handled_is_committed_as_often_as_is_asked_for(pipe, seconds, committed):
    with pipe.consumer(Reading, group="g", commit_every=seconds) as consumer:
        for _ in range(3):
            assert len(consumer.poll(20, timeout=1.0)) == 20
        reader = consumer._intake._reader
        assert sum(reader.committed(place) or 0 for place in reader.assignment()) == committed


def test_a_record_that_was_not_handled_comes_again(pipe):
    with pytest.raises(ZeroDivisionError), pipe.consumer(Reading, group="g", until="end") as consumer:
        for received in consumer:
            handled = received.record.value
            1 / 0  # noqa: B018 - the handler fails
    with pipe.consumer(Reading, group="g", until="end") as consumer:
        assert handled in [r.record.value for r in consumer]


def test_two_consumers_of_a_group_share_the_partitions_and_lose_and_repeat_nothing(pipe):
    seen: list[float] = []
    lock = threading.Lock()
    consumers = [pipe.consumer(Reading, group="shared", until="stopped") for _ in range(2)]

    def consume(consumer):
        for received in consumer:
            with lock:
                seen.append(received.record.value)
                if len(seen) == 100:
                    for each in consumers:
                        each.stop()

    threads = [threading.Thread(target=consume, args=(consumer,)) for consumer in consumers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    for consumer in consumers:
        consumer.close()
    assert sorted(seen) == [float(n) for n in range(100)]


def test_a_consumer_starts_at_a_moment(pipe):
    with pipe.consumer(Reading, start=T0 + dt.timedelta(seconds=90), until="end") as consumer:
        assert sorted(r.record.value for r in consumer) == [float(n) for n in range(90, 100)]
    with pytest.raises(ConfigurationError, match="timezone"):
        pipe.consumer(Reading, start=dt.datetime(2026, 1, 1))  # noqa: DTZ001 - what is refused


def test_a_consumer_that_starts_at_the_end_sees_only_what_comes_later(pipe):
    with pipe.consumer(Reading, start=op.Start.LATEST, until="end") as consumer:
        assert list(consumer) == []
        with pipe.producer() as producer:
            producer.publish(Reading(sensor="new", at=T0, value=1.0))
        assert [r.record.sensor for r in consumer] == ["new"]


def test_seek_goes_to_an_offset_and_pause_holds_a_partition_back(pipe):
    partition = partition_for(b"s0", 4)
    with pipe.consumer(Reading, until="end") as consumer:
        everything = [r for r in consumer if r.partition == partition]
        consumer.seek(partition, everything[-2].offset)
        assert [r.offset for r in consumer] == [r.offset for r in everything[-2:]]
        consumer.seek(partition, 0)
        consumer.pause(partition)
        assert list(consumer) == []
        consumer.resume(partition)
        assert [r.offset for r in consumer] == [r.offset for r in everything]


def test_pausing_in_the_middle_of_a_batch_loses_and_repeats_nothing(pipe):
    partition = partition_for(b"s0", 4)
    with pipe.consumer(Reading, until="end") as consumer:
        seen = []
        for received in consumer:
            seen.append((received.partition, received.offset))
            if received.partition == partition and len(seen) > 3:
                consumer.pause(partition)
        consumer.resume(partition)
        seen += [(r.partition, r.offset) for r in consumer]
    assert len(seen) == len(set(seen)) == 100


def test_what_was_handled_before_a_pause_is_committed_while_it_lasts(pipe):
    partition = partition_for(b"s0", 4)
    with pipe.consumer(Reading, group="g", until="end") as consumer:
        handled = 0
        for received in consumer:
            handled += received.partition == partition
            if handled == 3:
                consumer.pause(partition)
                break
        consumer.commit()
        list(consumer)
    with pipe.consumer(Reading, group="g", until="end") as consumer:
        assert [r.offset for r in consumer][:1] == [3]


def test_lag_says_how_far_the_end_is(pipe):
    with pipe.consumer(Reading, until="end") as consumer:
        assert sum(consumer.lag().values()) == 100
        list(consumer)
        assert sum(consumer.lag().values()) == 0


def test_an_undecodable_message_stops_the_consumer_before_it_until_it_is_skipped(pipe):
    partition = partition_for(b"s0", 4)
    pipe.transport.faults.alter("Readings", partition, 3, lambda value: value[:-1])
    with pipe.consumer(Reading, until="end") as consumer:
        seen = []
        with pytest.raises(DecodeError) as raised:
            seen += [(r.partition, r.offset) for r in consumer]
        for _ in range(2):
            with pytest.raises(DecodeError) as raised:
                for received in consumer:
                    seen.append((received.partition, received.offset))
        assert (raised.value.topic, raised.value.partition, raised.value.offset) == ("Readings", partition, 3)
        consumer.skip()
        seen += [(r.partition, r.offset) for r in consumer]
    assert (partition, 3) not in seen
    assert (partition, 4) in seen


@pytest.mark.slow
@pytest.mark.parametrize(
    "change", [lambda value: value[:-1], lambda _: b"no frame", lambda value: b"\0\0\0\1\0" + value[5:]]
)
def test_arrow_batches_stop_before_an_undecodable_message_until_it_is_skipped(pipe, change):
    partition = partition_for(b"s0", 4)
    pipe.transport.faults.alter("Readings", partition, 3, change)
    with pipe.consumer(Reading, until="end") as consumer:
        everything = {r.record.value: (r.partition, r.offset) for r in readable(pipe)}
        values = []
        for _ in range(2):
            with pytest.raises(OnepipeError) as raised:
                for batch in consumer.arrow_batches():
                    values += batch["value"].to_pylist()
        assert (raised.value.topic, raised.value.partition, raised.value.offset) == ("Readings", partition, 3)
        consumer.skip()
        for batch in consumer.arrow_batches():
            values += batch["value"].to_pylist()
    assert sorted(values) == sorted(everything)
    assert len(values) == 99


def test_no_message_is_skipped_but_the_one_at_which_the_last_read_stopped(pipe):
    partition = partition_for(b"s0", 4)
    pipe.transport.faults.alter("Readings", partition, 0, lambda value: value[:-1])
    with pipe.consumer(Reading, until="end") as consumer:
        with pytest.raises(ConfigurationError, match="no message to skip"):
            consumer.skip()
        with pytest.raises(DecodeError):
            list(consumer)
        consumer.seek(partition, 2)
        consumer.skip()
        rest = [r.offset for r in consumer if r.partition == partition]
        with pytest.raises(ConfigurationError, match="no message to skip"):
            consumer.skip()
    assert rest[0] == 2


def readable(pipe: op.Pipeline) -> list[op.Received[Reading]]:
    with pipe.consumer(Reading, until="end", on_undecodable="yield") as consumer:
        return [received for received in consumer if not received.error]


def test_arrow_batches_are_never_without_records(pipe):
    with pipe.producer() as producer:
        producer.delete(Reading, sensor="s0", at=T0)
    with pipe.consumer(Reading, until="end") as consumer:
        rows = [batch.num_rows for batch in consumer.arrow_batches(1)]
        assert consumer.poll() == []
    assert rows == [1] * 100


def test_an_undecodable_message_is_handed_out_with_its_error_where_that_is_asked_for(pipe):
    partition = partition_for(b"s0", 4)
    pipe.transport.faults.alter("Readings", partition, 3, lambda value: value[:-1])
    with pipe.consumer(Reading, until="end", on_undecodable="yield") as consumer:
        received = list(consumer)
    (bad,) = [r for r in received if r.error]
    assert len(received) == 100
    assert bad.record is None
    assert bad.value is not None
    assert isinstance(bad.error, DecodeError)


def test_older_records_are_read_with_the_newer_class_and_the_writers_schema_on_request(pipe):
    with pipe.consumer(wider(), until="end") as consumer:
        assert {r.record.unit for r in consumer} == {"C"}
    with pipe.consumer(wider(), until="end", resolve=False) as consumer:
        assert all("unit" not in r.record for r in consumer)


def test_a_readers_class_may_leave_fields_out_and_is_not_registered(pipe):
    with pipe.consumer(narrower(), until="end") as consumer:
        assert {r.record.sensor for r in consumer} == {f"s{n}" for n in range(10)}
    assert pipe.registry.topic("Readings") == op.topic_of(Reading)


def test_a_consumer_of_several_topics_reads_them_all(pipe):
    other = op.Topic.from_document(
        {"type": "record", "name": "Other", "fields": [{"name": "id", "type": "long"}], "onepipe": {"topic": "Other"}}
    )
    with pipe.producer() as producer:
        producer.publish({"id": 7}, topic=other)
    with pipe.consumer("Readings", "Other", until="end") as consumer:
        assert {r.topic for r in consumer} == {"Readings", "Other"}
        with pytest.raises(ConfigurationError, match="topic="):
            consumer.seek(0, 0)


@pytest.mark.slow
@pytest.mark.parametrize("arrow", [False, True])
def test_an_interrupt_while_a_batch_is_decoded_loses_and_commits_nothing_of_it(pipe, monkeypatch, arrow):
    decoder = ArrowDecoder if arrow else MessageDecoder
    decode, calls = decoder.decode, iter(range(100))

    def interrupted(self, given):
        if next(calls) == (0 if arrow else 20):
            raise KeyboardInterrupt
        return decode(self, given)

    monkeypatch.setattr(decoder, "decode", interrupted)
    with pipe.consumer(Reading, group="g", until="end") as consumer:

        def read() -> list[float]:
            if arrow:
                return [value for batch in consumer.arrow_batches(40) for value in batch["value"].to_pylist()]
            return [received.record.value for batch in consumer.batches(40) for received in batch]

        with pytest.raises(KeyboardInterrupt):
            read()
        consumer.commit()
        assert sum(consumer.lag().values()) == 100
        monkeypatch.undo()
        assert sorted(read()) == [float(n) for n in range(100)]
