"""One run of an archive: reads the partitions it holds, writes their files, and commits these with the progress.

A run holds every partition of its topic, or those that a group gives it (`Share`). What makes it exact is the same in
both cases: progress is committed with the rows, and only where it is what this run believed it to be. So of two runs
that hold a partition at once, as when one was taken for dead and is not, the one that commits second throws its rows
away.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final

import attrs

from onepipe.declaring.topic import Topic
from onepipe.errors import CommitConflict, PositionLost, TopicNotFound, TransportError
from onepipe.lake.archive_terms import ArchiveLimits, ArchiveReport
from onepipe.lake.columns import LOG
from onepipe.lake.lake import Lake
from onepipe.lake.layout import app_id
from onepipe.lake.raw_files import RawFile, RawFileWriter
from onepipe.lake.raw_rows import RowReader
from onepipe.lake.table import LakeTable
from onepipe.observe.events import ArchiveCommitted, Event
from onepipe.transport import Bounds, GroupReader, Message, Reader, TopicDescription, TopicPartition, Until

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


def _nothing() -> None:
    """What is done at the linger where nobody asked for anything."""


@attrs.define(eq=False)
class ArchiveRun:
    """The partitions that are held, the open file of each one, and where its next file begins."""

    topic: Topic
    description: TopicDescription
    lake: Lake
    table: LakeTable
    rows: RowReader
    limits: ArchiveLimits
    observer: Callable[[Event], None] | None = None
    progress: Callable[[int], None] | None = None
    at_linger: Callable[[], object] = _nothing
    passes_lost: bool = False
    report: ArchiveReport = attrs.field(init=False)
    partitions: dict[TopicPartition, str] = attrs.field(init=False)
    held: set[TopicPartition] = attrs.field(factory=set)
    committed: dict[TopicPartition, int | None] = attrs.field(factory=dict)
    starts: dict[TopicPartition, int] = attrs.field(factory=dict)
    files: dict[TopicPartition, RawFileWriter] = attrs.field(factory=dict)
    waiting: defaultdict[int, list[Message]] = attrs.field(factory=lambda: defaultdict(list))
    waiting_count: int = 0
    poll_size: int = attrs.field(init=False)
    since: float = attrs.field(factory=time.monotonic)

    def __attrs_post_init__(self) -> None:
        log = self.description.log
        self.report = ArchiveReport(self.topic.name, log, {})
        self.poll_size = min(_FIRST_POLL, self.limits.batch)
        self.partitions = {
            TopicPartition(self.topic.name, number): app_id(log, number)
            for number in range(self.description.partitions)
        }

    def require_known_log(self) -> None:
        """Refuse a new log under a table of another.

        Raises:
            PositionLost: the table holds rows of other logs, and none of this one.
        """
        if any(offset is not None for offset in self.table.progress(self.partitions.values()).values()):
            return
        others = {file.bounds(LOG)[0] for file in self.table.snapshot().files} - {self.description.log}
        if others:
            raise PositionLost(
                f"the lake holds {len(others)} other log(s) of this topic and nothing of log {self.description.log}",
                topic=self.topic.name,
                remedy="archive with on_new_log='continue' to keep both",
            )

    def run(self, reader: Reader, ends: Mapping[TopicPartition, int], *, until: Until, stop: threading.Event) -> None:
        """Read, write and commit until all partitions are archived to their ends, whoever does it, or until stopped."""
        heard = time.monotonic()
        while not stop.is_set():
            left = [p for p in self.held if reader.position(p) < ends[p]]
            if until == "end" and not left and self.reached(reader, ends):
                break
            try:
                messages = reader.poll(self.poll_size, _POLL_SECONDS)
            except (PositionLost, TopicNotFound) as gone:  # no log may hold any more what was read before
                self.commit(reader, self.held)
                if not self.passes_lost or isinstance(gone, TopicNotFound):
                    raise
                self.hold(reader, tuple(self.held))
                continue
            if messages:
                heard = time.monotonic()
                self.take(messages)
            elif not left:
                heard = time.monotonic()
            elif time.monotonic() - heard > self.limits.patience:
                raise TransportError(
                    f"no message came for {self.limits.patience} s, though the log has more",
                    topic=self.topic.name,
                    partition=left[0].partition,
                    offset=reader.position(left[0]),
                )
            self.commit_due(reader)
        self.commit(reader, self.held)

    def reached(self, reader: Reader, ends: Mapping[TopicPartition, int]) -> bool:
        """Whether every partition is archived to its end: those that are held by this run, the rest by others."""
        if len(self.held) == len(self.partitions):
            return True
        if any((self.committed[p] or 0) < ends[p] for p in self.held):
            self.commit(reader, self.held)
        progress = self.table.progress(self.partitions.values())
        return all((progress[name] or 0) >= ends[p] for p, name in self.partitions.items())

    def hold(self, reader: Reader, partitions: Iterable[TopicPartition]) -> None:
        """Begin partitions where the table's progress is; at the log's start where it has none.

        A group may give partitions that the topic got after this run began.

        Raises:
            PositionLost: retention passed the table's position, which is not to be passed over, or the log ends before
                it.
        """
        log = self.description.log
        begun = {p: self.partitions.setdefault(p, app_id(log, p.partition)) for p in partitions}
        progress = self.table.progress(begun.values())
        for partition, name in begun.items():
            bounds = reader.bounds(partition)
            committed = progress[name]
            start = bounds.start if committed is None else self.start(partition, committed, bounds)
            self.held.add(partition)
            self.committed[partition] = committed
            self.starts[partition] = start
            reader.seek(partition, start)
            self.report.progress[partition.partition] = start

    def start(self, partition: TopicPartition, committed: int, bounds: Bounds) -> int:
        """Where to go on in a partition of which a part is archived."""
        if bounds.start <= committed <= bounds.end:
            return committed
        if committed < bounds.start and self.passes_lost:
            lost = bounds.start - committed
            _LOG.warning(
                "topic %s, partition %d: retention took %d offsets from %d on before they were archived",
                *partition,
                lost,
                committed,
            )
            self.report = attrs.evolve(self.report, lost=self.report.lost + lost)
            return bounds.start
        passed = committed < bounds.start
        which = "retention passed it" if passed else "the log was cut"
        how = "go on with on_lost='continue', which verification tells" if passed else "archive it into a new lake"
        raise PositionLost(
            f"the log holds offsets {bounds.start} to {bounds.end}, the lake is at {committed}: {which}",
            topic=partition.topic,
            partition=partition.partition,
            offset=committed,
            remedy=f"restore the log, or {how}",
        )

    def let_go(self, partitions: Iterable[TopicPartition]) -> None:
        """Hold partitions no longer, and throw away what is not committed of them."""
        for partition in partitions:
            self.held.discard(partition)
            self.waiting_count -= len(self.waiting.pop(partition.partition, ()))
            if partition in self.files:
                self.files.pop(partition).close()

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
        share = self.limits.memory // max(1, len(self.held))
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
            self.commit(reader, self.held)
            self.at_linger()
            self.since = time.monotonic()
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
        if isinstance(reader, GroupReader):
            self.hint(reader, moved)

    def hint(self, reader: GroupReader, moved: Mapping[TopicPartition, int]) -> None:
        """Tell the group how far the lake is, for whoever watches its lag; the truth is in the table."""
        try:
            reader.commit(moved)
        except TransportError as error:
            _LOG.debug("topic %s: the group's offsets were not committed: %s", self.topic.name, error)

    def lose(self, reader: Reader, finished: Sequence[RawFile]) -> None:
        """Throw away what another archive has committed first, and read on where it is."""
        _LOG.info("topic %s: another archive committed first; reading on behind it", self.topic.name)
        present = {file.path for file in self.table.snapshot().files}
        for lost in finished:
            if lost.file.path not in present:
                self.lake.storage.delete(f"{self.table.root}/{lost.file.path}")
        self.discard()
        self.hold(reader, tuple(self.held))
        self.since = time.monotonic()
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

    def abandon(self) -> None:
        """Hold nothing any more: what was not committed is not, whatever the reader still says as it closes."""
        self.held.clear()
        self.discard()

    def discard(self) -> None:
        """Throw away all that is not committed."""
        self.waiting, self.waiting_count = defaultdict(list), 0
        for writer in self.files.values():
            writer.close()
        self.files = {}


@attrs.define(eq=False)
class Share:
    """The partitions that a group gives to a run: begun as they come, committed as they go.

    Attributes:
        reader: the run's reader, known once it has joined the group; partitions come and go in its `poll`.
    """

    _run: ArchiveRun
    reader: Reader = attrs.field(init=False)

    def assigned(self, partitions: frozenset[TopicPartition]) -> None:
        """Begin partitions where the lake is."""
        self._run.hold(self.reader, partitions)

    def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        """Commit what was read of partitions that go, so that whoever gets them begins there."""
        self._run.commit(self.reader, partitions & self._run.held)
        self._run.let_go(partitions)

    def lost(self, partitions: frozenset[TopicPartition]) -> None:
        """Throw away what was read of partitions that are another's by now."""
        self._run.let_go(partitions)
