"""The inventory of a raw table: each file, whether it still holds what was written, and what its footer says.

A file's place, range and rows are those that its commit noted: they are known of a damaged or missing file as well.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

import attrs

from onepipe.audit.checked import read_checked
from onepipe.lake import columns as c
from onepipe.lake.raw_footer import RawFooter, Sum, raw_footer

if TYPE_CHECKING:
    from onepipe.audit.salvage import Salvage
    from onepipe.lake.storage import Storage
    from onepipe.lake.table import LakeFile, Snapshot

_PATH: Final = re.compile(r"part(\d+)/.*/offset(\d+)-[0-9a-f]{32}\.parquet\Z")
_READERS: Final = 4


class Place(NamedTuple):
    """A partition of one incarnation of a topic's log."""

    log: str
    partition: int


@attrs.frozen
class RawFile:
    """A file of a raw table.

    Attributes:
        path: path below the storage's root.
        place: log and partition of its rows.
        first: offset of its first row.
        last: offset of its last row.
        rows: rows that were committed.
        held: rows that can be read.
        footer: what it says of itself; of a damaged file only a hint, and None where it contradicts itself or its
            commit, or cannot be read.
        damage: why it is not what was written, as in "holds other bytes", or None.
        salvaged: local file of the rows that could be salvaged of a damaged file; None where there are none.
    """

    path: str
    place: Place
    first: int
    last: int
    rows: int
    held: int
    footer: RawFooter | None
    damage: str | None
    salvaged: str | None = None

    @property
    def intact(self) -> RawFooter | None:
        """The footer of an intact file."""
        return None if self.damage else self.footer


@attrs.frozen
class Inventory:
    """The files of a raw table, in order of partition and offset."""

    files: tuple[RawFile, ...]

    @property
    def damaged(self) -> tuple[RawFile, ...]:
        """The files that are not what was written."""
        return tuple(file for file in self.files if file.damage)

    def places(self) -> dict[Place, list[RawFile]]:
        """The files by log and partition."""
        places: dict[Place, list[RawFile]] = {}
        for file in self.files:
            places.setdefault(file.place, []).append(file)
        return places


def take_inventory(storage: Storage, snapshot: Snapshot, root: str, salvage: Salvage | None = None) -> Inventory:
    """Read every file of a raw table once, compare it with the hash in its name, and read its footer.

    Args:
        storage: where the table is.
        snapshot: the version of it.
        root: path of the table below the storage's root.
        salvage: copies the rows of damaged files; where None, these are not read.
    """

    def look(file: LakeFile) -> RawFile:
        return _look(storage, f"{root}/{file.path}", file)

    with ThreadPoolExecutor(_READERS) as readers:
        files = sorted(readers.map(look, snapshot.files), key=lambda file: (file.place.partition, file.first))
    return Inventory(tuple(_salvaged(storage, file, salvage) if file.damage else file for file in files))


def _look(storage: Storage, path: str, committed: LakeFile) -> RawFile:
    footer, damage = read_checked(storage, path, raw_footer)
    place, first, last = _range(path, committed, footer)
    if damage and footer and not _agrees(footer, place, first, last, committed.rows):
        footer = None
    return RawFile(path, place, first, last, committed.rows, committed.rows, footer, damage)


def _range(path: str, committed: LakeFile, footer: RawFooter | None) -> tuple[Place, int, int]:
    """Place, first and last offset, by the commit; where it does not note them, by footer and name."""
    statistics = committed.statistics
    if statistics.keys() >= {c.LOG, c.PARTITION, c.OFFSET}:
        first, last = (int(str(bound)) for bound in statistics[c.OFFSET])
        return Place(str(statistics[c.LOG][0]), int(str(statistics[c.PARTITION][0]))), first, last
    if footer is not None:
        return Place(footer.log, footer.partition), footer.first, footer.next - 1
    named = _PATH.search(path)
    partition, first = (int(named[1]), int(named[2])) if named else (-1, -1)
    return Place("", partition), first, first + committed.rows - 1


def _agrees(footer: RawFooter, place: Place, first: int, last: int, rows: int) -> bool:
    """Whether a damaged file's footer agrees with its commit, and its sums with each other."""
    if (footer.log, footer.partition, footer.rows) != (*place, rows) or not footer.first <= first <= last < footer.next:
        return False
    runs = sum((run.sum for run in footer.writers), Sum())
    hours = sum(footer.hours.values(), Sum())
    good = sum(footer.sums.values(), Sum())
    return (
        hours.rows == rows
        and good.rows == rows - footer.quarantined
        and (footer.quarantined > 0 or good == hours)
        and (runs.rows < rows or runs == hours)
        and all(run.sum.rows == run.last - run.first + 1 for run in footer.writers)
    )


def _salvaged(storage: Storage, file: RawFile, salvage: Salvage | None) -> RawFile:
    copy = None
    if salvage is not None:
        copy = salvage.raw(partial(storage.open, file.path), *file.place, file.first, file.last)
    return attrs.evolve(file, salvaged=copy.file if copy else None, held=copy.rows if copy else 0)


def schema_documents(files: Sequence[RawFile]) -> Mapping[int | str, object]:
    """The documents of the schemas the rows were written with, by id or name; intact files have the last word."""
    documents: dict[int | str, object] = {}
    for file in sorted(files, key=lambda file: file.damage is None):
        if file.footer is not None:
            documents.update(file.footer.schemas)
    return documents
