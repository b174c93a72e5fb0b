"""The records of a topic by hour of message time: what writers vouch for, against what raw files hold."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

import attrs

from onepipe.audit.inventory import Inventory, Place
from onepipe.audit.rows import RowFault
from onepipe.audit.verdict import Bucket, Hop, Kind, State, worst
from onepipe.audit.vouched import Testimony
from onepipe.lake.raw_footer import NO_HOUR
from onepipe.schema.values import EPOCH

_HOUR: Final = dt.timedelta(hours=1)
_FIRST: Final = (dt.datetime.min.replace(tzinfo=dt.UTC) - EPOCH) // _HOUR
_LAST: Final = (dt.datetime.max.replace(tzinfo=dt.UTC) - EPOCH) // _HOUR


@attrs.frozen
class Hours:
    """What is known by hours since 1970.

    Attributes:
        testimony: what writers said of the topic.
        opened: places whose rows were counted one by one.
        counted: in these, rows of known writers.
        excused: in these, rows that are there though their writers know of no outcome.
    """

    testimony: Testimony
    opened: frozenset[Place]
    counted: Mapping[int, int]
    excused: Mapping[int, int]

    def buckets(self, faults: Iterable[tuple[Hop, RowFault]], inventory: Inventory) -> tuple[Bucket, ...]:
        """The figures of each hour; records without time, or with one beyond the calendar, are in none.

        Args:
            faults: rows that differ.
            inventory: files of the raw table.
        """
        expected, found = self._sums()
        rows = [fault for _, fault in faults]
        repeated = Counter(fault.hour for fault in rows if fault.kind is Kind.REPEATED)
        altered = {fault.hour for fault in rows if fault.kind is Kind.ALTERED}
        uncovered = Counter() if self.testimony.streams else _uncovered(inventory)
        short = State.SHORT if any(fault.kind is Kind.LOST for fault in rows) else State.OPEN
        beyond = State.OPEN if all(v.complete for v in self.testimony.streams.values()) else State.UNKNOWN

        irregular = bool(repeated or altered or uncovered)

        def state(hour: int) -> State:
            surplus = found[hour] - repeated[hour] - expected[hour]
            if not surplus and not irregular:
                return State.BALANCED
            states = [State.NOT_COVERED] if hour in uncovered else []
            if surplus:
                states.append(short if surplus < 0 else beyond)
            if repeated[hour]:
                states.append(State.OVER)
            if hour in altered:
                states.append(State.ALTERED)
            return worst(states) if states else State.BALANCED

        hours = sorted(hour for hour in expected.keys() | found.keys() | uncovered.keys() if _FIRST <= hour <= _LAST)
        return tuple(Bucket(EPOCH + h * _HOUR, expected[h], found[h] or uncovered[h], state(h)) for h in hours)

    def _sums(self) -> tuple[Counter[int], Counter[int]]:
        """By hour, the rows that should be there, and those that are."""
        expected, found = Counter(self.excused), Counter(self.counted)
        for stream, vouched in self.testimony.streams.items():
            counted = Place(stream.log, stream.partition) in self.opened
            for hour, rows in vouched.hours.items():
                expected[hour] += rows
                if not counted:
                    found[hour] += rows
        return expected, found


def _uncovered(inventory: Inventory) -> Counter[int]:
    """The rows of a topic for which no writer vouches."""
    hours: Counter[int] = Counter()
    for footer in (file.footer for file in inventory.files if file.footer is not None):
        for name, sum_ in footer.hours.items():
            if name != NO_HOUR:
                hours[(dt.datetime.fromisoformat(f"{name}:00+00:00") - EPOCH) // _HOUR] += sum_.rows
    return hours
