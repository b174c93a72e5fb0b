"""The topics of one pipeline: what a user names is resolved, registered, and created in the transport."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, Final

import attrs

from onepipe.errors import DeclarationError
from onepipe.record import record_info, topic_of
from onepipe.topic import Topic

if TYPE_CHECKING:
    from onepipe.registry.port import Registry
    from onepipe.transport import TopicDescription, Transport

DEFAULT_PARTITIONS: Final = 4


@attrs.frozen
class Opened:
    """A topic ready for use.

    Attributes:
        topic: the declaration.
        schema_id: id of its schema in the registry.
        description: the topic as the transport has it.
        classes: Python classes by the Avro names of the records and enums they stand for; empty for dicts.
    """

    topic: Topic
    schema_id: int
    description: TopicDescription
    classes: Mapping[str, type]


class Topics:
    """Resolves, registers and creates topics, each once. Thread-safe."""

    def __init__(self, registry: Registry, transport: Transport, *, partitions: int = DEFAULT_PARTITIONS) -> None:
        self._registry = registry
        self._transport = transport
        self._partitions = partitions
        self._opened: dict[Any, Opened] = {}
        self._lock = threading.Lock()

    def resolve(self, what: type | Topic | str) -> Topic:
        """The declaration of a record class, a topic, or the name of a registered one.

        Raises:
            DeclarationError: a class that declares no topic.
            NotRegistered: a name the registry does not know.
        """
        if isinstance(what, str):
            return self._registry.topic(what)
        return what if isinstance(what, Topic) else topic_of(what)

    def open(self, what: type | Topic | str, *, partitions: int | None = None, allow: Collection[str] = ()) -> Opened:
        """Register a declaration and create its topic where it does not exist yet.

        Args:
            what: a record class, a topic, or the name of a registered one.
            partitions: how many partitions a new topic gets.
            allow: changes of an earlier declaration that are wanted: "merge", "checks", …

        Raises:
            Incompatible: the declaration cannot follow the registered one.
            DeclarationError: a class that declares no topic.
        """
        known = self._opened.get(what)
        if known is not None and not allow:
            return known
        with self._lock:
            topic = self.resolve(what)
            registered = self._registry.register(topic, allow=allow)
            description = self._transport.create_topic(topic.name, partitions=partitions or self._partitions)
            classes = record_info(what).classes if isinstance(what, type) else {}
            opened = Opened(topic, registered.schema_id, description, classes)
            self._opened[what] = opened
            return opened

    def of_value(self, value: object, topic: type | Topic | str | None) -> type | Topic | str:
        """What a value to publish is published as: its class, or the topic that was named.

        Raises:
            DeclarationError: a dict without a topic, or a class that declares none.
        """
        if topic is not None:
            return topic
        if isinstance(value, Mapping):
            raise DeclarationError("a dict says no topic", remedy="publish(record, topic=…)")
        topic_of(type(value))
        return type(value)
