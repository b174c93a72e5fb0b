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

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, Literal, cast

import attrs

from onepipe.errors import DeclarationError, nearest
from onepipe.merge import MergePolicy
from onepipe.schema.model import Field, Node, Primitive, Record, Schema, Union

ATTRIBUTE: Final = "onepipe"
"""Name of the attribute that carries the declaration inside a schema document."""

DECLARATION_VERSION: Final = 1
"""Version of that attribute's form."""

RESERVED_PREFIX: Final = "_op_"
"""Prefix of the lake's own columns; no field may begin with it."""

_TOPIC_NAME = re.compile(r"[A-Za-z0-9._-]{1,249}\Z")
_CONSTRAINTS: Final = {
    "ge": ">= {value}",
    "gt": "> {value}",
    "le": "<= {value}",
    "lt": "< {value}",
    "min_length": "length >= {value}",
    "max_length": "length <= {value}",
    "pattern": "matches {value}",
}
_RECORD_KEYS: Final = frozenset(
    {"version", "topic", "identity", "merge", "event_time", "checks", "owner", "partition_key", "audit"}
)
_FIELD_KEYS: Final = frozenset({*_CONSTRAINTS, "sensitivity", "merge"})

Audit = Literal["counted", "named"]


@attrs.frozen
class FieldRules:
    """What a field declares beyond Avro.

    Attributes:
        constraints: by name ("ge", "gt", "le", "lt", "min_length", "max_length", "pattern"), the limit as JSON value;
            a number, or text for decimals, dates and patterns.
        sensitivity: tags such as "pii".
        merge: the field's own merge policy, or None for the record's.
    """

    constraints: Mapping[str, Any] = attrs.field(factory=dict)
    sensitivity: tuple[str, ...] = ()
    merge: MergePolicy | None = None

    def document(self) -> dict[str, Any]:
        """The rules as the field's attribute."""
        document = dict(self.constraints)
        if self.sensitivity:
            document["sensitivity"] = list(self.sensitivity)
        if self.merge:
            document["merge"] = self.merge.document()
        return document

    @classmethod
    def of(cls, field: Field) -> FieldRules:
        """The rules a field of a schema declares.

        Raises:
            DeclarationError: the attribute has another form.
        """
        document = field.attributes.get(ATTRIBUTE, {})
        if not isinstance(document, Mapping):
            raise DeclarationError(f"the attribute {ATTRIBUTE!r} is an object", field=field.name)
        for key in document:
            if key not in _FIELD_KEYS:
                raise DeclarationError(f"unknown rule {key!r}{nearest(key, sorted(_FIELD_KEYS))}", field=field.name)
        merge = MergePolicy.from_document(document["merge"]) if "merge" in document else None
        constraints = {key: document[key] for key in _CONSTRAINTS if key in document}
        return cls(MappingProxyType(constraints), tuple(document.get("sensitivity", ())), merge)


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

    @classmethod
    def declare(
        cls,
        name: str,
        schema: Schema,
        *,
        identity: str | Sequence[str] = (),
        merge: MergePolicy | None = None,
        event_time: str | None = None,
        checks: Mapping[str, str] | None = None,
        owner: str | None = None,
        partition_key: str | Sequence[str] = (),
        audit: Audit = "counted",
    ) -> Topic:
        """Declare a topic over a schema; whatever declaration the schema's record carried is replaced.

        Raises:
            DeclarationError: a name that is not a field, a type that cannot serve, a check outside the grammar; says
                the nearest match.
        """
        topic = cls(
            name, schema, _names(identity), merge, event_time, checks or {}, owner, _names(partition_key), audit
        )
        _validate(topic)
        root = topic.record
        attributes = {**root.attributes, ATTRIBUTE: topic.declaration()}
        declared = Schema.parse(attrs.evolve(schema, root=attrs.evolve(root, attributes=attributes)).document())
        return attrs.evolve(topic, schema=declared)

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
        if not isinstance(root, Record):
            raise DeclarationError("a topic's schema is a record", topic=name)
        declared = root.attributes.get(ATTRIBUTE, {})
        _check_form(declared, name)
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
        )

    @property
    def record(self) -> Record:
        """The schema's record."""
        return cast("Record", self.schema.root)

    @property
    def version_fields(self) -> tuple[str, ...]:
        """Names of the fields that make a record's version; empty where nothing is merged."""
        return self.merge.by if self.merge else ()

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


def value_type(schema: Schema, node: Node) -> Node:
    """What a type's values are when they are not null: the other branch of an optional, references resolved."""
    node = schema.resolve(node)
    if isinstance(node, Union) and (inner := node.nullable) is not None:
        return schema.resolve(inner)
    return node


def is_timestamp(node: Node) -> bool:
    """Whether values of the type are moments in time (timestamp-millis or timestamp-micros)."""
    return isinstance(node, Primitive) and node.logical is not None and node.logical.name.startswith("timestamp-")


def _names(names: str | Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _check_form(declared: Any, name: str | None) -> None:
    if not isinstance(declared, Mapping):
        raise DeclarationError(f"the attribute {ATTRIBUTE!r} is an object", topic=name)
    for key in declared:
        if key not in _RECORD_KEYS:
            raise DeclarationError(f"unknown declaration {key!r}{nearest(key, sorted(_RECORD_KEYS))}", topic=name)
    version = declared.get("version", DECLARATION_VERSION)
    if version != DECLARATION_VERSION:
        remedy = "a newer release of onepipe wrote it; upgrade"
        raise DeclarationError(f"the declaration has form version {version}", topic=name, remedy=remedy)
    texts = {key: declared[key] for key in ("topic", "event_time", "owner", "audit") if key in declared}
    lists = {key: declared[key] for key in ("identity", "partition_key") if key in declared}
    checks = declared.get("checks", {})
    for key, value in texts.items():
        if not isinstance(value, str):
            raise DeclarationError(f"{key!r} is text", topic=name)
    for key, value in lists.items():
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            raise DeclarationError(f"{key!r} is a list of field names", topic=name)
    if not isinstance(checks, Mapping) or not all(isinstance(v, str) for v in checks.values()):
        raise DeclarationError("'checks' is an object of expressions by name", topic=name)


def _validate(topic: Topic) -> None:
    if not _TOPIC_NAME.match(topic.name) or topic.name in {".", ".."}:
        raise DeclarationError(f"{topic.name!r} is not a topic name: 1 to 249 of letters, digits, '.', '_' and '-'")
    if not isinstance(topic.schema.root, Record):
        raise DeclarationError("a topic's schema is a record", topic=topic.name)
    if topic.audit not in ("counted", "named"):
        raise DeclarationError(f"audit is 'counted' or 'named', not {topic.audit!r}", topic=topic.name)
    names = [field.name for field in topic.record.fields]
    for field in topic.record.fields:
        if field.name.startswith(RESERVED_PREFIX):
            raise DeclarationError(
                f"names that begin with {RESERVED_PREFIX} are the lake's", topic=topic.name, field=field.name
            )
        FieldRules.of(field)
    named = {
        "identity": topic.identity,
        "merge by": topic.version_fields,
        "event_time": (topic.event_time,) if topic.event_time else (),
        "partition_key": topic.partition_key,
    }
    for what, fields in named.items():
        for name in fields:
            if name not in names:
                raise DeclarationError(
                    f"{what} names {name!r}, which is not a field{nearest(name, names)}", topic=topic.name
                )
    if topic.event_time and not is_timestamp(value_type(topic.schema, topic.record.field(topic.event_time).type)):
        raise DeclarationError("event_time is a timestamp field", topic=topic.name, field=topic.event_time)
    if topic.merge and not topic.identity:
        raise DeclarationError(
            "a merge policy needs an identity", topic=topic.name, remedy="mark it: field(identity=True)"
        )
