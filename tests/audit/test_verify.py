from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from audited_world import T0, World, hops, trips
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import onepipe as op
from onepipe.audit.verdict import Hop, Kind, State
from onepipe.audit.verify import verify
from onepipe.errors import ConfigurationError, DeliveryError
from onepipe.evidence.records import AUDIT_TOPIC
from onepipe.lake import open_lake
from onepipe.partitioner import partition_for

HOURS_LATER = T0 + dt.timedelta(days=3650)
NAMED = ("named", "counted")


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


@pytest.mark.parametrize("level", ["accounted", "proved", "deep"])
@pytest.mark.parametrize("audit", NAMED)
def test_a_clean_history_is_balanced_at_every_level(tmp_path, audit, level):
    world = World(tmp_path, audit)
    world.publish()
    world.lake_it()
    verdict = world.verify(level)
    assert verdict.balanced, str(verdict)
    assert hops(verdict) == dict.fromkeys(["producer", "log", "raw", "clean"], "balanced")
    assert not verdict.findings
    assert sum(bucket.found for bucket in verdict.buckets) == 200
    assert {bucket.state for bucket in verdict.buckets} == {State.BALANCED}


@pytest.mark.slow
@example(log=[Kind.LOST, Kind.REPEATED], raw=[Kind.LOST], clean=[], seed=0, level="accounted")
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(
    log=st.lists(st.sampled_from(Kind), max_size=4),
    raw=st.lists(st.sampled_from(Kind), max_size=4),
    clean=st.lists(st.sampled_from(Kind), max_size=4),
    seed=st.integers(0, 1000),
    level=st.sampled_from(["accounted", "proved", "deep"]),
)
def test_every_record_that_was_tampered_with_is_named_and_no_other(tmp_path_factory, log, raw, clean, seed, level):
    world = World(tmp_path_factory.mktemp("lake"))
    world.publish()
    tampered = world.tamper(log, raw, clean, seed)
    verdict = world.verify(level)
    unnamed = [each for each in tampered if not any(map(each.named_by, verdict.findings))]
    assert not unnamed, str(verdict)
    assert len(verdict.findings) == len(tampered), str(verdict)
    assert verdict.balanced == (not tampered)


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("place", ["log", "raw"])
def test_a_counted_topic_names_writer_sequence_partition_and_offset(tmp_path, place, kind):
    world = World(tmp_path, "counted")
    world.publish()
    (done,) = world.tamper(**{place: [kind]})
    verdict = world.verify()
    (finding,) = [f for f in verdict.findings if f.hop is not Hop.CLEAN]
    assert (finding.kind, finding.partition, finding.offset) == (kind, done.partition, done.offset)
    assert finding.hop.value == place
    assert finding.writer is not None
    assert finding.sequence is not None


def test_records_that_were_not_archived_yet_are_in_flight_and_not_lost(world):
    world.publish()
    world.lake_it()
    with world.pipe.producer() as producer:
        producer.publish_many(trips(world.cls, 30))
    world.pipe.archive(AUDIT_TOPIC)
    verdict = world.verify()
    log = next(hop for hop in verdict.hops if hop.hop is Hop.LOG)
    assert (log.state, log.in_flight) == (State.OPEN, 30)
    assert not verdict.findings


def test_rows_that_were_not_merged_yet_are_in_flight(world):
    world.publish()
    world.pipe.archive(world.cls)
    verdict = world.verify()
    clean = verdict.hops[-1]
    assert (clean.hop, clean.state, clean.in_flight) == (Hop.CLEAN, State.OPEN, 200)
    world.pipe.dedup(world.cls)
    assert world.verify().balanced


def test_a_writer_still_at_work_leaves_the_verdict_open_and_a_dead_one_is_explained(world):
    producer = world.pipe.producer(tally_every=0.0)
    producer.publish_many(trips(world.cls, 300))
    producer.flush()
    world.lake_it()
    assert world.verify().state is State.OPEN
    later = verify(world.pipe.lake, world.topic, now=HOURS_LATER)
    assert later.balanced, str(later)
    assert "ended without closing" in str(later)
    producer.close()


def test_the_unvouched_tail_of_a_dead_writer_raises_no_alarm(world):
    producer = world.pipe.producer(tally_every=3600.0)
    producer.publish_many(trips(world.cls, 20))
    world.lake_it()
    verdict = verify(world.pipe.lake, world.topic, now=HOURS_LATER)
    assert not verdict.findings
    assert "tail seen of 20" in " ".join(str(verdict).split())
    producer.close()


def test_what_writers_were_told_failed_is_neither_lost_nor_expected(world):
    world.pipe.register(world.cls)
    partition = partition_for(b"0", 2)
    world.pipe.transport.faults.fail_append("Trips", partition, 3)
    with world.pipe.producer() as producer:
        receipts = producer.publish_many(trips(world.cls, 60))
        for receipt in receipts:
            if receipt.error:
                with pytest.raises(DeliveryError):
                    receipt.result()
    world.lake_it()
    verdict = world.verify()
    assert verdict.balanced, str(verdict)
    assert "1 records were refused by the log" in str(verdict)


@pytest.mark.parametrize("stored", [True, False])
def test_a_record_without_known_outcome_raises_no_alarm_whether_it_is_there_or_not(world, stored):
    world.pipe.register(world.cls)
    world.pipe.transport.faults.leave_append_open("Trips", partition_for(b"0", 2), 3, stored=stored)
    with world.pipe.producer() as producer:
        for receipt in producer.publish_many(trips(world.cls, 60)):
            if receipt.error:
                with pytest.raises(DeliveryError):
                    receipt.result()
    world.lake_it()
    verdict = world.verify()
    assert not verdict.findings, str(verdict)
    assert verdict.balanced, str(verdict)


def test_records_of_writers_without_audit_are_not_covered(world):
    with world.pipe.producer(audit=False) as producer:
        producer.publish_many(trips(world.cls, 50))
    world.lake_it()
    verdict = world.verify()
    assert hops(verdict) == {"producer": "not covered", "log": "not covered", "raw": "balanced", "clean": "balanced"}


def test_writers_whose_evidence_never_reached_the_lake_are_unknown(world):
    from onepipe.lake.archive import archive

    world.publish()
    world.pipe.register(world.cls)
    archive(world.topic, world.pipe.transport, world.pipe.lake, world.pipe.registry)
    world.pipe.dedup(world.cls)
    verdict = world.verify()
    assert verdict.state is State.UNKNOWN
    assert "left no evidence" in str(verdict)


def test_damaged_evidence_is_unknown_and_never_balanced(world):
    world.publish()
    world.lake_it()
    for file in (world.folder / "raw" / AUDIT_TOPIC).rglob("*.parquet"):
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
    assert world.verify().state is State.UNKNOWN


def test_a_raw_file_that_is_missing_or_unreadable_names_every_record_it_held(world):
    world.publish()
    world.lake_it()
    file = sorted((world.folder / "raw" / "Trips").rglob("*.parquet"))[0]
    rows = pq.read_metadata(file).num_rows
    file.write_bytes(b"not Parquet")
    verdict = world.verify()
    assert [f.kind for f in verdict.findings] == [Kind.LOST] * rows
    assert {f.hop for f in verdict.findings} == {Hop.RAW}
    file.unlink()
    assert len(world.verify().findings) == rows


@pytest.mark.parametrize("clock", [-62_135_596_800_000, 253_402_300_799_999])
def test_a_clock_at_either_end_of_the_calendar_does_no_harm(world, tmp_path, clock):
    with op.connect("memory://", lake=tmp_path / "other", clock=lambda: clock) as world.pipe:
        with world.pipe.producer() as producer:
            producer.publish(trips(world.cls, 1)[0])
        world.lake_it()
        assert world.verify().balanced


def test_a_file_rewritten_with_a_matching_name_is_found_by_proof(world):
    from onepipe.lake.layout import file_hash
    from onepipe.lake.table import LakeTable

    world.publish()
    world.lake_it()
    root = world.folder / "raw" / "Trips"
    file = sorted(root.rglob("*.parquet"))[0]
    table = pq.read_table(file, partitioning=None)
    place = table.schema.get_field_index("distance")
    changed = pa.array([1_000_000, *table["distance"].to_pylist()[1:]], pa.int64())
    pq.write_table(table.set_column(place, table.schema.field(place), changed), file)
    renamed = file.with_name(f"{file.name.partition('-')[0]}-{file_hash(file)}.parquet")
    file.rename(renamed)
    lake = open_lake(world.folder)
    raw = LakeTable.find(lake.storage, "raw/Trips")
    replace_in_table(raw, str(file.relative_to(root)), str(renamed.relative_to(root)), table.num_rows, renamed)
    assert world.verify("accounted").balanced
    (finding,) = world.verify("proved").findings
    assert (finding.kind, finding.offset) == (Kind.ALTERED, table["_op_offset"][0].as_py())


def replace_in_table(table, old: str, new: str, rows: int, file: Path) -> None:
    from onepipe.lake.table import NewFile

    table.commit([NewFile(new, rows, file.stat().st_size)], [old], {})


def test_a_new_log_under_an_old_lake_is_right_beside_the_old_one(tmp_path):
    for _ in range(2):
        world = World(tmp_path)
        world.publish()
        world.lake_it()
        verdict = world.verify("deep")
        world.pipe.close()
        assert verdict.balanced, str(verdict)
    assert verdict.figures["raw_rows"] == 400
    assert verdict.figures["clean_rows"] == 40


def test_verification_needs_the_lakes_files_alone(world):
    world.publish()
    world.lake_it()
    world.pipe.close()
    lake = open_lake(world.folder)
    assert verify(lake, lake.topic("Trips")).balanced


def test_a_second_verification_reads_no_proved_file_again(world, monkeypatch):
    world.publish()
    world.lake_it()
    assert world.verify().balanced

    def fail(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr("onepipe.audit.verify.contradictions", fail)
    assert world.verify().balanced


def test_balanced_hours_are_sealed_and_late_records_open_them_again(world):
    from onepipe.audit.ledger import Ledger

    world.publish(120)
    world.lake_it()
    world.verify()
    ledger = Ledger(world.pipe.lake.storage, "Trips")
    first = ledger.sealed()
    assert sum(first.values()) == 120
    world.publish(60)
    world.lake_it()
    world.verify()
    again = ledger.sealed()
    assert sum(again.values()) == 180
    assert again.keys() == first.keys()


def test_deletes_and_quarantined_rows_are_accounted_for(world):
    world.publish(100)
    with world.pipe.producer() as producer:
        producer.delete(world.cls, id=3, version=99, day=T0)
    world.tamper(log=[Kind.ALTERED])
    verdict = world.verify("deep")
    assert [f.kind for f in verdict.findings] == [Kind.ALTERED]
    assert verdict.figures["quarantined"] == 1
    assert hops(verdict)["clean"] == "balanced"


def test_deletes_alone_in_a_file_are_read_by_the_schema_that_its_footer_names(world):
    with world.pipe.producer() as producer:
        producer.delete(world.cls, id=3, version=99, day=T0)
    world.lake_it()
    verdict = world.verify("deep")
    assert verdict.balanced, str(verdict)


def test_a_verdict_is_json_text_and_html(world):
    world.publish()
    (done,) = world.tamper(raw=[Kind.LOST])
    verdict = world.verify()
    document = json.loads(json.dumps(verdict.to_json()))
    assert document["verdict"] == "short"
    assert document["findings"][0]["identity"] == {"id": done.identity["id"]}
    assert "lost at the raw hop: Trips" in str(verdict)
    assert verdict._repr_html_().startswith("<div")
    assert "<svg" in verdict._repr_html_()


def test_an_unknown_level_is_refused_with_the_nearest_match(world):
    world.publish()
    world.lake_it()
    with pytest.raises(ConfigurationError, match="did you mean 'proved'"):
        world.verify("prove")
