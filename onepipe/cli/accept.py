"""`onepipe accept`: findings that are known and cannot be mended alarm no longer."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from onepipe.cli.lakes import add_lake, existing_lake
from onepipe.cli.output import say_json, say_text
from onepipe.errors import ConfigurationError


def add(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "accept",
        help="accept losses that are known, so that verify alarms only for others",
        description=(
            "Accept the findings of a verdict: note in the lake who did, when and why. Later verdicts show them with "
            "the reason, and are balanced where nothing else is wrong. Only faults of the log are accepted: files can "
            "be restored, and clean tables made anew."
        ),
        epilog=(
            "Look at the verdict first: onepipe verify TOPIC --json > FILE. Exit codes: 0 accepted, now or before; 2 "
            "nothing was."
        ),
    )
    parser.add_argument("verdict", metavar="FILE", help="a verdict as JSON; - reads standard input")
    add_lake(parser)
    parser.add_argument("--reason", metavar="TEXT", required=True, help="why they are accepted")
    parser.add_argument("--by", metavar="NAME", help="who accepts them (default: your user name)")
    parser.add_argument("--json", action="store_true", help="print how many were, by topic, as one JSON object")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Accept a verdict's findings."""
    lake = existing_lake(options)

    from onepipe.audit.accepted import accept, findings_in

    findings = findings_in(_document(options.verdict))
    for name in {finding.topic for finding in findings}:
        lake.topic(name)
    fresh = Counter(finding.topic for finding in accept(lake, findings, reason=options.reason, by=options.by))
    if options.json:
        say_json({"command": "accept", "accepted": dict(fresh)})
    else:
        for topic, count in fresh.items():
            say_text(f"{topic}: {count:,} accepted")
        if not fresh:
            say_text("nothing that was not accepted before")
    return 0


def _document(file: str) -> Any:
    try:
        return json.loads(sys.stdin.read() if file == "-" else Path(file).read_text("utf-8"))
    except ValueError as error:
        raise ConfigurationError(f"{file} is no JSON: {error}", remedy="onepipe verify TOPIC --json") from error
