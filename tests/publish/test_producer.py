from __future__ import annotations

import asyncio
import datetime as dt
import os
import threading

import pytest

import onepipe as op
from onepipe.dead_letters import dead_letter_topic
from onepipe.errors import (
    BufferFull,
    ClosedError,
    DeclarationError,
    DeliveryError,
    InvalidRecord,
    NotRegistered,
    RecordTooLarge,
)
from onepipe.evidence.digest import digest
from onepipe.evidence.header import AUDIT_HEADER, DELETE_HEADER, unpack
from onepipe.evidence.records import AUDIT_TOPIC, EVIDENCE
from onepipe.partitioner import partition_for

T0 = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


@op.record(topic="Orders", merge=op.latest("updated"), event_time="updated", checks={"paid in full": "paid <= total"})
class Order:
    id: str = op.field(identity=True)
    updated: dt.datetime
    total: int = op.field(ge=0)
    paid: int = 0


@op.record(topic="Parcels")
class Parcel:
    id: int = op.field(identity=True)


def order(number: int = 1, **changes: object) -> Order:
    return op.evolve(Order(id=f"O{number}", updated=T0, total=10), **changes)


@pytest.fixture
def pipe():
    with op.connect("memory://") as pipe:
        yield pipe


def messages(pipe: op.Pipeline, topic: str) -> list[op.Message]:
    description = pipe.transport.describe_topic(topic)
    reader = pipe.transport.reader([op.TopicPartition(topic, p) for p in range(description.partitions)])
    found = []
    while batch := reader.poll(10_000):
        found += batch
    reader.close()
    return sorted(found, key=lambda m: (m.partition, m.offset))


def evidence(pipe: op.Pipeline) -> list[dict]:
    with pipe.consumer(EVIDENCE, until="end") as consumer:
        return [received.record for received in consumer]


def test_a_receipt_says_where_the_log_stored_the_record(pipe):
    with pipe.producer() as producer:
        receipt = producer.publish(order())
        assert receipt.result(timeout=5) is receipt
    (message,) = messages(pipe, "Orders")
    assert (receipt.topic, receipt.partition, receipt.offset) == ("Orders", message.partition, message.offset)
    assert receipt.done
    assert receipt.error is None


def test_a_receipt_can_be_awaited(pipe):
    async def publish() -> int | None:
        with pipe.producer() as producer:
            return (await producer.publish(order())).offset

    assert asyncio.run(publish()) == 0


def test_the_identity_is_the_key_and_chooses_the_partition_as_kafka_would(pipe):
    with pipe.producer() as producer:
        producer.publish_many(order(n) for n in range(50))
    for message in messages(pipe, "Orders"):
        assert message.key.startswith(b"O")
        assert message.partition == partition_for(message.key, 4)


def test_records_of_one_identity_keep_their_order(pipe):
    with pipe.producer() as producer:
        for paid in range(10):
            for number in range(5):
                producer.publish(order(number, paid=paid))
    with pipe.consumer(Order, until="end") as consumer:
        seen = [received.record for received in consumer]
    for number in range(5):
        assert [record.paid for record in seen if record.id == f"O{number}"] == list(range(10))


def test_an_invalid_record_is_refused_with_every_fault_and_without_its_values(pipe):
    with pipe.producer() as producer, pytest.raises(InvalidRecord) as refused:
        producer.publish(order(total=-5, updated=T0.replace(tzinfo=None)))
    assert {fault.field for fault in refused.value.faults} >= {"updated"}
    assert refused.value.topic == "Orders"
    assert "-5" not in str(refused.value)
    assert messages(pipe, "Orders") == []


def test_an_invalid_record_goes_to_the_dead_letters_where_that_is_asked_for(pipe):
    with pipe.producer(on_invalid="dead_letter") as producer:
        receipt = producer.publish(order(paid=99))
        fine = producer.publish(order())
    assert [fault.rule for fault in receipt.rejected] == ["paid in full"]
    assert receipt.topic == "Orders.dead-letters"
    assert not fine.rejected
    with pipe.consumer(dead_letter_topic("Orders"), until="end") as consumer:
        (letter,) = [received.record for received in consumer]
    assert letter["faults"] == [{"field": None, "rule": "paid in full", "message": letter["faults"][0]["message"]}]
    assert b'"paid": 99' in letter["body"]


def test_a_dict_is_published_to_the_topic_it_is_given(pipe):
    pipe.register(Order)
    with pipe.producer() as producer:
        producer.publish({"id": "O1", "updated": T0, "total": 3, "paid": 3}, topic="Orders")
        with pytest.raises(DeclarationError, match="topic="):
            producer.publish({"id": "O1"})
        with pytest.raises(NotRegistered, match="did you mean 'Orders'"):
            producer.publish({"id": "O1"}, topic="Order")
    with pipe.consumer("Orders", until="end") as consumer:
        assert [received.record["paid"] for received in consumer] == [3]


def test_every_message_says_its_writer_its_sequence_and_its_digest(pipe):
    with pipe.producer() as producer:
        producer.publish_many(order(n) for n in range(20))
    by_partition: dict[int, list[int]] = {}
    epochs = set()
    for message in messages(pipe, "Orders"):
        name, value = message.headers[0]
        header = unpack(value)
        assert name == AUDIT_HEADER
        assert header.check == digest(op.topic_of(Order).schema.fingerprint, message.value[5:]).hi
        by_partition.setdefault(message.partition, []).append(header.sequence)
        epochs.add(header.epoch)
    assert len(epochs) == 1
    assert all(sequences == list(range(len(sequences))) for sequences in by_partition.values())


def test_a_producer_opens_its_epoch_before_its_first_record_and_vouches_for_all_of_them(pipe):
    with pipe.producer() as producer:
        producer.publish_many(order(n) for n in range(20))
    said = evidence(pipe)
    assert [entry["kind"] for entry in said][:1] == ["opened"]
    assert [entry["kind"] for entry in said][-1:] == ["closed"]
    assert sum(entry["acknowledged"] for entry in said if entry["kind"] == "tally") == 20


def test_a_producer_opens_each_topic_before_its_first_record_of_it(pipe):
    with pipe.producer(tally_every=3600.0) as producer:
        for number, record in enumerate([order(), Parcel(id=1), order(2), Parcel(id=2)]):
            producer.publish(record)
            opened = [entry["topic"] for entry in evidence(pipe) if entry["kind"] == "opened"]
            assert opened == ["Orders", "Parcels"][: number + 1]


def test_a_callback_may_publish_the_first_record_of_another_topic(pipe):
    followed = []
    with pipe.producer() as producer:
        producer.publish(order()).add_done_callback(lambda _: followed.append(producer.publish(Parcel(id=1))))
    assert [receipt.result().offset for receipt in followed] == [0]
    assert {entry["topic"] for entry in evidence(pipe) if entry["kind"] == "opened"} == {"Orders", "Parcels"}


def test_a_topic_audited_by_name_has_a_manifest_of_every_record(pipe):
    topic = op.Topic.from_document(
        {
            "type": "record",
            "name": "Named",
            "fields": [{"name": "id", "type": "string"}],
            "onepipe": {"topic": "Named", "identity": ["id"], "audit": "named"},
        }
    )
    with pipe.producer() as producer:
        producer.publish_many(({"id": f"N{n}"} for n in range(10_000)), topic=topic)
    entries = {
        (tally["partition"], entry["offset"]): entry["key"] for tally in evidence(pipe) for entry in tally["manifest"]
    }
    assert entries == {(m.partition, m.offset): m.key for m in messages(pipe, "Named")}


def test_without_audit_nothing_is_said_and_no_header_is_sent(pipe):
    with pipe.producer(audit=False) as producer:
        producer.publish(order())
    assert AUDIT_TOPIC not in pipe.transport.topics()
    assert messages(pipe, "Orders")[0].headers == ()


def test_leaving_with_raises_what_was_not_delivered(pipe):
    pipe.register(Order)
    partition = partition_for(b"O1", 4)
    pipe.transport.faults.fail_append("Orders", partition, 0)
    with pytest.raises(DeliveryError, match="1 records were not delivered"), pipe.producer() as producer:
        producer.publish(order(1))


def test_a_failure_that_was_asked_for_by_its_receipt_is_not_raised_again(pipe):
    pipe.register(Order)
    pipe.transport.faults.fail_append("Orders", partition_for(b"O1", 4), 0)
    with pipe.producer() as producer:
        receipt = producer.publish(order(1))
        with pytest.raises(DeliveryError):
            receipt.result(timeout=5)
    tally = next(entry for entry in evidence(pipe) if entry["kind"] == "tally")
    assert (tally["sequence_end"], tally["acknowledged"], tally["failed"]) == (1, 0, [{"first": 0, "end": 1}])


def test_an_exception_inside_with_is_not_hidden_by_what_was_not_delivered(pipe):
    pipe.register(Order)
    pipe.transport.faults.fail_append("Orders", partition_for(b"O1", 4), 0)
    with pytest.raises(ZeroDivisionError) as raised, pipe.producer() as producer:
        producer.publish(order(1))
        1 / 0  # noqa: B018 - the user's own mistake
    assert "not delivered" in raised.value.__notes__[0]


def test_an_outcome_nobody_knows_is_told_as_indeterminate(pipe):
    pipe.register(Order)
    pipe.transport.faults.leave_append_open("Orders", partition_for(b"O1", 4), 0, stored=True)
    with pipe.producer() as producer:
        receipt = producer.publish(order(1))
        with pytest.raises(DeliveryError) as raised:
            receipt.result(timeout=5)
    assert raised.value.indeterminate
    tally = next(entry for entry in evidence(pipe) if entry["kind"] == "tally")
    assert tally["indeterminate"] == [{"first": 0, "end": 1}]


def test_a_record_too_large_is_refused_at_the_call_and_leaves_no_hole_in_the_sequences():
    with op.connect("memory://", settings={"max_message_bytes": 1000}) as pipe, pipe.producer() as producer:
        with pytest.raises(RecordTooLarge):
            producer.publish(order(1, id="x" * 2000))
        for _ in range(3):
            producer.publish(order(1))
        producer.close()
        sequences = [unpack(m.headers[0][1]).sequence for m in messages(pipe, "Orders")]
    assert sequences == [0, 1, 2]


def test_a_full_buffer_holds_publish_up_and_then_raises():
    with op.connect("memory://", settings={"capacity_bytes": 2000}) as pipe:
        producer = pipe.producer(max_block=0.05, audit=False)
        with pytest.raises(BufferFull):
            for number in range(1000):
                producer.publish(order(number))
        stored = len(messages(pipe, "Orders"))
        producer.close()
    assert 0 < stored < 1000


def test_a_delete_is_a_tombstone_with_its_version(pipe):
    with pipe.producer() as producer:
        producer.publish(order(1))
        producer.delete(Order, id="O1", updated=T0 + dt.timedelta(hours=1))
    *_, tombstone = messages(pipe, "Orders")
    assert tombstone.value is None
    assert tombstone.key == b"O1"
    assert DELETE_HEADER in dict(tombstone.headers)
    with pipe.consumer(Order, until="end") as consumer:
        first, second = list(consumer)
    assert not first.deleted
    assert second.deleted
    assert second.record == {"id": "O1", "updated": T0 + dt.timedelta(hours=1)}


def test_a_delete_without_version_or_with_other_fields_is_refused_with_every_fault(pipe):
    with pipe.producer() as producer, pytest.raises(InvalidRecord) as refused:
        producer.delete(Order, id="O1", totl=3)
    assert {(fault.field, fault.rule) for fault in refused.value.faults} == {
        ("updated", "required"),
        ("totl", "unknown"),
    }


def test_a_closed_producer_publishes_nothing(pipe):
    producer = pipe.producer()
    producer.close()
    producer.close()
    with pytest.raises(ClosedError):
        producer.publish(order())


def test_threads_share_a_producer_and_every_sequence_is_used_once(pipe):
    with pipe.producer() as producer:
        threads = [
            threading.Thread(target=lambda t=t: producer.publish_many(order(t * 1000 + n) for n in range(200)))
            for t in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    seen = [(m.partition, unpack(m.headers[0][1]).sequence) for m in messages(pipe, "Orders")]
    assert len(seen) == len(set(seen)) == 800
    assert sum(e["acknowledged"] for e in evidence(pipe) if e["kind"] == "tally") == 800


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # forking with threads is what is tested
def test_a_forked_child_writes_an_epoch_of_its_own(tmp_path):
    with op.connect(f"memory://{tmp_path}/log") as pipe, pipe.producer() as producer:
        before = producer._sender.epoch
        reading, writing = os.pipe()
        if (child := os.fork()) == 0:
            os.write(writing, producer._sender.epoch)
            os._exit(0)
        os.waitpid(child, 0)
        assert os.read(reading, 16) != before == producer._sender.epoch
        os.close(reading)
        os.close(writing)
