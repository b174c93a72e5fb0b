"""Pipeline: what users hold. Each call says what it takes; modules of their own carry it out."""

from __future__ import annotations

import datetime as dt
import os
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from onepipe.arguments import require_a
from onepipe.consuming.consumer import Consumer, OnUndecodable
from onepipe.dead_letters.sender import LetterSender
from onepipe.errors import ConfigurationError, DeliveryError
from onepipe.pipeline.parts import Parts
from onepipe.plugins import Plugins, default_plugins
from onepipe.publishing.producer import OnInvalid, Producer, wall_clock
from onepipe.topics import DEFAULT_PARTITIONS
from onepipe.transport import Start, Transport, Until
from onepipe.url import Url

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from onepipe.audit.verdict import Finding, Verdict
    from onepipe.audit.verify import Level
    from onepipe.consuming.backoff import Backoff
    from onepipe.consuming.delivery import OnFailure
    from onepipe.declaring.topic import Topic
    from onepipe.lake import Lake
    from onepipe.lake.archive import ArchiveLimits, ArchiveReport, OnLost, OnNewLog
    from onepipe.lake.dedup import DedupReport
    from onepipe.lake.dedup_engine import DedupEngine
    from onepipe.lake.engines import EngineName
    from onepipe.lake.read import Table
    from onepipe.lake.upkeep import MaintenanceReport
    from onepipe.pipeline.dead_letters import DeadLetters
    from onepipe.pipeline.options import ConsumerOptions, SinkOptions
    from onepipe.registry.port import Registry
    from onepipe.sink import PutAside, Sink

T = TypeVar("T")


class Pipeline:
    """One pipeline between producers and consumers. Thread-safe; close it, or use it in `with`.

    Made by `connect`.

    Attributes:
        transport: the log.
        registry: declarations and schemas.
    """

    def __init__(
        self,
        transport: Transport,
        registry: Registry,
        *,
        lake: str | os.PathLike[str] | None = None,
        partitions: int = DEFAULT_PARTITIONS,
        application: str | None = None,
        clock: Callable[[], int] = wall_clock,
        plugins: Plugins | None = None,
        url: Url | None = None,
    ) -> None:
        """Put a pipeline together; `connect` does it from URLs.

        Args:
            transport: the log. Closed with the pipeline.
            registry: declarations and schemas. Closed with the pipeline.
            lake: folder or URL of the lake; None where none is used.
            partitions: how many partitions a new topic gets.
            application: what the application calls itself, kept in the audit.
            clock: milliseconds since 1970, for messages and evidence.
            plugins: where sinks by name and observers come from; those of the process where None.
            url: what the transport was opened by, to be shown.
        """
        self._parts = Parts(
            transport,
            registry,
            lake=lake,
            partitions=partitions,
            clock=clock,
            plugins=plugins or default_plugins(),
        )
        self.transport = transport
        self.registry = registry
        self._application = application
        self._url = url

    @property
    def lake(self) -> Lake:
        """The lake.

        Raises:
            ConfigurationError: the pipeline has none.
            MissingDependency: the packages a lake needs are not installed.
        """
        return self._parts.lake

    def register(
        self,
        what: type | Topic | str,
        *,
        partitions: int | None = None,
        allow: Collection[str] = (),
        retention: dt.timedelta | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> Topic:
        """Register a declaration and create its topic; publishing and archiving do so by themselves.

        Args:
            what: a record class, a topic, or the name of a registered one.
            partitions: how many partitions a new topic gets.
            allow: changes of an earlier declaration that are wanted: "merge", "checks", …
            retention: how long a new topic keeps messages; as the transport does by itself where None.
            settings: further settings of a new topic, by the transport's names: `{"replication.factor": "3"}`.

        A topic that exists stays as it is: another number of partitions is an error, other settings are logged.

        Raises:
            Incompatible: the declaration cannot follow the registered one; names each field and what would mend it.
            ConfigurationError: the topic has another number of partitions; or a setting is unknown to the transport,
                or would lose records that the merge policy needs.
        """
        require_a(Collection, "allow", allow, "a sequence of words such as ('merge',)")
        words = [allow] if isinstance(allow, str) else [str(word) for word in allow]
        options = {"partitions": partitions, "allow": words, "retention": retention, "settings": settings}
        return self._parts.open(what, **options).topic

    def producer(
        self,
        *,
        audit: bool = True,
        on_invalid: OnInvalid = "raise",
        max_block: float = 60.0,
        tally_every: float = 10.0,
    ) -> Producer:
        """Make a producer; see `Producer` for what it guarantees.

        Args:
            audit: whether to vouch for what is published; without it the producer's hop is not covered.
            on_invalid: "raise" refuses an invalid record at the call; "dead_letter" publishes it with its faults to
                the topic's dead letters.
            max_block: seconds a full buffer may hold up `publish`.
            tally_every: seconds between tallies while records are published.
        """
        parts = self._parts
        parts.require_open()
        producer = Producer(
            parts.topics,
            parts.transport,
            application=self._application,
            audit=audit,
            on_invalid=on_invalid,
            max_block=max_block,
            tally_every=tally_every,
            clock=parts.clock,
            observer=parts.tell,
            check_open=parts.require_open,
            on_close=parts.producers.discard,
        )
        parts.producers.add(producer)
        return producer

    @overload
    def consumer(self, *what: type[T], **options: Unpack[ConsumerOptions]) -> Consumer[T]: ...

    @overload
    def consumer(self, *what: Topic | str, **options: Unpack[ConsumerOptions]) -> Consumer[dict[str, Any]]: ...

    def consumer(
        self,
        *what: type | Topic | str,
        group: str | None = None,
        start: Start | dt.datetime = Start.EARLIEST,
        until: Until = "stopped",
        resolve: bool = True,
        on_undecodable: OnUndecodable = "raise",
        auto_commit: bool = True,
        commit_every: float = 5.0,
    ) -> Consumer[Any]:
        """Make a consumer; see `Consumer` for what the arguments mean and what it guarantees.

        Args:
            *what: record classes (records come as their instances), topics or names (records come as dicts).
            group: name of the group to share partitions with; None reads all partitions alone.
            start: where to begin without a committed offset: Start.EARLIEST, Start.LATEST, or an aware moment.
            until: "end" stops once every partition is read to its end; "stopped" waits for more.
            resolve: False reads dicts by their writer's schema instead.
            on_undecodable: "raise" stops at a message that cannot be decoded; "yield" hands it out with its error.
            auto_commit: whether to commit for the group what was handled.
            commit_every: seconds between such commits.
        """
        if not what:
            raise ConfigurationError("a consumer reads at least one topic")
        parts = self._parts
        parts.require_open()
        return Consumer(
            [parts.topics.open_to_read(each) for each in what],
            parts.transport,
            parts.registry,
            group=group,
            start=start,
            until=until,
            resolve=resolve,
            on_undecodable=on_undecodable,
            auto_commit=auto_commit,
            commit_every=commit_every,
            letters=self._letter_sender() if group is not None else None,
            check_open=parts.require_open,
        )

    @overload
    def sink(self, what: type[T], sink: Sink[T] | str, **options: Unpack[SinkOptions]) -> dict[int, int]: ...

    @overload
    def sink(
        self, what: Topic | str, sink: Sink[dict[str, Any]] | str, **options: Unpack[SinkOptions]
    ) -> dict[int, int]: ...

    def sink(
        self,
        what: type | Topic | str,
        sink: Sink[Any] | str,
        *,
        name: str | None = None,
        settings: Mapping[str, Any] | None = None,
        until: Until = "end",
        stop: threading.Event | None = None,
        max_batch: int = 10_000,
        on_undecodable: PutAside | None = None,
        retry: Backoff | None = None,
        on_failure: OnFailure = "raise",
    ) -> dict[int, int]:
        """Bring a sink up to date with a topic: each record after its progress, in offset order by partition.

        A transactional sink gets each record exactly once. Of any other the lake keeps the progress, and it may get a
        record again after a kill. Run it again, or in two processes at once: each goes on from the stored progress.

        Args:
            what: a record class (records come as its instances), a topic or a name (records come as dicts).
            sink: the sink, or the name of a plugin's.
            name: what its progress is kept under in the lake; needed where the sink keeps none itself. Another name
                begins at the log's start.
            settings: keyword arguments for the plugin's sink.
            until: "end" returns at the present end of the log; "stopped" goes on with what arrives.
            stop: set it to end the run early; its last batch is stored.
            max_batch: most messages to hold at a time.
            on_undecodable: puts a message aside durably that cannot be decoded; None leaves it to `on_failure`.
            retry: how often to try again what the sink raises, and after which pauses: op.backoff(5); None is never.
            on_failure: "raise" raises what the sink raised last; "dead_letter" finds the record it fails on, keeps it
                in the topic's dead letters under `name`, and goes on. What may be no fault of a record is raised in
                either case: an OSError, and errors of transport, registry and lake.

        Returns:
            By partition, the offset after the last one stored.

        Raises:
            PluginError: no plugin has such a sink; says the nearest match.
            ConfigurationError: the sink keeps no progress, and `name` or the lake is missing.
            DecodeError: a message cannot be decoded; nothing of its batch was written.
            PositionLost: retention took messages the sink does not have yet.
        """
        from onepipe.pipeline.sinks import feed_sink

        with closing(self._letter_sender()) as letters:
            return feed_sink(
                self._parts,
                what,
                sink,
                name=name,
                settings=settings,
                until=until,
                stop=stop,
                max_batch=max_batch,
                on_undecodable=on_undecodable,
                retry=retry,
                on_failure=on_failure,
                letters=letters,
            )

    def dead_letters(
        self, what: type | Topic | str, *, consumer: str | None = None, state: str | None = "open"
    ) -> DeadLetters:
        """The dead letters of a topic, to be looked at, replayed and dropped.

        They are what producers refused, and what consumers and sinks failed on, from the topic's dead-letter topic;
        and what is in quarantine, where the pipeline has a lake.

        Args:
            what: a record class, a topic, or the name of a registered one.
            consumer: only those of a consumer group or sink; "lake" is the quarantine. None is all.
            state: only those that are "open", "unconfirmed", "dropped" or "replayed"; None is all.
        """
        from onepipe.pipeline.dead_letters import DeadLetters

        self._parts.require_open()
        return DeadLetters(self._parts, what, self._letter_sender, self.producer, consumer=consumer, state=state)

    def _letter_sender(self) -> LetterSender:
        return LetterSender(self.producer, self._parts.now)

    def archive(
        self,
        what: type | Topic | str,
        *,
        until: Until = "end",
        stop: threading.Event | None = None,
        limits: ArchiveLimits | None = None,
        on_new_log: OnNewLog = "continue",
        on_lost: OnLost = "raise",
        progress: Callable[[int], None] | None = None,
        group: str | None = None,
    ) -> ArchiveReport:
        """Archive a topic into the raw table, and the evidence about it: at the end, and each time the linger passes.

        Exactly once: run again, killed at any point, or run by two processes at once, the rows are the same.

        Args:
            what: a record class, a topic, or the name of a registered one.
            until: "end" archives up to the end the log has now, all partitions of it, whichever of a group does so;
                "stopped" follows the log until `stop` is set.
            stop: set it to end the run early; what was read is committed.
            limits: bounds of files, memory and time (`onepipe.lake.archive.ArchiveLimits`).
            on_new_log: where the lake holds the topic from another log: "continue" archives the new one beside it,
                "raise" raises PositionLost.
            on_lost: where retention took messages before they were archived: "raise" raises PositionLost, "continue"
                goes on with the first one that is left; the report counts what was passed over, and `verify` names it.
            progress: told how many of the topic's messages were read since it was told last.
            group: name under which archives of the topic, in any process and on any machine, share its partitions;
                None reads them all. Its committed offsets follow the lake's progress, for those who watch its lag.

        Returns:
            What this run archived of the topic.

        Raises:
            PositionLost: retention passed the position the lake has reached, or the log ends before it; nothing is
                skipped in silence.
        """
        from onepipe.pipeline.lake_steps import archive

        return archive(
            self._parts,
            what,
            until=until,
            stop=stop,
            limits=limits,
            on_new_log=on_new_log,
            on_lost=on_lost,
            progress=progress,
            group=group,
        )

    def dedup(
        self,
        what: type | Topic | str,
        *,
        rebuild: bool = False,
        target_rows: int | None = None,
        memory: str | None = None,
        engine: EngineName | DedupEngine = "duckdb",
    ) -> DedupReport:
        """Merge what was archived since the last time into the clean table.

        Args:
            what: a record class, a topic, or the name of a registered one.
            rebuild: make the clean table anew from all of raw; the rows are the same.
            target_rows: most rows of a clean file; 500,000 where None.
            memory: the engine's memory limit, such as "4GB"; 2 GB where None. On Spark it is that of each task.
            engine: "duckdb" folds in this process, "spark" in the executors of the active Spark session, or of one that
                is made; `onepipe.lake.spark.SparkEngine(session)` names a session. The rows are the same.

        Raises:
            DeclarationError: the topic has no merge policy, or one that cannot be folded.
            CorruptFile: a file holds other bytes than were written; nothing of it was merged.
            LakeError: the clean table was merged under another policy and needs a rebuild, or the engine failed.
        """
        from onepipe.pipeline.lake_steps import dedup

        return dedup(self._parts, what, rebuild=rebuild, target_rows=target_rows, memory=memory, engine=engine)

    def maintain(
        self, what: type | Topic | str, *, keep: dt.timedelta | None = None, target_rows: int | None = None
    ) -> MaintenanceReport:
        """Join small files of a topic's raw and clean tables, delete what nothing refers to, and write checkpoints.

        Then raw rows that are quarantined because the registry did not know their schema are decoded, where it does by
        now; the next dedup merges all rows anew, as such rows may lie below what it has merged. All else stays as it
        is. The tables of the evidence are kept likewise. It may run beside archives, dedups and readers, and be killed
        at any point.

        Args:
            what: a record class, a topic, or the name of a registered one.
            keep: for how long files stay that nothing refers to, and a table can be read as it was; up to 30 days, 7
                where None.
            target_rows: most rows of a clean file, as given to `dedup`; 500,000 where None.

        Returns:
            What was done to the topic's tables.

        Raises:
            ConfigurationError: `keep` is not from 0 to 30 days; nothing was done.
            CorruptFile: a file to be joined or decoded holds other bytes than were written; what was done before stays.
            RegistryUnavailable: the registry cannot be asked about a schema; what was done before stays.
            LakeError: the clean table was merged under another policy, or the storage failed.
        """
        from onepipe.pipeline.lake_steps import maintain

        return maintain(self._parts, what, keep=keep, target_rows=target_rows)

    def verify(self, what: type | Topic | str, *, level: Level = "proved") -> Verdict:
        """Compare, hop by hop, what was published, archived and merged, and name each record that differs.

        Reads the files of the lake; see `onepipe.audit.verify.verify` for the levels.
        """
        from onepipe.pipeline.lake_steps import verify

        return verify(self._parts, what, level=level)

    def accept(self, what: Verdict | Iterable[Finding], *, reason: str, by: str | None = None) -> tuple[Finding, ...]:
        """Accept findings of the log's hop, which nothing can mend: they alarm no longer, and show the reason.

        The lake's ledger keeps who accepted exactly which, when and why; later verdicts are as good as what is beyond.

        Args:
            what: a verdict, all of whose findings are accepted, or some findings.
            reason: why; 1 to 1000 characters.
            by: who; the application's name, else that of the process's user, where None.

        Returns:
            The findings that were accepted now, and not before.

        Raises:
            ConfigurationError: a finding of another hop, no reason, or nothing that is a finding; nothing is accepted.
        """
        from onepipe.pipeline.lake_steps import accept

        return accept(self._parts, what, reason=reason, by=by or self._application)

    def table(self, what: type | Topic | str) -> Table:
        """The clean table of a topic, to be read as Arrow, pandas, Polars or DuckDB."""
        from onepipe.pipeline.lake_steps import table

        return table(self._parts, what)

    def close(self) -> None:
        """Close the producers that are still open, and let go of every resource. May be called again.

        Raises:
            DeliveryError: a producer's records were not delivered.
        """
        self._parts.close()

    def __repr__(self) -> str:
        words = [str(self._url) if self._url is not None else type(self.transport).__name__]
        lake = self._parts.lake_url
        if lake is not None:
            words.append(f"lake={Url.parse(str(lake)) if '://' in str(lake) else lake}")
        if self._parts.closed:
            words.append("closed")
        return f"<Pipeline {' '.join(words)}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            self.close()
        except DeliveryError as undelivered:
            if error is None:
                raise
            error.add_note(f"and leaving the pipeline: {undelivered}")
