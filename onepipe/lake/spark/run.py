"""One merge on Spark, as the driver sees it: two shuffles, and three kinds of tasks around them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from onepipe.errors import OnepipeError
from onepipe.lake import layout
from onepipe.lake.chunks import Day
from onepipe.lake.dedup_engine import MergeTerms
from onepipe.lake.index import Hashes
from onepipe.lake.spark.session import spark_errors
from onepipe.lake.spark.tasks import Fold, ReadClean, ReadRaw, Survey, TakeSurvey, Work, Write
from onepipe.lake.spark.units import share_out
from onepipe.lake.table import LakeFile, NewFile, Snapshot
from onepipe.lake.unmerged import Unmerged

_MOST_TASKS: Final = 1 << 13
"""Tasks of a stage at most; larger ones spill more."""


class SparkRun:
    """One merge; see `onepipe.lake.dedup_engine.MergeRun`.

    Args:
        context: Spark's.
        terms: what is merged.
        task_rows: about how many rows a task should fold.
    """

    def __init__(self, context: Any, terms: MergeTerms, task_rows: int) -> None:
        self._context = context
        self._terms = terms
        self._task_rows = task_rows
        self._survey: list[Survey] = []
        self._raw: Any = None
        self._work: Work | None = None

    @property
    def arrivals(self) -> int:
        """Good raw rows read."""
        return sum(survey.good for survey in self._survey)

    @property
    def quarantined(self) -> int:
        """Raw rows with an error."""
        return sum(survey.quarantined for survey in self._survey)

    def read(self, raw: Snapshot, batch: Unmerged) -> None:
        """Plan the reading, by ranges of the hash; see MergeRun."""
        level = max(0, (sum(file.rows for file in batch.files) // self._task_rows)).bit_length()
        threads = int(self._context.getConf().get("spark.task.cpus", "1"))
        document = self._terms.plan.topic.document()
        level = min(level, _MOST_TASKS.bit_length() - 1)
        self._work = Work(self._terms.storage, document, self._terms.memory, threads, level)
        files = list(enumerate(raw.paths(batch.files)))
        self._raw = self._shuffled(files, ReadRaw(self._work, batch.merged), 1 << level)

    def places(self) -> tuple[Hashes, Hashes]:
        """Where arrivals belong; see MergeRun."""
        self._look(places=True)
        found = [survey.places for survey in self._survey if survey.places is not None]
        return np.concatenate([hashes for hashes, _ in found]), np.concatenate([days for _, days in found])

    def write(
        self, clean: Snapshot, replaced: Sequence[LakeFile], touched: Hashes, nodes: Mapping[Day, Sequence[int]]
    ) -> list[NewFile]:
        """Fold and publish; see MergeRun. The rows of replaced files without arrivals pass through the fold too."""
        del touched
        self._look(places=False)
        work = self._planned()
        days: Counter[int] = Counter()
        for survey in self._survey:
            days.update(survey.days)
        target = self._terms.target_rows
        units = share_out(days, replaced, nodes, target=target, task_rows=self._task_rows)
        contributions = self._raw
        if replaced:
            there = self._shuffled(clean.paths(replaced), ReadClean(work), 1 << work.level)
            contributions = self._context.union([self._raw, there])
        folded = contributions.mapPartitions(Fold(work, units)).partitionBy(len(units.nodes), _own)
        writing = Write(work, units, target)
        with spark_errors("merging", self._terms.plan.topic.name):
            written = folded.mapPartitionsWithIndex(writing).collect()
        files = [each for each in written if isinstance(each, NewFile)]
        self._require_none([each for each in written if isinstance(each, OnepipeError)], files)
        return files

    def _look(self, *, places: bool) -> None:
        if not self._survey:
            with spark_errors("reading raw files", self._terms.plan.topic.name):
                self._survey = self._raw.mapPartitions(TakeSurvey(places)).collect()
            self._require_none([error for survey in self._survey for error in survey.failures], ())

    def _shuffled(self, items: Sequence[Any], task: Callable[[Any], Any], partitions: int) -> Any:
        """What a task makes of items, one at a time, by the partition it goes to."""
        slices = max(1, min(len(items), _MOST_TASKS))
        with spark_errors("planning", self._terms.plan.topic.name):
            return self._context.parallelize(items, slices).mapPartitions(task).partitionBy(partitions, _own)

    def _planned(self) -> Work:
        if self._work is None:
            raise RuntimeError("read() comes first")
        return self._work

    def _require_none(self, failures: Sequence[OnepipeError], written: Sequence[NewFile]) -> None:
        """Raise the first of the tasks' errors, having deleted what other tasks wrote."""
        if failures:
            root = layout.clean_table(self._terms.plan.topic.name)
            for file in written:
                self._terms.storage.delete(f"{root}/{file.path}")
            raise failures[0]


def _own(key: int) -> int:
    """A block's key is the number of its partition."""
    return key
