"""Offsets: what is remembered of them, so that every reader counts alike.

Kinesis has sequence numbers of about 186 bits; the lake wants 64. So an offset is an ordinal: the messages of a
partition are counted along its lineage, from 0 for the first one that anybody ever read. An *anchor* says the ordinal
of one record. Anchors are shared by all readers, in the store; from the nearest one on each reader counts for itself,
forwards, and backwards from the first one whose record is still kept. As records never change their order, all arrive
at the same ordinals. Copies of a batch count too, so an offset may be skipped: gaps are legal.

The *mark* says how far the log was counted when its end was last seen: at that time, every record before it had its
ordinal, and the next one to come will have `next`. It keeps the count where all records have expired since.

Where retention took every record that an anchor or the mark knows, and more may have come and gone since, the count is
lost. It then begins anew, so far ahead that no offset is used twice: readers hand out no ordinal `LEAP` or more beyond
the greatest one remembered.
"""

from __future__ import annotations

import json
from typing import Final, NamedTuple, Self

import attrs

LEAP: Final = 1 << 32
"""How far ahead the count begins anew; more than a record has messages (10 MiB of them) beside `SPACING`."""
SPACING: Final = 10_000
"""Messages between anchors, about: few enough to be counted in one or two reads."""

_KEPT: Final = 64
_MARGIN_MS: Final = 600_000
"""How much clocks may differ, and retention be early."""
_FORMAT: Final = 1


class Place(NamedTuple):
    """Where a record is in its partition; later ones are greater."""

    shard: int
    sequence: int


class Anchor(NamedTuple):
    """The ordinal of a record's first message."""

    place: Place
    ordinal: int


class Mark(NamedTuple):
    """How far the log was counted.

    Attributes:
        next: the ordinal of the message that comes next.
        place: the last record that was counted, or None where there was none.
        time: when the end was seen, milliseconds since 1970: what arrived before is counted.
    """

    next: int
    place: Place | None
    time: int


@attrs.frozen
class Ledger:
    """What is remembered of one partition's offsets.

    Attributes:
        anchors: in order.
        mark: how far the log was counted, or None.
    """

    anchors: tuple[Anchor, ...] = ()
    mark: Mark | None = None

    @classmethod
    def parse(cls, text: str | None) -> Self:
        """A ledger of its document; an empty one of None."""
        if text is None:
            return cls()
        said = json.loads(text)
        mark = said["mark"]
        return cls(
            tuple(Anchor(Place(shard, sequence), ordinal) for shard, sequence, ordinal in said["anchors"]),
            None if mark is None else Mark(mark[0], None if mark[1] is None else Place(*mark[1]), mark[2]),
        )

    def document(self) -> str:
        """The ledger as a document."""
        anchors = [[*anchor.place, anchor.ordinal] for anchor in self.anchors]
        return json.dumps({"format": _FORMAT, "anchors": anchors, "mark": self.mark}, separators=(",", ":"))

    @property
    def empty(self) -> bool:
        """Whether nothing was ever counted."""
        return not self.anchors and self.mark is None

    @property
    def greatest(self) -> int:
        """The greatest ordinal that is remembered; 0 of an empty ledger."""
        return max(self.anchors[-1].ordinal if self.anchors else 0, self.mark.next if self.mark else 0)

    @property
    def last(self) -> Place | None:
        """The latest record that is remembered."""
        places = [anchor.place for anchor in self.anchors[-1:]]
        if self.mark is not None and self.mark.place is not None:
            places.append(self.mark.place)
        return max(places, default=None)

    def before(self, ordinal: int) -> Anchor | None:
        """The last anchor at or before an ordinal."""
        return next((anchor for anchor in reversed(self.anchors) if anchor.ordinal <= ordinal), None)

    def ordinal_at(self, place: Place) -> int | None:
        """The ordinal of a record, where it has an anchor."""
        return next((anchor.ordinal for anchor in self.anchors if anchor.place == place), None)

    def with_anchor(self, anchor: Anchor) -> Ledger:
        """The ledger with one more anchor; of many older ones, every other is forgotten."""
        if any(known.place == anchor.place for known in self.anchors):
            return self
        anchors = sorted((*self.anchors, anchor))
        if len(anchors) > _KEPT:
            half = len(anchors) // 2
            anchors = [*anchors[:half:2], *anchors[half:]]
        return attrs.evolve(self, anchors=tuple(anchors))

    def with_mark(self, mark: Mark) -> Ledger:
        """The ledger with a later mark; an earlier one changes nothing."""
        known = self.mark
        if known is not None and (mark.next, mark.time) <= (known.next, known.time):
            return self
        return attrs.evolve(self, mark=mark)

    def without(self, first: Place) -> Ledger:
        """The ledger without anchors of records before the first one that is kept, but for the last of them."""
        expired = [anchor for anchor in self.anchors if anchor.place < first]
        return attrs.evolve(self, anchors=self.anchors[max(0, len(expired) - 1) :])

    def resumed(self, now: int, retention_ms: int) -> int:
        """The ordinal of the first record kept, where every one that is remembered has expired."""
        if self.empty:
            return 0
        if self.mark is not None and self.mark.time >= now - retention_ms + _MARGIN_MS:
            return self.greatest
        return self.greatest + LEAP
