"""The inventory of a clean table: each file, whether it still holds what was written, and what its footer says."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

import attrs

from onepipe.errors import CorruptFile
from onepipe.lake.clean_files import CleanFooter, read_clean_footer
from onepipe.lake.layout import check_content

if TYPE_CHECKING:
    from onepipe.lake.storage import Storage
    from onepipe.lake.table import Snapshot

_READERS: Final = 4


@attrs.frozen
class CleanFile:
    """A file of a clean table.

    Attributes:
        path: path below the storage's root.
        uri: where a foreign reader finds it.
        rows: rows the table says it has.
        footer: what it says of itself; None where it cannot be read.
        damage: why it is not what was written, as in "holds other bytes", or None.
    """

    path: str
    uri: str
    rows: int
    footer: CleanFooter | None
    damage: str | None


def clean_inventory(storage: Storage, snapshot: Snapshot, root: str) -> tuple[CleanFile, ...]:
    """Read every file of a clean table once, compare it with the hash in its name, and read its footer."""

    def look(file: Any) -> CleanFile:
        path = f"{root}/{file.path}"
        damage, footer = None, None
        try:
            check_content(storage, path)
        except CorruptFile as corrupt:
            damage = corrupt.message.removeprefix(f"{path} ")
        try:
            footer = read_clean_footer(storage, path)
        except CorruptFile as corrupt:
            damage = damage or corrupt.message.removeprefix(f"{path} ")
        return CleanFile(path, storage.uri(path), file.rows, footer, damage)

    with ThreadPoolExecutor(_READERS) as readers:
        return tuple(readers.map(look, snapshot.files))
