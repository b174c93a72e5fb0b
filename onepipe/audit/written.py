"""What writers say of their work: the producer's hop, and what can be said where no writer vouches for anything."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

import attrs

from onepipe.audit.verdict import Hop, HopVerdict, State, worst
from onepipe.audit.vouched import Stream, Testimony
from onepipe.lake.raw_footer import Sum


@attrs.frozen
class Written:
    """What writers said of a topic, beside what raw files hold of them.

    Attributes:
        testimony: what writers said.
        seen: by stream, rows and digests that intact raw files hold, and one past the last sequence.
        uncovered: rows that do not say who wrote them.
        settled_before: a writer that said nothing since then, and did not close its epoch, counts as dead.
    """

    testimony: Testimony
    seen: Mapping[Stream, tuple[Sum, int]]
    uncovered: int
    settled_before: dt.datetime

    def rows(self) -> int:
        """Rows that intact files hold, by writers known or not."""
        return self.uncovered + sum(sum_.rows for sum_, _ in self.seen.values())

    def producer_hop(self) -> HopVerdict:
        """What was published, against what the log acknowledged to its writer."""
        streams = self.testimony.streams
        published = sum(v.sequence_end for v in streams.values())
        acknowledged = sum(v.acknowledged for v in streams.values())
        failed = sum(end - first for v in streams.values() for first, end in v.failed)
        doubtful = sum(end - first for v in streams.values() for first, end in v.indeterminate)
        notes, states = [], []
        if failed:
            notes.append(f"{failed:,} records were refused by the log, and their publishers told so")
        if doubtful:
            notes.append(f"{doubtful:,} records have no known outcome, and their publishers were told so")
        if strangers := len(self._strangers()):
            notes.append(f"{strangers:,} writers left no evidence that reached the lake")
            states.append(State.UNKNOWN)
        if any(not vouched.complete for vouched in streams.values()):
            notes.append("tallies are missing between others; sums cover them, hours and names do not")
        if unsound := self.testimony.unsound:
            notes.append(f"{unsound:,} tallies contradict themselves or others, as no writer's do")
            states.append(State.UNKNOWN)
        states += self._unclosed(notes)
        if not self._covered:
            states.append(State.NOT_COVERED)
        expected = published - failed - doubtful if self._covered else None
        return HopVerdict(Hop.PRODUCER, worst(states), expected, acknowledged, 0, tuple(notes))

    def published(self, beyond: int) -> int | None:
        """Records that the log acknowledged, and those that are there without; None where evidence does not tell all.

        Args:
            beyond: records that are there though their writers do not, or not yet, vouch for them.
        """
        if not self._covered or self.uncovered or self._strangers() or self.testimony.unsound:
            return None
        return sum(v.acknowledged for v in self.testimony.streams.values()) + beyond

    def uncovered_notes(self) -> tuple[str, ...]:
        """What to say of rows without writer."""
        return (f"{self.uncovered:,} rows are not covered: their writers leave no evidence",) if self.uncovered else ()

    def silence(self) -> State:
        """What is known of the log where no writer vouches for a record.

        Nothing was published where all writers that ever began in the topic have ended and no row is there. Rows of a
        writer that is still at work are vouched for later; those of one that died before it said anything never.
        """
        if self._strangers() or any(self._is_dead(epoch) for epoch in self._epochs()):
            return State.UNKNOWN
        if self._epochs() or (self._live() and not self.uncovered):
            return State.OPEN
        return State.BALANCED if self._covered else State.NOT_COVERED

    @property
    def _covered(self) -> bool:
        """Whether evidence speaks of this topic: of its records, or by its silence that there are none."""
        if self._epochs():
            return True
        unclosed = self.testimony.opened - self.testimony.closed
        return self.testimony.heard and not self.uncovered and (not unclosed or bool(self._live()))

    def _epochs(self) -> set[bytes]:
        """Writers of records of this topic."""
        return {stream.epoch for stream in (*self.testimony.streams, *self.seen)}

    def _strangers(self) -> set[bytes]:
        vouching = {stream.epoch for stream in self.testimony.streams}
        return self._epochs() - self.testimony.opened - vouching

    def _is_dead(self, epoch: bytes) -> bool:
        return epoch not in self.testimony.closed and self.testimony.last[epoch] < self.settled_before

    def _live(self) -> set[bytes]:
        """Writers that may still be at work."""
        unclosed = (self.testimony.opened | self._epochs()) - self.testimony.closed - self._strangers()
        return {epoch for epoch in unclosed if not self._is_dead(epoch)}

    def _unclosed(self, notes: list[str]) -> list[State]:
        """Note the writers that did not close their epochs; the states that follow from them."""
        if not self._covered:
            return []
        live = self._live()
        dead = self._epochs() - live - self.testimony.closed - self._strangers()
        for epoch in sorted(live | dead):
            what = "is still at work" if epoch in live else "ended without closing"
            vouched = sum(v.sequence_end for stream, v in self.testimony.streams.items() if stream.epoch == epoch)
            notes.append(
                f"writer {epoch.hex()[:8]} {what}: vouched for {vouched:,} records, tail seen of {self._tail(epoch):,}"
            )
        return [State.OPEN] if live else []

    def _tail(self, epoch: bytes) -> int:
        """Records of a writer that are there, beyond those it vouches for."""
        ends = {stream: vouched.sequence_end for stream, vouched in self.testimony.streams.items()}
        return sum(max(0, end - ends.get(stream, 0)) for stream, (_, end) in self.seen.items() if stream.epoch == epoch)
