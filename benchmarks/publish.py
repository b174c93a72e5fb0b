"""publish: records through a producer into a log in memory, acknowledged; what vouching for them costs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import onepipe as op
from benchmarks.codec import forget_partitions
from benchmarks.data import DataSet, data_sets
from benchmarks.measure import Result, Subject, Work, interleaved
from benchmarks.run import Run


def publish(run: Run) -> Iterator[Result]:
    """Publishing with audit, and with audit by name, against publishing without."""
    for data in data_sets(run.sizes.publish):
        subject = Subject("publish", "with audit", data.name, data.length)
        off = _publishing(data, named=False, audit=False)
        if data.record is not data.named:
            counted, bare = interleaved(run.rounds, _publishing(data, named=False, audit=True), off)
            yield subject.rate(counted)
            yield subject.cost(counted, bare, "the same without audit", 5)
        named, bare = interleaved(run.rounds, _publishing(data, named=True, audit=True), off)
        subject = Subject("publish", "with audit by name", data.name, data.length)
        yield subject.rate(named)
        yield subject.cost(named, bare, "the same without audit")


def _publishing(data: DataSet, *, named: bool, audit: bool) -> Work:
    records = [record for record, _ in data.events(0, data.length, named=named)]

    def prepare() -> tuple[op.Pipeline, op.Producer]:
        pipe = op.connect("memory://")
        producer = pipe.producer(audit=audit)
        producer.publish(records[0])  # compiles the route, and opens the epoch
        forget_partitions()
        return pipe, producer

    def run(prepared: Any) -> None:
        _, producer = prepared
        send = producer.publish
        for record in records:
            send(record)
        producer.close()

    return Work(run, prepare, lambda prepared: prepared[0].close())
