"""`onepipe verify`: a topic's verdict from the files of its lake."""

from __future__ import annotations

import argparse
from typing import Any

from onepipe.cli.lakes import add_lake, existing_lake
from onepipe.cli.output import progress_bar, say_json, say_text


def add(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "verify",
        help="say whether a topic is balanced, and name each record that is not",
        description=(
            "Compare, hop by hop, what was published, archived and merged, from the lake's files alone, and name each "
            "record that differs."
        ),
        epilog=(
            "Exit codes: 0 balanced, or not covered by evidence and nothing known to be wrong; 1 any other verdict; 2 "
            "could not be carried out. The guide 'How to find a missing record' says what each verdict asks of you."
        ),
    )
    parser.add_argument("topic", metavar="TOPIC", help="name of the topic")
    add_lake(parser)
    parser.add_argument(
        "--level",
        choices=("accounted", "proved", "deep"),
        default="proved",
        help=(
            "how deep to look. accounted: sums against the evidence; proved: also each raw file against its own "
            "messages; deep: also all of the clean table against raw (default: proved)"
        ),
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print the verdict as one JSON object")
    form.add_argument("--html", action="store_true", help="print the verdict as an HTML page")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Verify, print, and say by the exit code whether all that is covered is balanced."""
    lake = existing_lake(options)
    topic = lake.topic(options.topic)

    from onepipe.audit.report_html import html_page
    from onepipe.audit.verdict import State
    from onepipe.audit.verify import verify

    with progress_bar("verify", None):
        verdict = verify(lake, topic, level=options.level)
    if options.json:
        say_json(verdict.to_json())
    else:
        say_text(html_page(verdict) if options.html else str(verdict))
    return 0 if verdict.state in (State.BALANCED, State.NOT_COVERED) else 1
