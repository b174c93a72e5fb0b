"""Archiving: from the log into the raw table, exactly once.

The archive keeps its progress in the raw table, in the same commit as the rows: by log and partition, the next offset.
It reads from there with explicit positions; a group, where one is named, only shares the partitions out. Killed at any
point, the next run begins at the last commit; of two that hold a partition at once, the one that commits second throws
its rows away and reads on behind the first one's.

Files are contiguous offset ranges of one partition. A partition's file is committed when it is full, with those of
other partitions that are half full or fuller; all of them when the linger has passed, and at the end.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable
from typing import Literal

from onepipe.declaring.topic import Topic
from onepipe.lake import Lake, layout
from onepipe.lake.archive_run import ArchiveRun, Share
from onepipe.lake.archive_terms import ArchiveLimits, ArchiveReport
from onepipe.lake.columns import raw_schema
from onepipe.lake.layout import app_id
from onepipe.lake.raw_rows import RowReader
from onepipe.lake.table import LakeTable
from onepipe.observe.events import Event
from onepipe.registry.outage import ThroughOutage
from onepipe.registry.port import SchemaSource
from onepipe.transport import Reader, Transport, Until

__all__ = ["ArchiveLimits", "ArchiveReport", "OnLost", "OnNewLog", "app_id", "archive"]

OnLost = Literal["continue", "raise"]
OnNewLog = Literal["continue", "raise"]


def archive(
    topic: Topic,
    transport: Transport,
    lake: Lake,
    registry: SchemaSource,
    *,
    until: Until = "end",
    limits: ArchiveLimits | None = None,
    on_new_log: OnNewLog = "continue",
    on_lost: OnLost = "raise",
    stop: threading.Event | None = None,
    observer: Callable[[Event], None] | None = None,
    progress: Callable[[int], None] | None = None,
    group: str | None = None,
    at_linger: Callable[[], object] | None = None,
) -> ArchiveReport:
    """Archive a topic.

    Exactly once: killed at any point, run again, or run by two processes at once, the rows are the same.

    Where the registry cannot be asked, messages of schemas that are known go on. Of a topic that others write, the rest
    are quarantined as of unknown schema, like those of schemas it does not have, and `onepipe.lake.reread` decodes them
    later. Of other topics they wait in the log: evidence is of bytes and schema, so of a row whose schema is not known
    it could not be told whether it was altered.

    Args:
        topic: the current declaration; its fields are the raw table's columns.
        transport: the log.
        lake: where to.
        registry: where schemas are found by id.
        until: "end" archives up to the end the log has now, all partitions of it, whichever of a group does so;
            "stopped" follows the log until `stop` is set.
        limits: bounds of files, memory and time.
        on_new_log: what to do where the lake holds the topic from another log (one deleted and created again): continue
            with the new log from its start, beside the old one's rows, or raise PositionLost.
        on_lost: what to do where retention took messages before they were archived: raise PositionLost, or continue
            with the first one that is left. The report counts what was passed over, and verification names it as lost.
        stop: set it to end the run early; what was read is committed.
        observer: told of each commit.
        progress: told how many messages were read since it was told last, before they are committed; those that are
            read again after a conflict count again.
        group: name under which archives of a topic, in any process and on any machine, share its partitions; None reads
            them all. The group's offsets follow the lake's progress, for those who watch its lag.
        at_linger: called each time the linger has passed and what was read is committed.

    Raises:
        PositionLost: retention passed the lake's position and `on_lost` is "raise", the log ends before that position,
            or it is a new log and `on_new_log` is "raise". Nothing is skipped; what was read before is committed.
        TopicNotFound: there is no such topic, or it was deleted meanwhile; what was read before is committed.
        TransportError: the transport failed, or gave nothing for `limits.patience` seconds.
        LakeError: the storage failed, or a field has another type than its column.
    """
    limits = limits or ArchiveLimits()
    description = transport.describe_topic(topic.name)
    lake.catalog.declare(topic)
    table = LakeTable.ensure(lake.storage, layout.raw_table(topic.name), raw_schema(topic))
    schemas = ThroughOutage(registry, f"archive of {topic.name}")
    run = ArchiveRun(topic, description, lake, table, RowReader(topic, schemas, description.log), limits)
    run.observer, run.progress, run.passes_lost = observer, progress, on_lost == "continue"
    if at_linger is not None:
        run.at_linger = at_linger
    if on_new_log == "raise":
        run.require_known_log()
    reader = transport.reader(list(run.partitions))
    try:
        ends = defaultdict(int, {partition: reader.bounds(partition).end for partition in run.partitions})
        if group is None:
            run.hold(reader, run.partitions)
        else:
            reader.close()
            reader = _join(run, transport, group)
        run.run(reader, ends, until=until, stop=stop or threading.Event())
    finally:
        run.abandon()
        reader.close()
    return run.report


def _join(run: ArchiveRun, transport: Transport, group: str) -> Reader:
    """A reader of the partitions that a group gives to a run, which holds them as they come."""
    share = Share(run)
    share.reader = transport.group_reader([run.topic.name], group, listener=share)
    return share.reader
