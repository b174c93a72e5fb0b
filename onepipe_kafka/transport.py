"""The transport over a Kafka cluster: creates and describes topics, opens writers and readers. Thread-safe."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final, TypeVar

from onepipe.errors import ConfigurationError, NotAuthorized, TopicNotFound, TransportError
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
from onepipe_kafka.client import Client, TopicState
from onepipe_kafka.config import KafkaConfig
from onepipe_kafka.errors import TOPIC_EXISTS, Failure, no_topic, translated
from onepipe_kafka.group import KafkaGroupReader
from onepipe_kafka.lifetime import Lifetime
from onepipe_kafka.logs import Closable, Logs
from onepipe_kafka.reader import KafkaReader
from onepipe_kafka.writer import KafkaWriter

_LOG: Final = logging.getLogger(__name__)
_TOPIC_NAME: Final = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._-]{1,249}\Z")
_INTERNAL: Final = frozenset({"__consumer_offsets", "__transaction_state", "__share_group_state", "__cluster_metadata"})
_REPLICATION: Final = "replication.factor"
_RETENTION: Final = "retention.ms"
_CAPABILITIES: Final = frozenset(Capability)
_LOOK_SECONDS: Final = 0.05

T = TypeVar("T", bound=Closable)


class KafkaTransport:
    """A client of a Kafka cluster. Thread-safe.

    Delivery: a message is acknowledged once all replicas in sync have it, and no retry stores it twice. Ordering: by
    partition, in the order of `append`. Readers see committed messages only.
    """

    def __init__(self, client: Client, config: KafkaConfig) -> None:
        """Take over a connected client."""
        self._client = client
        self._config = config
        self._logs = Logs(client, config.timeout)
        self._life = Lifetime("transport", client)
        self._opened: set[Closable] = set()
        self._lock = threading.Lock()

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What this transport can do: everything."""
        return _CAPABILITIES

    @property
    def default_registry(self) -> str | None:
        """None: a Kafka brings no registry."""
        return None

    def create_topic(
        self,
        name: str,
        *,
        partitions: int,
        retention_ms: int | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> TopicDescription:
        """Create a topic, or return the existing one unchanged; a warning is logged where that one has other settings.

        Args:
            name: name of the topic.
            partitions: number of partitions.
            retention_ms: how long messages are kept; None leaves it to `topic.creation.default.retention.ms` and to
                the cluster, which keeps them for `log.retention.ms`.
            settings: Kafka's settings of topics, and `replication.factor`; they win over those of the transport.

        Raises:
            ConfigurationError: the name or a number is not valid, or a setting is unknown to Kafka or refused by it.
            NotAuthorized: this client may not create it.
        """
        self._life.check()
        if not _TOPIC_NAME.match(name):
            raise ConfigurationError(f"{name!r} is not a topic name: 1 to 249 of letters, digits, '.', '_' and '-'")
        if partitions < 1:
            raise ConfigurationError("a topic has at least one partition", topic=name)
        wanted = {**self._config.topic, **(settings or {})}
        if retention_ms is not None:
            wanted[_RETENTION] = str(retention_ms)
        with suppress(TopicNotFound):
            existing = self.describe_topic(name)
            _warn_of_differences(existing, wanted)
            return existing
        self._create(name, partitions, wanted)
        return self.describe_topic(name)

    def describe_topic(self, name: str) -> TopicDescription:
        """Describe a topic; without the right to see its settings, they are left out.

        Raises:
            TopicNotFound: there is none of that name.
            NotAuthorized: this client may not see it.
        """
        self._life.check()
        state = self._logs.look(name)
        if state is None:
            raise no_topic(name)
        try:
            what = "the topic's settings cannot be read"
            settings = self._logs.call(lambda: self._client.topic_settings(name), what, topic=name)
        except NotAuthorized:
            settings = {}
        settings[_REPLICATION] = str(state.replicas)
        kept = int(settings.get(_RETENTION, -1))
        return TopicDescription(
            name, self._logs.identity(state), state.partitions, None if kept < 0 else kept, settings
        )

    def topics(self) -> Sequence[str]:
        """Names of the topics, sorted, without those that Kafka keeps for itself."""
        self._life.check()
        return sorted(set(self._logs.call(self._client.topics, "the topics cannot be listed")) - _INTERNAL)

    def delete_topic(self, name: str) -> None:
        """Delete a topic with all its messages; it is gone when this returns."""
        self._life.check()
        before = self._logs.look(name)
        if before is None:
            raise no_topic(name)
        self._logs.call(lambda: self._client.delete_topic(name), "the topic cannot be deleted", topic=name)
        self._wait_for(name, lambda state: state is None or state.id != before.id, "gone")
        self._logs.forget(name)

    def writer(self) -> Writer:
        """Open a writer."""
        self._life.check()
        producer = self._logs.call(self._client.producer, "no writer can be opened")
        return self._keep(KafkaWriter(producer, self._logs, self._forget))

    def reader(self, partitions: Sequence[TopicPartition]) -> Reader:
        """Open a reader of these partitions, positioned at the first offset each one holds."""
        self._life.check()
        return self._keep(KafkaReader.of(self._client, self._logs, partitions, self._forget))

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
        return self._keep(KafkaGroupReader.join(self._client, self._logs, topics, group, start, listener, self._forget))

    def close(self) -> None:
        """Let go of every resource, readers and writers included. May be called again."""
        if not self._life.end():
            return
        with self._lock:
            opened = list(self._opened)
        for one in opened:
            one.close()
        self._client.close()

    def _create(self, name: str, partitions: int, wanted: Mapping[str, str]) -> None:
        settings = dict(wanted)
        replicas = settings.pop(_REPLICATION, "-1")
        if not re.fullmatch(r"-1|[1-9][0-9]{0,3}", replicas):
            raise ConfigurationError(f"{_REPLICATION} is a number of replicas, not {replicas!r}", topic=name)
        try:
            self._client.create_topic(name, partitions, int(replicas), settings)
        except Failure as failure:
            if failure.code != TOPIC_EXISTS:  # else another process was faster
                raise translated(failure, "the topic cannot be created", topic=name) from failure
        self._wait_for(name, lambda state: state is not None, "there")

    def _wait_for(self, name: str, so: Callable[[TopicState | None], bool], what: str) -> None:
        """Wait until the cluster's metadata says what was just changed; brokers learn of it one after the other."""
        deadline = time.monotonic() + self._config.timeout
        while not so(self._logs.look(name)):
            if time.monotonic() >= deadline:
                raise TransportError(f"the topic is not {what} after {self._config.timeout:g} s", topic=name)
            time.sleep(_LOOK_SECONDS)

    def _keep(self, one: T) -> T:
        with self._lock:
            self._opened.add(one)
        return one

    def _forget(self, one: Closable) -> None:
        with self._lock:
            self._opened.discard(one)


def _warn_of_differences(existing: TopicDescription, wanted: Mapping[str, str]) -> None:
    for name, value in wanted.items():
        present = existing.settings.get(name)
        if present is not None and present != value:
            _LOG.warning("topic %s exists with %s=%s, not %s", existing.name, name, present, value)
