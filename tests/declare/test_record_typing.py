"""Type checkers see records as what they are: constructor arguments, frozen fields, types of defaults."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

USER = """\
from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Annotated

from onepipe import vocabulary as op


@op.record(topic="Widgets", merge=op.latest("updated"), checks={"c": "updated >= created"})
class Widget:
    sid: str = op.field(identity=True)
    created: dt.datetime
    updated: dt.datetime
    price: Annotated[Decimal, op.decimal(12, 2)] | None = op.field(default=None, ge=0)
    tags: list[str] = op.field(factory=list)
    count: int = op.field(default="none")  # E: incompatible
    names: list[str] = op.field(factory=dict)  # E: incompatible


@op.record
class Part:
    number: int = 0


@op.record(frozen=False, kw_only=False)
class Loose:
    number: int


now = dt.datetime.now(dt.timezone.utc)
widget = Widget(sid="W1", created=now, updated=now)
reveal_type(widget.price)  # R: Decimal | None
Widget(sid="W1", created=now)  # E: Missing
Widget(sid=1, created=now, updated=now)  # E: incompatible
Widget(sid="W1", created=now, updated=now, sidd="W1")  # E: Unexpected
Widget("W1", now, now)  # E: positional
widget.sid = "W2"  # E: read-only
Part().number = 2  # E: read-only
assert Part(number=1) != Part(number=2)
Loose(1).number = 2
op.field(default=1, factory=int)  # E: overload
"""

WORDING = {
    "incompatible": r"[Ii]ncompatible type|is not assignable|cannot be assigned",
    "Missing": r"Missing named argument|missing for parameter",
    "Unexpected": r"Unexpected keyword argument|No parameter named",
    "positional": r"Too many positional arguments|Expected 0 positional arguments|Missing named argument",
    "read-only": r"read-only|is frozen",
    "overload": r"[Oo]verload",
}


def complaints(output: str) -> dict[int, str]:
    """Messages by line."""
    found: dict[int, str] = {}
    for line, message in re.findall(r"user\.py:(\d+)(?::\d+)?[: -]+(?:error|note|information): (.*)", output):
        found[int(line)] = found.get(int(line), "") + message
    return found


def check(tmp_path: Path, *command: str) -> dict[int, str]:
    file = tmp_path / "user.py"
    file.write_text(USER)
    result = subprocess.run([*command, str(file)], capture_output=True, text=True, check=False)  # our tools
    return complaints(result.stdout)


def expected() -> dict[int, str]:
    return {n: kind for n, line in enumerate(USER.splitlines(), 1) for kind in re.findall(r"# [ER]: (.*)$", line)}


def assert_as_expected(found: dict[int, str]) -> None:
    assert set(found) == set(expected()), found
    for line, kind in expected().items():
        assert re.search(WORDING.get(kind, re.escape(kind)), found[line].replace("decimal.", "").replace("_", "")), (
            found
        )


@pytest.mark.slow
def test_mypy_finds_what_is_wrong_and_nothing_else(tmp_path: Path) -> None:
    assert_as_expected(
        check(tmp_path, sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--follow-imports=silent")
    )


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pyright") is None, reason="needs pyright")
def test_pyright_finds_what_is_wrong_and_nothing_else(tmp_path: Path) -> None:
    assert_as_expected(check(tmp_path, "pyright"))
