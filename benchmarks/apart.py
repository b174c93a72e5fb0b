"""Peers that run apart, in a process with Python packages of its own: theirs and those of others exclude each other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path
from shutil import rmtree
from typing import IO, Any, Final, Self

from benchmarks.measure import Work
from benchmarks.run import Run

_HERE: Final = Path(__file__).parent


class Apart:
    """A process that runs a script's `work` once for each line it is sent, and says when it has done so.

    What it imports, and a virtual machine that it starts, stays warm from run to run.
    """

    def __init__(self, script: str, requirements: Sequence[str], settings: Mapping[str, Any]) -> None:
        """Start the process.

        Args:
            script: name of a file beside this one, without its ending; it calls `apart_loop.serve`.
            requirements: packages it needs, each of one version.
            settings: what it is told at its start.
        """
        command = [_python(script, requirements), str(_HERE / f"{script}.py"), json.dumps(dict(settings))]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own script

    def work(self, run: Run) -> Work:
        """One run of its work, into a new folder each."""
        return Work(lambda folder: self._ask(str(folder)), run.new_folder, rmtree)

    def __enter__(self) -> Self:
        """The process, for as long as it is worked with."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the process."""
        self._process.communicate()

    def _ask(self, line: str) -> None:
        asked, told = self._process.stdin, self._process.stdout
        assert asked is not None
        assert told is not None
        print(line, file=asked, flush=True)
        answer = _answer(told)
        assert answer == "done", answer or f"ended with exit code {self._process.wait()}"


def _answer(told: IO[str]) -> str:
    """The first line that is an answer, and not what a peer prints by itself."""
    return next((line.strip() for line in told if line.startswith(("done", "failed"))), "")


def _python(name: str, requirements: Sequence[str]) -> str:
    """The interpreter of an environment with these packages, made at first use and kept from run to run."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "onepipe-benchmarks" / "-".join([name, *requirements])
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    if not (folder / "complete").exists():
        print(f"making an environment of {', '.join(requirements)}", file=sys.stderr, flush=True)
        venv.create(folder, clear=True, with_pip=True)
        install = [python, "-m", "pip", "install", "-q", *requirements]
        subprocess.run(install, check=True)  # noqa: S603 - our own words
        (folder / "complete").touch()
    return str(python)
