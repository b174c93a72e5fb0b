"""The lake: what arrived (raw), what is true (clean), and the way from one to the other."""

from __future__ import annotations

from onepipe.lake.lake import Lake, open_lake

__all__ = ["Lake", "open_lake"]
