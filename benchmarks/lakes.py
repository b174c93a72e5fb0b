"""The lakes that dedup and verification are measured on, made by publishing and archiving, some records at a time.

The log forgets what was archived, so that memory stays bounded whatever the size.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import attrs

import onepipe as op
from benchmarks.data import DataSet, data_sets
from benchmarks.run import Run
from onepipe.declaring.record import topic_of
from onepipe.evidence.records import AUDIT_TOPIC
from onepipe.transport import TopicPartition

_AT_ONCE: Final = 500_000
_GROWTH: Final = 100
"""One new record to so many in the lake."""


@attrs.frozen
class Lakes:
    """Folders of the same lake in several states.

    Attributes:
        data: the data set.
        record: class of the topic.
        rows: rows of the raw table, new ones apart.
        new: how many rows are new in `grown`.
        raw: archived, nothing merged.
        merged: archived and merged; balanced.
        grown: besides, merged once incrementally, and with new rows that are not merged yet.
        lost: as `merged`, but one record was lost in the log.
    """

    data: DataSet
    record: Any
    rows: int
    new: int
    raw: Path
    merged: Path
    grown: Path
    lost: Path


def build(run: Run) -> list[Lakes]:
    """The lakes of each data set."""
    return [_Builder(run, data).build() for data in data_sets(run.sizes.lake)]


class _Builder:
    """Builds the lakes of one data set."""

    def __init__(self, run: Run, data: DataSet) -> None:
        self.run = run
        self.data = data
        self.record = data.named
        self.topic = topic_of(self.record).name
        self.log = op.connect("memory://")

    def build(self) -> Lakes:
        rows = self.data.length
        new = max(1, rows // _GROWTH)
        with self.log:
            raw, lost = self._archived(rows)
            merged = self._merged(self.run.copy(raw))
            self._lose()
            self._merged(self._archive(lost))
            grown = self.run.copy(merged)
            for number in range(2):
                if number:
                    self._merged(grown)  # makes the index that each later dedup keeps up to date
                self._forget()
                self._publish(rows + number * new, new)
                self._archive(grown)
        return Lakes(self.data, self.record, rows, new, raw, merged, grown, lost)

    def _archived(self, rows: int) -> tuple[Path, Path]:
        """A lake of so many rows, and one in which the last part of them is still missing, though in the log."""
        lake = self.run.new_folder()
        producer = self.log.producer()
        for first in range(0, rows, _AT_ONCE):
            self._forget()
            count = min(_AT_ONCE, rows - first)
            for record, published in self.data.events(first, count, named=True):
                producer.publish(record, timestamp=published)
            if first + count == rows:
                producer.close()
                before = self.run.copy(lake)
            self._archive(lake)
        return lake, before

    def _publish(self, first: int, count: int) -> None:
        with self.log.producer() as producer:
            for record, published in self.data.events(first, count, named=True):
                producer.publish(record, timestamp=published)

    def _archive(self, lake: Path) -> Path:
        self._at(lake).archive(self.record)
        return lake

    def _merged(self, lake: Path) -> Path:
        self._at(lake).dedup(self.record)
        return lake

    def _at(self, lake: Path) -> op.Pipeline:
        return op.Pipeline(self.log.transport, self.log.registry, lake=lake)

    def _forget(self) -> None:
        """Let the log forget what it holds, as retention would."""
        transport: Any = self.log.transport
        for topic in transport.topics():
            if topic in (self.topic, AUDIT_TOPIC):
                for number in range(transport.describe_topic(topic).partitions):
                    partition = TopicPartition(topic, number)
                    reader = transport.reader([partition])
                    transport.trim(partition, reader.bounds(partition).end)
                    reader.close()

    def _lose(self) -> None:
        """Lose one record that the log holds."""
        transport: Any = self.log.transport
        partition = TopicPartition(self.topic, 0)
        reader = transport.reader([partition])
        bounds = reader.bounds(partition)
        reader.close()
        transport.faults.lose(self.topic, 0, (bounds.start + bounds.end) // 2)
