"""From the producer through the log into the raw table: what was vouched for against what is there.

First by sums: what the footers of intact files say, against what writers vouch for, stream by stream. Only partitions
in which these disagree, or in which a file is damaged, are opened and compared row by row.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import attrs

from onepipe.audit.hours import Hours
from onepipe.audit.inventory import Inventory, Place, RawFile
from onepipe.audit.rows import RowAudit, RowFault
from onepipe.audit.verdict import FAULT_STATES, Bucket, DamagedFile, Hop, HopVerdict, Kind, State, worst
from onepipe.audit.vouched import Stream, Testimony
from onepipe.audit.written import Written
from onepipe.lake.raw_footer import Sum

if TYPE_CHECKING:
    import pyarrow as pa

    from onepipe.lake.engine import Engine


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
    excused: Mapping[int, int]

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
    written = Written(testimony, seen, _uncovered(inventory), settled_before)
    hops = (written.producer_hop(), _log_hop(written, figures), _raw_hop(rows, figures, inventory))
    vouching = Hours(testimony, frozenset(opened), figures.hours, figures.excused)
    return Produced(hops, figures.faults, vouching.buckets(figures.faults, inventory))


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
        return _Figures((), 0, {}, {})
    partitions = {place.partition for place in opened}
    files = [file for file in inventory.files if file.footer is not None and file.partition in partitions]
    streams = {s: v for s, v in testimony.streams.items() if Place(s.log, s.partition) in opened}
    with opening.engine() as engine:
        audit = RowAudit(engine, files, streams, archived, opening.manifest(), opening.damaged_rows(files))
        faults = tuple((_where(fault, inventory), fault) for fault in audit.faults())
        return _Figures(faults, audit.in_flight(), audit.hours(), audit.excused_hours())


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


def _uncovered(inventory: Inventory) -> int:
    """Rows that do not say who wrote them."""
    footers = [file.footer for file in inventory.files if file.footer is not None]
    return sum(footer.rows - sum(run.sum.rows for run in footer.writers) for footer in footers)


def _log_hop(written: Written, figures: _Figures) -> HopVerdict:
    notes = written.uncovered_notes()
    expected = sum(v.acknowledged for v in written.testimony.streams.values())
    if not written.testimony.streams:
        state = written.silence()
        return HopVerdict(Hop.LOG, state, 0 if state is State.BALANCED else None, written.rows(), 0, notes)
    lost, repeated = figures.count(Hop.LOG, Kind.LOST), figures.count(Hop.LOG, Kind.REPEATED)
    states = [FAULT_STATES[fault.kind] for hop, fault in figures.faults if hop is Hop.LOG]
    if figures.in_flight:
        states.append(State.OPEN)
    found = expected - figures.in_flight - lost + repeated
    return HopVerdict(Hop.LOG, worst(states), expected, found, figures.in_flight, notes)


def _raw_hop(rows: int, figures: _Figures, inventory: Inventory) -> HopVerdict:
    lost, repeated = figures.count(Hop.RAW, Kind.LOST), figures.count(Hop.RAW, Kind.REPEATED)
    states = [FAULT_STATES[fault.kind] for hop, fault in figures.faults if hop is Hop.RAW]
    damaged = tuple(DamagedFile(file.path, file.damage) for file in inventory.damaged if file.damage)
    if damaged and not states:
        states.append(State.ALTERED)
    return HopVerdict(Hop.RAW, worst(states), rows + lost - repeated, rows, damaged=damaged)
