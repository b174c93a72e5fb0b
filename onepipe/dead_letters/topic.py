"""The topic of a topic's dead letters, and the form of what stands in it.

A letter is told of by several messages: that a record was set aside, perhaps again and again, that it was replayed or
dropped. All have the letter's name as identity, and a version that says how far it has come, so the letter is what its
highest version says, whatever the order in which they were written and however often: the topic can be archived and
merged as any other.
"""

from __future__ import annotations

import datetime as dt
import enum
import json
import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import attrs

from onepipe.declaring.topic import Topic
from onepipe.errors import Fault

SUFFIX: Final = ".dead-letters"


class Stage(enum.StrEnum):
    """Where a record could not go on."""

    PUBLISH = "publish"
    """It broke its declaration when it was published, and is in no log."""
    CONSUME = "consume"
    """The code of a consumer failed on it."""
    SINK = "sink"
    """A sink did not take it."""
    ARCHIVE = "archive"
    """The archive keeps it in quarantine."""


class State(enum.StrEnum):
    """How far a letter has come, in order: the later one holds, until a replay fails and it is open again."""

    UNCONFIRMED = "unconfirmed"
    """It was put aside for a transactional sink, of which it is not known whether it went on without it."""
    OPEN = "open"
    """It waits for someone to replay or to drop it."""
    DROPPED = "dropped"
    """Someone decided that it is not needed."""
    REPLAYED = "replayed"
    """It was handed to whom it was for, or published again."""


STATES: Final = tuple(State)


def _field(name: str, type_: Any, doc: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": type_, "doc": doc, **more}


_TEXT: Final = ["null", "string"]
_PAYLOAD: Final = {"onepipe": {"sensitivity": ["payload"]}}
_FAULT: Final = {
    "type": "record",
    "name": "Fault",
    "fields": [
        _field("field", _TEXT, "path of the field; null for the whole record"),
        _field("rule", "string", "the rule broken"),
        _field("message", "string", "what is wrong, without the value"),
    ],
}
_HEADER: Final = {
    "type": "record",
    "name": "Header",
    "fields": [_field("name", "string", "its name"), _field("value", "bytes", "its value", **_PAYLOAD)],
}
_FIELDS: Final[list[dict[str, Any]]] = [
    _field("letter", "string", "name of the letter: stage, consumer and position"),
    _field("version", "long", "4 for each replay that failed, plus the place of the state among all"),
    _field("state", "string", "unconfirmed, open, dropped or replayed"),
    _field("at", {"type": "long", "logicalType": "timestamp-micros"}, "when this was said"),
    _field("stage", "string", "publish, consume, sink or archive"),
    _field("consumer", _TEXT, "the consumer group or sink that failed on it"),
    _field("log", _TEXT, "identity of the topic's log"),
    _field("partition", ["null", "int"], "the record's partition"),
    _field("offset", ["null", "long"], "the record's offset"),
    _field("attempts", "int", "how often it was tried"),
    _field("rule", "string", "the rule broken, or the class of the error"),
    _field("reason", "string", "what went wrong, without the record's values"),
    _field("detail", _TEXT, "what a foreign error says, which may hold values", **_PAYLOAD),
    _field("faults", {"type": "array", "items": _FAULT}, "every way in which the record breaks its declaration"),
    _field("schema_id", ["null", "int"], "id of the schema it has, or was meant to have"),
    _field("format", "string", "what body is: json, message (the message's value), or none"),
    _field("timestamp", ["null", "long"], "of the message, milliseconds since 1970"),
    _field("key", ["null", "bytes"], "of the message", **_PAYLOAD),
    _field("headers", {"type": "array", "items": _HEADER}, "of the message"),
    _field("body", ["null", "bytes"], "the record itself, as far as it could be written", **_PAYLOAD),
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
        "onepipe": {
            "version": 1,
            "topic": name + SUFFIX,
            "owner": "onepipe",
            "identity": ["letter"],
            "merge": {"policy": "latest", "by": ["version"]},
            "event_time": "at",
        },
    }
    return Topic.from_document(document)


def rejected_letter(schema_id: int, record: Any, faults: Sequence[Fault], at: dt.datetime) -> dict[str, Any]:
    """The dead letter of a record that broke its declaration when it was published; each call is one of its own.

    Args:
        schema_id: of the schema the record was meant to have.
        record: what was to be published.
        faults: every way in which it breaks its declaration.
        at: when; aware.
    """
    return {
        "letter": f"{Stage.PUBLISH}/{os.urandom(16).hex()}",
        "version": STATES.index(State.OPEN),
        "state": State.OPEN.value,
        "at": at,
        "stage": Stage.PUBLISH.value,
        "consumer": None,
        "log": None,
        "partition": None,
        "offset": None,
        "attempts": 1,
        "rule": ", ".join(dict.fromkeys(fault.rule for fault in faults)),
        "reason": "; ".join(map(str, faults)),
        "detail": None,
        "faults": [attrs.asdict(fault) for fault in faults],
        "schema_id": schema_id,
        "format": "json",
        "timestamp": None,
        "key": None,
        "headers": [],
        "body": json.dumps(_plain(record), ensure_ascii=False, default=str).encode("utf-8", "backslashreplace"),
    }


def _plain(record: Any) -> Any:
    if attrs.has(type(record)):
        return attrs.asdict(record)
    return {str(k): v for k, v in record.items()} if isinstance(record, Mapping) else repr(record)
