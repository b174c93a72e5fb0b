"""Spark as an engine of dedup."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import attrs

from onepipe.lake.dedup_engine import MergeRun, MergeTerms
from onepipe.lake.spark.run import SparkRun
from onepipe.lake.spark.session import context_of

TASK_ROWS: Final = 4_000_000
"""About how many rows a task folds unless told otherwise."""


@attrs.frozen
class SparkEngine:
    """Folds in the executors of a Spark session.

    Attributes:
        session: the session; the active one, or one that is made by the environment's settings, where None.
        task_rows: about how many raw rows a task folds, from 1.
    """

    session: Any = None
    task_rows: int = attrs.field(default=TASK_ROWS, validator=attrs.validators.ge(1))

    @contextmanager
    def merge(self, terms: MergeTerms) -> Iterator[MergeRun]:
        """A context in which one merge is carried out; see `onepipe.lake.dedup_engine.DedupEngine`.

        Raises:
            MissingDependency: pyspark is not installed.
            ConfigurationError: Spark cannot start, or the session is one of Spark Connect.
        """
        yield SparkRun(context_of(self.session), terms, self.task_rows)
