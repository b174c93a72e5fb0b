"""Leaves out the tests of services that nothing names; each is run by a tox environment of its own."""

from __future__ import annotations

import os

import pytest

SERVICES = {"postgresql": "ONEPIPE_TEST_POSTGRESQL"}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    absent = {marker for marker, variable in SERVICES.items() if variable not in os.environ}
    left_out = [item for item in items if any(item.get_closest_marker(marker) for marker in absent)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]
