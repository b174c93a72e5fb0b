"""At which hop a row came to differ, and which rows of damaged files no evidence names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from onepipe.audit.inventory import Inventory, Place, RawFile
from onepipe.audit.rows import RowFault
from onepipe.audit.verdict import Hop, Kind

_NAMELESS = "no evidence tells which record it was"


class Blame:
    """Tells the raw hop's faults from the log's: a damaged file's rows are its own matter."""

    def __init__(self, inventory: Inventory, suspects: Sequence[RawFile]) -> None:
        """Prepare to tell.

        Args:
            inventory: the files of the raw table.
            suspects: intact files some of whose rows contradict themselves.
        """
        self._places = inventory.places()
        self._harmed = {file.path for file in (*inventory.damaged, *suspects)}

    def hop(self, fault: RowFault) -> Hop:
        """Where a row came to differ."""
        match fault.kind:
            case Kind.REPEATED:
                return Hop.LOG if fault.offset != fault.first else Hop.RAW
            case Kind.ALTERED:
                return Hop.RAW if fault.file in self._harmed and not fault.check else Hop.LOG
            case Kind.LOST:
                return Hop.RAW if self._was_archived(fault) else Hop.LOG

    def file(self, fault: RowFault) -> RawFile | None:
        """The file whose range holds a fault's offset; a damaged one where several do."""
        if fault.offset is None:
            return None
        files = self._places.get(Place(fault.log, fault.partition), ())
        found = [file for file in files if file.first <= fault.offset <= file.last]
        return next((file for file in found if file.path in self._harmed), found[0] if found else None)

    def nameless(self, faults: Iterable[RowFault], kept: Mapping[str, Collection[int]]) -> Iterator[RowFault]:
        """Rows that damaged files have lost, beyond those that faults name.

        Args:
            faults: rows lost at the raw hop.
            kept: by path of damaged files, the offsets of rows that are told to be theirs.
        """
        offsets: dict[str, set[int]] = {}
        placeless: Counter[Place] = Counter()
        for fault in faults:
            file = self.file(fault)
            if file is None or fault.offset is None:
                placeless[Place(fault.log, fault.partition)] += 1
            else:
                offsets.setdefault(file.path, set()).add(fault.offset)
        for place, files in self._places.items():
            for file in files:
                if file.damage:
                    told = offsets.get(file.path, set()) | set(kept.get(file.path, ()))
                    missing = file.rows - len(told)
                    elsewhere = min(max(0, missing), placeless[place])
                    placeless[place] -= elsewhere
                    yield from _nameless(file, told, missing - elsewhere, certain=not elsewhere)

    def _was_archived(self, fault: RowFault) -> bool:
        """Whether a record that no row holds had been in a file that is harmed now, by footers and ranges."""
        if fault.epoch is None or fault.sequence is None:
            return False
        file = self.file(fault)
        if file is not None and file.path in self._harmed:
            return _names(file, fault.epoch, fault.sequence) is not False
        if fault.named:
            return False
        files = self._places.get(Place(fault.log, fault.partition), ())
        told = {file.path: _names(file, fault.epoch, fault.sequence) for file in files if file.path in self._harmed}
        if True in told.values():
            return True
        low, high = _around(files, fault.epoch, fault.sequence)
        return any(said is None and low < file.first < high for file in files for said in [told.get(file.path, False)])


def _names(file: RawFile, epoch: bytes, sequence: int) -> bool | None:
    """Whether a file's footer names a sequence of a writer; None where it cannot tell."""
    if file.footer is None:
        return None
    runs = [run for run in file.footer.writers if run.epoch == epoch.hex()]
    return any(run.first <= sequence <= run.last for run in runs)


def _around(files: Sequence[RawFile], epoch: bytes, sequence: int) -> tuple[float, float]:
    """First offsets of the intact files before and after, which hold nearer sequences of the writer than others do."""
    low, high = float("-inf"), float("inf")
    for file in files:
        for run in file.intact.writers if file.intact else ():
            if run.epoch == epoch.hex():
                if run.last < sequence:
                    low = max(low, file.first)
                elif run.first > sequence:
                    high = min(high, file.last)
    return low, high


def _nameless(file: RawFile, told: set[int], count: int, *, certain: bool) -> Iterator[RowFault]:
    """Lost rows of a file; their offsets where its range has no gaps."""
    dense = certain and file.last - file.first + 1 == file.rows
    free: Iterable[int | None] = (o for o in range(file.first, file.last + 1) if o not in told)
    for _, offset in zip(range(count), free if dense else iter(lambda: None, 0), strict=False):
        yield RowFault(
            Kind.LOST,
            *file.place,
            offset,
            None,
            None,
            None,
            None,
            None,
            None,
            False,
            None,
            None,
            None,
            _NAMELESS,
            False,
        )
