"""Where the command line prints: results to standard output, progress to standard error."""

from __future__ import annotations

import datetime as dt
import io
import json
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onepipe.errors import OnepipeError

if TYPE_CHECKING:
    from collections.abc import Callable


def prepare() -> None:
    """Make standard output and error take whatever is printed.

    Files and pipes get UTF-8 whatever the system's encoding is, as JSON, HTML and Python source must be. A terminal
    gets its own encoding, with "?" in place of what that lacks.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            if stream.isatty():
                stream.reconfigure(errors="replace")
            else:
                stream.reconfigure(encoding="utf-8")


def own_name() -> str:
    """How to call this command line again from the same folder, as a word of a shell.

    A virtual environment that is not activated has its commands off the path: "onepipe" would not be found, or be
    another one.
    """
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        return f"{shlex.quote(sys.executable)} -m onepipe.cli"
    found = shutil.which("onepipe")
    same = found is not None and called.exists() and called.samefile(found)
    return "onepipe" if same else shlex.quote(sys.argv[0])


def complain(message: str) -> None:
    """Say on standard error what cannot be done, or what becomes of it."""
    sys.stderr.write(f"onepipe: {message}\n")


def reason(error: Exception) -> str:
    """What an error says; one of the system names its file."""
    if isinstance(error, OSError) and not isinstance(error, OnepipeError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def say_progress(command: str, topics: Sequence[str], every: dt.timedelta | None = None) -> None:
    """Say on standard error what begins."""
    again = "" if every is None else f", every {every}"
    sys.stderr.write(f"{command} {', '.join(topics)}{again} …\n")
    sys.stderr.flush()


def say_text(text: str) -> None:
    """Print a result; whoever reads it has it at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def say_json(value: Any) -> None:
    """Print a result as JSON in one line."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, default=str) + "\n")
    sys.stdout.flush()


@contextmanager
def progress_bar(title: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show a bar on standard error while work goes on, where that is a terminal and rich is installed; else a line.

    The bar is drawn a few times a second, by a thread of its own; telling it what was done costs next to nothing.

    Args:
        title: what is done.
        total: how much there is to do; None where that is not known: the bar then only shows that work goes on.

    Yields:
        A function that is told how much was done since it was told last.
    """
    try:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn
    except ImportError:
        console = None
    else:
        console = Console(stderr=True)
    if console is None or not console.is_terminal:
        sys.stderr.write(f"{title} …\n")
        sys.stderr.flush()
        yield lambda _: None
        return
    columns = [TextColumn("{task.description:<8}"), BarColumn(32), TextColumn("{task.elapsed:6.1f} s")]
    if total is not None:
        columns.append(TextColumn("{task.completed:,.0f} of {task.total:,.0f}"))
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(title, total=total)
        yield lambda done: progress.advance(task, done)
        if total is None:
            progress.update(task, total=1, completed=1)
