from __future__ import annotations

import errno
import multiprocessing
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from storage_contract import StorageContract

from onepipe.errors import CommitConflict, ConfigurationError, CorruptFile, LakeError, RegistryUnavailable
from onepipe.lake import layout
from onepipe.lake.committing import Committing
from onepipe.lake.storage import LocalStorage, open_storage
from onepipe.lake.table import LakeTable, NewFile


@pytest.fixture
def storage(tmp_path):
    return LocalStorage(tmp_path / "lake")


class TestLocalStorage(StorageContract):
    @pytest.fixture
    def open_another(self, tmp_path):
        return lambda: LocalStorage(tmp_path / "lake")


@pytest.mark.slow
def test_only_one_of_many_racing_processes_wins(storage, tmp_path):
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        won = pool.starmap(_race, [(str(tmp_path / "lake"), str(n).encode()) for n in range(8)])
    assert won.count(True) == 1
    assert storage.read("prize") == str(won.index(True)).encode()


def _race(root, data):
    try:
        LocalStorage(root).write_new("prize", data)
    except CommitConflict:
        return False
    return True


def test_a_published_file_has_the_permissions_of_any_new_file(storage, tmp_path):
    storage.write_new("a", b"x")
    (tmp_path / "plain").touch()
    assert (tmp_path / "lake" / "a").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.fixture
def flushed(monkeypatch):
    """The files and folders that were flushed to the disk, in no order."""
    paths = []
    monkeypatch.setattr(os, "fsync", lambda handle: paths.append(Path(f"/proc/self/fd/{handle}").readlink()))
    return paths


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="asks Linux which file was flushed")
def test_files_are_made_durable_with_every_folder_on_the_way_once(storage, tmp_path, flushed):
    paths = ["clean/T/2020/01/01/a", "clean/T/2020/01/01/b", "clean/T/2020/02/03/c"]
    for path in paths:
        with storage.temporary() as temporary:
            storage.publish(temporary, path)
    assert not flushed
    storage.make_durable(*paths)
    root = tmp_path / "lake"
    folders = {root.parent, root, *(folder for path in paths for folder in (root / path).parents)} - {*tmp_path.parents}
    assert sorted(flushed) == sorted([*(root / path for path in paths), *folders])


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="asks Linux which file was flushed")
def test_nothing_is_committed_before_it_is_durable(storage, tmp_path, flushed, monkeypatch):
    table = LakeTable.ensure(storage, "clean/T", pa.schema([("n", pa.int64())]))
    with storage.temporary() as temporary:
        pq.write_table(pa.table({"n": [1]}), temporary)
        size = temporary.stat().st_size
        storage.publish(temporary, "clean/T/2020/a.parquet")

    def stop(*_arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(Committing, "transact", stop)
    with pytest.raises(KeyboardInterrupt):
        table.commit([NewFile("2020/a.parquet", 1, size)])
    root = tmp_path / "lake" / "clean"
    assert {root, root / "T", root / "T/2020", root / "T/2020/a.parquet"} <= set(flushed)


def test_a_symbolic_link_out_of_the_lake_is_refused(storage, tmp_path):
    storage.write_new("a", b"x")
    (tmp_path / "lake" / "out").symlink_to(tmp_path)
    with pytest.raises(LakeError, match="symbolic link"):
        storage.write_new("out/evil", b"x")


def test_a_storage_opens_by_path_or_file_url(tmp_path):
    for url in (tmp_path, str(tmp_path), f"file://{tmp_path}", f"file://localhost{tmp_path}"):
        assert open_storage(url).uri() == str(tmp_path)
    assert open_storage((tmp_path / "a b").as_uri()).uri() == str(tmp_path / "a b")


@pytest.mark.parametrize("url", ["s3://", "gs://bucket/x", "file://host/x", "ftp://x", "a%20b"])
def test_what_is_no_local_folder_is_refused(url):
    with pytest.raises(ConfigurationError):
        open_storage(url)


def test_a_file_with_the_bytes_of_its_name_passes(storage):
    name = f"t/offset0-{layout.content_hash(b'data')}.parquet"
    storage.write_new(name, b"data")
    layout.check_content(storage, name)


def test_a_name_without_hash_cannot_be_checked(storage):
    storage.write_new("t/file.parquet", b"bytes")
    with pytest.raises(CorruptFile, match="no content hash"):
        layout.check_content(storage, "t/file.parquet")


def test_a_local_files_hash_is_its_bytes_hash(tmp_path):
    data = os.urandom(3_000_000)
    (tmp_path / "f").write_bytes(data)
    assert layout.file_hash(tmp_path / "f") == layout.content_hash(data)


def refusing(code):
    def refuse(*_args, **_named):
        raise OSError(code, os.strerror(code))

    return refuse


@pytest.mark.parametrize(
    ("code", "remedy"),
    [(errno.ENOSPC, "free space"), (errno.EACCES, "right to"), (errno.EROFS, "writable"), (errno.EMFILE, "Too many")],
)
def test_a_file_system_that_refuses_is_a_lake_error_with_path_and_remedy(storage, monkeypatch, code, remedy):
    storage.write_new("t/a", b"data")
    monkeypatch.setattr(Path, "open", refusing(code))
    with pytest.raises(LakeError, match=f"refuses t/a: .*{remedy}"):
        storage.read("t/a")
    monkeypatch.setattr(os, "link", refusing(code))
    with storage.temporary() as file, pytest.raises(LakeError, match=f"refuses t/b: .*{remedy}"):
        storage.publish(file, "t/b")
    monkeypatch.setattr(os, "fsync", refusing(code))
    with pytest.raises(LakeError, match=f"refuses t/a: .*{remedy}"):
        storage.make_durable("t/a")
    monkeypatch.setattr(Path, "unlink", refusing(code))
    with pytest.raises(LakeError, match=f"refuses t/a: .*{remedy}"):
        storage.delete("t/a")


def test_a_disk_that_fills_while_a_file_is_written_is_a_lake_error_and_leaves_nothing(storage, tmp_path):
    with pytest.raises(LakeError, match="free space"), storage.temporary() as file:
        file.write_bytes(b"half of it")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert list((tmp_path / "lake" / ".writing").iterdir()) == []


def test_errors_of_others_while_a_file_is_written_stay_what_they_are(storage):
    with pytest.raises(RegistryUnavailable), storage.temporary():
        raise RegistryUnavailable("it cannot be reached")
    with pytest.raises(ConnectionResetError), storage.temporary():
        raise ConnectionResetError


def test_a_folder_in_place_of_a_file_and_a_file_in_place_of_a_folder_are_named(storage, tmp_path):
    (tmp_path / "lake" / "t" / "a").mkdir(parents=True)
    (tmp_path / "lake" / "f").write_bytes(b"")
    with pytest.raises(LakeError, match=r"refuses t/a: .*a folder stands where"):
        storage.read("t/a")
    for use in (storage.read, storage.size, storage.delete, lambda path: storage.write_new(path, b"data")):
        with pytest.raises(LakeError, match=r"refuses f/b: .*a file stands where"):
            use("f/b")


def test_a_lake_whose_root_is_a_file_is_named(tmp_path):
    (tmp_path / "lake").write_bytes(b"")
    with pytest.raises(LakeError, match="a file stands where the lake has a folder"):
        LocalStorage(tmp_path / "lake").write_new("t/a", b"data")
