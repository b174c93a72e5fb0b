"""The evidence of producing: what a writer saw, published on an audit topic of the same pipeline.

A writer says durably that it opens its epoch before its first record of each topic, publishes tallies while it works,
and closes the epoch at the end. Tallies are cumulative by epoch, topic and partition, so that a lost one costs detail
and no truth. They are archived like any topic, so that verification needs the lake alone.
"""

from __future__ import annotations

import enum
from typing import Any, Final

from onepipe.declaring.topic import Topic

AUDIT_TOPIC: Final = "_onepipe.audit"
"""Name of the topic that carries the evidence."""


class Kind(enum.StrEnum):
    """What a record of evidence says."""

    OPENED = "opened"
    """A writer epoch begins in one topic; nothing was written to that topic in it before."""
    TALLY = "tally"
    """What became of the records of one epoch, topic and partition up to a sequence."""
    CLOSED = "closed"
    """A writer epoch ended; there are no records beyond its last tallies."""


def _field(name: str, type_: Any, doc: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": type_, "doc": doc, **more}


_INTERVALS: Final = {"type": "array", "items": "Interval"}
_MICROS: Final = {"type": "long", "logicalType": "timestamp-micros"}

DOCUMENT: Final[dict[str, Any]] = {
    "type": "record",
    "name": "Evidence",
    "namespace": "onepipe.audit",
    "doc": "What a writer saw.",
    "fields": [
        _field("kind", {"type": "enum", "name": "Kind", "symbols": [k.value for k in Kind]}, "what this record says"),
        _field("epoch", {"type": "fixed", "name": "Epoch", "size": 16}, "random bytes that name the writer epoch"),
        _field("at", _MICROS, "when it was said, by the writer's clock"),
        _field("application", ["null", "string"], "what the application calls itself", default=None),
        _field("topic", ["null", "string"], "of a tally or an opening: the topic", default=None),
        _field("log", ["null", "string"], "of a tally: identity of the topic's log", default=None),
        _field("partition", ["null", "int"], "of a tally: the partition", default=None),
        _field("number", "long", "of a tally: its number among those of its epoch, topic and partition", default=0),
        _field("sequence_end", "long", "outcomes of all sequences below this one are known", default=0),
        _field("acknowledged", "long", "how many of these the log acknowledged", default=0),
        _field("digest_hi", "long", "sum of the acknowledged records' digests, first lane", default=0),
        _field("digest_lo", "long", "the same, second lane", default=0),
        _field("last_offset", ["null", "long"], "greatest acknowledged offset", default=None),
        _field(
            "failed",
            {
                "type": "array",
                "items": {
                    "type": "record",
                    "name": "Interval",
                    "fields": [_field("first", "long", "first sequence"), _field("end", "long", "one past the last")],
                },
            },
            "sequences that are surely not in the log",
            default=[],
        ),
        _field("indeterminate", _INTERVALS, "sequences that may be in the log or not", default=[]),
        _field(
            "hours",
            {
                "type": "array",
                "items": {
                    "type": "record",
                    "name": "Hour",
                    "fields": [
                        _field("hour", "long", "hours since 1970-01-01T00Z of the messages' timestamps"),
                        _field("rows", "long", "records acknowledged since the previous tally"),
                        _field("digest_hi", "long", "sum of their digests, first lane"),
                        _field("digest_lo", "long", "the same, second lane"),
                    ],
                },
            },
            "what was acknowledged since the previous tally, by hour",
            default=[],
        ),
        _field(
            "manifest",
            {
                "type": "array",
                "items": {
                    "type": "record",
                    "name": "Entry",
                    "fields": [
                        _field("sequence", "long", "the record's sequence"),
                        _field("offset", "long", "where the log stored it"),
                        _field("key", "bytes", "its identity key"),
                        _field("digest_hi", "long", "its digest, first lane"),
                        _field("digest_lo", "long", "the same, second lane"),
                    ],
                },
            },
            "of a topic audited by name: every record acknowledged since the previous tally",
            default=[],
        ),
    ],
    "onepipe": {"version": 1, "topic": AUDIT_TOPIC, "owner": "onepipe"},
}

EVIDENCE: Final = Topic.from_document(DOCUMENT)
"""The declaration of the audit topic."""
