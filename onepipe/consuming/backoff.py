"""Trying again, with growing pauses, what failed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import attrs

from onepipe.arguments import require_count, require_seconds
from onepipe.errors import (
    ClosedError,
    ConfigurationError,
    LakeError,
    NotRegistered,
    OnepipeError,
    PositionLost,
    RegistryError,
    TransportError,
)

_AROUND: Final = (OSError, MemoryError, ClosedError, LakeError, RegistryError, TransportError, ConfigurationError)


@attrs.frozen
class Backoff:
    """How often to try again, and after which pauses.

    Attributes:
        retries: how often to try again after the first failure; 0 is never.
        first: seconds before the first retry; each later pause is twice as long.
        most: seconds of the longest pause.
    """

    retries: int
    first: float = 0.1
    most: float = 30.0

    def pauses(self) -> Iterator[float]:
        """Seconds before each retry."""
        return (min(self.most, self.first * 2.0 ** min(number, 64)) for number in range(self.retries))


NEVER: Final = Backoff(0)


def backoff(retries: int, *, first: float = 0.1, most: float = 30.0) -> Backoff:
    """Try again up to `retries` times, after pauses that double.

    Args:
        retries: how often; 0 is never.
        first: seconds before the first retry.
        most: seconds of the longest pause.

    Raises:
        ConfigurationError: not a whole number, or not seconds from 0.
    """
    if retries != 0 or isinstance(retries, bool):
        require_count("retries", retries)
    require_seconds("first", first)
    require_seconds("most", most)
    return Backoff(retries, first, most)


def may_be_of_the_record(error: Exception) -> bool:
    """Whether a record may be what failed: not so where the network, a file or the pipeline around it did."""
    return isinstance(error, NotRegistered | PositionLost) or not isinstance(error, _AROUND)


@attrs.frozen
class Failure:
    """That something failed for good.

    Attributes:
        error: what the last attempt raised.
        attempts: how often it was tried.
        stopped: whether a pause was cut short, so that not all retries were made.
    """

    error: Exception
    attempts: int
    stopped: bool = False

    @property
    def is_of_the_record(self) -> bool:
        """Whether the record may be what it failed on."""
        return may_be_of_the_record(self.error)


def attempt(
    what: Callable[[], object],
    retry: Backoff,
    *,
    wait: Callable[[float], bool],
    at_once: tuple[type[OnepipeError], ...] = (),
) -> Failure | None:
    """Do something, again after pauses where it fails.

    Args:
        what: is called; what it returns is ignored.
        retry: how often, and after which pauses.
        wait: waits so many seconds; True where it was cut short, and nothing more is to be tried.
        at_once: errors that are not tried again, but raised.

    Returns:
        None where it succeeded, else how it failed last.
    """
    pauses, attempts = retry.pauses(), 0
    while True:
        attempts += 1
        try:
            what()
        except at_once:
            raise
        except Exception as error:  # whatever it is: it is retried, set aside or raised by whoever asked
            pause = next(pauses, None)
            if pause is None:
                return Failure(error, attempts)
            if wait(pause):
                return Failure(error, attempts, stopped=True)
        else:
            return None
