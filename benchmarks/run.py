"""One run of the benchmarks: how much is measured, how often, and where files may lie."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

if TYPE_CHECKING:
    from benchmarks.lakes import Lakes

_CODEC: Final = 50_000
_PUBLISH: Final = 200_000
_ARCHIVE: Final = 1_000_000
_LAKE: Final = 5_000_000
_QUICK: Final = {"codec": 10_000, "publish": 50_000, "archive": 100_000, "lake": 200_000}


@attrs.frozen
class Sizes:
    """Records that each benchmark takes.

    Attributes:
        codec: of encoding and decoding.
        publish: of publishing.
        archive: of archiving from a log in memory.
        lake: of dedup and verification, and of the backlog whose archiving must not take more memory.
    """

    codec: int = _CODEC
    publish: int = _PUBLISH
    archive: int = _ARCHIVE
    lake: int = _LAKE

    @classmethod
    def of(cls, records: int | None, *, quick: bool) -> Sizes:
        """The sizes for a lake of `records`; what is kept in memory grows only so far, as it is about a rate."""
        usual = cls(**_QUICK) if quick else cls()
        if records is None:
            return usual
        return cls(min(records, usual.codec), min(records, usual.publish), min(records, usual.archive), records)


@attrs.define
class Run:
    """One run.

    Attributes:
        sizes: how much.
        rounds: how often each work of a comparison is timed.
        folder: where files may lie; the caller deletes it.
    """

    sizes: Sizes
    rounds: int
    folder: Path
    _count: int = 0
    _lakes: list[Lakes] | None = None

    def new_folder(self) -> Path:
        """A new empty folder."""
        self._count += 1
        folder = self.folder / str(self._count)
        folder.mkdir()
        return folder

    def copy(self, lake: Path) -> Path:
        """A copy of a lake. Data files, which are written once and never changed, are linked."""
        folder = self.new_folder()
        shutil.copytree(lake, folder, copy_function=_link_data, dirs_exist_ok=True)
        return folder

    def lakes(self, build: Callable[[Run], list[Lakes]]) -> list[Lakes]:
        """The lakes that several benchmarks share, built once."""
        if self._lakes is None:
            self._lakes = build(self)
        return self._lakes


def _link_data(source: str, target: str) -> None:
    if source.endswith(".parquet") and "_delta_log" not in source:
        Path(target).hardlink_to(source)
    else:
        shutil.copy2(source, target)
