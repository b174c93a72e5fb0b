"""The topics of one pipeline: what a user names is resolved, registered, and created in the transport."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import attrs

from onepipe.arguments import require_a, require_count
from onepipe.codec import find_codec
from onepipe.declaring.record import is_record, record_info, topic_of
from onepipe.declaring.topic import Topic
from onepipe.errors import ConfigurationError, DeclarationError, NotRegistered, TopicNotFound
from onepipe.registry import open_registry
from onepipe.registry.address import same_registry

if TYPE_CHECKING:
    from onepipe.registry.port import Registry, SchemaSource
    from onepipe.transport import TopicDescription, Transport

DEFAULT_PARTITIONS: Final = 4
_MOST_PARTITIONS: Final = 100_000
_MILLISECOND: Final = dt.timedelta(milliseconds=1)
_CLEANUP: Final = "cleanup.policy"
"""Kafka's name of what becomes of old messages: other logs know no compaction."""


@attrs.frozen
class Readable:
    """A topic ready to be read.

    Attributes:
        topic: the declaration its readers see it by.
        description: the topic as the transport has it.
        classes: Python classes by the Avro names of the records and enums they stand for; empty for dicts.
        schemas: where the schemas of its messages are found; None is the pipeline's registry.
    """

    topic: Topic
    description: TopicDescription
    classes: Mapping[str, type]
    schemas: SchemaSource | None = attrs.field(default=None, kw_only=True)


@attrs.frozen
class Opened(Readable):
    """A topic ready to be written.

    Attributes:
        schema_id: id of its schema in the registry.
    """

    schema_id: int


@attrs.frozen
class _Stored:
    """How a new topic's messages are to be kept, where that is said.

    Attributes:
        retention_ms: for how long; None leaves it to the transport.
        settings: by the transport's names.
    """

    retention_ms: int | None
    settings: Mapping[str, str]

    @classmethod
    def of(cls, retention: dt.timedelta | None, settings: Mapping[str, str] | None) -> _Stored:
        """What a caller says.

        Raises:
            ConfigurationError: of another type, or not for at least a millisecond.
        """
        require_a(dt.timedelta, "retention", retention, "a datetime.timedelta")
        require_a(Mapping, "settings", settings, "a dict")
        if retention is not None and retention < _MILLISECOND:
            raise ConfigurationError("retention is at least a millisecond", remedy="timedelta(days=7)")
        named = {str(name): str(value) for name, value in (settings or {}).items()}
        return cls(None if retention is None else retention // _MILLISECOND, named)

    def __bool__(self) -> bool:
        return self.retention_ms is not None or bool(self.settings)

    def require_safe(self, topic: Topic) -> None:
        """Require that it may be said of a topic, and loses nothing that its records' truth depends on.

        Raises:
            ConfigurationError: others create the topic; or compaction, which keeps the last message of an identity,
                would take what the merge policy still needs.
        """
        if self and topic.source is not None:
            raise ConfigurationError("a topic that others write is theirs to create", topic=topic.name)
        if "compact" not in self.settings.get(_CLEANUP, ""):
            return
        declared = (topic.merge, *(topic.rules(field.name).merge for field in topic.record.fields))
        if topic.merge is None or any(policy.name != "latest" for policy in declared if policy is not None):
            raise ConfigurationError(
                "compaction keeps the last message of an identity alone, and the merge policy needs earlier ones",
                topic=topic.name,
                remedy=f"leave out {_CLEANUP}; only merge=latest(…) goes with it",
            )


class Topics:
    """Resolves, registers and creates topics, each once. Thread-safe."""

    def __init__(self, registry: Registry, transport: Transport, *, partitions: int = DEFAULT_PARTITIONS) -> None:
        self._registry = registry
        self._transport = transport
        self._partitions = require_count("partitions", partitions, most=_MOST_PARTITIONS)
        self._opened: dict[Any, Opened] = {}
        self._lock = threading.Lock()
        self._registries: dict[str, Registry] = {}
        self._registries_lock = threading.Lock()

    def resolve(self, what: type | Topic | str) -> Topic:
        """The declaration of a record class, a topic, or the name of a registered one.

        Raises:
            DeclarationError: a class that declares no topic, or none of these three.
            NotRegistered: a name the registry does not know.
        """
        return self._registry.topic(what) if isinstance(what, str) else _declared(what)

    def open(
        self,
        what: type | Topic | str,
        *,
        partitions: int | None = None,
        allow: Collection[str] = (),
        retention: dt.timedelta | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> Opened:
        """Register a declaration and create its topic where it does not exist yet.

        Args:
            what: a record class, a topic, or the name of a registered one.
            partitions: how many partitions a new topic gets.
            allow: changes of an earlier declaration that are wanted: "merge", "checks", …
            retention: how long a new topic keeps messages; what the transport does by itself where None.
            settings: further settings of a new topic, by the transport's names.

        Raises:
            Incompatible: the declaration cannot follow the registered one.
            DeclarationError: a class that declares no topic, or one that asks for a codec there is not.
            ConfigurationError: the topic exists with another number of partitions; or a setting is unknown, or would
                lose records that the merge policy needs.
        """
        if partitions is not None:
            require_count("partitions", partitions, most=_MOST_PARTITIONS)
        stored = _Stored.of(retention, settings)
        known = self._opened.get(what) if _may_name(what) else None
        if known is not None and not allow and not stored:
            _require_partitions(known.description, partitions)
            return known
        with self._lock:
            topic = self.resolve(what)
            stored.require_safe(topic)
            if topic.source is not None:
                opened = self._attached(topic, allow)
                self._opened[what] = opened
                return opened
            if topic.codec is not None:
                find_codec(topic.codec)
            if partitions is not None:
                self._require_free_or_equal(topic.name, partitions)
            registered = self._registry.register(topic, allow=allow)
            description = self._transport.create_topic(
                topic.name,
                partitions=partitions or self._partitions,
                retention_ms=stored.retention_ms,
                settings=stored.settings,
            )
            _require_partitions(description, partitions)
            classes = record_info(what).classes if isinstance(what, type) else {}
            opened = Opened(topic, description, classes, registered.schema_id)
            self._opened[what] = opened
            return opened

    def _attached(self, topic: Topic, allow: Collection[str]) -> Opened:
        """A topic that others write: it exists already, and is registered beside their registry, not in it."""
        try:
            description = self._transport.describe_topic(topic.name)
        except TopicNotFound as error:
            error.remedy = "a topic that others write is theirs to create"
            raise
        schema_id = 0 if self._is_theirs(topic) else self._registry.register(topic, allow=allow).schema_id
        return Opened(topic, description, {}, schema_id, schemas=self.schemas(topic))

    def _is_theirs(self, topic: Topic) -> bool:
        """Whether the registry of a topic's writers is this pipeline's own."""
        source = topic.source
        if source is None or not source.subjects:
            return False
        return source.registry is None or same_registry(source.registry, self._registry.url)

    def schemas(self, topic: Topic) -> SchemaSource:
        """Where the schemas of a topic's messages are found: the registry of those who write it."""
        source = topic.source
        if source is None or source.registry is None or same_registry(source.registry, self._registry.url):
            return self._registry
        with self._registries_lock:
            if source.registry not in self._registries:
                self._registries[source.registry] = open_registry(source.registry)
            return self._registries[source.registry]

    def close(self) -> None:
        """Let go of the registries of others."""
        with self._registries_lock:
            for registry in self._registries.values():
                registry.close()

    def _require_free_or_equal(self, name: str, partitions: int) -> None:
        """Refuse, before anything is registered, another number of partitions than a topic already has."""
        with suppress(TopicNotFound):
            _require_partitions(self._transport.describe_topic(name), partitions)

    def open_to_read(self, what: type | Topic | str) -> Readable:
        """A topic as its readers see it: a reader's class need not be the declaration, and registers nothing.

        A topic that the registry does not know yet is registered and created, so that readers may come first.

        Raises:
            DeclarationError: a class that declares no topic.
        """
        topic = self.resolve(what)
        if topic.source is not None:
            return self.open(what)
        try:
            self._registry.topic(topic.name)
            description = self._transport.describe_topic(topic.name)
        except (NotRegistered, TopicNotFound):
            return self.open(what)
        classes = record_info(what).classes if isinstance(what, type) else {}
        return Readable(topic, description, classes)

    def of_value(self, value: object, topic: type | Topic | str | None) -> type | Topic | str:
        """What a value to publish is published as: its class, or for a dict the topic that was named.

        Raises:
            DeclarationError: a dict without a topic, a value whose class declares none, or a record of another topic
                than the one that was named.
            NotRegistered: a name the registry does not know.
        """
        if topic is None:
            if isinstance(value, Mapping):
                raise DeclarationError("a dict says no topic", remedy="publish(record, topic=…)")
            topic_of(type(value))
            return type(value)
        if isinstance(topic, type) and isinstance(value, topic):
            return topic
        named = self.resolve(topic)
        if not is_record(value):
            return topic if isinstance(topic, str) else named
        own = topic_of(value)
        if own.name != named.name or (isinstance(topic, Topic) and own != topic):
            message = f"{type(value).__qualname__} declares topic {own.name}, by another declaration than the one named"
            if own.name != named.name:
                message = f"{type(value).__qualname__} is a record of topic {own.name}"
            raise DeclarationError(message, topic=named.name, remedy="leave out topic=…, or publish a dict")
        return type(value)


def _may_name(what: object) -> bool:
    return isinstance(what, type | Topic | str)


def _declared(what: object) -> Topic:
    if not isinstance(what, type | Topic):
        remedy = "give a record class, a Topic, or the name of a registered topic"
        raise DeclarationError(f"{type(what).__name__} names no topic", remedy=remedy)
    return topic_of(what)


def _require_partitions(description: TopicDescription, wanted: int | None) -> None:
    """Refuse another number of partitions than a topic has: keys would move to others, and lose their order.

    Raises:
        ConfigurationError: it has another.
    """
    if wanted is not None and wanted != description.partitions:
        raise ConfigurationError(
            f"the topic has {description.partitions} partitions, not {wanted}",
            topic=description.name,
            remedy="leave out partitions=…; another number needs another topic, as keys would change their partition",
        )
