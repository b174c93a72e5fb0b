"""Which raw files a dedup has to read, and how far they bring it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from onepipe.lake.columns import LOG, OFFSET, PARTITION
from onepipe.lake.raw_footer import read_footer
from onepipe.lake.storage import Storage
from onepipe.lake.table import LakeFile, Snapshot


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


def unmerged(storage: Storage, root: str, raw: Snapshot, clean: Snapshot, *, rebuild: bool) -> Unmerged:
    """The raw files that hold rows beyond the progress of the clean table; all of them for a rebuild.

    Args:
        storage: where the tables are.
        root: path of the raw table.
        raw: the raw table.
        clean: the clean table.
        rebuild: take every file, merged or not.

    Raises:
        CorruptFile: a raw file has no footer.
    """
    files: list[LakeFile] = []
    progress: dict[str, tuple[int | None, int]] = {}
    merged: dict[tuple[str, int], int] = {}
    for file in raw.files:
        log, partition, first, last = _range(storage, root, file)
        app_id = f"{log}/{partition}"
        if app_id not in progress:
            before = clean.progress(app_id)
            progress[app_id] = before, max(before or 0, raw.progress(app_id) or 0)
        done = progress[app_id][0] or 0
        if rebuild or last >= done:
            files.append(file)
            if not rebuild and first < done:
                merged[log, partition] = done
    return Unmerged(files, progress, [(*place, done) for place, done in merged.items()])


def _range(storage: Storage, root: str, file: LakeFile) -> tuple[str, int, int, int]:
    """Log, partition, first and last offset of a file: from the commit's statistics, else from its footer."""
    known = file.statistics
    if LOG in known and PARTITION in known and OFFSET in known:
        (log, _), (partition, _), (first, last) = known[LOG], known[PARTITION], known[OFFSET]
        return str(log), int(str(partition)), int(str(first)), int(str(last))
    footer = read_footer(storage, f"{root}/{file.path}")
    return footer.log, footer.partition, footer.first, footer.next - 1
