"""Where an engine finds the rows of files of an inventory: of a damaged file, those that could be salvaged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar


class Inventoried(Protocol):
    """A file of an inventory."""

    @property
    def path(self) -> str:
        """Path below the storage's root."""

    @property
    def damage(self) -> str | None:
        """Why it is not what was written, or None."""

    @property
    def salvaged(self) -> str | None:
        """Local file of the rows that could be salvaged of a damaged file; None where there are none."""


F = TypeVar("F", bound=Inventoried)


def readable(files: Sequence[F]) -> list[F]:
    """The files that have rows to be read, in their order."""
    return [file for file in files if file.damage is None or file.salvaged is not None]


def local_files(files: Sequence[Inventoried], local: Callable[[Sequence[str]], list[str]]) -> list[str]:
    """Where an engine finds the rows of those files that are readable, in their order.

    Args:
        files: the files.
        local: gives the local files of intact ones, as `onepipe.lake.storage.Copies.local` does.
    """
    found = readable(files)
    intact = iter(local([file.path for file in found if file.damage is None]))
    return [file.salvaged or next(intact) for file in found]
