"""`onepipe codegen`: a record class, as Python source, from a schema document."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from onepipe.cli.output import say_text


def add(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "codegen",
        help="write the record class of a schema document",
        description="Print Python source of the classes whose declaration is a schema document's.",
        epilog="The schema documents of a lake's topics are in its folder topics.",
    )
    parser.add_argument("schema", metavar="FILE", help="schema document (.avsc); - reads standard input")
    parser.add_argument("--topic", metavar="NAME", help="name of the topic where the document declares none")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the source."""
    from onepipe.codegen import generate
    from onepipe.declaring.topic import ATTRIBUTE, Topic
    from onepipe.errors import ConfigurationError, DeclarationError
    from onepipe.schema.model import Schema

    try:
        text = sys.stdin.read() if options.schema == "-" else Path(options.schema).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise ConfigurationError(f"{options.schema} cannot be read: {why}") from error
    try:
        schema = Schema.parse(text)
        declares = ATTRIBUTE in getattr(schema.root, "attributes", {})
        source = generate(Topic.from_document(text, name=options.topic) if declares or options.topic else schema)
    except DeclarationError as error:
        raise ConfigurationError(f"{options.schema}: {error}") from error
    say_text(source.rstrip("\n"))
    return 0
