"""What changes between two declarations of a topic beyond what Avro reads: identity, merge, checks, and so on.

Some changes would make what the lake already holds untrue and are refused; some are sound only if they are meant, and
must be asked for by their word (`allow=("merge",)`); the rest is told and done.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

import attrs

from onepipe.declaring.topic import ATTRIBUTE, FieldRules, Topic
from onepipe.errors import ConfigurationError, nearest
from onepipe.merge import MergePolicy
from onepipe.schema.matching import pair_fields
from onepipe.schema.model import Field, Fixed, Node, Primitive


class ChangeKind(StrEnum):
    """What a change is about."""

    TOPIC = "topic"
    IDENTITY = "identity"
    DECLARATION = "declaration"
    MERGE = "merge"
    FIELD_MERGE = "field_merge"
    CHECKS = "checks"
    CONSTRAINTS = "constraints"
    EVENT_TIME = "event_time"
    PARTITION_KEY = "partition_key"
    OWNER = "owner"
    DOCS = "docs"
    SENSITIVITY = "sensitivity"
    AUDIT = "audit"
    CODEC = "codec"
    SOURCE = "source"


class Severity(StrEnum):
    """What a change asks of whoever makes it."""

    REFUSED = "refused"
    """It cannot be made: what is stored would no longer be true. Another topic can."""
    ASK = "ask"
    """It is made where its word is among those allowed."""
    NOTE = "note"
    """It is made."""


WORDS: Final[Mapping[ChangeKind, str]] = {
    ChangeKind.MERGE: "merge",
    ChangeKind.FIELD_MERGE: "merge",
    ChangeKind.CHECKS: "checks",
    ChangeKind.CONSTRAINTS: "checks",
    ChangeKind.EVENT_TIME: "event_time",
    ChangeKind.PARTITION_KEY: "partition_key",
    ChangeKind.SOURCE: "source",
}
"""The word that allows a change of each kind that must be asked for."""

_EFFECTS: Final[Mapping[str, str]] = {
    "merge": "the clean table is to be built again",
    "checks": "records that were valid may no longer be, and the other way round",
    "event_time": "records move to other days of the clean table",
    "partition_key": "records of one key are in two partitions, so their order is lost across the change",
    "source": "what was archived before stays as it was read then",
}


@attrs.frozen
class Change:
    """One difference between two declarations of a topic.

    Attributes:
        kind: what it is about.
        severity: what it asks of whoever makes it.
        message: what changes, from what to what.
        field: name of the field in the new declaration, where it is about one.
    """

    kind: ChangeKind
    severity: Severity
    message: str
    field: str | None = None

    @property
    def word(self) -> str | None:
        """The word that allows it, where it must be asked for."""
        return WORDS[self.kind] if self.severity is Severity.ASK else None

    @property
    def mend(self) -> str | None:
        """What to do about it, where it is not simply made."""
        if self.severity is Severity.REFUSED:
            return "keep it as it is; what needs another one is another topic"
        return f"if it is meant, allow={(self.word,)!r}: {_EFFECTS[self.word]}" if self.word else None

    def __str__(self) -> str:
        text = f"{self.field}: {self.message}" if self.field else self.message
        return f"{text} ({self.mend})" if self.mend else text


def diff(old: Topic | None, new: Topic | None) -> tuple[Change, ...]:
    """What changes from one declaration of a topic to the next, the gravest first.

    None, or a topic whose schema carries no declaration, has promised nothing: declaring over it is one note, and
    going back to it is refused.
    """
    if old is None or ATTRIBUTE not in old.record.attributes:
        declared = new is not None and ATTRIBUTE in new.record.attributes
        return (_note(ChangeKind.DECLARATION, "declared for the first time"),) if declared else ()
    if new is None or ATTRIBUTE not in new.record.attributes:
        message = f"the schema no longer carries the declaration of topic {old.name}"
        return (Change(ChangeKind.DECLARATION, Severity.REFUSED, message),)
    changes = [*_topic_changes(old, new), *_field_changes(old, new)]
    return tuple(sorted(changes, key=lambda change: list(Severity).index(change.severity)))


def allowed_words(allow: Collection[str]) -> frozenset[str]:
    """The words of `allow`, which may also be one word.

    Raises:
        ConfigurationError: a word allows nothing; says the nearest match.
    """
    words = frozenset({allow} if isinstance(allow, str) else allow)
    known = sorted(set(WORDS.values()))
    for word in sorted(words.difference(known)):
        raise ConfigurationError(f"nothing is allowed by {word!r}{nearest(word, known)}")
    return words


def blocking(changes: Sequence[Change], allow: Collection[str]) -> tuple[Change, ...]:
    """The changes that cannot be made: refused ones, and those to be asked for whose word is not in `allow`.

    Raises:
        ConfigurationError: a word of `allow` allows nothing.
    """
    words = allowed_words(allow)
    return tuple(c for c in changes if c.severity is Severity.REFUSED or (c.word and c.word not in words))


def _note(kind: ChangeKind, message: str, field: str | None = None) -> Change:
    return Change(kind, Severity.NOTE, message, field)


def _ask(kind: ChangeKind, message: str, field: str | None = None) -> Change:
    return Change(kind, Severity.ASK, message, field)


def _topic_changes(old: Topic, new: Topic) -> Iterator[Change]:
    if old.name != new.name:
        yield Change(ChangeKind.TOPIC, Severity.REFUSED, f"the topic is renamed from {old.name} to {new.name}")
    if _key(old, old.identity) != _key(new, new.identity):
        message = f"the identity changes from {_key(old, old.identity)} to {_key(new, new.identity)}"
        yield Change(ChangeKind.IDENTITY, Severity.REFUSED, message)
    elif (before := _key(old, old.partition_fields)) != (after := _key(new, new.partition_fields)):
        yield _ask(ChangeKind.PARTITION_KEY, f"the partition key changes from {before} to {after}")
    if old.codec != new.codec:
        message = f"the codec changes from {old.codec or 'Avro'} to {new.codec or 'Avro'}"
        yield Change(ChangeKind.CODEC, Severity.REFUSED, message)
    if old.source != new.source:
        yield _ask(ChangeKind.SOURCE, "what is said of the messages that others write changes")
    if old.merge != new.merge:
        message = f"the merge policy changes from {_policy(old.merge)} to {_policy(new.merge)}"
        yield _ask(ChangeKind.MERGE, message)
    for message in _mapping_changes("check", old.checks, new.checks):
        yield _ask(ChangeKind.CHECKS, message)
    if old.event_time != new.event_time:
        yield _ask(ChangeKind.EVENT_TIME, _from_to("the event time", old.event_time, new.event_time))
    if old.owner != new.owner:
        yield _note(ChangeKind.OWNER, _from_to("the owner", old.owner, new.owner))
    if old.audit != new.audit:
        yield _note(ChangeKind.AUDIT, _from_to("the audit", old.audit, new.audit))
    if old.record.doc != new.record.doc:
        yield _note(ChangeKind.DOCS, "the record's doc changes")


def _field_changes(old: Topic, new: Topic) -> Iterator[Change]:
    for name, earlier in pair_fields(new.record, old.record).items():
        if earlier is not None:
            yield from _one_field(earlier, new.record.field(name))


def _one_field(old: Field, new: Field) -> Iterator[Change]:
    before, after = FieldRules.of(old), FieldRules.of(new)
    if before.merge != after.merge:
        message = f"its merge policy changes from {_policy(before.merge)} to {_policy(after.merge)}"
        yield _ask(ChangeKind.FIELD_MERGE, message, new.name)
    for message in _mapping_changes("constraint", before.constraints, after.constraints):
        yield _ask(ChangeKind.CONSTRAINTS, message, new.name)
    if set(before.sensitivity) != set(after.sensitivity):
        message = _from_to("its sensitivity", ", ".join(before.sensitivity), ", ".join(after.sensitivity))
        yield _note(ChangeKind.SENSITIVITY, message, new.name)
    if old.doc != new.doc:
        yield _note(ChangeKind.DOCS, "its doc changes", new.name)


def _mapping_changes(what: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted(old.keys() | new.keys()):
        if name not in old:
            yield f"{what} {name!r} is added: {new[name]}"
        elif name not in new:
            yield f"{what} {name!r} is removed: {old[name]}"
        elif old[name] != new[name]:
            yield f"{what} {name!r} changes from {old[name]} to {new[name]}"


def _from_to(what: str, old: str | None, new: str | None) -> str:
    return f"{what} changes from {old or 'none'} to {new or 'none'}"


def _policy(policy: MergePolicy | None) -> str:
    if policy is None:
        return "none"
    return f"{policy.name} by {', '.join(policy.by)}" if policy.by else policy.name


def _key(topic: Topic, fields: Sequence[str]) -> str:
    """The fields of a key with how each one's values are written in it: equal for equal keys (schema.identity)."""
    parts = (f"{name} as {_written(topic.schema.resolve(topic.record.field(name).type))}" for name in fields)
    return ", ".join(parts) or "none"


def _written(node: Node) -> str:
    if isinstance(node, Primitive) and node.name in ("int", "long"):
        return "integer"
    if isinstance(node, Primitive | Fixed) and node.logical is not None:
        return f"{node.logical.name}({node.logical.scale})" if node.logical.precision else node.logical.name
    if isinstance(node, Primitive):
        return node.name
    return "bytes" if isinstance(node, Fixed) else "symbol"
