"""What callers may give to `publish` and `delete`, and what is said of anything else."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest

import onepipe as op
from onepipe.errors import (
    ClosedError,
    ConfigurationError,
    DeclarationError,
    DeliveryError,
    InvalidRecord,
    NotRegistered,
)
from onepipe.evidence.records import AUDIT_TOPIC, EVIDENCE

T0 = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
MS0 = 1_767_225_600_000


@op.record(topic="Parcels", merge=op.latest("seen"), event_time="seen")
class Parcel:
    id: str = op.field(identity=True)
    seen: dt.datetime
    weight: int = 0


@op.record(topic="Vans")
class Van:
    plate: str = op.field(identity=True)


@op.record(topic="Pings", merge=op.latest("timestamp"), event_time="timestamp")
class Ping:
    topic: str = op.field(identity=True)
    timestamp: dt.datetime


PARCEL = {"id": "P1", "seen": T0, "weight": 3}


@pytest.fixture
def pipe() -> Iterator[op.Pipeline]:
    with op.connect("memory://") as pipe:
        pipe.register(Parcel)
        yield pipe


def parcels(pipe: op.Pipeline) -> list[op.Message]:
    reader = pipe.transport.reader([op.TopicPartition("Parcels", p) for p in range(4)])
    return reader.poll(1000)


def parcel(**changes: Any) -> Parcel:
    return Parcel(**{**PARCEL, **changes})


@pytest.mark.parametrize(
    ("timestamp", "stored"),
    [
        (0, 0),
        (-1, -1),
        (T0, MS0),
        (T0 + dt.timedelta(microseconds=1999), MS0 + 1),
        (dt.datetime(2026, 1, 1, 5, tzinfo=dt.timezone(dt.timedelta(hours=5))), MS0),
    ],
)
def test_a_timestamp_is_milliseconds_or_an_aware_datetime(pipe, timestamp, stored):
    with pipe.producer() as producer:
        producer.publish(parcel(), timestamp=timestamp)
        producer.delete(Parcel, id="P1", seen=T0, timestamp=timestamp)
    assert [message.timestamp for message in parcels(pipe)] == [stored, stored]


@pytest.mark.parametrize(
    "timestamp",
    [
        1.5,
        "now",
        True,
        T0.replace(tzinfo=None),
        T0.date(),
        dt.datetime(1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=5))),
        -(1 << 60),
        1 << 60,
    ],
)
def test_any_other_timestamp_is_refused_before_anything_is_sent(pipe, timestamp):
    with pipe.producer(on_invalid="dead_letter") as producer:
        for record in (parcel(), parcel(weight="heavy")):
            with pytest.raises(ConfigurationError, match="topic Parcels: timestamp"):
                producer.publish(record, timestamp=timestamp)
        with pytest.raises(ConfigurationError, match="topic Parcels: timestamp"):
            producer.delete(Parcel, id="P1", seen=T0, timestamp=timestamp)
    assert parcels(pipe) == []
    assert set(pipe.transport.topics()) == {"Parcels"}


@pytest.mark.parametrize("headers", [{"trace": b"1"}, [("trace", b"1")], (("trace", b"1"),), [["trace", b"1"]]])
def test_headers_are_pairs_or_a_mapping(pipe, headers):
    with pipe.producer() as producer:
        producer.publish(parcel(), headers=headers)
    (message,) = parcels(pipe)
    assert message.headers[1:] == (("trace", b"1"),)


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({"trace": "1"}, r"'trace' has bytes as value, not str \(\('trace', value.encode\(\)\)\)"),
        ([("trace", bytearray(b"1"))], r"bytes\(value\)"),
        ([("trace",)], "pair"),
        (["ab"], "pair"),
        ([(b"trace", b"1")], "pair"),
        ("trace", "pairs of name and bytes, not str"),
        (None, "not None"),
        (7, "not int"),
        ({"onepipe": b""}, "onepipe's own"),
        ({"onepipe-delete": b""}, "onepipe's own"),
        ({"__value_schema_id": b""}, "onepipe's own"),
        ({"\ud800": b""}, "surrogate"),
    ],
)
def test_any_other_headers_are_refused_before_anything_is_sent(pipe, headers, said):
    with pipe.producer() as producer, pytest.raises(ConfigurationError, match=said) as refused:
        producer.publish(parcel(), headers=headers)
    assert refused.value.topic == "Parcels"
    assert parcels(pipe) == []


def test_a_dict_is_validated_against_the_topic_of_the_class_that_is_named(pipe):
    with pipe.producer() as producer:
        producer.publish(parcel(), topic=Parcel)
        producer.publish(PARCEL, topic=Parcel)
        producer.publish(parcel(), topic=Parcel)
        with pytest.raises(InvalidRecord, match="weight"):
            producer.publish({**PARCEL, "weight": "heavy"}, topic=Parcel)
    with pipe.consumer(Parcel, until="end") as consumer:
        assert list(consumer.records()) == [parcel()] * 3


@pytest.mark.parametrize("topic", ["Parcels", Parcel, op.topic_of(Parcel)])
def test_a_record_of_another_topic_than_the_one_named_is_refused(pipe, topic):
    with pipe.producer() as producer:
        with pytest.raises(DeclarationError, match=r"topic Parcels: Van is a record of topic Vans \(leave out topic"):
            producer.publish(Van(plate="A"), topic=topic)
        producer.publish(parcel(), topic=topic)
    assert len(parcels(pipe)) == 1


def test_a_record_of_another_declaration_than_the_one_named_is_refused(pipe):
    other = op.topic_of(Parcel).evolve(owner="somebody")
    with pipe.producer() as producer, pytest.raises(DeclarationError, match="another declaration"):
        producer.publish(parcel(), topic=other)


@pytest.mark.parametrize("topic", [7, [Parcel], {"a": 1}, b"Parcels", parcel()])
def test_what_names_no_topic_is_refused_by_every_call_that_takes_one(pipe, topic):
    with pipe.producer() as producer:
        for call in (
            lambda: producer.publish(PARCEL, topic=topic),
            lambda: producer.delete(topic, id="P1"),
            lambda: pipe.register(topic),
            lambda: pipe.consumer(topic),
        ):
            with pytest.raises(DeclarationError, match="names no topic"):
                call()


@pytest.mark.parametrize("record", [None, 7, "text", Parcel, object(), [parcel()]])
def test_what_is_no_record_is_refused(pipe, record):
    with pipe.producer() as producer:
        with pytest.raises(DeclarationError):
            producer.publish(record)
        with pytest.raises(InvalidRecord, match="a dict for Parcel wanted"):
            producer.publish(record, topic="Parcels")
    assert parcels(pipe) == []


@pytest.mark.parametrize("records", [parcel(), PARCEL, "text", None])
def test_several_records_are_given_one_after_the_other(pipe, records):
    with pipe.producer() as producer, pytest.raises(ConfigurationError, match="publish\\(record\\) for one"):
        producer.publish_many(records, topic="Parcels")


@pytest.mark.parametrize("identity", [7, "P1", [("id", "P1")]])
def test_the_identity_of_a_delete_is_a_dict(pipe, identity):
    with pipe.producer() as producer:
        with pytest.raises(ConfigurationError, match="identity is a dict of fields"):
            producer.delete(Parcel, identity)
        with pytest.raises(InvalidRecord, match="1: a delete has no such field"):
            producer.delete(Parcel, {1: 2}, id="P1", seen=T0)


def test_a_delete_says_why_it_needs_each_field(pipe):
    with pipe.producer() as producer, pytest.raises(InvalidRecord) as refused:
        producer.delete(Parcel)
    assert [(fault.field, fault.message) for fault in refused.value.faults] == [
        ("id", "a delete needs it: it says which record"),
        ("seen", "a delete needs it: it competes with records and other deletes by version"),
    ]


def test_a_field_named_as_an_argument_is_given_in_a_dict(pipe):
    with pipe.producer() as producer:
        producer.publish(Ping(topic="a", timestamp=T0))
        with pytest.raises(ConfigurationError, match=r"topic Pings.*delete\(topic, \{'timestamp'"):
            producer.delete(Ping, topic="a", timestamp=T0)
        producer.delete(Ping, {"timestamp": T0 + dt.timedelta(hours=1)}, topic="a", timestamp=MS0)
    with pipe.consumer(Ping, until="end") as consumer:
        *_, deleted = list(consumer)
    assert deleted.record == {"topic": "a", "timestamp": T0 + dt.timedelta(hours=1)}
    assert deleted.timestamp == T0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"on_invalid": "dead_leter"}, "on_invalid cannot be 'dead_leter'; did you mean 'dead_letter'"),
        ({"on_invalid": None}, "one of 'raise', 'dead_letter'"),
        ({"max_block": -1}, "max_block is a number of seconds from 0"),
        ({"tally_every": "10"}, "tally_every is a number of seconds from 0"),
        ({"tally_every": float("nan")}, "tally_every"),
    ],
)
def test_a_producers_arguments_are_checked_where_it_is_made(pipe, arguments, said):
    with pytest.raises(ConfigurationError, match=said):
        pipe.producer(**arguments)


def test_a_clock_that_gives_no_whole_milliseconds_is_refused_before_anything_is_sent():
    with op.connect("memory://", clock=lambda: 1.5) as pipe, pipe.producer() as producer:
        with pytest.raises(ConfigurationError, match="the clock's time is milliseconds as int, not float"):
            producer.publish(parcel())
        assert parcels(pipe) == []


def test_a_closed_producer_says_so_also_after_it_published(pipe):
    producer = pipe.producer()
    producer.publish(parcel())
    producer.close()
    for call in (lambda: producer.publish(parcel()), lambda: producer.delete(Parcel, id="P1", seen=T0)):
        with pytest.raises(ClosedError, match="the producer is closed"):
            call()
    producer.flush()


def test_a_producer_of_a_closed_pipeline_says_so_and_nothing_it_published_is_lost(tmp_path):
    pipe = op.connect(f"memory://{tmp_path}/log")
    producer = pipe.producer()
    receipt = producer.publish(parcel())
    pipe.close()
    assert receipt.offset == 0
    with pytest.raises(ClosedError, match="the pipeline is closed"):
        producer.publish(parcel())
    with pytest.raises(ClosedError, match="the pipeline is closed"):
        pipe.producer()
    producer.close()
    with op.connect(f"memory://{tmp_path}/log") as again, again.consumer(EVIDENCE, until="end") as consumer:
        assert [received.record["kind"] for received in consumer] == ["opened", "tally", "closed"]


def test_closing_a_pipeline_raises_what_its_producers_could_not_deliver():
    pipe = op.connect("memory://", partitions=1)
    pipe.register(Parcel)
    pipe.transport.faults.fail_append("Parcels", 0, 0)
    producer = pipe.producer()
    producer.publish(parcel())
    with pytest.raises(DeliveryError, match="1 records were not delivered"):
        pipe.close()
    pipe.close()


def test_an_error_inside_a_pipelines_with_is_not_hidden_by_what_was_not_delivered():
    with pytest.raises(ZeroDivisionError) as raised, op.connect("memory://", partitions=1) as pipe:
        pipe.register(Parcel)
        pipe.transport.faults.fail_append("Parcels", 0, 0)
        producer = pipe.producer()
        producer.publish(parcel())
        1 / 0  # noqa: B018 - the user's own mistake
    assert "not delivered" in raised.value.__notes__[0]


def test_flush_publishes_and_delivers_the_tallies_that_are_due(tmp_path):
    with op.connect(f"memory://{tmp_path}/log?linger_ms=60000", partitions=1) as pipe:
        producer = pipe.producer(tally_every=0)
        producer.publish(parcel())
        producer.publish(parcel())
        producer.flush()
        with pipe.consumer(EVIDENCE, until="end") as consumer:
            said = [received.record for received in consumer if received.record["kind"] == "tally"]
        assert said[-1]["sequence_end"] == 2
        before = pipe.transport.describe_topic(AUDIT_TOPIC)
        producer.flush()
        with pipe.consumer(EVIDENCE, until="end") as consumer:
            assert len([r for r in consumer if r.record["kind"] == "tally"]) == len(said)
        assert pipe.transport.describe_topic(AUDIT_TOPIC) == before


def test_an_interrupt_amid_publishing_leaves_no_number_used_twice(pipe, monkeypatch):
    producer = pipe.producer()
    producer.publish(parcel())
    append, calls = producer._sender._writer.append, []

    def interrupted(message, on_outcome):
        calls.append(message)
        append(message, on_outcome if len(calls) != 2 else lambda outcome: None)
        if len(calls) <= 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(producer._sender._writer, "append", interrupted)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            producer.publish(parcel())
    producer.publish(parcel())
    with pytest.raises(DeliveryError, match="interrupted") as raised:
        producer.close()
    assert raised.value.indeterminate
    sequences = [op_sequence(message) for message in parcels(pipe)]
    assert sequences == [0, 1, 2, 3]
    with pipe.consumer(EVIDENCE, until="end") as consumer:
        (*_, tally) = [r.record for r in consumer if r.record["kind"] == "tally"]
    assert (tally["sequence_end"], tally["acknowledged"]) == (4, 3)
    assert tally["indeterminate"] == [{"first": 2, "end": 3}]


def op_sequence(message: op.Message) -> int:
    return int.from_bytes(message.headers[0][1][17:25], "big")


@pytest.mark.parametrize("where", ["memory://", "memory://{}/log?linger_ms=60000"])
def test_a_callback_that_flushes_or_closes_waits_for_nothing(tmp_path, where):
    with op.connect(where.format(tmp_path)) as pipe:
        producer, refused = pipe.producer(), []
        held = where != "memory://"

        def flush(receipt):
            try:
                producer.flush()
            except DeliveryError as error:
                refused.append(error.message)

        producer.publish(parcel()).add_done_callback(flush)
        producer.publish(parcel()).result()
        assert refused == (["a receipt's callback cannot wait for outcomes"] if held else [])
        receipt = producer.publish(parcel())
        receipt.add_done_callback(lambda receipt: producer.close())
        receipt.result()
        assert len(parcels(pipe)) == 3
        with pytest.raises(ClosedError):
            producer.publish(parcel())


def test_a_callback_that_fails_stops_nobody_elses_publishing(tmp_path, caplog):
    with op.connect(f"memory://{tmp_path}/log?linger_ms=60000") as pipe, pipe.producer() as producer:
        receipt = producer.publish(parcel())
        receipt.add_done_callback(lambda receipt: 1 / 0)
        called = []
        receipt.add_done_callback(called.append)
        producer.flush()
        receipt.add_done_callback(lambda receipt: 1 / 0)
    assert called == [receipt]
    assert caplog.messages == ["a receipt's callback failed"] * 2


def test_a_receipt_of_a_log_on_disk_can_be_awaited(tmp_path):
    async def publish() -> list[int | None]:
        with op.connect(f"memory://{tmp_path}/log?linger_ms=1", partitions=1) as pipe, pipe.producer() as producer:
            receipts = [producer.publish(parcel()) for _ in range(3)]
            return [(await receipt).offset for receipt in receipts]

    assert asyncio.run(asyncio.wait_for(publish(), 20)) == [0, 1, 2]


@pytest.mark.parametrize("timeout", ["1", -1, True])
def test_a_timeout_is_seconds(pipe, timeout):
    with pipe.producer() as producer:
        receipt = producer.publish(parcel())
        with pytest.raises(ConfigurationError, match="callback is a function, not int"):
            receipt.add_done_callback(7)
        for call in (producer.flush, producer.close, receipt.result):
            with pytest.raises(ConfigurationError, match="timeout is a number of seconds from 0 or None"):
                call(timeout)
        producer.publish(parcel())


def test_a_name_that_is_not_registered_says_how_to_register_it(pipe):
    with pipe.producer() as producer, pytest.raises(NotRegistered, match=r"pipe.register\("):
        producer.publish(PARCEL, topic="Trucks")


@pytest.mark.parametrize("offset", [5, -5])
@pytest.mark.parametrize("kind", ["timestamp-micros", "timestamp-millis"])
def test_a_moment_outside_the_years_of_utc_is_refused_and_not_published(pipe, kind, offset):
    fields = [{"name": "id", "type": "string"}, {"name": "seen", "type": {"type": "long", "logicalType": kind}}]
    document = {"type": "record", "name": "Moment", "fields": fields}
    declared = {"topic": "Moments", "identity": ["id"], "checks": {"recent": "seen > timestamp '2000-01-01T00:00:00Z'"}}
    topic = op.Topic.from_document({**document, "onepipe": declared})
    plain = op.Topic.from_document({**document, "onepipe": {"topic": "Plain", "identity": ["id"]}})
    zone = dt.timezone(dt.timedelta(hours=offset))
    edge = dt.datetime(1, 1, 1, tzinfo=zone) if offset > 0 else dt.datetime(9999, 12, 31, 23, tzinfo=zone)
    with pipe.producer() as producer:
        for moment in (edge, type("Later", (dt.datetime,), {})(*edge.timetuple()[:6], tzinfo=zone)):
            for each in (topic, plain):
                with pytest.raises(InvalidRecord, match="seen: a moment is within the years 1 to 9999 of UTC"):
                    producer.publish({"id": "a", "seen": moment}, topic=each)
        producer.publish({"id": "a", "seen": dt.datetime(1, 1, 1, tzinfo=dt.UTC)}, topic=plain)
        producer.publish({"id": "a", "seen": dt.datetime(9999, 12, 31, 23, 59, 59, tzinfo=dt.UTC)}, topic=plain)
    with pipe.consumer(plain, until="end") as consumer:
        assert [record["seen"].year for record in consumer.records()] == [1, 9999]


@pytest.mark.parametrize(
    ("merge", "said"), [("latest", "op.latest"), (op.latest, "op.latest"), ("max", "op.maximum"), (7, "op.latest")]
)
def test_a_merge_policy_that_is_none_says_what_to_write(merge, said):
    def whole() -> None:
        @op.record(topic="Merged", merge=merge)
        class Merged:
            id: str = op.field(identity=True)

    for call in (
        whole,
        lambda: op.field(merge=merge),
        lambda: op.Topic.declare("Merged", op.topic_of(Van).schema, identity="plate", merge=merge),
    ):
        with pytest.raises(DeclarationError, match=said):
            call()


@pytest.mark.parametrize(
    ("later", "said"),
    [
        (-(10**30), "the clock's time is outside the years 1 to 9999"),
        (253_402_300_800_000, "the clock's time is outside the years 1 to 9999"),
        (None, "the clock's time is milliseconds as int, not None"),
        (1.5, "the clock's time is milliseconds as int, not float"),
    ],
)
def test_a_clock_that_goes_wrong_stops_publishing_and_says_so(later, said):
    times = [1_767_225_600_000]
    with op.connect("memory://", clock=lambda: times[-1]) as pipe:
        producer = pipe.producer()
        producer.publish(parcel())
        times.append(later)
        with pytest.raises(ConfigurationError, match=said):
            producer.publish(parcel())
        times.append(times[0])
        producer.close()
        assert len(parcels(pipe)) == 1
