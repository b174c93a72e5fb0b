"""Reading a data file once: whether it holds what was written, and what its footer says."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from onepipe.errors import CorruptFile
from onepipe.lake.layout import check_stream

if TYPE_CHECKING:
    from onepipe.lake.storage import Storage

F = TypeVar("F")


def read_checked(storage: Storage, path: str, read: Callable[[BinaryIO, str], F]) -> tuple[F | None, str | None]:
    """The footer of a data file, None where it cannot be read; and why the file is not what was written, or None.

    Args:
        storage: where the file is.
        path: path below the storage's root, with the content hash in its name.
        read: reads the footer of an open file of that path; raises CorruptFile.
    """
    damage, footer = None, None
    try:
        with storage.open(path) as file:
            try:
                check_stream(file, path)
            except CorruptFile as corrupt:
                damage = corrupt.message.removeprefix(f"{path} ")
            footer = read(file, path)
    except (CorruptFile, OSError) as error:
        message = error.message if isinstance(error, CorruptFile) else "cannot be read"
        damage = damage or message.removeprefix(f"{path} ")
    return footer, damage
