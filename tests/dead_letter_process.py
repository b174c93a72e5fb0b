"""Feeding, handling and replaying orders of which some fail, in a process that tests kill at any moment; a script.

dead_letter_process.py TASK TOPIC PLACES DATABASE [CALL NUMBER before|after]

TASK is a name of `TASKS`, PLACES a JSON object of the arguments of `Places`. The orders of `refused` are refused by
whoever meets them first, and taken when they are replayed. With CALL, the process kills itself at that call of `write`
or `take` of its database, or of `_send` of its letters. Says "ready" once it is connected.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import attrs
from archiver_process import Places
from dead_letter_world import Rows, declare, orders_of
from interrupted import interrupt_at

import onepipe as op
from onepipe.dead_letters.sender import LetterSender

SINK: Final = "crm"
GROUP: Final = "billing"
QUICK: Final = op.backoff(1, first=0.0)

_MOST: Final = 10_000


def refused(count: int) -> set[str]:
    """Which of so many orders are refused when they are met first."""
    return {f"O{number}" for number in range(4, count, 9)}


class Idempotent:
    """A sink without progress of its own: what it is given takes effect, perhaps again."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows

    def write(self, batch: op.SinkBatch[Any]) -> None:
        self.rows.db.execute("begin immediate")
        with self.rows.db:
            for each in orders_of(batch):
                self.rows.take(each)


def sink_settings() -> Mapping[str, Any]:
    return {"name": SINK, "max_batch": 8, "retry": QUICK, "on_failure": "dead_letter"}


def feed(pipe: op.Pipeline, order: type[Any], rows: Rows) -> None:
    pipe.sink(order, rows, **sink_settings())


def feed_idempotent(pipe: op.Pipeline, order: type[Any], rows: Rows) -> None:
    pipe.sink(order, Idempotent(rows), **sink_settings())


def handle(pipe: op.Pipeline, order: type[Any], rows: Rows) -> None:
    with pipe.consumer(order, group=GROUP, until="end", on_undecodable="yield") as consumer:
        consumer.handle(lambda received: rows.take(received.record), retry=QUICK, on_failure="dead_letter")


def replay(pipe: op.Pipeline, order: type[Any], rows: Rows) -> None:
    pipe.dead_letters(order, consumer=SINK).replay(rows)


def replay_idempotent(pipe: op.Pipeline, order: type[Any], rows: Rows) -> None:
    pipe.dead_letters(order, consumer=SINK).replay(Idempotent(rows))


def replay_handled(pipe: op.Pipeline, order: type[Any], rows: Rows) -> None:
    pipe.dead_letters(order, consumer=GROUP).replay(lambda received: rows.take(received.record))


TASKS: Final[Mapping[str, Callable[[op.Pipeline, type[Any], Rows], None]]] = {
    task.__name__: task for task in (feed, feed_idempotent, handle, replay, replay_idempotent, replay_handled)
}


def start(task: str, topic: str, places: Places, database: Path, *point: str) -> subprocess.Popen[str]:
    """Run this script, and wait until it is connected."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    process = subprocess.Popen(
        [sys.executable, __file__, task, topic, json.dumps(attrs.asdict(places)), str(database), *point],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n", process.communicate()[1]
    return process


if __name__ == "__main__":
    _, name, topic_name, where, path, *call = sys.argv
    database = Rows(Path(path), () if name.startswith("replay") else refused(_MOST))
    with Places(**json.loads(where)).connect() as pipeline:
        if call:
            owner = LetterSender if call[0] == "_send" else Rows
            interrupt_at(owner, call[0], int(call[1]), after=call[2] == "after")
        print("ready", flush=True)  # noqa: T201 - the parent waits for it
        TASKS[name](pipeline, declare(topic_name), database)
