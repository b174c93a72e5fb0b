"""archive: from the log into the raw lake; what audit costs there, and the memory a backlog takes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree

import onepipe as op
from benchmarks.data import DataSet, data_sets
from benchmarks.measure import Result, Subject, Work, interleaved
from benchmarks.peak import peak_of
from benchmarks.run import Run
from onepipe.declaring.record import topic_of

_GOAL_MB = 1000


def archive(run: Run) -> Iterator[Result]:
    """Archiving what was published with audit against what was published without."""
    for data in data_sets(run.sizes.archive):
        by_name = data.record is data.named
        what = f"log in memory → raw lake, audit{' by name' if by_name else ''}"
        subject = Subject("archive", what, data.name, data.length)
        with op.connect("memory://") as audited, op.connect("memory://") as bare:
            _fill(audited, data, data.length, audit=True)
            _fill(bare, data, data.length, audit=False)
            ours, theirs = interleaved(run.rounds, _archiving(run, audited, data), _archiving(run, bare, data))
        yield subject.rate(ours)
        yield subject.cost(ours, theirs, "the same without audit", None if by_name else 5)
    for data in data_sets(run.sizes.lake):
        yield _peak(run, data)


def _fill(pipe: op.Pipeline, data: DataSet, count: int, *, audit: bool) -> None:
    with pipe.producer(audit=audit) as producer:
        for record, published in data.events(0, count):
            producer.publish(record, timestamp=published)


def _archiving(run: Run, pipe: op.Pipeline, data: DataSet) -> Work:
    def work(lake: Path) -> None:
        report = op.Pipeline(pipe.transport, pipe.registry, lake=lake).archive(data.record)
        assert (report.rows, report.quarantined) == (data.length, 0)

    return Work(work, run.new_folder, rmtree)


def _peak(run: Run, data: DataSet) -> Result:
    """The peak memory of a process that archives a backlog on disk."""
    folder = run.new_folder()
    url = f"memory://{folder / 'log'}?sync=os"
    with op.connect(url) as pipe:
        _fill(pipe, data, data.length, audit=True)
    peak = peak_of("archive", url, str(folder / "lake"), topic_of(data.record).name)
    rmtree(folder)
    subject = Subject("archive", f"peak memory, backlog of {data.length:,}", data.name, data.length)
    return subject.values([peak / 1e6], "MB", goal=_GOAL_MB)
