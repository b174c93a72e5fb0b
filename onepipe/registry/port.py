"""The ports of the registry: `Registry`, which users and the pipeline see, and `Store`, which keeps its rows.

Underneath it is Confluent's model: a subject has versions 1, 2, …; each version is a schema; a schema has one id for
the whole registry, so the same schema under two subjects has the same id. On top stand topics: the value schema of
topic `Orders` is subject `Orders-value` (Confluent's TopicNameStrategy), and carries the topic's declaration.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from hashlib import md5
from typing import Literal, NamedTuple, Protocol, Self, TypeAlias, runtime_checkable
from uuid import UUID

import attrs

from onepipe.declaring.changes import Change
from onepipe.declaring.topic import Topic
from onepipe.schema.compatibility import Level, Problem
from onepipe.schema.model import Schema

Version: TypeAlias = int | Literal["latest"]
"""A version's number, from 1, or the latest one."""

DEFAULT_LEVEL = Level.BACKWARD
"""The level of a registry for which none was set."""

_SUFFIX = "-value"


def value_subject(topic: str) -> str:
    """The subject of a topic's values, by Confluent's TopicNameStrategy."""
    return f"{topic}{_SUFFIX}"


def schema_guid(text: str) -> UUID:
    """The GUID of a schema that refers to no other and has no metadata, as Confluent has it: the MD5 of its text."""
    return UUID(bytes=md5(text.encode(), usedforsecurity=False).digest())


def topic_of_subject(subject: str) -> str | None:
    """The topic whose values' subject this is; None where it is another kind of subject."""
    return subject.removesuffix(_SUFFIX) or None if subject.endswith(_SUFFIX) else None


@attrs.frozen
class Registered:
    """A schema as a version of a subject.

    Attributes:
        schema_id: id of the schema in the whole registry, from 1 to 2**31 - 1.
        subject: name of the subject.
        version: number of the version, from 1.
        schema: the schema.
    """

    schema_id: int
    subject: str
    version: int
    schema: Schema


@attrs.frozen
class Review:
    """What registering a schema would come to.

    Attributes:
        subject: name of the subject.
        level: the level it is checked at.
        version: the version that is this very schema already, else None.
        problems: what earlier versions and it cannot read of one another.
        changes: what changes in the declaration, the gravest first.
        blocking: the changes that are refused, or were not asked for.
    """

    subject: str
    level: Level
    version: int | None
    problems: tuple[Problem, ...] = ()
    changes: tuple[Change, ...] = ()
    blocking: tuple[Change, ...] = ()

    @property
    def accepted(self) -> bool:
        """Whether it would be registered."""
        return not self.problems and not self.blocking

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it would not be registered: each problem and change with its mend."""
        return tuple(map(str, (*self.problems, *self.blocking)))


class SchemaSource(Protocol):
    """Where schemas are found by what messages say of them: all that reading needs of a registry."""

    def schema(self, schema_id: int) -> Schema:
        """The schema of an id.

        Raises:
            NotRegistered: no schema has the id.
            SchemaError: what is registered under it is not valid Avro.
        """

    def schema_by_guid(self, guid: UUID) -> Schema:
        """The schema of a GUID, as Confluent's header-borne framing names it.

        Raises:
            NotRegistered: no schema has the GUID.
            SchemaError: what is registered under it is not valid Avro.
        """

    def schema_by_fingerprint(self, fingerprint: int, subjects: Collection[str]) -> Schema:
        """The newest schema of some subjects with a fingerprint, as Avro's single-object encoding names it.

        Args:
            fingerprint: CRC-64-AVRO of the schema's canonical form, unsigned.
            subjects: names of the subjects whose versions are looked through; one that is not registered has none.

        Raises:
            NotRegistered: none has it.
        """


@runtime_checkable
class Registry(Protocol):
    """Topics and schemas by name, version and id. Thread-safe.

    Every method raises RegistryUnavailable where the registry cannot be reached, and ClosedError after `close`. What
    was registered stays: an id always means the same schema, a version always the same id.
    """

    @property
    def url(self) -> str | None:
        """The URL it was opened by, without secrets; None where it was made otherwise."""

    def register(self, topic: Topic, *, allow: Collection[str] = ()) -> Registered:
        """Register a topic's declaration as the next version of its subject, or find the version that it already is.

        Args:
            topic: the declaration.
            allow: words for the changes that are meant: "merge", "checks", "event_time", "source", "partition_key".

        Raises:
            Incompatible: it cannot follow the registered versions; lists every problem and change with its mend.
            SchemaError: a default in the schema is not of its field's type.
            ConfigurationError: `allow` holds an unknown word.
        """

    def check(self, topic: Topic, *, allow: Collection[str] = ()) -> Review:
        """What registering the topic would come to; registers nothing.

        Raises:
            ConfigurationError: `allow` holds an unknown word.
        """

    def register_schema(self, subject: str, schema: Schema, *, allow: Collection[str] = ()) -> Registered:
        """Register a schema under any subject. Where it, or the latest version, declares a topic, so does `register`.

        Raises:
            Incompatible: as for `register`.
            SchemaError: as for `register`.
            DeclarationError: the subject has no name, or is another topic's than the one the schema declares.
            ConfigurationError: `allow` holds an unknown word.
        """

    def check_schema(self, subject: str, schema: Schema, *, allow: Collection[str] = ()) -> Review:
        """What `register_schema` would come to; registers nothing."""

    def schema(self, schema_id: int) -> Schema:
        """The schema of an id; the same object while it is cached.

        Raises:
            NotRegistered: no schema has the id.
        """

    def schema_by_guid(self, guid: UUID) -> Schema:
        """The schema of a GUID: `schema_guid` of its text, or as the registry's make has it.

        Raises:
            NotRegistered: no schema has the GUID.
        """

    def schema_by_fingerprint(self, fingerprint: int, subjects: Collection[str]) -> Schema:
        """The newest schema of some subjects with a fingerprint; see `SchemaSource`.

        Raises:
            NotRegistered: none has it.
        """

    def lookup(self, subject: str, schema: Schema) -> Registered:
        """The version of a subject that is this very schema.

        Raises:
            NotRegistered: none is.
        """

    def version(self, subject: str, version: Version = "latest") -> Registered:
        """A version of a subject.

        Raises:
            NotRegistered: no such subject or version; says the nearest match.
        """

    def topic(self, name: str, version: Version = "latest") -> Topic:
        """A topic's declaration; of a schema that declares none, a topic of that name and schema and nothing more.

        Raises:
            NotRegistered: no such topic or version; says the nearest match.
        """

    def versions(self, name: str) -> tuple[int, ...]:
        """The versions of a topic, oldest first.

        Raises:
            NotRegistered: no such topic; says the nearest match.
        """

    def subject_versions(self, subject: str) -> tuple[int, ...]:
        """The versions of a subject, oldest first.

        Raises:
            NotRegistered: no such subject; says the nearest match.
        """

    def topics(self) -> tuple[str, ...]:
        """Names of the topics, sorted: those of all subjects `<topic>-value`."""

    def subjects(self) -> tuple[str, ...]:
        """Names of the subjects, sorted."""

    def compatibility(self, subject: str | None = None) -> Level:
        """The level a subject's new versions are checked at: its own, else the registry's; of None the registry's."""

    def set_compatibility(self, level: Level | str | None, subject: str | None = None) -> None:
        """Set the level of a subject, or with None for `subject` of the registry; None for `level` takes it back.

        What is registered already is not checked again.

        Raises:
            ConfigurationError: no such level; says the nearest match.
        """

    def close(self) -> None:
        """Let go of every resource. May be called again."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_exception: object) -> None: ...


class StoredVersion(NamedTuple):
    """A version of a subject as a store keeps it: its number from 1, and the id of its schema."""

    version: int
    schema_id: int


class Store(Protocol):
    """Keeps a registry's rows. Each method is one atomic step, durable when it returns. Thread-safe.

    Raises RegistryUnavailable where the store cannot be reached, and ClosedError after `close`.
    """

    def text(self, schema_id: int) -> str | None:
        """The text of a schema; None where no schema has the id."""

    def text_of_guid(self, guid: UUID) -> str | None:
        """The text of the schema of a GUID; None where none has it."""

    def versions(self, subject: str) -> Sequence[StoredVersion]:
        """The versions of a subject, oldest first; empty where there is no such subject."""

    def find(self, subject: str, text: str) -> StoredVersion | None:
        """The version of a subject that has exactly this text; None where none has."""

    def append(self, subject: str, text: str, latest: int) -> StoredVersion | None:
        """Add the next version of a subject, if `latest` (0 for none) is still its latest one.

        The text gets an id unless it has one. Where the subject has a version of this text already, that one is
        returned and nothing is added. None says that others were faster: look again.
        """

    def subjects(self) -> Sequence[str]:
        """Names of the subjects that have versions, sorted by code point."""

    def level(self, subject: str) -> str | None:
        """The level set for a subject, or with "" for the registry; None where none is set."""

    def set_level(self, subject: str, level: str | None) -> None:
        """Set the level of a subject, or with "" of the registry; None takes it back."""

    def close(self) -> None:
        """Let go of every resource. May be called again."""
