"""The report of a run: a table, or one JSON document."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, Final

import attrs

from benchmarks.measure import Result
from benchmarks.run import Run

_PACKAGES: Final = ("onepipe", "fastavro", "confluent-kafka", "polars", "duckdb", "pyarrow", "numpy", "deltalake")
_TITLES: Final = ("what", "data", "against", "median", "min–max", "goal", "met", "k/s", "peer k/s")
_RIGHT: Final = frozenset({"median", "min–max", "goal", "k/s", "peer k/s"})


def table(results: Sequence[Result]) -> str:
    """The results as a text table."""
    rows = [_TITLES, *map(_cells, results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_TITLES))]
    lines = [
        "  ".join(
            cell.rjust(width) if title in _RIGHT else cell.ljust(width)
            for cell, width, title in zip(row, widths, _TITLES, strict=True)
        ).rstrip()
        for row in rows
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def document(run: Run, results: Sequence[Result], seconds: float) -> str:
    """The results as one JSON document, with what is needed to judge them."""
    found: dict[str, Any] = {
        "machine": {
            "system": platform.platform(),
            "python": platform.python_version(),
            "cpus": os.cpu_count(),
            "load": os.getloadavg() if hasattr(os, "getloadavg") else None,
        },
        "versions": {name: version(name) for name in _PACKAGES},
        "sizes": attrs.asdict(run.sizes),
        "rounds": run.rounds,
        "seconds": round(seconds, 1),
        "results": [{**attrs.asdict(result), "met": result.met} for result in results],
    }
    return json.dumps(found, indent=2, ensure_ascii=False)


def _cells(result: Result) -> tuple[str, ...]:
    unit = result.unit
    return (
        f"{result.name}: {result.what}",
        result.data,
        result.against,
        f"{_number(result.value)} {unit}",
        f"{_number(result.least)}–{_number(result.greatest)}",
        _goal(result),
        {None: "", True: "yes", False: "NO"}[result.met],
        _thousands(result.rate),
        _thousands(result.peer_rate),
    )


def _goal(result: Result) -> str:
    if result.at_least is not None:
        return f"≥ {result.at_least:g} {result.unit}"
    return f"≤ {result.at_most:g} {result.unit}" if result.at_most is not None else ""


def _number(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 10 else f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}"


def _thousands(rate: float | None) -> str:
    return "" if rate is None else f"{rate / 1000:,.0f}"
