"""Topics taken one after the other, once or again and again, until told to end."""

from __future__ import annotations

import datetime as dt
import signal
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeVar

import attrs

from onepipe.cli.account import FAILED, Account
from onepipe.cli.stopping import Work, exit_code

R = TypeVar("R", bound=attrs.AttrsInstance)


def in_turn(
    account: Account[R],
    topics: Iterable[str],
    step: Callable[[str, threading.Event], R],
    *,
    every: dt.timedelta | None = None,
) -> Work:
    """The work of taking topics in turn; the account is ended after each round.

    Args:
        account: is told what came of each.
        topics: their names.
        step: what to do with one.
        every: from the beginning of a round to that of the next, which follows at once where a round takes longer;
            None is one round. A round in which the step failed is the last one.
    """

    def rounds(stop: threading.Event) -> None:
        while True:
            started = time.monotonic()
            for name in topics:
                if not stop.is_set():
                    account.carry_out(name, partial(step, name, stop))
            account.end(stopped=stop.is_set())
            if every is None or account.failed:
                return
            if stop.wait(max(0.0, every.total_seconds() - (time.monotonic() - started))):
                return

    return rounds


def outcome(account: Account[R], told: signal.Signals | None, *, endless: bool) -> int:
    """The exit code of a command whose work has ended.

    Args:
        account: of what was done.
        told: the signal that told it to end, or None.
        endless: whether the work has no other end, so that being told is all well.
    """
    if account.failed:
        return FAILED
    return 0 if told is None or endless else exit_code(told)
