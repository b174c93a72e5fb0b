from __future__ import annotations

import datetime as dt
import json
import os
from pathlib import Path

import pytest
from raw_messages import append, author, declare, raw, raw_rows, read_footer, values

from onepipe.errors import ConfigurationError, CorruptFile
from onepipe.lake import open_lake
from onepipe.lake.archive import ArchiveLimits, app_id, archive
from onepipe.lake.layout import check_content
from onepipe.lake.maintenance import checkpoint, compact_raw, vacuum
from onepipe.lake.raw_footer import join_footers
from onepipe.lake.table import LakeTable
from onepipe.plugins import open_transport
from onepipe.registry import open_registry


class World:
    """A log of two partitions that is archived in many small files."""

    def __init__(self, folder):
        self.transport, self.registry, self.lake = (
            open_transport("memory://"),
            open_registry("memory://"),
            open_lake(folder),
        )
        self.transport.create_topic("Widgets", partitions=2)
        self.topic = declare()
        self.writer = author(self.topic, self.registry)

    def grow(self, *numbers, **more):
        for n in numbers:
            append(self.transport, self.writer.record({**values(n), **more}, partition=n % 2))
            self.archive()

    def archive(self):
        archive(self.topic, self.transport, self.lake, self.registry, limits=ArchiveLimits(linger=0))

    @property
    def table(self):
        return raw(self.lake, "Widgets")

    @property
    def files(self):
        return self.table.snapshot().files

    def footers(self):
        footers = [read_footer(self.lake.storage, f"raw/Widgets/{file.path}") for file in self.files]
        return sorted(footers, key=lambda f: (f.partition, f.first))

    def without_schemas_of_null_columns(self):
        return [{k: v for k, v in row.items() if v is not None} for row in raw_rows(self.lake, "Widgets")]


@pytest.fixture
def world(tmp_path):
    return World(tmp_path / "lake")


def test_small_files_become_one_for_each_partition_with_the_same_rows(world):
    world.grow(*range(8))
    rows, footers = raw_rows(world.lake, "Widgets"), world.footers()
    report = compact_raw(world.lake, "Widgets")
    assert (report.before, report.after, report.rows, report.conflicts) == (8, 2, 8, 0)
    assert raw_rows(world.lake, "Widgets") == rows
    assert world.footers() == [join_footers([f for f in footers if f.partition == p]) for p in (0, 1)]
    for file in world.files:
        check_content(world.lake.storage, f"raw/Widgets/{file.path}")
        assert file.statistics["_op_offset"] == (0, 3)
        assert set(file.statistics) >= {"updated", "_op_log", "_op_partition", "_op_timestamp"}


def test_progress_and_later_archives_are_as_before(world):
    world.grow(*range(4))
    compact_raw(world.lake, "Widgets")
    log = world.transport.describe_topic("Widgets").log
    assert world.table.snapshot().progress(app_id(log, 0)) == 2
    world.grow(4, 5)
    compact_raw(world.lake, "Widgets")
    assert [row["sid"] for row in raw_rows(world.lake, "Widgets")] == ["W0", "W2", "W4", "W1", "W3", "W5"]


def test_compacting_again_does_nothing(world):
    world.grow(*range(4))
    compact_raw(world.lake, "Widgets")
    version = world.table.snapshot().version
    assert compact_raw(world.lake, "Widgets").before == 0
    assert world.table.snapshot().version == version
    assert compact_raw(world.lake, "Nowhere").before == 0


def test_large_files_stay_and_part_their_neighbours(world):
    world.grow(0, 2, 4, 6, 8)
    sizes = [file.size for file in world.files]
    assert compact_raw(world.lake, "Widgets", target_bytes=max(sizes)).before == 0
    report = compact_raw(world.lake, "Widgets", target_bytes=2 * max(sizes))
    assert (report.before, report.after) == (4, 2)


def test_files_of_several_declarations_are_merged(world):
    world.grow(0, 2)
    world.topic = declare("Widgets", {"name": "colour", "type": ["null", "string"], "default": None})
    world.writer = author(world.topic, world.registry, b"f" * 16)
    world.grow(4, colour="red")
    rows = world.without_schemas_of_null_columns()
    compact_raw(world.lake, "Widgets")
    assert len(world.files) == 1
    assert world.without_schemas_of_null_columns() == rows
    assert [row.get("colour") for row in rows] == [None, None, "red"]


def test_a_damaged_file_is_never_written_anew(world):
    world.grow(0, 2)
    path = Path(world.lake.storage.uri(world.table.snapshot().paths()[0]))
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(data)
    with pytest.raises(CorruptFile, match="holds other bytes"):
        compact_raw(world.lake, "Widgets")
    assert len(world.files) == 2


def test_a_file_of_which_the_log_lost_the_offsets_is_named_with_its_table(world):
    world.grow(0, 2)
    for entry in Path(world.lake.storage.uri("raw/Widgets/_delta_log")).glob("*.json"):
        actions = [json.loads(line) for line in entry.read_text().splitlines()]
        for action in actions:
            action.get("add", {}).pop("stats", None)
        entry.write_text("\n".join(map(json.dumps, actions)))
    with pytest.raises(CorruptFile, match=r"raw/Widgets: its log holds no statistics of _op_log of part0/.*restore"):
        compact_raw(world.lake, "Widgets")


def test_a_compaction_that_another_one_overtook_leaves_its_result(world, monkeypatch):
    world.grow(0, 2, 4)
    commit = LakeTable.commit

    def overtaken(self, *args, **options):
        monkeypatch.undo()
        assert compact_raw(world.lake, "Widgets").after == 1
        return commit(self, *args, **options)

    monkeypatch.setattr(LakeTable, "commit", overtaken)
    report = compact_raw(world.lake, "Widgets")
    assert (report.after, report.conflicts) == (0, 1)
    assert len(world.files) == 1
    assert len(raw_rows(world.lake, "Widgets")) == 3
    listed = [file.path for file in world.lake.storage.list("raw/Widgets/part0")]
    assert len(listed) == 4


def test_an_archive_that_commits_in_between_loses_nothing(world, monkeypatch):
    world.grow(0, 2, 4)
    commit = LakeTable.commit

    def overtaken(self, *args, **options):
        monkeypatch.undo()
        world.grow(6)
        return commit(self, *args, **options)

    monkeypatch.setattr(LakeTable, "commit", overtaken)
    assert compact_raw(world.lake, "Widgets").after == 1
    assert [row["sid"] for row in raw_rows(world.lake, "Widgets")] == ["W0", "W2", "W4", "W6"]


def test_vacuum_deletes_what_was_merged_once_nothing_refers_to_it(world):
    world.grow(0, 2, 4)
    compact_raw(world.lake, "Widgets")
    assert vacuum(world.lake, "Widgets") == []
    long_ago = dt.datetime.now(dt.UTC).timestamp() - 40 * 86_400
    for file in world.lake.storage.list("raw"):
        os.utime(world.lake.storage.uri(file.path), (long_ago, long_ago))
    (live,) = (f"raw/Widgets/{file.path}" for file in world.files)
    deleted = vacuum(world.lake, "Widgets")
    assert len(deleted) == 3
    assert live not in deleted
    assert len(raw_rows(world.lake, "Widgets")) == 3


@pytest.mark.parametrize("days", [-1, 31])
def test_vacuum_keeps_for_as_long_as_the_log_says_what_was(world, days):
    with pytest.raises(ConfigurationError):
        vacuum(world.lake, "Widgets", keep=dt.timedelta(days=days))


def test_a_checkpoint_changes_nothing(world):
    world.grow(0, 2)
    rows = raw_rows(world.lake, "Widgets")
    checkpoint(world.lake, "Widgets")
    assert list(Path(world.lake.storage.uri("raw/Widgets/_delta_log")).glob("*.checkpoint.parquet"))
    assert raw_rows(world.lake, "Widgets") == rows
    world.grow(4)
    assert len(raw_rows(world.lake, "Widgets")) == 3
