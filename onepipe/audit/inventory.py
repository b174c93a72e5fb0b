"""The inventory of a raw table: each file, whether it still holds what was written, and what its footer says."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, NamedTuple

import attrs

from onepipe.errors import CorruptFile
from onepipe.lake.layout import check_content
from onepipe.lake.raw_footer import RawFooter, read_footer

if TYPE_CHECKING:
    from onepipe.lake.storage import Storage
    from onepipe.lake.table import Snapshot

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
        uri: where a foreign reader finds it.
        partition: number of the partition, by its name.
        first: first offset of its range, by its name.
        footer: what it says of itself; of a damaged file only a hint, and None where it cannot be read.
        damage: why it is not what was written, as in "holds other bytes", or None.
    """

    path: str
    uri: str
    partition: int
    first: int
    footer: RawFooter | None
    damage: str | None


@attrs.frozen
class Inventory:
    """The files of a raw table, in order of partition and offset."""

    files: tuple[RawFile, ...]

    @property
    def damaged(self) -> tuple[RawFile, ...]:
        """The files that are not what was written."""
        return tuple(file for file in self.files if file.damage)

    def places(self) -> dict[Place, list[RawFile]]:
        """The files by log and partition, where their footer tells the log."""
        places: dict[Place, list[RawFile]] = {}
        for file in self.files:
            if file.footer is not None:
                places.setdefault(Place(file.footer.log, file.partition), []).append(file)
        return places

    def covering(self, place: Place, offset: int) -> RawFile | None:
        """The file whose range holds an offset; where no footer says so, the damaged one whose name fits."""
        for file in self.places().get(place, ()):
            if file.footer is not None and not file.damage and file.footer.first <= offset < file.footer.next:
                return file
        candidates = [
            file
            for file in self.damaged
            if file.partition == place.partition
            and file.first <= offset
            and (file.footer is None or (file.footer.log == place.log and offset < file.footer.next))
        ]
        return max(candidates, key=lambda file: file.first, default=None)


def take_inventory(storage: Storage, snapshot: Snapshot, root: str) -> Inventory:
    """Read every file of a raw table once, compare it with the hash in its name, and read its footer.

    Args:
        storage: where the table is.
        snapshot: the version of it.
        root: path of the table below the storage's root.
    """

    def look(path: str) -> RawFile:
        return _look(storage, f"{root}/{path}")

    with ThreadPoolExecutor(_READERS) as readers:
        files = list(readers.map(look, (file.path for file in snapshot.files)))
    return Inventory(tuple(sorted(files, key=lambda file: (file.partition, file.first))))


def _look(storage: Storage, path: str) -> RawFile:
    named = _PATH.search(path)
    partition, first = (int(named[1]), int(named[2])) if named else (-1, -1)
    damage, footer = None, None
    try:
        check_content(storage, path)
    except CorruptFile as corrupt:
        damage = corrupt.message.removeprefix(f"{path} ")
    try:
        footer = read_footer(storage, path)
    except CorruptFile as corrupt:
        damage = damage or corrupt.message.removeprefix(f"{path} ")
    return RawFile(path, storage.uri(path), partition, first, footer, damage)


def schema_documents(files: Sequence[RawFile]) -> Mapping[int, object]:
    """The documents of the schemas the rows were written with, by schema id; intact files have the last word."""
    documents: dict[int, object] = {}
    for file in sorted(files, key=lambda file: file.damage is None):
        if file.footer is not None:
            documents.update(file.footer.schemas)
    return documents
