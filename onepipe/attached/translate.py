"""From foreign messages to records of a topic: as Avro bodies, which one decoder for all topics then reads.

A body is that of a schema made for the purpose: the fields that are lifted, then those of the row the message holds,
as its writer wrote them. Avro's schema resolution does the rest, so that a writer's schema may differ from the topic's
as in any other topic.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, cast

import attrs

from onepipe.attached.json_text import parse_json
from onepipe.attached.json_values import Convert, compile_json, field_value, within
from onepipe.attached.tree import Given, KeyReader, Place, unframed, unwrapped
from onepipe.declaring.rules import value_type
from onepipe.errors import DecodeError, InvalidRecord, ResolutionError
from onepipe.schema.decode import compile_decoder
from onepipe.schema.document import document
from onepipe.schema.encode import compile_encoder
from onepipe.schema.inline import inlined
from onepipe.schema.keys import key_values
from onepipe.schema.model import NO_DEFAULT, Node, Primitive, Record, Schema, Union
from onepipe.schema.values import Leaf, to_base
from onepipe.schema.varint import decode_count

if TYPE_CHECKING:
    from onepipe.declaring.source import Source
    from onepipe.declaring.topic import Topic

_ROWS: Final = frozenset({"c", "r", "u"})
_DELETE: Final = "d"


class Removal(NamedTuple):
    """A delete.

    Attributes:
        fields: logical values of the identity, of the version (None where none is said), and of the event time.
    """

    fields: Mapping[str, Any]


Read: TypeAlias = Callable[[Given], bytes | Removal]


@attrs.frozen
class Translation:
    """How the messages that were written with one schema become records of a topic.

    Attributes:
        schema: of the bodies that `read` gives.
        read: from a message to a record's body, or to a delete. Raises DecodeError where the message is not what it
            is to be, and NotRegistered where the registry does not know its key's schema.
    """

    schema: Schema
    read: Read


def is_translated(topic: Topic) -> bool:
    """Whether a topic's messages are anything else than bodies of one type of record."""
    source = topic.source
    return source is not None and bool(source.value == "json" or source.lift or source.types or source.envelope)


def compile_translation(topic: Topic, writer: Schema | None, keys: KeyReader) -> Translation:
    """Compile the translation of what was written with a schema.

    Args:
        topic: a topic that others write.
        writer: the schema of the messages; None where they are JSON.
        keys: reads the messages' keys.

    Raises:
        ResolutionError: the schema's records are none that the topic holds.
    """
    lifts = _Lifts(topic, keys)
    if writer is None:
        return _json_translation(topic, lifts)
    if lifts.source.types:
        return _typed_translation(topic, writer, lifts)
    return (
        _event_translation(topic, writer, lifts) if lifts.source.envelope else _record_translation(topic, writer, lifts)
    )


def tombstone_reader(topic: Topic, keys: KeyReader) -> Callable[[Given], Removal]:
    """What reads messages without value as the declaration says: deletes of what their keys name.

    It raises DecodeError where the key does not say the identity, and NotRegistered as `Translation.read`.
    """
    return _Lifts(topic, keys).tombstone


class _Lifts:
    """The values of fields that stand elsewhere than in the row, and what deletes say."""

    def __init__(self, topic: Topic, keys: KeyReader) -> None:
        assert topic.source is not None  # noqa: S101  # only these are translated; for mypy
        self.topic = topic
        self.source: Source = topic.source
        self._keys = keys
        self._places = {name: [Place(path) for path in paths] for name, paths in self.source.lift.items()}
        self._converts = {field.name: compile_json(topic.schema, field.type) for field in topic.record.fields}
        self.fields = tuple(field for field in topic.record.fields if field.name in self._places)
        self._encode = compile_encoder(_schema(topic, Record("Lifted", self.fields)))

    def value(self, name: str, tree: Any, given: Given) -> Any:
        """The value of a field that is lifted; None where none of its places holds one."""
        for place in self._places[name]:
            if place.is_key and self.source.key == "text":
                found = None if given.key is None else key_values(self.topic.schema, (name,), given.key)[0]
            else:
                found = place.of(tree, given, lambda: self._keys.read(given))
                if found is not None and self._plain(place):
                    found = self.convert(name, found)
            if found is not None:
                return found
        return None

    def _plain(self, place: Place) -> bool:
        """Whether what stands at a place is JSON, so that its type is still to be found."""
        how = self.source.key if place.head == "$key" else self.source.value
        return how == "json" and place.head != "$timestamp"

    def convert(self, name: str, value: Any) -> Any:
        """The logical value of a field from JSON."""
        return within(name, self._converts[name], value)

    def body(self, tree: Any, given: Given) -> bytes:
        """The encoded values of all fields that are lifted, in the schema's order."""
        return _encoded(self._encode, {field.name: self.value(field.name, tree, given) for field in self.fields})

    def removal(self, tree: Any, row: Any, given: Given) -> Removal:
        """The delete of a change event.

        Args:
            tree: the event.
            row: the row as it was before; None where the event does not say it, and the key does.
            given: the message.
        """
        fields = {name: self._removed(name, tree, row, given) for name in self.topic.identity}
        for name in (*self.topic.version_fields, *([self.topic.event_time] if self.topic.event_time else [])):
            fields.setdefault(name, self._removed(name, tree, row, given))
        return self._checked(fields)

    def tombstone(self, given: Given) -> Removal:
        """The delete that a message without value is: what it says is in its key and timestamp alone.

        Raises:
            DecodeError: the key does not say the identity.
        """
        fields = {name: self._removed(name, None, None, given) for name in self.topic.identity}
        versioned = self.source.tombstones == "delete"
        for name in self.topic.version_fields:
            fields.setdefault(name, self.value(name, None, given) if versioned else None)
        if self.topic.event_time:
            said = self.source.stands_outside_value(self.topic.event_time)
            fields.setdefault(self.topic.event_time, self.value(self.topic.event_time, None, given) if said else None)
        return self._checked(fields)

    def _removed(self, name: str, tree: Any, row: Any, given: Given) -> Any:
        """What a delete says of a field: where it is lifted from, else the row's image, else the key."""
        if name in self._places:
            return self.value(name, tree, given)
        if isinstance(row, Mapping) and row.get(name) is not None:
            return self.convert(name, row[name]) if self.source.value == "json" else row[name]
        if name not in self.topic.identity:
            return None
        if self.source.key == "text":
            values = key_values(self.topic.schema, self.topic.identity, given.key) if given.key is not None else ()
            return dict(zip(self.topic.identity, values, strict=False)).get(name)
        key = self._keys.read(given) if self.source.key is not None else None
        found = key.get(name) if isinstance(key, Mapping) else key if len(self.topic.identity) == 1 else None
        return self.convert(name, found) if self.source.key == "json" and found is not None else found

    def _checked(self, fields: Mapping[str, Any]) -> Removal:
        """The delete, if its values are of their fields' types."""
        for name, value in fields.items():
            if value is None:
                if name in self.topic.identity:
                    raise DecodeError("a delete does not say it", field=name)
                continue
            node = value_type(self.topic.schema, self.topic.record.field(name).type)
            try:
                to_base(cast("Leaf", node), value)
            except InvalidRecord as error:
                raise DecodeError(error.faults[0].message, field=name) from None
        return Removal(fields)


def _json_translation(topic: Topic, lifts: _Lifts) -> Translation:
    encode = compile_encoder(topic.schema)
    own: list[tuple[Any, Convert]] = [
        (field, compile_json(topic.schema, field.type))
        for field in topic.record.fields
        if field.name not in lifts.source.lift
    ]

    def read(given: Given) -> bytes | Removal:
        tree = unwrapped(parse_json(unframed(given.value)), lifts.source)
        if not isinstance(tree, dict):
            raise DecodeError("an object wanted")
        row = _row(tree) if lifts.source.envelope else tree
        if row is None:
            return lifts.removal(tree, tree.get("before"), given)
        record = {field.name: lifts.value(field.name, tree, given) for field in lifts.fields}
        for field, convert in own:
            value = field_value(field, row)
            if value is not NO_DEFAULT:
                record[field.name] = within(field.name, convert, value)
            elif field.default is NO_DEFAULT:
                record[field.name] = None  # null where the type takes it; else the encoder says that it is missing
        return _encoded(encode, record)

    return Translation(topic.schema, read)


def _row(event: Mapping[str, Any]) -> Any:
    """The row that a change event says; None for a delete.

    Raises:
        DecodeError: the event is of another kind (a truncated table, a message), or has no row.
    """
    kind = event.get("op")
    if kind == _DELETE:
        return None
    if kind not in _ROWS:
        raise DecodeError("no event that creates, reads, updates or deletes a row", field="op")
    row = event.get("after")
    if not isinstance(row, Mapping):
        raise DecodeError("the event has no row", field="after")
    return row


def _record_translation(topic: Topic, writer: Schema, lifts: _Lifts) -> Translation:
    if not isinstance(writer.root, Record):
        raise ResolutionError("its messages are no records")
    decode = compile_decoder(writer)

    def read(given: Given) -> bytes:
        return lifts.body(decode(given.value, given.start), given) + given.value[given.start :]

    return Translation(_joined(topic, lifts, writer, writer.root), read)


def _event_translation(topic: Topic, writer: Schema, lifts: _Lifts) -> Translation:
    row = row_of(writer)
    if row is None:
        raise ResolutionError("its messages are no change events: no field 'after' that is a record")
    decode, encode = compile_decoder(writer), compile_encoder(_within(writer, row))

    def read(given: Given) -> bytes | Removal:
        tree = decode(given.value, given.start)
        image = _row(tree)
        if image is None:
            return lifts.removal(tree, tree.get("before"), given)
        return lifts.body(tree, given) + _encoded(encode, image)

    return Translation(_joined(topic, lifts, writer, row), read)


def row_of(envelope: Schema) -> Record | None:
    """The record of the rows in change events; None where the schema is not one of change events."""
    root = envelope.root
    if not isinstance(root, Record) or "after" not in {field.name for field in root.fields}:
        return None
    row = value_type(envelope, root.field("after").type)
    return row if isinstance(row, Record) else None


def _typed_translation(topic: Topic, writer: Schema, lifts: _Lifts) -> Translation:
    fields = {name: field for field, name in lifts.source.types.items()}
    root = writer.root
    branches = [writer.resolve(branch) for branch in root.branches] if isinstance(root, Union) else [root]
    known = [branch for branch in branches if isinstance(branch, Record) and branch.name in fields]
    if not known:
        names = ", ".join(getattr(branch, "name", type(branch).__name__) for branch in branches)
        raise ResolutionError(f"{names}: none of the topic's types of records")
    members = tuple((fields[branch.name], branch) for branch in known)
    joined = _schema_of_types(topic, lifts, writer, members)
    decoders = [
        (compile_decoder(_within(writer, branch)), fields[branch.name]) if branch in known else None
        for branch in branches
    ]
    numbers = {name: number for number, (name, _) in enumerate(members)}

    def read(given: Given) -> bytes:
        number, start = _branch(given) if isinstance(root, Union) else (0, given.start)
        found = decoders[number] if 0 <= number < len(decoders) else None
        if found is None:
            raise DecodeError("no record of one of the topic's types")
        decode, name = found
        record = decode(given.value, start)
        before, behind = b"\0" * numbers[name], b"\0" * (len(members) - numbers[name] - 1)
        return b"".join((lifts.body({name: record}, given), before, b"\2", given.value[start:], behind))

    return Translation(joined, read)


def _schema_of_types(topic: Topic, lifts: _Lifts, writer: Schema, members: tuple[tuple[str, Record], ...]) -> Schema:
    own = [topic.record.field(name) for name, _ in members]
    fields = [
        attrs.evolve(field, type=Union((Primitive("null"), branch)), default=NO_DEFAULT)
        for field, (_, branch) in zip(own, members, strict=True)
    ]
    return _within(writer, Record(topic.record.name, (*lifts.fields, *fields)))


def _joined(topic: Topic, lifts: _Lifts, writer: Schema, row: Record) -> Schema:
    """The schema of bodies that hold the lifted fields, and then a row."""
    lifted = {field.name for field in lifts.fields}
    taken = lifted | {field.name for field in row.fields}
    fields = []
    for field in row.fields:
        name = field.name
        while name in lifted or (name != field.name and name in taken):
            name += "_"
        fields.append(attrs.evolve(field, name=name, aliases=()))
    return _within(writer, Record(topic.record.name, (*lifts.fields, *fields)))


def _within(writer: Schema, root: Node) -> Schema:
    """A type that stands in a schema, or is made of its types, as schema of its own."""
    types = {name: document(node) for name, node in writer.names.items()}
    return Schema.parse(inlined(document(root), types))


def _schema(topic: Topic, root: Record) -> Schema:
    return _within(topic.schema, root)


def _encoded(encode: Callable[[Any], bytes], record: Mapping[str, Any]) -> bytes:
    try:
        return encode(record)
    except InvalidRecord as error:
        fault = error.faults[0]
        raise DecodeError(fault.message, field=fault.field) from None


def _branch(given: Given) -> tuple[int, int]:
    """The number of the union's branch that a value holds, and where that begins."""
    try:
        return decode_count(given.value, given.start)
    except IndexError:
        raise DecodeError("the message ends too early") from None
