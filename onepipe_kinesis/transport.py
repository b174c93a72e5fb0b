"""The transport over the streams of a region: creates and describes topics, opens writers and readers. Thread-safe."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

from onepipe.errors import ConfigurationError, TopicNotFound, TransportError
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
from onepipe_kinesis.api import KinesisApi, Stream
from onepipe_kinesis.config import KinesisConfig
from onepipe_kinesis.errors import IN_USE, Failure
from onepipe_kinesis.group import KinesisGroupReader
from onepipe_kinesis.lifetime import Lifetime
from onepipe_kinesis.reader import Counts, KinesisReader, Sources
from onepipe_kinesis.store import Store
from onepipe_kinesis.streams import Closable, Layout, Streams
from onepipe_kinesis.writer import KinesisWriter

_NAME: Final = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._-]{1,128}\Z")
_HOUR_MS: Final = 3_600_000
_LEAST_HOURS: Final = 24
_MOST_HOURS: Final = 8760
_LOOK_SECONDS: Final = 0.1
_CAPABILITIES: Final = frozenset(Capability) - {Capability.ACKNOWLEDGED_OFFSETS}

T = TypeVar("T", bound=Closable)


class KinesisTransport:
    """A client of a region's streams. Thread-safe.

    Delivery: a message is acknowledged once Kinesis stored it. Ordering: by partition, in the order of `append`,
    through splits and merges of shards. Offsets are counted by those who read (`onepipe_kinesis.anchors`): an outcome
    tells none.
    """

    def __init__(self, api: KinesisApi, store: Store, config: KinesisConfig) -> None:
        """Take over Kinesis and the store."""
        self._api = api
        self._store = store
        self._config = config
        self._streams = Streams(api, store, config.default_api_timeout_ms / 1000)
        self._sources = Sources(self._streams, Counts(self._streams), config)
        self._life = Lifetime("transport")
        self._opened: set[Closable] = set()
        self._lock = threading.Lock()

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What this transport can do: all but tell an offset with an outcome."""
        return _CAPABILITIES

    @property
    def default_registry(self) -> str | None:
        """The database of the positions, where that is a SQL one."""
        return self._store.registry

    def create_topic(
        self,
        name: str,
        *,
        partitions: int,
        retention_ms: int | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> TopicDescription:
        """Create a stream with a shard for each partition, or return the existing one unchanged.

        Args:
            name: name of the topic.
            partitions: number of partitions.
            retention_ms: how long messages are kept, in whole hours, a day to a year: rounded up. None is a day.
            settings: there are none.

        Raises:
            ConfigurationError: the name or a number is not valid, or a setting was given.
            NotAuthorized: this client may not create it.
        """
        self._life.check()
        hours = _checked(name, partitions, retention_ms, settings)
        if self._streams.look(name) is None:
            try:
                self._create(name, partitions)
                if hours > _LEAST_HOURS:
                    what = "the topic's retention cannot be set"
                    self._streams.call(lambda: self._api.keep_for(name, hours), what, topic=name)
                    self._wait_for(name, lambda s: s is not None and s.retention_ms == hours * _HOUR_MS, "kept longer")
            finally:
                self._streams.forget(name)
        else:
            self._wait_for(name, lambda stream: stream is not None and stream.active, "there")
        return self.describe_topic(name)

    def describe_topic(self, name: str) -> TopicDescription:
        """Describe a topic; shards that a split made are partitions from then on.

        Raises:
            TopicNotFound: there is none of that name.
            NotAuthorized: this client may not see it.
        """
        self._life.check()
        return _described(name, self._streams.refresh(name))

    def topics(self) -> Sequence[str]:
        """Names of the region's streams, sorted."""
        self._life.check()
        return sorted(self._streams.call(self._api.streams, "the topics cannot be listed"))

    def delete_topic(self, name: str) -> None:
        """Delete a stream with all its records, and what is remembered of it; it is gone when this returns."""
        self._life.check()
        layout = self._streams.refresh(name)
        self._streams.call(lambda: self._api.delete(name), "the topic cannot be deleted", topic=name)
        self._streams.forget(name)
        self._wait_for(name, lambda stream: stream is None, "gone", deleted=True)
        self._store.clear(layout.log)

    def writer(self) -> Writer:
        """Open a writer."""
        self._life.check()
        return self._keep(KinesisWriter(self._streams, self._config, self._forget))

    def reader(self, partitions: Sequence[TopicPartition]) -> Reader:
        """Open a reader of these partitions, positioned at the first offset each one holds."""
        self._life.check()
        return self._keep(KinesisReader.of(self._sources, partitions, self._forget))

    def group_reader(
        self,
        topics: Sequence[str],
        group: str,
        *,
        start: Start = Start.EARLIEST,
        listener: RebalanceListener | None = None,
    ) -> GroupReader:
        """Open a reader as a member of a group; the first partitions come with `poll`."""
        self._life.check()
        return self._keep(KinesisGroupReader.join(self._sources, topics, group, start, listener, self._forget))

    def close(self) -> None:
        """Let go of every resource, readers and writers included. May be called again."""
        if not self._life.end():
            return
        with self._lock:
            opened = list(self._opened)
        for one in opened:
            one.close()
        self._api.close()
        self._store.close()

    def _create(self, name: str, partitions: int) -> None:
        def create() -> None:
            try:
                self._api.create(name, partitions)
            except Failure as failure:
                if failure.code != IN_USE:  # else another process was faster, or an attempt without answer was done
                    raise

        self._streams.call(create, "the topic cannot be created", topic=name)
        self._wait_for(name, lambda stream: stream is not None and stream.active, "there")

    def _wait_for(self, name: str, so: Callable[[Stream | None], bool], what: str, *, deleted: bool = False) -> None:
        """Wait until Kinesis says what was just changed."""
        deadline = time.monotonic() + self._streams.timeout
        while not so(self._present(name) if deleted else self._streams.look(name)):
            if time.monotonic() >= deadline:
                raise TransportError(f"the topic is not {what} after {self._streams.timeout:g} s", topic=name)
            time.sleep(_LOOK_SECONDS)

    def _present(self, name: str) -> Stream | None:
        """A stream, even one that is being deleted."""
        try:
            return self._streams.call(lambda: self._api.stream(name), "the topic cannot be described", topic=name)
        except TopicNotFound:
            return None

    def _keep(self, one: T) -> T:
        with self._lock:
            self._opened.add(one)
        return one

    def _forget(self, one: Closable) -> None:
        with self._lock:
            self._opened.discard(one)


def _checked(name: str, partitions: int, retention_ms: int | None, settings: Mapping[str, str] | None) -> int:
    """Hours to keep messages for.

    Raises:
        ConfigurationError: Kinesis takes no such topic.
    """
    if not _NAME.match(name):
        raise ConfigurationError(f"{name!r} is not a topic name: 1 to 128 of letters, digits, '.', '_' and '-'")
    if partitions < 1:
        raise ConfigurationError("a topic has at least one partition", topic=name)
    if settings:
        raise ConfigurationError(f"topics in Kinesis have no setting {min(settings)!r}", topic=name)
    hours = _LEAST_HOURS if retention_ms is None else max(_LEAST_HOURS, -(-retention_ms // _HOUR_MS))
    if hours > _MOST_HOURS:
        raise ConfigurationError("Kinesis keeps messages for at most 365 days", topic=name)
    return hours


def _described(name: str, layout: Layout) -> TopicDescription:
    settings = {"stream.mode": layout.mode, "shards": str(len(layout.shards))}
    return TopicDescription(name, layout.log, len(layout.points), layout.retention_ms, settings)
