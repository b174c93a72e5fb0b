"""verify: the verdict about a balanced lake, and about one that misses a record."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree
from typing import Final, Literal

import onepipe as op
from benchmarks.dedup import deduping
from benchmarks.lakes import Lakes, build
from benchmarks.measure import Result, Subject, Work, interleaved
from benchmarks.run import Run
from onepipe.audit.verdict import Hop, Kind

_GOAL: Final = 4
_GOAL_SECONDS: Final = 10
_AGAINST: Final = "its own full dedup"


def verify(run: Run) -> Iterator[Result]:
    """Verification by level beside dedup, and the time until a lost record is named."""
    for lakes in run.lakes(build):
        yield from _balanced(run, lakes)
        yield _lost(run, lakes)


def _balanced(run: Run, lakes: Lakes) -> Iterator[Result]:
    proved = run.copy(lakes.merged)
    _check(lakes, proved, "proved")
    accounted, first, again, rebuilt = interleaved(
        run.rounds,
        Work(lambda lake: _check(lakes, lake, "accounted"), lambda: run.copy(lakes.merged), rmtree),
        Work(lambda lake: _check(lakes, lake, "proved"), lambda: run.copy(lakes.merged), rmtree),
        Work(lambda _: _check(lakes, proved, "proved")),
        deduping(run, lakes, lakes.raw, rebuild=True),
    )
    rmtree(proved)
    for what, seconds in (("accounted", accounted), ("proved, first time", first), ("proved, again", again)):
        subject = Subject("verify", f"balanced, {what}, {lakes.rows:,} rows", lakes.data.name, lakes.rows)
        yield subject.speed(seconds, rebuilt, _AGAINST, _GOAL)


def _lost(run: Run, lakes: Lakes) -> Result:
    (seconds,) = interleaved(run.rounds, Work(lambda lake: _find(lakes, lake), lambda: run.copy(lakes.lost), rmtree))
    subject = Subject("verify", f"one lost record of {lakes.rows:,} named", lakes.data.name, lakes.rows)
    return subject.values(seconds, "s", goal=_GOAL_SECONDS)


def _check(lakes: Lakes, lake: Path, level: Literal["accounted", "proved"]) -> None:
    with op.connect("memory://", lake=lake) as pipe:
        verdict = pipe.verify(lakes.record, level=level)
    assert verdict.balanced, str(verdict)


def _find(lakes: Lakes, lake: Path) -> None:
    with op.connect("memory://", lake=lake) as pipe:
        verdict = pipe.verify(lakes.record, level="accounted")
    (finding,) = verdict.findings
    assert (finding.kind, finding.hop) == (Kind.LOST, Hop.LOG), str(finding)
    assert finding.identity, str(finding)
