"""Whether a topic's declaration is right: its form in a document, and each name and type in it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import attrs

from onepipe.declaring.rules import ATTRIBUTE, FieldRules, is_timestamp, value_type
from onepipe.declaring.source import Source
from onepipe.errors import DeclarationError, nearest
from onepipe.merge import POSITIONAL, RECORD_POLICIES, MergePolicy, field_merge, is_ordered, require_policy
from onepipe.schema.identity import require_identity_type
from onepipe.schema.model import Array, Field, Node, Primitive, Record, Schema

if TYPE_CHECKING:
    from onepipe.declaring.topic import Topic

DECLARATION_VERSION: Final = 1
"""Version of the form of a record's `onepipe` attribute."""

RESERVED_PREFIX: Final = "_op_"
"""Prefix of the lake's own columns; no field may begin with it."""

_TOPIC_NAME = re.compile(r"[A-Za-z0-9._-]{1,249}\Z")
_KEYS: Final = (
    *("version", "topic", "identity", "merge", "event_time", "checks", "owner", "partition_key", "audit", "codec"),
    "source",
)


def require_form(declared: Any, name: str | None) -> None:
    """Check the form of a record's `onepipe` attribute.

    Raises:
        DeclarationError: another form, or a version that this release does not know.
    """
    if not isinstance(declared, Mapping):
        raise DeclarationError(f"the attribute {ATTRIBUTE!r} is an object", topic=name)
    for key in declared:
        if key not in _KEYS:
            raise DeclarationError(f"unknown declaration {key!r}{nearest(key, _KEYS)}", topic=name)
    version = declared.get("version", DECLARATION_VERSION)
    if version != DECLARATION_VERSION:
        remedy = "a newer release of onepipe wrote it; upgrade"
        raise DeclarationError(f"the declaration has form version {version}", topic=name, remedy=remedy)
    for key in ("topic", "event_time", "owner", "audit", "codec"):
        if key in declared and not isinstance(declared[key], str):
            raise DeclarationError(f"{key!r} is text", topic=name)
    for key in ("identity", "partition_key"):
        value = declared.get(key, [])
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            raise DeclarationError(f"{key!r} is a list of field names", topic=name)
    checks = declared.get("checks", {})
    if not isinstance(checks, Mapping) or not all(isinstance(v, str) for v in checks.values()):
        raise DeclarationError("'checks' is an object of expressions by name", topic=name)


def require_schema(name: object, schema: object, source: object) -> None:
    """Require what else a topic is made of to be of its type.

    Raises:
        DeclarationError: a name that is none, a schema that is not parsed, or a source of another type.
    """
    if not isinstance(name, str):
        raise DeclarationError(f"a topic's name is text, not {type(name).__name__}")
    if not _TOPIC_NAME.match(name) or name in {".", ".."}:
        raise DeclarationError(f"{name!r} is not a topic name: 1 to 249 of letters, digits, '.', '_' and '-'")
    if not isinstance(schema, Schema):
        remedy = "parse the document: Topic.from_document(document)"
        raise DeclarationError(f"a topic's schema is a Schema, not {type(schema).__name__}", topic=name, remedy=remedy)
    if not isinstance(schema.root, Record):
        raise DeclarationError("a topic's schema is a record", topic=name)
    if source is not None and not isinstance(source, Source):
        remedy = "declare it by Topic.attach"
        raise DeclarationError(f"a topic's source is a Source, not {type(source).__name__}", topic=name, remedy=remedy)


def require_valid(topic: Topic) -> None:
    """Check a topic against its schema.

    Raises:
        DeclarationError: a name that is not a field, a type that cannot serve, a rule or check that is wrong; says
            the nearest match or the remedy.
    """
    if topic.audit not in ("counted", "named"):
        raise DeclarationError(f"audit is 'counted' or 'named', not {topic.audit!r}", topic=topic.name)
    require_policy("merge", topic.merge, topic=topic.name)
    _require_names(topic)
    _require_types(topic)
    _require_merge(topic)
    for field in topic.record.fields:
        _require_field(topic, field)
    _require_checks(topic)
    if topic.source is not None:
        _require_source(topic, topic.source)


def _require_names(topic: Topic) -> None:
    names = [field.name for field in topic.record.fields]
    named: dict[str, Sequence[str]] = {
        "identity": topic.identity,
        "merge": topic.version_fields,
        "event_time": (topic.event_time,) if topic.event_time else (),
        "partition_key": topic.partition_key,
    }
    for what, fields in named.items():
        _require_known(topic, what, fields, names)


def _require_known(topic: Topic, what: str, fields: Sequence[str], names: Sequence[str]) -> None:
    for name in fields:
        if name not in names:
            message = f"{what} names {name!r}, which is not a field{nearest(name, names)}"
            raise DeclarationError(message, topic=topic.name)
    if len(set(fields)) < len(fields):
        raise DeclarationError(f"{what} names a field twice", topic=topic.name)


def _require_types(topic: Topic) -> None:
    for name in dict.fromkeys((*topic.identity, *topic.partition_key)):
        node = topic.schema.resolve(topic.record.field(name).type)
        require_identity_type(node, topic=topic.name, field=name)
    if topic.event_time and not is_timestamp(value_type(topic.schema, topic.record.field(topic.event_time).type)):
        remedy = "use an aware datetime: timestamp-micros or timestamp-millis"
        raise DeclarationError(
            "event_time is a timestamp field", topic=topic.name, field=topic.event_time, remedy=remedy
        )


def _require_merge(topic: Topic) -> None:
    if topic.merge is None:
        return
    if topic.merge.name not in RECORD_POLICIES:
        hint = nearest(topic.merge.name, RECORD_POLICIES)
        raise DeclarationError(f"a record's merge policy is not {topic.merge.name!r}{hint}", topic=topic.name)
    if not topic.identity:
        remedy = "mark it: field(identity=True)"
        raise DeclarationError("a merge policy needs an identity", topic=topic.name, remedy=remedy)
    _require_ordered(topic, topic.merge)


def _require_ordered(topic: Topic, merge: MergePolicy) -> None:
    for name in merge.by:
        if not is_ordered(value_type(topic.schema, topic.record.field(name).type)):
            remedy = "use numbers, text, dates or times"
            raise DeclarationError(
                "values without an order make no version", topic=topic.name, field=name, remedy=remedy
            )


def _require_field(topic: Topic, field: Field) -> None:
    if field.name.startswith(RESERVED_PREFIX):
        message = f"names that begin with {RESERVED_PREFIX} are the lake's"
        raise DeclarationError(message, topic=topic.name, field=field.name)
    rules = FieldRules.of(field)
    if rules.merge is not None:
        _require_field_merge(topic, field, rules.merge)


def _require_field_merge(topic: Topic, field: Field, merge: MergePolicy) -> None:
    def refuse(message: str, remedy: str | None = None) -> DeclarationError:
        return DeclarationError(message, topic=topic.name, field=field.name, remedy=remedy)

    if topic.merge is None:
        raise refuse("a field's merge policy needs one of the record", 'declare merge=latest("…")')
    if field.name in topic.identity or field.name in topic.version_fields:
        raise refuse("a field of the identity or version has no merge policy of its own")
    _require_known(topic, f"merge of {field.name}", merge.by, [f.name for f in topic.record.fields])
    _require_ordered(topic, merge)
    if merge.name in POSITIONAL:
        return
    if merge.by:
        raise refuse(f"{merge.name!r} combines values and has no version", "leave out the field names")
    node = value_type(topic.schema, field.type)
    if isinstance(node, Array):
        node = attrs.evolve(node, items=topic.schema.resolve(node.items))
    if not field_merge(merge.name).accepts(node):
        raise refuse(f"{merge.name!r} cannot combine values of type {_kind(node)}")


def _require_source(topic: Topic, source: Source) -> None:
    """What a topic that others write says of its messages must be of its fields, and order its deletes."""
    if topic.codec is not None or topic.partition_key:
        raise DeclarationError("codec and partition key are for topics that onepipe writes", topic=topic.name)
    names = [field.name for field in topic.record.fields]
    _require_known(topic, "lift", tuple(source.lift), names)
    _require_known(topic, "types", tuple(source.types), names)
    if topic.merge is None:
        return
    if source.tombstones != "quarantine" and topic.merge.name != "latest":
        raise DeclarationError("only merge=latest(…) has deletes", topic=topic.name, remedy="tombstones='quarantine'")
    if source.envelope is not None and not any(map(source.stands_outside, topic.version_fields)):
        remedy = "lift one: lift={'changed': 'ts_ms'}, or 'source.lsn'; and merge=latest('changed')"
        raise DeclarationError(
            "the version of a change event's delete stands outside its row", topic=topic.name, remedy=remedy
        )
    if source.tombstones == "delete" and not all(map(source.stands_outside_value, topic.version_fields)):
        remedy = "lift it: lift={'written': '$timestamp'}, merge=latest('written')"
        raise DeclarationError("a tombstone says no version but in key and timestamp", topic=topic.name, remedy=remedy)


def _require_checks(topic: Topic) -> None:
    if not topic.checks and not any(FieldRules.of(field).constraints for field in topic.record.fields):
        return
    from onepipe.declaring.constraints import (
        topic_checks,  # the grammar is loaded only where there is something to parse
    )

    try:
        topic_checks(topic)
    except DeclarationError as error:
        error.topic = topic.name
        raise


def _kind(node: Node) -> str:
    if isinstance(node, Primitive):
        return node.logical.name if node.logical else node.name
    return type(node).__name__.lower()
