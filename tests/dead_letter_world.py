"""Orders, sinks that refuse some of them, and the letters that are kept of those."""

from __future__ import annotations

import datetime as dt
import shutil
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import onepipe as op
from onepipe.errors import CommitConflict

T0 = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


@op.record(topic="Orders", merge=op.latest("updated"))
class Order:
    id: str = op.field(identity=True)
    updated: dt.datetime
    email: str = op.field(sensitivity=["pii"])


def declare(topic: str) -> type[Any]:
    """The same record as that of another topic."""

    @op.record(topic=topic, name="Order", merge=op.latest("updated"))
    class Declared:
        id: str = op.field(identity=True)
        updated: dt.datetime
        email: str = op.field(sensitivity=["pii"])

    return Declared


def connect(folder: Path, url: str = "memory://") -> op.Pipeline:
    return op.connect(url, lake=folder / "lake", partitions=2)


def orders(count: int) -> list[Order]:
    return [Order(id=f"O{number}", updated=T0, email=f"{number}@example.org") for number in range(count)]


def publish(pipe: op.Pipeline, count: int) -> None:
    with pipe.producer() as producer:
        producer.publish_many(orders(count))


def kept(pipe: op.Pipeline, **options: Any) -> list[op.DeadLetter]:
    return list(pipe.dead_letters(Order, **{"state": None, **options}))


def orders_of(batch: op.SinkBatch[Any]) -> list[Order]:
    """The orders of a batch, in which there are no deletes."""
    return [record for record in batch.records if not isinstance(record, op.Deletion)]


class Collecting:
    """An idempotent sink in memory."""

    def __init__(self) -> None:
        self.records: list[Any] = []

    def write(self, batch: op.SinkBatch[Any]) -> None:
        self.records += batch.records


class Refusing(Collecting):
    """One that stores nothing of a batch with an order it refuses."""

    def __init__(self, refused: Iterable[str]) -> None:
        super().__init__()
        self.refused = set(refused)

    def write(self, batch: op.SinkBatch[Any]) -> None:
        for record in orders_of(batch):
            if record.id in self.refused:
                raise ValueError(f"no room for {record.id}")
        super().write(batch)


class Rows:
    """A transactional sink: how often each order took effect, and the progress, in one database."""

    def __init__(self, path: Path, refused: Iterable[str] = ()) -> None:
        self.refused = set(refused)
        self.db = sqlite3.connect(path, isolation_level=None, timeout=30)
        self.db.execute("create table if not exists effects (id text primary key, times int)")
        self.db.execute("create table if not exists progress (log text, part int, next int, primary key (log, part))")

    def progress(self, log: str, partition: int) -> int | None:
        row = self.db.execute("select next from progress where log = ? and part = ?", (log, partition)).fetchone()
        return row[0] if row else None

    def write(self, batch: op.SinkBatch[Any]) -> None:
        self.db.execute("begin immediate")
        with self.db:
            if self.progress(batch.log, batch.partition) not in (None, batch.first):
                raise CommitConflict("another process was faster")
            for record in orders_of(batch):
                self.take(record)
            self.db.execute(
                "insert or replace into progress values (?, ?, ?)", (batch.log, batch.partition, batch.next)
            )

    def take(self, order: Any) -> None:
        """Let an order, of the class or a dict, take effect once more; without progress."""
        name = order["id"] if isinstance(order, dict) else order.id
        if name in self.refused:
            raise ValueError(f"no room for {name}")
        self.db.execute("insert into effects values (?, 1) on conflict (id) do update set times = times + 1", (name,))

    def effects(self) -> dict[str, int]:
        return dict(self.db.execute("select id, times from effects"))

    def close(self) -> None:
        self.db.close()


def forget(folder: Path, name: str) -> None:
    """Lose the progress of a sink, as a kill before it was stored does."""
    shutil.rmtree(folder / "lake" / "sinks" / name)
