"""Working on items in threads, a few at a time, with the results in the items' order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def in_turn(work: Callable[[_Item], _Result], items: Iterable[_Item], *, threads: int, name: str) -> Iterator[_Result]:
    """The result of `work` for each item, in order; no more than `threads` are worked on or wait to be taken.

    Args:
        work: called in one of the threads; what it raises is raised in its turn, and ends the iteration.
        items: taken one by one, in the caller's thread.
        threads: how many, from 1.
        name: prefix of the threads' names.
    """
    waiting: deque[Future[_Result]] = deque()
    with ThreadPoolExecutor(threads, name) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for left in waiting:
                left.cancel()
