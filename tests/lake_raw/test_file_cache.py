"""Local copies of remote data files: good whatever happens to the cache, bounded, shared by processes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onepipe.errors import CorruptFile
from onepipe.lake.cache import CachedCopies, FileCache
from onepipe.lake.layout import content_hash
from onepipe.lake.s3.reading import RangedFile


class Remote:
    """Files elsewhere, and how often each was fetched."""

    def __init__(self, *contents: bytes) -> None:
        self.files = {self.path(data): data for data in contents}
        self.fetched: list[str] = []

    @staticmethod
    def path(data: bytes) -> str:
        return f"raw/T/offset0-{content_hash(data)}.parquet"

    def fetch(self, path: str, target: Path) -> str:
        self.fetched.append(path)
        target.write_bytes(self.files[path])
        return content_hash(self.files[path])


@pytest.fixture
def remote():
    return Remote(b"a" * 100, b"b" * 100, b"c" * 100)


def read(cache, remote, *paths):
    with cache.holding() as held:
        return [Path(file).read_bytes() for file in CachedCopies(cache, remote.fetch, held).local(paths)]


def test_a_file_is_fetched_once_by_all_that_share_the_folder(tmp_path, remote):
    paths = list(remote.files)
    for _ in range(2):
        assert read(FileCache(tmp_path, 1000), remote, *paths) == list(remote.files.values())
    assert sorted(remote.fetched) == sorted(paths)


def test_a_copy_that_holds_something_else_is_fetched_again(tmp_path, remote):
    cache, path = FileCache(tmp_path, 1000), next(iter(remote.files))
    read(cache, remote, path)
    (copy,) = (tmp_path / "files").iterdir()
    copy.write_bytes(b"other")
    assert read(cache, remote, path) == [remote.files[path]]
    assert remote.fetched == [path, path]


def test_a_remote_file_that_holds_something_else_is_never_at_hand(tmp_path, remote):
    cache, path = FileCache(tmp_path, 1000), next(iter(remote.files))
    remote.files[path] = b"other"
    for _ in range(2):
        with pytest.raises(CorruptFile, match="holds other bytes than were written"):
            read(cache, remote, path)
    assert not list(tmp_path.glob("files/*"))
    assert not list(tmp_path.glob("writing/*"))


def test_the_copies_used_longest_ago_make_room(tmp_path, remote):
    first, second, third = remote.files
    cache = FileCache(tmp_path, 250)
    read(cache, remote, first)
    read(cache, remote, second)
    for age, path in ((300, second), (200, first)):
        copy = tmp_path / "files" / path.split("-")[1].removesuffix(".parquet")
        os.utime(copy, (copy.stat().st_mtime - age,) * 2)
    read(cache, remote, third)
    remote.fetched.clear()
    read(cache, remote, first, third)
    assert remote.fetched == []
    read(cache, remote, second)
    assert remote.fetched == [second]


@pytest.mark.parametrize("limit", [0, 99, 250])
def test_kept_copies_stay_within_the_limit_and_those_in_use_stay_at_hand(tmp_path, remote, limit):
    cache = FileCache(tmp_path, limit)
    with cache.holding() as held:
        copies = CachedCopies(cache, remote.fetch, held)
        files = [Path(*copies.local([path])) for path in remote.files]
        assert [file.read_bytes() for file in files] == list(remote.files.values())
        assert sum(copy.stat().st_size for copy in tmp_path.glob("files/*")) <= limit
    assert not list(tmp_path.glob("held/*"))


def test_what_a_killed_process_left_is_deleted_by_its_age(tmp_path):
    cache = FileCache(tmp_path, 1000)
    with cache.holding() as held, cache.writing() as young:
        (held / "copy").write_bytes(b"x")
        os.utime(held, (100, 100))
        assert cache.abandoned(200) == 1
        assert young.exists()
        assert not held.exists()


@given(st.binary(max_size=300_000), st.lists(st.tuples(st.integers(0, 310_000), st.integers(-1, 200_000)), max_size=12))
def test_a_ranged_file_reads_as_the_bytes_do(data, reads):
    asked = []

    def fetch(start, stop):
        asked.append((start, stop))
        return data[start:stop]

    with RangedFile(len(data), fetch) as file:
        for start, length in reads:
            file.seek(start)
            stop = len(data) if length < 0 else start + length
            assert file.read(length) == data[start:stop]
            assert file.tell() == max(start, min(stop, len(data)))
    assert all(0 <= start < stop <= len(data) for start, stop in asked)


def test_an_object_that_became_shorter_is_an_error():
    with RangedFile(10, lambda start, stop: b"x") as file, pytest.raises(OSError, match="shorter"):
        file.read(5)
