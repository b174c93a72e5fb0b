"""Dedup on Spark and in DuckDB: the same rows, from any history, by either engine in turn."""

from __future__ import annotations

import datetime as dt
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lake_arrivals import START, Event, Raw, clean_rows, declare_thing, expected, thing

import onepipe as op
from onepipe import merge
from onepipe.errors import ConfigurationError, CorruptFile, DeclarationError, LakeError
from onepipe.lake import open_lake
from onepipe.lake.dedup import EMBEDDED, dedup
from onepipe.lake.spark import SparkEngine, run
from onepipe.merge import MergePolicy, first, latest, latest_non_null, maximum, minimum, union

pytestmark = pytest.mark.spark

TOPICS = [
    declare_thing(),
    declare_thing(latest(), event_time=None, identity="name"),
    declare_thing(weight=maximum(), status=first(), tags=union()),
    declare_thing(first("version"), weight=minimum(), status=latest_non_null("created"), created=minimum()),
]
HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)
VALUES = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["a", "b", "c", "ü|\\"]),
        "number": st.integers(0, 2),
        "version": st.none() | st.integers(0, 2),
        "weight": st.none() | st.sampled_from([0.0, -0.0, 1.5, float("nan"), float("-inf")]),
        "created": st.none() | st.sampled_from([START, START + HOUR, START - 40000 * DAY]),
        "status": st.none() | st.sampled_from(["new", "old"]),
        "tags": st.none() | st.lists(st.sampled_from(["x", "y", "z"]), max_size=3),
    }
)


@st.composite
def histories(draw):
    """A topic, and batches of events, each for a partition."""
    topic = draw(st.sampled_from(TOPICS))
    kept = {*topic.identity, *topic.version_fields, topic.event_time}

    def event(values, kind):
        if kind == "delete":
            return Event({name: value for name, value in values.items() if name in kept}, True)
        return Event(values, False, "unreadable: cut off" if kind == "bad" else None)

    events = st.builds(event, VALUES, st.sampled_from(["record", "record", "record", "delete", "bad"]))
    batches = st.tuples(st.lists(events, min_size=1, max_size=20), st.integers(0, 1))
    return topic, draw(st.lists(batches, min_size=2, max_size=3))


@pytest.mark.slow
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(history=histories(), target_rows=st.sampled_from([1, 3, 1000]), task_rows=st.sampled_from([5, 1000]))
def test_any_history_has_the_same_rows_by_spark_by_duckdb_and_by_both_in_turn(session, history, target_rows, task_rows):
    topic, batches = history
    spark = SparkEngine(session, task_rows)
    with tempfile.TemporaryDirectory() as folder:
        by = {"spark": [spark], "duckdb": [EMBEDDED], "in turn": [EMBEDDED, spark]}
        raws = {name: Raw(open_lake(Path(folder, name.replace(" ", "-"))), topic) for name in by}
        for turn, (events, partition) in enumerate(batches):
            reports = {}
            for name, raw in raws.items():
                raw.archive(events, partition)
                engine = by[name][turn % len(by[name])]
                report = dedup(raw.lake, topic, target_rows=target_rows, engine=engine)
                reports[name] = report.version, report.arrivals, report.quarantined, report.identities, report.read
            assert len(set(reports.values())) == 1
            rows = {name: clean_rows(raw.lake, topic, states=True) for name, raw in raws.items()}
            assert rows["spark"] == rows["duckdb"] == rows["in turn"]
            assert clean_rows(raws["spark"].lake, topic) == expected(topic, raws["spark"].placed)
        progress = {raw.lake.clean(topic.name).snapshot().progress("log-a/0") for raw in raws.values()}
        assert len(progress) == 1


def test_a_rebuild_on_spark_has_the_rows_of_the_increments_and_nothing_is_merged_twice(session, tmp_path):
    topic = declare_thing(tags=union())
    raw = Raw(open_lake(tmp_path), topic)
    spark = SparkEngine(session, 10)
    for batch in range(2):
        raw.archive([thing(f"n{n}", batch, day=n % 3, tags=[str(batch)]) for n in range(20)])
        dedup(raw.lake, topic, target_rows=4, engine=spark)
    rows = clean_rows(raw.lake, topic, states=True)
    assert len(rows) == 20
    assert dedup(raw.lake, topic, engine=spark).read == 0
    rebuilt = dedup(raw.lake, topic, rebuild=True, target_rows=4, engine=spark)
    assert (rebuilt.arrivals, rebuilt.identities) == (40, 0)
    assert clean_rows(raw.lake, topic, states=True) == rows


def test_a_damaged_raw_file_is_named_and_nothing_is_committed(session, tmp_path):
    topic = declare_thing()
    raw = Raw(open_lake(tmp_path), topic)
    path = raw.archive([thing("a"), thing("b")])
    file = tmp_path / path
    file.chmod(0o644)
    file.write_bytes(file.read_bytes()[:-8] + b"damaged!")
    with pytest.raises(CorruptFile, match="other bytes than were written"):
        dedup(raw.lake, topic, engine=SparkEngine(session))
    assert raw.lake.clean(topic.name).snapshot().files == ()


def test_a_damaged_clean_file_is_named_and_what_other_tasks_wrote_is_gone(session, tmp_path):
    topic = declare_thing()
    raw = Raw(open_lake(tmp_path), topic)
    raw.archive([thing(f"n{n}") for n in range(8)])
    dedup(raw.lake, topic, target_rows=2, engine=SparkEngine(session, 2))
    before = sorted((tmp_path / "clean").rglob("*.parquet"))
    before[0].chmod(0o644)
    data = bytearray(before[0].read_bytes())
    data[8] ^= 1
    before[0].write_bytes(data)
    raw.archive([thing(f"n{n}", 1) for n in range(8)])
    with pytest.raises(CorruptFile, match="other bytes than were written"):
        dedup(raw.lake, topic, target_rows=2, engine=SparkEngine(session, 2))
    assert sorted((tmp_path / "clean").rglob("*.parquet")) == before


@op.record(topic="SparkWidgets", merge=op.latest("version"), event_time="created")
class Widget:
    sid: str = op.field(identity=True)
    version: int
    created: dt.datetime


def test_a_pipeline_merges_on_the_active_session_and_is_balanced(session, tmp_path):
    with op.connect("memory://", lake=tmp_path / "lake") as pipe:
        with pipe.producer() as producer:
            for n in range(50):
                producer.publish(Widget(sid=f"W{n % 10}", version=n, created=START))
        pipe.archive(Widget)
        assert pipe.dedup(Widget, engine="spark").identities == 10
        assert pipe.verify(Widget).balanced


class _Longest:
    """A policy that a plugin might bring; this one is known in the driver's process only."""

    name = "longest"

    def accepts(self, node):
        return True

    def combine(self, left, right):
        return max(left, right, key=lambda text: (len(text), text))

    def sql(self, column):
        return f"arg_max({column}, (len({column}), {column}))"


def test_a_merge_policy_that_executors_do_not_have_is_named(session, tmp_path, monkeypatch):
    monkeypatch.setattr(merge, "_registered", {"longest": _Longest()})
    topic = declare_thing(status=MergePolicy("longest"))
    raw = Raw(open_lake(tmp_path), topic)
    raw.archive([thing("a", status="x")])
    with pytest.raises(DeclarationError, match="longest"):
        dedup(raw.lake, topic, engine=SparkEngine(session))


def test_what_spark_itself_cannot_do_is_an_error_of_the_lake(session, tmp_path, monkeypatch):
    topic = declare_thing()
    raw = Raw(open_lake(tmp_path), topic)
    raw.archive([thing("a")])
    monkeypatch.setattr(run, "TakeSurvey", lambda places: lambda keyed: 1 / 0)
    with pytest.raises(LakeError, match="on Spark failed"):
        dedup(raw.lake, topic, engine=SparkEngine(session))


def test_an_engine_of_no_such_name_is_refused(tmp_path):
    with (
        op.connect("memory://", lake=tmp_path / "lake") as pipe,
        pytest.raises(ConfigurationError, match=r"engine cannot be 'sparc'.*spark"),
    ):
        pipe.dedup(Widget, engine="sparc")


@pytest.mark.slow
def test_a_million_records_have_the_same_rows_by_both(session, tmp_path):
    with op.connect("memory://", lake=tmp_path) as pipe:
        with pipe.producer() as producer:
            for n in range(1_000_000):
                key = n * 7919 % 900_000
                producer.publish(Widget(sid=f"W{key}", version=n % 5, created=START + key % 30 * DAY))
        pipe.archive(Widget)
        pipe.dedup(Widget)
        by_duckdb = pipe.table(Widget).to_arrow().sort_by("sid")
        pipe.dedup(Widget, rebuild=True, engine=SparkEngine(session, 200_000))
        assert by_duckdb.num_rows == 900_000
        assert pipe.table(Widget).to_arrow().sort_by("sid").equals(by_duckdb)
        assert pipe.verify(Widget).balanced
