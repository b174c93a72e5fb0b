"""All maintenance of a topic's tables in one call."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import attrs

from onepipe.declaring.topic import Topic
from onepipe.lake.clean_maintenance import compact_clean
from onepipe.lake.dedup import TARGET_ROWS
from onepipe.lake.maintenance import KEEP, TARGET_BYTES, CompactionReport, checkpoint, compact_raw, require_keep, vacuum
from onepipe.lake.reread import RereadReport

if TYPE_CHECKING:
    from onepipe.lake import Lake


@attrs.frozen
class MaintenanceReport:
    """What one maintenance did.

    Attributes:
        topic: name of the topic.
        raw: what was joined of the raw table.
        clean: what was joined of the clean table; None where nothing is merged.
        deleted: paths of the deleted data files, below the lake's root.
        reread: what was decoded that had been archived before its schema was known; None where no registry was asked.
    """

    topic: str
    raw: CompactionReport
    clean: CompactionReport | None
    deleted: tuple[str, ...]
    reread: RereadReport | None = None


def maintain(
    lake: Lake,
    topic: Topic,
    *,
    keep: dt.timedelta = KEEP,
    target_bytes: int = TARGET_BYTES,
    target_rows: int = TARGET_ROWS,
) -> MaintenanceReport:
    """Join small files of the raw and clean tables, delete what nothing refers to, and write checkpoints.

    It may run beside archives, dedups and readers, and be killed at any point; rows stay as they are.

    Args:
        lake: where the tables are.
        topic: the declaration that governed the merge.
        keep: for how long files stay that nothing refers to; up to 30 days.
        target_bytes: bytes a merged raw file has at most, about.
        target_rows: most rows of a clean file, as given to `dedup`.

    Raises:
        ConfigurationError: `keep` is not from 0 to 30 days; nothing was done.
        CorruptFile: a file to be joined holds other bytes than were written; what was joined before stays.
        LakeError: the clean table was merged under another policy.
    """
    require_keep(keep)
    raw = compact_raw(lake, topic, target_bytes=target_bytes)
    clean = None if topic.merge is None else compact_clean(lake, topic, target_rows=target_rows)
    deleted = vacuum(lake, topic, keep=keep)
    checkpoint(lake, topic)
    return MaintenanceReport(topic.name, raw, clean, tuple(deleted))
