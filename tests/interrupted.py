"""A process that interrupts itself at a chosen call, so that tests can kill or stop it at any point."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any


def interrupt_at(owner: Any, name: str, call: int, *, after: bool, how: signal.Signals = signal.SIGKILL) -> None:
    """Send this process a signal at a call of `owner.name`, counted from 1: before it, or after it returned."""
    original: Callable[..., Any] = getattr(owner, name)
    calls = iter(range(1, sys.maxsize))

    def interrupting(*args: Any, **options: Any) -> Any:
        number = next(calls)
        if number == call and not after:
            os.kill(os.getpid(), how)
        result = original(*args, **options)
        if number == call and after:
            os.kill(os.getpid(), how)
        return result

    setattr(owner, name, interrupting)
