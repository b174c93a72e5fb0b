"""What is known of a cluster's topics: their identities, which a name alone does not give, and their limits."""

from __future__ import annotations

import logging
import math
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Protocol, TypeVar

import attrs

from onepipe.errors import PositionLost, TopicNotFound, TransportError
from onepipe_kafka.client import Client, TopicState
from onepipe_kafka.errors import PASSING, TIMED_OUT, UNKNOWN_TOPIC, Failure, denied, no_topic, replaced, translated

_LOG: Final = logging.getLogger(__name__)
_NO_ID: Final = "A" * 22
_LARGEST: Final = "max.message.bytes"
_RETENTION: Final = "retention.ms"
_CLEANUP: Final = "cleanup.policy"
_STAMPED_BY: Final = "message.timestamp.type"
_NEVER: Final = -(1 << 63)
_UNLIMITED: Final = 1 << 62
_LOOK_SECONDS: Final = 1.0
_RETRY_SECONDS: Final = 0.1

T = TypeVar("T")


class Closable(Protocol):
    """What a transport closes with itself."""

    def close(self) -> None:
        """Let go of every resource. May be called again."""


@attrs.frozen
class WritableTopic:
    """What a writer needs to know of a topic.

    Attributes:
        partitions: number of partitions.
        limit: most bytes of a message.
        expired_before: messages stamped before, in milliseconds since 1970, are deleted as soon as the broker looks:
            retention goes by their own times. Whoever sends one is warned, once.
    """

    partitions: int
    limit: int
    expired_before: int = _NEVER


class Logs:
    """The topics of a cluster, as they were seen last. Thread-safe.

    Attributes:
        writable: topics that writers write, by name; to be looked at before `open`, which asks the cluster.
    """

    def __init__(self, client: Client, timeout: float) -> None:
        self.writable: dict[str, WritableTopic] = {}
        self._client = client
        self._timeout = timeout
        self._cluster: str | None = None
        self._lock = threading.Lock()

    def call(self, call: Callable[[], T], what: str, *, topic: str | None = None, partition: int | None = None) -> T:
        """Call the client, again where a leader or coordinator moves; a failure is raised in onepipe's terms.

        Args:
            call: what raises Failure.
            what: what it means that this failed: "the topic cannot be described".
            topic: name of the topic it is about.
            partition: number of the partition it is about.
        """
        deadline = time.monotonic() + self._timeout
        while True:
            try:
                return call()
            except Failure as failure:
                if failure.code not in PASSING or time.monotonic() >= deadline:
                    raise translated(failure, what, topic=topic, partition=partition) from failure
            time.sleep(_RETRY_SECONDS)

    def look(self, name: str) -> TopicState | None:
        """A topic as the cluster has it now, or None.

        Raises:
            NotAuthorized: this client may not see it.
            TransportError: the cluster cannot be asked, or its topics have no identity.
        """
        state = self.call(lambda: self._client.topic(name), "the topic cannot be described", topic=name)
        if state is not None and state.id == _NO_ID:
            message = "the topic has no identity, so that one deleted and created again would be taken for the old one"
            raise TransportError(message, topic=name, remedy="use Kafka 2.8 or later")
        return state

    def require(self, name: str) -> TopicState:
        """A topic as the cluster has it now.

        Raises:
            TopicNotFound: there is none of that name; else as `look`.
        """
        state = self.look(name)
        if state is None:
            raise no_topic(name)
        return state

    def identity(self, state: TopicState) -> str:
        """The identity of a topic's log: of the cluster, and of the topic in it. Safe in paths."""
        return f"kafka-{self._cluster_id()}-{state.id}"

    def open(self, name: str) -> WritableTopic:
        """A topic to be written, as the cluster has it now.

        Raises:
            TopicNotFound: there is none of that name.
            NotAuthorized: this client may not write it.
        """
        state = self.require(name)
        require_right(name, state, "WRITE")
        settings = self._settings(name)
        limit = int(settings.get(_LARGEST, _UNLIMITED))
        topic = self.writable[name] = WritableTopic(state.partitions, limit, _expired_before(settings))
        return topic

    def warn_of_expired(self, name: str, topic: WritableTopic) -> None:
        """Say that a message is older than the topic keeps them; of this topic it is not said again."""
        self.writable[name] = attrs.evolve(topic, expired_before=_NEVER)
        _LOG.warning(
            "topic %s keeps messages by their timestamps, and is sent one that is older: the broker deletes it within "
            "minutes. Make the topic with a longer retention, or publish without timestamp=",
            name,
        )

    def forget(self, name: str) -> None:
        """A topic was deleted."""
        self.writable.pop(name, None)

    def _settings(self, name: str) -> Mapping[str, str]:
        try:
            return self._client.topic_settings(name)
        except Failure:  # no right to see them; the broker refuses what is too large
            return {}

    def _cluster_id(self) -> str:
        with self._lock:
            if self._cluster is None:
                cluster = self.call(self._client.cluster, "the cluster's identity cannot be read")
                self._cluster = re.sub(r"[^A-Za-z0-9._-]", "_", cluster)
            return self._cluster


def _expired_before(settings: Mapping[str, str]) -> int:
    """The time, in milliseconds since 1970, before which messages are older than the topic keeps them."""
    kept = int(settings.get(_RETENTION, -1))
    if kept < 0 or "delete" not in settings.get(_CLEANUP, "") or settings.get(_STAMPED_BY) == "LogAppendTime":
        return _NEVER
    return time.time_ns() // 1_000_000 - kept


class LogWatch:
    """Watches that a reader's topics are still the logs it began to read: names may be given to new ones."""

    def __init__(self, logs: Logs, ids: Mapping[str, str]) -> None:
        """Watch topics from now on.

        Args:
            logs: the cluster's topics.
            ids: the identity that each topic had when the reader was opened, by name.
        """
        self.ids = ids
        self._logs = logs
        self._looked = -math.inf

    def confirm(self) -> None:
        """Look before the first messages are handed out, and each second; what was read until then is of these logs.

        Where the cluster cannot be asked, it is asked again a second later. Errors as `look`.
        """
        if time.monotonic() - self._looked < _LOOK_SECONDS:
            return
        try:
            self.look()
        except (TopicNotFound, PositionLost):
            raise
        except TransportError as error:
            _LOG.warning("%s", error)
            self._looked = time.monotonic()

    def call(self, call: Callable[[], T], what: str, *, topic: str | None = None, partition: int | None = None) -> T:
        """Call the client about these topics, as `Logs.call`; one that a broker does not know yet is asked for again.

        Errors as `look`, too.
        """

        def known() -> T:
            try:
                return call()
            except Failure as failure:
                if failure.code not in UNKNOWN_TOPIC:
                    raise
                self.look()
                raise Failure(TIMED_OUT, failure.reason) from failure

        return self._logs.call(known, what, topic=topic, partition=partition)

    def look(self) -> None:
        """Compare identities.

        Raises:
            TopicNotFound: a topic was deleted.
            PositionLost: a topic was deleted and created again.
        """
        for name, known in self.ids.items():
            if self._logs.require(name).id != known:
                raise replaced(name)
        self._looked = time.monotonic()


def require_right(name: str, state: TopicState, right: str) -> None:
    """Refuse what this client may not do, where the broker says so.

    Raises:
        NotAuthorized: it may not.
    """
    if state.rights is not None and right not in state.rights:
        raise denied(name, right)


def states(logs: Logs, names: Iterable[str]) -> dict[str, TopicState]:
    """Topics to be read, by name.

    Raises:
        TopicNotFound: there is none of a name.
        NotAuthorized: this client may not read one.
    """
    found = {name: logs.require(name) for name in names}
    for name, state in found.items():
        require_right(name, state, "READ")
    return found
