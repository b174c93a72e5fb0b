"""Topic: the one declaration, and its form inside an Avro schema document.

Everything a topic declares beyond Avro travels as one attribute `onepipe` of the record and of its fields, so that a
schema file, any registry and a Parquet footer carry the whole declaration:

    {"type": "record", "name": "Widget", "fields": [
        {"name": "sid", "type": "string"},
        {"name": "price", "type": "double", "onepipe": {"ge": 0, "sensitivity": ["internal"]}}, …],
     "onepipe": {"version": 1, "topic": "Widgets", "identity": ["sid"],
                 "merge": {"policy": "latest", "by": ["updated"]}, "event_time": "created",
                 "checks": {"updated after created": "updated >= created"}, "owner": "team-widgets"}}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, cast

import attrs

from onepipe.declaring import arguments
from onepipe.declaring.declaration import (
    DECLARATION_VERSION,
    RESERVED_PREFIX,
    require_form,
    require_schema,
    require_valid,
)
from onepipe.declaring.rules import ATTRIBUTE, FieldRules, is_timestamp, value_type
from onepipe.declaring.source import Envelope, Key, Source, Tombstones, Value
from onepipe.errors import DeclarationError, nearest
from onepipe.merge import MergePolicy
from onepipe.schema.model import JSON, Field, Record, Schema

if TYPE_CHECKING:
    from onepipe.checks import Expression
    from onepipe.registry import Registry

__all__ = [
    "ATTRIBUTE",
    "DECLARATION_VERSION",
    "RESERVED_PREFIX",
    "Audit",
    "FieldRules",
    "Topic",
    "is_timestamp",
    "value_type",
]

Audit = Literal["counted", "named"]


@attrs.frozen(hash=False)
class Topic:
    """One declaration: schema, identity, merge policy, validity, event time, owner. Immutable.

    Make one with `Topic.declare`, `Topic.from_document`, or by decorating a class with `@record`.

    Attributes:
        name: name of the topic: `[A-Za-z0-9._-]{1,249}`, not "." or "..".
        schema: the Avro schema, a record, with the whole declaration in its attributes.
        identity: names of the fields that say which thing a record is about, in order.
        merge: which of several records of one identity is true; None where nothing is merged (no clean table).
        event_time: name of the timestamp field that says when it happened, or None.
        checks: SQL boolean expressions by name; a record for which one is false is invalid, null passes.
        owner: who answers for the topic.
        partition_key: fields whose values choose the partition; the identity's where empty.
        audit: "counted" proves by counts and digests; "named" also keeps each record's identity as evidence.
        codec: name of the codec in which messages' bodies are written; None for Avro.
        source: what messages hold that others write; None for a topic that onepipe's producers write.
    """

    name: str
    schema: Schema
    identity: tuple[str, ...] = ()
    merge: MergePolicy | None = None
    event_time: str | None = None
    checks: Mapping[str, str] = attrs.field(factory=dict)
    owner: str | None = None
    partition_key: tuple[str, ...] = ()
    audit: Audit = "counted"
    codec: str | None = None
    source: Source | None = None

    @classmethod
    def declare(
        cls,
        name: str,
        schema: Schema,
        *,
        identity: str | Sequence[str] = (),
        merge: MergePolicy | None = None,
        event_time: str | None = None,
        checks: Mapping[str, str | Expression] | None = None,
        owner: str | None = None,
        partition_key: str | Sequence[str] = (),
        audit: Audit = "counted",
        codec: str | None = None,
        source: Source | None = None,
    ) -> Topic:
        """Declare a topic over a schema; whatever declaration the schema's record carried is replaced.

        Raises:
            DeclarationError: an argument of another type, a name that is not a field, a type that cannot serve, a check
                outside the grammar; says the nearest match.
        """
        require_schema(name, schema, source)
        topic = cls(
            name,
            schema,
            arguments.names("identity", identity),
            merge,
            arguments.text("event_time", event_time) or None,
            MappingProxyType(arguments.checks(checks)),
            arguments.text("owner", owner) or None,
            arguments.names("partition_key", partition_key),
            audit,
            arguments.text("codec", codec) or None,
            source,
        )
        require_valid(topic)
        root = topic.record
        fields = tuple(_normal(field) for field in root.fields)
        declared = attrs.evolve(root, fields=fields, attributes=_with(root.attributes, topic.declaration()))
        document = attrs.evolve(schema, root=declared).document()
        return attrs.evolve(topic, schema=Schema.parse(document))

    @classmethod
    def from_document(cls, document: Any, *, name: str | None = None) -> Topic:
        """The topic a schema document declares.

        Args:
            document: schema document: JSON text, or the value it parses to.
            name: name of the topic where the document has no declaration; else it must be the declared one.

        Raises:
            SchemaError: not valid Avro.
            DeclarationError: the declaration has another form, or contradicts the schema.
        """
        schema = Schema.parse(document)
        root = schema.root
        arguments.text("the topic's name", name)
        if not isinstance(root, Record):
            raise DeclarationError("a topic's schema is a record", topic=name)
        declared = root.attributes.get(ATTRIBUTE, {})
        require_form(declared, name)
        topic = declared.get("topic", name)
        if topic is None:
            raise DeclarationError("the schema document declares no topic, and no name was given")
        if name is not None and topic != name:
            raise DeclarationError(f"the schema document declares topic {topic!r}", topic=name)
        return cls.declare(
            topic,
            schema,
            identity=declared.get("identity", ()),
            merge=MergePolicy.from_document(declared["merge"]) if "merge" in declared else None,
            event_time=declared.get("event_time"),
            checks=declared.get("checks"),
            owner=declared.get("owner"),
            partition_key=declared.get("partition_key", ()),
            audit=declared.get("audit", "counted"),
            codec=declared.get("codec"),
            source=Source.from_document(declared["source"]) if "source" in declared else None,
        )

    @classmethod
    def attach(
        cls,
        name: str,
        schema: Any = None,
        *,
        value: Value,
        identity: str | Sequence[str] = (),
        merge: MergePolicy | None = None,
        event_time: str | None = None,
        owner: str | None = None,
        registry: str | Registry | None = None,
        subject: str | Sequence[str] | None = None,
        key: Key | None = None,
        envelope: Envelope | None = None,
        lift: Mapping[str, str | Sequence[str]] | None = None,
        tombstones: Tombstones | None = None,
    ) -> Topic:
        """Declare a topic that exists already, and that others write.

        It can be archived, merged, verified and consumed, and not published to. Nothing is registered where its
        writers register.

        Args:
            name: name of the topic.
            schema: of `value="json"`, the record class, schema or schema document that gives the fields.
            value: how values are written: "registry" is Avro in Confluent's framing, or in Avro's single-object
                encoding, with the fields of the registry's latest schemas; "json" is JSON text.
            identity: fields that say which thing a record is about. A message that has null there is kept aside.
            merge: which of several records of one identity is true; without it there is no clean table.
            event_time: the timestamp field that says when it happened.
            owner: who answers for the topic.
            registry: URL of the registry that knows the schemas, without secrets (`onepipe.registry.open_registry`), or
                the pipeline's own, as `pipe.registry`. The variable ONEPIPE_REGISTRY where None.
            subject: names of the subjects of its schemas; `<topic>-value` where None. Several, or one whose schema is a
                union, are a topic of several types: it has one field for each, by the last part of its name.
            key: how keys are written: "text", "json" or "registry"; of change events as values are, where None.
            envelope: "debezium" where values are Debezium's change events: the fields are those of the row.
            lift: by field, where in the message its value stands: "order.id" inside the value, "$key" or "$key.id",
                "$timestamp"; of several paths the first that holds one. Of change events, inside the event: "ts_ms",
                "source.lsn".
            tombstones: what a message without value is. "quarantine" keeps it aside; "delete" deletes what its key
                names, in the version that `lift` finds in key and timestamp; "oldest" deletes as of before every
                record, and so nothing that is known. "oldest" for change events where None, else "quarantine".

        Raises:
            DeclarationError: a name that is not a field, a type that cannot serve, a delete without version; says the
                nearest match or the remedy.
            ConfigurationError: the registry's URL holds a secret, or is none.
            NotRegistered: the registry does not know a subject.
            RegistryUnavailable: the registry cannot be reached.
        """
        from onepipe.attached.declare import attach

        return attach(
            name,
            schema,
            value=value,
            identity=identity,
            merge=merge,
            event_time=event_time,
            owner=owner,
            registry=registry,
            subject=subject,
            key=key,
            envelope=envelope,
            lift=lift,
            tombstones=tombstones,
        )

    @property
    def record(self) -> Record:
        """The schema's record."""
        return cast("Record", self.schema.root)

    @property
    def version_fields(self) -> tuple[str, ...]:
        """Names of the fields that make a record's version; empty where nothing is merged."""
        return self.merge.by if self.merge else ()

    @property
    def partition_fields(self) -> tuple[str, ...]:
        """Names of the fields whose values choose the partition; empty where chance does."""
        return self.partition_key or self.identity

    def evolve(self, **changes: Any) -> Topic:
        """The same declaration with some arguments of `declare` changed.

        Raises:
            DeclarationError: as `declare`, or a name that is none of its arguments.
        """
        present = {a.name: getattr(self, a.name) for a in attrs.fields(Topic)}
        for name in changes.keys() - present.keys():
            raise DeclarationError(f"a topic declares no {name!r}{nearest(name, present)}", topic=self.name)
        return Topic.declare(**{**present, **changes})

    def document(self) -> Any:
        """The schema document that carries this whole declaration, as JSON value."""
        return self.schema.document()

    def declaration(self) -> dict[str, Any]:
        """The record's `onepipe` attribute, as JSON value."""
        optional = {
            "identity": list(self.identity),
            "merge": self.merge.document() if self.merge else None,
            "event_time": self.event_time,
            "checks": dict(self.checks),
            "owner": self.owner,
            "partition_key": list(self.partition_key),
            "audit": None if self.audit == "counted" else self.audit,
            "codec": self.codec,
            "source": self.source.document() if self.source else None,
        }
        present = {key: value for key, value in optional.items() if value}
        return {"version": DECLARATION_VERSION, "topic": self.name, **present}

    def rules(self, field: str) -> FieldRules:
        """What a field declares beyond Avro.

        Raises:
            SchemaError: there is no such field.
        """
        return FieldRules.of(self.record.field(field))

    def __hash__(self) -> int:
        return hash((self.name, self.schema))

    def __reduce__(self) -> tuple[Callable[[str], Topic], tuple[str]]:
        return Topic.from_document, (self.schema.text,)


def _normal(field: Field) -> Field:
    """The field with its rules in their one order, so that equal declarations are equal documents."""
    return attrs.evolve(field, attributes=_with(field.attributes, FieldRules.of(field).document()))


def _with(attributes: Mapping[str, JSON], declared: Mapping[str, JSON]) -> Mapping[str, JSON]:
    others = {key: value for key, value in attributes.items() if key != ATTRIBUTE}
    return {**others, ATTRIBUTE: declared} if declared else others
