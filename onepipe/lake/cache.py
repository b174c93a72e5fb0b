"""Local copies of the data files of a remote storage, for engines that read local files.

The name of a data file ends in the hash of its content, so a copy under that hash is good for ever, and for every lake
that holds the file. Copies are kept in a folder of bounded size, those used last; several processes may share it. What
is in use is a hard link in a folder of its user's own, so that nothing is deleted under a reader.

    <folder>/files/<hash>              copies
    <folder>/held/<random>/<hash>.parquet  copies in use
    <folder>/writing/<random>          files that are being fetched or written
"""

from __future__ import annotations

import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from onepipe.errors import CorruptFile
from onepipe.lake.layout import file_hash, named_hash

_FETCHERS: Final = 8
_ABANDONED_SECONDS: Final = 7 * 86400.0
"""After how long what a process left behind that was killed is deleted, where no vacuum was told otherwise."""
_SWEEPS: Final = 16
"""How often the size of all copies is taken while as many bytes are added as may be kept."""


class FileCache:
    """Copies of data files in a local folder. Thread-safe; several processes may share a folder.

    Args:
        folder: the folder, which is made on first use; on a file system that knows hard links.
        limit: most bytes of copies to keep, beside those in use; exceeded by a sixteenth at most.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder = folder
        self._limit = limit
        self._lock = threading.Lock()
        self._added = limit  # the first copy finds out what others left

    @contextmanager
    def writing(self) -> Iterator[Path]:
        """A context with the path of a new file that can become a copy; gone at the end."""
        file = self._make("writing") / secrets.token_hex(16)
        file.touch(exist_ok=False)
        try:
            yield file
        finally:
            file.unlink(missing_ok=True)

    @contextmanager
    def holding(self) -> Iterator[Path]:
        """A context with a new folder for links to copies in use; gone at the end."""
        folder = self._make("held") / secrets.token_hex(16)
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def add(self, file: Path, content: str) -> None:
        """Keep a file from `writing` as the copy of some content."""
        with suppress(FileExistsError):
            os.link(file, self._make("files") / content)
        with self._lock:
            self._added += file.stat().st_size
            if self._added * _SWEEPS < self._limit:
                return
            self._added = 0
        self._sweep()

    def link(self, content: str, target: Path) -> bool:
        """Link the copy of some content under another name; False where there is none, or it holds something else."""
        copy = self._folder / "files" / content
        try:
            os.link(copy, target)
        except FileNotFoundError:
            return False
        except FileExistsError:  # linked a moment ago, for the same user
            return True
        if file_hash(target) != content:
            target.unlink()
            copy.unlink(missing_ok=True)
            return False
        with suppress(FileNotFoundError):
            os.utime(copy)
        return True

    def abandoned(self, before: float) -> int:
        """Delete what processes that were killed left, written before a moment (seconds since 1970); how many."""
        count = 0
        for left in [*self._folder.glob("writing/*"), *self._folder.glob("held/*")]:
            with suppress(FileNotFoundError):
                if left.stat().st_mtime < before:
                    shutil.rmtree(left) if left.is_dir() else left.unlink()
                    count += 1
        return count

    def _make(self, name: str) -> Path:
        folder = self._folder / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _sweep(self) -> None:
        """Delete the copies used longest ago that are beyond the limit."""
        self.abandoned(time.time() - _ABANDONED_SECONDS)
        copies = []
        for copy in self._folder.glob("files/*"):
            with suppress(FileNotFoundError):
                status = copy.stat()
                copies.append((status.st_mtime, status.st_size, copy))
        room = self._limit
        for _, size, copy in sorted(copies, reverse=True):
            room -= size
            if room < 0:
                copy.unlink(missing_ok=True)


class CachedCopies:
    """Copies of a remote storage's data files, at hand in a folder while they are used; `onepipe.lake.storage.Copies`.

    Args:
        cache: where copies are kept.
        fetch: writes the bytes of a file, by its path below the storage's root, to a local file, and returns their
            hash; raises CorruptFile where it is missing.
        held: folder from the cache's `holding`.
    """

    def __init__(self, cache: FileCache, fetch: Callable[[str, Path], str], held: Path) -> None:
        self._cache = cache
        self._fetch = fetch
        self.folder = str(held)

    def local(self, paths: Sequence[str]) -> list[str]:
        """The local files of data files, in their order; see Copies."""
        wanted = list(dict.fromkeys(paths))
        if len(wanted) <= 1:
            found = dict(zip(wanted, map(self._local, wanted), strict=True))
        else:
            with ThreadPoolExecutor(_FETCHERS, "onepipe-fetch") as pool:
                found = dict(zip(wanted, pool.map(self._local, wanted), strict=True))
        return [found[path] for path in paths]

    def _local(self, path: str) -> str:
        content = named_hash(path)
        if content is None:
            raise CorruptFile(f"{path} has no content hash in its name")
        held = Path(self.folder, f"{content}.parquet")
        if held.exists() or self._cache.link(content, held):
            return str(held)
        with self._cache.writing() as file:
            found = self._fetch(path, file)
            if found != content:
                remedy = "restore it from a copy of the lake, or archive its offsets again"
                raise CorruptFile(f"{path} holds other bytes than were written: their hash is {found}", remedy=remedy)
            with suppress(FileExistsError):
                os.link(file, held)
            self._cache.add(file, content)
        return str(held)
