"""`onepipe demo`: a year of flights through the whole pipeline, with a verdict at the end."""

from __future__ import annotations

import argparse
import tempfile
from typing import Any, Final

from onepipe.cli.numbers import count, positive
from onepipe.cli.output import own_name, progress_bar, say_json, say_text

_DIR: Final = "where log and lake are made (default: a new temporary folder); a job that was killed there goes on"
_TRANSPORT: Final = (
    "the log, such as kafka+confluent://host:9092 (default: in the folder); --lose, --repeat and --alter then tamper "
    "with the lake's files alone"
)


def add(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "demo",
        help="take a year of flights through the whole pipeline",
        description=(
            "Publish the events of 336,776 flights, archive, deduplicate and verify them, and check a query against "
            "the source file. With --lose, --repeat or --alter, records are tampered with behind the pipeline's back, "
            "and the verdict must name each. All flights take a minute or two, and 400 MB. Over a log or lake of your "
            "own, the topic gets a name of its own, and nothing else is touched."
        ),
        epilog=(
            "Exit codes: 0 balanced, and the query is right; 1 not so, as after tampering; 2 could not be carried out. "
            "Needs pip install 'onepipe[demo]'."
        ),
    )
    parser.add_argument("--dir", metavar="DIR", help=_DIR)
    parser.add_argument("--transport", metavar="URL", help=_TRANSPORT)
    parser.add_argument("--lake", metavar="LAKE", help="folder or URL of the lake (default: in the folder)")
    parser.add_argument("--registry", metavar="URL", help="the registry (default: a file in the folder)")
    parser.add_argument("--json", action="store_true", help="print the account as one JSON object, in the last line")
    parser.add_argument(
        "--seed", type=count, default=2013, metavar="N", help="seed of all that is random (default: 2013)"
    )
    for name, what in (("lose", "lost"), ("repeat", "repeated"), ("alter", "altered")):
        parser.add_argument(f"--{name}", type=count, default=0, metavar="N", help=f"how many records to have {what}")
    parser.add_argument("--flights", type=positive, metavar="N", help="take only the first N flights of the file")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the demonstration; 0 where the verdict is balanced and the query is right."""
    try:
        from onepipe.demo.account import text_account
        from onepipe.demo.job import run_job
        from onepipe.demo.places import Places
        from onepipe.demo.tampering import Tampering
    except ModuleNotFoundError as missing:
        from onepipe.errors import MissingDependency

        remedy = "pip install 'onepipe[demo]'"
        raise MissingDependency(f"the demonstration needs {missing.name}", remedy=remedy) from missing

    folder = options.dir or tempfile.mkdtemp(prefix="onepipe-demo-")
    account = run_job(
        folder,
        seed=options.seed,
        tampering=Tampering(options.lose, options.repeat, options.alter),
        flights=options.flights,
        progress=progress_bar,
        places=Places(options.transport, options.lake, options.registry),
    )
    if options.json:
        say_json(account.to_json())
    else:
        say_text(text_account(account, own_name()))
    return 0 if account.sound else 1
