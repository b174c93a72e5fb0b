"""How a test gets the real service it needs.

A service is the one that a variable names (`ONEPIPE_TEST_KAFKA=host:port`), else one started here, else there is none:
its tests are skipped with one line that says what is missing, and fail instead where CI=true.
"""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

T = TypeVar("T")


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
    """Ports of the loopback interface that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


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
