"""The inventory of a clean table: each file, whether it still holds what was written, and what its footer says."""

from __future__ import annotations

import datetime as dt
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import attrs

from onepipe.audit.checked import read_checked
from onepipe.lake import columns as c
from onepipe.lake.clean_files import CleanFooter, clean_footer
from onepipe.lake.layout import clean_file

if TYPE_CHECKING:
    from onepipe.audit.salvage import Salvage
    from onepipe.lake.storage import Storage
    from onepipe.lake.table import LakeFile, Snapshot

_READERS: Final = 4
_EVERY: Final = (-(1 << 63), (1 << 63) - 1)


@attrs.frozen
class CleanFile:
    """A file of a clean table.

    Attributes:
        path: path below the storage's root.
        rows: rows the table says it has.
        hashes: least and greatest identity hash, as its commit noted them.
        footer: what it says of itself; None where it cannot be read.
        damage: why it is not what was written, as in "holds other bytes", or None.
        salvaged: local file of the rows that could be salvaged of a damaged file; None where there are none.
    """

    path: str
    rows: int
    hashes: tuple[int, int]
    footer: CleanFooter | None
    damage: str | None
    salvaged: str | None = None


def clean_inventory(storage: Storage, snapshot: Snapshot, root: str, salvage: Salvage) -> tuple[CleanFile, ...]:
    """Read every file of a clean table once, compare it with the hash in its name, and read its footer."""

    def look(file: LakeFile) -> CleanFile:
        return _look(storage, f"{root}/{file.path}", file)

    with ThreadPoolExecutor(_READERS) as readers:
        files = tuple(readers.map(look, snapshot.files))
    return tuple(_salvaged(storage, file, salvage) if file.damage else file for file in files)


def _look(storage: Storage, path: str, committed: LakeFile) -> CleanFile:
    footer, damage = read_checked(storage, path, clean_footer)
    bounds: tuple[Any, Any] = committed.statistics.get(c.IDENTITY, _EVERY)
    return CleanFile(path, committed.rows, bounds, footer, damage)


def _salvaged(storage: Storage, file: CleanFile, salvage: Salvage) -> CleanFile:
    if _is_another(file):
        return file
    copy = salvage.clean(partial(storage.open, file.path), *file.hashes)
    return attrs.evolve(file, salvaged=copy.file if copy else None)


def _is_another(file: CleanFile) -> bool:
    """Whether a damaged file says that it is the chunk of another day or number: its rows are then counted there."""
    if file.footer is None:
        return False
    try:
        day = dt.date.fromisoformat(file.footer.day) if file.footer.day else None
        return clean_file(day, int(file.footer.chunk), "").removesuffix(".parquet") not in file.path
    except (TypeError, ValueError):
        return True
