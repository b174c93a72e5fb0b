"""An archive in a process of its own, which may kill itself at a given point; run as a script by tests."""

from __future__ import annotations

import sys

from interrupted import interrupt_at
from raw_messages import declare

from onepipe.errors import CommitConflict
from onepipe.lake import open_lake
from onepipe.lake.archive import ArchiveLimits, archive
from onepipe.lake.committing import Committing
from onepipe.lake.maintenance import compact_raw
from onepipe.lake.raw_files import RawFileWriter
from onepipe.lake.storage import LocalStorage
from onepipe.plugins import open_transport
from onepipe.registry import open_registry

POINTS = {
    "spill": (RawFileWriter, "spill"),
    "publish": (LocalStorage, "publish"),
    "commit": (Committing, "transact"),
    "durable": (LocalStorage, "make_durable"),
}


def run(folder: str, *, compact: bool = False) -> int:
    """Archive what the log in a folder holds into the lake in it; the conflicts there were."""
    transport = open_transport(f"memory://{folder}/log")
    registry = open_registry(f"sqlite:///{folder}/registry.db")
    lake = open_lake(f"{folder}/lake")
    limits = ArchiveLimits(file_rows=40, batch=25, memory=60_000)
    report = archive(declare(), transport, lake, registry, limits=limits)
    transport.close()
    registry.close()
    conflicts = report.conflicts
    for _ in range(3 if compact else 0):
        try:
            conflicts += compact_raw(lake, "Widgets").conflicts
        except CommitConflict:
            conflicts += 1
    return conflicts


if __name__ == "__main__":
    _, where, *rest = sys.argv
    if rest and rest[0] != "compact":
        interrupt_at(*POINTS[rest[0]], int(rest[1]), after=rest[2] == "after")
    print(run(where, compact=rest[:1] == ["compact"]))  # noqa: T201  (the parent reads it)
