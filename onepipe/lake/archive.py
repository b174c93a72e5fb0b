"""Archiving: from the log into the raw table, exactly once.

The archive keeps its progress in the raw table, in the same commit as the rows: by log and partition, the next offset.
It reads from there with explicit positions and no consumer group. Killed at any point, the next run begins at the last
commit; of two that run at once, the one that commits second throws its rows away and reads on behind the first one's.

Files are contiguous offset ranges of one partition. A partition's file is committed when it is full, with those of
other partitions that are half full or fuller; all of them when the linger has passed, and at the end.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from typing import Final, Literal

import attrs

from onepipe.errors import CommitConflict, PositionLost, TransportError
from onepipe.lake import Lake, layout
from onepipe.lake.columns import LOG, raw_schema
from onepipe.lake.raw_files import RawFile, RawFileWriter
from onepipe.lake.raw_rows import RowReader
from onepipe.lake.table import LakeTable
from onepipe.observe.events import ArchiveCommitted, Event
from onepipe.registry.port import Registry
from onepipe.topic import Topic
from onepipe.transport import Message, Reader, TopicDescription, TopicPartition, Transport

_LOG: Final = logging.getLogger(__name__)
_POLL_SECONDS: Final = 0.5
_FIRST_POLL: Final = 1024
_MESSAGE_BYTES: Final = 512
"""Bytes that a message takes in memory beside its value, about."""
_MEMORY_SHARE: Final = 8
"""What part of the memory polled messages may take: decoded they take about twice as much, and a file's writer too."""
_ENOUGH: Final = 2048
"""Messages of one partition that are worth decoding by themselves."""
_HALF_FULL: Final = 0.5

OnNewLog = Literal["continue", "raise"]


@attrs.frozen(kw_only=True)
class ArchiveLimits:
    """Bounds of an archive's files, memory and time.

    Attributes:
        file_rows: rows at which a file is full.
        file_bytes: bytes at which a file is full.
        linger: seconds after which rows are committed although no file is full.
        memory: bytes of rows kept in memory before they are written to temporary files, all partitions together.
        batch: messages decoded at once.
        patience: seconds without any message, although the log has more, after which the transport is given up.
    """

    file_rows: int = 4_000_000
    file_bytes: int = 128 << 20
    linger: float = 60.0
    memory: int = 192 << 20
    batch: int = 32_768
    patience: float = 60.0


@attrs.frozen
class ArchiveReport:
    """What one run of an archive did.

    Attributes:
        topic: name of the topic.
        log: identity of the log.
        progress: by partition, the next offset to archive.
        rows: rows committed.
        quarantined: rows among them with an error.
        gaps: offsets passed over that the log did not hold.
        files: files committed.
        bytes: their bytes.
        commits: commits made.
        conflicts: commits lost to another archive, whose rows were read again or found archived.
    """

    topic: str
    log: str
    progress: dict[int, int]
    rows: int = 0
    quarantined: int = 0
    gaps: int = 0
    files: int = 0
    bytes: int = 0
    commits: int = 0
    conflicts: int = 0


def app_id(log: str, partition: int) -> str:
    """The application id under which a raw (or clean) table keeps the progress in a partition of a log."""
    return f"{log}/{partition}"


def archive(
    topic: Topic,
    transport: Transport,
    lake: Lake,
    registry: Registry,
    *,
    until: Literal["end"] | None = "end",
    limits: ArchiveLimits | None = None,
    on_new_log: OnNewLog = "continue",
    stop: threading.Event | None = None,
    observer: Callable[[Event], None] | None = None,
    progress: Callable[[int], None] | None = None,
) -> ArchiveReport:
    """Archive a topic.

    Exactly once: killed at any point, run again, or run by two processes at once, the rows are the same.

    Args:
        topic: the current declaration; its fields are the raw table's columns.
        transport: the log.
        lake: where to.
        registry: where schemas are found by id.
        until: "end" archives up to the end the log has now; None follows the log until `stop` is set.
        limits: bounds of files, memory and time.
        on_new_log: what to do where the lake holds the topic from another log (one deleted and created again): continue
            with the new log from its start, beside the old one's rows, or raise PositionLost.
        stop: set it to end the run early; what was read is committed.
        observer: told of each commit.
        progress: told how many messages were read since it was told last, before they are committed; those that are
            read again after a conflict count again.

    Raises:
        PositionLost: retention passed the lake's position, the log ends before it, or it is a new log and `on_new_log`
            is "raise". Nothing is skipped; what was read before is committed.
        RegistryUnavailable: the registry cannot be asked about a schema id.
        TransportError: the transport failed, or gave nothing for `limits.patience` seconds.
        LakeError: the storage failed, or a field has another type than its column.
    """
    limits = limits or ArchiveLimits()
    description = transport.describe_topic(topic.name)
    lake.catalog.declare(topic)
    table = LakeTable.ensure(lake.storage, layout.raw_table(topic.name), raw_schema(topic))
    run = _Archive(topic, description, lake, table, RowReader(topic, registry, description.log), limits)
    run.observer, run.progress = observer, progress
    run.require_log(on_new_log)
    reader = transport.reader(list(run.partitions))
    try:
        run.run(reader, follow=until is None, stop=stop or threading.Event())
    finally:
        run.discard()
        reader.close()
    return run.report


@attrs.define(eq=False)
class _Archive:
    """One run: the open file of each partition, and where each one's next file begins."""

    topic: Topic
    description: TopicDescription
    lake: Lake
    table: LakeTable
    rows: RowReader
    limits: ArchiveLimits
    report: ArchiveReport = attrs.field(init=False)
    partitions: dict[TopicPartition, str] = attrs.field(init=False)
    committed: dict[TopicPartition, int | None] = attrs.field(factory=dict)
    starts: dict[TopicPartition, int] = attrs.field(factory=dict)
    files: dict[TopicPartition, RawFileWriter] = attrs.field(factory=dict)
    waiting: defaultdict[int, list[Message]] = attrs.field(factory=lambda: defaultdict(list))
    waiting_count: int = 0
    poll_size: int = attrs.field(init=False)
    since: float = 0.0
    observer: Callable[[Event], None] | None = None
    progress: Callable[[int], None] | None = None

    def __attrs_post_init__(self) -> None:
        log = self.description.log
        self.report = ArchiveReport(self.topic.name, log, {})
        self.poll_size = min(_FIRST_POLL, self.limits.batch)
        self.partitions = {
            TopicPartition(self.topic.name, number): app_id(log, number)
            for number in range(self.description.partitions)
        }

    def require_log(self, on_new_log: OnNewLog) -> None:
        """Refuse a new log under a table of another, if that is wanted."""
        if on_new_log == "continue" or any(
            v is not None for v in self.table.progress(self.partitions.values()).values()
        ):
            return
        others = {file.statistics[LOG][0] for file in self.table.snapshot().files} - {self.description.log}
        if others:
            raise PositionLost(
                f"the lake holds {len(others)} other log(s) of this topic and nothing of log {self.description.log}",
                topic=self.topic.name,
                remedy="archive with on_new_log='continue' to keep both",
            )

    def run(self, reader: Reader, *, follow: bool, stop: threading.Event) -> None:
        """Read, write and commit until the end, or until stopped."""
        ends = {partition: reader.bounds(partition).end for partition in self.partitions}
        self.begin(reader)
        heard = time.monotonic()
        while not stop.is_set():
            left = [p for p, end in ends.items() if reader.position(p) < end]
            if not (follow or left):
                break
            try:
                messages = reader.poll(self.poll_size, _POLL_SECONDS)
            except PositionLost:
                self.commit(reader, self.partitions)
                raise
            if messages:
                heard = time.monotonic()
                self.take(messages)
            elif left and time.monotonic() - heard > self.limits.patience:
                raise TransportError(
                    f"no message came for {self.limits.patience} s, though the log has more",
                    topic=self.topic.name,
                    partition=left[0].partition,
                    offset=reader.position(left[0]),
                )
            self.commit_due(reader)
        self.commit(reader, self.partitions)

    def begin(self, reader: Reader) -> None:
        """Go to where the table's progress is; to the log's start where it has none."""
        progress = self.table.progress(self.partitions.values())
        for partition, name in self.partitions.items():
            bounds = reader.bounds(partition)
            committed = progress[name]
            if committed is not None and not bounds.start <= committed <= bounds.end:
                which = "retention passed it" if committed < bounds.start else "the log was cut"
                raise PositionLost(
                    f"the log holds offsets {bounds.start} to {bounds.end}, the lake is at {committed}: {which}",
                    topic=partition.topic,
                    partition=partition.partition,
                    offset=committed,
                    remedy="restore the log, or archive the topic into a new lake",
                )
            self.committed[partition] = committed
            self.starts[partition] = bounds.start if committed is None else committed
            reader.seek(partition, self.starts[partition])
            self.report.progress[partition.partition] = self.starts[partition]
        self.since = time.monotonic()

    def take(self, messages: Sequence[Message]) -> None:
        """Keep messages until there are enough to decode at once."""
        for message in messages:
            self.waiting[message.partition].append(message)
        self.waiting_count += len(messages)
        if 2 * self.waiting_count >= self.poll_size:
            self.decode()

    def decode(self) -> None:
        """Add the messages that wait to the open files of their partitions.

        A partition with enough of them is decoded alone, the others together, as each call has its own cost.
        """
        waiting, self.waiting, self.waiting_count = self.waiting, defaultdict(list), 0
        few = [m for messages in waiting.values() if len(messages) < _ENOUGH for m in messages]
        for messages in [*([few] if few else []), *(m for m in waiting.values() if len(m) >= _ENOUGH)]:
            rows = self.rows.read(messages)
            self.poll_size = self.allowed(rows.table.nbytes // len(messages))
            for number, part in rows.by_partition():
                self.file(number).add(part)
            if self.progress is not None:
                self.progress(len(messages))
        share = self.limits.memory // len(self.partitions)
        for writer in self.files.values():
            if writer.pending > share:
                writer.spill()

    def allowed(self, row_bytes: int) -> int:
        """How many messages to poll at once, by the size of those seen last."""
        fit = self.limits.memory // _MEMORY_SHARE // (row_bytes + _MESSAGE_BYTES)
        return max(1, min(fit, 4 * self.poll_size, self.limits.batch))

    def file(self, number: int) -> RawFileWriter:
        """The open file of a partition."""
        partition = TopicPartition(self.topic.name, number)
        if partition not in self.files:
            self.files[partition] = RawFileWriter(
                self.lake.storage, self.topic, self.description.log, number, self.starts[partition]
            )
        return self.files[partition]

    def commit_due(self, reader: Reader) -> None:
        """Commit what is full, or all that has waited for long enough."""
        if time.monotonic() - self.since >= self.limits.linger:
            self.commit(reader, self.partitions)
        elif any(self.fullness(writer) >= 1 for writer in self.files.values()):
            self.commit(reader, [p for p, writer in self.files.items() if self.fullness(writer) >= _HALF_FULL])

    def fullness(self, writer: RawFileWriter) -> float:
        """How full an open file is; 1 and more is full."""
        return max(writer.rows / self.limits.file_rows, writer.written / self.limits.file_bytes)

    def commit(self, reader: Reader, partitions: Collection[TopicPartition]) -> None:
        """Publish the open files of some partitions, and commit them with the progress in one step."""
        started = time.perf_counter()
        self.decode()
        stops = {partition: reader.position(partition) for partition in partitions}
        finished = [self.files.pop(p).finish(stop) for p, stop in stops.items() if p in self.files]
        moved = {p: stop for p, stop in stops.items() if stop != self.committed[p]}
        if len(partitions) == len(self.partitions):
            self.since = time.monotonic()
        if not moved:
            return
        progress = {self.partitions[p]: (self.committed[p], stop) for p, stop in moved.items()}
        note = {"archive": {"rows": sum(f.footer.rows for f in finished), "files": len(finished)}}
        try:
            self.table.commit([f.file for f in finished], progress=progress, note=note)
        except CommitConflict:
            self.lose(reader, finished)
            return
        self.committed.update(moved)
        self.starts.update(moved)
        self.count(finished, time.perf_counter() - started)

    def lose(self, reader: Reader, finished: Sequence[RawFile]) -> None:
        """Throw away what another archive has committed first, and read on where it is."""
        _LOG.info("topic %s: another archive committed first; reading on behind it", self.topic.name)
        present = {file.path for file in self.table.snapshot().files}
        for lost in finished:
            if lost.file.path not in present:
                self.lake.storage.delete(f"{self.table.root}/{lost.file.path}")
        self.discard()
        self.begin(reader)
        self.report = attrs.evolve(self.report, conflicts=self.report.conflicts + 1)

    def count(self, finished: Sequence[RawFile], seconds: float) -> None:
        """Report a commit, and tell of it."""
        report, footers = self.report, [f.footer for f in finished]
        event = ArchiveCommitted(
            self.topic.name,
            rows=sum(f.rows for f in footers),
            quarantined=sum(f.quarantined for f in footers),
            files=len(finished),
            bytes=sum(f.file.size for f in finished),
            seconds=seconds,
        )
        self.report = attrs.evolve(
            report,
            progress={p.partition: offset for p, offset in self.committed.items() if offset is not None},
            rows=report.rows + event.rows,
            quarantined=report.quarantined + event.quarantined,
            gaps=report.gaps + sum(f.next - f.first - f.rows for f in footers),
            files=report.files + event.files,
            bytes=report.bytes + event.bytes,
            commits=report.commits + 1,
        )
        if self.observer is not None:
            self.observer(event)

    def discard(self) -> None:
        """Throw away all that is not committed."""
        self.waiting, self.waiting_count = defaultdict(list), 0
        for writer in self.files.values():
            writer.close()
        self.files = {}
