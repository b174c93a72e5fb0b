"""What callers may give to a consumer, what it says of anything else, and of messages that were altered."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import pytest

import onepipe as op
from onepipe.errors import ClosedError, ConfigurationError, DecodeError
from onepipe.sink import SinkBatch

T0 = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


@op.record(topic="Gauges", merge=op.latest("at"))
class Gauge:
    id: str = op.field(identity=True)
    at: dt.datetime
    level: int = 0


def gauge(number: int) -> Gauge:
    return Gauge(id=f"G{number}", at=T0 + dt.timedelta(seconds=number), level=number)


@pytest.fixture
def pipe() -> Iterator[op.Pipeline]:
    with op.connect("memory://", partitions=2) as pipe:
        with pipe.producer() as producer:
            for number in range(20):
                producer.publish(gauge(number), timestamp=T0 + dt.timedelta(seconds=number))
        yield pipe


def other_level(value: bytes) -> bytes:
    """The value with another `level`: sound Avro of the same schema, and another record than was published."""
    return value[:-1] + bytes([value[-1] ^ 2])


@pytest.mark.parametrize("resolve", [True, False])
def test_a_message_altered_in_the_log_is_not_handed_out_as_a_record(pipe, resolve):
    pipe.transport.faults.alter("Gauges", 0, 1, other_level)
    with pipe.consumer(Gauge, until="end", resolve=resolve) as consumer:
        with pytest.raises(DecodeError, match="topic Gauges, partition 0, offset 1: altered") as raised:
            list(consumer)
        consumer.skip()
        rest = [(received.partition, received.offset) for received in consumer]
    assert (raised.value.partition, raised.value.offset) == (0, 1)
    assert (0, 1) not in rest
    assert "verify" in str(raised.value)


def test_an_altered_message_is_handed_out_with_its_error_where_that_is_asked_for(pipe):
    pipe.transport.faults.alter("Gauges", 0, 1, other_level)
    with pipe.consumer(Gauge, until="end", on_undecodable="yield") as consumer:
        received = list(consumer)
    (bad,) = [each for each in received if each.error]
    assert len(received) == 20
    assert (bad.record, bad.offset) == (None, 1)
    assert "altered" in str(bad.error)


def test_arrow_batches_hold_no_altered_message(pipe):
    pipe.transport.faults.alter("Gauges", 0, 1, other_level)
    with (
        pipe.consumer(Gauge, until="end") as consumer,
        pytest.raises(DecodeError, match="topic Gauges, partition 0, offset 1: altered"),
    ):
        list(consumer.arrow_batches())


def test_a_sink_is_not_given_an_altered_message(pipe):
    class Memory:
        def progress(self, log: str, partition: int) -> int | None:
            return None

        def write(self, batch: SinkBatch[Gauge]) -> None:
            assert batch.partition == 1

    pipe.transport.faults.alter("Gauges", 0, 0, other_level)
    with pytest.raises(DecodeError, match="offset 0: altered"):
        pipe.sink(Gauge, Memory())


def test_an_altered_delete_is_not_handed_out(pipe):
    with pipe.producer() as producer:
        receipt = producer.delete(Gauge, id="G1", at=T0).result()
    consumer = pipe.consumer(Gauge, until="end")
    (deleted,) = [received for received in consumer if received.deleted]
    consumer.close()
    forged = op.Message("Gauges", deleted.partition, deleted.offset, 0, b"G2", None, deleted.headers)
    with pytest.raises(DecodeError, match="altered"):
        consumer._unpacking._decoders["Gauges"].decode(forged)
    assert receipt.offset == deleted.offset


def test_messages_without_audit_header_are_read_as_they_are():
    with op.connect("memory://", partitions=1) as pipe:
        with pipe.producer(audit=False) as producer:
            producer.publish(gauge(1))
        pipe.transport.faults.alter("Gauges", 0, 0, other_level)
        with pipe.consumer(Gauge, until="end") as consumer:
            assert [record.level for record in consumer.records()] == [0]


def test_a_group_begins_at_a_moment_where_it_has_committed_nothing(pipe):
    start = T0 + dt.timedelta(seconds=15)
    with pipe.consumer(Gauge, group="g", start=start, until="end") as consumer:
        assert sorted(record.level for record in consumer.records()) == list(range(15, 20))
    with pipe.producer() as producer:
        producer.publish_many(gauge(number) for number in (20, 21))
    with pipe.consumer(Gauge, group="g", start=T0, until="end") as consumer:
        assert sorted(record.level for record in consumer.records()) == [20, 21]


def test_a_partition_that_a_group_gains_later_begins_at_the_moment_too(pipe):
    start = T0 + dt.timedelta(seconds=15)
    first = pipe.consumer(Gauge, group="g", start=start, until="end")
    second = pipe.consumer(Gauge, group="g", start=start, until="end")
    with second:
        seen = sorted(record.level for record in second.records())
    with first:
        seen += [record.level for record in first.records()]
    assert sorted(seen) == list(range(15, 20))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"until": "ends"}, "until cannot be 'ends'; did you mean 'end'"),
        ({"until": None}, "one of 'stopped', 'end'"),
        ({"on_undecodable": "yeild"}, "did you mean 'yield'"),
        ({"commit_every": -1}, "commit_every is a number of seconds from 0"),
        ({"start": "latest"}, r"start is Start.EARLIEST, Start.LATEST, or an aware datetime"),
        ({"start": T0.replace(tzinfo=None)}, "timezone"),
        ({"start": T0.replace(tzinfo=None), "group": "g"}, "timezone"),
        ({"group": ""}, "group is a name"),
        ({"group": 7}, "group is a name"),
    ],
)
def test_a_consumers_arguments_are_checked_where_it_is_made(pipe, arguments, said):
    with pytest.raises(ConfigurationError, match=said):
        pipe.consumer(Gauge, **arguments)


def test_a_topic_that_is_named_twice_is_refused(pipe):
    with pytest.raises(ConfigurationError, match="topic Gauges: the topic is named twice"):
        pipe.consumer(Gauge, "Gauges")


@pytest.mark.parametrize("size", [0, -1, 1.5, True, None])
def test_a_batch_has_at_least_one_record(pipe, size):
    with pipe.consumer(Gauge, until="end") as consumer:
        for call in (lambda: next(consumer.batches(size)), lambda: next(consumer.arrow_batches(size))):
            with pytest.raises(ConfigurationError, match="size is a whole number from 1"):
                call()
        with pytest.raises(ConfigurationError, match="max_records is a whole number from 1"):
            consumer.poll(size)


def test_places_are_whole_numbers_and_a_refused_call_moves_nothing(pipe):
    with pipe.consumer(Gauge, until="end") as consumer:
        for call, said in (
            (lambda: consumer.seek("0", 0), "partition is the number of a partition, not str"),
            (lambda: consumer.seek(0, 1.5), "offset is a whole number, not float"),
            (lambda: consumer.seek(0, 0, topic=7), "topic is a name"),
            (lambda: consumer.pause([]), "partition is the number of a partition, not list"),
            (lambda: consumer.resume(1.0), "partition is the number of a partition, not float"),
        ):
            with pytest.raises(ConfigurationError, match=said):
                call()
        assert len(list(consumer)) == 20


def test_a_closed_consumer_says_so_whatever_is_asked_of_it(pipe):
    consumer = pipe.consumer(Gauge, group="g", until="end")
    list(consumer)
    consumer.close()
    consumer.close()
    for call in (
        lambda: next(iter(consumer)),
        consumer.poll,
        consumer.commit,
        consumer.lag,
        lambda: consumer.seek(0, 0),
        lambda: consumer.seek_time(T0),
        lambda: consumer.pause(0),
        lambda: consumer.resume(0),
    ):
        with pytest.raises(ClosedError, match="the consumer is closed"):
            call()


def test_a_consumer_of_a_closed_pipeline_says_so_and_what_it_handled_is_committed(tmp_path):
    pipe = op.connect(f"memory://{tmp_path}/log", partitions=1)
    with pipe.producer() as producer:
        producer.publish_many([gauge(1), gauge(2)])
    handling = pipe.consumer(Gauge, group="g")
    received = iter(handling)
    next(received)
    next(received)
    idle = pipe.consumer(Gauge)
    pipe.close()
    for call in (handling.poll, handling.commit, idle.poll, idle.lag, lambda: next(iter(idle))):
        with pytest.raises(ClosedError, match="the pipeline is closed"):
            call()
    idle.close()
    handling.close()
    with pytest.raises(ClosedError, match="the pipeline is closed"):
        pipe.consumer(Gauge)
    with op.connect(f"memory://{tmp_path}/log") as again, again.consumer(Gauge, group="g", until="end") as consumer:
        assert [record.level for record in consumer.records()] == [2]
