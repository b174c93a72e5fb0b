"""Which raw files a dedup has to read, and how far they bring it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import attrs

from onepipe.lake.columns import LOG, OFFSET, PARTITION
from onepipe.lake.layout import app_id
from onepipe.lake.table import LakeFile, Snapshot

REREAD: Final = "reread"
"""Application id under which a raw table counts how often rows of it were read again (`onepipe.lake.reread`), and a
clean table up to which count it has merged them."""


def is_outdated(raw: Snapshot, clean: Snapshot) -> bool:
    """Whether rows of a raw table were read again since a clean table was merged from it.

    Such rows may lie below the clean table's progress, so that only merging all rows anew brings it up to date.
    """
    return raw.progress(REREAD) != clean.progress(REREAD)


@attrs.frozen
class Unmerged:
    """Raw files beyond a clean table's progress.

    Attributes:
        files: the files, in the table's order.
        progress: by application id, the clean table's progress and what it is once the files are merged.
        merged: log, partition and progress, where a file begins before it: these rows are merged already.
    """

    files: Sequence[LakeFile]
    progress: Mapping[str, tuple[int | None, int]]
    merged: Sequence[tuple[str, int, int]]

    @property
    def advances(self) -> bool:
        """Whether merging the files brings progress on."""
        return any(before != after for before, after in self.progress.values())


def unmerged(raw: Snapshot, clean: Snapshot, *, rebuild: bool) -> Unmerged:
    """The raw files that hold rows beyond the progress of the clean table; all of them for a rebuild.

    Args:
        raw: the raw table.
        clean: the clean table.
        rebuild: take every file, merged or not.
    """
    files: list[LakeFile] = []
    progress: dict[str, tuple[int | None, int]] = {}
    merged: dict[tuple[str, int], int] = {}
    for file in raw.files:
        log, partition, first, last = _range(file)
        name = app_id(log, partition)
        if name not in progress:
            before = clean.progress(name)
            progress[name] = before, max(before or 0, raw.progress(name) or 0)
        done = progress[name][0] or 0
        if rebuild or last >= done:
            files.append(file)
            if not rebuild and first < done:
                merged[log, partition] = done
    if (reread := raw.progress(REREAD)) is not None:
        progress[REREAD] = clean.progress(REREAD), reread
    return Unmerged(files, progress, [(*place, done) for place, done in merged.items()])


def _range(file: LakeFile) -> tuple[str, int, int, int]:
    """Log, partition, first and last offset of a raw file, as its commit says."""
    (log, _), (partition, _), (first, last) = map(file.bounds, (LOG, PARTITION, OFFSET))
    return str(log), int(str(partition)), int(str(first)), int(str(last))
