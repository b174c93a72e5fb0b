"""The main job: publish, archive, deduplicate, verify, and check a query against the source file.

The log is kept on disk beside the lake, or both where they are named, so that a job that was killed goes on where it
stopped. Where records are to be tampered with in the log, it is kept in memory, where faults can be injected; a job
that tampers is not continued.
"""

from __future__ import annotations

import datetime as dt
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import attrs

import onepipe as op
from onepipe.audit.verdict import Hop, Verdict
from onepipe.audit.verify import verify
from onepipe.declaring.record import topic_of
from onepipe.declaring.topic import Topic
from onepipe.demo.flights import Flight, delays_by_carrier, flight_class, flights, life_events, source_table, spoil
from onepipe.demo.notes import Earlier, Notes, Published
from onepipe.demo.places import Places
from onepipe.demo.tampering import Tampered, Tampering, tamper_with_clean, tamper_with_log, tamper_with_raw, unnamed
from onepipe.errors import ConfigurationError, InvalidRecord, NotAuthorized, TopicNotFound
from onepipe.lake.account import account
from onepipe.transport import Capability

if TYPE_CHECKING:
    import os

    import pyarrow as pa

    from onepipe.lake import Lake

Progress: TypeAlias = Callable[[str, int | None], AbstractContextManager[Callable[[int], None]]]
"""Shows progress: from a title and a total to a context with a function that is told what was done."""

PARTITIONS: Final = 8
_STEP: Final = 1000
_SETTLED_AFTER: Final = dt.timedelta(days=-1)
"""The topic's only writer has ended before it is verified: so no other writer at work on the same log is waited for,
not even one whose clock is a day ahead."""


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
        places: what is elsewhere than in the folder.
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
    places: Places

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
    places: Places | None = None,
) -> Account:
    """Do the main job in a folder; a job that was killed there goes on.

    Args:
        folder: where everything is made that is not elsewhere.
        seed: of everything random.
        tampering: what to do behind the pipeline's back.
        flights: how many flights of the file to take; all where None.
        progress: shows progress.
        places: what is elsewhere; nothing where None.

    Raises:
        MissingDependency: the data package, or one that the log or the lake needs, is not installed.
        ConfigurationError: the folder holds something else, or a job of other figures; a place is none, or one where
            what is tampered with could not be named.
    """
    return _Job(Path(folder).absolute(), seed, tampering, flights, progress, places or Places()).run()


class _Job:
    """One run of the main job."""

    def __init__(
        self, folder: Path, seed: int, tampering: Tampering, limit: int | None, progress: Progress, places: Places
    ) -> None:
        self.folder = folder
        self.seed = seed
        self.tampering = tampering
        self.limit = limit
        self.progress = progress
        self.places = places
        self.seconds: dict[str, float] = {}
        self.plan = tampering.plan(seed, places.tampered)
        figures = {"seed": seed, "flights": limit, "tampering": attrs.asdict(tampering), **places.shown()}
        self.notes = Notes(folder, figures)

    def run(self) -> Account:
        earlier = self.notes.earlier()
        source = self._source()
        published = earlier.published if earlier is not None else None
        topic = self._start_over(earlier) if earlier is None or published is None else earlier.topic
        with self._connect() as pipe:
            record = flight_class(topic, by_name=_names_records(pipe))
            if published is None:
                published = self._publish(pipe, record, source)
            tampered = self._tamper_with_log(pipe, topic_of(record))
            with self._stage("archive", published.published) as done:
                pipe.archive(record, progress=done)
            with self._stage("dedup", None):
                pipe.dedup(record)
            tampered += self._tamper_with_lake(pipe.lake, topic_of(record), tampered)
            return self._account(pipe, record, source, published, tampered)

    def _account(
        self,
        pipe: op.Pipeline,
        record: type[Flight],
        source: pa.Table,
        published: Published,
        tampered: list[Tampered],
    ) -> Account:
        with self._stage("verify", None):
            verdict = verify(pipe.lake, topic_of(record), settled_after=_SETTLED_AFTER)
        with self._stage("query", None):
            counts = account(pipe.lake, topic_of(record))
            delays = lake_delays(pipe.table(record).to_arrow())
        return Account(
            self.folder,
            source.num_rows,
            published.published,
            published.rejected,
            counts.archived,
            sum(counts.quarantined.values()),
            counts.duplicates,
            counts.superseded,
            pipe.table(record).count(),
            verdict,
            tuple(tampered),
            same_delays(delays, delays_by_carrier(source)),
            delays,
            self.seconds,
            self.places,
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

    def _connect(self) -> op.Pipeline:
        own = "memory://" if self.plan.get(Hop.LOG) else f"memory://{self.folder / 'log'}"
        return op.connect(
            self.places.transport or own,
            lake=self.places.lake_in(self.folder),
            registry=self.places.registry_in(self.folder),
            partitions=PARTITIONS,
            application="onepipe demo",
            # a demonstration outlives its process; it need not outlive a power failure
            settings=None if self.places.transport else {"sync": "os"},
        )

    def _start_over(self, earlier: Earlier | None) -> str:
        """Clear what a job left that was killed while it published, of which nothing was archived; the topic's name.

        The folder is noted as the job's own before anything else is in it, and the topic before it is made: nothing is
        cleared that is not. What is elsewhere is reached before anything is noted, so that a wrong URL leaves no trace.
        """
        if self.places.shared:
            self._reach_places(earlier)
        topic = self.places.new_topic()
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.tampering:
            self.notes.begin(topic)
        for part in ("lake", "log"):
            shutil.rmtree(self.folder / part, ignore_errors=True)
        return topic

    def _reach_places(self, earlier: Earlier | None) -> None:
        """See that what is elsewhere is there, and delete the topic that an earlier job began to publish.

        A writer that was killed can vouch for nothing: so the topic is not gone on with.

        Raises:
            ConfigurationError: what is tampered with could not all be named over this log.
        """
        url, registry = self.places.transport or "memory://", self.places.registry or "memory://"
        with op.connect(url, registry=registry, lake=self.places.lake_in(self.folder)) as pipe:
            if self.tampering and not _names_records(pipe):
                message = "this log does not tell where it stored a record, so a lost one would have no name"
                raise ConfigurationError(message, remedy="tamper with a demo in a folder, or over Kafka")
            pipe.lake.topics()
            if earlier is not None and self.places.transport:
                with suppress(TopicNotFound, NotAuthorized):
                    pipe.transport.delete_topic(earlier.topic)

    def _publish(self, pipe: op.Pipeline, record: type[Flight], source: pa.Table) -> Published:
        events = life_events(source, self.seed)
        rejected: Counter[str] = Counter()
        pipe.register(record, settings=self.places.topic_settings)
        with self._stage("publish", len(events)) as done, pipe.producer() as producer:
            count = publish_events(producer, flights(source, events, record), rejected, done)
        published = Published(count, dict(sorted(rejected.items())))
        if not self.tampering:
            self.notes.end_publishing(published)
        return published

    def _tamper_with_log(self, pipe: op.Pipeline, topic: Topic) -> list[Tampered]:
        kinds = self.plan.get(Hop.LOG)
        if not kinds:
            return []
        faults: Any = pipe.transport
        return tamper_with_log(pipe.transport, faults.faults, topic, kinds, self.seed)

    def _tamper_with_lake(self, lake: Lake, topic: Topic, earlier: list[Tampered]) -> list[Tampered]:
        in_raw = tamper_with_raw(lake, topic, self.plan[Hop.RAW], self.seed, earlier)
        return in_raw + tamper_with_clean(lake, topic, self.plan[Hop.CLEAN], self.seed, [*earlier, *in_raw])


def _names_records(pipe: op.Pipeline) -> bool:
    """Whether records can be audited by name, for which the log tells where it stored each one."""
    return Capability.ACKNOWLEDGED_OFFSETS in pipe.transport.capabilities


def publish_events(
    producer: op.Producer,
    events: Iterable[tuple[Flight, int, bool]],
    rejected: Counter[str],
    done: Callable[[int], None],
) -> int:
    """Publish events in their order, offering spoiled copies too; how many were published.

    Args:
        producer: where to.
        events: each as record, with its time of publishing, and whether to offer a spoiled copy first.
        rejected: counts, by rule, the refusals of spoiled copies.
        done: told how many events were published since it was told last.
    """
    published = 0
    for flight, timestamp, invalid in events:
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
