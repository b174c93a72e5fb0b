"""Archives and dedups into a lake anywhere, in processes that may interrupt themselves; run as a script by tests.

s3_process.py FOLDER LAKE                              archive and deduplicate what the log in a folder holds
s3_process.py FOLDER LAKE POINT CALL WHEN SIGNAL       the same, interrupted before or after a call of one of POINTS
"""

from __future__ import annotations

import datetime as dt
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from interrupted import interrupt_at

import onepipe as op
from onepipe.lake.archive import ArchiveLimits
from onepipe.lake.committing import Committing
from onepipe.lake.raw_files import RawFileWriter
from onepipe.lake.s3 import S3Storage

POINTS = {
    "finish": (RawFileWriter, "finish"),
    "publish": (S3Storage, "publish"),
    "commit": (Committing, "transact"),
    "durable": (S3Storage, "make_durable"),
}
T0 = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
LIMITS = ArchiveLimits(file_rows=40, batch=25, memory=60_000)


@op.record(topic="Trips", merge=op.latest("version"), event_time="day", audit="named")
class Trip:
    id: int = op.field(identity=True)
    version: int
    day: dt.datetime
    distance: int | None = None


def trip(number: int) -> Trip:
    return Trip(id=number % 70, version=number // 70, day=T0 + dt.timedelta(days=number % 5), distance=number)


def publish(folder: Path, count: int, first: int = 0) -> None:
    """Publish records to the log in a folder."""
    with op.connect(f"memory://{folder}/log", partitions=3) as pipe, pipe.producer() as producer:
        for number in range(first, first + count):
            producer.publish(trip(number), timestamp=1_767_225_600_000 + number * 60_000)


def lake_it(folder: Path | str, lake: Path | str) -> None:
    """Archive and deduplicate what the log in a folder holds."""
    with op.connect(f"memory://{folder}/log", lake=lake) as pipe:
        pipe.archive(Trip, limits=LIMITS)
        pipe.dedup(Trip, target_rows=25)


def contents(folder: Path, lake: Path | str) -> dict[str, Any]:
    """All rows of both tables and the deepest verdict, to be compared with another lake's of the same log."""
    with op.connect(f"memory://{folder}/log", lake=lake) as pipe:
        raw, clean = (
            table.system_columns().to_arrow().sort_by([("_op_partition", "ascending"), ("_op_offset", "ascending")])
            for table in (pipe.table(Trip).raw(), pipe.table(Trip))
        )
        verdict = pipe.verify(Trip, level="deep")
    hops = {hop.hop.value: (hop.state.value, hop.expected, hop.found) for hop in verdict.hops}
    return {"raw": raw.to_pylist(), "clean": clean.to_pylist(), "hops": hops, "findings": verdict.findings}


def start(folder: Path, lake: str, *words: object) -> subprocess.Popen[str]:
    """Archive and deduplicate in a process of its own."""
    paths = os.pathsep.join(path for path in sys.path if path)
    command: Sequence[str] = [sys.executable, str(Path(__file__)), str(folder), lake, *map(str, words)]
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": paths}, text=True)


if __name__ == "__main__":
    _, where, url, *rest = sys.argv
    if rest:
        point, call, when, how = rest
        interrupt_at(*POINTS[point], int(call), after=when == "after", how=signal.Signals[how])
    lake_it(where, url)
