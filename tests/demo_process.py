"""The demonstration in a process of its own, which may kill itself at a given point; run as a script by tests.

demo_process.py FOLDER FLIGHTS                       the whole job; prints its account as JSON
demo_process.py FOLDER FLIGHTS POINT CALL WHEN       the same, killed before or after a call of one of POINTS
demo_process.py FOLDER FLIGHTS POINT CALL WHEN stop  the same, stopped (SIGSTOP) there until it is told to go on
demo_process.py FOLDER FLIGHTS merge                 archive and dedup of what was published, in small steps

PLACES, a JSON object in the environment, says what is elsewhere than in the folder.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
from interrupted import interrupt_at

import onepipe as op
from onepipe.audit.ledger import Ledger
from onepipe.demo import job
from onepipe.demo.flights import Flight
from onepipe.demo.notes import Notes
from onepipe.demo.places import Places
from onepipe.demo.tampering import Tampering
from onepipe.lake.archive import ArchiveLimits
from onepipe.lake.committing import Committing
from onepipe.lake.engine import Engine
from onepipe.lake.raw_files import RawFileWriter
from onepipe.lake.storage import LocalStorage
from onepipe.publishing.producer import Producer

SEED = 2013
POINTS = {
    "record": (Producer, "publish"),
    "closing": (Producer, "close"),
    "clearing": (job.shutil, "rmtree"),
    "marker": (Notes, "end_publishing"),
    "raw rows": (RawFileWriter, "add"),
    "raw file": (RawFileWriter, "finish"),
    "file": (LocalStorage, "publish"),
    "commit": (Committing, "transact"),
    "merging": (Engine, "stream"),
    "proof": (Ledger, "add_proofs"),
    "seal": (Ledger, "seal"),
}


@contextmanager
def quiet(_: str, __: int | None) -> Iterator[Callable[[int], None]]:
    """Progress that is not shown."""
    yield lambda _: None


def run(
    folder: str | Path,
    flights: int,
    *,
    seed: int = SEED,
    tampering: Tampering | None = None,
    places: Places | None = None,
) -> job.Account:
    """Do the main job in this process."""
    tampering = tampering or Tampering()
    return job.run_job(folder, seed=seed, tampering=tampering, flights=flights, progress=quiet, places=places)


def start(folder: Path, flights: int, *words: object, places: Places | None = None) -> subprocess.Popen[str]:
    """Run this script."""
    paths = os.pathsep.join(path for path in sys.path if path)
    elsewhere = json.dumps(attrs.asdict(places or Places()))
    return subprocess.Popen(
        [sys.executable, __file__, str(folder), str(flights), *map(str, words)],
        env={**os.environ, "PYTHONPATH": paths, "PLACES": elsewhere},
        stdout=subprocess.PIPE,
        text=True,
    )


def merge(folder: str) -> None:
    """Archive and deduplicate what was published, in many commits."""
    with op.connect(f"memory://{folder}/log", lake=f"{folder}/lake") as pipe:
        limits = ArchiveLimits(file_rows=300, batch=200)
        pipe.archive(Flight, limits=limits)
        pipe.dedup(Flight)


if __name__ == "__main__":
    _, where, count, *rest = sys.argv
    if rest == ["merge"]:
        merge(where)
    else:
        if rest:
            point, call, when, *stop = rest
            how = signal.SIGSTOP if stop else signal.SIGKILL
            interrupt_at(*POINTS[point], int(call), after=when == "after", how=how)
        elsewhere = Places(**json.loads(os.environ["PLACES"]))
        account = run(where, int(count), places=elsewhere)
        print(json.dumps(account.to_json(), default=str))  # noqa: T201 - the parent reads it
