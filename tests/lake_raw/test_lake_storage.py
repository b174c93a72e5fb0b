from __future__ import annotations

import multiprocessing
import os

import pytest

from onepipe.errors import CommitConflict, ConfigurationError, CorruptFile, LakeError
from onepipe.lake import layout
from onepipe.lake.storage import LocalStorage, Storage, open_storage


@pytest.fixture
def storage(tmp_path):
    return LocalStorage(tmp_path / "lake")


def test_a_local_storage_is_a_storage(storage):
    assert isinstance(storage, Storage)


def test_a_new_file_reads_back(storage):
    storage.write_new("a/b.txt", b"x")
    assert storage.read("a/b.txt") == b"x"
    assert storage.size("a/b.txt") == 1
    assert storage.exists("a/b.txt")
    with storage.open("a/b.txt") as file:
        assert file.read() == b"x"


def test_writing_the_same_bytes_again_is_success(storage):
    storage.write_new("a", b"x")
    storage.write_new("a", b"x")


@pytest.mark.parametrize("other", [b"y", b"xx", b""])
def test_other_bytes_never_overwrite(storage, other):
    storage.write_new("a", b"x")
    with pytest.raises(CommitConflict):
        storage.write_new("a", other)
    assert storage.read("a") == b"x"


def test_only_one_of_many_racing_writers_wins(storage, tmp_path):
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


def test_a_file_not_published_leaves_nothing(storage):
    with storage.temporary() as temporary:
        temporary.write_bytes(b"x")
    assert not temporary.exists()
    assert list(storage.list()) == []


def test_a_failure_while_writing_leaves_nothing(storage):
    with pytest.raises(IsADirectoryError), storage.temporary() as temporary:
        temporary.parent.write_bytes(b"x")
    assert not temporary.exists()


def test_files_of_dead_writers_are_found_by_their_age_only(storage):
    with storage.temporary() as young, storage.temporary() as old:
        os.utime(old, (100, 100))
        assert storage.abandoned(200) == 1
        assert young.exists()
        assert not old.exists()


def test_a_published_file_has_the_permissions_of_any_new_file(storage, tmp_path):
    storage.write_new("a", b"x")
    (tmp_path / "plain").touch()
    assert (tmp_path / "lake" / "a").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_listing_is_sorted_and_below_the_prefix(storage):
    for path in ("b/2", "b/1", "a/9", "bb/1"):
        storage.write_new(path, b"x")
    assert [file.path for file in storage.list("b")] == ["b/1", "b/2"]
    assert [file.path for file in storage.list()] == ["a/9", "b/1", "b/2", "bb/1"]
    assert list(storage.list("nowhere")) == []


def test_deleting_twice_is_deleting_once(storage):
    storage.write_new("a", b"x")
    storage.delete("a")
    storage.delete("a")
    assert not storage.exists("a")


@pytest.mark.parametrize(
    "path", ["../x", "/etc/passwd", "a/../b", "a//b", "", ".", "a/.", "a\\b", "a\nb", "a b", "ä", "a\0"]
)
def test_a_path_that_leaves_the_lake_or_has_odd_characters_is_refused(storage, path):
    for action in (storage.read, storage.exists, storage.size, storage.delete, storage.make_durable):
        with pytest.raises(LakeError):
            action(path)
    with pytest.raises(LakeError):
        storage.write_new(path, b"x")


def test_a_symbolic_link_out_of_the_lake_is_refused(storage, tmp_path):
    storage.write_new("a", b"x")
    (tmp_path / "lake" / "out").symlink_to(tmp_path)
    with pytest.raises(LakeError, match="symbolic link"):
        storage.write_new("out/evil", b"x")


@pytest.mark.parametrize("action", ["read", "open", "size", "make_durable"])
def test_a_missing_file_is_said_so(storage, action):
    with pytest.raises(CorruptFile, match="a/b is missing"):
        getattr(storage, action)("a/b")


def test_a_storage_opens_by_path_or_file_url(tmp_path):
    for url in (tmp_path, str(tmp_path), f"file://{tmp_path}", f"file://localhost{tmp_path}"):
        assert open_storage(url).uri() == str(tmp_path)
    assert open_storage((tmp_path / "a b").as_uri()).uri() == str(tmp_path / "a b")


@pytest.mark.parametrize("url", ["s3://bucket/x", "file://host/x", "ftp://x", "a%20b"])
def test_what_is_no_local_folder_is_refused(url):
    with pytest.raises(ConfigurationError):
        open_storage(url)


def test_a_file_with_the_bytes_of_its_name_passes(storage):
    name = f"t/offset0-{layout.content_hash(b'data')}.parquet"
    storage.write_new(name, b"data")
    layout.check_content(storage, name)


def test_a_file_with_other_bytes_than_its_name_is_corrupt(storage):
    name = f"t/offset0-{layout.content_hash(b'data')}.parquet"
    storage.write_new(name, b"dbta")
    with pytest.raises(CorruptFile, match="holds other bytes"):
        layout.check_content(storage, name)


def test_a_name_without_hash_cannot_be_checked(storage):
    storage.write_new("t/file.parquet", b"bytes")
    with pytest.raises(CorruptFile, match="no content hash"):
        layout.check_content(storage, "t/file.parquet")


def test_a_local_files_hash_is_its_bytes_hash(tmp_path):
    data = os.urandom(3_000_000)
    (tmp_path / "f").write_bytes(data)
    assert layout.file_hash(tmp_path / "f") == layout.content_hash(data)
