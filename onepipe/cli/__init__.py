"""The command line: a thin shell over the library.

Exit codes: 0, all is well; 1, the verdict is not balanced; 2, the command could not be carried out.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from onepipe.cli import codegen, demo, verify

_COMMANDS = (demo, verify, codegen)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its exit code.

    Args:
        arguments: words of the command line; the process's own where None.
    """
    options = parser().parse_args(arguments)
    try:
        code: int = options.run(options)
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        from onepipe.errors import OnepipeError

        if not isinstance(error, OnepipeError):
            raise
        print(f"onepipe: {error}", file=sys.stderr)  # noqa: T201 - the command line's way to say it
        return 2
    return code


def parser() -> argparse.ArgumentParser:
    """The parser of every command."""
    top = argparse.ArgumentParser(
        prog="onepipe",
        description="One pipeline between every producer and every consumer of a company's events.",
        epilog="Exit codes: 0 well, 1 not balanced, 2 the command could not be carried out.",
    )
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in _COMMANDS:
        command.add(commands)
    return top
