"""import: how much later than a bare interpreter a program starts that uses onepipe."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Final

from benchmarks.measure import Result, Subject, Work, interleaved
from benchmarks.run import Run

_STARTS: Final = 3
"""Starts that are timed at once, and rounds for each one elsewhere: a start varies by more than what is measured."""


def start(run: Run) -> Iterator[Result]:
    """Starting with `import onepipe`, and the command line's help, beside a bare interpreter."""
    bare, imported, shown = interleaved(
        _STARTS * run.rounds,
        _starting("-c", "pass"),
        _starting("-c", "import onepipe"),
        _starting("-m", "onepipe.cli", "--help"),
    )
    for what, seconds, goal in (("import onepipe", imported, 60), ("onepipe --help", shown, 150)):
        more = [1000 * (ours - theirs) / _STARTS for ours, theirs in zip(seconds, bare, strict=True)]
        yield Subject("import", what, "", 1).values(more, "ms", "a bare interpreter's start: so much more", goal)


def _starting(*arguments: str) -> Work:
    def run(_: object) -> None:
        for _number in range(_STARTS):
            subprocess.run([sys.executable, *arguments], check=True, capture_output=True)  # noqa: S603 - our own words

    return Work(run)
