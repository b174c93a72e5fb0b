"""Work that ends in good order when it is told to: by SIGTERM, as supervisors do, or by Ctrl-C.

The first signal asks: each piece of work sees it in the event it was given, and ends where nothing is lost. The second
one ends the process at once; no step over the lake leaves anything half done then either.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from types import FrameType
from typing import Final, TypeAlias

from onepipe.cli.output import complain

Work: TypeAlias = Callable[[threading.Event], None]
"""Something to do until it is done, or until an event is set."""

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_LOOK_SECONDS: Final = 0.2
_TELLING: Final = 128
"""What the exit code of a process that a signal ended is counted from."""


def work_until_told(work: Sequence[Work]) -> signal.Signals | None:
    """Do several pieces of work at the same time, each in a thread of its own, until all have ended.

    Where one raises, the event is set for the others.

    Returns:
        The signal that told them to end, or None.

    Raises:
        Exception: what the first piece of work that failed raised, in the order given.
    """
    stop = threading.Event()
    with _told() as told, ThreadPoolExecutor(len(work), thread_name_prefix="onepipe") as threads:
        doing = [threads.submit(_do, each, stop) for each in work]
        left = set(doing)
        while left:
            _, left = wait(left, timeout=_LOOK_SECONDS)
            if told and not stop.is_set():  # set here, as a handler would wait for ever where it interrupts the setting
                complain(f"{told[0].name}: ending in good order; once more ends at once")
                stop.set()
    for each in doing:
        each.result()
    return told[0] if told else None


def exit_code(told: signal.Signals) -> int:
    """The exit code of a process that ended because of a signal: 130 of Ctrl-C, 143 of SIGTERM."""
    return _TELLING + told


def _do(work: Work, stop: threading.Event) -> None:
    try:
        work(stop)
    except BaseException:
        stop.set()
        raise


@contextmanager
def _told() -> Iterator[list[signal.Signals]]:
    """A list that gets the first signal; from then on signals do what they do by default.

    What the caller had ignored stays ignored, as under nohup. Threads other than the main one get no signals.
    """
    told: list[signal.Signals] = []

    def tell(number: int, _: FrameType | None) -> None:
        told.append(signal.Signals(number))
        for each in kept:
            signal.signal(each, signal.SIG_DFL)

    here = threading.current_thread() is threading.main_thread()
    heard = [each for each in _SIGNALS if here and signal.getsignal(each) is not signal.SIG_IGN]
    kept = {each: signal.getsignal(each) for each in heard}
    for each in heard:
        signal.signal(each, tell)
    try:
        yield told
    finally:
        for each, handler in kept.items():
            signal.signal(each, handler)
