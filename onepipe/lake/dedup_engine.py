"""The port of dedup's engines: who reads raw files, folds contributions and writes chunks.

What is read, what is replaced, and the commit are the same whatever the engine; they stay with `onepipe.lake.dedup`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable

import attrs

from onepipe.lake.chunks import Day
from onepipe.lake.index import Hashes
from onepipe.lake.plan import MergePlan
from onepipe.lake.storage import Storage
from onepipe.lake.table import LakeFile, NewFile, Snapshot
from onepipe.lake.unmerged import Unmerged


@attrs.frozen
class MergeTerms:
    """What every engine is told of a merge.

    Attributes:
        storage: where the lake is.
        plan: the topic's plan.
        target_rows: most rows of a clean file, from 1.
        memory: most memory that one process folds in, such as "2GB".
    """

    storage: Storage
    plan: MergePlan
    target_rows: int
    memory: str


class MergeRun(Protocol):
    """One merge at work. Used once, by one thread: `read`, perhaps `places`, then `write`."""

    @property
    def arrivals(self) -> int:
        """Good raw rows read; known after `write`."""

    @property
    def quarantined(self) -> int:
        """Raw rows passed over because of their error; known after `write`."""

    def read(self, raw: Snapshot, batch: Unmerged) -> None:
        """Take the raw files that are to be merged, and compare each with the hash in its name by the end of `write`.

        Raises:
            CorruptFile: a file is missing, or holds other bytes than were written.
        """

    def places(self) -> tuple[Hashes, Hashes]:
        """Identity hash and day of the arrivals, each pair once, ordered by hash; UNDATED where there is no day.

        Raises:
            CorruptFile: as `read`.
        """

    def write(
        self, clean: Snapshot, replaced: Sequence[LakeFile], touched: Hashes, nodes: Mapping[Day, Sequence[int]]
    ) -> list[NewFile]:
        """Fold the arrivals with the rows of clean files, and publish the result as files that no commit has yet.

        Args:
            clean: the version of the clean table that the files are of.
            replaced: files to fold with; none for a table made anew.
            touched: identity hashes of the arrivals, each once, ascending; not looked at where nothing is replaced.
            nodes: by day, the disjoint chunks all rows lie in and are cut below; ROOT where a day has none.

        Raises:
            CorruptFile: a raw file, or one of those replaced, holds other bytes than were written.
            LakeError: the engine failed.
        """


@runtime_checkable
class DedupEngine(Protocol):
    """An engine of dedup."""

    def merge(self, terms: MergeTerms) -> AbstractContextManager[MergeRun]:
        """A context in which one merge is carried out.

        Raises:
            MissingDependency: what it needs is not installed.
        """
