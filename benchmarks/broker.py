"""The Kafka that benchmarks measure on: the one that ONEPIPE_BENCH_KAFKA names, else one started as tests start it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Final

VARIABLE: Final = "ONEPIPE_BENCH_KAFKA"

_TESTS: Final = Path(__file__).parents[1] / "tests"
_COMPILED: Final = ("-XX:TieredStopAtLevel=4",)
"""Tests want a broker that starts fast; here one is wanted that gets fast."""


@contextmanager
def broker() -> Iterator[str | None]:
    """The address where clients bootstrap; None, with a line on the error output, where there is no Kafka."""
    with ExitStack() as stack:
        yield os.environ.get(VARIABLE) or _started(stack)


def _started(stack: ExitStack) -> str | None:
    try:
        kafka, service = of_tests("services.kafka"), of_tests("services.service")
    except ImportError as error:
        _say(f"the tests, which know how to start one, cannot be imported: {error}")
        return None
    try:
        return str(stack.enter_context(kafka.kafka_process(options=_COMPILED)).address)
    except service.Missing as missing:
        _say(str(missing))
        return None


def of_tests(name: str) -> ModuleType:
    """A module of the tests' folder, of those that know how to fetch and start services.

    Raises:
        ImportError: this is not a checkout, or what tests need is not installed.
    """
    sys.path.insert(0, str(_TESTS))
    try:
        return import_module(name)
    finally:
        sys.path.remove(str(_TESTS))


def _say(reason: str) -> None:
    print(f"kafka: skipped, as there is no Kafka: {reason} ({VARIABLE} may name one)", file=sys.stderr, flush=True)
