from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from lake_arrivals import Event, Raw, clean_rows, declare_thing, expected, thing

from onepipe.errors import CommitConflict, CorruptFile, DeclarationError, LakeError
from onepipe.lake import layout, open_lake
from onepipe.lake.clean_maintenance import compact_clean
from onepipe.lake.dedup import ATTEMPTS, dedup
from onepipe.lake.maintenance import compact_raw
from onepipe.lake.storage import LocalStorage
from onepipe.lake.table import LakeTable
from onepipe.merge import first, latest, maximum

TOPIC = declare_thing()


@pytest.fixture
def lake(tmp_path):
    return open_lake(tmp_path / "lake")


@pytest.fixture
def raw(lake):
    return Raw(lake, TOPIC)


def damage(lake, path):
    file = Path(lake.storage.uri(path))
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def test_nothing_is_done_where_nothing_was_archived(lake):
    report = dedup(lake, TOPIC)
    assert (report.version, report.arrivals) == (None, 0)


def test_a_topic_without_merge_policy_has_no_clean_table(lake):
    with pytest.raises(DeclarationError, match="no clean table"):
        dedup(lake, declare_thing().declare("Plain", TOPIC.schema, identity="name"))


def test_a_damaged_raw_file_is_named_and_nothing_is_merged(lake, raw):
    raw.archive([thing("a")])
    dedup(lake, TOPIC)
    raw.archive([thing("b")])
    path = raw.archive([thing("c")])
    damage(lake, path)
    before = clean_rows(lake, TOPIC)
    with pytest.raises(CorruptFile, match=path.rpartition("/")[2]):
        dedup(lake, TOPIC)
    assert clean_rows(lake, TOPIC) == before


def test_a_damaged_clean_file_is_not_folded_on(lake, raw):
    raw.archive([thing("a")])
    dedup(lake, TOPIC)
    (file,) = lake.clean("Things").snapshot().files
    raw.archive([thing("a", 1)])
    damage(lake, f"clean/Things/{file.path}")
    with pytest.raises(CorruptFile, match="chunk1"):
        dedup(lake, TOPIC)


def test_a_damaged_clean_table_is_made_anew_by_a_rebuild(lake, raw):
    raw.archive([thing("a"), thing("b", day=3)])
    dedup(lake, TOPIC)
    damage(lake, f"clean/Things/{lake.clean('Things').snapshot().files[0].path}")
    dedup(lake, TOPIC, rebuild=True)
    assert clean_rows(lake, TOPIC) == expected(TOPIC, raw.placed)


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize("rebuild", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("step", range(6))
def test_a_dedup_that_is_killed_anywhere_can_run_again(lake, raw, monkeypatch, step, rebuild):
    raw.archive([thing(str(n), day=n % 2) for n in range(4)])
    dedup(lake, TOPIC, target_rows=1)
    raw.archive([thing(str(n), 1, day=n % 3) for n in range(6)])
    steps = iter(range(100))

    def dying(method):
        def call(*args, **kwargs):
            if next(steps) == step:
                raise Killed
            return method(*args, **kwargs)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(LocalStorage, "publish", dying(LocalStorage.publish))
        patch.setattr(LakeTable, "commit", dying(LakeTable.commit))
        with pytest.raises(Killed):
            dedup(lake, TOPIC, target_rows=1, rebuild=rebuild)
    dedup(lake, TOPIC, target_rows=1)
    assert clean_rows(lake, TOPIC) == expected(TOPIC, raw.placed)


@pytest.mark.parametrize("rebuild", [False, True])
def test_of_two_dedups_at_once_one_starts_over_from_what_the_other_committed(lake, raw, monkeypatch, rebuild):
    raw.archive([thing(str(n), day=n % 2) for n in range(4)])
    dedup(lake, TOPIC)
    raw.archive([thing(str(n), 1, day=n % 3) for n in range(6)])
    commit = LakeTable.commit
    reports = []

    def overtaken(table, *args, **kwargs):
        monkeypatch.setattr(LakeTable, "commit", commit)
        reports.append(dedup(lake, TOPIC))
        return commit(table, *args, **kwargs)

    monkeypatch.setattr(LakeTable, "commit", overtaken)
    reports.append(dedup(lake, TOPIC, rebuild=rebuild))
    assert [report.arrivals for report in reports] == ([6, 10] if rebuild else [6, 0])
    assert clean_rows(lake, TOPIC) == expected(TOPIC, raw.placed)
    stored = {file.path for file in lake.storage.list("clean/Things") if file.path.endswith(".parquet")}
    version = reports[0].version - 1
    kept = {f"clean/Things/{f.path}" for v in range(version, version + 2) for f in lake.clean("Things").at(v).files}
    assert rebuild or stored == kept  # what lost its commit is gone


def test_a_dedup_that_keeps_losing_says_so(lake, raw, monkeypatch):
    raw.archive([thing("a")])
    tries = []

    def losing(table, *args, **kwargs):
        tries.append(table)
        raise CommitConflict("another process committed first")

    monkeypatch.setattr(LakeTable, "commit", losing)
    with pytest.raises(CommitConflict):
        dedup(lake, TOPIC)
    assert len(tries) == ATTEMPTS


@pytest.mark.parametrize(
    "changed",
    [
        declare_thing(first("version")),
        declare_thing(latest("weight")),
        declare_thing(identity="name"),
        declare_thing(event_time=None),
        declare_thing(weight=maximum()),
    ],
)
def test_a_changed_merge_needs_a_rebuild_and_says_so(lake, raw, changed):
    raw.archive([thing("a", 1, weight=2.0), thing("a", 2, weight=1.0)])
    dedup(lake, TOPIC)
    with pytest.raises(LakeError, match="rebuild"):
        dedup(lake, changed)
    with pytest.raises(LakeError, match="rebuild"):
        compact_clean(lake, changed)
    dedup(lake, changed, rebuild=True)
    assert [row["number"] for row in clean_rows(lake, changed)] == [1]
    raw.archive([thing("a", 3, weight=0.5)])
    dedup(lake, changed)
    weights = [[row["weight"] for row in rows] for rows in (clean_rows(lake, changed), expected(changed, raw.placed))]
    assert weights[0] == weights[1]


def test_a_new_field_is_null_in_rows_merged_before_it(lake, raw):
    raw.archive([thing("a"), thing("b")])
    dedup(lake, TOPIC)
    grown = declare_thing(more=[{"name": "colour", "type": ["null", "string"], "default": None}])
    later = Raw(lake, grown)
    later.next = raw.next
    later.archive([thing("b", 1, colour="red"), thing("c", colour="blue")])
    dedup(lake, grown)
    rows = {row["name"]: row["colour"] for row in clean_rows(lake, grown)}
    assert rows == {"a": None, "b": "red", "c": "blue"}
    dedup(lake, grown, rebuild=True)
    assert {row["name"]: row["colour"] for row in clean_rows(lake, grown)} == rows


def test_a_raw_file_that_was_compacted_across_the_progress_is_merged_once(lake, raw):
    raw.archive([thing("a"), thing("b")])
    dedup(lake, TOPIC)
    raw.archive([thing("a", 1), thing("c")])
    assert compact_raw(lake, "Things").after == 1
    report = dedup(lake, TOPIC)
    assert (report.read, report.arrivals) == (1, 2)
    assert clean_rows(lake, TOPIC) == expected(TOPIC, raw.placed)


def test_a_new_log_of_the_topic_has_its_own_progress(lake, raw):
    raw.archive([thing("a"), thing("b")])
    dedup(lake, TOPIC)
    raw.archive([thing("a", 1)], log="log-b")
    assert dedup(lake, TOPIC).arrivals == 1
    assert clean_rows(lake, TOPIC) == expected(TOPIC, raw.placed)


def test_only_the_chunks_an_arrival_touches_are_replaced(lake, raw):
    raw.archive([thing(str(n), day=n % 5) for n in range(100)])
    dedup(lake, TOPIC, target_rows=5)
    before = {file.path for file in lake.clean("Things").snapshot().files}
    raw.archive([thing("7", 1, day=2)])
    report = dedup(lake, TOPIC, target_rows=5)
    after = {file.path for file in lake.clean("Things").snapshot().files}
    assert (report.added, report.removed, report.identities) == (1, 1, 0)
    assert len(before - after) == 1


def test_an_identity_that_moves_to_another_day_is_there_once(lake, raw):
    raw.archive([thing("a", 1, day=0), thing("b", 1, day=0)])
    dedup(lake, TOPIC)
    raw.archive([thing("a", 2, day=9)])
    report = dedup(lake, TOPIC)
    assert report.identities == 0
    days = {row["name"]: row["day"] for row in clean_rows(lake, TOPIC)}
    assert days == {"a": dt.date(2013, 1, 10), "b": dt.date(2013, 1, 1)}


def test_a_late_older_version_does_not_move_an_identity_back(lake, raw):
    raw.archive([thing("a", 2, day=9)])
    dedup(lake, TOPIC)
    raw.archive([thing("a", 1, day=0)])
    dedup(lake, TOPIC)
    (row,) = clean_rows(lake, TOPIC)
    assert (row["day"], row["_op_arrivals"]) == (dt.date(2013, 1, 10), 2)


def test_event_times_no_calendar_has_are_kept_apart(lake, raw):
    raw.archive([thing("a", day=None), thing("b", deleted=True, day=None)])
    dedup(lake, TOPIC)
    assert clean_rows(lake, TOPIC) == expected(TOPIC, raw.placed)
    assert all(file.path.startswith("undated/") for file in lake.clean("Things").snapshot().files)


def test_a_file_of_quarantined_rows_alone_moves_the_progress_on(lake, raw):
    raw.archive([Event({}, error="unreadable: cut off")])
    report = dedup(lake, TOPIC)
    assert (report.arrivals, report.quarantined, report.added) == (0, 1, 0)
    assert lake.clean("Things").progress(["log-a/0"]) == {"log-a/0": 1}
    assert dedup(lake, TOPIC).version == report.version


def test_small_chunks_of_a_day_are_joined_with_their_rows_as_they_are(lake, raw):
    raw.archive([thing(str(n), day=n % 2) for n in range(40)])
    dedup(lake, TOPIC, target_rows=3)
    before = clean_rows(lake, TOPIC)
    report = compact_clean(lake, TOPIC, target_rows=100)
    assert (report.after, report.rows) == (2, 40)
    assert clean_rows(lake, TOPIC) == before
    assert compact_clean(lake, TOPIC, target_rows=100).after == 0
    raw.archive([thing("3", 1, day=0)])
    dedup(lake, TOPIC)
    assert clean_rows(lake, TOPIC) == expected(TOPIC, raw.placed)


def test_damage_is_not_written_anew_by_a_compaction(lake, raw):
    raw.archive([thing(str(n)) for n in range(8)])
    dedup(lake, TOPIC, target_rows=3)
    path = lake.clean("Things").snapshot().files[0].path
    damage(lake, f"clean/Things/{path}")
    with pytest.raises(CorruptFile, match=layout.named_hash(path)):
        compact_clean(lake, TOPIC)


def test_a_compaction_that_lost_to_a_dedup_leaves_it_to_the_next(lake, raw, monkeypatch):
    raw.archive([thing(str(n)) for n in range(8)])
    dedup(lake, TOPIC, target_rows=3)
    raw.archive([thing("3", 1)])
    commit = LakeTable.commit

    def overtaken(table, *args, **kwargs):
        monkeypatch.setattr(LakeTable, "commit", commit)
        dedup(lake, TOPIC, target_rows=3, rebuild=True)
        return commit(table, *args, **kwargs)

    monkeypatch.setattr(LakeTable, "commit", overtaken)
    report = compact_clean(lake, TOPIC)
    assert (report.conflicts, report.after) == (1, 0)
    assert clean_rows(lake, TOPIC) == expected(TOPIC, raw.placed)
