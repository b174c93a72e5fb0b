"""From the producer through the log into the raw table: what was vouched for against what is there.

First by sums: what the footers of intact files say, against what writers vouch for, stream by stream. Only partitions
in which these disagree, or in which a file is damaged, are opened and compared row by row.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import attrs

from onepipe.audit.inventory import Inventory, Place, RawFile
from onepipe.audit.rows import RowAudit, RowFault
from onepipe.audit.verdict import FAULT_STATES, Bucket, DamagedFile, Hop, HopVerdict, Kind, State, worst
from onepipe.audit.vouched import Stream, Testimony
from onepipe.lake.raw_footer import Sum

if TYPE_CHECKING:
    import pyarrow as pa

    from onepipe.lake.engine import Engine

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_HOUR: Final = dt.timedelta(hours=1)


@attrs.frozen
class Produced:
    """What was found on the way into the raw table.

    Attributes:
        hops: verdicts of the producer's, the log's and the raw hop.
        faults: rows that differ, each with the hop where it happened.
        buckets: by hour, what writers vouch for against what is there.
    """

    hops: tuple[HopVerdict, ...]
    faults: tuple[tuple[Hop, RowFault], ...]
    buckets: tuple[Bucket, ...]


@attrs.frozen
class Opening:
    """What opening partitions needs.

    Attributes:
        engine: makes an engine over the lake's folder.
        manifest: reads what writers name, where the topic is audited by name; else None.
        damaged_rows: of some files in their order, the rows whose columns contradict their body: row and detail.
    """

    engine: Callable[[], Engine]
    manifest: Callable[[], pa.Table | None]
    damaged_rows: Callable[[Sequence[RawFile]], pa.Table]


@attrs.frozen
class _Figures:
    """Counts over all partitions."""

    faults: tuple[tuple[Hop, RowFault], ...]
    in_flight: int
    hours: Mapping[int, int]

    def count(self, hop: Hop, kind: Kind) -> int:
        return sum(1 for where, fault in self.faults if where is hop and fault.kind is kind)


def check_produced(
    inventory: Inventory,
    testimony: Testimony,
    archived: Mapping[Place, int],
    opening: Opening,
    *,
    suspects: Sequence[RawFile] = (),
    settled_before: dt.datetime,
) -> Produced:
    """Compare what writers vouch for with what the raw table holds.

    Args:
        inventory: the files of the raw table.
        testimony: what writers said of the topic.
        archived: by place, the offset up to which the log was archived.
        opening: what it takes to compare row by row.
        suspects: intact files that are to be compared row by row all the same.
        settled_before: a writer that said nothing since then, and did not close its epoch, counts as dead.
    """
    places = inventory.places()
    seen = _seen(places)
    opened = _to_open(places, seen, testimony, inventory, suspects)
    figures = _open(opened, inventory, testimony, archived, opening)
    rows = sum(file.footer.rows for file in inventory.files if file.footer and not file.damage)
    if inventory.damaged or suspects:
        rows = _rows_now(inventory)
    hops = (
        _producer_hop(testimony, seen, settled_before),
        _log_hop(testimony, seen, figures),
        _raw_hop(rows, figures, inventory),
    )
    return Produced(hops, figures.faults, _buckets(testimony, places, opened, figures))


def _seen(places: Mapping[Place, Sequence[RawFile]]) -> dict[Stream, tuple[Sum, int]]:
    """By stream, what intact files hold: rows with the sum of their digests, and one past the last sequence."""
    seen: dict[Stream, tuple[Sum, int]] = {}
    for place, files in places.items():
        for file in files:
            if file.footer is None or file.damage:
                continue
            for run in file.footer.writers:
                stream = Stream(bytes.fromhex(run.epoch), place.log, place.partition)
                sum_, end = seen.get(stream, (Sum(), 0))
                seen[stream] = (sum_ + run.sum, max(end, run.last + 1))
    return seen


def _to_open(
    places: Mapping[Place, Sequence[RawFile]],
    seen: Mapping[Stream, tuple[Sum, int]],
    testimony: Testimony,
    inventory: Inventory,
    suspects: Sequence[RawFile],
) -> set[Place]:
    damaged = {file.partition for file in (*inventory.damaged, *suspects)}
    opened = {place for place in places if place.partition in damaged}
    for stream, vouched in testimony.streams.items():
        place = Place(stream.log, stream.partition)
        found, end = seen.get(stream, (Sum(), 0))
        expected = Sum(vouched.acknowledged, *vouched.digest)
        if found != expected or end > vouched.sequence_end or stream.partition in damaged:
            opened.add(place)
    return opened


def _open(
    opened: set[Place],
    inventory: Inventory,
    testimony: Testimony,
    archived: Mapping[Place, int],
    opening: Opening,
) -> _Figures:
    if not opened:
        return _Figures((), 0, {})
    partitions = {place.partition for place in opened}
    files = [file for file in inventory.files if file.footer is not None and file.partition in partitions]
    streams = {s: v for s, v in testimony.streams.items() if Place(s.log, s.partition) in opened}
    with opening.engine() as engine:
        audit = RowAudit(engine, files, streams, archived, opening.manifest(), opening.damaged_rows(files))
        faults = tuple((_where(fault, inventory), fault) for fault in audit.faults())
        return _Figures(faults, audit.in_flight(), audit.hours())


def _where(fault: RowFault, inventory: Inventory) -> Hop:
    """The hop at which a row came to differ: a damaged file's rows are its own matter, unless they say otherwise."""
    damaged = {file.path for file in inventory.damaged}
    match fault.kind:
        case Kind.REPEATED:
            return Hop.LOG if fault.offset != fault.first else Hop.RAW
        case Kind.ALTERED:
            return Hop.RAW if fault.file in damaged and not fault.check else Hop.LOG
        case Kind.LOST:
            return Hop.RAW if _was_archived(fault, inventory) else Hop.LOG


def _was_archived(fault: RowFault, inventory: Inventory) -> bool:
    """Whether a record that no row holds was in the file of its offset, by what that file's footer still says."""
    if fault.offset is None or fault.epoch is None or fault.sequence is None:
        return False
    file = inventory.covering(Place(fault.log, fault.partition), fault.offset)
    if file is None or not file.damage:
        return False
    runs = [run for run in file.footer.writers if run.epoch == fault.epoch.hex()] if file.footer else []
    return not runs or any(run.first <= fault.sequence <= run.last for run in runs)


def _rows_now(inventory: Inventory) -> int:
    """The rows all readable files hold now, by their own count."""
    import pyarrow.parquet as pq

    return sum(int(pq.read_metadata(file.uri).num_rows) for file in inventory.files if file.footer is not None)


def _producer_hop(
    testimony: Testimony, seen: Mapping[Stream, tuple[Sum, int]], settled_before: dt.datetime
) -> HopVerdict:
    published = sum(v.sequence_end for v in testimony.streams.values())
    acknowledged = sum(v.acknowledged for v in testimony.streams.values())
    failed = sum(end - first for v in testimony.streams.values() for first, end in v.failed)
    doubtful = sum(end - first for v in testimony.streams.values() for first, end in v.indeterminate)
    known = testimony.opened | {stream.epoch for stream in testimony.streams}
    strangers = {stream.epoch for stream in seen if stream.epoch not in known}
    notes, states = [], []
    if failed:
        notes.append(f"{failed:,} records were refused by the log, and their publishers told so")
    if doubtful:
        notes.append(f"{doubtful:,} records have no known outcome, and their publishers were told so")
    if strangers:
        notes.append(f"{len(strangers)} writers left no evidence that reached the lake")
        states.append(State.UNKNOWN)
    if any(not vouched.complete for vouched in testimony.streams.values()):
        notes.append("tallies are missing between others; sums cover them, hours and names do not")
    for epoch in sorted(known - testimony.closed):
        dead = testimony.last[epoch] < settled_before
        notes.append(_unclosed(epoch, testimony, seen, dead=dead))
        if not dead:
            states.append(State.OPEN)
    if not known and not strangers:
        states.append(State.NOT_COVERED)
    return HopVerdict(
        Hop.PRODUCER, worst(states), published - failed - doubtful if known else None, acknowledged, 0, tuple(notes)
    )


def _unclosed(epoch: bytes, testimony: Testimony, seen: Mapping[Stream, tuple[Sum, int]], *, dead: bool) -> str:
    """What to say of a writer that did not close its epoch."""
    vouched = sum(v.sequence_end for stream, v in testimony.streams.items() if stream.epoch == epoch)
    tail = sum(
        max(0, end - testimony.streams[stream].sequence_end if stream in testimony.streams else end)
        for stream, (_, end) in seen.items()
        if stream.epoch == epoch
    )
    what = "ended without closing" if dead else "is still at work"
    return f"writer {epoch.hex()[:8]} {what}: vouched for {vouched:,} records, tail seen of {tail:,}"


def _log_hop(testimony: Testimony, seen: Mapping[Stream, tuple[Sum, int]], figures: _Figures) -> HopVerdict:
    if not testimony.streams:
        unknown = bool(seen) or bool(testimony.opened)
        return HopVerdict(Hop.LOG, State.UNKNOWN if unknown else State.NOT_COVERED, None, _rows(seen))
    expected = sum(v.acknowledged for v in testimony.streams.values())
    lost, repeated = figures.count(Hop.LOG, Kind.LOST), figures.count(Hop.LOG, Kind.REPEATED)
    states = [FAULT_STATES[fault.kind] for hop, fault in figures.faults if hop is Hop.LOG]
    if figures.in_flight:
        states.append(State.OPEN)
    found = expected - figures.in_flight - lost + repeated
    return HopVerdict(Hop.LOG, worst(states), expected, found, figures.in_flight)


def _raw_hop(rows: int, figures: _Figures, inventory: Inventory) -> HopVerdict:
    lost, repeated = figures.count(Hop.RAW, Kind.LOST), figures.count(Hop.RAW, Kind.REPEATED)
    states = [FAULT_STATES[fault.kind] for hop, fault in figures.faults if hop is Hop.RAW]
    damaged = tuple(DamagedFile(file.path, file.damage) for file in inventory.damaged if file.damage)
    if damaged and not states:
        states.append(State.ALTERED)
    return HopVerdict(Hop.RAW, worst(states), rows + lost - repeated, rows, damaged=damaged)


def _rows(seen: Mapping[Stream, tuple[Sum, int]]) -> int:
    return sum(sum_.rows for sum_, _ in seen.values())


def _buckets(
    testimony: Testimony, places: Mapping[Place, Sequence[RawFile]], opened: set[Place], figures: _Figures
) -> tuple[Bucket, ...]:
    """By hour of message time: what writers vouch for, against their rows that are there."""
    expected: Counter[int] = Counter()
    found: Counter[int] = Counter(figures.hours)
    for stream, vouched in testimony.streams.items():
        for hour, (rows, _) in vouched.hours.items():
            expected[hour] += rows
            if Place(stream.log, stream.partition) not in opened:
                found[hour] += rows
    repeated = Counter(fault.hour for _, fault in figures.faults if fault.kind is Kind.REPEATED)
    altered = {fault.hour for _, fault in figures.faults if fault.kind is Kind.ALTERED}
    uncovered = _uncovered_hours(places) if not testimony.streams else Counter()
    any_lost = any(fault.kind is Kind.LOST for _, fault in figures.faults)
    complete = all(vouched.complete for vouched in testimony.streams.values())

    def state(hour: int) -> State:
        states = [State.NOT_COVERED] if hour in uncovered else []
        surplus = found[hour] - repeated[hour] - expected[hour]
        if surplus < 0:
            states.append(State.SHORT if any_lost else State.OPEN)
        elif surplus > 0:
            states.append(State.OPEN if complete else State.UNKNOWN)
        if repeated[hour]:
            states.append(State.OVER)
        if hour in altered:
            states.append(State.ALTERED)
        return worst(states)

    hours = sorted(expected.keys() | found.keys() | uncovered.keys())
    return tuple(Bucket(_EPOCH + h * _HOUR, expected[h], found[h] or uncovered[h], state(h)) for h in hours)


def _uncovered_hours(places: Mapping[Place, Sequence[RawFile]]) -> Counter[int]:
    """By hours since 1970, the rows of a topic for which no writer vouches."""
    hours: Counter[int] = Counter()
    for files in places.values():
        for file in files:
            for name, sum_ in file.footer.hours.items() if file.footer else ():
                moment = dt.datetime.strptime(name, "%Y-%m-%dT%H").replace(tzinfo=dt.UTC)
                hours[(moment - _EPOCH) // _HOUR] += sum_.rows
    return hours
