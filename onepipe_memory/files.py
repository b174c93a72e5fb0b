"""Small files of a log on disk: written whole or not at all."""

from __future__ import annotations

import json
import os
from io import FileIO
from pathlib import Path
from typing import Any

from onepipe.errors import ConfigurationError, TransportError

try:
    import fcntl
except ModuleNotFoundError:  # Windows
    fcntl = None  # type: ignore[assignment]  # absent there


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON, durably; a reader sees the old file or the new one."""
    new = path.with_name(f"{path.name}.new")
    with new.open("w", encoding="utf-8") as file:
        json.dump(value, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    sync_folder(path.parent)


def read_json(path: Path, default: Any = None) -> Any:
    """The value in a JSON file, or `default` where there is no such file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return default


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
            holder = file.read().decode() or "unknown"
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
