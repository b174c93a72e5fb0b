"""`onepipe archive`: from the log into the lake, once or for as long as it is left running."""

from __future__ import annotations

import argparse
import datetime as dt
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from onepipe.cli.account import Account
from onepipe.cli.durations import span
from onepipe.cli.lakes import add_json, add_lake, add_topics, named_lake
from onepipe.cli.output import say_progress
from onepipe.cli.stopping import Work, work_until_told
from onepipe.cli.turns import in_turn, outcome
from onepipe.errors import NotRegistered
from onepipe.hookspecs import hookimpl

if TYPE_CHECKING:
    from onepipe.declaring.topic import Topic
    from onepipe.lake.archive import ArchiveReport
    from onepipe.observe.events import Event, Observer
    from onepipe.pipeline import Pipeline
    from onepipe.transport import Until

_LINGER: Final = dt.timedelta(seconds=60)
_LEAST_MEMORY: Final = 16 << 20


def add(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "archive",
        help="bring topics from the log into the lake",
        description=(
            "Archive topics, and the evidence about them, from where the lake is up to the present end of the log; "
            "with --follow, also what comes later. Each record is archived exactly once, however often this is run, "
            "killed, or run by several at once."
        ),
        epilog=(
            "Ctrl-C and SIGTERM end it in good order: what was read is committed. Exit codes: 0 archived to the end, "
            "or, with --follow, until told to end; 2 could not be carried out on every topic; 130 (Ctrl-C) and 143 "
            "(SIGTERM) ended before the end of the log."
        ),
    )
    add_topics(parser, "names of registered topics, or of topics of the lake that others write")
    parser.add_argument("--url", metavar="URL", help="the log (default: $ONEPIPE_URL)")
    add_lake(parser)
    parser.add_argument(
        "--registry", metavar="URL", help="the registry (default: $ONEPIPE_REGISTRY, else the one of the log)"
    )
    parser.add_argument("--follow", action="store_true", help="go on with what comes, until told to end")
    parser.add_argument(
        "--linger",
        metavar="TIME",
        type=span,
        default=_LINGER,
        help="how long what was read may wait to be committed, such as 10s (default: 60s)",
    )
    parser.add_argument(
        "--group", metavar="NAME", help="share the partitions with all that archive the topic under this name"
    )
    parser.add_argument(
        "--on-lost",
        choices=("raise", "continue"),
        default="raise",
        help="where retention took records before they were archived, end, or go on with those that are left",
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Archive, and say by the exit code whether all of it was done."""
    from onepipe.pipeline import connect

    names = list(dict.fromkeys(options.topics))
    account: Account[ArchiveReport] = Account("archive", names, _line, as_json=options.json)
    plugins = [_Commits(names, account.say)] if options.follow else []
    with connect(options.url, lake=named_lake(options), registry=options.registry, plugins=plugins) as pipe:
        topics = {name: _declared(pipe, name) for name in names}  # a mistaken name ends this before anything is done
        say_progress("archive", names)
        told = work_until_told(_work(pipe, topics, account, options))
    if options.follow:
        account.end(stopped=told is not None)
    return outcome(account, told, endless=options.follow)


def _declared(pipe: Pipeline, name: str) -> Topic:
    """The declaration of a topic: the registry's, or of a topic that others write, which it need not have, the lake's.

    Raises:
        NotRegistered: neither knows it; says the nearest match.
    """
    with suppress(NotRegistered):
        seen = pipe.lake.topic(name)
        if seen.source is not None:
            return seen
    return pipe.registry.topic(name)


def _work(
    pipe: Pipeline, topics: Mapping[str, Topic], account: Account[ArchiveReport], options: argparse.Namespace
) -> list[Work]:
    """One piece of work for each topic that is followed, with a share of the memory; else one for all in turn."""
    from onepipe.lake.archive import ArchiveLimits

    most = ArchiveLimits().memory
    memory = max(most // len(topics), _LEAST_MEMORY) if options.follow else most
    limits = ArchiveLimits(linger=options.linger.total_seconds(), memory=memory)
    until: Until = "stopped" if options.follow else "end"

    def step(name: str, stop: threading.Event) -> ArchiveReport:
        return pipe.archive(
            topics[name], until=until, stop=stop, limits=limits, group=options.group, on_lost=options.on_lost
        )

    def follow(name: str, stop: threading.Event) -> None:
        if not account.carry_out(name, partial(step, name, stop)):
            stop.set()  # so that a supervisor, which starts all of it again, sees that it ended

    return [partial(follow, name) for name in topics] if options.follow else [in_turn(account, topics, step)]


def _line(report: ArchiveReport) -> str:
    rows = f"{report.rows:,} rows archived in {report.files:,} files" if report.rows else "nothing to archive"
    aside = f", {report.quarantined:,} of them quarantined" if report.quarantined else ""
    gaps = f", {report.gaps:,} offsets that the log does not hold" if report.gaps else ""
    lost = f", {report.lost:,} offsets lost before they were archived" if report.lost else ""
    return f"{report.topic}: {rows}{aside}{gaps}{lost}"


class _Commits:
    """Says each commit of some topics while they are followed; an observer, and the plugin that brings it."""

    def __init__(self, names: Sequence[str], say: Callable[[str], None]) -> None:
        self._names = frozenset(names)
        self._say = say

    def __call__(self, event: Event) -> None:
        from onepipe.observe.events import ArchiveCommitted

        if isinstance(event, ArchiveCommitted) and event.topic in self._names and event.rows:
            self._say(f"{event.topic}: {event.rows:,} rows committed in {event.files:,} files")

    @hookimpl
    def onepipe_observers(self) -> Sequence[Observer]:
        """This observer."""
        return [self]
