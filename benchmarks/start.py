"""import: how much later than a bare interpreter a program starts that uses onepipe."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmarks.measure import Result, Subject, Work, interleaved
from benchmarks.run import Run

_USE: Final = "from onepipe import connect, field, latest, record"
"""What a program that publishes names at once; public names are loaded when they are first used."""
_STARTS: Final = 3
"""Starts that are timed at once, and rounds for each one elsewhere: a start varies by more than what is measured."""


def start(run: Run) -> Iterator[Result]:
    """Starting with `import onepipe`, with what a publishing program names, and with the command line's help."""
    cache = run.new_folder()
    bare, imported, used, shown = interleaved(
        _STARTS * run.rounds,
        _starting(cache, "-c", "pass"),
        _starting(cache, "-c", "import onepipe"),
        _starting(cache, "-c", _USE),
        _starting(cache, "-m", "onepipe.cli", "--help"),
    )
    for what, seconds, goal in (("import onepipe", imported, 60), (_USE, used, 60), ("onepipe --help", shown, 150)):
        more = [1000 * (ours - theirs) / _STARTS for ours, theirs in zip(seconds, bare, strict=True)]
        yield Subject("import", what, "", 1).values(more, "ms", "a bare interpreter's start: so much more", goal)


def _starting(cache: Path, *arguments: str) -> Work:
    """Start an interpreter. Compiled modules are kept, as installed ones are, whatever the environment says."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(cache)

    def run(_: object) -> None:
        for _number in range(_STARTS):
            command = [sys.executable, *arguments]
            subprocess.run(command, check=True, capture_output=True, env=environment)  # noqa: S603 - our own words

    return Work(run)
