"""What bounds an archive, and what it reports."""

from __future__ import annotations

from typing import Any

import attrs

from onepipe.arguments import require_count, require_seconds


def _count(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    require_count(attribute.name, value)


def _seconds(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    require_seconds(attribute.name, value)


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

    Raises:
        ConfigurationError: a number below 1, or seconds below 0.
    """

    file_rows: int = attrs.field(default=4_000_000, validator=_count)
    file_bytes: int = attrs.field(default=128 << 20, validator=_count)
    linger: float = attrs.field(default=60.0, validator=_seconds)
    memory: int = attrs.field(default=192 << 20, validator=_count)
    batch: int = attrs.field(default=32_768, validator=_count)
    patience: float = attrs.field(default=60.0, validator=_seconds)


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
        lost: offsets passed over that were gone before they were archived; only where that was asked for.
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
    lost: int = 0
