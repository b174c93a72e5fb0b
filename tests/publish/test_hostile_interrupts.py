"""Interrupts while publishing, anywhere: what the evidence says is what the log holds and what receipts tell."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from interruptions import Interrupts

import onepipe as op
from onepipe.errors import ConfigurationError, DeliveryError
from onepipe.evidence import tally
from onepipe.evidence.digest import Digest, digest, total
from onepipe.evidence.header import AUDIT_HEADER, unpack
from onepipe.evidence.records import EVIDENCE
from onepipe.publishing import sender, stream, witness
from onepipe_memory import partition
from onepipe_memory import writer as memory_writer

MODULES = tuple(str(module.__file__) for module in (sender, stream, witness, tally, memory_writer, partition))
RECORDS = 14


@op.record(topic="Notes", identity="id", audit="named")
class Note:
    id: str


@pytest.fixture(autouse=True)
def short_runs(monkeypatch):
    monkeypatch.setattr(stream, "RUN", 4)
    monkeypatch.setattr(sender, "_COUNT_MASK", 3)


def publish(pipe: op.Pipeline, interrupts: Interrupts) -> tuple[bytes, int, list[op.Receipt]]:
    """Publish records with interrupts, and close without; the epoch, the digests' seed, and the receipts."""
    producer, receipts = pipe.producer(tally_every=0.0), []
    producer.publish(Note(id="first"))
    for number in range(RECORDS):
        interrupts.run(lambda number=number: receipts.append(producer.publish(Note(id=str(number)))))
        if number % 5 == 4:
            with suppress(DeliveryError):
                interrupts.run(producer.flush)
    with suppress(DeliveryError):
        producer.close()
    return producer._sender.epoch, producer._routes[Note].seed, receipts


def evidence(pipe: op.Pipeline, epoch: bytes) -> tuple[dict, list[dict]]:
    """A writer's last tally, and the entries of all its manifests."""
    with pipe.consumer(EVIDENCE, until="end") as consumer:
        said = [received.record for received in consumer if received.record["epoch"] == epoch]
    assert {"opened", "closed"} <= {each["kind"] for each in said}
    tallies = [each for each in said if each["kind"] == "tally"]
    assert len({each["number"] for each in tallies}) == len(tallies)
    return max(tallies, key=lambda each: each["number"]), [e for each in tallies for e in each["manifest"]]


def check(pipe: op.Pipeline, epoch: bytes, seed: int, receipts: list[op.Receipt]) -> None:
    """Compare log, receipts and evidence of one writer in a topic of one partition."""
    by_offset, by_sequence = {}, {}
    for message in pipe.transport.reader([op.TopicPartition("Notes", 0)]).poll(10_000, 0.0):
        writer, sequence, _ = unpack(dict(message.headers)[AUDIT_HEADER])
        if writer == epoch:
            assert sequence not in by_sequence
            by_sequence[sequence] = by_offset[message.offset] = message
    tally, manifest = evidence(pipe, epoch)
    assert all(receipt.done for receipt in receipts)
    assert {receipt.offset for receipt in receipts} - {None} <= by_offset.keys()
    excused = {n for kind in ("failed", "indeterminate") for i in tally[kind] for n in range(i["first"], i["end"])}
    acknowledged = {n: message for n, message in by_sequence.items() if n not in excused}
    assert set(range(tally["sequence_end"])) == acknowledged.keys() | excused
    assert by_sequence.keys() <= acknowledged.keys() | excused
    assert tally["acknowledged"] == len(acknowledged)
    assert Digest(tally["digest_hi"], tally["digest_lo"]) == total(
        digest(seed, message.value[5:]) for message in acknowledged.values()
    )
    for entry in manifest:
        assert entry["offset"] == acknowledged[entry["sequence"]].offset


def sequences(pipe: op.Pipeline, epoch: bytes) -> list[int]:
    """The sequences of a writer's records, in the order of the log."""
    messages = pipe.transport.reader([op.TopicPartition("Notes", 0)]).poll(100_000, 0.0)
    written = [unpack(dict(message.headers)[AUDIT_HEADER]) for message in messages]
    return [sequence for writer, sequence, _ in written if writer == epoch]


def points(url: str, modules: Sequence[str] = MODULES) -> int:
    interrupts = Interrupts(modules)
    with op.connect(url, partitions=1) as pipe:
        publish(pipe, interrupts)
    return interrupts.count


@pytest.mark.parametrize("module", MODULES, ids=lambda file: file.rpartition("/")[2])
def test_every_module_that_publishing_runs_through_can_be_interrupted(module):
    assert points("memory://", [module])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["memory", "disk"])
def test_evidence_agrees_with_log_and_receipts_wherever_an_interrupt_comes(tmp_path, kind):
    url = "memory://" if kind == "memory" else f"memory://{tmp_path}/log?linger_ms=0"
    every = points(url)
    step = max(1, every // 150)
    with op.connect(url, partitions=1) as pipe:
        for point in range(1, every, step):
            check(pipe, *publish(pipe, Interrupts(MODULES, [point])))


@pytest.mark.slow
@settings(max_examples=30)
@given(st.lists(st.integers(1, 900), min_size=1, max_size=12).map(sorted), st.booleans())
def test_evidence_agrees_with_log_and_receipts_however_many_interrupts_come(at, disk):
    with (
        tempfile.TemporaryDirectory() as folder,
        op.connect(f"memory://{folder}/log?linger_ms=0" if disk else "memory://", partitions=1) as pipe,
    ):
        check(pipe, *publish(pipe, Interrupts(MODULES, at)))


def test_the_verdict_after_interrupts_is_balanced(tmp_path):
    every = points("memory://")
    with op.connect("memory://", partitions=1, lake=tmp_path / "lake") as pipe:
        for point in range(1, every, every // 20):
            publish(pipe, Interrupts(MODULES, [point]))
        pipe.archive(Note)
        verdict = pipe.verify(Note)
    assert {hop.state.value for hop in verdict.hops} == {"balanced"}
    assert not verdict.findings


@pytest.mark.slow
def test_a_signal_handler_that_publishes_amid_publishing_keeps_the_order_or_is_refused():
    refused: list[str] = []
    every = points("memory://")
    with op.connect("memory://", partitions=1) as pipe:
        for point in range(1, every, max(1, every // 200)):
            producer = pipe.producer(tally_every=0.0)
            producer.publish(Note(id="first"))
            receipts: list[op.Receipt] = []

            def handler(producer=producer, receipts=receipts) -> None:
                try:
                    receipts.append(producer.publish(Note(id="handler")))
                except ConfigurationError as error:
                    refused.append(error.message)

            signals = Interrupts(MODULES, [point], handler)
            for number in range(RECORDS):
                signals.run(lambda n=number, p=producer, r=receipts: r.append(p.publish(Note(id=str(n)))))
            signals.run(producer.flush)
            producer.close()
            check(pipe, producer._sender.epoch, producer._routes[Note].seed, receipts)
            assert sequences(pipe, producer._sender.epoch) == list(range(len(receipts) + 1))
    assert {message.partition(" cannot")[0] for message in refused} == {"a signal handler"}
