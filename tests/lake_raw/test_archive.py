from __future__ import annotations

import threading

import attrs
import pytest
from raw_messages import MILLIS, MOMENT, append, author, declare, raw, raw_rows, read_footer, values

from onepipe.errors import CommitConflict, LakeError, PositionLost, TopicNotFound, TransportError
from onepipe.lake import archive_run, open_lake
from onepipe.lake.archive import ArchiveLimits, app_id, archive
from onepipe.lake.columns import raw_schema
from onepipe.lake.layout import check_content
from onepipe.lake.raw_footer import Sum
from onepipe.lake.table import LakeTable
from onepipe.plugins import open_transport
from onepipe.registry import open_registry
from onepipe.transport import TopicPartition

SMALL = ArchiveLimits(file_rows=4, batch=3)


@attrs.define
class World:
    """A log with one topic of three partitions, a registry and a lake."""

    transport: object
    lake: object
    registry: object
    topic: object
    writer: object

    def publish(self, *numbers, partition=None):
        append(
            self.transport,
            *(self.writer.record(values(n), partition=n % 3 if partition is None else partition) for n in numbers),
        )

    def archive(self, **options):
        return archive(self.topic, self.transport, self.lake, self.registry, **options)

    def numbers(self):
        return sorted(int(row["sid"][1:]) for row in raw_rows(self.lake, self.topic.name))

    def log(self):
        return self.transport.describe_topic(self.topic.name).log

    def footers(self):
        table = raw(self.lake, self.topic.name)
        return [read_footer(self.lake.storage, f"{table.root}/{file.path}") for file in table.snapshot().files]


@pytest.fixture
def world(tmp_path):
    transport, registry, topic = open_transport("memory://"), open_registry("memory://"), declare()
    transport.create_topic(topic.name, partitions=3)
    yield World(transport, open_lake(tmp_path / "lake"), registry, topic, author(topic, registry))
    transport.close()


def test_all_messages_arrive_once_with_their_positions(world):
    world.publish(*range(10))
    report = world.archive()
    rows = raw_rows(world.lake, "Widgets")
    assert [(row["_op_partition"], row["_op_offset"]) for row in rows] == [
        (p, o) for p, n in ((0, 4), (1, 3), (2, 3)) for o in range(n)
    ]
    assert world.numbers() == list(range(10))
    assert {row["_op_log"] for row in rows} == {world.log()}
    assert (report.rows, report.files, report.commits, report.gaps) == (10, 3, 1, 0)
    assert report.progress == {0: 4, 1: 3, 2: 3}


def test_progress_adds_up_to_what_was_read(world):
    world.publish(*range(20))
    told = []
    world.archive(limits=SMALL, progress=told.append)
    assert sum(told) == 20
    assert len(told) > 1
    world.archive(progress=told.append)
    assert sum(told) == 20


def test_archiving_again_adds_nothing(world):
    world.publish(*range(10))
    world.archive()
    version = raw(world.lake, "Widgets").snapshot().version
    report = world.archive()
    assert (report.rows, report.commits) == (0, 0)
    assert report.progress == {0: 4, 1: 3, 2: 3}
    assert raw(world.lake, "Widgets").snapshot().version == version


def test_a_later_run_begins_where_the_last_one_ended(world):
    world.publish(*range(5))
    world.archive()
    world.publish(*range(5, 9))
    assert world.archive().rows == 4
    assert world.numbers() == list(range(9))


def test_an_empty_topic_has_progress_and_no_files(world):
    report = world.archive()
    assert (report.rows, report.files, report.commits) == (0, 0, 1)
    assert raw(world.lake, "Widgets").snapshot().progress(app_id(world.log(), 0)) == 0


def test_a_topic_the_log_does_not_have_is_said_so(world):
    world.topic = declare("Nowhere")
    with pytest.raises(TopicNotFound):
        world.archive()


def test_files_are_contiguous_ranges_that_tile_the_log(world):
    world.publish(*range(40))
    report = world.archive(limits=SMALL)
    assert report.files > 3
    by_partition = {}
    for footer in sorted(world.footers(), key=lambda f: (f.partition, f.first)):
        assert footer.first == by_partition.get(footer.partition, 0)
        by_partition[footer.partition] = footer.next
    assert by_partition == report.progress
    assert world.numbers() == list(range(40))


def test_a_files_name_says_its_place_and_its_bytes(world):
    world.publish(1, 4)
    world.archive()
    table = raw(world.lake, "Widgets")
    (file,) = table.snapshot().files
    assert file.path.startswith("part1/2023/11/14/22/offset00000000000000000000-")
    check_content(world.lake.storage, f"{table.root}/{file.path}")
    assert file.statistics["_op_offset"] == (0, 1)
    assert file.statistics["_op_log"] == (world.log(), world.log())
    assert file.statistics["_op_timestamp"] == (MOMENT, MOMENT)
    assert file.statistics["updated"] == (values(1)["updated"], values(4)["updated"])


def test_the_footer_accounts_for_the_rows(world):
    world.publish(0, 3, 6)
    world.transport.faults.alter("Widgets", 0, 1)
    world.archive()
    rows = raw_rows(world.lake, "Widgets")
    (footer,) = world.footers()
    total = sum((Sum(1, row["_op_digest_hi"], row["_op_digest_lo"]) for row in rows), Sum())
    good = sum((Sum(1, r["_op_digest_hi"], r["_op_digest_lo"]) for r in rows if r["_op_error"] is None), Sum())
    assert (footer.rows, footer.quarantined, footer.first, footer.next) == (3, 1, 0, 3)
    assert sum(footer.sums.values(), Sum()) == good
    assert footer.hours == {"2023-11-14T22": total}
    (run,) = footer.writers
    assert (run.epoch, run.first, run.last, run.sum) == (world.writer.epoch.hex(), 0, 2, total)
    assert footer.schemas == {world.writer.schema_id: world.topic.document()}


def test_gaps_are_passed_and_recorded(world):
    world.publish(0, 3, 6, 9)
    for offset in (0, 2, 3):
        world.transport.faults.lose("Widgets", 0, offset)
    report = world.archive()
    assert (report.rows, report.gaps, report.progress[0]) == (1, 3, 4)
    (footer,) = world.footers()
    assert (footer.first, footer.next, footer.rows) == (0, 4, 1)
    assert world.archive().commits == 0


def test_retention_that_passed_the_lakes_position_is_an_alarm(world):
    world.publish(0, 3)
    world.archive()
    world.publish(6, 9)
    world.transport.trim(TopicPartition("Widgets", 0), 3)
    with pytest.raises(PositionLost, match="retention passed it") as caught:
        world.archive()
    assert (caught.value.partition, caught.value.offset) == (0, 2)
    assert world.numbers() == [0, 3]


def test_retention_that_passed_the_lakes_position_is_passed_over_where_that_is_wanted(world, caplog):
    world.publish(0, 3)
    world.archive()
    world.publish(6, 9, 12)
    world.transport.trim(TopicPartition("Widgets", 0), 4)
    report = world.archive(on_lost="continue")
    assert (report.rows, report.lost, report.gaps, report.progress[0]) == (1, 2, 0, 5)
    assert "partition 0: retention took 2 offsets from 2 on" in caplog.text
    assert world.numbers() == [0, 3, 12]
    assert [(footer.first, footer.next) for footer in world.footers()] == [(0, 2), (4, 5)]
    assert world.archive(on_lost="continue").lost == 0


def test_progress_moves_where_retention_took_all_that_was_left(world):
    world.publish(0, 3)
    world.archive()
    world.publish(6, 9)
    world.transport.trim(TopicPartition("Widgets", 0), 4)
    assert world.archive(on_lost="continue").lost == 2
    world.publish(12)
    assert world.archive().rows == 1
    assert world.numbers() == [0, 3, 12]


def test_a_log_that_ends_before_the_lakes_position_is_an_alarm_whatever_is_wanted(world):
    world.publish(0, 3)
    world.archive()
    raw(world.lake, "Widgets").commit([], progress={app_id(world.log(), 0): (2, 9)})
    with pytest.raises(PositionLost, match="the log was cut"):
        world.archive(on_lost="continue")


def test_a_first_archive_begins_where_the_log_begins_now(world):
    world.publish(0, 3, 6)
    world.transport.trim(TopicPartition("Widgets", 0), 1)
    assert world.archive().gaps == 0
    assert world.numbers() == [3, 6]
    assert world.footers()[0].first == 1


def test_a_new_log_of_the_same_name_is_archived_from_its_start_beside_the_old(world):
    world.publish(*range(5))
    world.archive()
    old = world.log()
    world.transport.delete_topic("Widgets")
    world.transport.create_topic("Widgets", partitions=3)
    world.publish(*range(5, 9))
    world.archive()
    assert world.numbers() == list(range(9))
    assert {row["_op_log"] for row in raw_rows(world.lake, "Widgets")} == {old, world.log()}


def test_a_new_log_is_an_alarm_where_that_is_wanted(world):
    world.archive(on_new_log="raise")
    world.publish(*range(5))
    world.archive(on_new_log="raise")
    world.transport.delete_topic("Widgets")
    world.transport.create_topic("Widgets", partitions=3)
    world.publish(5)
    with pytest.raises(PositionLost, match="other log"):
        world.archive(on_new_log="raise")
    assert world.numbers() == list(range(5))


def test_a_field_that_is_declared_later_is_null_before(world):
    world.publish(0)
    world.archive()
    world.topic = declare("Widgets", {"name": "colour", "type": ["null", "string"], "default": None})
    world.writer = author(world.topic, world.registry, b"f" * 16)
    append(world.transport, world.writer.record({**values(3), "colour": "red"}))
    world.archive()
    assert [row.get("colour") for row in raw_rows(world.lake, "Widgets")] == [None, "red"]
    assert "colour" in raw(world.lake, "Widgets").snapshot().schema.names
    assert world.lake.catalog.topic("Widgets") == world.topic


def test_another_archive_that_commits_first_makes_this_one_read_on_behind_it(world, monkeypatch):
    world.publish(*range(30))
    commit, others = LakeTable.commit, []

    def overtaken(self, *args, **options):
        if not others:
            others.append("begun")
            others.append(world.archive(limits=SMALL))
        return commit(self, *args, **options)

    monkeypatch.setattr(LakeTable, "commit", overtaken)
    report = world.archive()
    assert others[1].rows == 30
    assert (report.rows, report.conflicts) == (0, 1)
    assert report.progress == {0: 10, 1: 10, 2: 10}
    assert world.numbers() == list(range(30))
    committed = {f"raw/Widgets/{file.path}" for file in raw(world.lake, "Widgets").snapshot().files}
    assert {file.path for file in world.lake.storage.list("raw/Widgets") if "/part" in file.path} == committed


@pytest.mark.parametrize("lost", [CommitConflict("x"), LakeError("x"), KeyboardInterrupt()])
def test_a_crash_between_file_and_commit_loses_and_repeats_nothing(world, monkeypatch, lost):
    world.publish(*range(30))
    commit, calls = LakeTable.commit, []

    def crash(self, *args, **options):
        calls.append(args)
        if len(calls) == 2:
            raise lost
        return commit(self, *args, **options)

    monkeypatch.setattr(LakeTable, "commit", crash)
    if isinstance(lost, CommitConflict):
        assert world.archive(limits=SMALL).conflicts == 1
    else:
        with pytest.raises(type(lost)):
            world.archive(limits=SMALL)
        assert len(world.numbers()) < 30
    world.archive()
    assert world.numbers() == list(range(30))
    assert list((world.lake.storage._root / ".writing").iterdir()) == []


def test_a_commit_that_was_made_although_it_failed_is_found_by_the_next_run(world, monkeypatch):
    world.publish(*range(30))
    commit = LakeTable.commit

    def torn(self, *args, **options):
        monkeypatch.undo()
        commit(self, *args, **options)
        raise LakeError("the answer was lost")

    monkeypatch.setattr(LakeTable, "commit", torn)
    with pytest.raises(LakeError):
        world.archive(limits=SMALL)
    world.archive()
    assert world.numbers() == list(range(30))


def lose_position(transport, monkeypatch):
    """Let the second poll of the next readers find its position lost."""
    reader, polls = transport.reader, []

    def losing(partitions):
        opened = reader(partitions)
        poll = opened.poll

        def lose(*args):
            polls.append(args)
            if len(polls) == 2:
                raise PositionLost("retention passed it")
            return poll(*args)

        opened.poll = lose
        return opened

    monkeypatch.setattr(transport, "reader", losing)


def test_a_log_that_is_cut_while_it_is_read_keeps_what_was_read(world, monkeypatch):
    world.publish(*range(30))
    lose_position(world.transport, monkeypatch)
    with pytest.raises(PositionLost):
        world.archive(limits=attrs.evolve(SMALL, batch=9))
    monkeypatch.undo()
    held = len(world.numbers())
    assert 0 < held < 30
    assert world.archive().rows == 30 - held


def test_a_log_that_gives_nothing_is_given_up(world, monkeypatch):
    world.publish(0)
    reader = world.transport.reader

    def silent(partitions):
        opened = reader(partitions)
        opened.poll = lambda *_: []
        return opened

    monkeypatch.setattr(world.transport, "reader", silent)
    with pytest.raises(TransportError, match="no message came"):
        world.archive(limits=ArchiveLimits(patience=0.0))


def test_following_archives_what_comes_until_it_is_stopped(world, monkeypatch):
    world.publish(*range(5))
    stop, polls = threading.Event(), []
    reader = world.transport.reader

    def scripted(partitions):
        opened = reader(partitions)
        poll = opened.poll

        def step(count, _timeout):
            polls.append(count)
            if len(polls) == 3:
                world.publish(*range(5, 9))
            if len(polls) == 8:
                stop.set()
            return poll(count, 0)

        opened.poll = step
        return opened

    monkeypatch.setattr(world.transport, "reader", scripted)
    report = world.archive(until="stopped", stop=stop, limits=ArchiveLimits(linger=0.0))
    assert report.rows == 9
    assert report.commits >= 2
    assert world.numbers() == list(range(9))


def test_a_full_file_takes_half_full_ones_along_and_leaves_the_others_open(world, monkeypatch):
    world.publish(*range(8), partition=0)
    world.publish(*range(8, 12), partition=1)
    world.publish(12, partition=2)
    commits = []
    commit = LakeTable.commit

    def note(self, adds, **options):
        commits.append(sorted((int(file.path[4]), file.rows) for file in adds))
        return commit(self, adds, **options)

    monkeypatch.setattr(LakeTable, "commit", note)
    world.archive(limits=ArchiveLimits(file_rows=8, batch=13))
    assert commits == [[(0, 8), (1, 4)], [(2, 1)]]


def test_rows_are_written_out_when_the_memory_is_used_up(world, monkeypatch):
    world.publish(*range(60))
    spills = []
    spill = archive_run.RawFileWriter.spill

    def note(self):
        spills.append(self.pending)
        spill(self)

    monkeypatch.setattr(archive_run.RawFileWriter, "spill", note)
    report = world.archive(limits=ArchiveLimits(memory=3_000, batch=9))
    assert report.files == 3
    assert len([pending for pending in spills if pending]) > 3
    assert world.numbers() == list(range(60))


def test_fewer_messages_are_polled_where_they_are_large(world):
    run = archive_run.ArchiveRun(
        world.topic,
        world.transport.describe_topic("Widgets"),
        world.lake,
        LakeTable.ensure(world.lake.storage, "raw/Widgets", raw_schema(world.topic)),
        archive_run.RowReader(world.topic, world.registry, "l"),
        ArchiveLimits(memory=80_000, batch=1000),
    )
    assert run.allowed(row_bytes=10_000_000) == 1
    assert run.allowed(row_bytes=488) == 10
    run.poll_size = 2
    assert run.allowed(row_bytes=0) == 8


def test_messages_of_any_hour_are_filed_under_the_first_ones(world):
    early = world.writer.record(values(0), at=MILLIS)
    late = world.writer.record(values(3), at=MILLIS + 7_200_000)
    append(world.transport, early, late)
    world.archive()
    (footer,) = world.footers()
    assert list(footer.hours) == ["2023-11-14T22", "2023-11-15T00"]


def test_a_position_lost_while_it_is_read_is_gone_on_from_where_that_is_wanted(world, monkeypatch):
    world.publish(*range(30))
    lose_position(world.transport, monkeypatch)
    report = world.archive(limits=attrs.evolve(SMALL, batch=9), on_lost="continue")
    assert (report.rows, report.lost) == (30, 0)
    assert world.numbers() == list(range(30))
