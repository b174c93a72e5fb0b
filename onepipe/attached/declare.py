"""Declaring a topic that others write: its fields from the company's registry, or from a schema that is given."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, Final, cast

import attrs

from onepipe.arguments import require_choice
from onepipe.attached.translate import row_of
from onepipe.declaring.record import record_info
from onepipe.declaring.rules import value_type
from onepipe.declaring.source import TIMESTAMP, Envelope, Key, Source, Tombstones, Value
from onepipe.declaring.topic import Topic
from onepipe.errors import DeclarationError, nearest
from onepipe.merge import MergePolicy
from onepipe.registry import Registry, open_registry
from onepipe.registry.address import shown_url
from onepipe.schema.document import document
from onepipe.schema.inline import inlined
from onepipe.schema.logical import LogicalType
from onepipe.schema.model import NO_DEFAULT, Enum, Field, Fixed, Node, Primitive, Record, Schema, Union

REGISTRY_VARIABLE: Final = "ONEPIPE_REGISTRY"

_NULL: Final = Primitive("null")
_MOMENT: Final = Primitive("long", LogicalType("timestamp-millis"))


def attach(
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
    """Declare a topic that others write; see `onepipe.declaring.topic.Topic.attach`."""
    for word, given, literal in (("value", value, Value), ("key", key, Key), ("envelope", envelope, Envelope)):
        if given is not None or word == "value":
            require_choice(word, given, literal)
    subjects = (f"{name}-value",) if subject is None else (subject,) if isinstance(subject, str) else tuple(subject)
    key = key or (value if envelope else None)
    asks = "registry" in (value, key)
    source = Source(
        value=value,
        key=key,
        envelope=envelope,
        registry=shown_url(registry or os.environ.get(REGISTRY_VARIABLE)) if asks and not _is_open(registry) else None,
        subjects=subjects if value == "registry" else (),
        lift=MappingProxyType({n: (p,) if isinstance(p, str) else tuple(p) for n, p in (lift or {}).items()}),
        tombstones=tombstones or ("oldest" if envelope else "quarantine"),
    )
    if (schema is None) == (value == "json"):
        remedy = "give a record class or a schema" if value == "json" else "leave the schema out"
        raise DeclarationError(f"value={value!r} takes its fields from {_ORIGIN[value]}", topic=name, remedy=remedy)
    identities = (identity,) if isinstance(identity, str) else tuple(identity)
    if value == "json":
        fields = _given(schema)
    else:
        with _opened(registry) as known:
            fields, source = _Registered(name, source, known).schema()
    return Topic.declare(
        name,
        _with_identity(fields, identities),
        identity=identities,
        merge=merge,
        event_time=event_time,
        owner=owner,
        source=source,
    )


_ORIGIN: Final = {"json": "the schema that is given", "registry": "the registry"}


def _is_open(registry: str | Registry | None) -> bool:
    return registry is not None and not isinstance(registry, str)


@contextmanager
def _opened(registry: str | Registry | None) -> Iterator[Registry]:
    """The registry to ask; one that is opened for this is closed again."""
    if registry is not None and not isinstance(registry, str):
        yield registry
        return
    url = registry or os.environ.get(REGISTRY_VARIABLE)
    if not url:
        remedy = f"registry='https://host:8081', registry=pipe.registry, or set {REGISTRY_VARIABLE}"
        raise DeclarationError("value='registry' needs a registry", remedy=remedy)
    with open_registry(url) as opened:
        yield opened


def _given(schema: Any) -> Schema:
    """The schema of a record class, or of a schema document."""
    if isinstance(schema, type):
        return record_info(schema).schema
    return schema if isinstance(schema, Schema) else Schema.parse(schema)


def _with_identity(schema: Schema, identity: Sequence[str]) -> Schema:
    """The schema in which what identifies is never null: a message that has null there is kept aside."""
    root = schema.root
    if not isinstance(root, Record):
        raise DeclarationError("a topic's schema is a record")
    fields = tuple(_never_null(schema, field) if field.name in identity else field for field in root.fields)
    return _made(schema, attrs.evolve(root, fields=fields))


def _never_null(schema: Schema, field: Field) -> Field:
    node = schema.resolve(field.type)
    if isinstance(node, Union) and node.nullable is not None:
        return attrs.evolve(field, type=node.nullable, default=NO_DEFAULT)
    return field


def _made(schema: Schema, root: Node) -> Schema:
    """A schema made of the types of another."""
    return Schema.parse(inlined(document(root), {name: document(node) for name, node in schema.names.items()}))


class _Registered:
    """Makes the fields of a topic of what a registry knows of it."""

    def __init__(self, name: str, source: Source, registry: Registry) -> None:
        self.name = name
        self.source = source
        self.registry = registry

    def schema(self) -> tuple[Schema, Source]:
        """The schema of the topic's records, and the source with the types they are of."""
        found = [self.registry.version(subject).schema for subject in self.source.subjects]
        if self.source.envelope is not None:
            return self._lifted(found[0], self._row(found[0])), self.source
        if len(found) == 1 and isinstance(found[0].root, Record):
            return self._lifted(found[0], found[0].root), self.source
        return self._of_types(found)

    def _row(self, envelope: Schema) -> Record:
        row = row_of(envelope)
        if row is None or not {"before", "op"} <= {field.name for field in cast("Record", envelope.root).fields}:
            message = f"the schema of {self.source.subjects[0]} is not one of Debezium's change events"
            raise DeclarationError(message, topic=self.name, remedy="they have the fields before, after and op")
        return row

    def _lifted(self, schema: Schema, row: Record) -> Schema:
        """A record of what is lifted and of a row's fields."""
        lifted = tuple(self._field(name, paths, schema) for name, paths in self.source.lift.items())
        own = tuple(field for field in row.fields if field.name not in self.source.lift)
        return _made(schema, attrs.evolve(row, fields=(*own, *lifted)))

    def _of_types(self, schemas: Sequence[Schema]) -> tuple[Schema, Source]:
        """A record with a field for each type of record there is, of which each message has one."""
        types: dict[str, str] = {}
        fields: list[Field] = []
        names = {name: node for schema in schemas for name, node in schema.names.items()}
        for schema in schemas:
            for branch in schema.root.branches if isinstance(schema.root, Union) else (schema.root,):
                record = schema.resolve(branch)
                if not isinstance(record, Record):
                    continue
                short = record.name.rpartition(".")[2]
                if types.setdefault(short, record.name) != record.name:
                    message = f"{types[short]} and {record.name} have the same last name"
                    raise DeclarationError(message, topic=self.name, remedy="attach one of their subjects")
                fields.append(Field(short, Union((_NULL, record)), None))
        if not types:
            raise DeclarationError("none of the registered schemas is a record", topic=self.name)
        holder = Schema(Record(_record_name(self.name), tuple(fields)), names)
        lifted = (self._field(name, paths, holder) for name, paths in self.source.lift.items())
        made = _made(holder, Record(_record_name(self.name), (*fields, *lifted)))
        return made, attrs.evolve(self.source, types=MappingProxyType(types))

    def _field(self, name: str, paths: Sequence[str], schema: Schema) -> Field:
        """A field that is lifted: of the type that stands at its paths, null where nothing does."""
        found = [self._at(name, path, schema) for path in paths]
        if any(_plain(node) != _plain(found[0][0]) for node, _ in found):
            raise DeclarationError("the paths it is lifted from are of different types", topic=self.name, field=name)
        leaf = _plain(found[0][0])
        sure = len(paths) == 1 and not found[0][1]
        return Field(name, leaf) if sure else Field(name, Union((_NULL, leaf)), None)

    def _at(self, name: str, path: str, schema: Schema) -> tuple[Node, bool]:
        """The type at a path, and whether it may be null there."""
        head, *rest = path.split(".")
        if path == TIMESTAMP:
            return _MOMENT, False
        if head == "$key":
            return self._in_key(name, path, rest)
        return self._inside(name, path, schema, [head, *rest])

    def _in_key(self, name: str, path: str, rest: Sequence[str]) -> tuple[Node, bool]:
        if self.source.key == "text" and not rest:
            return Primitive("string"), False
        if self.source.key != "registry":
            message = f"nothing says what is at {path!r} of a key that is {self.source.key}"
            raise DeclarationError(
                message, topic=self.name, field=name, remedy="key='registry', or '$key' of key='text'"
            )
        return self._inside(name, path, self.registry.version(f"{self.name}-key").schema, rest)

    def _inside(self, name: str, path: str, schema: Schema, names: Sequence[str]) -> tuple[Node, bool]:
        node, nullable = schema.root, False
        for part in names:
            record = value_type(schema, node)
            if not isinstance(record, Record):
                raise DeclarationError(f"{part!r} of {path!r} is in no record", topic=self.name, field=name)
            known = [field.name for field in record.fields]
            if part not in known:
                message = f"{path!r} names {part!r}, which is not a field{nearest(part, known)}"
                raise DeclarationError(message, topic=self.name, field=name)
            node = record.field(part).type
            nullable = nullable or isinstance(schema.resolve(node), Union)
        leaf = value_type(schema, node)
        if not isinstance(leaf, Primitive | Enum | Fixed):
            raise DeclarationError(f"{path!r} holds no single value", topic=self.name, field=name)
        return leaf, nullable


def _plain(node: Node) -> Node:
    """The type of a lifted value without a name, which another type of the record may have."""
    if isinstance(node, Enum):
        return Primitive("string")
    if isinstance(node, Fixed):
        logical = node.logical if node.logical and node.logical.name == "decimal" else None
        return Primitive("bytes", logical)
    return attrs.evolve(cast("Primitive", node), attributes=MappingProxyType({}))


def _record_name(topic: str) -> str:
    """An Avro name for the record of a topic that holds several types."""
    name = "".join(character if character.isalnum() and character.isascii() else "_" for character in topic)
    return name if name[0].isalpha() or name[0] == "_" else f"_{name}"
