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
"""

from __future__ import annotations

from onepipe import errors
from onepipe.audit.verdict import Finding, Verdict
from onepipe.checks import col, lit
from onepipe.consumer import Consumer, Received
from onepipe.hookspecs import hookimpl
from onepipe.merge import MergePolicy, first, latest, latest_non_null, maximum, minimum, union
from onepipe.pipeline import Pipeline, connect
from onepipe.producer import Producer
from onepipe.receipt import Receipt
from onepipe.record import enumeration, evolve, field, record, topic_of
from onepipe.schema.markers import attributes, avro_name, branches, decimal, fixed, float32, int32, local, millis
from onepipe.schema.model import Schema
from onepipe.schema.values import Duration
from onepipe.sink import Sink, SinkBatch
from onepipe.topic import Topic
from onepipe.transport import Message, Start, TopicPartition

__all__ = [
    "Consumer",
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
    "Topic",
    "TopicPartition",
    "Verdict",
    "attributes",
    "avro_name",
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
    "topic_of",
    "union",
]
