"""The steps of a pipeline over its lake: archive, dedup, maintain and verify a topic.

Each one checks what it was given, names the topic, runs the step, and tells observers what came of it. `Pipeline` says
what its arguments mean. Importing this module loads what a lake needs.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeAlias

import attrs

import onepipe.lake  # noqa: F401 - says which package is missing, before one of them is imported
from onepipe.arguments import require_a, require_callable, require_choice, require_count, require_memory, require_name
from onepipe.audit.accepted import accept as accept_findings
from onepipe.audit.verdict import Finding, Verdict
from onepipe.audit.verify import Level
from onepipe.audit.verify import verify as verify_lake
from onepipe.declaring.topic import Topic
from onepipe.evidence.records import EVIDENCE
from onepipe.lake import Lake
from onepipe.lake.archive import ArchiveLimits, ArchiveReport, OnLost, OnNewLog
from onepipe.lake.archive import archive as archive_topic
from onepipe.lake.dedup import TARGET_ROWS, DedupReport
from onepipe.lake.dedup import dedup as dedup_topic
from onepipe.lake.dedup_engine import DedupEngine
from onepipe.lake.engine import DEFAULT_MEMORY
from onepipe.lake.engines import EngineName, dedup_engine
from onepipe.lake.maintenance import KEEP
from onepipe.lake.read import Table
from onepipe.lake.reread import reread
from onepipe.lake.upkeep import MaintenanceReport
from onepipe.lake.upkeep import maintain as maintain_topic
from onepipe.observe.events import DedupCommitted, Event, Verified
from onepipe.pipeline.parts import Parts
from onepipe.registry.port import SchemaSource
from onepipe.transport import Until

What: TypeAlias = type | Topic | str
"""A record class, a topic, or the name of a registered one."""


def archive(
    parts: Parts,
    what: What,
    *,
    until: Until,
    stop: threading.Event | None,
    limits: ArchiveLimits | None,
    on_new_log: OnNewLog,
    on_lost: OnLost,
    progress: Callable[[int], None] | None,
    group: str | None,
) -> ArchiveReport:
    """Archive a topic and the evidence about it: at the end, and each time the linger passes."""
    require_a(ArchiveLimits, "limits", limits, "an onepipe.lake.archive.ArchiveLimits")
    require_a(threading.Event, "stop", stop, "a threading.Event")
    require_callable("progress", progress)
    require_choice("until", until, Until)
    require_choice("on_new_log", on_new_log, OnNewLog)
    require_choice("on_lost", on_lost, OnLost)
    require_name("group", group)
    opened, evidence = parts.open(what), parts.open(EVIDENCE)
    run = partial(
        archive_topic,
        transport=parts.transport,
        lake=parts.lake,
        limits=limits,
        on_new_log=on_new_log,
        on_lost=on_lost,
        observer=parts.tell,
    )
    catch_up = partial(run, evidence.topic, registry=parts.registry)
    vouched = opened.topic.name != EVIDENCE.name
    report = run(
        opened.topic,
        registry=opened.schemas or parts.registry,
        until=until,
        stop=stop,
        progress=progress,
        group=group,
        at_linger=catch_up if vouched else None,
    )
    if vouched:
        catch_up()
    return report


def dedup(
    parts: Parts,
    what: What,
    *,
    rebuild: bool,
    target_rows: int | None,
    memory: str | None,
    engine: EngineName | DedupEngine,
) -> DedupReport:
    """Merge what was archived of a topic since the last time."""
    parts.require_open()
    require_memory(memory)
    options = {"rebuild": rebuild, "target_rows": _target_rows(target_rows), "memory": memory or DEFAULT_MEMORY}
    folding = dedup_engine(engine)
    topic = parts.topics.resolve(what)
    return merge(parts.lake, topic, tell=parts.tell, engine=folding, **options)


def merge(lake: Lake, topic: Topic, *, tell: Callable[[Event], None], **options: Any) -> DedupReport:
    """Merge what was archived of a topic since the last time, and tell of it; needs the lake alone.

    Args:
        lake: where the tables are.
        topic: the declaration.
        tell: told of what was merged.
        **options: those of `onepipe.lake.dedup.dedup`.
    """
    report = dedup_topic(lake, topic, **options)
    if report.version is not None and (report.read or report.rebuilt):
        told = attrs.asdict(report)
        tell(DedupCommitted(**{field.name: told[field.name] for field in attrs.fields(DedupCommitted)}))
    return report


def maintain(parts: Parts, what: What, *, keep: dt.timedelta | None, target_rows: int | None) -> MaintenanceReport:
    """Maintain the tables of a topic, and those of the evidence; and read again what the registry knows by now."""
    parts.require_open()
    rows = _target_rows(target_rows)
    topic = parts.topics.resolve(what)
    report = keep_up(parts.lake, topic, keep=KEEP if keep is None else keep, target_rows=rows)
    return decode_late(parts.lake, topic, report, parts.topics.schemas)


def keep_up(lake: Lake, topic: Topic, *, keep: dt.timedelta, target_rows: int = TARGET_ROWS) -> MaintenanceReport:
    """Maintain the tables of a topic, and those of the evidence; needs the lake alone."""
    report = maintain_topic(lake, topic, keep=keep, target_rows=target_rows)
    if topic.name != EVIDENCE.name:
        maintain_topic(lake, EVIDENCE, keep=keep)
    return report


def decode_late(
    lake: Lake, topic: Topic, report: MaintenanceReport, schemas: Callable[[Topic], SchemaSource | None]
) -> MaintenanceReport:
    """Read again what a topic, and the evidence, were archived with while the registry did not know its schema.

    Args:
        lake: where the tables are.
        topic: the current declaration.
        report: what maintenance did so far.
        schemas: where a topic's schemas are found; None leaves its rows as they are.

    Raises:
        RegistryUnavailable: a registry cannot be asked about a schema; what was done before stays.
    """
    if topic.name != EVIDENCE.name and (source := schemas(EVIDENCE)) is not None:
        reread(lake, EVIDENCE, source)
    source = schemas(topic)
    return report if source is None else attrs.evolve(report, reread=reread(lake, topic, source))


def verify(parts: Parts, what: What, *, level: Level) -> Verdict:
    """Compare, hop by hop, what was published, archived and merged of a topic."""
    require_choice("level", level, Level)
    parts.require_open()
    started = time.perf_counter()
    topic = parts.topics.resolve(what)
    verdict = verify_lake(parts.lake, topic, level=level, now=parts.now())
    seconds = time.perf_counter() - started
    findings = len(verdict.findings)
    parts.tell(Verified(topic.name, level=level, state=verdict.state.value, findings=findings, seconds=seconds))
    return verdict


def accept(parts: Parts, what: Verdict | Iterable[Finding], *, reason: str, by: str | None) -> tuple[Finding, ...]:
    """Accept findings, with a reason that the lake's ledger keeps."""
    parts.require_open()
    require_name("by", by)
    return accept_findings(parts.lake, what, reason=reason, by=by, at=parts.now())


def table(parts: Parts, what: What) -> Table:
    """The clean table of a topic."""
    parts.require_open()
    return Table(parts.lake, parts.topics.resolve(what))


def _target_rows(target_rows: int | None) -> int:
    return TARGET_ROWS if target_rows is None else require_count("target_rows", target_rows)
