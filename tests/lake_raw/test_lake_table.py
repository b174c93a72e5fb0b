from __future__ import annotations

import base64
import datetime as dt
import json
import multiprocessing
import os
import string
import struct
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from onepipe.errors import CommitConflict, ConfigurationError, CorruptFile, LakeError
from onepipe.lake.committing import Committing
from onepipe.lake.layout import file_hash
from onepipe.lake.storage import LocalStorage
from onepipe.lake.table import LakeTable, NewFile

SCHEMA = pa.schema([("n", pa.int64()), ("s", pa.string()), ("t", pa.timestamp("us", "UTC"))])


@pytest.fixture
def storage(tmp_path):
    return LocalStorage(tmp_path / "lake")


@pytest.fixture
def table(storage):
    return LakeTable.ensure(storage, "raw/T", SCHEMA)


def put(storage, numbers, root="raw/T"):
    with storage.temporary() as temporary:
        pq.write_table(pa.table({"n": list(numbers)}), temporary)
        path = f"part0/f-{file_hash(temporary)}.parquet"
        size = temporary.stat().st_size
        storage.publish(temporary, f"{root}/{path}")
    moment = dt.datetime(2013, 1, 1, 10, 0, 0, 5, tzinfo=dt.UTC)
    return NewFile(path, len(numbers), size, {"n": (min(numbers), max(numbers)), "t": (moment, moment)})


def log_entry(storage, version):
    return Path(storage.uri("raw/T"), "_delta_log", f"{version:020}.json")


def rewrite_added(entry, **changes):
    """Let a log entry say something else of the files it adds."""
    actions = [json.loads(line) for line in entry.read_text().splitlines()]
    for action in actions:
        if "add" in action:
            action["add"].update(changes)
    entry.write_text("\n".join(map(json.dumps, actions)))


def test_there_is_no_table_before_it_is_made(storage):
    assert LakeTable.find(storage, "raw/T") is None


def test_a_made_table_is_found_with_its_columns(storage, table):
    assert LakeTable.find(storage, "raw/T").snapshot().schema == SCHEMA
    assert table.snapshot().files == ()


def test_a_committed_file_is_in_the_snapshot_with_its_statistics(storage, table):
    file = put(storage, [3, 1])
    version = table.commit([file], progress={"log/0": (None, 4)}, note={"by": "test"})
    snapshot = table.snapshot()
    assert snapshot.version == version
    (found,) = snapshot.files
    assert (found.path, found.rows, found.size) == (file.path, 2, file.size)
    assert found.statistics == file.statistics
    assert snapshot.progress("log/0") == 4
    assert snapshot.progress("log/1") is None
    assert table.progress(["log/0", "log/1"]) == {"log/0": 4, "log/1": None}
    assert pq.read_table(storage.uri(snapshot.paths()[0])).num_rows == 2
    assert table.history(1)[0].note == {"by": "test"}


@pytest.mark.parametrize(
    "stats", [None, "", "{", "[]", "{}", '{"numRecords":null}', '{"numRecords":"2"}', '{"numRecords":-5}']
)
def test_a_file_of_which_the_log_says_no_count_has_the_rows_of_its_footer(storage, table, stats):
    version = table.commit([put(storage, [3, 1])])
    rewrite_added(log_entry(storage, version), stats=stats)
    (found,) = LakeTable.find(storage, "raw/T").snapshot().files
    assert (found.rows, found.statistics) == (2, {})


def test_a_bound_that_stands_alone_in_the_log_is_no_statistic(storage, table):
    version = table.commit([put(storage, [3, 1])])
    rewrite_added(log_entry(storage, version), stats='{"numRecords":2,"minValues":{"n":1}}')
    (found,) = LakeTable.find(storage, "raw/T").snapshot().files
    assert found.statistics == {}
    with pytest.raises(CorruptFile, match=f"raw/T: its log holds no statistics of n of {found.path}"):
        found.bounds("n")


def test_a_file_of_which_the_log_says_an_impossible_size_is_named(storage, table):
    version = table.commit([put(storage, [3, 1])])
    rewrite_added(log_entry(storage, version), size=-5)
    snapshot = LakeTable.find(storage, "raw/T").snapshot()
    with pytest.raises(CorruptFile, match=r"raw/T: its log says that part0/f-\w+\.parquet has -5 bytes \(restore"):
        _ = snapshot.files


def inline_vector(*positions):
    """A deletion vector of fewer than 4096 rows, in the form in which it stands in the log itself (PROTOCOL.md)."""
    array = struct.pack(f"<{len(positions)}H", *positions)
    roaring = struct.pack("<IIHHI", 12346, 1, 0, len(positions) - 1, 16) + array
    content = struct.pack("<IQI", 1681511377, 1, 0) + roaring
    return {
        "storageType": "i",
        "pathOrInlineDv": base64.b85encode(content).decode().translate(str.maketrans(PYTHON_85, Z85)),
        "sizeInBytes": len(content),
        "cardinality": len(positions),
    }


PYTHON_85 = f"{string.digits}{string.ascii_uppercase}{string.ascii_lowercase}!#$%&()*+-;<=>?@^_`{{|}}~"
Z85 = f"{string.digits}{string.ascii_lowercase}{string.ascii_uppercase}.-:+=^!/*?&<>()[]{{}}@%$#"
MISSING_VECTOR = {**inline_vector(3, 4), "storageType": "u", "pathOrInlineDv": "ab^-aqEH.-t@S}K{vb[*k^", "offset": 4}


def let_log_ask_for(storage, feature, configuration):
    """Write into a table's first log entry that readers need to know a feature of Delta."""
    entry = log_entry(storage, 0)
    actions = [json.loads(line) for line in entry.read_text().splitlines()]
    for action in actions:
        if "protocol" in action:
            action["protocol"] = {
                "minReaderVersion": 3,
                "minWriterVersion": 7,
                "readerFeatures": [feature],
                "writerFeatures": [feature],
            }
        if "metaData" in action:
            action["metaData"]["configuration"].update(configuration)
            columns = json.loads(action["metaData"]["schemaString"])
            for number, field in enumerate(columns["fields"]):
                name = {"delta.columnMapping.id": number, "delta.columnMapping.physicalName": f"other{number}"}
                field["metadata"] = name if configuration.get("delta.columnMapping.mode") == "name" else {}
            action["metaData"]["schemaString"] = json.dumps(columns)
    entry.write_text("\n".join(map(json.dumps, actions)))


@pytest.mark.parametrize("vector", [inline_vector(3, 4), MISSING_VECTOR], ids=["inline", "missing"])
def test_rows_that_another_engine_deleted_by_a_vector_are_not_read_as_if_they_were_there(storage, table, vector):
    version = table.commit([put(storage, [1, 2, 3, 4, 5])])
    let_log_ask_for(storage, "deletionVectors", {"delta.enableDeletionVectors": "true"})
    assert [file.rows for file in LakeTable.find(storage, "raw/T").snapshot().files] == [5]
    rewrite_added(log_entry(storage, version), deletionVector=vector)
    snapshot = LakeTable.find(storage, "raw/T").snapshot()
    with pytest.raises(LakeError, match=r"raw/T: .* deletionVectors: .* \(drop the feature .* or restore"):
        _ = snapshot.files


@pytest.mark.parametrize("mode", ["none", "name"])
def test_a_table_whose_columns_were_renamed_in_its_log_alone_is_refused(storage, table, mode):
    table.commit([put(storage, [3, 1])])
    let_log_ask_for(storage, "columnMapping", {"delta.columnMapping.mode": mode})
    if mode == "none":
        assert len(LakeTable.find(storage, "raw/T").snapshot().files) == 1
    else:
        with pytest.raises(LakeError, match=r"raw/T: .* columnMapping: "):
            _ = LakeTable.find(storage, "raw/T").snapshot().files


def test_a_file_without_count_that_is_damaged_is_named(storage, table):
    file = put(storage, [3, 1])
    rewrite_added(log_entry(storage, table.commit([file])), stats=None)
    Path(storage.uri(f"raw/T/{file.path}")).write_bytes(b"no parquet")
    with pytest.raises(CorruptFile, match=f"raw/T/{file.path} is not a Parquet file"):
        _ = LakeTable.find(storage, "raw/T").snapshot().files


def test_progress_alone_can_be_committed(table):
    table.commit(progress={"log/0": (None, 4)})
    table.commit(progress={"log/0": (4, 9)})
    assert table.progress(["log/0"]) == {"log/0": 9}


@pytest.mark.parametrize("believed", [None, 3, 5])
def test_progress_that_is_not_the_believed_one_is_a_conflict(storage, table, believed):
    table.commit(progress={"log/0": (None, 4)})
    with pytest.raises(CommitConflict, match="progress of log/0 is 4"):
        table.commit([put(storage, [1])], progress={"log/0": (believed, 9)})
    assert table.snapshot().files == ()


def test_progress_never_goes_back(table):
    table.commit(progress={"log/0": (None, 4)})
    with pytest.raises(LakeError, match="cannot go back"):
        table.commit(progress={"log/0": (4, 3)})


def test_another_handle_that_commits_in_between_makes_a_conflict(storage, table, monkeypatch):
    other = LakeTable.find(storage, "raw/T")
    believe = Committing.check_believed

    def slow(self, *args):
        believe(self, *args)
        monkeypatch.undo()
        other.commit([put(storage, [7])], progress={"log/0": (None, 8)})

    monkeypatch.setattr(Committing, "check_believed", slow)
    with pytest.raises(CommitConflict):
        table.commit([put(storage, [1])], progress={"log/0": (None, 2)})
    assert [file.rows for file in table.snapshot().files] == [1]
    assert table.progress(["log/0"]) == {"log/0": 8}
    table.commit([put(storage, [9])], progress={"log/0": (8, 10)})


def test_commits_about_other_progress_do_not_conflict_and_know_their_version(storage, table, monkeypatch):
    other = LakeTable.find(storage, "raw/T")
    believe = Committing.check_believed

    def slow(self, *args):
        believe(self, *args)
        monkeypatch.undo()
        assert other.commit([put(storage, [7])], progress={"log/1": (None, 8)}) == 1

    monkeypatch.setattr(Committing, "check_believed", slow)
    assert table.commit([put(storage, [1])], progress={"log/0": (None, 2)}) == 2
    assert table.progress(["log/0", "log/1"]) == {"log/0": 2, "log/1": 8}


def test_a_missing_file_cannot_be_committed(storage, table):
    file = put(storage, [1])
    storage.delete(f"raw/T/{file.path}")
    with pytest.raises(CorruptFile, match="missing"):
        table.commit([file])
    assert table.snapshot().version == 0


@pytest.mark.parametrize("claim", [{"rows": 2}, {"size": 1}])
def test_a_file_that_is_not_what_it_claims_cannot_be_committed(storage, table, claim):
    file = put(storage, [1])
    wrong = NewFile(**{"path": file.path, "rows": file.rows, "size": file.size} | claim)
    with pytest.raises(CorruptFile):
        table.commit([wrong])


def test_what_is_not_parquet_cannot_be_committed(storage, table):
    storage.write_new("raw/T/x.parquet", b"not parquet at all")
    with pytest.raises(CorruptFile, match="not a Parquet file"):
        table.commit([NewFile("x.parquet", 1, 18)])


def test_files_are_replaced_in_one_commit_and_the_old_version_stays_readable(storage, table):
    old = put(storage, [1, 2])
    before = table.commit([old])
    new = put(storage, [1, 2, 3])
    table.commit([new], [old.path])
    assert [file.path for file in table.snapshot().files] == [new.path]
    assert [file.path for file in table.at(before).files] == [old.path]


def test_a_file_cannot_be_removed_twice_nor_added_twice(storage, table):
    old, new = put(storage, [1]), put(storage, [2])
    table.commit([old])
    table.commit([new], [old.path])
    with pytest.raises(CommitConflict, match="removed"):
        table.commit([put(storage, [3])], [old.path])
    with pytest.raises(CommitConflict, match="already"):
        table.commit([new], [new.path])


def test_a_version_is_found_by_time(storage, table):
    table.commit([put(storage, [1])])
    for version, stamp in ((0, 1000), (1, 2000)):
        os.utime(log_entry(storage, version), (stamp, stamp))
    moment = dt.datetime.fromtimestamp
    assert table.as_of(moment(1999, dt.UTC)).version == 0
    assert table.as_of(moment(2001, dt.UTC)).version == 1
    assert table.as_of(moment(1, dt.UTC)).version == 0
    with pytest.raises(ConfigurationError, match="as_of needs a timezone"):
        table.as_of(moment(1))
    with pytest.raises(ConfigurationError, match="as_of is an aware datetime"):
        table.as_of("2013-01-01")


def test_there_is_no_version_of_the_future(table):
    with pytest.raises(LakeError):
        table.at(7)
    for number in (-1, 1 << 64, "1"):
        with pytest.raises(ConfigurationError, match="version is a whole number from 0"):
            table.at(number)
        with pytest.raises(ConfigurationError, match="limit is a whole number from 0"):
            table.history(number)


def test_columns_are_added_and_old_files_stay(storage, table):
    table.commit([put(storage, [1])])
    again = LakeTable.ensure(storage, "raw/T", pa.schema([*SCHEMA, ("extra", pa.list_(pa.int32()))]))
    assert again.snapshot().schema.names == ["n", "s", "t", "extra"]
    table.commit([put(storage, [2])])
    assert len(table.snapshot().files) == 2


def test_a_struct_gains_members_at_any_depth(storage):
    def schema(**members):
        inner = pa.struct(list(members.items()))
        return pa.schema([("a", inner), ("b", pa.list_(inner)), ("c", pa.map_(pa.string(), inner))])

    LakeTable.ensure(storage, "raw/T", schema(x=pa.int64()))
    table = LakeTable.ensure(storage, "raw/T", schema(x=pa.int64(), y=pa.string()))
    found = table.snapshot().schema
    assert found.field("a").type.names == ["x", "y"]
    assert found.field("b").type.value_type.names == ["x", "y"]
    assert found.field("c").type.item_type.names == ["x", "y"]
    version = table.snapshot().version
    assert LakeTable.ensure(storage, "raw/T", schema(y=pa.string())).snapshot().version == version


def test_a_column_of_another_type_is_refused_by_name(storage, table):
    with pytest.raises(LakeError, match="column n of int64"):
        LakeTable.ensure(storage, "raw/T", pa.schema([("n", pa.string())]))


def test_a_column_that_differs_in_case_only_is_refused(storage, table):
    with pytest.raises(LakeError, match="column n"):
        LakeTable.ensure(storage, "raw/T", pa.schema([("N", pa.int64())]))


def test_a_type_that_delta_lacks_is_refused_in_one_line(storage):
    with pytest.raises(LakeError) as caught:
        LakeTable.ensure(storage, "raw/T", pa.schema([("n", pa.time64("us"))]))
    assert "\n" not in str(caught.value)


def test_progress_survives_checkpoints_and_log_cleaning(storage, table):
    for offset in range(3):
        table.commit([put(storage, [offset])], progress={"log/0": (offset or None, offset + 1)})
    table.checkpoint()
    table.clean_log()
    for version in range(table.snapshot().version + 1):
        log_entry(storage, version).unlink()
    again = LakeTable.find(storage, "raw/T")
    assert again.progress(["log/0"]) == {"log/0": 3}
    assert len(again.snapshot().files) == 3


def age(storage, *paths, seconds):
    stamp = dt.datetime.now(dt.UTC).timestamp() - seconds
    for path in paths:
        os.utime(storage.uri(path), (stamp, stamp))


def test_vacuum_deletes_old_orphans_only(storage, table):
    live, orphan, young = put(storage, [1]), put(storage, [2]), put(storage, [3])
    table.commit([live])
    storage.write_new("raw/T/_index/part", b"x")
    paths = [f"raw/T/{path}" for path in (live.path, orphan.path, "_index/part")]
    age(storage, *paths, seconds=10_000)
    assert table.vacuum(dt.timedelta(hours=1)) == [orphan.path]
    assert {file.path for file in storage.list("raw/T/part0")} == {f"raw/T/{f.path}" for f in (live, young)}
    assert storage.exists("raw/T/_index/part")


def test_vacuum_keeps_what_a_recent_version_still_refers_to(storage, table):
    old, new = put(storage, [1]), put(storage, [2])
    table.commit([old])
    age(storage, f"raw/T/{old.path}", "raw/T/_delta_log/00000000000000000000.json", seconds=30_000)
    age(storage, "raw/T/_delta_log/00000000000000000001.json", seconds=20_000)
    table.commit([new], [old.path])
    assert table.vacuum(dt.timedelta(hours=1)) == []
    age(storage, "raw/T/_delta_log/00000000000000000002.json", seconds=10_000)
    assert table.vacuum(dt.timedelta(hours=1)) == [old.path]


def _ensure(root):
    LakeTable.ensure(LocalStorage(root), "raw/T", SCHEMA)


def _append(root, name, count):
    storage = LocalStorage(root)
    table = LakeTable.ensure(storage, "raw/T", SCHEMA)
    done = 0
    while done < count:
        (believed,) = table.progress(["log/0"]).values()
        offset = believed or 0
        try:
            table.commit([put(storage, [offset, name])], progress={"log/0": (believed, offset + 1)})
        except CommitConflict:
            continue
        done += 1


def test_a_table_made_by_many_at_once_is_one_table(tmp_path):
    root = str(tmp_path / "lake")
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        pool.map(_ensure, [root] * 6)
    assert LakeTable.find(LocalStorage(root), "raw/T").snapshot().schema == SCHEMA


@pytest.mark.slow
def test_two_processes_that_race_for_the_same_progress_never_both_win(tmp_path):
    root = str(tmp_path / "lake")
    context = multiprocessing.get_context("spawn")
    racers = [context.Process(target=_append, args=(root, name, 20)) for name in (1001, 1002)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    storage = LocalStorage(root)
    snapshot = LakeTable.find(storage, "raw/T").snapshot()
    assert snapshot.progress("log/0") == 40
    offsets = sorted(min(pq.read_table(storage.uri(path))["n"].to_pylist()) for path in snapshot.paths())
    assert offsets == list(range(40))
