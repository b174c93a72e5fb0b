"""Witness: what a producer says of its own records, on the audit topic of the same log."""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from onepipe.audit.epoch import WriterEpoch
from onepipe.audit.evidence import EVIDENCE
from onepipe.observe.events import EpochClosed, EpochOpened, Event
from onepipe.route import Route
from onepipe.transport import OnOutcome, Outcome, Outgoing

if TYPE_CHECKING:
    from onepipe.audit.tally import Tally
    from onepipe.topics import Topics

_LOG = logging.getLogger(__name__)
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def moment(timestamp: int) -> dt.datetime:
    """A time in milliseconds since 1970-01-01T00:00Z, as datetime."""
    return _EPOCH + dt.timedelta(milliseconds=timestamp)


class Witness:
    """Publishes the evidence of one writer epoch. Used by one thread at a time, which holds the sender's lock.

    Args:
        epoch: the epoch.
        topics: the pipeline's topics, of which the audit topic becomes one.
        application: what the application calls itself.
        clock: milliseconds since 1970.
        append: appends a message to the log.
        tell: told of the epoch's begin and end.
    """

    def __init__(
        self,
        epoch: WriterEpoch,
        topics: Topics,
        *,
        application: str | None,
        clock: Callable[[], int],
        append: Callable[[Outgoing, OnOutcome], None],
        tell: Callable[[Event], None],
    ) -> None:
        self._epoch = epoch
        self._topics = topics
        self._application = application
        self._clock = clock
        self._append = append
        self._tell = tell
        self._route: Route | None = None
        self._opened = 0.0

    def say_opened(self) -> None:
        """Publish that the epoch begins. It is evidence once the log acknowledged it."""
        self._say(self._epoch.opening(self._application))

    def tell_opened(self) -> None:
        """Tell the observer that the epoch has begun."""
        self._opened = time.monotonic()
        self._tell(EpochOpened(epoch=self._epoch.id.hex(), application=self._application))

    def say_tally(self, tally: Tally) -> None:
        """Publish a tally, if it has news."""
        evidence = self._epoch.next_tally(tally)
        if evidence is not None:
            self._say(evidence)

    def say_tallies(self) -> bool:
        """Publish the tallies that have news; whether there were any."""
        tallies = self._epoch.next_tallies()
        for evidence in tallies:
            self._say(evidence)
        return bool(tallies)

    def say_closed(self) -> None:
        """Publish that the epoch ended: every outcome is known, and told in its tallies."""
        self._say(self._epoch.closing())

    def tell_closed(self, *, complete: bool) -> None:
        """Tell the observer that the epoch has ended, and whether every outcome was known."""
        acknowledged, failed, indeterminate = self._epoch.outcomes()
        self._tell(
            EpochClosed(
                epoch=self._epoch.id.hex(),
                acknowledged=acknowledged,
                failed=failed,
                indeterminate=indeterminate,
                complete=complete,
                seconds=time.monotonic() - self._opened,
            )
        )

    def _say(self, evidence: Mapping[str, Any]) -> None:
        route = self._route
        if route is None:
            opened = self._topics.open(EVIDENCE)
            tallies = self._epoch.tallies(opened.description, named=False)
            route = self._route = Route.compile(opened, tallies)
        now = self._clock()
        value = route.encode({"at": moment(now), **evidence})
        partition = self._epoch.id[0] % len(route.tallies)
        self._append(Outgoing(EVIDENCE.name, partition, self._epoch.id, value, (), now), _note)


def _note(outcome: Outcome) -> None:
    if outcome.error is not None:
        _LOG.warning("evidence of published records was not delivered, the next tally covers it: %s", outcome.error)
