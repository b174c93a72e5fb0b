"""A member of a group of archives, in a process of its own, until it gets SIGTERM; run as a script by tests.

kafka_archiver.py SCHEME ADDRESS FOLDER TOPIC [LAKE]
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import FrameType

import onepipe as op
from onepipe.lake.archive import ArchiveLimits

GROUP = "archivers"
SESSION_MS = 3000
SETTINGS = {
    "consumer.session.timeout.ms": str(SESSION_MS),
    "consumer.heartbeat.interval.ms": "500",
    "consumer.fetch.wait.max.ms": "50",
}
LIMITS = ArchiveLimits(file_rows=200, batch=100, linger=0.3)


def connect(scheme: str, address: str, folder: Path, lake: str | None = None) -> op.Pipeline:
    """The pipeline of tests: a Kafka, a registry and a lake in a folder; or another lake."""
    registry = f"sqlite:///{folder}/registry.db"
    return op.connect(f"{scheme}://{address}", lake=lake or folder / "lake", registry=registry, settings=SETTINGS)


def start(scheme: str, address: str, folder: Path, topic: str, lake: str | None = None) -> subprocess.Popen[str]:
    """Run this script; it says "ready" once it is connected."""
    words = [scheme, address, str(folder), topic, *([lake] if lake else [])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.Popen(
        [sys.executable, __file__, *words],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def follow(scheme: str, address: str, folder: Path, topic: str, lake: str | None = None) -> None:
    """Archive what comes until SIGTERM."""
    stop = threading.Event()

    def end(_: int, __: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, end)
    with connect(scheme, address, folder, lake) as pipe:
        print("ready", flush=True)  # noqa: T201 - the parent waits for it
        pipe.archive(topic, until="stopped", stop=stop, limits=LIMITS, group=GROUP)


if __name__ == "__main__":
    follow(sys.argv[1], sys.argv[2], Path(sys.argv[3]), *sys.argv[4:])
