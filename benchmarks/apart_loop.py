"""The other side of `benchmarks.apart`. Imports nothing but Python's own library: it runs where onepipe is not."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any


def settings() -> dict[str, Any]:
    """What this process was told at its start."""
    told: dict[str, Any] = json.loads(sys.argv[1])
    return told


def serve(work: Callable[[str], int], expected: int) -> None:
    """Work into each folder that is named, until there are no more.

    Args:
        work: takes all there is into a folder, and says how many records it took.
        expected: how many there are.
    """
    for line in sys.stdin:
        count = work(line.strip())
        print("done" if count == expected else f"failed: {count} records, not {expected}", flush=True)
