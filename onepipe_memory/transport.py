"""The transport over a memory log: creates topics, opens writers and readers. Thread-safe."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

from onepipe.errors import ConfigurationError
from onepipe.transport import (
    Capability,
    GroupReader,
    Reader,
    RebalanceListener,
    Start,
    TopicDescription,
    TopicPartition,
    Writer,
)
from onepipe_memory.errors import closed
from onepipe_memory.faults import Faults
from onepipe_memory.log import Log
from onepipe_memory.reader import LogGroupReader, LogReader
from onepipe_memory.store import Closable, MemoryStore

_TOPIC_NAME: Final = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._-]{1,249}\Z")
_CAPABILITIES: Final = frozenset(Capability) - {Capability.DURABLE}

T = TypeVar("T", bound=Closable)


class MemoryTransport:
    """A client of a memory log. Thread-safe.

    Delivery: in memory a message is acknowledged once it is stored; on disk once it is durable, see
    `MemoryConfig.sync`. Ordering: by partition, in the order of `append`.
    """

    def __init__(self, log: Log, on_close: Callable[[], None]) -> None:
        self._log = log
        self._on_close = on_close
        self._closed = False
        self._opened: set[Closable] = set()
        self._lock = threading.Lock()

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What this transport can do."""
        return _CAPABILITIES | self._log.store.capabilities

    @property
    def default_registry(self) -> str | None:
        """URL of the registry that goes with this log; None where one must be named."""
        return self._log.store.default_registry

    @property
    def faults(self) -> Faults:
        """Faults to inject.

        Raises:
            ConfigurationError: the log is on disk.
        """
        if not isinstance(self._log.store, MemoryStore):
            raise ConfigurationError("faults are for logs in memory", remedy="connect to memory://")
        return Faults(self._log, self._log.store.append_faults)

    def create_topic(
        self,
        name: str,
        *,
        partitions: int,
        retention_ms: int | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> TopicDescription:
        """Create a topic, or return the existing one unchanged.

        Raises:
            ConfigurationError: the name or a number is not valid, or a setting was given: there are none.
        """
        self._check_open()
        if not _TOPIC_NAME.match(name):
            raise ConfigurationError(f"{name!r} is not a topic name: 1 to 249 of letters, digits, '.', '_' and '-'")
        if partitions < 1:
            raise ConfigurationError("a topic has at least one partition", topic=name)
        if retention_ms is not None and retention_ms < 0:
            raise ConfigurationError("retention_ms is not negative", topic=name)
        if settings:
            raise ConfigurationError(f"topics in memory have no setting {min(settings)!r}", topic=name)
        return self._log.store.create(name, partitions, retention_ms).description

    def describe_topic(self, name: str) -> TopicDescription:
        """Describe a topic."""
        self._check_open()
        return self._log.topic(name).description

    def topics(self) -> Sequence[str]:
        """Names of the topics, sorted."""
        self._check_open()
        return self._log.store.names()

    def delete_topic(self, name: str) -> None:
        """Delete a topic with all its messages."""
        self._check_open()
        self._log.store.delete(name)
        self._log.wake()

    def trim(self, partition: TopicPartition, before: int) -> None:
        """Forget a partition's messages before an offset, as retention would.

        Raises:
            TopicNotFound: there is no such topic or partition.
        """
        self._check_open()
        self._log.partition(partition).trim(before)

    def writer(self) -> Writer:
        """Open a writer.

        Raises:
            TransportError: on disk, another process writes.
        """
        self._check_open()
        return self._keep(self._log.store.writer(self._log, self._forget))

    def reader(self, partitions: Sequence[TopicPartition]) -> Reader:
        """Open a reader of these partitions, positioned at the first offset each one holds."""
        self._check_open()
        return self._keep(LogReader(self._log, partitions, self._forget))

    def group_reader(
        self,
        topics: Sequence[str],
        group: str,
        *,
        start: Start = Start.EARLIEST,
        listener: RebalanceListener | None = None,
    ) -> GroupReader:
        """Open a reader as a member of a group; the first partitions come with the first `poll`."""
        self._check_open()
        return self._keep(LogGroupReader(self._log, topics, self._log.group(group), start, listener, self._forget))

    def close(self) -> None:
        """Let go of every resource, readers and writers included. May be called again."""
        if self._log.unusable is not None:
            return
        with self._lock:
            if self._closed:
                return
            self._closed = True
            opened = list(self._opened)
        for one in opened:
            one.close()
        self._on_close()

    def _keep(self, one: T) -> T:
        with self._lock:
            self._opened.add(one)
        return one

    def _forget(self, one: Closable) -> None:
        with self._lock:
            self._opened.discard(one)

    def _check_open(self) -> None:
        if self._closed:
            raise closed("transport")
        self._log.check_usable()
