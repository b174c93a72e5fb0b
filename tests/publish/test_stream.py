from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import onepipe as op
from onepipe.errors import BufferFull, DeliveryError
from onepipe.evidence.records import EVIDENCE
from onepipe.publishing.receipt import Receipt
from onepipe.publishing.stream import RUN, Stream
from onepipe.publishing.undelivered import Undelivered
from onepipe.transport import Outcome, TopicDescription

KINDS = st.lists(st.sampled_from(["acknowledged", "unstamped", "failed", "indeterminate"]), max_size=2 * RUN + 3)


@op.record(topic="Notes", identity="id")
class Note:
    id: str


def streams(count: int, *, named: bool) -> list[Stream]:
    return [Stream(TopicDescription("t", "log", 1), 0, named=named) for _ in range(count)]


def sent(stream: Stream, count: int) -> list[Receipt]:
    sender = SimpleNamespace(undelivered=Undelivered(), callbacks=threading.Lock())
    stream.account[1][:] = [
        Receipt(sender, stream, 1000 + n * 9_000_000, b"k%d" % n, n.to_bytes(16, "big")) for n in range(count)
    ]
    return list(stream.account[1])


def outcome(number: int, kind: str) -> Outcome:
    if kind in ("acknowledged", "unstamped"):
        return Outcome(100 + number, None if kind == "unstamped" else 1000 + number * 9_000_000)
    return Outcome(None, None, DeliveryError("not now", indeterminate=kind == "indeterminate"))


@given(KINDS, st.randoms(use_true_random=False), st.booleans())
def test_a_tally_says_the_same_in_whatever_order_outcomes_come_and_whenever_they_are_counted(kinds, random, named):
    ordered, shuffled = streams(2, named=named)
    for receipt, (number, kind) in zip(sent(ordered, len(kinds)), enumerate(kinds), strict=True):
        receipt._settle(outcome(number, kind))
    ordered.count()
    told = list(zip(sent(shuffled, len(kinds)), enumerate(kinds), strict=True))
    random.shuffle(told)
    for receipt, (number, kind) in told:
        receipt._settle(outcome(number, kind))
        if random.random() < 0.1:
            random.choice([shuffled.count, shuffled.count_runs])()
    shuffled.count()
    assert not shuffled.account[1]
    assert ordered.tally.fields() == shuffled.tally.fields()


def test_nothing_is_counted_beyond_a_record_whose_outcome_is_open():
    (stream,) = streams(1, named=False)
    first, second = sent(stream, 2)
    second._settle(outcome(1, "acknowledged"))
    stream.count()
    assert not stream.untold
    first._settle(outcome(0, "acknowledged"))
    stream.count()
    assert stream.tally.fields()["sequence_end"] == 2


def test_less_than_a_run_is_counted_only_when_a_tally_is_due():
    (stream,) = streams(1, named=False)
    receipts = sent(stream, RUN + 2)
    for number, receipt in enumerate(receipts[: RUN - 1]):
        receipt._settle(outcome(number, "acknowledged"))
    stream.count_runs()
    assert (stream.tally.sequence_end, len(stream.account[1])) == (0, RUN + 2)
    receipts[RUN - 1]._settle(outcome(RUN - 1, "acknowledged"))
    stream.count_runs()
    assert (stream.tally.sequence_end, len(stream.account[1])) == (RUN, 2)
    receipts[RUN]._settle(outcome(RUN, "acknowledged"))
    stream.count()
    assert (stream.tally.sequence_end, len(stream.account[1])) == (RUN + 1, 1)


def test_a_second_outcome_changes_nothing():
    (stream,) = streams(1, named=False)
    (receipt,) = sent(stream, 1)
    receipt._settle(outcome(0, "indeterminate"))
    receipt._settle(outcome(0, "acknowledged"))
    stream.count()
    assert stream.tally.outcomes == (0, 0, 1)
    assert receipt.offset is None


@pytest.mark.parametrize("room", [True, False])
def test_a_callback_that_publishes_while_a_record_waits_for_room_uses_no_number_twice(monkeypatch, room):
    with op.connect("memory://", partitions=1) as pipe, pipe.producer(max_block=0.0) as producer:
        first = producer.publish(Note(id="first"))
        writer = producer._sender._writer
        append, refusals = writer.append, [BufferFull("full")] * (2 if room else 3)

        def append_when_there_is_room(message, on_outcome):
            if message.key == b"second" and refusals:
                raise refusals.pop()
            append(message, on_outcome)

        monkeypatch.setattr(writer, "append", append_when_there_is_room)
        monkeypatch.setattr(
            writer, "poll", lambda timeout: first.add_done_callback(lambda _: producer.publish(Note(id="third")))
        )
        if room:
            producer.publish(Note(id="second"))
        else:
            with pytest.raises(BufferFull):
                producer.publish(Note(id="second"))
        producer.publish(Note(id="fourth"))
        producer.close()
        reader = pipe.transport.reader([op.TopicPartition("Notes", 0)])
        numbers = {message.key: int.from_bytes(message.headers[0][1][17:25], "big") for message in reader.poll()}
        with pipe.consumer(EVIDENCE, until="end") as consumer:
            (tally,) = [received.record for received in consumer if received.record["kind"] == "tally"]
    assert numbers == {b"first": 0, b"third": 2, b"fourth": 3} | ({b"second": 1} if room else {})
    assert tally["acknowledged"] == len(numbers)
    assert tally["failed"] == ([] if room else [{"first": 1, "end": 2}])
