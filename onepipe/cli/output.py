"""Where the command line prints: results to standard output, progress to standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def say_text(text: str) -> None:
    """Print a result."""
    sys.stdout.write(f"{text}\n")


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
