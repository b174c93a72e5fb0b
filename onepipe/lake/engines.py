"""Engines of dedup by name."""

from __future__ import annotations

from typing import Literal, TypeAlias

from onepipe.arguments import require_choice
from onepipe.lake.dedup import EMBEDDED
from onepipe.lake.dedup_engine import DedupEngine

EngineName: TypeAlias = Literal["duckdb", "spark"]
"""`duckdb`: in this process. `spark`: in the executors of the active Spark session, or of one that is made."""


def dedup_engine(given: EngineName | DedupEngine) -> DedupEngine:
    """The engine that is given, or the one of that name.

    Raises:
        ConfigurationError: neither an engine nor a name of one.
    """
    if isinstance(given, DedupEngine):
        return given
    require_choice("engine", given, EngineName)
    if given == "duckdb":
        return EMBEDDED
    from onepipe.lake.spark import SparkEngine

    return SparkEngine()
