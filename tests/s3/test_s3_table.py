"""Commits of tables on a store: whose answers are lost, which is down, and whose credentials change."""

from __future__ import annotations

import datetime as dt
import threading

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from faulty_proxy import Fault

from onepipe.errors import CommitConflict, LakeError
from onepipe.lake.layout import file_hash
from onepipe.lake.s3 import S3Storage
from onepipe.lake.storage import open_storage
from onepipe.lake.table import LakeTable, NewFile

pytestmark = pytest.mark.s3

SCHEMA = pa.schema([("n", pa.int64())])
LOG = "/_delta_log/"
FAULTS = [Fault.LOSE_ANSWER, Fault.SLOW_DOWN, Fault.CUT_REQUEST]


def put(storage, numbers, root="raw/T", mark=""):
    with storage.temporary() as temporary:
        pq.write_table(pa.table({"n": list(numbers)}), temporary)
        path = f"part0/f{mark}-{file_hash(temporary)}.parquet"
        size = temporary.stat().st_size
        storage.publish(temporary, f"{root}/{path}")
    return NewFile(path, len(numbers), size, {"n": (min(numbers), max(numbers))})


@pytest.fixture
def table(url, proxy):
    return LakeTable.ensure(open_storage(url), "raw/T", SCHEMA)


def commits(table):
    """The notes of all commits, oldest first."""
    return [commit.note for commit in reversed(table.history()) if commit.note]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_table_is_made_whatever_becomes_of_requests_and_answers(url, proxy, fault):
    proxy.inject(fault, "PUT", LOG)
    table = LakeTable.ensure(open_storage(url), "raw/T", SCHEMA)
    assert proxy.left == 0
    assert table.snapshot().schema == SCHEMA


@pytest.mark.parametrize("fault", FAULTS)
def test_a_column_is_added_whatever_becomes_of_requests_and_answers(table, url, proxy, fault):
    wider = pa.schema([*SCHEMA, ("m", pa.string())])
    proxy.inject(fault, "PUT", LOG)
    assert LakeTable.ensure(open_storage(url), "raw/T", wider).snapshot().schema == wider
    assert proxy.left == 0


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_commit_whose_request_or_answer_is_lost_is_made_once(table, proxy, fault, times):
    file = put(table.storage, [1])
    proxy.inject(fault, "PUT", LOG, times=times)
    version = table.commit([file], progress={"log/0": (None, 1)}, note={"n": 1})
    assert proxy.left == 0
    assert commits(table) == [{"n": 1}]
    assert version == table.snapshot().version
    assert table.progress(["log/0"]) == {"log/0": 1}
    assert [found.path for found in table.snapshot().files] == [file.path]
    table.commit([put(table.storage, [2])], progress={"log/0": (1, 2)}, note={"n": 2})
    assert commits(table) == [{"n": 1}, {"n": 2}]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_commit_that_replaces_files_and_whose_answer_is_lost_is_made_once(table, proxy, fault):
    old, new = put(table.storage, [1]), put(table.storage, [1, 2])
    table.commit([old], note={"n": 1})
    proxy.inject(fault, "PUT", LOG)
    table.commit([new], [old.path], note={"n": 2})
    assert proxy.left == 0
    assert commits(table) == [{"n": 1}, {"n": 2}]
    assert [found.path for found in table.snapshot().files] == [new.path]


@pytest.mark.parametrize("fault", FAULTS)
def test_of_two_committers_of_one_progress_the_second_knows_that_it_lost(table, url, proxy, fault):
    other = LakeTable.find(open_storage(url), "raw/T")
    first, second = put(table.storage, [1]), put(table.storage, [2])
    stale = table._refresh

    def overtaken():
        stale()
        if len(commits(other)) == 0:
            other.commit([second], progress={"log/0": (None, 1)}, note={"by": "other"})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table, "_refresh", overtaken)
        proxy.inject(fault, "PUT", LOG, skip=1)
        with pytest.raises(CommitConflict):
            table.commit([first], progress={"log/0": (None, 1)}, note={"by": "one"})
    assert commits(table) == [{"by": "other"}]
    assert [found.path for found in table.snapshot().files] == [second.path]


def test_many_committers_of_one_progress_commit_one_after_another(table, url):
    def count(number):
        mine = LakeTable.find(open_storage(url), "raw/T")
        made = 0
        while made < 5:
            (reached,) = mine.progress(["log/0"]).values()
            file = put(mine.storage, [reached or 0], mark=number)  # so that it is nobody else's to delete
            try:
                mine.commit([file], progress={"log/0": (reached, (reached or 0) + 1)}, note={"by": number})
                made += 1
            except CommitConflict:
                mine.storage.delete(f"raw/T/{file.path}")

    threads = [threading.Thread(target=count, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    snapshot = table.snapshot()
    assert snapshot.progress("log/0") == 15
    assert sorted(file.statistics["n"][0] for file in snapshot.files) == list(range(15))
    assert len(commits(table)) == 15


def test_a_handle_follows_credentials_that_change(table, store, monkeypatch):
    options = S3Storage.options.fget
    monkeypatch.setattr(S3Storage, "options", property(lambda self: {**options(self), "timeout": "99s"}))
    table.commit([put(table.storage, [1])], note={"n": 1})
    assert table._options["timeout"] == "99s"
    assert commits(table) == [{"n": 1}]


def test_errors_of_the_table_show_no_credentials(table, store, monkeypatch):
    options = S3Storage.options.fget
    monkeypatch.setattr(
        S3Storage, "options", property(lambda self: {**options(self), "AWS_SECRET_ACCESS_KEY": "another-secret"})
    )
    with pytest.raises(LakeError) as raised:
        table.snapshot()
    error = raised.value
    text = f"{error!r} {error} {error.__cause__!r}"
    assert "another-secret" not in text
    assert store.secret_key not in text
    assert store.access_key not in text


def test_a_table_is_read_as_it_was(table):
    table.commit([put(table.storage, [1])])
    table.checkpoint()
    table.commit([put(table.storage, [2])])
    assert len(table.snapshot().files) == 2
    assert len(table.at(1).files) == 1
    assert len(table.at(0).files) == 0
    assert len(table.as_of(dt.datetime.now(dt.UTC)).files) == 2
