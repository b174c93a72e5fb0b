"""What a verdict may call balanced: only what evidence covers."""

from __future__ import annotations

import datetime as dt

import pytest
from audited_world import T0, World, hops, trips

import onepipe as op
from onepipe.audit.verdict import Hop, State
from onepipe.audit.verify import verify
from onepipe.audit.vouched import read_testimony
from onepipe.cli import main
from onepipe.errors import DeliveryError
from onepipe.partitioner import partition_for

YEARS_LATER = T0 + dt.timedelta(days=3650)


@op.record(topic="Stops", merge=op.latest("id"))
class Stop:
    id: int = op.field(identity=True)


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def log_hop(verdict):
    return next(hop for hop in verdict.hops if hop.hop is Hop.LOG)


def publish_without_audit(world, count: int) -> None:
    with world.pipe.producer(audit=False) as producer:
        producer.publish_many(trips(world.cls, count))


def test_a_topic_of_writers_without_evidence_is_not_covered_and_sound(world, capsys):
    publish_without_audit(world, 50)
    world.lake_it()
    verdict = world.verify()
    assert (verdict.state, verdict.balanced, verdict.sound) == (State.NOT_COVERED, False, True)
    assert main(["verify", "Trips", "--lake", str(world.folder)]) == 0
    assert capsys.readouterr().out.startswith("Trips: not covered")


def test_a_topic_of_writers_without_evidence_is_not_sound_where_its_files_are_damaged(world, capsys):
    publish_without_audit(world, 50)
    world.lake_it()
    next((world.folder / "raw" / "Trips").rglob("*.parquet")).write_bytes(b"not Parquet")
    verdict = world.verify()
    assert (verdict.balanced, verdict.sound) == (False, False)
    assert main(["verify", "Trips", "--lake", str(world.folder)]) == 1
    capsys.readouterr()


def test_a_topic_that_nobody_ever_published_is_not_covered(world):
    world.pipe.register(world.cls)
    world.lake_it()
    verdict = world.verify()
    assert verdict.state is State.NOT_COVERED
    assert log_hop(verdict).expected is None


def test_a_topic_is_balanced_with_no_records_where_all_writers_ended_without_writing_any(world):
    world.pipe.register(world.cls)
    with world.pipe.producer():
        pass
    world.lake_it()
    assert world.verify().state is State.NOT_COVERED  # a producer opens its epoch with its first record
    other = world.pipe.producer()
    other.publish_many(trips(world.cls, 3))
    other.close()
    world.lake_it()
    assert world.verify().balanced


def test_rows_without_writer_are_told_and_leave_the_others_verifiable(world):
    world.publish(100)
    publish_without_audit(world, 30)
    world.lake_it()
    verdict = world.verify()
    assert verdict.balanced, str(verdict)
    assert "30 rows are not covered: their writers leave no evidence" in log_hop(verdict).notes
    assert hops(verdict) == dict.fromkeys(["producer", "log", "raw", "clean"], "balanced")


def test_a_writer_that_has_not_tallied_yet_leaves_the_verdict_open(world):
    producer = world.pipe.producer(tally_every=3600.0)
    producer.publish_many(trips(world.cls, 20))
    producer.flush()
    world.lake_it()
    verdict = world.verify()
    assert verdict.state is State.OPEN, str(verdict)
    assert log_hop(verdict).state is State.OPEN
    assert verify(world.pipe.lake, world.topic, now=YEARS_LATER).state is State.UNKNOWN
    producer.close()
    world.lake_it()
    assert world.verify().balanced


@pytest.mark.parametrize("written", [0, 60])
def test_a_writer_of_another_topic_holds_no_verdict_open(world, written):
    world.pipe.register(world.cls)
    with world.pipe.producer() as ended:
        ended.publish_many(trips(world.cls, written))
        ended.publish(Stop(id=0))
    at_work = world.pipe.producer(tally_every=3600.0)
    at_work.publish(Stop(id=1)).result()
    world.lake_it()
    assert world.verify().balanced, str(world.verify())
    assert verify(world.pipe.lake, world.topic, now=YEARS_LATER).balanced
    world.pipe.archive(Stop)
    world.pipe.dedup(Stop)
    assert world.pipe.verify(Stop).state is State.OPEN
    at_work.close()


def test_a_writer_that_opened_a_topic_of_which_it_tells_nothing_leaves_it_open_until_it_is_silent_for_long(world):
    world.pipe.register(world.cls)
    with world.pipe.producer() as ended:
        ended.publish(Stop(id=0))
    world.pipe.transport.faults.fail_append("Trips", 0, 0)
    world.pipe.transport.faults.fail_append("Trips", 1, 0)
    killed = world.pipe.producer(tally_every=3600.0)
    with pytest.raises(DeliveryError):
        killed.publish(trips(world.cls, 1)[0]).result()
    world.lake_it()
    assert world.verify().state is State.OPEN
    assert verify(world.pipe.lake, world.topic, now=YEARS_LATER).state is State.NOT_COVERED
    killed.close(timeout=0)


def test_an_opening_that_names_no_topic_speaks_of_all():
    opening = {"kind": "opened", "epoch": b"e" * 16, "at": T0, "topic": None, "log": None, "partition": None}
    said = read_testimony("Trips", [opening, {**opening, "epoch": b"f" * 16, "topic": "Stops"}], [])
    assert (said.heard, said.opened) == (True, {b"e" * 16})


@pytest.mark.parametrize("stored", [True, False])
def test_an_hour_is_balanced_once_the_outcome_of_its_doubtful_record_is_seen(world, stored):
    world.pipe.register(world.cls)
    world.pipe.transport.faults.leave_append_open("Trips", partition_for(b"0", 2), 3, stored=stored)
    with world.pipe.producer() as producer:
        for receipt in producer.publish_many(trips(world.cls, 60)):
            if receipt.error:
                with pytest.raises(DeliveryError):
                    receipt.result()
    world.lake_it()
    verdict = world.verify()
    assert verdict.balanced, str(verdict)
    assert {bucket.state for bucket in verdict.buckets} == {State.BALANCED}
    assert sum(bucket.found for bucket in verdict.buckets) == 59 + stored
    assert all(bucket.expected == bucket.found for bucket in verdict.buckets)


@pytest.mark.parametrize("audit", [True, False])
@pytest.mark.parametrize("timestamp", [(1 << 62), -(1 << 62), 253_402_300_800_000, -1])
def test_timestamps_beyond_the_calendar_are_no_matter_to_a_verdict(world, audit, timestamp, monkeypatch):
    monkeypatch.setattr("onepipe.publishing.producer.milliseconds", int)  # other producers refuse no timestamp
    with world.pipe.producer(audit=audit) as producer:
        for number, trip in enumerate(trips(world.cls, 10)):
            producer.publish(trip, timestamp=timestamp if number % 2 else 0)
    world.lake_it()
    verdict = world.verify()
    assert verdict.sound, str(verdict)
    assert not verdict.findings
