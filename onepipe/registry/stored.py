"""The registry over any store: what may be registered, what is found, and the cache of what never changes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Final, Self
from uuid import UUID

import attrs
from typing_extensions import override

from onepipe.declaring.changes import allowed_words, blocking, diff
from onepipe.declaring.topic import ATTRIBUTE, Topic
from onepipe.errors import (
    ConfigurationError,
    DeclarationError,
    Incompatible,
    NotRegistered,
    RegistryUnavailable,
    SchemaError,
    nearest,
)
from onepipe.registry.port import (
    DEFAULT_LEVEL,
    Registered,
    Registry,
    Review,
    Store,
    StoredVersion,
    Version,
    topic_of_subject,
    value_subject,
)
from onepipe.schema.compatibility import Level, check
from onepipe.schema.defaults import require_valid_defaults
from onepipe.schema.model import Record, Schema

CACHED_SCHEMAS: Final = 1024
"""How many schemas, and declarations made of them, a registry keeps parsed."""

MAX_SUBJECT_LENGTH: Final = 300
"""Characters of a subject's name."""

_ATTEMPTS: Final = 100


class StoredRegistry(Registry):
    """A registry over a store. Thread-safe, as the store is."""

    def __init__(self, store: Store, *, cached_schemas: int = CACHED_SCHEMAS, url: str | None = None) -> None:
        self._store = store
        self._url = url
        self._schemas = lru_cache(cached_schemas)(self._load)
        self._guids = lru_cache(cached_schemas)(self._load_guid)
        self._fingerprints: dict[int, Schema] = {}
        self._topics = lru_cache(cached_schemas)(self._declared)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._url or type(self._store).__name__}>"

    @property
    @override
    def url(self) -> str | None:
        return self._url

    @override
    def register(self, topic: Topic, *, allow: Collection[str] = ()) -> Registered:
        return self.register_schema(value_subject(topic.name), topic.schema, allow=allow)

    @override
    def check(self, topic: Topic, *, allow: Collection[str] = ()) -> Review:
        return self.check_schema(value_subject(topic.name), topic.schema, allow=allow)

    @override
    def register_schema(self, subject: str, schema: Schema, *, allow: Collection[str] = ()) -> Registered:
        allow = allowed_words(allow)
        _require_storable(subject, schema)
        for _ in range(_ATTEMPTS):
            known = self._store.find(subject, schema.text)
            if known is None:
                known = self._add(subject, schema, allow)
            if known is not None:
                return Registered(known.schema_id, subject, known.version, schema)
        raise RegistryUnavailable(f"others registered under {subject} {_ATTEMPTS} times first", remedy="try again")

    def _add(self, subject: str, schema: Schema, allow: Collection[str]) -> StoredVersion | None:
        """Add a version that may follow the ones there are; None where another was added meanwhile."""
        stored = self._store.versions(subject)
        review = self._review(subject, schema, stored, allow)
        if not review.accepted:
            raise Incompatible(review.reasons, topic=topic_of_subject(subject))
        return self._store.append(subject, schema.text, stored[-1].version if stored else 0)

    @override
    def check_schema(self, subject: str, schema: Schema, *, allow: Collection[str] = ()) -> Review:
        allow = allowed_words(allow)
        _require_storable(subject, schema)
        known = self._store.find(subject, schema.text)
        if known is not None:
            return Review(subject, self.compatibility(subject), known.version)
        return self._review(subject, schema, self._store.versions(subject), allow)

    def _review(self, subject: str, schema: Schema, stored: Sequence[StoredVersion], allow: Collection[str]) -> Review:
        level = self.compatibility(subject)
        if not stored:
            return Review(subject, level, None)
        compared = stored if level.transitive else stored[-1:]
        labels = [f"version {version}" for version, _ in compared]
        problems = check(level, schema, [self.schema(schema_id) for _, schema_id in compared], labels)
        changes = diff(_declaration(self.schema(stored[-1].schema_id)), _declaration(schema))
        return Review(subject, level, None, problems, changes, blocking(changes, allow))

    @override
    def schema(self, schema_id: int) -> Schema:
        return self._schemas(schema_id)

    def _load(self, schema_id: int) -> Schema:
        text = self._store.text(schema_id)
        if text is None:
            raise NotRegistered(f"no schema has the id {schema_id}", remedy="is it the registry the writer used?")
        return Schema.parse(text)

    @override
    def schema_by_guid(self, guid: UUID) -> Schema:
        return self._guids(guid)

    def _load_guid(self, guid: UUID) -> Schema:
        text = self._store.text_of_guid(guid)
        if text is None:
            raise NotRegistered(f"no schema has the GUID {guid}", remedy="is it the registry the writer used?")
        return Schema.parse(text)

    @override
    def schema_by_fingerprint(self, fingerprint: int, subjects: Collection[str]) -> Schema:
        if fingerprint not in self._fingerprints:
            for subject in subjects:
                for stored in self._store.versions(subject):
                    with suppress(SchemaError):  # a version may be of another kind than Avro
                        schema = self.schema(stored.schema_id)
                        self._fingerprints[schema.fingerprint] = schema
        if fingerprint not in self._fingerprints:
            message = f"no version of {', '.join(subjects)} has the fingerprint {fingerprint:016x}"
            raise NotRegistered(message, remedy="register the schema the writer used")
        return self._fingerprints[fingerprint]

    @override
    def lookup(self, subject: str, schema: Schema) -> Registered:
        known = self._store.find(subject, schema.text)
        if known is None:
            raise NotRegistered(f"no version of subject {subject} is this schema", remedy="register it")
        return Registered(known.schema_id, subject, known.version, schema)

    @override
    def version(self, subject: str, version: Version = "latest") -> Registered:
        stored = self._stored(subject)
        if version == "latest":
            found = stored[-1]
        else:
            matching = [known for known in stored if known.version == version]
            if not matching:
                message = f"subject {subject} has no version {version}; the latest is {stored[-1].version}"
                raise NotRegistered(message, remedy="ask for one from 1 to that, or for 'latest'")
            found = matching[0]
        return Registered(found.schema_id, subject, found.version, self.schema(found.schema_id))

    def _stored(self, subject: str) -> Sequence[StoredVersion]:
        stored = self._store.versions(subject)
        if stored:
            return stored
        topic = topic_of_subject(subject)
        if topic is None:
            message = f"subject {subject!r} is not registered{nearest(subject, self.subjects())}"
            raise NotRegistered(message, remedy="register it: registry.register_schema(subject, schema)")
        message = f"topic {topic!r} is not registered{nearest(topic, self.topics())}"
        raise NotRegistered(message, remedy="register its record class or Topic: pipe.register(…)")

    @override
    def topic(self, name: str, version: Version = "latest") -> Topic:
        return self._topics(name, self.version(value_subject(name), version).schema_id)

    def _declared(self, name: str, schema_id: int) -> Topic:
        schema = self.schema(schema_id)
        return attrs.evolve(Topic.from_document(schema.document(), name=name), schema=schema)

    @override
    def versions(self, name: str) -> tuple[int, ...]:
        return self.subject_versions(value_subject(name))

    @override
    def subject_versions(self, subject: str) -> tuple[int, ...]:
        return tuple(stored.version for stored in self._stored(subject))

    @override
    def topics(self) -> tuple[str, ...]:
        return tuple(sorted(name for subject in self.subjects() if (name := topic_of_subject(subject))))

    @override
    def subjects(self) -> tuple[str, ...]:
        return tuple(self._store.subjects())

    @override
    def compatibility(self, subject: str | None = None) -> Level:
        own = self._store.level(subject) if subject else None
        return Level(own or self._store.level("") or DEFAULT_LEVEL)

    @override
    def set_compatibility(self, level: Level | str | None, subject: str | None = None) -> None:
        if level is not None and level not in list(Level):
            raise ConfigurationError(f"{level!r} is not a compatibility level{nearest(level, list(Level))}")
        if subject is not None:
            _require_subject(subject)
        self._store.set_level(subject or "", str(level) if level else None)

    @override
    def close(self) -> None:
        self._schemas.cache_clear()
        self._guids.cache_clear()
        self._fingerprints.clear()
        self._topics.cache_clear()
        self._store.close()

    @override
    def __enter__(self) -> Self:
        return self

    @override
    def __exit__(self, *_exception: object) -> None:
        self.close()


def _declaration(schema: Schema) -> Topic | None:
    """The topic a schema declares; None where it declares none."""
    if isinstance(schema.root, Record) and ATTRIBUTE in schema.root.attributes:
        return attrs.evolve(Topic.from_document(schema.document()), schema=schema)
    return None


def _require_subject(subject: str) -> None:
    if not subject or len(subject) > MAX_SUBJECT_LENGTH or not subject.isprintable():
        raise DeclarationError(f"a subject's name has 1 to {MAX_SUBJECT_LENGTH} printable characters")


def _require_storable(subject: str, schema: Schema) -> None:
    """Refuse what could be stored but not be used: odd names, invalid defaults, another topic's declaration.

    Raises:
        DeclarationError: the subject's name, or the declaration, is wrong.
        SchemaError: a default is invalid, or the schema's text cannot be parsed again.
    """
    _require_subject(subject)
    require_valid_defaults(schema)
    if Schema.parse(schema.text) != schema:
        raise SchemaError("the schema's text does not say the same again", remedy="write it in its plain form")
    declared, expected = _declaration(schema), topic_of_subject(subject)
    if declared is not None and expected is not None and declared.name != expected:
        raise DeclarationError(f"the schema declares topic {declared.name!r}; subject {subject} is {expected!r}'s")
