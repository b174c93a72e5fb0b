"""`onepipe dedup`: from what was archived to what is true, once or again and again."""

from __future__ import annotations

import argparse
import threading
from typing import TYPE_CHECKING, Any

from onepipe.cli.account import Account
from onepipe.cli.durations import span
from onepipe.cli.lakes import add_json, add_lake, add_topics, existing_lake, required_in
from onepipe.cli.numbers import positive
from onepipe.cli.output import say_progress
from onepipe.cli.stopping import work_until_told
from onepipe.cli.turns import in_turn, outcome
from onepipe.errors import ConfigurationError

if TYPE_CHECKING:
    from onepipe.lake.dedup import DedupReport
    from onepipe.lake.dedup_engine import DedupEngine


def add(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "dedup",
        help="merge what was archived into the clean tables",
        description=(
            "Merge what was archived of topics since the last time into their clean tables. The lake alone is needed; "
            "it knows the declarations."
        ),
        epilog=(
            "Ctrl-C and SIGTERM end it after the merge at hand. Exit codes: 0 merged, or, with --every, until told to "
            "end; 2 could not be carried out on every topic; 130 (Ctrl-C) and 143 (SIGTERM) told to end earlier."
        ),
    )
    add_topics(parser, "names of topics of the lake")
    add_lake(parser)
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--every", metavar="TIME", type=span, help="do so again each time this has passed, such as 5m")
    how.add_argument("--rebuild", action="store_true", help="make the clean tables anew from all that was archived")
    engines = ("duckdb", "spark")
    parser.add_argument("--engine", choices=engines, default="duckdb", help="fold in this process, or on Spark")
    parser.add_argument(
        "--task-rows", metavar="N", type=positive, help="with --engine spark: about how many rows a task folds"
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Merge, and say by the exit code whether all of it was done."""
    lake = existing_lake(options)
    names = required_in(lake, options.topics)

    from onepipe.observe.events import Observers
    from onepipe.pipeline.lake_steps import merge
    from onepipe.plugins import default_plugins

    tell = Observers.of(default_plugins().observers())

    engine = _engine(options)

    def step(name: str, _: threading.Event) -> DedupReport:
        topic = lake.topic(name)  # as it is declared by now
        return merge(lake, topic, tell=tell, rebuild=options.rebuild, engine=engine)

    account = Account("dedup", names, _line if options.every is None else _news, as_json=options.json)
    say_progress("dedup", names, options.every)
    told = work_until_told([in_turn(account, names, step, every=options.every)])
    return outcome(account, told, endless=options.every is not None)


def _engine(options: argparse.Namespace) -> DedupEngine:
    from onepipe.lake.engines import dedup_engine

    if options.task_rows is None:
        return dedup_engine(options.engine)
    if options.engine != "spark":
        raise ConfigurationError("--task-rows is for Spark, which has tasks", remedy="add --engine spark")
    from onepipe.lake.spark import SparkEngine

    return SparkEngine(task_rows=options.task_rows)


def _line(report: DedupReport) -> str:
    return _news(report) or f"{report.topic}: nothing new to merge"


def _news(report: DedupReport) -> str | None:
    """A report as text where something was merged."""
    if not report.read and not report.rebuilt:
        return None
    merged = f"{report.arrivals:,} arrivals merged, {report.identities:+,} identities"
    anew = ", made anew" if report.rebuilt else ""
    return f"{report.topic}: {merged}{anew} in {report.seconds:.1f} s"
