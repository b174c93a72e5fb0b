"""A sink fed through a pipeline in a process of its own, which may kill itself at a given point; run by tests."""

from __future__ import annotations

import datetime as dt
import sqlite3
import sys
from pathlib import Path

from interrupted import interrupt_at

import onepipe as op
from onepipe.errors import CommitConflict
from onepipe.lake.storage import LocalStorage

T0 = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


@op.record(topic="Widgets", merge=op.latest("updated"))
class Widget:
    sid: str = op.field(identity=True)
    updated: dt.datetime
    status: str


def connect(folder: Path) -> op.Pipeline:
    return op.connect(
        f"memory://{folder}/log", lake=folder / "lake", registry=f"sqlite:///{folder}/registry.db", partitions=2
    )


class Table:
    """Widgets in SQLite, each written once for each time it takes effect; durable, and idempotent by version."""

    def __init__(self, folder: Path) -> None:
        self.db = sqlite3.connect(folder / "widgets.db", isolation_level=None, timeout=30)
        self.db.execute("create table if not exists widgets (sid text primary key, updated text)")
        self.db.execute("create table if not exists effects (sid text, updated text)")
        self.db.execute("create table if not exists progress (log text, part int, next int, primary key (log, part))")

    def write(self, batch: op.SinkBatch[Widget]) -> None:
        self.db.execute("begin immediate")
        with self.db:
            self.store(batch)

    def store(self, batch: op.SinkBatch[Widget]) -> None:
        for record in batch.records:
            if isinstance(record, op.Deletion):
                self.db.execute("delete from widgets where sid = ?", (record.fields["sid"],))
            else:
                row = (record.sid, record.updated.isoformat())
                self.db.execute("insert or replace into widgets values (?, ?)", row)
                self.db.execute("insert into effects values (?, ?)", row)


class Transactional(Table):
    """The same with progress in the same transaction."""

    def progress(self, log: str, partition: int) -> int | None:
        row = self.db.execute("select next from progress where log = ? and part = ?", (log, partition)).fetchone()
        return row[0] if row else None

    def store(self, batch: op.SinkBatch[Widget]) -> None:
        if self.progress(batch.log, batch.partition) not in (None, batch.first):
            raise CommitConflict("another process was faster")
        super().store(batch)
        self.db.execute("insert or replace into progress values (?, ?, ?)", (batch.log, batch.partition, batch.next))


if __name__ == "__main__":
    _, where, tier, *point = sys.argv
    sink_class = Transactional if tier == "transactional" else Table
    with connect(Path(where)) as pipe:
        pipe.register(Widget)
        if point:
            owner = LocalStorage if point[0] == "write_new" else sink_class
            interrupt_at(owner, point[0], int(point[1]), after=point[2] == "after")
        print(pipe.sink(Widget, sink_class(Path(where)), name="table", max_batch=7))  # noqa: T201 - the parent reads it
