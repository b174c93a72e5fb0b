"""Settings for all tests: properties without deadlines, and services that nothing names left out.

With CI=true, properties draw the same examples each time, so that a change is judged by its own merits; elsewhere they
draw new ones, and a failure they find is to be kept as a test of its own.
"""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import settings

pytest_plugins = ["services.kafka", "services.kinesis", "services.s3"]

SERVICES = {"postgresql": "ONEPIPE_TEST_POSTGRESQL"}

settings.register_profile("onepipe", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "onepipe")


def pytest_configure() -> None:
    """Hear Ctrl-C even where tests run in the background of a shell, which starts them with it ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    absent = {marker for marker, variable in SERVICES.items() if variable not in os.environ}
    left_out = [item for item in items if any(item.get_closest_marker(marker) for marker in absent)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]
