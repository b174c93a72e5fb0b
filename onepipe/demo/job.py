"""The main job: publish, archive, deduplicate, verify, and check a query against the source file.

The log is kept on disk beside the lake, so that a job that was killed goes on where it stopped. Where records are to be
tampered with in the log, it is kept in memory, where faults can be injected; such a job is not continued.
"""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import attrs

import onepipe as op
from onepipe.audit.verdict import Hop, Kind, Verdict
from onepipe.demo.flights import Events, Flight, delays_by_carrier, flights, life_events, source_table, spoil
from onepipe.demo.tampering import Tampered, Tampering, tamper_with_clean, tamper_with_log, tamper_with_raw, unnamed
from onepipe.errors import ConfigurationError, InvalidRecord
from onepipe.lake.account import account
from onepipe.record import topic_of
from onepipe.topic import Topic

if TYPE_CHECKING:
    import os

    import pyarrow as pa

Progress: TypeAlias = Callable[[str, int | None], AbstractContextManager[Callable[[int], None]]]
"""Shows progress: from a title and a total to a context with a function that is told what was done."""

PARTITIONS: Final = 8
_JOB: Final = "job.json"
_PUBLISHED: Final = "published.json"
_STEP: Final = 1000


@attrs.frozen
class Account:
    """What the job did.

    Attributes:
        folder: where everything lies.
        source_rows: flights in the source file.
        published: records that were acknowledged.
        rejected: by rule, how often it refused a spoiled copy.
        archived: rows of the raw table.
        quarantined: rows among them that could not be trusted.
        exact_duplicates: arrivals that are copies of another one.
        superseded: arrivals that a later version replaced.
        clean: rows of the clean table.
        verdict: of the topic.
        tampered: what was tampered with.
        query_right: whether the query over the lake equals the one over the source file.
        delays: by carrier, flights and mean arrival delay, from the lake.
        seconds: by stage.
    """

    folder: Path
    source_rows: int
    published: int
    rejected: Mapping[str, int]
    archived: int
    quarantined: int
    exact_duplicates: int
    superseded: int
    clean: int
    verdict: Verdict
    tampered: tuple[Tampered, ...]
    query_right: bool
    delays: Mapping[str, tuple[int, float | None]]
    seconds: Mapping[str, float]

    @property
    def sound(self) -> bool:
        """Whether the topic is balanced and the query right."""
        return self.verdict.balanced and self.query_right

    @property
    def unnamed(self) -> list[Tampered]:
        """What was tampered with and is not named by the verdict."""
        return unnamed(self.tampered, self.verdict)

    def to_json(self) -> dict[str, Any]:
        """The account as JSON value."""
        verdict = self.verdict.to_json()
        return {
            "source_rows": self.source_rows,
            "published": self.published,
            "rejected": sum(self.rejected.values()),
            "rejected_by_rule": dict(self.rejected),
            "archived": self.archived,
            "quarantined": self.quarantined,
            "exact_duplicates": self.exact_duplicates,
            "superseded": self.superseded,
            "clean": self.clean,
            "verdict": verdict["verdict"],
            "hops": verdict["hops"],
            "findings": verdict["findings"],
            "tampered": len(self.tampered),
            "named": len(self.tampered) - len(self.unnamed),
            "query": "equal" if self.query_right else "differs",
            "seconds": {stage: round(seconds, 3) for stage, seconds in self.seconds.items()},
            "folder": str(self.folder),
        }


def run_job(
    folder: str | os.PathLike[str],
    *,
    seed: int,
    tampering: Tampering,
    flights: int | None,
    progress: Progress,
) -> Account:
    """Do the main job in a folder; a job that was killed there goes on.

    Args:
        folder: where the log and the lake are made.
        seed: of everything random.
        tampering: what to do behind the pipeline's back.
        flights: how many flights of the file to take; all where None.
        progress: shows progress.

    Raises:
        MissingDependency: the data package, or one that the lake needs, is not installed.
        ConfigurationError: the folder holds something else, or a job of other figures.
    """
    return _Job(Path(folder).absolute(), seed, tampering, flights, progress).run()


class _Job:
    """One run of the main job."""

    def __init__(self, folder: Path, seed: int, tampering: Tampering, limit: int | None, progress: Progress) -> None:
        self.folder = folder
        self.seed = seed
        self.tampering = tampering
        self.limit = limit
        self.progress = progress
        self.seconds: dict[str, float] = {}
        self.topic: Topic = topic_of(Flight)

    def run(self) -> Account:
        plan = self.tampering.plan(self.seed)
        published = self._earlier()
        source = self._source()
        if published is None:
            self._start_over()
        url = "memory://" if plan[Hop.LOG] else f"memory://{self.folder / 'log'}"
        with op.connect(
            url,
            lake=self.folder / "lake",
            partitions=PARTITIONS,
            application="onepipe demo",
            settings={"sync": "os"},  # a demonstration outlives its process; it need not outlive a power failure
        ) as pipe:
            tampered: list[Tampered] = []
            if published is None:
                published = self._publish(pipe, source)
            tampered += self._tamper_with_log(pipe, plan[Hop.LOG])
            self._archive(pipe, published)
            self._dedup(pipe)
            tampered += self._tamper_with_lake(plan, tampered)
            with self._stage("verify", None):
                verdict = pipe.verify(Flight)
            with self._stage("query", None):
                counts = account(pipe.lake, self.topic)
                delays = lake_delays(pipe.table(Flight).to_arrow())
            rows = pipe.table(Flight).count()
        return Account(
            self.folder,
            source.num_rows,
            published["published"],
            published["rejected"],
            counts.archived,
            sum(counts.quarantined.values()),
            counts.duplicates,
            counts.superseded,
            rows,
            verdict,
            tuple(tampered),
            same_delays(delays, delays_by_carrier(source)),
            delays,
            self.seconds,
        )

    @contextmanager
    def _stage(self, name: str, total: int | None) -> Iterator[Callable[[int], None]]:
        started = time.perf_counter()
        with self.progress(name, total) as done:
            yield done
        self.seconds[name] = time.perf_counter() - started

    def _source(self) -> pa.Table:
        with self._stage("read", None):
            source = source_table()
        return source if self.limit is None else source.slice(0, self.limit)

    def _earlier(self) -> dict[str, Any] | None:
        """What an earlier job in the folder had published, where it came that far.

        Raises:
            ConfigurationError: the folder is not empty and no job of these figures began in it.
        """
        job = self.folder / _JOB
        if not job.exists():
            if self.folder.exists() and any(path != _unfinished(job) for path in self.folder.iterdir()):
                remedy = "name a new or empty folder: --dir DIR"
                message = f"{self.folder} holds something else, or a job that cannot be continued"
                raise ConfigurationError(message, remedy=remedy)
            return None
        if json.loads(job.read_text("utf-8")) != self._identity():
            raise ConfigurationError(
                f"{self.folder} holds a job of other figures", remedy="name another folder: --dir DIR"
            )
        published = self.folder / _PUBLISHED
        found: dict[str, Any] | None = json.loads(published.read_text("utf-8")) if published.exists() else None
        return found

    def _identity(self) -> dict[str, Any]:
        """What must be the same for a job to be continued."""
        return {"seed": self.seed, "flights": self.limit, "tampering": attrs.asdict(self.tampering)}

    def _start_over(self) -> None:
        """Clear what a job left that was killed while it published: nothing of it was archived.

        The folder is noted as the job's own before anything else is in it: nothing is cleared that is not.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.tampering:
            _write_whole(self.folder / _JOB, self._identity())
        for part in ("lake", "log"):
            shutil.rmtree(self.folder / part, ignore_errors=True)

    def _publish(self, pipe: op.Pipeline, source: pa.Table) -> dict[str, Any]:
        events = life_events(source, self.seed)
        rejected: Counter[str] = Counter()
        with self._stage("publish", len(events)) as done, pipe.producer() as producer:
            published = publish_events(producer, source, events, rejected, done)
        found = {"published": published, "rejected": dict(sorted(rejected.items()))}
        if not self.tampering:
            self._note_published(found)
        return found

    def _note_published(self, found: Mapping[str, Any]) -> None:
        _write_whole(self.folder / _PUBLISHED, found)

    def _tamper_with_log(self, pipe: op.Pipeline, kinds: list[Kind]) -> list[Tampered]:
        if not kinds:
            return []
        faults: Any = pipe.transport
        return tamper_with_log(pipe.transport, faults.faults, self.topic, kinds, self.seed)

    def _archive(self, pipe: op.Pipeline, published: Mapping[str, Any]) -> None:
        with self._stage("archive", published["published"]) as done:
            pipe.archive(Flight, progress=done)

    def _dedup(self, pipe: op.Pipeline) -> None:
        with self._stage("dedup", None):
            pipe.dedup(Flight)

    def _tamper_with_lake(self, plan: Mapping[Hop, list[Kind]], earlier: list[Tampered]) -> list[Tampered]:
        raw, clean = (self.folder / "lake" / table / self.topic.name for table in ("raw", "clean"))
        in_raw = tamper_with_raw(raw, self.topic, plan[Hop.RAW], self.seed, earlier)
        return in_raw + tamper_with_clean(clean, self.topic, plan[Hop.CLEAN], self.seed, [*earlier, *in_raw])


def _write_whole(path: Path, value: Any) -> None:
    """Write JSON to a file whole, or not at all."""
    unfinished = _unfinished(path)
    unfinished.write_text(json.dumps(value), "utf-8")
    unfinished.replace(path)


def _unfinished(path: Path) -> Path:
    return path.with_suffix(".writing")


def publish_events(
    producer: op.Producer, source: pa.Table, events: Events, rejected: Counter[str], done: Callable[[int], None]
) -> int:
    """Publish events in their order, offering spoiled copies too; how many were published.

    Args:
        producer: where to.
        source: the flights.
        events: their events.
        rejected: counts, by rule, the refusals of spoiled copies.
        done: told how many events were published since it was told last.
    """
    published = 0
    for flight, timestamp, invalid in flights(source, events):
        if invalid:
            try:
                producer.publish(spoil(flight, published), timestamp=timestamp)
            except InvalidRecord as refused:
                rejected.update(fault.rule for fault in refused.faults)
        producer.publish(flight, timestamp=timestamp)
        published += 1
        if not published % _STEP:
            done(_STEP)
    done(published % _STEP)
    return published


def lake_delays(table: pa.Table) -> dict[str, tuple[int, float | None]]:
    """From the clean table: by carrier, the number of flights and the mean arrival delay in minutes."""
    grouped = table.group_by("carrier").aggregate([("arrival_delay", "mean"), ("carrier", "count")])
    rows = grouped.sort_by("carrier").to_pylist()
    return {row["carrier"]: (row["carrier_count"], row["arrival_delay_mean"]) for row in rows}


def same_delays(left: Mapping[str, tuple[int, float | None]], right: Mapping[str, tuple[int, float | None]]) -> bool:
    """Whether two answers are the same: both are means of whole minutes, summed exactly."""
    return dict(left) == dict(right)
