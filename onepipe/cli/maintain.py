"""`onepipe maintain`: keeping the tables of a lake fast and small."""

from __future__ import annotations

import argparse
import threading
from typing import TYPE_CHECKING, Any

from onepipe.cli.account import Account
from onepipe.cli.durations import duration
from onepipe.cli.lakes import add_json, add_lake, add_topics, existing_lake, required_in
from onepipe.cli.output import say_progress
from onepipe.cli.registries import Registries
from onepipe.cli.stopping import work_until_told
from onepipe.cli.turns import in_turn, outcome

if TYPE_CHECKING:
    from onepipe.lake.upkeep import MaintenanceReport


def add(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "maintain",
        help="join small files, and delete what nothing refers to",
        description=(
            "Join small files of topics' tables, delete what nothing refers to any more, and write checkpoints; the "
            "tables of the evidence likewise. Then decode what was archived while its schema was not known, where the "
            "registry knows it by now. It may run beside every other step. The lake alone is needed; a registry is "
            "asked only about rows of unknown schema."
        ),
        epilog=(
            "Ctrl-C and SIGTERM end it after the topic at hand. Exit codes: 0 done; 2 could not be carried out on "
            "every topic; 130 (Ctrl-C) and 143 (SIGTERM) told to end earlier."
        ),
    )
    add_topics(parser, "names of topics of the lake")
    add_lake(parser)
    parser.add_argument(
        "--keep",
        metavar="TIME",
        type=duration,
        help="for how long files stay that nothing refers to, and tables can be read as they were: 0s to 30d (default: "
        "7d)",
    )
    parser.add_argument(
        "--registry",
        metavar="URL",
        help="the registry (default: $ONEPIPE_REGISTRY, else none; topics that others write name theirs)",
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Maintain, and say by the exit code whether all of it was done."""
    lake = existing_lake(options)
    names = required_in(lake, options.topics)

    from onepipe.lake.maintenance import KEEP, require_keep
    from onepipe.pipeline.lake_steps import decode_late, keep_up

    keep = KEEP if options.keep is None else options.keep
    require_keep(keep)

    account = Account("maintain", names, _line, as_json=options.json)
    say_progress("maintain", names)
    with Registries(options) as registries:

        def step(name: str, _: threading.Event) -> MaintenanceReport:
            topic = lake.topic(name)
            report = keep_up(lake, topic, keep=keep)
            return decode_late(lake, topic, report, registries.of)

        told = work_until_told([in_turn(account, names, step)])
    return outcome(account, told, endless=False)


def _line(report: MaintenanceReport) -> str:
    tables = {"raw": report.raw, "clean": report.clean}
    joined = [f"{t.before:,} {name} files joined to {t.after:,}" for name, t in tables.items() if t and t.before]
    late = f", {report.reread.rows:,} rows decoded late" if report.reread and report.reread.rows else ""
    return f"{report.topic}: {', '.join(joined) or 'nothing to join'}, {len(report.deleted):,} files deleted{late}"
