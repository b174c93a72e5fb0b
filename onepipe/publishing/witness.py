"""Witness: what a producer says of its own records, on the audit topic of the same log."""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from onepipe.evidence.epoch import WriterEpoch
from onepipe.evidence.records import EVIDENCE
from onepipe.observe.events import EpochClosed, EpochOpened, Event
from onepipe.publishing.route import Route
from onepipe.transport import OnOutcome, Outcome, Outgoing

if TYPE_CHECKING:
    from onepipe.evidence.tally import Tally
    from onepipe.publishing.stream import Stream
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

    Attributes:
        epoch: the epoch.
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
        self.epoch = epoch
        self._topics = topics
        self._application = application
        self._clock = clock
        self._append = append
        self._tell = tell
        self._encode: Callable[[Any], bytes] | None = None
        self._partition = 0
        self._opened = 0.0

    def say_opened(self, topic: str) -> None:
        """Publish that the epoch begins in a topic. It is evidence once the log acknowledged it."""
        self._say(self.epoch.opening(topic, self._application), _note)

    def tell_opened(self) -> None:
        """Tell the observer that the epoch has begun."""
        self._opened = time.monotonic()
        self._tell(EpochOpened(epoch=self.epoch.id.hex(), application=self._application))

    @property
    def due(self) -> bool:
        """Whether it is time for tallies."""
        return self.epoch.due

    def say_tally(self, stream: Stream) -> None:
        """Publish a stream's tally; the stream is told once the log acknowledged it."""
        tally = stream.next_tally()

        def note(outcome: Outcome) -> None:
            if outcome.error is None:
                stream.told = max(stream.told, tally.sequence_end)
            _note(outcome)

        self._say(self.epoch.tally(tally), note)

    def say_tallies(self, streams: Iterable[Stream]) -> bool:
        """Publish the tallies the log has not, the next ones being due after the interval; whether there were any."""
        self.epoch.postpone()
        news = [stream for stream in streams if stream.untold]
        for stream in news:
            self.say_tally(stream)
        return bool(news)

    def say_closed(self) -> None:
        """Publish that the epoch ended: every outcome is known, and the log has the tallies that tell them."""
        self._say(self.epoch.closing(), _note)

    def tell_closed(self, tallies: Iterable[Tally], *, complete: bool) -> None:
        """Tell the observer that the epoch has ended, and whether every outcome was known."""
        counts = [tally.outcomes for tally in tallies] or [(0, 0, 0)]
        acknowledged, failed, indeterminate = map(sum, zip(*counts, strict=True))
        self._tell(
            EpochClosed(
                epoch=self.epoch.id.hex(),
                acknowledged=acknowledged,
                failed=failed,
                indeterminate=indeterminate,
                complete=complete,
                seconds=time.monotonic() - self._opened,
            )
        )

    def _say(self, evidence: Mapping[str, Any], on_outcome: OnOutcome) -> None:
        if self._encode is None:
            opened = self._topics.open(EVIDENCE)
            self._partition = self.epoch.id[0] % opened.description.partitions
            self._encode = Route.compile(opened, []).encode
        now = self._clock()
        value = self._encode({"at": moment(now), **evidence})
        self._append(Outgoing(EVIDENCE.name, self._partition, self.epoch.id, value, (), now), on_outcome)


def _note(outcome: Outcome) -> None:
    if outcome.error is not None:
        _LOG.warning("evidence of published records was not delivered, the next tally covers it: %s", outcome.error)
