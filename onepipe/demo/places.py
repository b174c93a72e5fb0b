"""Where the main job has its log, its registry and its lake: in its folder, or where it is told."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import attrs

from onepipe.audit.verdict import Hop
from onepipe.url import Url

TOPIC: Final = "Flights"
"""Name of the topic where nobody else can be."""


@attrs.frozen
class Places:
    """What is elsewhere than in the job's folder; None each where it is there.

    Where any is, others may be there too: the topic then has a name of its own, and nothing else is touched.

    Attributes:
        transport: URL of the log.
        lake: folder or URL of the lake.
        registry: URL of the registry.
    """

    transport: str | None = None
    lake: str | None = None
    registry: str | None = None

    @property
    def shared(self) -> bool:
        """Whether anything is where others may be too."""
        return any(attrs.astuple(self))

    @property
    def tampered(self) -> tuple[Hop, ...]:
        """Where records can be tampered with: no log but the job's own, in memory, lets one do so."""
        return (Hop.RAW, Hop.CLEAN) if self.transport else (Hop.LOG, Hop.RAW, Hop.CLEAN)

    def new_topic(self) -> str:
        """A name for the topic: one that nobody else has where others may be."""
        return f"{TOPIC}-{uuid.uuid4().hex[:12]}" if self.shared else TOPIC

    @property
    def topic_settings(self) -> Mapping[str, str] | None:
        """How the log is to keep the topic: a Kafka deletes messages by their own times, which are years ago."""
        kafka = self.transport is not None and Url.parse(self.transport).scheme.startswith("kafka")
        return {"retention.ms": "-1"} if kafka else None

    def lake_in(self, folder: Path) -> str:
        """Folder or URL of the lake of a job in a folder."""
        return self.lake or str(folder / "lake")

    def registry_in(self, folder: Path) -> str | None:
        """URL of the registry of a job in a folder; None for the one that goes with the job's own log."""
        if self.registry or not self.transport:
            return self.registry
        return f"sqlite:///{folder / 'registry.db'}"

    def shown(self) -> Mapping[str, str]:
        """What is elsewhere, by what it is, without secrets."""
        return {name: _shown(url) for name, url in attrs.asdict(self).items() if url}


def _shown(url: str) -> str:
    return str(Url.parse(url)) if "://" in url else str(Path(url).absolute())
