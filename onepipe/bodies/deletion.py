"""Deletes: a message without a body that names an identity, and competes by version like any record.

The key is the identity's. The `onepipe-delete` header carries what a null body cannot: the version, so that merging
does not depend on order, the event time where it is known, and the schema id that says how to read them. Values stand
there in Avro's base form, bytes as ISO-8859-1 text, as in Avro's JSON encoding.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple, cast

from onepipe.declaring.topic import Topic, value_type
from onepipe.errors import DeclarationError, DecodeError, Fault, InvalidRecord, nearest
from onepipe.schema.keys import compile_key, key_values
from onepipe.schema.values import Leaf, from_base, to_base

Encoded = tuple[bytes, bytes]

_SCHEMA_IDS: Final = 1 << 31
"""Ids of schemas are below."""


class Deletion(NamedTuple):
    """A delete as read from its key and header.

    Attributes:
        schema_id: of the declaration it was written under; None where it names none.
        fields: logical values of the identity, of the version, and of the event time where it is known.
    """

    schema_id: int | None
    fields: Mapping[str, Any]


def _leaf(topic: Topic, field: str) -> Leaf:
    return cast("Leaf", value_type(topic.schema, topic.record.field(field).type))


def deletion_fields(topic: Topic) -> frozenset[str]:
    """Names of the fields a delete may have: identity, version, partition key, event time."""
    event_time = (topic.event_time,) if topic.event_time else ()
    return frozenset((*topic.identity, *topic.version_fields, *topic.partition_key, *event_time))


@lru_cache(maxsize=256)
def compile_deletion(topic: Topic) -> Callable[[Mapping[str, Any], int], Encoded]:
    """A function from a delete's fields and schema id to its key and header.

    Raises:
        DeclarationError: the topic has no identity or no merge policy, so nothing can be deleted.
    """
    if not topic.identity or topic.merge is None:
        raise DeclarationError("records are deleted by identity and version", topic=topic.name, remedy="declare both")
    key_of = compile_key(topic.schema, topic.identity)
    version = topic.version_fields
    event_time = topic.event_time
    required = {
        **dict.fromkeys(topic.partition_key, "it chooses the partition"),
        **dict.fromkeys(version, "it competes with records and other deletes by version"),
        **dict.fromkeys(topic.identity, "it says which record"),
    }
    known = sorted(deletion_fields(topic))

    def missing(fields: Mapping[str, Any]) -> list[str]:
        return sorted(required.keys() - fields.keys())

    def encode(fields: Mapping[str, Any], schema_id: int) -> Encoded:
        faults = [
            Fault(n, "unknown", f"a delete has no such field{nearest(n, known)}") for n in fields if n not in known
        ]
        faults += [Fault(name, "required", f"a delete needs it: {required[name]}") for name in missing(fields)]
        bases: dict[str, Any] = {}
        for name in fields:
            if name in known and not (fields[name] is None and name not in topic.identity):
                try:
                    bases[name] = to_base(_leaf(topic, name), fields[name])
                except InvalidRecord as misfit:
                    faults += [Fault(name, fault.rule, fault.message) for fault in misfit.faults]
        if faults:
            raise InvalidRecord(faults, topic=topic.name)
        document = {
            "schema": schema_id,
            "version": [_plain(bases.get(name)) for name in version],
            "event_time": _plain(bases.get(event_time)) if event_time else None,
        }
        return key_of(fields), json.dumps(document, separators=(",", ":")).encode()

    return encode


def deletion_schema_id(header: bytes) -> int:
    """The schema id a delete header says.

    Raises:
        DecodeError: the header has another form.
    """
    return cast("int", _parse(header)["schema"])


def read_deletion(topic: Topic, key: bytes | None, header: bytes) -> Deletion:
    """Read a delete.

    Args:
        topic: the declaration the delete was written under.
        key: the message's key.
        header: value of its `onepipe-delete` header.

    Raises:
        DecodeError: key or header have another form.
    """
    document = _parse(header)
    if key is None:
        raise DecodeError("a delete without key", topic=topic.name)
    version = document["version"]
    if not isinstance(version, list) or len(version) != len(topic.version_fields):
        raise DecodeError("a delete's version has another length than the merge policy's", topic=topic.name)
    fields = dict(zip(topic.identity, key_values(topic.schema, topic.identity, key), strict=True))
    bases = dict(zip(topic.version_fields, version, strict=True))
    if topic.event_time:
        bases.setdefault(topic.event_time, document["event_time"])
    for name, base in bases.items():
        if name not in fields:
            fields[name] = None if base is None else _logical(topic, name, base)
    return Deletion(document["schema"], fields)


def _plain(base: Any) -> Any:
    return base.decode("latin-1") if isinstance(base, bytes) else base


def _logical(topic: Topic, name: str, plain: Any) -> Any:
    leaf = _leaf(topic, name)
    bytes_like = not isinstance(plain, str) or (getattr(leaf, "name", "") != "bytes" and not hasattr(leaf, "size"))
    try:
        base = plain if bytes_like else plain.encode("latin-1")
        value = from_base(leaf, base)
        to_base(leaf, value)
    except (InvalidRecord, TypeError, ValueError) as error:
        raise DecodeError("a delete's header does not fit the field's type", topic=topic.name, field=name) from error
    return value


def _parse(header: bytes) -> dict[str, Any]:
    try:
        document = json.loads(header)
    except (ValueError, RecursionError) as error:
        raise DecodeError("a delete's header is not JSON") from error
    schema_id = document.get("schema") if isinstance(document, dict) else None
    if type(schema_id) is not int or not 0 <= schema_id < _SCHEMA_IDS or "version" not in document:
        raise DecodeError("a delete's header has no schema id or no version")
    return {"event_time": None, **document}
