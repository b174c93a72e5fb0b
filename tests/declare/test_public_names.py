from __future__ import annotations

import subprocess
import sys

import pytest

import onepipe


@pytest.mark.parametrize("first", ["onepipe.record", "onepipe.topics", "onepipe.pipeline"])
def test_a_public_name_stays_what_it_is_when_the_module_of_its_name_was_imported_first(first: str) -> None:
    code = f"import {first}\nimport onepipe as op\nprint(type(op.record).__name__, type(op.errors).__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["function", "module"]


def test_every_public_name_is_there() -> None:
    assert [name for name in onepipe.__all__ if not hasattr(onepipe, name)] == []
    assert onepipe.__all__ == sorted(onepipe.__all__)
