"""Pipeline: the composition root. It puts a registry, a transport, a lake and the plugins together."""

from __future__ import annotations

import datetime as dt
import os
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import ExitStack
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeVar, overload

import attrs

from onepipe.arguments import require_a, require_callable, require_choice, require_count, require_memory, require_name
from onepipe.audit.evidence import EVIDENCE
from onepipe.consumer import Consumer, OnUndecodable, Until
from onepipe.decoder import record_decoder
from onepipe.errors import ClosedError, ConfigurationError, DeliveryError
from onepipe.observe.events import DedupCommitted, Event, Observers, Verified
from onepipe.plugins import Plugins, default_plugins
from onepipe.producer import OnInvalid, Producer, wall_clock
from onepipe.registry import open_registry
from onepipe.topics import DEFAULT_PARTITIONS, Topics
from onepipe.transport import Start, Transport
from onepipe.url import Url

if TYPE_CHECKING:
    from typing_extensions import TypedDict, Unpack

    from onepipe.audit.verdict import Verdict
    from onepipe.audit.verify import Level
    from onepipe.lake import Lake
    from onepipe.lake.archive import ArchiveLimits, ArchiveReport, OnNewLog
    from onepipe.lake.dedup import DedupReport
    from onepipe.lake.read import Table
    from onepipe.lake.upkeep import MaintenanceReport
    from onepipe.registry.port import Registry
    from onepipe.sink import OnUndecodable as PutAside
    from onepipe.sink import ProgressStore, Sink
    from onepipe.topic import Topic
    from onepipe.topics import Opened

    class _SinkOptions(TypedDict, total=False):
        name: str | None
        settings: Mapping[str, Any] | None
        until: Until
        stop: threading.Event | None
        max_batch: int
        on_undecodable: PutAside | None


T = TypeVar("T")

URL_VARIABLE: Final = "ONEPIPE_URL"
LAKE_VARIABLE: Final = "ONEPIPE_LAKE"
REGISTRY_VARIABLE: Final = "ONEPIPE_REGISTRY"


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
        self.transport = transport
        self.registry = registry
        self._topics = Topics(registry, transport, partitions=partitions)
        self._url = url
        self._lake_url = lake
        self._lake: Lake | None = None
        self._application = application
        self._clock = clock
        self._plugins = plugins or default_plugins()
        self._producers: set[Producer] = set()
        self._closed = False

    @property
    def lake(self) -> Lake:
        """The lake.

        Raises:
            ConfigurationError: the pipeline has none.
            MissingDependency: the packages a lake needs are not installed.
        """
        if self._lake is None:
            if self._lake_url is None:
                raise ConfigurationError("the pipeline has no lake", remedy="connect(url, lake='./lake')")
            from onepipe.lake import open_lake

            self._lake = open_lake(self._lake_url)
        return self._lake

    def register(
        self, what: type | Topic | str, *, partitions: int | None = None, allow: Collection[str] = ()
    ) -> Topic:
        """Register a declaration and create its topic; publishing and archiving do so by themselves.

        Args:
            what: a record class, a topic, or the name of a registered one.
            partitions: how many partitions a new topic gets.
            allow: changes of an earlier declaration that are wanted: "merge", "checks", …

        Raises:
            Incompatible: the declaration cannot follow the registered one; names each field and what would mend it.
        """
        require_a(Collection, "allow", allow, "a sequence of words such as ('merge',)")
        words = [allow] if isinstance(allow, str) else [str(word) for word in allow]
        return self._open(what, partitions=partitions, allow=words).topic

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
        self._check_open()
        producer = Producer(
            self._topics,
            self.transport,
            application=self._application,
            audit=audit,
            on_invalid=on_invalid,
            max_block=max_block,
            tally_every=tally_every,
            clock=self._clock,
            observer=self._tell,
            check_open=self._check_open,
            on_close=self._producers.discard,
        )
        self._producers.add(producer)
        return producer

    @overload
    def consumer(
        self,
        *what: type[T],
        group: str | None = ...,
        start: Start | dt.datetime = ...,
        until: Until = ...,
        resolve: bool = ...,
        on_undecodable: OnUndecodable = ...,
        auto_commit: bool = ...,
    ) -> Consumer[T]: ...

    @overload
    def consumer(
        self,
        *what: Topic | str,
        group: str | None = ...,
        start: Start | dt.datetime = ...,
        until: Until = ...,
        resolve: bool = ...,
        on_undecodable: OnUndecodable = ...,
        auto_commit: bool = ...,
    ) -> Consumer[dict[str, Any]]: ...

    def consumer(
        self,
        *what: type | Topic | str,
        group: str | None = None,
        start: Start | dt.datetime = Start.EARLIEST,
        until: Until = "stopped",
        resolve: bool = True,
        on_undecodable: OnUndecodable = "raise",
        auto_commit: bool = True,
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
        """
        if not what:
            raise ConfigurationError("a consumer reads at least one topic")
        self._check_open()
        return Consumer(
            [self._topics.open_to_read(each) for each in what],
            self.transport,
            self.registry,
            group=group,
            start=start,
            until=until,
            resolve=resolve,
            on_undecodable=on_undecodable,
            auto_commit=auto_commit,
            check_open=self._check_open,
        )

    @overload
    def sink(self, what: type[T], sink: Sink[T] | str, **options: Unpack[_SinkOptions]) -> dict[int, int]: ...

    @overload
    def sink(
        self, what: Topic | str, sink: Sink[dict[str, Any]] | str, **options: Unpack[_SinkOptions]
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
            stop: set it to end a run that goes on until stopped; its last batch is stored.
            max_batch: most messages to hold at a time.
            on_undecodable: puts a message aside durably that cannot be decoded; None raises.

        Returns:
            By partition, the offset after the last one stored.

        Raises:
            PluginError: no plugin has such a sink; says the nearest match.
            ConfigurationError: the sink keeps no progress, and `name` or the lake is missing.
            DecodeError: a message cannot be decoded; nothing of its batch was written.
            PositionLost: retention took messages the sink does not have yet.
        """
        from onepipe.sink import Sink, TransactionalSink, feed

        require_choice("until", until, Until)
        require_count("max_batch", max_batch)
        if until == "end" and stop is not None:
            raise ConfigurationError("a run to the end is not stopped", remedy="until='stopped', or leave out stop")
        self._check_open()
        if isinstance(sink, str):
            sink = self._plugins.sink(sink, settings)
        elif settings:
            raise ConfigurationError("settings are for a plugin's sink by its name, not for an instance")
        require_a(Sink, "sink", sink, "an object with a method 'write', or the name of a plugin's")
        require_name("name", name)
        readable = self._topics.open_to_read(what)
        own = isinstance(sink, TransactionalSink)
        return feed(
            sink,
            readable.topic,
            self.transport,
            record_decoder(self.registry, readable),
            progress=None if own else self._sink_progress(sink, name, readable.topic.name),
            max_batch=max_batch,
            on_undecodable=on_undecodable,
            stop=None if until == "end" else stop or threading.Event(),
        )

    def _sink_progress(self, sink: Sink[Any], name: str | None, topic: str) -> ProgressStore:
        if name is None:
            raise ConfigurationError(
                f"{type(sink).__name__} has no method 'progress', and no name to keep its progress under",
                topic=topic,
                remedy="pipe.sink(…, name='…')",
            )
        lake = self.lake
        from onepipe.lake.progress import LakeProgress

        return LakeProgress(lake.storage, name, topic)

    def archive(
        self,
        what: type | Topic | str,
        *,
        until: Until = "end",
        stop: threading.Event | None = None,
        limits: ArchiveLimits | None = None,
        on_new_log: OnNewLog = "continue",
        progress: Callable[[int], None] | None = None,
    ) -> ArchiveReport:
        """Archive a topic into the raw table, and then the evidence about it.

        Exactly once: run again, killed at any point, or run by two processes at once, the rows are the same.

        Args:
            what: a record class, a topic, or the name of a registered one.
            until: "end" archives up to the end the log has now; "stopped" follows the log until `stop` is set.
            stop: set it to end the run early; what was read is committed.
            limits: bounds of files, memory and time (`onepipe.lake.archive.ArchiveLimits`).
            on_new_log: where the lake holds the topic from another log: "continue" archives the new one beside it,
                "raise" raises PositionLost.
            progress: told how many of the topic's messages were read since it was told last.

        Returns:
            What was archived of the topic.

        Raises:
            PositionLost: retention passed the position the lake has reached; nothing is skipped in silence.
        """
        from onepipe.lake.archive import ArchiveLimits, OnNewLog, archive

        require_a(ArchiveLimits, "limits", limits, "an onepipe.lake.archive.ArchiveLimits")
        require_a(threading.Event, "stop", stop, "a threading.Event")
        require_callable("progress", progress)
        require_choice("until", until, Until)
        require_choice("on_new_log", on_new_log, OnNewLog)
        opened, evidence = self._open(what), self._open(EVIDENCE)
        run = partial(
            archive,
            transport=self.transport,
            lake=self.lake,
            registry=self.registry,
            limits=limits,
            observer=self._tell,
        )
        end: Literal["end"] | None = "end" if until == "end" else None
        report = run(opened.topic, until=end, stop=stop, on_new_log=on_new_log, progress=progress)
        if opened.topic.name != EVIDENCE.name:
            run(evidence.topic, on_new_log=on_new_log)
        return report

    def dedup(
        self,
        what: type | Topic | str,
        *,
        rebuild: bool = False,
        target_rows: int | None = None,
        memory: str | None = None,
    ) -> DedupReport:
        """Merge what was archived since the last time into the clean table.

        Args:
            what: a record class, a topic, or the name of a registered one.
            rebuild: make the clean table anew from all of raw; the rows are the same.
            target_rows: most rows of a clean file; 500,000 where None.
            memory: the engine's memory limit, such as "4GB"; 2 GB where None.

        Raises:
            DeclarationError: the topic has no merge policy, or one that cannot be folded.
            CorruptFile: a file holds other bytes than were written; nothing of it was merged.
            LakeError: the clean table was merged under another policy and needs a rebuild, or the engine failed.
        """
        from onepipe.lake.dedup import TARGET_ROWS, dedup
        from onepipe.lake.engine import DEFAULT_MEMORY

        self._check_open()
        require_memory(memory)
        rows = TARGET_ROWS if target_rows is None else require_count("target_rows", target_rows)
        topic = self._topics.resolve(what)
        report = dedup(self.lake, topic, rebuild=rebuild, target_rows=rows, memory=memory or DEFAULT_MEMORY)
        if report.version is not None and (report.read or report.rebuilt):
            told = attrs.asdict(report)
            self._tell(DedupCommitted(**{field.name: told[field.name] for field in attrs.fields(DedupCommitted)}))
        return report

    def maintain(
        self, what: type | Topic | str, *, keep: dt.timedelta | None = None, target_rows: int | None = None
    ) -> MaintenanceReport:
        """Join small files of a topic's raw and clean tables, delete what nothing refers to, and write checkpoints.

        The tables of the evidence are kept likewise. It may run beside archives, dedups and readers, and be killed at
        any point; rows stay as they are.

        Args:
            what: a record class, a topic, or the name of a registered one.
            keep: for how long files stay that nothing refers to, and a table can be read as it was; up to 30 days, 7
                where None.
            target_rows: most rows of a clean file, as given to `dedup`; 500,000 where None.

        Returns:
            What was done to the topic's tables.

        Raises:
            ConfigurationError: `keep` is not from 0 to 30 days; nothing was done.
            CorruptFile: a file to be joined holds other bytes than were written; what was joined before stays.
            LakeError: the clean table was merged under another policy, or the storage failed.
        """
        from onepipe.lake.dedup import TARGET_ROWS
        from onepipe.lake.maintenance import KEEP
        from onepipe.lake.upkeep import maintain

        self._check_open()
        rows = TARGET_ROWS if target_rows is None else require_count("target_rows", target_rows)
        span = KEEP if keep is None else keep
        topic = self._topics.resolve(what)
        report = maintain(self.lake, topic, keep=span, target_rows=rows)
        if topic.name != EVIDENCE.name:
            maintain(self.lake, EVIDENCE, keep=span)
        return report

    def verify(self, what: type | Topic | str, *, level: Level = "proved") -> Verdict:
        """Compare, hop by hop, what was published, archived and merged, and name each record that differs.

        Reads the files of the lake; see `onepipe.audit.verify.verify` for the levels.
        """
        from onepipe.audit.verify import Level, verify

        require_choice("level", level, Level)
        self._check_open()
        started = time.perf_counter()
        topic = self._topics.resolve(what)
        verdict = verify(self.lake, topic, level=level, now=self._now())
        seconds = time.perf_counter() - started
        findings = len(verdict.findings)
        self._tell(Verified(topic.name, level=level, state=verdict.state.value, findings=findings, seconds=seconds))
        return verdict

    def table(self, what: type | Topic | str) -> Table:
        """The clean table of a topic, to be read as Arrow, pandas, Polars or DuckDB."""
        from onepipe.lake.read import Table

        self._check_open()
        return Table(self.lake, self._topics.resolve(what))

    def close(self) -> None:
        """Close the producers that are still open, and let go of every resource. May be called again.

        Raises:
            DeliveryError: a producer's records were not delivered.
        """
        if self._closed:
            return
        self._closed = True
        with ExitStack() as resources:
            resources.callback(self.registry.close)
            resources.callback(self.transport.close)
            for producer in list(self._producers):
                resources.callback(producer.close)

    def __repr__(self) -> str:
        parts = [str(self._url) if self._url is not None else type(self.transport).__name__]
        if self._lake_url is not None:
            lake = str(self._lake_url)
            parts.append(f"lake={Url.parse(lake) if '://' in lake else lake}")
        return f"<Pipeline {' '.join([*parts, *(['closed'] if self._closed else [])])}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            self.close()
        except DeliveryError as undelivered:
            if error is None:
                raise
            error.add_note(f"and leaving the pipeline: {undelivered}")

    def _open(self, what: type | Topic | str, **options: Any) -> Opened:
        self._check_open()
        return self._topics.open(what, **options)

    @cached_property
    def _observers(self) -> Observers:
        return Observers.of(self._plugins.observers())

    def _tell(self, event: Event) -> None:
        """Tell an event to the plugins' observers, which are loaded at the first one."""
        self._observers(event)

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("the pipeline is closed", remedy="connect again")

    def _now(self) -> dt.datetime:
        return dt.datetime.fromtimestamp(self._clock() / 1000, dt.UTC)


def connect(
    url: str | None = None,
    *,
    lake: str | os.PathLike[str] | None = None,
    registry: str | None = None,
    partitions: int = DEFAULT_PARTITIONS,
    application: str | None = None,
    clock: Callable[[], int] = wall_clock,
    settings: Mapping[str, Any] | None = None,
    plugins: Iterable[object] = (),
) -> Pipeline:
    """Connect to a pipeline.

    Args:
        url: the transport: "memory://" (a new log), "memory://name" (shared within the process), "memory:///folder"
            (kept on disk), or another plugin's. The variable ONEPIPE_URL where None.
        lake: folder of the lake. The variable ONEPIPE_LAKE where None; none is needed to publish and consume.
        registry: URL of the registry. The variable ONEPIPE_REGISTRY where None, else the one that goes with the
            transport.
        partitions: how many partitions a new topic gets.
        application: what the application calls itself, kept in the audit.
        clock: milliseconds since 1970, for messages and evidence.
        settings: handed to the transport unchanged.
        plugins: modules or objects with hooks (docs/reference/hooks.md), beside the installed plugins, over which they
            win. Their merge policies and codecs are then known to the whole process.

    Raises:
        ConfigurationError: no URL, no registry, or a setting the transport does not know.
        PluginError: no installed plugin knows the URL's scheme; says which there are. Or a given plugin has an unknown
            hook.
        MissingDependency: a package that the log or its registry needs is not installed; says which extra brings it.
    """
    for name, text in (("url", url), ("registry", registry)):
        require_a(str, name, text, "the text of a URL")
    require_a(str | os.PathLike, "lake", lake, "a folder or URL")
    require_a(Mapping, "settings", settings, "a dict")
    require_a(Iterable, "plugins", plugins, "a sequence of modules or objects")
    require_callable("clock", clock)
    url = url or os.environ.get(URL_VARIABLE)
    if not url:
        raise ConfigurationError("no transport is named", remedy=f"connect('memory://'), or set {URL_VARIABLE}")
    given = tuple(plugins)
    known = Plugins.of(given) if given else default_plugins()
    parsed = Url.parse(url)
    transport = known.open_transport(parsed, settings)
    try:
        registry_url = registry or os.environ.get(REGISTRY_VARIABLE) or transport.default_registry
        if registry_url is None:
            remedy = f"connect(url, registry='sqlite:///…'), or set {REGISTRY_VARIABLE}"
            raise ConfigurationError("the transport has no registry of its own", remedy=remedy)
        return Pipeline(
            transport,
            open_registry(registry_url),
            lake=lake or os.environ.get(LAKE_VARIABLE),
            partitions=partitions,
            application=application,
            clock=clock,
            plugins=known,
            url=parsed,
        )
    except BaseException:
        transport.close()
        raise
