"""From the producer through the log into the raw table: what was vouched for against what is there.

First by sums: what the footers of intact files say, against what writers vouch for, stream by stream. Only partitions
in which these disagree, or in which a file is damaged, are opened and compared row by row.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import attrs

from onepipe.audit.blame import Blame
from onepipe.audit.fault_key import FaultKey, fault_key
from onepipe.audit.hours import Hours
from onepipe.audit.inventory import Inventory, Place, RawFile
from onepipe.audit.readable import readable
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
        doubtful: by path of raw files, numbers of rows of which nobody knows which record they are.
        published: records that were published, as far as they are there or the log acknowledged them; None where
            evidence does not tell all of them.
        accepted: accepted faults of the log: records lost, less those repeated.
    """

    hops: tuple[HopVerdict, ...]
    faults: tuple[tuple[Hop, RowFault], ...]
    buckets: tuple[Bucket, ...]
    doubtful: Mapping[str, Sequence[int]]
    published: int | None
    accepted: int

    @property
    def in_flight(self) -> int:
        """Records on their way into the raw table."""
        return next(hop.in_flight for hop in self.hops if hop.hop is Hop.LOG)


@attrs.frozen
class Opening:
    """What opening partitions needs.

    Attributes:
        engine: makes an engine over the lake's folder.
        manifest: reads what writers name, where the topic is audited by name; else None.
        damaged_rows: of some files in their order, rows that contradict their body, as `RowAudit` takes them.
        fingerprints: of the schemas that the topic was declared with.
    """

    engine: Callable[[], Engine]
    manifest: Callable[[], pa.Table | None]
    damaged_rows: Callable[[Sequence[RawFile]], pa.Table]
    fingerprints: Collection[int]


@attrs.frozen
class _Figures:
    """Counts over all partitions."""

    faults: tuple[tuple[Hop, RowFault], ...]
    in_flight: int
    hours: Mapping[int, int]
    excused: Mapping[int, int]
    doubtful: Mapping[str, Sequence[int]]
    beyond: int
    undecoded: int

    def count(self, hop: Hop, kind: Kind) -> int:
        return sum(1 for where, fault in self.faults if where is hop and fault.kind is kind)


def check_produced(
    inventory: Inventory,
    testimony: Testimony,
    archived: Mapping[Place, int],
    opening: Opening,
    *,
    suspects: Sequence[RawFile] = (),
    accepted: Collection[FaultKey] = (),
    settled_before: dt.datetime,
) -> Produced:
    """Compare what writers vouch for with what the raw table holds.

    Args:
        inventory: the files of the raw table.
        testimony: what writers said of the topic.
        archived: by place, the offset up to which the log was archived.
        opening: what it takes to compare row by row.
        suspects: intact files that are to be compared row by row all the same.
        accepted: faults of the log's hop from which no state follows, as they are known and cannot be mended.
        settled_before: a writer that said nothing since then, and did not close its epoch, counts as dead.
    """
    seen = _seen(inventory)
    opened = _to_open(seen, testimony, inventory, suspects)
    figures = _open(opened, inventory, testimony, archived, opening, Blame(inventory, suspects))
    rows = sum(file.held for file in inventory.files) - sum(map(len, figures.doubtful.values()))
    written = Written(testimony, seen, _uncovered(inventory), settled_before)
    hops = (written.producer_hop(), _log_hop(written, figures, accepted), _raw_hop(rows, figures, inventory))
    vouching = Hours(testimony, frozenset(opened), figures.hours, figures.excused)
    unopened = (
        sum_.rows
        for stream, (sum_, _) in seen.items()
        if stream not in testimony.streams and Place(stream.log, stream.partition) not in opened
    )
    return Produced(
        hops,
        figures.faults,
        vouching.buckets(figures.faults, inventory),
        figures.doubtful,
        written.published(figures.beyond + sum(unopened)),
        _accepted(figures, accepted),
    )


def _accepted(figures: _Figures, accepted: Collection[FaultKey]) -> int:
    """Records lost in the log, less those repeated, as far as these faults were accepted."""
    kinds = [fault.kind for hop, fault in figures.faults if hop is Hop.LOG and row_key(fault) in accepted]
    return kinds.count(Kind.LOST) - kinds.count(Kind.REPEATED)


def _seen(inventory: Inventory) -> dict[Stream, tuple[Sum, int]]:
    """By stream, what intact files hold: rows with the sum of their digests, and one past the last sequence."""
    seen: dict[Stream, tuple[Sum, int]] = {}
    for file in inventory.files:
        for run in file.intact.writers if file.intact else ():
            stream = Stream(bytes.fromhex(run.epoch), *file.place)
            sum_, end = seen.get(stream, (Sum(), 0))
            seen[stream] = (sum_ + run.sum, max(end, run.last + 1))
    return seen


def _to_open(
    seen: Mapping[Stream, tuple[Sum, int]],
    testimony: Testimony,
    inventory: Inventory,
    suspects: Sequence[RawFile],
) -> set[Place]:
    opened = {file.place for file in (*inventory.damaged, *suspects)}
    for stream, vouched in testimony.streams.items():
        place = Place(stream.log, stream.partition)
        found, end = seen.get(stream, (Sum(), 0))
        expected = Sum(vouched.acknowledged, *vouched.digest)
        if found != expected or end > vouched.sequence_end:
            opened.add(place)
    return opened


def _open(
    opened: set[Place],
    inventory: Inventory,
    testimony: Testimony,
    archived: Mapping[Place, int],
    opening: Opening,
    blame: Blame,
) -> _Figures:
    if not opened:
        return _Figures((), 0, {}, {}, {}, 0, 0)
    files = [file for file in readable(inventory.files) if file.place in opened]
    streams = {s: v for s, v in testimony.streams.items() if Place(s.log, s.partition) in opened}
    with opening.engine() as engine:
        damaged = opening.damaged_rows(files)
        audit = RowAudit(engine, files, streams, archived, opening.manifest(), damaged, opening.fingerprints)
        faults = tuple((blame.hop(fault), fault) for fault in audit.faults())
        lost = [fault for hop, fault in faults if hop is Hop.RAW and fault.kind is Kind.LOST]
        faults += tuple((Hop.RAW, fault) for fault in blame.nameless(lost, audit.kept()))
        hours = audit.hours(), audit.excused_hours()
        return _Figures(faults, audit.in_flight(), *hours, audit.doubtful(), audit.beyond(), audit.undecoded())


def row_key(fault: RowFault) -> FaultKey | None:
    """By what a fault is known again, where it is one of the log's hop."""
    writer = fault.epoch.hex() if fault.epoch else None
    return fault_key(fault.kind, fault.log, fault.partition, fault.offset, writer, fault.sequence)


def _uncovered(inventory: Inventory) -> int:
    """Rows that do not say who wrote them."""
    footers = [file.intact for file in inventory.files if file.intact is not None]
    return sum(footer.rows - sum(run.sum.rows for run in footer.writers) for footer in footers)


def _log_hop(written: Written, figures: _Figures, accepted: Collection[FaultKey]) -> HopVerdict:
    notes = written.uncovered_notes()
    expected = sum(v.acknowledged for v in written.testimony.streams.values())
    if not written.testimony.streams:
        state = written.silence()
        return HopVerdict(Hop.LOG, state, 0 if state is State.BALANCED else None, written.rows(), 0, notes)
    lost, repeated = figures.count(Hop.LOG, Kind.LOST), figures.count(Hop.LOG, Kind.REPEATED)
    faults = (fault for hop, fault in figures.faults if hop is Hop.LOG)
    states = [FAULT_STATES[fault.kind] for fault in faults if row_key(fault) not in accepted]
    if figures.in_flight:
        states.append(State.OPEN)
    if figures.undecoded:
        states.append(State.UNKNOWN)
        notes += (f"{figures.undecoded:,} records are not compared, as the registry gave no schema of theirs yet",)
    found = expected - figures.in_flight - lost + repeated
    return HopVerdict(Hop.LOG, worst(states), expected, found, figures.in_flight, notes)


def _raw_hop(rows: int, figures: _Figures, inventory: Inventory) -> HopVerdict:
    lost, repeated = figures.count(Hop.RAW, Kind.LOST), figures.count(Hop.RAW, Kind.REPEATED)
    states = [FAULT_STATES[fault.kind] for hop, fault in figures.faults if hop is Hop.RAW]
    damaged = tuple(DamagedFile(file.path, file.damage) for file in inventory.damaged if file.damage)
    if damaged and not states:
        states.append(State.ALTERED)
    return HopVerdict(Hop.RAW, worst(states), rows + lost - repeated, rows, damaged=damaged)
