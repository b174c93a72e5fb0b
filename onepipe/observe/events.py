"""Events and those who observe them.

An event tells of a step of work, such as a committed file, and never of a single record. Observers are called in the
thread that did the work, after it was done. Nothing depends on them: an observer that raises is logged, and is not told
of events of that class again.
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


@attrs.frozen(kw_only=True)
class EpochOpened(Event):
    """A producer opened its writer epoch, durably, before its first record.

    Attributes:
        epoch: the epoch's 32 hexadecimal digits.
        application: what the application calls itself, or None.
    """

    epoch: str
    application: str | None


@attrs.frozen(kw_only=True)
class EpochClosed(Event):
    """A producer was closed.

    Attributes:
        epoch: the epoch's 32 hexadecimal digits.
        acknowledged: records and deletes the log acknowledged, of all topics.
        failed: those it refused.
        indeterminate: those of which neither is known.
        complete: whether every record had its outcome.
        seconds: how long the epoch was open.
    """

    epoch: str
    acknowledged: int
    failed: int
    indeterminate: int
    complete: bool
    seconds: float


@attrs.frozen(kw_only=True)
class RecordsRejected(Event):
    """A producer refused invalid records; told every now and then, and when it is flushed or closed.

    Attributes:
        count: how many since the last such event of the topic.
    """

    count: int


@attrs.frozen(kw_only=True)
class ArchiveCommitted(Event):
    """An archive committed files to a raw table.

    Attributes:
        rows: rows in them.
        quarantined: rows among these with an error.
        files: how many files.
        bytes: their bytes.
        seconds: how long finishing and committing them took.
    """

    rows: int
    quarantined: int
    files: int
    bytes: int
    seconds: float


@attrs.frozen(kw_only=True)
class DedupCommitted(Event):
    """A dedup committed to a clean table.

    Attributes:
        version: version of the clean table.
        rebuilt: whether all raw files were folded anew.
        arrivals: good raw rows that were folded.
        quarantined: raw rows that were passed over because of their error.
        identities: by how many rows the clean table grew.
        added: clean files added.
        removed: clean files removed.
        seconds: how long it took.
    """

    version: int
    rebuilt: bool
    arrivals: int
    quarantined: int
    identities: int
    added: int
    removed: int
    seconds: float


@attrs.frozen(kw_only=True)
class Verified(Event):
    """A verification came to its verdict.

    Attributes:
        level: how deep it looked.
        state: the verdict, such as "balanced".
        findings: how many records it names.
        seconds: how long it took.
    """

    level: str
    state: str
    findings: int
    seconds: float


EVENTS = (EpochOpened, EpochClosed, RecordsRejected, ArchiveCommitted, DedupCommitted, Verified)
"""Every class of event the pipeline tells."""


@runtime_checkable
class Observer(Protocol):
    """Gets every event; looks at those of the classes it knows."""

    def __call__(self, event: Event) -> None:
        """Take note of an event; quickly, as the work waits."""


@attrs.frozen
class Observers:
    """Several observers as one. Thread-safe, as they are.

    Attributes:
        observers: whom to tell, in order.
    """

    observers: tuple[Observer, ...] = ()
    _failed: set[tuple[int, type[Event]]] = attrs.field(factory=set, eq=False, repr=False, init=False)

    @classmethod
    def of(cls, observers: Iterable[Observer]) -> Observers:
        """These observers as one."""
        return cls(tuple(observers))

    def __call__(self, event: Event) -> None:
        """Tell every observer, apart from those that raised on an event of this class before."""
        for number, observer in enumerate(self.observers):
            if (number, type(event)) in self._failed:
                continue
            try:
                observer(event)
            except Exception:
                self._failed.add((number, type(event)))
                _LOG.exception("observer %r failed on %s and is not told of one again", observer, type(event).__name__)
