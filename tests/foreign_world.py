"""A company's Kafka as onepipe meets it: a log that others write, and the registry they register in."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
from confluent_registry import RunningRegistry
from raw_messages import append, raw_rows

import onepipe as op
from onepipe.audit.verdict import Hop
from onepipe.declaring.topic import Topic
from onepipe.schema.encode import compile_encoder
from onepipe.schema.framing import frame
from onepipe.schema.model import Schema
from onepipe.transport import Headers, Outgoing

MILLIS = 1_767_225_600_000
"""2026-01-01T00:00Z."""


@attrs.define
class World:
    """A pipeline over the company's log, and the company's registry.

    Attributes:
        pipe: the pipeline; its own registry is another one.
        company: the company's registry.
    """

    pipe: op.Pipeline
    company: RunningRegistry

    def register(self, subject: str, schema: Any, **more: Any) -> int:
        """Register a schema document as the company's tools do; its id."""
        body = {"schema": json.dumps(schema) if not isinstance(schema, str) else schema, **more}
        return self.company.registry.answer("POST", f"/subjects/{subject}/versions", {}, body)["id"]

    def guid(self, schema_id: int) -> str:
        return self.company.registry.answer("GET", f"/schemas/ids/{schema_id}", {}, None)["guid"]

    def write(self, *messages: tuple[bytes | None, bytes | None] | tuple[bytes | None, bytes | None, Headers],
              topic: str = "shop.orders", at: int = MILLIS) -> None:  # fmt: skip
        """Append messages of key, value and headers, in turn to the partitions."""
        partitions = self.pipe.transport.describe_topic(topic).partitions
        outgoing = []
        for number, (key, value, *headers) in enumerate(messages):
            outgoing.append(
                Outgoing(topic, number % partitions, key, value, headers[0] if headers else (), at + number)
            )
        append(self.pipe.transport, *outgoing)

    def lake_it(self, topic: Topic) -> None:
        self.pipe.archive(topic)
        if topic.merge is not None:
            self.pipe.dedup(topic)

    def rows(self, topic: Topic) -> list[dict[str, Any]]:
        return raw_rows(self.pipe.lake, topic.name)

    def errors(self, topic: Topic) -> list[str | None]:
        return [row["_op_error"] for row in self.rows(topic)]

    def clean(self, topic: Topic) -> list[dict[str, Any]]:
        rows = self.pipe.table(topic).to_arrow().to_pylist()
        return sorted(rows, key=lambda row: [str(row[name]) for name in topic.identity])

    def require_balanced(self, topic: Topic) -> None:
        """What is kept of the messages is proved, the law of conservation holds, and their writers are not covered."""
        for level in ("proved", "deep"):
            verdict = self.pipe.verify(topic, level=level)
            states = {hop.hop: hop.state.value for hop in verdict.hops}
            wanted = {Hop.PRODUCER: "not covered", Hop.LOG: "not covered", Hop.RAW: "balanced"}
            if topic.merge is not None:
                wanted[Hop.CLEAN] = "balanced"
            assert states == wanted, str(verdict)
            assert verdict.findings == ()


@contextmanager
def world(folder: Path, *, topic: str = "shop.orders", partitions: int = 2) -> Iterator[World]:
    with RunningRegistry() as company, op.connect("memory://", lake=folder / "lake") as pipe:
        pipe.transport.create_topic(topic, partitions=partitions)
        yield World(pipe, company)


def avro(schema_id: int, document: Any, record: Any) -> bytes:
    """A value in Confluent's framing."""
    return compile_encoder(Schema.parse(document), prefix=frame(schema_id))(record)


def body(document: Any, record: Any) -> bytes:
    """A value without framing."""
    return compile_encoder(Schema.parse(document))(record)


def text(value: Any) -> bytes:
    """A value as JSON."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def record(name: str, /, **fields: Any) -> Mapping[str, Any]:
    """The document of a record; a field whose type is a tuple of type and default has that default."""
    made = []
    for field, type_ in fields.items():
        default = {"default": type_[1]} if isinstance(type_, tuple) else {}
        made.append({"name": field, "type": type_[0] if isinstance(type_, tuple) else type_, **default})
    return {"type": "record", "name": name, "fields": made}


MILLIS_TYPE = {"type": "long", "logicalType": "timestamp-millis"}
MICROS_TYPE = {"type": "long", "logicalType": "timestamp-micros"}
