"""A member of a group of archives, in a process of its own, until it gets SIGTERM; run as a script by tests.

archiver_process.py TOPIC PLACES        archive what comes
archiver_process.py TOPIC PLACES hold   the same, stopped (SIGSTOP) as it is about to commit its first rows

PLACES is a JSON object of the arguments of `Places`. Says "ready" once it is connected, and at its end, as JSON, how
many rows and commits it made, and how many commits it was refused, as another archive had committed first. SIGUSR1
makes it say where its threads stand.
"""

from __future__ import annotations

import faulthandler
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from types import FrameType
from typing import Any

import attrs

import onepipe as op
from onepipe.lake import layout
from onepipe.lake.archive import ArchiveLimits
from onepipe.lake.table import LakeTable

GROUP = "archivers"
LIMITS = ArchiveLimits(file_rows=200, batch=100, linger=0.3)


@attrs.frozen
class Places:
    """Where a pipeline of these tests has its parts.

    Attributes:
        url: of the log.
        lake: folder or URL of the lake.
        registry: URL of the registry.
        settings: of the transport.
    """

    url: str
    lake: str
    registry: str
    settings: Mapping[str, str] = attrs.field(factory=dict)

    def connect(self) -> op.Pipeline:
        """A pipeline over these places."""
        return op.connect(self.url, lake=self.lake, registry=self.registry, settings=self.settings)


def start(topic: str, places: Places, *words: str) -> subprocess.Popen[str]:
    """Run this script."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.Popen(
        [sys.executable, __file__, topic, json.dumps(attrs.asdict(places)), *words],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def hold_at_commit(topic: str) -> None:
    """Stop this process once, as it is about to commit rows of a topic."""
    commit, held = LakeTable.commit, False

    def holding(table: LakeTable, files: Any, **options: Any) -> Any:
        nonlocal held
        if files and not held and table.root == layout.raw_table(topic):
            held = True
            os.kill(os.getpid(), signal.SIGSTOP)
        return commit(table, files, **options)

    LakeTable.commit = holding  # type: ignore[method-assign,assignment]  # stands in for it


def follow(topic: str, places: Places) -> None:
    """Archive what comes until SIGTERM."""
    stop = threading.Event()

    def end(_: int, __: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, end)
    with places.connect() as pipe:
        print("ready", flush=True)  # noqa: T201 - the parent waits for it
        report = pipe.archive(topic, until="stopped", stop=stop, limits=LIMITS, group=GROUP)
    said = {"rows": report.rows, "commits": report.commits, "conflicts": report.conflicts}
    print(json.dumps(said))  # noqa: T201 - the parent reads it


if __name__ == "__main__":
    faulthandler.register(signal.SIGUSR1)
    logging.getLogger().addHandler(logging.NullHandler())  # nobody reads the pipe meanwhile: logs would fill it
    if sys.argv[3:] == ["hold"]:
        hold_at_commit(sys.argv[1])
    follow(sys.argv[1], Places(**json.loads(sys.argv[2])))
