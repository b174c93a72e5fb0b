"""The lake that a command works on, and the topics in it: their declarations stand in the lake's own files."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from onepipe.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onepipe.lake import Lake

LAKE_VARIABLE: Final = "ONEPIPE_LAKE"


def add_topics(parser: argparse.ArgumentParser, what: str) -> None:
    """Add the names of topics, at least one."""
    parser.add_argument("topics", metavar="TOPIC", nargs="+", help=what)


def add_lake(parser: argparse.ArgumentParser) -> None:
    """Add the option that names the lake."""
    parser.add_argument("--lake", metavar="LAKE", help=f"folder or URL of the lake (default: ${LAKE_VARIABLE})")


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add the option that asks for JSON instead of lines."""
    parser.add_argument("--json", action="store_true", help="print one JSON object, in the last line, and no text")


def named_lake(options: argparse.Namespace) -> str:
    """Where the lake is that the options, or else the environment, name.

    Raises:
        ConfigurationError: neither does.
    """
    found = options.lake or os.environ.get(LAKE_VARIABLE)
    if not found:
        raise ConfigurationError("no lake is named", remedy=f"--lake LAKE, or set {LAKE_VARIABLE}")
    return str(found)


def existing_lake(options: argparse.Namespace) -> Lake:
    """The lake that is named, in which there are topics.

    Raises:
        ConfigurationError: none is named, or there is none.
        MissingDependency: a package that lakes need is not installed.
    """
    from onepipe.lake import open_lake

    where = named_lake(options)
    lake = open_lake(where)
    if not lake.topics():
        raise _no_lake(where)
    return lake


def required_in(lake: Lake, names: Sequence[str]) -> list[str]:
    """Names of topics, each once, of which the lake has a declaration.

    Raises:
        NotRegistered: it has not seen one; says the nearest match.
    """
    return [lake.topic(name).name for name in dict.fromkeys(names)]


def _no_lake(where: str) -> ConfigurationError:
    below = Path(where, "lake")
    found = (below / "topics").is_dir()
    remedy = f"did you mean {below}?" if found else "name the folder given to connect(url, lake=…)"
    return ConfigurationError(f"there is no lake in {where}", remedy=remedy)
