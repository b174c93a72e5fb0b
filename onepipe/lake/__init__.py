"""The lake: what arrived (raw), what is true (clean), and the way from one to the other."""

from __future__ import annotations

from importlib.util import find_spec

from onepipe.errors import MissingDependency

for _package in ("pyarrow", "numpy", "deltalake", "duckdb"):
    if find_spec(_package) is None:
        raise MissingDependency(f"a lake needs {_package}", remedy="pip install 'onepipe[lake]'")

from onepipe.lake.lake import Lake, open_lake  # noqa: E402 - what it imports is known to be there only now

__all__ = ["Lake", "open_lake"]
