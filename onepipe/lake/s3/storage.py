"""A lake's storage in a bucket of S3 or of a store that speaks its protocol."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, cast

from xxhash import xxh3_128

from onepipe.errors import CommitConflict, ConfigurationError, CorruptFile
from onepipe.lake.cache import CachedCopies, FileCache
from onepipe.lake.layout import file_hash, named_hash
from onepipe.lake.s3.address import S3Address
from onepipe.lake.s3.objects import Objects
from onepipe.lake.s3.reading import RangedFile
from onepipe.lake.storage import Copies, StoredFile, missing

_PROBE: Final = "conditional-writes"
_PROBE_BYTES: Final = b"This object was written to see that the store refuses to write it again.\n"
_ATTEMPTS: Final = 5


class S3Storage:
    """A lake in a bucket; see `onepipe.lake.storage.Storage`. Thread-safe.

    A file is published by a conditional PUT (`If-None-Match: *`), which a store must know: before the first write it is
    seen to refuse one. Where a write finds its name taken, the bytes there are compared, as they may be its own whose
    answer was lost. New files, and copies for engines, are in a local folder; see `onepipe.lake.cache`.

    Args:
        address: where it is.
    """

    def __init__(self, address: S3Address) -> None:
        self._address = address
        self._objects = Objects(address)
        self._cache = FileCache(address.cache, address.cache_bytes)
        self._lock = threading.Lock()
        self._seen_to_refuse = False

    @property
    def remote(self) -> bool:
        """Yes: the files are at the store."""
        return True

    @property
    def options(self) -> Mapping[str, str]:
        """Endpoint, region and the credentials of the present moment; never to be shown."""
        return self._objects.delta_options()

    def uri(self, path: str = "") -> str:
        """Where Delta finds the path, or the root."""
        return self._objects.uri(path)

    def read(self, path: str) -> bytes:
        """The bytes of a file; see Storage."""
        return self._objects.read(path)

    def open(self, path: str) -> BinaryIO:
        """Open a file for reading; see Storage."""
        file = RangedFile(self.size(path), lambda start, stop: self._objects.read(path, start, stop))
        return cast(BinaryIO, file)  # it is one, but io's raw files are not declared as such

    @contextmanager
    def copies(self) -> Iterator[Copies]:
        """A context in which data files are at hand; see Storage."""
        with self._cache.holding() as folder:
            yield CachedCopies(self._cache, self._fetch, folder)

    def size(self, path: str) -> int:
        """Bytes of a file; see Storage."""
        size = self._objects.size(path)
        if size is None:
            raise missing(path)
        return size

    def exists(self, path: str) -> bool:
        """Whether there is a file of that path."""
        return self._objects.size(path) is not None

    def list(self, prefix: str = "") -> Iterator[StoredFile]:
        """The files below a folder, sorted by path."""
        return self._objects.list(prefix)

    def write_new(self, path: str, data: bytes) -> None:
        """Write a small file whole, or not at all; see Storage."""
        self._publish(path, lambda: io.BytesIO(data), lambda: xxh3_128(data).hexdigest())

    @contextmanager
    def temporary(self) -> Iterator[Path]:
        """A context with the path of a new local file; gone at the end."""
        with self._cache.writing() as file:
            yield file

    def publish(self, temporary: Path, path: str) -> None:
        """Upload a temporary file under its final path; see Storage. A data file's copy is kept."""
        self._publish(path, lambda: temporary.open("rb"), lambda: file_hash(temporary))
        if (content := named_hash(path)) is not None:
            self._cache.add(temporary, content)

    def make_durable(self, *paths: str) -> None:
        """See that the files are there, as what is there is durable; see Storage."""
        for path in paths:
            self.size(path)

    def delete(self, path: str) -> None:
        """Delete a file; nothing where there is none."""
        self._objects.delete(path)

    def abandoned(self, before: float) -> int:
        """Delete this machine's temporary files of writers and readers that died; see Storage."""
        return self._cache.abandoned(before)

    def __reduce__(self) -> tuple[type[S3Storage], tuple[S3Address]]:
        """Another process connects anew, with credentials of its own."""
        return S3Storage, (self._address,)

    def __repr__(self) -> str:
        return f"S3Storage({str(self._address)!r})"

    def _publish(self, path: str, open_body: Callable[[], BinaryIO], content: Callable[[], str]) -> None:
        """Write a file where there is none, or one of the same content."""
        self._require_refusals()
        for _ in range(_ATTEMPTS):
            if self._objects.put_new(path, open_body):
                return
            state = xxh3_128()
            try:
                self._objects.stream(path, state.update)
            except CorruptFile:  # deleted meanwhile
                continue
            if state.hexdigest() == content():
                return
            break
        raise CommitConflict(f"{path} exists with other bytes")

    def _require_refusals(self) -> None:
        """See, once, that the store refuses to overwrite: two writers at once would harm each other otherwise."""
        with self._lock:
            if self._seen_to_refuse:
                return
            if all(self._objects.put_new(_PROBE, lambda: io.BytesIO(_PROBE_BYTES)) for _ in range(2)):
                remedy = "use a store that knows conditional writes (If-None-Match), or a folder"
                raise ConfigurationError(f"{self._address}: the store overwrites what is there", remedy=remedy)
            self._seen_to_refuse = True

    def _fetch(self, path: str, target: Path) -> str:
        state = xxh3_128()
        with target.open("wb") as file:

            def take(block: bytes) -> None:
                state.update(block)
                file.write(block)

            self._objects.stream(path, take)
        return state.hexdigest()
