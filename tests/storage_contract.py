"""What every storage of lakes does, as a suite; a test class derives from it and makes the storage."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from onepipe.errors import CommitConflict, CorruptFile, LakeError
from onepipe.lake import layout
from onepipe.lake.storage import Storage

Open = Callable[[], Storage]
ODD = ["../x", "/etc/passwd", "a/../b", "a//b", "", ".", "a/.", "a\\b", "a\nb", "a b", "ä", "a\0", "a?b", "a%2e"]
LARGE = b"".join(hashlib.sha256(str(n).encode()).digest() for n in range(100_000))


def data_path(data: bytes) -> str:
    return f"raw/T/offset0-{layout.content_hash(data)}.parquet"


def write_new(storage: Storage, path: str, data: bytes) -> None:
    storage.write_new(path, data)


def publish(storage: Storage, path: str, data: bytes) -> None:
    with storage.temporary() as temporary:
        temporary.write_bytes(data)
        storage.publish(temporary, path)


class StorageContract:
    """Deriving classes have a fixture `open_another`: a function that opens the same empty storage, each time anew."""

    @pytest.fixture
    def storage(self, open_another: Open) -> Storage:
        return open_another()

    def test_it_is_a_storage(self, storage):
        assert isinstance(storage, Storage)

    @pytest.mark.parametrize("data", [b"", b"x", LARGE], ids=["empty", "small", "large"])
    @pytest.mark.parametrize("write", [write_new, publish])
    def test_a_new_file_reads_back_by_another_user(self, storage, open_another, data, write):
        write(storage, "a/b.txt", data)
        other = open_another()
        assert other.read("a/b.txt") == data
        assert other.size("a/b.txt") == len(data)
        assert other.exists("a/b.txt")
        with other.open("a/b.txt") as file:
            assert file.read() == data

    def test_a_file_is_read_at_any_place(self, storage):
        storage.write_new("a", LARGE)
        with storage.open("a") as file:
            assert file.seek(-100, os.SEEK_END) == len(LARGE) - 100
            assert file.read(1000) == LARGE[-100:]
            assert file.read(1) == b""
            for start, length in ((0, 10), (5, 200_000), (200_005, 300_000), (1, 1), (2_000_000, 64)):
                assert file.seek(start) == start
                assert file.read(length) == LARGE[start : start + length]
                assert file.tell() == start + length

    @pytest.mark.parametrize("data", [b"x", b"", LARGE], ids=["small", "empty", "large"])
    def test_writing_the_same_bytes_again_is_success(self, storage, open_another, data):
        storage.write_new("a", data)
        storage.write_new("a", data)
        publish(open_another(), "a", data)
        assert storage.read("a") == data

    @pytest.mark.parametrize("other", [b"y", b"xx", b""])
    def test_other_bytes_never_overwrite(self, storage, open_another, other):
        storage.write_new("a", b"x")
        for user, write in ((storage, write_new), (open_another(), write_new), (storage, publish)):
            with pytest.raises(CommitConflict, match="exists with other bytes"):
                write(user, "a", other)
        assert storage.read("a") == b"x"

    def test_only_one_of_many_racing_writers_wins(self, open_another):
        def race(number: int) -> bool:
            try:
                open_another().write_new("prize", str(number).encode())
            except CommitConflict:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(race, range(16)))
        assert won.count(True) == 1
        assert open_another().read("prize") == str(won.index(True)).encode()

    def test_a_file_not_published_leaves_nothing(self, storage):
        with storage.temporary() as temporary:
            temporary.write_bytes(b"x")
        assert not temporary.exists()
        assert list(storage.list()) == []

    def test_a_failure_while_writing_leaves_nothing(self, storage):
        with pytest.raises(IsADirectoryError), storage.temporary() as temporary:
            temporary.parent.write_bytes(b"x")
        assert not temporary.exists()

    def test_files_of_dead_writers_are_found_by_their_age_only(self, storage):
        with storage.temporary() as young, storage.temporary() as old:
            os.utime(old, (100, 100))
            assert storage.abandoned(200) == 1
            assert young.exists()
            assert not old.exists()

    def test_listing_is_sorted_and_below_the_prefix(self, storage):
        for path in ("b/2", "b/1", "a/9", "bb/1"):
            storage.write_new(path, b"xyz")
        assert [file.path for file in storage.list("b")] == ["b/1", "b/2"]
        for folder in ("a", "b", "bb"):
            assert {file.path.split("/")[0] for file in storage.list(folder)} == {folder}
        assert {file.size for file in storage.list("b")} == {3}
        assert list(storage.list("nowhere")) == []

    def test_deleting_twice_is_deleting_once(self, storage):
        storage.write_new("a", b"x")
        storage.delete("a")
        storage.delete("a")
        assert not storage.exists("a")
        storage.write_new("a", b"y")
        assert storage.read("a") == b"y"

    @pytest.mark.parametrize(
        "path",
        ["../x", "/etc/passwd", "a/../b", "a//b", "", ".", "a/.", "a\\b", "a\nb", "a b", "ä", "a\0", "a?b", "a%2e"],
    )
    def test_a_path_that_leaves_the_lake_or_has_odd_characters_is_refused(self, storage, path):
        for action in (storage.read, storage.open, storage.exists, storage.size, storage.delete, storage.make_durable):
            with pytest.raises(LakeError):
                action(path)
        with pytest.raises(LakeError):
            storage.write_new(path, b"x")
        with pytest.raises(LakeError):
            publish(storage, path, b"x")

    @pytest.mark.parametrize("action", ["read", "open", "size", "make_durable"])
    def test_a_missing_file_is_said_so(self, storage, action):
        with pytest.raises(CorruptFile, match="a/b is missing"):
            getattr(storage, action)("a/b")

    def test_a_file_that_is_there_is_durable(self, storage):
        storage.write_new("a", b"x")
        storage.make_durable("a")

    def test_data_files_are_at_hand_while_their_context_lasts(self, storage, open_another):
        contents = [b"one", b"two", LARGE]
        paths = [data_path(data) for data in contents]
        for path, data in zip(paths, contents, strict=True):
            publish(storage, path, data)
        with open_another().copies() as copies:
            local = copies.local([paths[2], paths[0], paths[0], paths[1]])
            assert [Path(file).read_bytes() for file in local] == [LARGE, b"one", b"one", b"two"]
            assert all(Path(file).is_relative_to(copies.folder) for file in local)
            assert copies.local([paths[2]]) == local[:1]
            assert copies.local([]) == []
            layout.check_copy(copies, paths[2])

    def test_a_missing_data_file_is_said_so(self, storage):
        path = data_path(b"nothing")
        with storage.copies() as copies, pytest.raises(CorruptFile, match=f"{path} is missing"):
            layout.check_copy(copies, path)

    def test_a_data_file_with_other_bytes_than_its_name_is_corrupt(self, storage):
        path = data_path(b"data")
        publish(storage, path, b"dbta")
        with pytest.raises(CorruptFile, match="holds other bytes"):
            layout.check_content(storage, path)
        with storage.copies() as copies, pytest.raises(CorruptFile, match="holds other bytes"):
            layout.check_copy(copies, path)

    def test_it_shows_where_it_is(self, storage):
        assert storage.uri().rpartition("/")[2] in repr(storage)
