"""The command line: a thin shell over the library.

Exit codes: 0, all is well; 1, the verdict is not balanced; 2, the command could not be carried out, or not on every
topic; 130, interrupted; 141, whoever read the output stopped reading; 143, ended by SIGTERM before its work was done.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any, Final

from onepipe.cli import accept, archive, codegen, dead_letters, dedup, demo, maintain, verify
from onepipe.cli.account import FAILED
from onepipe.cli.output import complain, prepare, reason
from onepipe.errors import OnepipeError

_COMMANDS = (archive, dedup, maintain, verify, accept, dead_letters, codegen, demo)

_INTERRUPTED: Final = 130
_NOT_READ: Final = 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its exit code.

    Args:
        arguments: words of the command line; the process's own where None.
    """
    prepare()
    try:
        try:
            options = parser().parse_args(arguments)
            code: int = options.run(options)
        finally:
            sys.stdout.flush()  # so that what cannot be written is known here, and not when the interpreter ends
    except BrokenPipeError:
        _leave_output()
        return _NOT_READ
    except KeyboardInterrupt:
        complain("interrupted")
        return _INTERRUPTED
    except Exception as error:  # whatever it is: the interpreter's own exit code would say "not balanced"
        return _fail(error)
    return code


def parser() -> argparse.ArgumentParser:
    """The parser of every command."""
    top = argparse.ArgumentParser(
        prog="onepipe",
        description="One pipeline between every producer and every consumer of a company's events.",
        epilog="`onepipe COMMAND --help` says more. Exit codes: 0 well, 1 not balanced, 2 could not be carried out.",
    )
    top.add_argument("--version", action=_Version, nargs=0, help="say which release this is")
    top.set_defaults(run=_without_command)
    commands = top.add_subparsers(title="commands", metavar="COMMAND")
    for command in _COMMANDS:
        command.add(commands)
    return top


class _Version(argparse.Action):
    """Prints the release; it is looked up only then."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from importlib.metadata import version

        sys.stdout.write(f"onepipe {version('onepipe')}\n")
        parser.exit()


def _without_command(_: argparse.Namespace) -> int:
    parser().print_help(sys.stderr)
    return FAILED


def _fail(error: Exception) -> int:
    """Say what went wrong; where that is not foreseen, with its traceback."""
    if not isinstance(error, OSError | OnepipeError):
        traceback.print_exception(error)
        return FAILED
    if isinstance(error, OSError):
        try:
            sys.stdout.flush()
        except OSError:
            _leave_output()
    complain(reason(error))
    return FAILED


def _leave_output() -> None:
    """Have the interpreter write nothing more where nobody reads, or nothing can be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
