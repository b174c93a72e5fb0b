"""How a test gets the real service it needs.

A service is the one that a variable names (`ONEPIPE_TEST_KAFKA=host:port`), else one started here, else there is none:
its tests are skipped with one line that says what is missing, and fail instead where CI=true.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import pytest

T = TypeVar("T")

_PORTS: Final = range(20_000, 32_768)
"""Ports below those that Linux, macOS and Windows give to connections."""
_DRAW: Final = random.SystemRandom()
"""Another draw in each process, whatever a test sets the common seed to."""


class Missing(Exception):
    """What a service needs to be started is not there; the message says in one line what."""


def find_or_start(name: str, variable: str, start: Callable[[], T], find: Callable[[str], T]) -> T:
    """The service that a variable names, else a new one; skips the test where there is neither.

    Args:
        name: what the service is called.
        variable: the variable of the environment that may name one.
        start: starts one; raises Missing where it cannot.
        find: from the variable's value to the service.
    """
    named = os.environ.get(variable)
    if named:
        return find(named)
    return start_own(name, start, f" ({variable} may name one)")


def start_own(name: str, start: Callable[[], T], remedy: str = "") -> T:
    """A service of a test's own, which it may kill; skips the test where there can be none."""
    try:
        return start()
    except Missing as missing:
        reason = f"no {name}: {missing}{remedy}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)


def cache_folder(name: str) -> Path:
    """Where what was fetched for tests is kept from run to run."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "onepipe-tests" / name


def require_command(name: str, package: str) -> str:
    """The path of a command.

    Raises:
        Missing: it is not installed.
    """
    path = shutil.which(name)
    if path is None:
        raise Missing(f"there is no command {name!r}; install {package}")
    return path


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nobody has, and that no connection gets.

    The system gives connections ports above these, so a service that is killed finds its port free when it is started
    again.
    """
    ports: set[int] = set()
    while len(ports) < count:
        port = _DRAW.choice(_PORTS)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            ports.add(port)
    return list(ports)


def wait_until_listening(port: int, seconds: float, alive: Callable[[], bool]) -> bool:
    """Wait until somebody listens on a port of the loopback interface; False where it took too long or died."""
    deadline = time.monotonic() + seconds
    while alive() and time.monotonic() < deadline:
        with socket.socket() as probe:
            probe.settimeout(1.0)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return True
        time.sleep(0.05)
    return False
