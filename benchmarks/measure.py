"""Measuring: works that are compared run in turn, A B A B, after a warm-up; what counts is the median of the ratios.

The machine's speed drifts, so absolute figures say little. Two runs one right after the other share the drift: a ratio
is taken within each round, and the median, least and greatest of the rounds are reported.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

import attrs

Unit = Literal["x", "%", "MB", "ms", "s", "k/s"]


def _nothing() -> None:
    return None


def _ignore(_prepared: object) -> None:
    return None


@attrs.frozen
class Work:
    """Something to measure.

    Attributes:
        run: what is timed; called with what `prepare` returned.
        prepare: called before each run, not timed.
        discard: called after each run with what `prepare` returned, not timed.
    """

    run: Callable[[Any], object]
    prepare: Callable[[], object] = _nothing
    discard: Callable[[Any], object] = _ignore

    def seconds(self) -> float:
        """The time of one run. The garbage collector is on, as it is for users."""
        prepared = self.prepare()
        try:
            gc.collect()
            started = time.perf_counter()
            self.run(prepared)
            return time.perf_counter() - started
        finally:
            self.discard(prepared)


def each(function: Callable[[Any], object], arguments: Sequence[Any], prepare: Callable[[], object] = _nothing) -> Work:
    """Call a function with each of some arguments, and keep what it returns until the end."""
    return Work(lambda _: [function(argument) for argument in arguments], prepare)


@attrs.frozen
class Result:
    """One line of the report.

    Attributes:
        name: the benchmark.
        what: what was measured.
        data: the data set; empty where there is none.
        against: what it is compared with; empty where the value stands for itself.
        value: median of the rounds.
        least: least of the rounds.
        greatest: greatest of the rounds.
        unit: "x" is how many times the peer's speed, "%" how much more time than the peer.
        at_least: the goal, where more is better.
        at_most: the goal, where less is better.
        rate: records a second of onepipe, median.
        peer_rate: records a second of the peer, median.
    """

    name: str
    what: str
    data: str
    against: str
    value: float
    least: float
    greatest: float
    unit: Unit
    at_least: float | None = None
    at_most: float | None = None
    rate: float | None = None
    peer_rate: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None where there is none."""
        if self.at_least is not None:
            return self.value >= self.at_least
        return self.value <= self.at_most if self.at_most is not None else None


@attrs.frozen
class Subject:
    """What the works of one comparison do, and with how much.

    Attributes:
        name: the benchmark.
        what: what is measured.
        data: the data set.
        records: how many records each run takes.
    """

    name: str
    what: str
    data: str
    records: int

    def speed(self, ours: Sequence[float], theirs: Sequence[float], against: str, goal: float | None = None) -> Result:
        """How many times the speed of a peer, from the seconds of each round."""
        ratios = [their / our for our, their in zip(ours, theirs, strict=True)]
        return self._result(ratios, "x", against, ours, theirs, at_least=goal)

    def cost(self, ours: Sequence[float], theirs: Sequence[float], against: str, goal: float | None = None) -> Result:
        """How many percent more time than a peer."""
        shares = [100 * (our / their - 1) for our, their in zip(ours, theirs, strict=True)]
        return self._result(shares, "%", against, ours, theirs, at_most=goal)

    def rate(self, seconds: Sequence[float]) -> Result:
        """Thousands of records a second."""
        rates = [self.records / each / 1000 for each in seconds]
        return self._result(rates, "k/s", "", seconds, ())

    def values(self, values: Sequence[float], unit: Unit, against: str = "", goal: float | None = None) -> Result:
        """Values that stand for themselves, less being better."""
        return self._result(values, unit, against, (), (), at_most=goal)

    def _result(
        self,
        values: Sequence[float],
        unit: Unit,
        against: str,
        ours: Sequence[float],
        theirs: Sequence[float],
        *,
        at_least: float | None = None,
        at_most: float | None = None,
    ) -> Result:
        return Result(
            self.name,
            self.what,
            self.data,
            against,
            statistics.median(values),
            min(values),
            max(values),
            unit,
            at_least,
            at_most,
            self.records / statistics.median(ours) if ours else None,
            self.records / statistics.median(theirs) if theirs else None,
        )


def interleaved(rounds: int, *works: Work) -> list[list[float]]:
    """The seconds of each work by round; each runs once before, unmeasured, then all in turn, `rounds` times."""
    for work in works:
        work.seconds()
    gc.collect()
    gc.freeze()  # what exists by now is the same for all of them, and would be walked over at each collection
    try:
        taken = [[work.seconds() for work in works] for _ in range(rounds)]
    finally:
        gc.unfreeze()
    return [list(column) for column in zip(*taken, strict=True)]
