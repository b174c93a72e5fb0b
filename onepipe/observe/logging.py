"""Events in the log of Python's standard library."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import attrs

from onepipe.hookspecs import hookimpl
from onepipe.observe.events import Event, Observer


class LogEvents:
    """Logs every event as one line; an observer, and the plugin that brings it: `connect(url, plugins=[LogEvents()])`.

    The record's attribute `onepipe` has the event's attributes, for handlers that write structured logs.
    """

    def __init__(self, logger: str = "onepipe", level: int = logging.INFO) -> None:
        """Make the observer.

        Args:
            logger: name of the logger.
            level: level of the lines.
        """
        self._logger = logging.getLogger(logger)
        self._level = level

    def __call__(self, event: Event) -> None:
        """Log an event: its class, then its attributes."""
        attributes = attrs.asdict(event)
        said = " ".join(f"{name}={value}" for name, value in attributes.items() if value is not None)
        self._logger.log(self._level, "%s %s", type(event).__name__, said, extra={"onepipe": attributes})

    @hookimpl
    def onepipe_observers(self) -> Sequence[Observer]:
        """This observer."""
        return [self]
