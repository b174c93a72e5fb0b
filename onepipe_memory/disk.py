"""The store on disk: a folder that any number of processes read and one at a time writes.

log.json                                the form of this folder
lock                                    held by the process that writes
topics/<Topic>@<log>/topic.json         a topic: its identity in the name, so that no reader mistakes a new one
topics/<Topic>@<log>/<partition>/       segments `<first offset>.log`, and start.json where messages were trimmed
groups/<group>/offsets.json, lock       committed offsets, and the lock of the process whose readers are the group
staging/                                topics that come to be, or are deleted; nothing of it counts
"""

from __future__ import annotations

import shutil
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from onepipe.errors import ConfigurationError, TransportError
from onepipe.transport import Capability, TopicDescription, Writer
from onepipe_memory.config import MemoryConfig
from onepipe_memory.disk_partition import DiskPartition
from onepipe_memory.disk_writer import DiskWriter
from onepipe_memory.errors import no_topic
from onepipe_memory.files import FileLock, disk_errors, read_json, sync_folder, write_json
from onepipe_memory.groups import Offsets
from onepipe_memory.store import Closable, TopicLog

if TYPE_CHECKING:
    from onepipe_memory.log import Log

FORMAT: Final = 1
"""Version of the folder's form."""

_WATCH_SECONDS: Final = 0.05


class DiskStore:
    """A log's topics and offsets in a folder. Thread-safe."""

    capabilities: Final = frozenset({Capability.DURABLE})

    def __init__(self, folder: Path, config: MemoryConfig) -> None:
        """Open a folder, making it where there is none.

        Raises:
            ConfigurationError: the folder holds something else, or was written by a newer release.
            TransportError: it cannot be made or read.
        """
        self._folder = folder
        self._config = config
        self._lock = threading.RLock()
        self._written = FileLock(folder / "lock")
        self._groups: dict[str, FileLock] = {}
        self._topics: dict[str, tuple[Path, TopicLog[DiskPartition]]] = {}
        with disk_errors("the log's folder cannot be used"):
            _open_folder(folder)

    @property
    def default_registry(self) -> str | None:
        """A registry in the same folder."""
        return f"sqlite:///{self._folder / 'registry.db'}"

    @property
    def watch_seconds(self) -> float | None:
        """How often readers look for what other processes wrote; None for the one that writes."""
        return None if self._written.held else _WATCH_SECONDS

    def create(self, name: str, partitions: int, retention_ms: int | None) -> TopicLog[DiskPartition]:
        """Create a topic, or return the existing one; only the former needs the lock."""
        with self._lock:
            if (existing := self.get(name)) is not None:
                return existing
            self._own()
            with disk_errors("the topic cannot be created", topic=name):
                return self._create(name, partitions, retention_ms)

    def get(self, name: str) -> TopicLog[DiskPartition] | None:
        """The topic of that name, or None; looks at the folder, as another process may have changed it.

        Raises:
            TransportError: its folder cannot be read.
        """
        with self._lock:
            found = list(self._folder.glob(f"topics/{name}@*"))
            folder = found[0] if found else None
            known = self._topics.get(name)
            if known is not None and known[0] != folder:
                self._drop(name)
            elif known is not None:
                return known[1]
            if folder is None:
                return None
            with disk_errors("the topic cannot be opened", topic=name):
                return self._load(name, folder)

    def names(self) -> list[str]:
        """Names of the topics, sorted."""
        return sorted(folder.name.partition("@")[0] for folder in self._folder.glob("topics/*@*"))

    def delete(self, name: str) -> None:
        """Delete a topic."""
        with self._lock:
            topic = self.get(name)
            if topic is None:
                raise no_topic(name)
            self._own()
            folder = self._topics[name][0]
            self._drop(name)
            with disk_errors("the topic cannot be deleted", topic=name):
                deleted = folder.rename(self._folder / "staging" / f"{topic.description.log}-deleted")
                sync_folder(folder.parent)
            shutil.rmtree(deleted, ignore_errors=True)

    def writer(self, log: Log, on_close: Callable[[Closable], None]) -> Writer:
        """Open a writer; this process holds the lock from then on.

        Raises:
            TransportError: another process writes.
        """
        with self._lock:
            self._own()
        return DiskWriter(log, on_close)

    def load_offsets(self, group: str) -> Offsets:
        """The committed offsets of a group.

        Raises:
            TransportError: readers of this group run in another process, or its offsets cannot be read.
        """
        with self._lock, disk_errors(f"the offsets of group {group!r} cannot be read"):
            folder = self._group_folder(group)
            folder.mkdir(parents=True, exist_ok=True)
            lock = self._groups.setdefault(group, FileLock(folder / "lock"))
            lock.hold(f"has the readers of group {group!r}")
            stored = read_json(folder / "offsets.json", _are_offsets, [])
            return {(log, partition): offset for log, partition, offset in stored}

    def save_offsets(self, group: str, offsets: Offsets) -> None:
        """Keep the committed offsets of a group, durably.

        Raises:
            TransportError: they cannot be written.
        """
        rows = [[log, partition, offset] for (log, partition), offset in sorted(offsets.items())]
        with disk_errors(f"the offsets of group {group!r} cannot be written"):
            write_json(self._group_folder(group) / "offsets.json", rows)

    def release_group(self, group: str) -> None:
        """Let other processes have the group."""
        with self._lock:
            if group in self._groups:
                self._groups[group].release()

    def close(self) -> None:
        """Let go of files and locks."""
        with self._lock:
            for partition in self._partitions():
                partition.close()
            for lock in (self._written, *self._groups.values()):
                lock.release()

    def abandon(self) -> None:
        """Close a forked child's copies of files and locks; the parent's stay as they are."""
        for partition in self._partitions():
            partition.abandon()
        for lock in (self._written, *self._groups.values()):
            lock.release()

    def _own(self) -> None:
        with disk_errors("the log cannot be locked"):
            self._written.hold("writes to this log")

    def _partitions(self) -> list[DiskPartition]:
        return [partition for _, topic in self._topics.values() for partition in topic.partitions]

    def _create(self, name: str, partitions: int, retention_ms: int | None) -> TopicLog[DiskPartition]:
        log = uuid.uuid4().hex
        staged, folder = self._folder / "staging" / log, self._folder / "topics" / f"{name}@{log}"
        for number in range(partitions):
            (staged / str(number)).mkdir(parents=True)
        settings = {"name": name, "log": log, "partitions": partitions, "retention_ms": retention_ms}
        write_json(staged / "topic.json", settings)
        staged.rename(folder)
        sync_folder(folder.parent)
        return self._load(name, folder)

    def _load(self, name: str, folder: Path) -> TopicLog[DiskPartition]:
        settings = read_json(folder / "topic.json", _is_topic)
        if settings is None:
            raise TransportError(f"{folder} has no topic.json", topic=name, remedy="restore the file from a copy")
        description = TopicDescription(name, settings["log"], settings["partitions"], settings["retention_ms"])
        partitions = [
            DiskPartition(folder / str(number), name, number, description.retention_ms, self._config, self._own)
            for number in range(description.partitions)
        ]
        self._topics[name] = folder, TopicLog(description, partitions)
        return self._topics[name][1]

    def _drop(self, name: str) -> None:
        _, topic = self._topics.pop(name)
        for partition in topic.partitions:
            partition.delete()

    def _group_folder(self, group: str) -> Path:
        try:
            return self._folder / "groups" / quote(group, safe="").replace(".", "%2E")
        except UnicodeEncodeError:
            raise ConfigurationError("a group's name holds a lone surrogate, which is not text") from None


def _open_folder(folder: Path) -> None:
    form: dict[str, Any] | None = read_json(folder / "log.json", _is_form)
    if form is None:
        if folder.exists() and list(folder.iterdir()):
            raise ConfigurationError(f"{folder} holds something else", remedy="name a new or empty folder")
        for part in ("topics", "groups", "staging"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        write_json(folder / "log.json", {"format": FORMAT})
    elif form["format"] > FORMAT:
        message = f"{folder} has form {form['format']}, this release knows {FORMAT}"
        raise ConfigurationError(message, remedy="upgrade onepipe")


def _is_form(value: Any) -> bool:
    return type(value["format"]) is int


def _is_topic(value: Any) -> bool:
    retention = value["retention_ms"]
    return (
        isinstance(value["log"], str)
        and type(value["partitions"]) is int
        and value["partitions"] > 0
        and (retention is None or type(retention) is int)
    )


def _are_offsets(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(log, str) and type(partition) is int and type(offset) is int and offset >= 0
        for log, partition, offset in value
    )
