"""Events and those who observe them.

An event tells of a step of work, such as a flushed batch or a committed file, and never of a single record. Observers
are called in the thread that did the work, after it was done; what they raise is logged and changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Protocol, runtime_checkable

import attrs

_LOG = logging.getLogger(__name__)


@attrs.frozen
class Event:
    """Something that was done; the base of all event data.

    Attributes:
        topic: name of the topic it was done on, or None.
    """

    topic: str | None = None


@runtime_checkable
class Observer(Protocol):
    """Gets every event; looks at those of the classes it knows."""

    def __call__(self, event: Event) -> None:
        """Take note of an event; quickly, as the work waits."""


@attrs.frozen
class Observers:
    """Several observers as one.

    Attributes:
        observers: whom to tell, in order.
    """

    observers: tuple[Observer, ...] = ()

    @classmethod
    def of(cls, observers: Iterable[Observer]) -> Observers:
        """These observers as one."""
        return cls(tuple(observers))

    def __call__(self, event: Event) -> None:
        """Tell every observer; one that raises is logged, and the others are told all the same."""
        for observer in self.observers:
            try:
                observer(event)
            except Exception:
                _LOG.exception("observer %r failed on %s", observer, type(event).__name__)
