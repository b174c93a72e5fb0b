"""Where a log keeps its topics: the port of a store, and the store in memory."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

import attrs

from onepipe.transport import Capability, TopicDescription, Writer
from onepipe_memory.config import MemoryConfig
from onepipe_memory.errors import no_topic
from onepipe_memory.faults import AppendFaults
from onepipe_memory.groups import Offsets
from onepipe_memory.partition import MemoryPartition, Partition
from onepipe_memory.writer import MemoryWriter

if TYPE_CHECKING:
    from onepipe_memory.log import Log


P = TypeVar("P", bound=Partition, covariant=True)


class Closable(Protocol):
    """What a transport closes with itself."""

    def close(self) -> None:
        """Let go of every resource. May be called again."""


@attrs.frozen
class TopicLog(Generic[P]):
    """One incarnation of a topic: its description and its partitions."""

    description: TopicDescription
    partitions: Sequence[P]


class Store(Protocol):
    """Where a log keeps its topics and its groups' offsets. Thread-safe."""

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What the store can do beyond what every log here can."""

    @property
    def default_registry(self) -> str | None:
        """URL of the registry that goes with this log, or None."""

    @property
    def watch_seconds(self) -> float | None:
        """How often readers look for what other processes wrote; None where nobody else writes."""

    def create(self, name: str, partitions: int, retention_ms: int | None) -> TopicLog[Partition]:
        """Create a topic, or return the existing one."""

    def get(self, name: str) -> TopicLog[Partition] | None:
        """The topic of that name, or None."""

    def names(self) -> list[str]:
        """Names of the topics, sorted."""

    def delete(self, name: str) -> None:
        """Delete a topic.

        Raises:
            TopicNotFound: there is none of that name.
        """

    def writer(self, log: Log, on_close: Callable[[Closable], None]) -> Writer:
        """Open a writer.

        Raises:
            TransportError: another process writes.
        """

    def load_offsets(self, group: str) -> Offsets:
        """The committed offsets of a group; it is this process's until `release_group`."""

    def save_offsets(self, group: str, offsets: Offsets) -> None:
        """Keep the committed offsets of a group."""

    def release_group(self, group: str) -> None:
        """The group has no members in this process any more."""

    def close(self) -> None:
        """Let go of every resource. May be called again."""

    def abandon(self) -> None:
        """Let go of what a fork copied, without a trace in what the parent still uses."""


class MemoryStore:
    """A store in memory: it lives as long as its log."""

    capabilities: Final = frozenset[Capability]()
    watch_seconds: Final = None

    def __init__(self, config: MemoryConfig, name: str = "") -> None:
        self._config = config
        self.default_registry = f"memory://{name}"
        self._lock = threading.Lock()
        self._topics: dict[str, TopicLog[MemoryPartition]] = {}
        self._offsets: dict[str, Offsets] = {}
        self.append_faults = AppendFaults()

    def create(self, name: str, partitions: int, retention_ms: int | None) -> TopicLog[Partition]:
        """Create a topic, or return the existing one."""
        with self._lock:
            if name not in self._topics:
                held = [MemoryPartition(name, number, retention_ms, self._config) for number in range(partitions)]
                description = TopicDescription(name, uuid.uuid4().hex, partitions, retention_ms)
                self._topics[name] = TopicLog(description, held)
            return self._topics[name]

    def get(self, name: str) -> TopicLog[Partition] | None:
        """The topic of that name, or None."""
        return self._topics.get(name)

    def names(self) -> list[str]:
        """Names of the topics, sorted."""
        return sorted(self._topics)

    def delete(self, name: str) -> None:
        """Delete a topic."""
        with self._lock:
            topic = self._topics.pop(name, None)
        if topic is None:
            raise no_topic(name)
        for partition in topic.partitions:
            partition.delete()

    def writer(self, log: Log, on_close: Callable[[Closable], None]) -> Writer:
        """Open a writer."""
        return MemoryWriter(log, self.append_faults, on_close)

    def load_offsets(self, group: str) -> Offsets:
        """The committed offsets of a group."""
        return self._offsets.get(group, {})

    def save_offsets(self, group: str, offsets: Offsets) -> None:
        """Keep the committed offsets of a group."""
        self._offsets[group] = offsets

    def release_group(self, group: str) -> None:
        """Nothing to let go of."""

    def close(self) -> None:
        """Nothing to let go of."""

    def abandon(self) -> None:
        """Nothing to let go of."""
