"""`onepipe verify`: a topic's verdict from the files of its lake."""

from __future__ import annotations

import argparse
from typing import Any

from onepipe.cli.output import say_json, say_text


def add(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "verify",
        help="say whether a topic is balanced, and name each record that is not",
        description="Compare, hop by hop, what was published, archived and merged, from the lake's files alone.",
    )
    parser.add_argument("topic", metavar="TOPIC", help="name of the topic")
    parser.add_argument("--lake", metavar="DIR", required=True, help="folder of the lake")
    parser.add_argument(
        "--level",
        choices=("accounted", "proved", "deep"),
        default="proved",
        help="how deep to look: by sums, by each raw file's messages, or all of the clean table (default: proved)",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print the verdict as one JSON object")
    form.add_argument("--html", action="store_true", help="print the verdict as HTML")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Verify, print, and say by the exit code whether the topic is balanced."""
    from onepipe.audit.report_html import html_report
    from onepipe.audit.verify import verify
    from onepipe.lake import open_lake

    lake = open_lake(options.lake)
    verdict = verify(lake, lake.topic(options.topic), level=options.level)
    if options.json:
        say_json(verdict.to_json())
    else:
        say_text(html_report(verdict) if options.html else str(verdict))
    return 0 if verdict.balanced else 1
