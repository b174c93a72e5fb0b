"""Limits of an archive by which nothing could be archived."""

from __future__ import annotations

import math
from typing import Any

import pytest

from onepipe.errors import ConfigurationError
from onepipe.lake.archive import ArchiveLimits


@pytest.mark.parametrize("name", ["file_rows", "file_bytes", "memory", "batch"])
@pytest.mark.parametrize("value", [0, -1, 1.5, None, "x", math.nan, True])
def test_a_limit_that_is_no_number_from_one_is_refused_by_its_name(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=name):
        ArchiveLimits(**{name: value})


@pytest.mark.parametrize("name", ["linger", "patience"])
@pytest.mark.parametrize("value", [-1, math.nan, None, "x"])
def test_seconds_below_zero_are_refused_by_their_name(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=name):
        ArchiveLimits(**{name: value})
