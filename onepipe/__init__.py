"""onepipe: declare a record once; publish, archive, deduplicate and verify it.

    import onepipe as op

    @op.record(topic="Widgets", merge=op.latest("updated"))
    class Widget:
        sid: str = op.field(identity=True)
        updated: datetime.datetime

    with op.connect("memory://", lake="./lake") as pipe:
        with pipe.producer() as producer:
            producer.publish(Widget(sid="W1", updated=now))
        pipe.archive(Widget)
        pipe.dedup(Widget)
        print(pipe.verify(Widget))

The names below are loaded when they are first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onepipe import errors
    from onepipe.audit.verdict import Finding, Verdict
    from onepipe.bodies.deletion import Deletion
    from onepipe.checks import col, lit
    from onepipe.consuming.backoff import Backoff, backoff
    from onepipe.consuming.consumer import Consumer
    from onepipe.consuming.received import Received
    from onepipe.dead_letters.letter import DeadLetter
    from onepipe.declaring.binding import record_class
    from onepipe.declaring.record import enumeration, evolve, field, record, topic_of
    from onepipe.declaring.topic import Topic
    from onepipe.hookspecs import hookimpl
    from onepipe.lake.read import Table
    from onepipe.merge import MergePolicy, first, latest, latest_non_null, maximum, minimum, union
    from onepipe.pipeline import Pipeline, connect
    from onepipe.publishing.producer import Producer
    from onepipe.publishing.receipt import Receipt
    from onepipe.schema.markers import attributes, avro_name, branches, decimal, fixed, float32, int32, local, millis
    from onepipe.schema.model import Schema
    from onepipe.schema.values import Duration
    from onepipe.sink import Sink, SinkBatch, TransactionalSink
    from onepipe.transport import Message, Start, TopicPartition

_HOMES = {
    "onepipe": ("errors",),
    "onepipe.audit.verdict": ("Finding", "Verdict"),
    "onepipe.consuming.backoff": ("Backoff", "backoff"),
    "onepipe.declaring.binding": ("record_class",),
    "onepipe.checks": ("col", "lit"),
    "onepipe.consuming.consumer": ("Consumer",),
    "onepipe.consuming.received": ("Received",),
    "onepipe.dead_letters.letter": ("DeadLetter",),
    "onepipe.bodies.deletion": ("Deletion",),
    "onepipe.hookspecs": ("hookimpl",),
    "onepipe.lake.read": ("Table",),
    "onepipe.merge": ("MergePolicy", "first", "latest", "latest_non_null", "maximum", "minimum", "union"),
    "onepipe.pipeline": ("Pipeline", "connect"),
    "onepipe.publishing.producer": ("Producer",),
    "onepipe.publishing.receipt": ("Receipt",),
    "onepipe.declaring.record": ("enumeration", "evolve", "field", "record", "topic_of"),
    "onepipe.schema.markers": (
        *("attributes", "avro_name", "branches", "decimal", "fixed", "float32", "int32", "local", "millis"),
    ),
    "onepipe.schema.model": ("Schema",),
    "onepipe.schema.values": ("Duration",),
    "onepipe.sink": ("Sink", "SinkBatch", "TransactionalSink"),
    "onepipe.declaring.topic": ("Topic",),
    "onepipe.transport": ("Message", "Start", "TopicPartition"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Backoff",
    "Consumer",
    "DeadLetter",
    "Deletion",
    "Duration",
    "Finding",
    "MergePolicy",
    "Message",
    "Pipeline",
    "Producer",
    "Receipt",
    "Received",
    "Schema",
    "Sink",
    "SinkBatch",
    "Start",
    "Table",
    "Topic",
    "TopicPartition",
    "TransactionalSink",
    "Verdict",
    "attributes",
    "avro_name",
    "backoff",
    "branches",
    "col",
    "connect",
    "decimal",
    "enumeration",
    "errors",
    "evolve",
    "field",
    "first",
    "fixed",
    "float32",
    "hookimpl",
    "int32",
    "latest",
    "latest_non_null",
    "lit",
    "local",
    "maximum",
    "millis",
    "minimum",
    "record",
    "record_class",
    "topic_of",
    "union",
]


def __getattr__(name: str) -> Any:
    """Load a public name at its first use (PEP 562)."""
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'onepipe' has no attribute {name!r}")
    value = import_module(f"onepipe.{name}") if home == "onepipe" else getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names."""
    return __all__
