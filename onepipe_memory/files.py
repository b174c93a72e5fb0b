"""Small files of a log on disk: written whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any

from onepipe.errors import ConfigurationError, OnepipeError, TransportError

try:
    import fcntl
except ModuleNotFoundError:  # Windows
    fcntl = None  # type: ignore[assignment]  # absent there


@contextmanager
def disk_errors(doing: str, *, topic: str | None = None) -> Iterator[None]:
    """Turn what the operating system refuses into TransportError.

    Args:
        doing: what failed, for the message.
        topic: the topic it happened on, where it was one.
    """
    try:
        yield
    except OSError as error:
        if isinstance(error, OnepipeError):
            raise
        raise TransportError(f"{doing}: {error}", topic=topic) from error


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON, durably; a reader sees the old file or the new one."""
    new = path.with_name(f"{path.name}.new")
    with new.open("w", encoding="utf-8") as file:
        json.dump(value, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    sync_folder(path.parent)


def read_json(path: Path, sound: Callable[[Any], bool], default: Any = None) -> Any:
    """The value in a JSON file, or `default` where there is no such file.

    Args:
        path: the file.
        sound: whether a value has the form that was written; what it raises counts as no.
        default: what to return where there is no file.

    Raises:
        TransportError: the file holds something else.
    """
    try:
        value = json.loads(path.read_bytes())
        if sound(value):
            return value
    except FileNotFoundError:
        return default
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        pass  # told below, as any other form is
    raise TransportError(f"{path} does not hold what was written", remedy="restore the file from a copy")


class FileLock:
    """A lock between processes, held from `hold` to `release` or the process's death. Other processes may read.

    Source: flock(2): the lock belongs to the open file, so a forked child that closes its copy leaves it in place.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: FileIO | None = None

    @property
    def held(self) -> bool:
        """Whether this process holds it."""
        return self._file is not None

    def hold(self, what: str) -> None:
        """Take the lock, if it is not held yet.

        Args:
            what: what another process does that holds it, for the error's message.

        Raises:
            TransportError: another process holds it.
            ConfigurationError: the operating system has no such locks.
        """
        if self._file is not None:
            return
        if fcntl is None:
            raise ConfigurationError("a log on disk needs the locks of a Unix system", remedy="use memory://name")
        file = FileIO(self._path, "a+")
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().decode("ascii", "replace") or "unknown"
            file.close()
            raise TransportError(
                f"another process (pid {holder}) {what}: {self._path} is locked", remedy="close it there first"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()).encode())
        self._file = file

    def release(self) -> None:
        """Let go of the lock, if it is held."""
        if self._file is not None:
            self._file.close()
            self._file = None


def sync_folder(folder: Path) -> None:
    """Bring a folder's entries onto the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
