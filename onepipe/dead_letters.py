"""Dead letters: records that were refused when they were to be published, kept durably with the reason.

Each topic has its own dead-letter topic, `<topic>.dead-letters`, of one schema.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import attrs

from onepipe.errors import Fault
from onepipe.topic import Topic

SUFFIX: Final = ".dead-letters"

_OPTIONAL_TEXT: Final = ["null", "string"]
_FIELDS: Final[list[dict[str, Any]]] = [
    {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}, "doc": "when it was set aside"},
    {"name": "stage", "type": "string", "doc": "publish, consume or sink"},
    {"name": "reason", "type": "string", "doc": "what went wrong, without the record's values"},
    {
        "name": "faults",
        "doc": "every way in which the record breaks its declaration",
        "type": {
            "type": "array",
            "items": {
                "type": "record",
                "name": "Fault",
                "fields": [
                    {"name": "field", "type": _OPTIONAL_TEXT, "doc": "path of the field; null for the whole record"},
                    {"name": "rule", "type": "string", "doc": "the rule broken"},
                    {"name": "message", "type": "string", "doc": "what is wrong, without the value"},
                ],
            },
        },
    },
    {"name": "schema_id", "type": ["null", "int"], "doc": "id of the schema it was meant to have"},
    {"name": "format", "type": "string", "doc": "how the body is written: json or avro"},
    {
        "name": "body",
        "type": "bytes",
        "doc": "the record itself, as far as it could be written",
        "onepipe": {"sensitivity": ["payload"]},
    },
]


@lru_cache(maxsize=256)
def dead_letter_topic(name: str) -> Topic:
    """The declaration of a topic's dead-letter topic."""
    document = {
        "type": "record",
        "name": "DeadLetter",
        "namespace": "onepipe",
        "doc": "A record that could not be published or handled.",
        "fields": _FIELDS,
        "onepipe": {"version": 1, "topic": name + SUFFIX, "owner": "onepipe", "event_time": "at"},
    }
    return Topic.from_document(document)


def rejected_letter(schema_id: int, record: Any, faults: Sequence[Fault], at: dt.datetime) -> dict[str, Any]:
    """The dead letter of a record that broke its declaration when it was published."""
    return {
        "at": at,
        "stage": "publish",
        "reason": "; ".join(map(str, faults)),
        "faults": [attrs.asdict(fault) for fault in faults],
        "schema_id": schema_id,
        "format": "json",
        "body": json.dumps(_plain(record), ensure_ascii=False, default=str).encode("utf-8", "backslashreplace"),
    }


def _plain(record: Any) -> Any:
    if attrs.has(type(record)):
        return attrs.asdict(record)
    return {str(k): v for k, v in record.items()} if isinstance(record, Mapping) else repr(record)
