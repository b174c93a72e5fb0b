"""The port of a lake's storage, and the one over a local folder.

A lake's files are written once and never changed, so the port has no way to overwrite. `LocalStorage` publishes a file
by a hard link, which fails where the name exists; an object store does the same by a conditional PUT.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final, Protocol, runtime_checkable
from urllib.parse import unquote, urlsplit

import attrs

from onepipe.errors import CommitConflict, ConfigurationError, CorruptFile, LakeError, OnepipeError

_PART: Final = re.compile(r"[A-Za-z0-9._=-]{1,255}\Z")
_TEMPORARY: Final = ".writing"
_BLOCK: Final = 1 << 20
_REMEDIES: Final = {
    errno.ENOSPC: "free space on the disk of the lake, then run this again",
    errno.EDQUOT: "raise the quota or delete what it counts, then run this again",
    errno.EACCES: "give this user the right to read and write the lake's folder",
    errno.EPERM: "give this user the right to read and write the lake's folder",
    errno.EROFS: "mount the lake's file system writable",
    errno.ENOTDIR: "a file stands where the lake has a folder; move it away",
    errno.EEXIST: "a file stands where the lake has a folder; move it away",
    errno.EISDIR: "a folder stands where the lake has a file; move it away",
    errno.EIO: "the disk may be failing; restore the lake from a copy",
}
"""What to do about what a file system says."""
_FLUSHES: Final = 16
"""Files flushed to the disk at a time."""


@attrs.frozen
class StoredFile:
    """A file as the storage lists it.

    Attributes:
        path: path below the storage's root, with "/".
        size: bytes.
        modified: when it was written, seconds since 1970.
    """

    path: str
    size: int
    modified: float


class Copies(Protocol):
    """Data files as local files, for engines that read those. Thread-safe; good until the context that gave it ends.

    Attributes:
        folder: folder that the local files are below.
    """

    folder: str

    def local(self, paths: Sequence[str]) -> list[str]:
        """The local files of data files, in their order. What is not at hand is fetched, a few at a time.

        Args:
            paths: below the storage's root; each name ends in the hash of the file's content.

        Raises:
            CorruptFile: a file that had to be fetched is missing, or holds other bytes than were written.
        """


@runtime_checkable
class Storage(Protocol):
    """Files by path below one root. Thread-safe.

    A path is one or more names joined by "/"; a name holds letters, digits, ".", "_", "=" and "-", and is not "." or
    "..". Every method that takes a path raises LakeError for another form.
    """

    @property
    def remote(self) -> bool:
        """Whether files are elsewhere, so that a local copy is one for a while only."""

    @property
    def options(self) -> Mapping[str, str]:
        """What Delta needs beside `uri` to open a table; empty for local files. It may change with time."""

    def uri(self, path: str = "") -> str:
        """Where Delta finds the path, or the root."""

    def read(self, path: str) -> bytes:
        """The bytes of a file.

        Raises:
            CorruptFile: there is no such file.
        """

    def open(self, path: str) -> BinaryIO:
        """Open a file for reading, as the storage holds it now; it can seek, and only what is read is fetched.

        Raises:
            CorruptFile: there is no such file.
        """

    def copies(self) -> AbstractContextManager[Copies]:
        """A context in which data files are at hand as local files."""

    def size(self, path: str) -> int:
        """Bytes of a file.

        Raises:
            CorruptFile: there is no such file.
        """

    def exists(self, path: str) -> bool:
        """Whether there is a file of that path."""

    def list(self, prefix: str = "") -> Iterator[StoredFile]:
        """The files below a folder, sorted by path; nothing where there is no such folder."""

    def write_new(self, path: str, data: bytes) -> None:
        """Write a small file whole, or not at all; durable on return. The same bytes there already is success.

        Raises:
            CommitConflict: the path holds other bytes.
        """

    def temporary(self) -> AbstractContextManager[Path]:
        """A context with the local path of a new file to write; it is gone at the end unless published."""

    def publish(self, temporary: Path, path: str) -> None:
        """Give a temporary file its final path, whole. The same bytes there already is success.

        It is durable once `make_durable` has returned, and not before: many files at once cost little more than one.

        Raises:
            CommitConflict: the path holds other bytes.
        """

    def make_durable(self, *paths: str) -> None:
        """Return when files would survive a power cut, whoever wrote them.

        Raises:
            CorruptFile: one of them is missing.
        """

    def delete(self, path: str) -> None:
        """Delete a file; nothing where there is none."""

    def abandoned(self, before: float) -> int:
        """Delete temporary files last written before a moment (seconds since 1970), left by writers that died.

        Returns:
            How many there were.
        """


class LocalStorage:
    """A lake in a local folder, which is made on first use.

    Args:
        root: the folder. The file system must know hard links (as Delta's own log does).

    Raises:
        ConfigurationError: the path holds "%", which Delta would decode.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self._root = Path(root).absolute()
        if "%" in str(self._root):
            raise ConfigurationError("the lake's folder cannot have '%' in its path", remedy="choose another folder")

    @property
    def remote(self) -> bool:
        """No: the files are here."""
        return False

    @property
    def options(self) -> Mapping[str, str]:
        """Nothing: local files need no credentials."""
        return {}

    def uri(self, path: str = "") -> str:
        """The absolute path as text."""
        return str(self._resolve(path) if path else self._root)

    def read(self, path: str) -> bytes:
        """The bytes of a file; see Storage."""
        with self.open(path) as file, _file_errors(path):
            return file.read()

    def open(self, path: str) -> BinaryIO:
        """Open a file for reading; see Storage."""
        with _file_errors(path):
            return self._resolve(path).open("rb")

    @contextmanager
    def copies(self) -> Iterator[Copies]:
        """A context in which data files are at hand: they are, as they are."""
        yield _Originals(self)

    def size(self, path: str) -> int:
        """Bytes of a file; see Storage."""
        with _file_errors(path):
            return self._resolve(path).stat().st_size

    def exists(self, path: str) -> bool:
        """Whether there is a file of that path."""
        return self._resolve(path).is_file()

    def list(self, prefix: str = "") -> Iterator[StoredFile]:
        """The files below a folder, sorted by path."""
        folder = self._resolve(prefix) if prefix else self._root
        for parent, folders, names in os.walk(folder):
            folders[:] = sorted(name for name in folders if name != _TEMPORARY)
            for name in sorted(names):
                file = Path(parent, name)
                with suppress(FileNotFoundError):
                    status = file.stat()
                    yield StoredFile(file.relative_to(self._root).as_posix(), status.st_size, status.st_mtime)

    def write_new(self, path: str, data: bytes) -> None:
        """Write a small file whole, or not at all; see Storage."""
        with self.temporary() as temporary:
            temporary.write_bytes(data)
            self.publish(temporary, path)
        self.make_durable(path)

    @contextmanager
    def temporary(self) -> Iterator[Path]:
        """A context with the path of a new file on the same file system; gone at the end."""
        folder = self._root / _TEMPORARY
        file = folder / secrets.token_hex(16)
        with _file_errors(_TEMPORARY):
            folder.mkdir(parents=True, exist_ok=True)
            file.touch(exist_ok=False)
        try:
            yield file
        except OSError as error:
            if isinstance(error, OnepipeError) or error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise _failed(_TEMPORARY, error) from error
        finally:
            file.unlink(missing_ok=True)

    def publish(self, temporary: Path, path: str) -> None:
        """Link a temporary file under its final path; see Storage."""
        target = self._resolve(path)
        with _file_errors(path):
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(temporary, target)
            except FileExistsError:
                if not _same_bytes(temporary, target):
                    raise CommitConflict(f"{path} exists with other bytes") from None

    def make_durable(self, *paths: str) -> None:
        """Flush files, and each folder on the way to one once, to the disk; see Storage.

        Several at a time, as a disk's journal takes what is flushed at once in one go.
        """
        files = [self._resolve(path) for path in paths]
        above = self._root.parent
        folders = {folder for file in files for folder in file.parents if folder.is_relative_to(above)}
        if not os.access(above, os.R_OK):
            folders.discard(above)  # who may not read it has not made the lake's folder in it
        with ThreadPoolExecutor(_FLUSHES, "onepipe-flush") as pool:
            flushed = pool.map(_fsync, files)
            for path in paths:
                with _file_errors(path):
                    next(flushed)
            with _file_errors("its folders"):
                list(pool.map(_fsync, folders))

    def delete(self, path: str) -> None:
        """Delete a file; nothing where there is none."""
        with _file_errors(path):
            self._resolve(path).unlink(missing_ok=True)

    def abandoned(self, before: float) -> int:
        """Delete temporary files of writers that died; see Storage."""
        count = 0
        for file in (self._root / _TEMPORARY).glob("*"):
            with suppress(FileNotFoundError):
                if file.stat().st_mtime < before:
                    file.unlink()
                    count += 1
        return count

    def __repr__(self) -> str:
        return f"LocalStorage({str(self._root)!r})"

    def _resolve(self, path: str) -> Path:
        target = self._root.joinpath(*path_parts(path))
        if not target.resolve().is_relative_to(self._root.resolve()):
            raise LakeError(f"{path!r} leads out of the lake by a symbolic link")
        return target


class _Originals:
    """The files of a local storage themselves."""

    def __init__(self, storage: LocalStorage) -> None:
        self._storage = storage
        self.folder = storage.uri()

    def local(self, paths: Sequence[str]) -> list[str]:
        return [self._storage.uri(path) for path in paths]


def open_storage(url: str | os.PathLike[str]) -> Storage:
    """The storage at a path, a `file://` URL or an `s3://` URL.

    Raises:
        ConfigurationError: another scheme, a URL of another host, or a setting that its scheme does not know.
        MissingDependency: the scheme needs a package that is not installed.
    """
    text = os.fspath(url)
    parts = urlsplit(text)
    if "://" not in text:
        return LocalStorage(text)
    if parts.scheme == "file":
        if parts.netloc not in {"", "localhost"}:
            raise ConfigurationError(f"file://{parts.netloc} is another host's folder")
        return LocalStorage(unquote(parts.path))
    if parts.scheme == "s3":
        from onepipe.lake.s3 import S3Storage, parse_address

        return S3Storage(parse_address(text))
    raise ConfigurationError(
        f"no storage for lakes at {parts.scheme}://", remedy="give a folder, or s3://bucket/prefix"
    )


def path_parts(path: str) -> list[str]:
    """The names that a path below a storage's root is made of.

    Raises:
        LakeError: it is of another form than storages take.
    """
    parts = path.split("/")
    if not all(_PART.match(part) and part not in {".", ".."} for part in parts):
        raise LakeError(f"{path!r} is not a path inside the lake")
    return parts


def missing(path: str) -> CorruptFile:
    """The error of a file that is not there."""
    return CorruptFile(f"{path} is missing", remedy="restore it from a copy of the lake")


@contextmanager
def _file_errors(path: str) -> Iterator[None]:
    """Turn what the file system says of a path below the root into ours."""
    try:
        yield
    except OnepipeError:
        raise
    except FileNotFoundError:
        raise missing(path) from None
    except OSError as error:
        raise _failed(path, error) from error


def _failed(path: str, error: OSError) -> LakeError:
    said = error.strerror or type(error).__name__
    return LakeError(f"the lake's file system refuses {path}: {said}", remedy=_REMEDIES.get(error.errno or 0))


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _same_bytes(left: Path, right: Path) -> bool:
    if left.stat().st_size != right.stat().st_size:
        return False
    with left.open("rb") as one, right.open("rb") as other:
        while block := one.read(_BLOCK):
            if block != other.read(_BLOCK):
                return False
    return True
