"""The registries that a command over a lake may ask: that of a topic's writers, else the one that is named."""

from __future__ import annotations

import argparse
import os
from collections.abc import Collection
from functools import cached_property
from typing import TYPE_CHECKING, Final, Self
from uuid import UUID

from onepipe.registry import open_registry
from onepipe.registry.port import SchemaSource

if TYPE_CHECKING:
    from onepipe.declaring.topic import Topic
    from onepipe.registry.port import Registry
    from onepipe.schema.model import Schema

REGISTRY_VARIABLE: Final = "ONEPIPE_REGISTRY"


class AskedOnly(SchemaSource):
    """A registry by its URL, which is opened when it is asked first: until then it needs no secret, and no network."""

    def __init__(self, url: str) -> None:
        """Open nothing yet; see `onepipe.registry.open_registry` for URLs, and what opening raises."""
        self._url = url

    def schema(self, schema_id: int) -> Schema:
        """The schema of an id."""
        return self._registry.schema(schema_id)

    def schema_by_guid(self, guid: UUID) -> Schema:
        """The schema of a GUID."""
        return self._registry.schema_by_guid(guid)

    def schema_by_fingerprint(self, fingerprint: int, subjects: Collection[str]) -> Schema:
        """The newest schema of some subjects with a fingerprint."""
        return self._registry.schema_by_fingerprint(fingerprint, subjects)

    def close(self) -> None:
        """Let go of it, where it was opened."""
        if "_registry" in vars(self):
            self._registry.close()

    @cached_property
    def _registry(self) -> Registry:
        return open_registry(self._url)


class Registries:
    """The registries of a command's topics, each opened once at most. Used by one thread at a time."""

    def __init__(self, options: argparse.Namespace) -> None:
        """Take the one that the option `registry`, or else the environment, names for topics that name none."""
        self._named = options.registry or os.environ.get(REGISTRY_VARIABLE)
        self._sources: dict[str, AskedOnly] = {}

    def of(self, topic: Topic) -> SchemaSource | None:
        """Where the schemas of a topic's messages are found; None where no registry is named."""
        url = (topic.source and topic.source.registry) or self._named
        return self._sources.setdefault(url, AskedOnly(url)) if url else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        for source in self._sources.values():
            source.close()
