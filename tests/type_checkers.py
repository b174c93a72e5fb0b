"""Programs of users, checked as their authors would: which lines a type checker complains of, and what it reveals.

A line of a program ends in `# E: kind` where a checker complains, of a kind in `WORDING` or in these very words; and in
`# R: type` where it reveals a type.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

WORDING: Final = {
    "incompatible": r"[Ii]ncompatible type|is not assignable|cannot be assigned",
    "Missing": r"Missing named argument|missing for parameter",
    "Unexpected": r"Unexpected keyword argument|No parameter named",
    "positional": r"Too many positional arguments|Expected 0 positional arguments|Missing named argument",
    "read-only": r"read-only|is frozen",
    "overload": r"[Oo]verload",
    "mismatch": r"Cannot infer value of type parameter|[Oo]verload",
}
CHECKERS: Final = [
    pytest.param(
        (sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--follow-imports=silent"), id="mypy"
    ),
    pytest.param(
        ("pyright",), id="pyright", marks=pytest.mark.skipif(not shutil.which("pyright"), reason="needs pyright")
    ),
]
"""The commands that check a file."""


def assert_checked_as_marked(program: str, command: tuple[str, ...], folder: Path) -> None:
    """Check a program, and compare line by line what the checker says with what the program's marks say."""
    file = folder / "user.py"
    file.write_text(program)
    done = subprocess.run([*command, str(file)], capture_output=True, text=True, check=False)
    found = _complaints(done.stdout)
    marked = {
        number: mark
        for number, line in enumerate(program.splitlines(), 1)
        for mark in re.findall(r"# [ER]: (.*)$", line)
    }
    assert set(found) == set(marked), found
    for number, mark in marked.items():
        said = found[number].replace("decimal.", "").replace("user.", "").replace("_", "")
        assert re.search(WORDING.get(mark, re.escape(mark)), said), found


def _complaints(output: str) -> dict[int, str]:
    """Messages by line."""
    found: dict[int, str] = {}
    for line, message in re.findall(r"user\.py:(\d+)(?::\d+)?[: -]+(?:error|note|information): (.*)", output):
        found[int(line)] = found.get(int(line), "") + message
    return found
